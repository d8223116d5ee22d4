package clients

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// iamDevices makes a device for a user, whose codes come from its seed.
func (s *goSDK) iamDevices(t *testing.T) []step {
	c, user := s.iam, aws.String("operations")
	serial := aws.String("arn:aws:iam::" + account + ":mfa/phone")
	var seed []byte
	return []step{
		{"CreateVirtualMFADevice", func(ctx context.Context) error {
			return then(c.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: aws.String("phone")}))(func(o *iam.CreateVirtualMFADeviceOutput) error {
				seed = o.VirtualMFADevice.Base32StringSeed
				return same("SerialNumber", *o.VirtualMFADevice.SerialNumber, *serial)
			})
		}},
		{"EnableMFADevice", func(ctx context.Context) error {
			return done(c.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{
				UserName: user, SerialNumber: serial, AuthenticationCode1: aws.String(totp(t, seed, -1)), AuthenticationCode2: aws.String(totp(t, seed, 0)),
			}))
		}},
		{"ListMFADevices", func(ctx context.Context) error {
			return then(c.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: user}))(func(o *iam.ListMFADevicesOutput) error {
				return errors.Join(same("devices", len(o.MFADevices), 1), same("SerialNumber", *o.MFADevices[0].SerialNumber, *serial))
			})
		}},
		{"DeactivateMFADevice", func(ctx context.Context) error {
			return done(c.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: user, SerialNumber: serial}))
		}},
		{"DeleteVirtualMFADevice", func(ctx context.Context) error {
			return done(c.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: serial}))
		}},
	}
}

// iamProviders makes an identity provider. Its keys are given with it, in a member that AWS has not: kmsd fetches none unasked.
func (s *goSDK) iamProviders(t *testing.T) []step {
	c, arn := s.iam, aws.String("arn:aws:iam::"+account+":oidc-provider/operations.example")
	return []step{
		{"CreateOpenIDConnectProvider", func(ctx context.Context) error {
			in := &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://operations.example"), ClientIDList: []string{"one"}}
			_, err := c.CreateOpenIDConnectProvider(ctx, in)
			return errors.Join(same("the error without keys", code(err), "ValidationError"),
				then(c.CreateOpenIDConnectProvider(ctx, in, withMembers(url.Values{"Jwks": {newIssuer(t).jwks()}})))(func(o *iam.CreateOpenIDConnectProviderOutput) error {
					return same("OpenIDConnectProviderArn", *o.OpenIDConnectProviderArn, *arn)
				}))
		}},
		{"AddClientIDToOpenIDConnectProvider", func(ctx context.Context) error {
			return done(c.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("two")}))
		}},
		{"RemoveClientIDFromOpenIDConnectProvider", func(ctx context.Context) error {
			return done(c.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("one")}))
		}},
		{"GetOpenIDConnectProvider", func(ctx context.Context) error {
			return then(c.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))(func(o *iam.GetOpenIDConnectProviderOutput) error {
				return same("ClientIDList", fmt.Sprint(o.ClientIDList), "[two]")
			})
		}},
		{"ListOpenIDConnectProviders", func(ctx context.Context) error {
			return then(c.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{}))(func(o *iam.ListOpenIDConnectProvidersOutput) error {
				return same("Arn", *o.OpenIDConnectProviderList[0].Arn, *arn)
			})
		}},
		{"DeleteOpenIDConnectProvider", func(ctx context.Context) error {
			return done(c.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))
		}},
	}
}

// iamPages are the lists that have pages, an entry a page.
func (s *goSDK) iamPages() []step {
	c, name, one := s.iam, aws.String("team"), aws.Int32(1)
	return []step{
		{"what there are two of", func(ctx context.Context) error {
			_, err1 := c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("second")})
			_, err2 := c.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("second"), AssumeRolePolicyDocument: aws.String(trustAccount)})
			_, err3 := c.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("second"), PolicyDocument: aws.String(inline)})
			_, err4 := c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("second")})
			_, err5 := c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: name, UserName: aws.String("second")})
			return errors.Join(err1, err2, err3, err4, err5)
		}},
		{"ListGroups, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.ListGroups(ctx, &iam.ListGroupsInput{MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Groups), out.Marker, nil
			})
		}},
		{"ListRoles, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.ListRoles(ctx, &iam.ListRolesInput{MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Roles), out.Marker, nil
			})
		}},
		{"ListPolicies, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal, MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Policies), out.Marker, nil
			})
		}},
		{"GetGroup, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.GetGroup(ctx, &iam.GetGroupInput{GroupName: name, MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Users), out.Marker, nil
			})
		}},
		{"ListEntitiesForPolicy, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.ListEntitiesForPolicy(ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: aws.String(managed), MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.PolicyUsers) + len(out.PolicyGroups) + len(out.PolicyRoles), out.Marker, nil
			})
		}},
		{"SimulateCustomPolicy, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.SimulateCustomPolicy(ctx, &iam.SimulateCustomPolicyInput{PolicyInputList: []string{inline}, ActionNames: []string{"kms:ListKeys", "kms:ListAliases"}, MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.EvaluationResults), out.Marker, nil
			})
		}},
		{"SimulatePrincipalPolicy, page by page", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := c.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String("arn:aws:iam::" + account + ":user/team/operations"), ActionNames: []string{"kms:ListKeys", "kms:ListAliases"}, MaxItems: one, Marker: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.EvaluationResults), out.Marker, nil
			})
		}},
		{"what there were two of", func(ctx context.Context) error {
			_, err := c.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: name, UserName: aws.String("second")})
			return err
		}},
	}
}
