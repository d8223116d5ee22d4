package authz_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/authz/ref"
)

// withStatement returns the request with one statement more, of the effect, in front of one of its policies. It returns nil if that one is of a kind
// that has no such statement.
func (s *scene) withStatement(q *ref.Request, effect string) *ref.Request {
	count := 0
	withPolicies(q, func(_ authz.PolicyKind, p *ref.Policy) *ref.Policy {
		count++
		return p
	})
	if count == 0 {
		return nil
	}
	at, refused := s.IntN(count), false
	changed := withPolicies(q, func(kind authz.PolicyKind, p *ref.Policy) *ref.Policy {
		if at--; at != -1 {
			return p
		}
		more := s.statement(kind)
		more["Effect"] = effect
		next := edited(p, func(list []map[string]any) []map[string]any { return append([]map[string]any{more}, list...) })
		_, err := parseBound(kind, next.Text)
		refused = err != nil
		return next
	})
	if refused {
		return nil
	}
	return changed
}

func TestAnotherDenyNeverAllows(t *testing.T) {
	metamorphic(t, func(s *scene, q *ref.Request) *ref.Request { return s.withStatement(q, "Deny") }, noMore)
}

func TestAnotherAllowNeverDenies(t *testing.T) {
	metamorphic(t, func(s *scene, q *ref.Request) *ref.Request { return s.withStatement(q, "Allow") }, noLess)
}

func TestAnotherGrantNeverDenies(t *testing.T) {
	metamorphic(t, func(s *scene, q *ref.Request) *ref.Request {
		if q.Resource.Kind != "key" {
			return nil
		}
		r := *q
		r.Resource.Grants = append([]*ref.Grant{s.grant("more")}, q.Resource.Grants...)
		return &r
	}, noLess)
}

func TestAnotherConstraintNeverAllows(t *testing.T) {
	metamorphic(t, func(s *scene, q *ref.Request) *ref.Request {
		if len(q.Resource.Grants) == 0 {
			return nil
		}
		r := *q
		r.Resource.Grants = nil
		for _, g := range q.Resource.Grants {
			narrow := *g
			pairs := &narrow.Subset
			if len(g.Equals) > 0 {
				pairs = &narrow.Equals
			}
			more := map[string]string{"never": "a"}
			maps.Copy(more, *pairs)
			*pairs = more
			r.Resource.Grants = append(r.Resource.Grants, &narrow)
		}
		return &r
	}, noMore)
}

// limited puts one layer more upon the request: a boundary or session policies where there are none, or a level of the organization.
func limited(s *scene, q *ref.Request, limit func(kind authz.PolicyKind) *ref.Policy) *ref.Request {
	r := *q
	switch s.IntN(4) {
	case 0:
		if r.Caller.Boundary != nil || r.Caller.Kind == "root" || r.Caller.Kind == "web" || hasNotPrincipal(q) {
			return nil
		}
		r.Caller.Boundary = limit(authz.IdentityPolicy)
	case 1:
		if r.Caller.Session != nil || r.Caller.Kind != "session" {
			return nil
		}
		r.Caller.Session = []*ref.Policy{limit(authz.SessionPolicy)}
	case 2:
		if r.Caller.Membership == nil {
			return nil
		}
		m := *r.Caller.Membership
		m.SCPs = append(slices.Clip(m.SCPs), []*ref.Policy{limit(authz.ServiceControlPolicy)})
		r.Caller.Membership = &m
	default:
		if r.Resource.Membership == nil {
			return nil
		}
		m := *r.Resource.Membership
		m.RCPs = append(slices.Clip(m.RCPs), []*ref.Policy{limit(authz.ResourceControlPolicy)})
		r.Resource.Membership = &m
	}
	return &r
}

// hasNotPrincipal reports whether it matters that a caller has a boundary: NotPrincipal denies all who do.
func hasNotPrincipal(q *ref.Request) bool {
	return q.Resource.Policy != nil && strings.Contains(q.Resource.Policy.Text, "NotPrincipal")
}

func TestAnotherLimitNeverAllows(t *testing.T) {
	metamorphic(t, func(s *scene, q *ref.Request) *ref.Request {
		return limited(s, q, func(kind authz.PolicyKind) *ref.Policy { return s.policy(kind, "more") })
	}, noMore)
}

func TestALimitThatAllowsEverythingIsNeutral(t *testing.T) {
	metamorphic(t, func(s *scene, q *ref.Request) *ref.Request {
		return limited(s, q, func(kind authz.PolicyKind) *ref.Policy {
			if kind == authz.ResourceControlPolicy {
				return decode("more", authz.RCPFullAWSAccess)
			}
			return decode("more", authz.FullAWSAccess)
		})
	}, same)
}
