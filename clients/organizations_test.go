package clients

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"
)

// organizationsOperations calls every operation of Organizations that kmsd has.
func organizationsOperations(t *testing.T, s *goSDK) {
	o := &organization{goSDK: s}
	s.steps(t, o.accounts())
	s.steps(t, o.units())
	s.steps(t, o.policies())
	s.steps(t, o.end())
	s.run(t, "ListOrganizationalUnitsForParent pages", func(t *testing.T) {
		for i := range 5 {
			must(s.orgs.CreateOrganizationalUnit(t.Context(), &organizations.CreateOrganizationalUnitInput{ParentId: o.root, Name: aws.String(fmt.Sprint("page", i))}))(t)
		}
		p := organizations.NewListOrganizationalUnitsForParentPaginator(s.orgs, &organizations.ListOrganizationalUnitsForParentInput{ParentId: o.root, MaxResults: aws.Int32(2)})
		pages(t, 5, p.HasMorePages, func() ([]types.OrganizationalUnit, error) {
			o, err := p.NextPage(t.Context())
			return entries(o, err, func() []types.OrganizationalUnit { return o.OrganizationalUnits })
		}, func(u types.OrganizationalUnit) string { return *u.Id })
	})
	s.steps(t, o.pages())
	o.errors(t)
}

// organization is what the steps have learnt and made.
type organization struct {
	*goSDK
	root, member, unit, policy *string
}

func (o *organization) accounts() []step {
	return []step{
		{"DescribeOrganization", func(ctx context.Context) error {
			return then(o.orgs.DescribeOrganization(ctx, &organizations.DescribeOrganizationInput{}))(func(out *organizations.DescribeOrganizationOutput) error {
				return errors.Join(same("MasterAccountId", *out.Organization.MasterAccountId, account), same("FeatureSet", out.Organization.FeatureSet, types.OrganizationFeatureSetAll))
			})
		}},
		{"ListRoots", func(ctx context.Context) error {
			return then(o.orgs.ListRoots(ctx, &organizations.ListRootsInput{}))(func(out *organizations.ListRootsOutput) error {
				o.root = out.Roots[0].Id
				return same("roots", len(out.Roots), 1)
			})
		}},
		{"CreateAccount", func(ctx context.Context) error {
			in := &organizations.CreateAccountInput{AccountName: aws.String("member"), Email: aws.String("member@example.com")}
			return then(o.orgs.CreateAccount(ctx, in))(func(out *organizations.CreateAccountOutput) error {
				o.member = out.CreateAccountStatus.AccountId
				return errors.Join(same("State", out.CreateAccountStatus.State, types.CreateAccountStateSucceeded), same("length of AccountId", len(aws.ToString(o.member)), 12))
			})
		}},
		{"DescribeAccount", func(ctx context.Context) error {
			return then(o.orgs.DescribeAccount(ctx, &organizations.DescribeAccountInput{AccountId: o.member}))(func(out *organizations.DescribeAccountOutput) error {
				return errors.Join(same("Name", *out.Account.Name, "member"), same("Email", *out.Account.Email, "member@example.com"),
					same("Status", out.Account.Status, types.AccountStatusActive), same("State", out.Account.State, types.AccountStateActive))
			})
		}},
		{"ListAccounts", func(ctx context.Context) error {
			return then(o.orgs.ListAccounts(ctx, &organizations.ListAccountsInput{}))(func(out *organizations.ListAccountsOutput) error {
				return same("accounts", len(out.Accounts), 2)
			})
		}},
		{"ListAccountsForParent", func(ctx context.Context) error {
			return then(o.orgs.ListAccountsForParent(ctx, &organizations.ListAccountsForParentInput{ParentId: o.root}))(func(out *organizations.ListAccountsForParentOutput) error {
				return same("accounts", len(out.Accounts), 2)
			})
		}},
	}
}

func (o *organization) units() []step {
	return []step{
		{"CreateOrganizationalUnit", func(ctx context.Context) error {
			in := &organizations.CreateOrganizationalUnitInput{ParentId: o.root, Name: aws.String("team")}
			return then(o.orgs.CreateOrganizationalUnit(ctx, in))(func(out *organizations.CreateOrganizationalUnitOutput) error {
				o.unit = out.OrganizationalUnit.Id
				return same("Name", *out.OrganizationalUnit.Name, "team")
			})
		}},
		{"UpdateOrganizationalUnit", func(ctx context.Context) error {
			return done(o.orgs.UpdateOrganizationalUnit(ctx, &organizations.UpdateOrganizationalUnitInput{OrganizationalUnitId: o.unit, Name: aws.String("another")}))
		}},
		{"DescribeOrganizationalUnit", func(ctx context.Context) error {
			return then(o.orgs.DescribeOrganizationalUnit(ctx, &organizations.DescribeOrganizationalUnitInput{OrganizationalUnitId: o.unit}))(func(out *organizations.DescribeOrganizationalUnitOutput) error {
				return same("Name", *out.OrganizationalUnit.Name, "another")
			})
		}},
		{"MoveAccount", func(ctx context.Context) error {
			return done(o.orgs.MoveAccount(ctx, &organizations.MoveAccountInput{AccountId: o.member, SourceParentId: o.root, DestinationParentId: o.unit}))
		}},
		{"ListOrganizationalUnitsForParent", func(ctx context.Context) error {
			return then(o.orgs.ListOrganizationalUnitsForParent(ctx, &organizations.ListOrganizationalUnitsForParentInput{ParentId: o.root}))(func(out *organizations.ListOrganizationalUnitsForParentOutput) error {
				return same("units", len(out.OrganizationalUnits), 1)
			})
		}},
		{"ListChildren", func(ctx context.Context) error {
			return then(o.orgs.ListChildren(ctx, &organizations.ListChildrenInput{ParentId: o.unit, ChildType: types.ChildTypeAccount}))(func(out *organizations.ListChildrenOutput) error {
				return errors.Join(same("Id", *out.Children[0].Id, *o.member), same("Type", out.Children[0].Type, types.ChildTypeAccount))
			})
		}},
		{"ListParents", func(ctx context.Context) error {
			return then(o.orgs.ListParents(ctx, &organizations.ListParentsInput{ChildId: o.member}))(func(out *organizations.ListParentsOutput) error {
				return errors.Join(same("Id", *out.Parents[0].Id, *o.unit), same("Type", out.Parents[0].Type, types.ParentTypeOrganizationalUnit))
			})
		}},
	}
}

func (o *organization) policies() []step {
	const content = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:ScheduleKeyDeletion","Resource":"*"}]}`
	filter := types.PolicyTypeServiceControlPolicy
	return []step{
		{"CreatePolicy", func(ctx context.Context) error {
			in := &organizations.CreatePolicyInput{Name: aws.String("keep"), Description: aws.String(""), Content: aws.String(content), Type: filter}
			return then(o.orgs.CreatePolicy(ctx, in))(func(out *organizations.CreatePolicyOutput) error {
				o.policy = out.Policy.PolicySummary.Id
				return errors.Join(same("Content", *out.Policy.Content, content), same("Type", out.Policy.PolicySummary.Type, filter))
			})
		}},
		{"UpdatePolicy", func(ctx context.Context) error {
			return done(o.orgs.UpdatePolicy(ctx, &organizations.UpdatePolicyInput{PolicyId: o.policy, Description: aws.String("keys stay")}))
		}},
		{"DescribePolicy", func(ctx context.Context) error {
			return then(o.orgs.DescribePolicy(ctx, &organizations.DescribePolicyInput{PolicyId: o.policy}))(func(out *organizations.DescribePolicyOutput) error {
				return errors.Join(same("Description", *out.Policy.PolicySummary.Description, "keys stay"), same("AwsManaged", out.Policy.PolicySummary.AwsManaged, false))
			})
		}},
		{"ListPolicies", func(ctx context.Context) error {
			return done(o.orgs.ListPolicies(ctx, &organizations.ListPoliciesInput{Filter: filter}))
		}},
		{"AttachPolicy", func(ctx context.Context) error {
			return done(o.orgs.AttachPolicy(ctx, &organizations.AttachPolicyInput{PolicyId: o.policy, TargetId: o.unit}))
		}},
		{"ListPoliciesForTarget", func(ctx context.Context) error {
			return then(o.orgs.ListPoliciesForTarget(ctx, &organizations.ListPoliciesForTargetInput{TargetId: o.unit, Filter: filter}))(func(out *organizations.ListPoliciesForTargetOutput) error {
				if len(out.Policies) == 0 {
					return errors.New("no policies")
				}
				return nil
			})
		}},
		{"ListTargetsForPolicy", func(ctx context.Context) error {
			return then(o.orgs.ListTargetsForPolicy(ctx, &organizations.ListTargetsForPolicyInput{PolicyId: o.policy}))(func(out *organizations.ListTargetsForPolicyOutput) error {
				return errors.Join(same("TargetId", *out.Targets[0].TargetId, *o.unit), same("Type", out.Targets[0].Type, types.TargetTypeOrganizationalUnit))
			})
		}},
	}
}

// end takes apart what the steps before have made.
func (o *organization) end() []step {
	return []step{
		{"DetachPolicy", func(ctx context.Context) error {
			return done(o.orgs.DetachPolicy(ctx, &organizations.DetachPolicyInput{PolicyId: o.policy, TargetId: o.unit}))
		}},
		{"DeletePolicy", func(ctx context.Context) error {
			return done(o.orgs.DeletePolicy(ctx, &organizations.DeletePolicyInput{PolicyId: o.policy}))
		}},
		{"DeleteOrganizationalUnit", func(ctx context.Context) error {
			if err := done(o.orgs.MoveAccount(ctx, &organizations.MoveAccountInput{AccountId: o.member, SourceParentId: o.unit, DestinationParentId: o.root})); err != nil {
				return err
			}
			return done(o.orgs.DeleteOrganizationalUnit(ctx, &organizations.DeleteOrganizationalUnitInput{OrganizationalUnitId: o.unit}))
		}},
		{"CloseAccount", func(ctx context.Context) error {
			return done(o.orgs.CloseAccount(ctx, &organizations.CloseAccountInput{AccountId: o.member}))
		}},
	}
}

// pages are the lists again, an entry a page.
func (o *organization) pages() []step {
	one := aws.Int32(1)
	return []step{
		{"CreatePolicy, another", func(ctx context.Context) error {
			in := &organizations.CreatePolicyInput{
				Name: aws.String("pages"), Description: aws.String("d"), Type: types.PolicyTypeServiceControlPolicy,
				Content: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:ReplicateKey","Resource":"*"}]}`),
			}
			return then(o.orgs.CreatePolicy(ctx, in))(func(out *organizations.CreatePolicyOutput) error {
				o.policy = out.Policy.PolicySummary.Id
				return errors.Join(done(o.orgs.AttachPolicy(ctx, &organizations.AttachPolicyInput{PolicyId: o.policy, TargetId: o.root})),
					done(o.orgs.AttachPolicy(ctx, &organizations.AttachPolicyInput{PolicyId: o.policy, TargetId: aws.String(account)})))
			})
		}},
		{"ListAccounts", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := o.orgs.ListAccounts(ctx, &organizations.ListAccountsInput{MaxResults: one, NextToken: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Accounts), out.NextToken, nil
			})
		}},
		{"ListAccountsForParent", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := o.orgs.ListAccountsForParent(ctx, &organizations.ListAccountsForParentInput{ParentId: o.root, MaxResults: one, NextToken: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Accounts), out.NextToken, nil
			})
		}},
		{"ListChildren", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := o.orgs.ListChildren(ctx, &organizations.ListChildrenInput{ParentId: o.root, ChildType: types.ChildTypeOrganizationalUnit, MaxResults: one, NextToken: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Children), out.NextToken, nil
			})
		}},
		{"ListPolicies", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := o.orgs.ListPolicies(ctx, &organizations.ListPoliciesInput{Filter: types.PolicyTypeServiceControlPolicy, MaxResults: one, NextToken: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Policies), out.NextToken, nil
			})
		}},
		{"ListPoliciesForTarget", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := o.orgs.ListPoliciesForTarget(ctx, &organizations.ListPoliciesForTargetInput{TargetId: o.root, Filter: types.PolicyTypeServiceControlPolicy, MaxResults: one, NextToken: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Policies), out.NextToken, nil
			})
		}},
		{"ListTargetsForPolicy", func(ctx context.Context) error {
			return tokens(func(token *string) (int, *string, error) {
				out, err := o.orgs.ListTargetsForPolicy(ctx, &organizations.ListTargetsForPolicyInput{PolicyId: o.policy, MaxResults: one, NextToken: token})
				if err != nil {
					return 0, nil, err
				}
				return len(out.Targets), out.NextToken, nil
			})
		}},
	}
}

// errors wants the errors of Organizations that a program branches on, as the SDK's types.
func (o *organization) errors(t *testing.T) {
	for _, c := range []struct {
		name string
		is   func(error) bool
		call func(ctx context.Context) error
	}{
		{"AccountNotFoundException", typed[*types.AccountNotFoundException](), func(ctx context.Context) error {
			return done(o.orgs.DescribeAccount(ctx, &organizations.DescribeAccountInput{AccountId: aws.String("000000000000")}))
		}},
		{"DuplicateOrganizationalUnitException", typed[*types.DuplicateOrganizationalUnitException](), func(ctx context.Context) error {
			return done(o.orgs.CreateOrganizationalUnit(ctx, &organizations.CreateOrganizationalUnitInput{ParentId: o.root, Name: aws.String("page0")}))
		}},
		{"InvalidInputException", typed[*types.InvalidInputException](), func(ctx context.Context) error {
			return done(o.orgs.ListAccounts(ctx, &organizations.ListAccountsInput{MaxResults: aws.Int32(21)}))
		}},
		{"AccessDeniedException", typed[*types.AccessDeniedException](), func(ctx context.Context) error {
			c := organizations.NewFromConfig(o.as(o.user(t, "no-organizations").provider()))
			return done(c.ListRoots(ctx, &organizations.ListRootsInput{}))
		}},
	} {
		o.run(t, c.name, func(t *testing.T) {
			if err := c.call(t.Context()); !c.is(err) {
				t.Errorf("error %v, want a %s", err, c.name)
			}
		})
	}
}
