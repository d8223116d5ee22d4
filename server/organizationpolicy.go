package server

import (
	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
)

// policyKinds :: type in the API → kind. It is never written.
var policyKinds = map[organizationsv1.PolicyType]authz.PolicyKind{
	organizationsv1.PolicyType_POLICY_TYPE_SERVICE_CONTROL_POLICY:  authz.ServiceControlPolicy,
	organizationsv1.PolicyType_POLICY_TYPE_RESOURCE_CONTROL_POLICY: authz.ResourceControlPolicy,
}

// policyTypes :: kind → type in the API. It is never written.
var policyTypes = map[authz.PolicyKind]organizationsv1.PolicyType{
	authz.ServiceControlPolicy:  organizationsv1.PolicyType_POLICY_TYPE_SERVICE_CONTROL_POLICY,
	authz.ResourceControlPolicy: organizationsv1.PolicyType_POLICY_TYPE_RESOURCE_CONTROL_POLICY,
}

func (v *violations) policyType(field string, t organizationsv1.PolicyType) {
	if _, ok := policyKinds[t]; !ok {
		v.add(field, "must be SERVICE_CONTROL_POLICY or RESOURCE_CONTROL_POLICY")
	}
}

// policyTypeFact tells conditions of which type a policy is.
func (c *call) policyTypeFact(k authz.PolicyKind) {
	names := map[authz.PolicyKind]string{authz.ServiceControlPolicy: "SERVICE_CONTROL_POLICY", authz.ResourceControlPolicy: "RESOURCE_CONTROL_POLICY"}
	if name, ok := names[k]; ok {
		c.facts.Set(authz.CtxOrganizationsPolicyType, name)
	}
}

// aboutPolicy tells conditions about a policy of the organization, if it is there, and returns its ARN.
func (c *call) aboutPolicy(id string) string {
	c.facts.Set(authz.CtxOrganizationsPolicyID, id)
	if p, err := c.people.OrgPolicy(id); err == nil {
		c.policyTypeFact(p.Type)
	}
	return c.people.OrgPolicyARN(id)
}

func summaryOf(p iam.OrgPolicy) *organizationsv1.PolicySummary {
	return organizationsv1.PolicySummary_builder{
		Id: p.ID, Arn: p.ARN, Name: p.Name, Description: p.Description, Type: policyTypes[p.Type], AwsManaged: p.AWSManaged,
	}.Build()
}

func orgPolicyOf(p iam.OrgPolicy) *organizationsv1.Policy {
	return organizationsv1.Policy_builder{PolicySummary: summaryOf(p), Content: p.Content}.Build()
}

func checkCreateOrgPolicy(v *violations, r *organizationsv1.CreatePolicyRequest) {
	v.text("name", r.GetName(), 1, orgText)
	v.text("description", r.GetDescription(), 0, 4*orgText)
	v.text("content", r.GetContent(), 1, maxDocument)
	v.policyType("type", r.GetType())
}

func createOrgPolicy(c *call, r *organizationsv1.CreatePolicyRequest) (*organizationsv1.CreatePolicyResponse, error) {
	kind := policyKinds[r.GetType()]
	c.policyTypeFact(kind)
	c.param(audit.String("name", r.GetName()))
	c.notePolicy(r.GetContent())
	g, err := c.onAnything(authz.OrganizationsCreatePolicy)
	if err != nil {
		return nil, err
	}
	c.lint(kind, r.GetContent())
	people, err := c.changingPeople()
	if err != nil {
		return nil, err
	}
	p, err := people.CreateOrgPolicy(g, iam.CreateOrgPolicy{Name: r.GetName(), Description: r.GetDescription(), Content: r.GetContent(), Type: kind})
	if err != nil {
		return nil, err
	}
	c.touched("POLICY", p.ARN, c.account(), "")
	return organizationsv1.CreatePolicyResponse_builder{Policy: orgPolicyOf(p), Findings: c.findings}.Build(), nil
}

func checkUpdateOrgPolicy(v *violations, r *organizationsv1.UpdatePolicyRequest) {
	v.orgID("policy_id", r.GetPolicyId())
	v.text("name", r.GetName(), 0, orgText)
	v.text("description", r.GetDescription(), 0, 4*orgText)
	v.text("content", r.GetContent(), 0, maxDocument)
}

func updateOrgPolicy(c *call, r *organizationsv1.UpdatePolicyRequest) (*organizationsv1.UpdatePolicyResponse, error) {
	change := iam.UpdateOrgPolicy{ID: r.GetPolicyId(), Name: r.GetName(), Content: r.GetContent()}
	if r.HasDescription() {
		description := r.GetDescription()
		change.Description = &description
	}
	if r.GetContent() != "" {
		c.notePolicy(r.GetContent())
	}
	out := organizationsv1.UpdatePolicyResponse_builder{}
	err := c.changeOrganization(authz.OrganizationsUpdatePolicy, "POLICY", c.aboutPolicy(r.GetPolicyId()), func(people *iam.IAM, g authz.Grant) error {
		if old, err := c.people.OrgPolicy(r.GetPolicyId()); err == nil && r.GetContent() != "" {
			c.lint(old.Type, r.GetContent())
		}
		p, err := people.UpdateOrgPolicy(g, change)
		out.Policy, out.Findings = orgPolicyOf(p), c.findings
		return err
	})
	return out.Build(), err
}

func checkDeleteOrgPolicy(v *violations, r *organizationsv1.DeletePolicyRequest) {
	v.orgID("policy_id", r.GetPolicyId())
}

func deleteOrgPolicy(c *call, r *organizationsv1.DeletePolicyRequest) (*organizationsv1.DeletePolicyResponse, error) {
	err := c.changeOrganization(authz.OrganizationsDeletePolicy, "POLICY", c.aboutPolicy(r.GetPolicyId()), func(people *iam.IAM, g authz.Grant) error {
		return people.DeleteOrgPolicy(g, r.GetPolicyId())
	})
	return &organizationsv1.DeletePolicyResponse{}, err
}

func checkDescribeOrgPolicy(v *violations, r *organizationsv1.DescribePolicyRequest) {
	v.orgID("policy_id", r.GetPolicyId())
}

func describeOrgPolicy(c *call, r *organizationsv1.DescribePolicyRequest) (*organizationsv1.DescribePolicyResponse, error) {
	if _, err := c.onOrganization(authz.OrganizationsDescribePolicy, "POLICY", c.aboutPolicy(r.GetPolicyId())); err != nil {
		return nil, err
	}
	p, err := c.people.OrgPolicy(r.GetPolicyId())
	if err != nil {
		return nil, err
	}
	return organizationsv1.DescribePolicyResponse_builder{Policy: orgPolicyOf(p)}.Build(), nil
}

func checkListOrgPolicies(v *violations, r *organizationsv1.ListPoliciesRequest) {
	v.policyType("filter", r.GetFilter())
	v.orgPage(r.GetMaxResults())
}

func listOrgPolicies(c *call, r *organizationsv1.ListPoliciesRequest) (*organizationsv1.ListPoliciesResponse, error) {
	kind := policyKinds[r.GetFilter()]
	c.policyTypeFact(kind)
	after, err := c.orgList(authz.OrganizationsListPolicies, "", "", r.GetNextToken())
	if err != nil {
		return nil, err
	}
	page, more, err := c.people.OrgPolicies(kind, after, pageSize(r.GetMaxResults(), usualOrgPage))
	if err != nil {
		return nil, err
	}
	out := organizationsv1.ListPoliciesResponse_builder{}
	for _, p := range page {
		out.Policies = append(out.Policies, summaryOf(p))
		after = p.ID
	}
	out.NextToken = c.nextToken(more, "", after)
	return out.Build(), nil
}

// attaching asks for an action on a policy and on what it is attached to, and makes the change.
func (c *call) attaching(a authz.Action, policyID, targetID string, change func(people *iam.IAM, onPolicy, onTarget authz.Grant) error) error {
	onPolicy, err := c.onOrganization(a, "POLICY", c.aboutPolicy(policyID))
	if err != nil {
		return err
	}
	return c.changeOrganization(a, "TARGET", c.people.TargetARN(targetID), func(people *iam.IAM, onTarget authz.Grant) error {
		return change(people, onPolicy, onTarget)
	})
}

func checkAttachOrgPolicy(v *violations, r *organizationsv1.AttachPolicyRequest) {
	v.orgID("policy_id", r.GetPolicyId())
	v.orgID("target_id", r.GetTargetId())
}

func attachOrgPolicy(c *call, r *organizationsv1.AttachPolicyRequest) (*organizationsv1.AttachPolicyResponse, error) {
	err := c.attaching(authz.OrganizationsAttachPolicy, r.GetPolicyId(), r.GetTargetId(), func(people *iam.IAM, onPolicy, onTarget authz.Grant) error {
		return people.AttachOrgPolicy(onPolicy, onTarget, r.GetPolicyId(), r.GetTargetId())
	})
	return &organizationsv1.AttachPolicyResponse{}, err
}

func checkDetachOrgPolicy(v *violations, r *organizationsv1.DetachPolicyRequest) {
	v.orgID("policy_id", r.GetPolicyId())
	v.orgID("target_id", r.GetTargetId())
}

func detachOrgPolicy(c *call, r *organizationsv1.DetachPolicyRequest) (*organizationsv1.DetachPolicyResponse, error) {
	err := c.attaching(authz.OrganizationsDetachPolicy, r.GetPolicyId(), r.GetTargetId(), func(people *iam.IAM, onPolicy, onTarget authz.Grant) error {
		return people.DetachOrgPolicy(onPolicy, onTarget, r.GetPolicyId(), r.GetTargetId())
	})
	return &organizationsv1.DetachPolicyResponse{}, err
}

func checkListPoliciesForTarget(v *violations, r *organizationsv1.ListPoliciesForTargetRequest) {
	v.orgID("target_id", r.GetTargetId())
	v.policyType("filter", r.GetFilter())
	v.orgPage(r.GetMaxResults())
}

func listPoliciesForTarget(c *call, r *organizationsv1.ListPoliciesForTargetRequest) (*organizationsv1.ListPoliciesForTargetResponse, error) {
	kind, arn := policyKinds[r.GetFilter()], c.people.TargetARN(r.GetTargetId())
	c.policyTypeFact(kind)
	after, err := c.orgList(authz.OrganizationsListPoliciesForTarget, "TARGET", arn, r.GetNextToken())
	if err != nil {
		return nil, err
	}
	page, more, err := c.people.PoliciesForTarget(r.GetTargetId(), kind, after, pageSize(r.GetMaxResults(), usualOrgPage))
	if err != nil {
		return nil, err
	}
	out := organizationsv1.ListPoliciesForTargetResponse_builder{}
	for _, p := range page {
		out.Policies = append(out.Policies, summaryOf(p))
		after = p.ID
	}
	out.NextToken = c.nextToken(more, arn, after)
	return out.Build(), nil
}

var targetTypes = map[iam.TargetType]organizationsv1.TargetType{
	iam.RootTarget: organizationsv1.TargetType_TARGET_TYPE_ROOT, iam.UnitTarget: organizationsv1.TargetType_TARGET_TYPE_ORGANIZATIONAL_UNIT,
	iam.AccountTarget: organizationsv1.TargetType_TARGET_TYPE_ACCOUNT,
}

func checkListTargetsForPolicy(v *violations, r *organizationsv1.ListTargetsForPolicyRequest) {
	v.orgID("policy_id", r.GetPolicyId())
	v.orgPage(r.GetMaxResults())
}

func listTargetsForPolicy(c *call, r *organizationsv1.ListTargetsForPolicyRequest) (*organizationsv1.ListTargetsForPolicyResponse, error) {
	arn := c.aboutPolicy(r.GetPolicyId())
	after, err := c.orgList(authz.OrganizationsListTargetsForPolicy, "POLICY", arn, r.GetNextToken())
	if err != nil {
		return nil, err
	}
	page, more, err := c.people.TargetsForPolicy(r.GetPolicyId(), after, pageSize(r.GetMaxResults(), usualOrgPage))
	if err != nil {
		return nil, err
	}
	out := organizationsv1.ListTargetsForPolicyResponse_builder{}
	for _, t := range page {
		out.Targets = append(out.Targets, organizationsv1.PolicyTargetSummary_builder{TargetId: t.ID, Arn: t.ARN, Name: t.Name, Type: targetTypes[t.Type]}.Build())
		after = t.ID
	}
	out.NextToken = c.nextToken(more, arn, after)
	return out.Build(), nil
}
