package iam

import (
	"slices"
	"sync/atomic"

	"github.com/kmsd/kmsd/authz"
)

// keptLevel and keptMembership hold what was computed of a node, with the era it is of. Several goroutines may compute
// the same at once; each finds the same.
type (
	keptLevel      struct{ atomic.Pointer[level] }
	keptMembership struct{ atomic.Pointer[membership] }
)

// level is what the policies attached to one node say: its SCPs and its RCPs.
type level struct {
	era      *era
	policies [2][]*authz.Policy
}

type membership struct {
	era *era
	authz.Membership
}

// Membership returns the place of an account in the organization with the policies that bind it there, and nil if
// there is no such account. A closed account has one more level below its own, where everything is denied.
//
// It is computed when it is first asked for after a change of the tree or of a policy, and does not allocate
// otherwise.
func (s *Snapshot) Membership(account string) *authz.Membership {
	o := s.organization
	n, ok := o.byID.Load(account)
	if !ok {
		return nil
	}
	if m := n.membership.Load(); m != nil && m.era == o.era {
		return &m.Membership
	}
	m := o.membership(n, s.management)
	n.membership.Store(m)
	return &m.Membership
}

func (o *organization) membership(n *orgNode, management string) *membership {
	var levels []*level // from the account upwards
	path := ""
	for at := n; ; at, _ = o.container(at.parent) {
		levels = append(levels, o.levelOf(at))
		if at.kind != AccountTarget {
			path = at.id + "/" + path
		}
		if at.kind == RootTarget {
			break
		}
	}
	slices.Reverse(levels)
	if !n.member.closed.IsZero() {
		levels = append(levels, &level{policies: o.closed})
	}
	m := &membership{era: o.era, Membership: authz.Membership{
		Organization: o.id, Path: o.id + "/" + path, Management: n.id == management,
		SCPs: make([][]*authz.Policy, 0, len(levels)), RCPs: make([][]*authz.Policy, 0, len(levels)),
	}}
	for _, l := range levels {
		m.SCPs = append(m.SCPs, l.policies[0])
		m.RCPs = append(m.RCPs, l.policies[1])
	}
	return m
}

// levelOf returns the policies attached to n.
func (o *organization) levelOf(n *orgNode) *level {
	if l := n.level.Load(); l != nil && l.era == o.era {
		return l
	}
	l := &level{era: o.era}
	for _, id := range n.policies {
		p, _ := o.policies.Load(id) // what is attached is not deleted, and loading a store checks it
		l.policies[typeIndex(p.kind)] = append(l.policies[typeIndex(p.kind)], p.compiled)
	}
	n.level.Store(l)
	return l
}

// endEra makes everything that is kept computed be computed again.
func (o *organization) endEra() { o.era = new(era) }
