package server

import (
	"fmt"
	"strings"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// Limits of names, which iam checks too: here they only bound what goes into ARNs and events.
const (
	maxUserName    = 64
	maxGroupName   = 128
	maxPolicyName  = 128
	maxPath        = 512
	maxDocument    = 131072
	maxCSR         = 16 << 10
	maxEntityText  = 4000
	usualItems     = 100
	largestItems   = 1000
	credentialName = 128
)

func (v *violations) givenUserName(name string) { v.text("user_name", name, 1, maxUserName) }

func (v *violations) givenGroupName(name string) { v.text("group_name", name, 1, maxGroupName) }

func (v *violations) givenRoleName(name string) { v.text("role_name", name, 1, maxUserName) }

func (v *violations) inline(policy string) { v.text("policy_name", policy, 1, maxPolicyName) }

func (v *violations) document(field, document string) { v.text(field, document, 1, maxDocument) }

func (v *violations) policyARN(field, arn string) { v.text(field, arn, 1, maxEntityARN) }

func (v *violations) tags(tags []*iamv1.Tag) {
	v.tagCount("tags", len(tags))
	for i, t := range tags {
		v.text(fmt.Sprintf("tags[%d].key", i), t.GetKey(), 1, 4*maxPolicyName)
		v.text(fmt.Sprintf("tags[%d].value", i), t.GetValue(), 0, 8*maxPolicyName)
	}
}

func (v *violations) tagKeys(keys []string) {
	v.tagCount("tag_keys", len(keys))
	if len(keys) == 0 {
		v.add("tag_keys", "is missing")
	}
	v.texts("tag_keys", keys, 4*maxPolicyName)
}

// texts checks every entry of a list.
func (v *violations) texts(field string, list []string, most int) {
	for i, one := range list {
		v.text(fmt.Sprintf("%s[%d]", field, i), one, 0, most)
	}
}

// onEntity asks for an action on an entity of the caller's account, whether it exists or not. A denial speaks of the entity as the request named it, since
// paths are known only of those that exist.
func (c *call) onEntity(a authz.Action, kind string, r *authz.Resource, shown string) (authz.Grant, error) {
	c.touched(kind, r.ARN, r.Account, "")
	g, d := c.decide(a, r)
	if d.Verdict != authz.Allow {
		return authz.Grant{}, c.denial(a, &authz.Resource{Kind: authz.IAMEntity, Account: r.Account, ARN: shown}, d)
	}
	return g, nil
}

// newEntity is what an action that makes something is asked for.
func (c *call) newEntity(arn string) *authz.Resource {
	return &authz.Resource{Kind: authz.IAMEntity, Account: c.account(), ARN: arn, Membership: c.who.Membership}
}

// onNew asks for an action that makes something.
func (c *call) onNew(a authz.Action, kind, arn string) (authz.Grant, error) {
	return c.onEntity(a, kind, c.newEntity(arn), arn)
}

func (c *call) onGroup(a authz.Action, name string) (authz.Grant, error) {
	return c.onEntity(a, "GROUP", c.people.GroupResource(c.account(), name), c.people.NewGroupARN(c.account(), "/", name))
}

func (c *call) onRole(a authz.Action, name string) (authz.Grant, error) {
	return c.onEntity(a, "ROLE", c.people.RoleEntity(c.account(), name), c.people.NewRoleARN(c.account(), "/", name))
}

// onPolicy asks for an action on a managed policy by its ARN. One of another account is like one that is not there.
func (c *call) onPolicy(a authz.Action, arn string) (authz.Grant, error) {
	return c.onEntity(a, "POLICY", c.people.PolicyResource(c.account(), arn), arn)
}

// changeBy makes a change that on permits.
func (c *call) changeBy(on func() (authz.Grant, error), change func(people *iam.IAM, g authz.Grant) error) error {
	g, err := on()
	if err != nil {
		return err
	}
	people, err := c.changingPeople()
	if err != nil {
		return err
	}
	return change(people, g)
}

func (c *call) changeUser(a authz.Action, name string, change func(people *iam.IAM, g authz.Grant) error) error {
	return c.changeBy(func() (authz.Grant, error) { return c.onUser(a, name) }, change)
}

func (c *call) changeGroup(a authz.Action, name string, change func(people *iam.IAM, g authz.Grant) error) error {
	return c.changeBy(func() (authz.Grant, error) { return c.onGroup(a, name) }, change)
}

func (c *call) changeRole(a authz.Action, name string, change func(people *iam.IAM, g authz.Grant) error) error {
	return c.changeBy(func() (authz.Grant, error) { return c.onRole(a, name) }, change)
}

func (c *call) changePolicy(a authz.Action, arn string, change func(people *iam.IAM, g authz.Grant) error) error {
	return c.changeBy(func() (authz.Grant, error) { return c.onPolicy(a, arn) }, change)
}

// aboutManaged tells conditions, and the event, which managed policy a request is about.
func (c *call) aboutManaged(arn string) {
	c.facts.Set(authz.CtxPolicyARN, arn)
	c.param(audit.String("policyArn", arn))
}

// aboutBoundary tells conditions, and the event, which permissions boundary a request has, or the principal that it is about.
func (c *call) aboutBoundary(arn string) {
	if arn != "" {
		c.facts.Set(authz.CtxPermissionsBoundary, arn)
	}
}

func attachedOf(policies []iam.Policy, pathPrefix string) (out []*iamv1.AttachedPolicy) {
	for _, p := range policies {
		if strings.HasPrefix(p.Path, pathPrefix) {
			out = append(out, iamv1.AttachedPolicy_builder{PolicyName: p.Name, PolicyArn: p.ARN}.Build())
		}
	}
	return out
}

func boundaryOf(arn string) *iamv1.AttachedPermissionsBoundary {
	if arn == "" {
		return nil
	}
	return iamv1.AttachedPermissionsBoundary_builder{
		PermissionsBoundaryType: iamv1.PermissionsBoundaryAttachmentType_PERMISSIONS_BOUNDARY_ATTACHMENT_TYPE_PERMISSIONS_BOUNDARY_POLICY,
		PermissionsBoundaryArn:  arn,
	}.Build()
}

func tagsOf(tags []iam.Tag) (out []*iamv1.Tag) {
	for _, t := range tags {
		out = append(out, iamv1.Tag_builder{Key: t.Key, Value: t.Value}.Build())
	}
	return out
}

// pageThrough gathers up to size of what keep chooses from pages of a list in the order of names, and says whether there is more.
func pageThrough[T any](after string, size int, pages func(after string) ([]T, bool), name func(T) string, keep func(T) bool) (list []T, more bool) {
	for {
		page, further := pages(after)
		for _, one := range page {
			if !keep(one) {
				continue
			}
			if len(list) == size {
				return list, true
			}
			list = append(list, one)
		}
		if !further {
			return list, false
		}
		after = name(page[len(page)-1])
	}
}
