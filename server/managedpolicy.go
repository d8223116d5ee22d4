package server

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// awsPolicies is the account, so to say, of the managed policies that come with kmsd.
const awsPolicies = "aws"

func managedOf(p iam.Policy, use iam.PolicyUse) *iamv1.Policy {
	return iamv1.Policy_builder{
		PolicyName: p.Name, PolicyId: p.ID, Arn: p.ARN, Path: p.Path, DefaultVersionId: p.DefaultVersion, Description: p.Description,
		AttachmentCount: int32(use.Attached), PermissionsBoundaryUsageCount: int32(use.Boundary),
		CreateDate: timestamppb.New(p.Created), UpdateDate: timestamppb.New(p.Updated),
	}.Build()
}

func versionOf(v iam.PolicyVersion, document bool) *iamv1.PolicyVersion {
	out := iamv1.PolicyVersion_builder{VersionId: v.ID, IsDefaultVersion: v.Default, CreateDate: timestamppb.New(v.Created)}
	if document {
		out.Document = v.Document
	}
	return out.Build()
}

func checkCreatePolicy(v *violations, r *iamv1.CreatePolicyRequest) {
	v.inline(r.GetPolicyName())
	v.text("path", r.GetPath(), 0, maxPath)
	v.document("policy_document", r.GetPolicyDocument())
	v.text("description", r.GetDescription(), 0, maxEntityText)
}

func createPolicy(c *call, r *iamv1.CreatePolicyRequest) (*iamv1.CreatePolicyResponse, error) {
	c.notePolicy(r.GetPolicyDocument())
	arn := c.people.NewPolicyARN(c.account(), pathOr(r.GetPath()), r.GetPolicyName())
	out := iamv1.CreatePolicyResponse_builder{}
	err := c.changeBy(func() (authz.Grant, error) { return c.onNew(authz.IAMCreatePolicy, "POLICY", arn) }, func(people *iam.IAM, g authz.Grant) error {
		c.lint(authz.IdentityPolicy, r.GetPolicyDocument())
		p, err := people.CreatePolicy(g, c.account(), iam.NewPolicy{Name: r.GetPolicyName(), Path: r.GetPath(), Description: r.GetDescription(), Document: r.GetPolicyDocument()})
		if err != nil {
			return err
		}
		out.Policy, out.Findings = managedOf(p, iam.PolicyUse{}), c.findings
		return nil
	})
	return out.Build(), err
}

func checkGetPolicy(v *violations, r *iamv1.GetPolicyRequest) {
	v.policyARN("policy_arn", r.GetPolicyArn())
}

// managed is a managed policy that the caller's account can see: one of its own, or one that comes with kmsd.
func (c *call) managed(arn string) (iam.Policy, error) {
	p, ok := c.people.Policy(arn)
	if !ok || p.Account != c.account() && p.Account != awsPolicies {
		return iam.Policy{}, fmt.Errorf("%w: there is no managed policy of this ARN", iam.ErrNoSuchEntity)
	}
	return p, nil
}

func getPolicy(c *call, r *iamv1.GetPolicyRequest) (*iamv1.GetPolicyResponse, error) {
	if _, err := c.onPolicy(authz.IAMGetPolicy, r.GetPolicyArn()); err != nil {
		return nil, err
	}
	p, err := c.managed(r.GetPolicyArn())
	if err != nil {
		return nil, err
	}
	return iamv1.GetPolicyResponse_builder{Policy: managedOf(p, c.people.PolicyUse(c.account())[p.ID])}.Build(), nil
}

func checkListPolicies(v *violations, r *iamv1.ListPoliciesRequest) {
	v.enum("scope", int32(r.GetScope()), int32(iamv1.PolicyScopeType_POLICY_SCOPE_TYPE_LOCAL))
	v.text("path_prefix", r.GetPathPrefix(), 0, maxPath)
	v.limit("max_items", r.GetMaxItems(), largestItems)
}

// listPolicies lists those of kmsd before those of the account. A position is the account and the name behind it.
func listPolicies(c *call, r *iamv1.ListPoliciesRequest) (*iamv1.ListPoliciesResponse, error) {
	if _, err := c.allow(authz.IAMListPolicies, nothing); err != nil {
		return nil, err
	}
	scope := r.GetPathPrefix() + "\x00" + strconv.Itoa(int(r.GetScope())) + strconv.FormatBool(r.GetOnlyAttached())
	position, err := c.position(scope, r.GetMarker())
	if err != nil {
		return nil, err
	}
	use := c.people.PolicyUse(c.account())
	keep := func(p iam.Policy) bool {
		return strings.HasPrefix(p.Path, r.GetPathPrefix()) && (!r.GetOnlyAttached() || use[p.ID].Attached > 0)
	}
	size := pageSize(r.GetMaxItems(), usualItems)
	out := iamv1.ListPoliciesResponse_builder{}
	for _, owner := range owners(r.GetScope(), c.account()) {
		after := ""
		if position != "" {
			from, name, _ := strings.Cut(position, "/")
			if from != owner {
				continue
			}
			after, position = name, ""
		}
		list, more := pageThrough(after, size-len(out.Policies),
			func(after string) ([]iam.Policy, bool) { return c.people.Policies(owner, after, largestItems) },
			func(p iam.Policy) string { return p.Name }, keep)
		for _, p := range list {
			out.Policies = append(out.Policies, managedOf(p, use[p.ID]))
			after = p.Name
		}
		if more {
			out.IsTruncated, out.Marker = true, c.marker(scope, owner+"/"+after)
			break
		}
	}
	return out.Build(), nil
}

// owners are the accounts whose policies a scope is about, so to say, in the order in which they are listed.
func owners(scope iamv1.PolicyScopeType, account string) []string {
	switch scope {
	case iamv1.PolicyScopeType_POLICY_SCOPE_TYPE_AWS:
		return []string{awsPolicies}
	case iamv1.PolicyScopeType_POLICY_SCOPE_TYPE_LOCAL:
		return []string{account}
	}
	return []string{awsPolicies, account}
}

func checkDeletePolicy(v *violations, r *iamv1.DeletePolicyRequest) {
	v.policyARN("policy_arn", r.GetPolicyArn())
}

func deletePolicy(c *call, r *iamv1.DeletePolicyRequest) (*iamv1.DeletePolicyResponse, error) {
	return &iamv1.DeletePolicyResponse{}, c.changePolicy(authz.IAMDeletePolicy, r.GetPolicyArn(), func(people *iam.IAM, g authz.Grant) error {
		return people.DeletePolicy(g, c.account(), r.GetPolicyArn())
	})
}

func (v *violations) policyVersion(arn, version string) {
	v.policyARN("policy_arn", arn)
	v.text("version_id", version, 1, maxPolicyName)
}

func checkCreatePolicyVersion(v *violations, r *iamv1.CreatePolicyVersionRequest) {
	v.policyARN("policy_arn", r.GetPolicyArn())
	v.document("policy_document", r.GetPolicyDocument())
}

func createPolicyVersion(c *call, r *iamv1.CreatePolicyVersionRequest) (*iamv1.CreatePolicyVersionResponse, error) {
	c.notePolicy(r.GetPolicyDocument())
	c.param(audit.Bool("setAsDefault", r.GetSetAsDefault()))
	out := iamv1.CreatePolicyVersionResponse_builder{}
	err := c.changePolicy(authz.IAMCreatePolicyVersion, r.GetPolicyArn(), func(people *iam.IAM, g authz.Grant) error {
		c.lint(authz.IdentityPolicy, r.GetPolicyDocument())
		version, err := people.CreatePolicyVersion(g, c.account(), r.GetPolicyArn(), r.GetPolicyDocument(), r.GetSetAsDefault())
		if err != nil {
			return err
		}
		out.PolicyVersion, out.Findings = versionOf(version, false), c.findings
		return nil
	})
	return out.Build(), err
}

func checkGetPolicyVersion(v *violations, r *iamv1.GetPolicyVersionRequest) {
	v.policyVersion(r.GetPolicyArn(), r.GetVersionId())
}

func getPolicyVersion(c *call, r *iamv1.GetPolicyVersionRequest) (*iamv1.GetPolicyVersionResponse, error) {
	g, err := c.onPolicy(authz.IAMGetPolicyVersion, r.GetPolicyArn())
	if err != nil {
		return nil, err
	}
	version, err := c.people.PolicyVersion(g, c.account(), r.GetPolicyArn(), r.GetVersionId())
	if err != nil {
		return nil, err
	}
	return iamv1.GetPolicyVersionResponse_builder{PolicyVersion: versionOf(version, true)}.Build(), nil
}

func checkListPolicyVersions(v *violations, r *iamv1.ListPolicyVersionsRequest) {
	v.policyARN("policy_arn", r.GetPolicyArn())
}

func listPolicyVersions(c *call, r *iamv1.ListPolicyVersionsRequest) (*iamv1.ListPolicyVersionsResponse, error) {
	g, err := c.onPolicy(authz.IAMListPolicyVersions, r.GetPolicyArn())
	if err != nil {
		return nil, err
	}
	versions, err := c.people.ListPolicyVersions(g, c.account(), r.GetPolicyArn())
	if err != nil {
		return nil, err
	}
	out := iamv1.ListPolicyVersionsResponse_builder{}
	for _, version := range versions {
		out.Versions = append(out.Versions, versionOf(version, false))
	}
	return out.Build(), nil
}

func checkDeletePolicyVersion(v *violations, r *iamv1.DeletePolicyVersionRequest) {
	v.policyVersion(r.GetPolicyArn(), r.GetVersionId())
}

func deletePolicyVersion(c *call, r *iamv1.DeletePolicyVersionRequest) (*iamv1.DeletePolicyVersionResponse, error) {
	c.param(audit.String("versionId", r.GetVersionId()))
	return &iamv1.DeletePolicyVersionResponse{}, c.changePolicy(authz.IAMDeletePolicyVersion, r.GetPolicyArn(), func(people *iam.IAM, g authz.Grant) error {
		return people.DeletePolicyVersion(g, c.account(), r.GetPolicyArn(), r.GetVersionId())
	})
}

func checkSetDefaultPolicyVersion(v *violations, r *iamv1.SetDefaultPolicyVersionRequest) {
	v.policyVersion(r.GetPolicyArn(), r.GetVersionId())
}

func setDefaultPolicyVersion(c *call, r *iamv1.SetDefaultPolicyVersionRequest) (*iamv1.SetDefaultPolicyVersionResponse, error) {
	c.param(audit.String("versionId", r.GetVersionId()))
	return &iamv1.SetDefaultPolicyVersionResponse{}, c.changePolicy(authz.IAMSetDefaultPolicyVersion, r.GetPolicyArn(), func(people *iam.IAM, g authz.Grant) error {
		return people.SetDefaultPolicyVersion(g, c.account(), r.GetPolicyArn(), r.GetVersionId())
	})
}

func checkListEntitiesForPolicy(v *violations, r *iamv1.ListEntitiesForPolicyRequest) {
	v.policyARN("policy_arn", r.GetPolicyArn())
	v.text("path_prefix", r.GetPathPrefix(), 0, maxPath)
	v.enum("entity_filter", int32(r.GetEntityFilter()), int32(iamv1.EntityType_ENTITY_TYPE_GROUP))
	v.enum("policy_usage_filter", int32(r.GetPolicyUsageFilter()), int32(iamv1.PolicyUsageType_POLICY_USAGE_TYPE_PERMISSIONS_BOUNDARY))
	v.limit("max_items", r.GetMaxItems(), largestItems)
}

// holders are the entities that have a policy and that a request asks for, in one list.
type holder struct {
	kind iamv1.EntityType
	iam.PolicyEntity
}

func holdersOf(e iam.PolicyEntities, r *iamv1.ListEntitiesForPolicyRequest) (list []holder) {
	permissions := r.GetPolicyUsageFilter() != iamv1.PolicyUsageType_POLICY_USAGE_TYPE_PERMISSIONS_BOUNDARY
	boundaries := r.GetPolicyUsageFilter() != iamv1.PolicyUsageType_POLICY_USAGE_TYPE_PERMISSIONS_POLICY
	seen := map[string]bool{}
	add := func(kind iamv1.EntityType, wanted bool, entities []iam.PolicyEntity) {
		if !wanted || r.GetEntityFilter() != iamv1.EntityType_ENTITY_TYPE_UNSPECIFIED && r.GetEntityFilter() != kind {
			return
		}
		for _, one := range entities {
			if !seen[one.ID] && strings.HasPrefix(one.Path, r.GetPathPrefix()) {
				seen[one.ID] = true
				list = append(list, holder{kind, one})
			}
		}
	}
	add(iamv1.EntityType_ENTITY_TYPE_GROUP, permissions, e.Groups)
	add(iamv1.EntityType_ENTITY_TYPE_USER, permissions, e.Users)
	add(iamv1.EntityType_ENTITY_TYPE_USER, boundaries, e.BoundedUsers)
	add(iamv1.EntityType_ENTITY_TYPE_ROLE, permissions, e.Roles)
	add(iamv1.EntityType_ENTITY_TYPE_ROLE, boundaries, e.BoundedRoles)
	return list
}

func listEntitiesForPolicy(c *call, r *iamv1.ListEntitiesForPolicyRequest) (*iamv1.ListEntitiesForPolicyResponse, error) {
	g, err := c.onPolicy(authz.IAMListEntitiesForPolicy, r.GetPolicyArn())
	if err != nil {
		return nil, err
	}
	entities, err := c.people.PolicyEntities(g, c.account(), r.GetPolicyArn())
	if err != nil {
		return nil, err
	}
	after, err := c.position(r.GetPolicyArn(), r.GetMarker())
	if err != nil {
		return nil, err
	}
	list := holdersOf(entities, r)
	for i, one := range list { // go on behind the last one of the page before
		if after != "" && one.ID == after {
			list = list[i+1:]
			break
		}
	}
	out := iamv1.ListEntitiesForPolicyResponse_builder{}
	if size := pageSize(r.GetMaxItems(), usualItems); len(list) > size {
		list = list[:size]
		out.IsTruncated, out.Marker = true, c.marker(r.GetPolicyArn(), list[size-1].ID)
	}
	for _, one := range list {
		switch one.kind {
		case iamv1.EntityType_ENTITY_TYPE_GROUP:
			out.PolicyGroups = append(out.PolicyGroups, iamv1.PolicyGroup_builder{GroupName: one.Name, GroupId: one.ID}.Build())
		case iamv1.EntityType_ENTITY_TYPE_USER:
			out.PolicyUsers = append(out.PolicyUsers, iamv1.PolicyUser_builder{UserName: one.Name, UserId: one.ID}.Build())
		default:
			out.PolicyRoles = append(out.PolicyRoles, iamv1.PolicyRole_builder{RoleName: one.Name, RoleId: one.ID}.Build())
		}
	}
	return out.Build(), nil
}
