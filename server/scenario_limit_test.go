package server_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// A session policy limits what a session may, never adds to it, and several add up.
func TestSessionPolicies(t *testing.T) {
	s := newStage(t)
	user := s.User("user", kmstest.Allow([]string{"sts:AssumeRole"}))
	arn := s.roleOf("role", trusts(kmstest.Account), kmstest.Allow([]string{"kms:Decrypt", "kms:Encrypt", "iam:ListUsers"}))
	describing := s.managedPolicy("describing", kmstest.Allow([]string{"kms:DescribeKey"}))
	encrypting := s.managedPolicy("encrypting", kmstest.Allow([]string{"kms:Encrypt"}))
	limited := s.assumes(user, stsv1.AssumeRoleRequest_builder{RoleArn: arn, Policy: kmstest.Allow([]string{"kms:Decrypt", "iam:ListRoles"})})
	s.may("what role and session policy allow", limited, s.decrypts())
	s.mayNot("what the role alone allows", limited, s.encrypts(), "no session policy allows")
	s.mayNot("what the session policy alone allows", limited, &iamv1.ListRolesRequest{}, "no identity-based policy allows")
	both := s.assumes(user, stsv1.AssumeRoleRequest_builder{
		RoleArn: arn, Policy: kmstest.Allow([]string{"kms:Decrypt"}), PolicyArns: []*stsv1.PolicyDescriptorType{
			stsv1.PolicyDescriptorType_builder{Arn: describing}.Build(), stsv1.PolicyDescriptorType_builder{Arn: encrypting}.Build(),
		},
	})
	s.may("what the inline session policy allows", both, s.decrypts())
	s.may("what a managed session policy allows", both, s.encrypts())
	s.mayNot("what none of them allows", both, &iamv1.ListUsersRequest{}, "no session policy allows")
	s.mayNot("what the role does not allow", both, s.describes(), "no identity-based policy allows")
	denying := s.assumes(user, stsv1.AssumeRoleRequest_builder{RoleArn: arn, Policy: strings.Replace(kmstest.Allow([]string{"*"}), `"Statement":[`, `"Statement":[{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*"},`, 1)})
	s.may("what a session policy does not deny", denying, s.decrypts())
	s.mayNot("what a session policy denies", denying, s.encrypts(), "with an explicit deny in a session policy")
	s.does("a managed session policy goes", s.door.root, iamv1.DeletePolicyRequest_builder{PolicyArn: encrypting}.Build(), nil)
	s.mayNot("what it allowed", both, s.encrypts(), "")
	s.refused("a session policy that is none", user, stsv1.AssumeRoleRequest_builder{RoleArn: arn, RoleSessionName: "session", Policy: "{}"}.Build(), "MalformedPolicyDocumentException", "")
}

// A permissions boundary limits what a user or role may, and lets administration be delegated: who may make users with a boundary only cannot go past it.
func TestPermissionsBoundaries(t *testing.T) {
	s := newStage(t)
	boundary := s.managedPolicy("boundary", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:DescribeKey"],"Resource":"*"}]}`)
	delegated := s.User("delegated", fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["iam:CreateUser","iam:CreateRole","iam:PutUserPolicy","iam:PutRolePolicy","iam:AttachUserPolicy","iam:PutUserPermissionsBoundary","iam:PutRolePermissionsBoundary"],"Resource":"*",
		 "Condition":{"StringEquals":{"iam:PermissionsBoundary":%q}}},
		{"Effect":"Allow","Action":["iam:CreateAccessKey","iam:GetUser"],"Resource":"*"}]}`, boundary))
	s.mayNot("a user without the boundary", delegated, iamv1.CreateUserRequest_builder{UserName: "free"}.Build(), "iam:CreateUser")
	s.mayNot("a user with another boundary", delegated, iamv1.CreateUserRequest_builder{UserName: "free", PermissionsBoundary: readOnly}.Build(), "iam:CreateUser")
	s.mayNot("a role without the boundary", delegated, iamv1.CreateRoleRequest_builder{RoleName: "free", AssumeRolePolicyDocument: trusts(kmstest.Account)}.Build(), "iam:CreateRole")
	s.may("a user with the boundary", delegated, iamv1.CreateUserRequest_builder{UserName: "bound", PermissionsBoundary: boundary}.Build())
	s.may("… gets a policy that allows everything", delegated, iamv1.PutUserPolicyRequest_builder{UserName: "bound", PolicyName: "all", PolicyDocument: kmstest.Allow([]string{"*"})}.Build())
	s.mayNot("… does not lose the boundary", delegated, iamv1.DeleteUserPermissionsBoundaryRequest_builder{UserName: "bound"}.Build(), "iam:DeleteUserPermissionsBoundary")
	s.mayNot("… nor gets another one", delegated, iamv1.PutUserPermissionsBoundaryRequest_builder{UserName: "bound", PermissionsBoundary: readOnly}.Build(), "iam:PutUserPermissionsBoundary")
	s.mayNot("the delegated administrator himself gets no policy, having no boundary", delegated, iamv1.PutUserPolicyRequest_builder{UserName: "delegated", PolicyName: "all", PolicyDocument: kmstest.Allow([]string{"*"})}.Build(), "iam:PutUserPolicy")
	var key iamv1.CreateAccessKeyResponse
	s.does("the bound user's access key", delegated, iamv1.CreateAccessKeyRequest_builder{UserName: "bound"}.Build(), &key)
	bound := s.door.root
	bound.AccessKeyID, bound.SecretAccessKey = key.GetAccessKey().GetAccessKeyId(), secretOf(key.GetAccessKey().GetSecretAccessKey())
	s.may("the bound user decrypts", bound, s.decrypts())
	s.mayNot("the bound user encrypts", bound, s.encrypts(), "no permissions boundary allows")
	s.mayNot("the bound user makes users", bound, iamv1.CreateUserRequest_builder{UserName: "another", PermissionsBoundary: boundary}.Build(), "no permissions boundary allows")

	arn := s.roleOf("bound", trusts(kmstest.Account), kmstest.Allow([]string{"*"}))
	s.does("a boundary for a role", s.door.root, iamv1.PutRolePermissionsBoundaryRequest_builder{RoleName: "bound", PermissionsBoundary: boundary}.Build(), nil)
	session := s.assumes(s.User("user", kmstest.Allow([]string{"*"})), stsv1.AssumeRoleRequest_builder{RoleArn: arn})
	s.may("a session within the boundary", session, s.decrypts())
	s.mayNot("a session outside of it", session, s.encrypts(), "no permissions boundary allows")
	policy := strings.Replace(keyPolicy, `"Statement":[`, `"Statement":[{"Effect":"Allow","Principal":{"AWS":["`+home+`user/bound"]},"Action":"kms:Encrypt","Resource":"*"},{"Effect":"Allow","Principal":{"AWS":["`+arn+`"]},"Action":"kms:Encrypt","Resource":"*"},`, 1)
	s.does("a key policy names user and role", s.door.root, kmsv1.PutKeyPolicyRequest_builder{KeyId: s.key.GetKeyId(), Policy: policy}.Build(), nil)
	s.may("the user, whom the key policy names: the boundary's silence does not matter", bound, s.encrypts())
	s.mayNot("the session, whose role the key policy names: it does", session, s.encrypts(), "no permissions boundary allows")
}

// organization is a stage with a member account below two units.
type organization struct {
	*stage
	rootID, upper, lower string
	member               *kmstest.Tenant
	admin                client.Credentials
	key                  *kmsv1.KeyMetadata // of the member
}

func newOrganization(t *testing.T) *organization {
	o := &organization{stage: newStage(t)}
	var roots organizationsv1.ListRootsResponse
	o.does("finding the root", o.door.root, &organizationsv1.ListRootsRequest{}, &roots)
	o.rootID = roots.GetRoots()[0].GetId()
	o.upper, o.lower = o.unit(o.rootID, "upper"), ""
	o.lower = o.unit(o.upper, "lower")
	o.member = o.Account("member")
	o.move(o.rootID, o.lower)
	o.admin = o.member.User("admin", kmstest.Allow([]string{"*"}))
	var made kmsv1.CreateKeyResponse
	o.does("a key of the member's", o.admin, &kmsv1.CreateKeyRequest{}, &made)
	o.key = made.GetKeyMetadata()
	return o
}

func (o *organization) unit(parent, name string) string {
	o.t.Helper()
	var out organizationsv1.CreateOrganizationalUnitResponse
	o.does("a unit", o.door.root, organizationsv1.CreateOrganizationalUnitRequest_builder{ParentId: parent, Name: name}.Build(), &out)
	return out.GetOrganizationalUnit().GetId()
}

func (o *organization) move(from, to string) {
	o.t.Helper()
	o.does("moving the member", o.door.root, organizationsv1.MoveAccountRequest_builder{AccountId: o.member.ID, SourceParentId: from, DestinationParentId: to}.Build(), nil)
}

func (o *organization) policy(kind organizationsv1.PolicyType, name, content string) string {
	o.t.Helper()
	var out organizationsv1.CreatePolicyResponse
	o.does("the policy "+name, o.door.root, organizationsv1.CreatePolicyRequest_builder{Name: name, Content: content, Type: kind}.Build(), &out)
	return out.GetPolicy().GetPolicySummary().GetId()
}

func (o *organization) attach(policy, target string) {
	o.t.Helper()
	o.does("attaching a policy", o.door.root, organizationsv1.AttachPolicyRequest_builder{PolicyId: policy, TargetId: target}.Build(), nil)
}

func (o *organization) detach(policy, target string) {
	o.t.Helper()
	o.does("detaching a policy", o.door.root, organizationsv1.DetachPolicyRequest_builder{PolicyId: policy, TargetId: target}.Build(), nil)
}

// Service control policies bind everybody in a member account, its root user too, wherever above it they are attached, and nobody in the management account.
func TestServiceControlPolicies(t *testing.T) {
	o := newOrganization(t)
	describe := kmsv1.DescribeKeyRequest_builder{KeyId: o.key.GetArn()}.Build()
	root, mine := o.member.Credentials(), kmsv1.DescribeKeyRequest_builder{KeyId: o.stage.key.GetArn()}.Build()
	deny := o.policy(serviceControl, "no-describing", kmstest.Deny([]string{"kms:DescribeKey"}))
	for where, target := range map[string]string{"the root": o.rootID, "the upper unit": o.upper, "the lower unit": o.lower, "the account": o.member.ID} {
		o.may("before: the member's root user", root, describe)
		o.attach(deny, target)
		o.mayNot("a Deny at "+where+" for the member's root user", root, describe, "with an explicit deny in a service control policy")
		o.mayNot("a Deny at "+where+" for the member's administrator", o.admin, describe, "with an explicit deny in a service control policy")
		o.may("a Deny at "+where+" for the management account", o.door.root, mine)
		o.detach(deny, target)
	}
	o.may("after: the member's root user", root, describe)

	some := o.policy(serviceControl, "little", kmstest.Allow([]string{"kms:DescribeKey", "sts:*"}))
	for where, target := range map[string]string{"the root": o.rootID, "the upper unit": o.upper, "the lower unit": o.lower, "the account": o.member.ID} {
		o.attach(some, target)
		o.detach(fullAccess, target)
		o.may("what a level allows, "+where, root, describe)
		o.mayNot("what a level does not allow, "+where, root, &iamv1.ListUsersRequest{}, "no service control policy allows")
		o.may("the management account, "+where, o.door.root, &iamv1.ListUsersRequest{})
		o.attach(fullAccess, target)
		o.detach(some, target)
	}
	if got := o.try(o.door.root, organizationsv1.DetachPolicyRequest_builder{PolicyId: fullAccess, TargetId: o.lower}.Build()); got.code == codes.OK {
		t.Error("the last policy of a level was detached")
	}

	o.attach(deny, o.upper)
	o.mayNot("below the unit", root, describe, "service control policy")
	o.move(o.lower, o.rootID)
	o.may("moved away from it", root, describe)
	o.move(o.rootID, o.lower)
	o.mayNot("moved back", root, describe, "service control policy")
	for what, m := range map[string]any{"a member's administrator": o.admin, "its root user": root} {
		o.mayNot(what+" manages no organization", m.(client.Credentials), organizationsv1.DetachPolicyRequest_builder{PolicyId: deny, TargetId: o.upper}.Build(), "")
	}
}

// Resource control policies bind who uses a member's keys, of whatever account he is.
func TestResourceControlPolicies(t *testing.T) {
	o := newOrganization(t)
	open := strings.Replace(strings.ReplaceAll(keyPolicy, kmstest.Account, o.member.ID), `"Statement":[`, `"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:DescribeKey","Resource":"*"},`, 1)
	o.does("a key policy for all", o.admin, kmsv1.PutKeyPolicyRequest_builder{KeyId: o.key.GetKeyId(), Policy: open}.Build(), nil)
	describe := kmsv1.DescribeKeyRequest_builder{KeyId: o.key.GetArn()}.Build()
	stranger := o.Account("stranger").User("stranger", kmstest.Allow([]string{"*"}))
	o.may("a stranger describes the key", stranger, describe)
	rcp := o.policy(organizationsv1.PolicyType_POLICY_TYPE_RESOURCE_CONTROL_POLICY, "own-only", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*",
		"Condition":{"StringNotEquals":{"aws:PrincipalAccount":"`+o.member.ID+`"}}}]}`)
	o.attach(rcp, o.upper)
	o.mayNot("a stranger, with the policy", stranger, describe, "does not exist in this Region")
	o.mayNot("the management account, with the policy", o.door.root, describe, "does not exist in this Region")
	o.may("the owner, with the policy", o.admin, describe)
	o.detach(rcp, o.upper)
	o.may("a stranger, without", stranger, describe)
	o.refused("a resource control policy that allows", o.door.root, organizationsv1.CreatePolicyRequest_builder{
		Name: "allows", Content: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}`, Type: organizationsv1.PolicyType_POLICY_TYPE_RESOURCE_CONTROL_POLICY,
	}.Build(), "MalformedPolicyDocumentException", "")
}

// A key belongs to its policy: where it does not let the account in, nobody of the account gets in, and the root user neither.
func TestKeyPolicyThatDoesNotDelegate(t *testing.T) {
	s := newStage(t)
	keeper, admin := s.User("keeper", kmstest.Allow([]string{"*"})), s.User("admin", kmstest.Allow([]string{"*"}))
	alone := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + home + `user/keeper"},"Action":"kms:*","Resource":"*"}]}`
	put := func(policy string, bypass bool) *kmsv1.PutKeyPolicyRequest {
		return kmsv1.PutKeyPolicyRequest_builder{KeyId: s.key.GetKeyId(), Policy: policy, BypassPolicyLockoutSafetyCheck: bypass}.Build()
	}
	s.refused("the root user locks himself out", s.door.root, put(alone, false), "MalformedPolicyDocumentException", "will not allow you to update the key policy")
	s.refused("… with a new key", s.door.root, kmsv1.CreateKeyRequest_builder{Policy: alone}.Build(), "MalformedPolicyDocumentException", "will not allow you")
	s.may("… by a dry run of what is safe", s.door.root, kmsv1.PutKeyPolicyRequest_builder{KeyId: s.key.GetKeyId(), Policy: keyPolicy, DryRun: true}.Build())
	s.userPolicy("admin", "no-bypass", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:PutKeyPolicy","Resource":"*","Condition":{"Bool":{"kms:BypassPolicyLockoutSafetyCheck":"true"}}}]}`)
	s.mayNot("an administrator who may not bypass the check", admin, put(alone, true), "explicit deny")
	s.may("the keeper, who stays", keeper, put(alone, false))
	s.mayNot("the root user", s.door.root, s.decrypts(), "no resource-based policy allows")
	s.mayNot("the root user, who wants the policy back", s.door.root, put(keyPolicy, true), "no resource-based policy allows")
	s.mayNot("an administrator", admin, s.describes(), "no resource-based policy allows")
	s.may("the keeper", keeper, s.decrypts())
	s.may("the keeper gives it back", keeper, put(keyPolicy, false))
	s.may("the root user", s.door.root, s.decrypts())
	s.may("who bypasses the check locks himself out", s.door.root, put(alone, true))
	s.mayNot("… and is", s.door.root, s.decrypts(), "no resource-based policy allows")
}
