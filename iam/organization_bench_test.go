package iam

import (
	"testing"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// deepAccount is an account five units deep in an organization of 10,000 accounts.
func deepAccount(b *testing.B) (*orgWorld, string) {
	b.Helper()
	w := newOrgWorld(b)
	w.fill(100, MaxAccounts-2, 10)
	id, parent := w.mustAccount("deep").Account.ID, w.rootID()
	for range MaxUnitDepth {
		parent = w.mustUnit(parent, "unit")
	}
	if err := w.move(id, w.rootID(), parent); err != nil {
		b.Fatal(err)
	}
	return w, id
}

func BenchmarkMembership(b *testing.B) {
	w, id := deepAccount(b)
	s := w.Snapshot()
	s.Membership(id)
	b.ReportAllocs()
	for b.Loop() {
		if s.Membership(id) == nil {
			b.Fatal("no membership")
		}
	}
}

// BenchmarkMembershipCold is the first question after a change, for one account.
func BenchmarkMembershipCold(b *testing.B) {
	w, id := deepAccount(b)
	s := *w.Snapshot()
	o := *s.organization
	s.organization = &o
	b.ReportAllocs()
	for b.Loop() {
		o.endEra()
		if s.Membership(id) == nil {
			b.Fatal("no membership")
		}
	}
}

// BenchmarkPublishAtRoot is what a change of the policies of the root costs in memory: from the grant to the snapshot that
// is published.
func BenchmarkPublishAtRoot(b *testing.B) {
	w, _ := deepAccount(b)
	policy := w.mustPolicy("deny", authz.ServiceControlPolicy, denyEncryptSCP)
	s := w.Snapshot()
	onPolicy, onRoot := w.grant(authz.OrganizationsAttachPolicy, s.OrgPolicyARN(policy)), w.grant(authz.OrganizationsAttachPolicy, s.RootNodeARN())
	b.ReportAllocs()
	for b.Loop() {
		next := *s
		a, err := next.attachmentTarget(onPolicy, onRoot, authz.OrganizationsAttachPolicy, policy, w.rootID())
		if err != nil {
			b.Fatal(err)
		}
		a.node.policies = append(a.node.policies, policy)
		a.o.put(a.node)
		a.o.endEra()
		next.organization = a.o
		w.snapshot.Store(&next)
	}
	w.snapshot.Store(s)
}

// BenchmarkPublishAccount is what a change of one account costs in memory.
func BenchmarkPublishAccount(b *testing.B) {
	w, id := deepAccount(b)
	s := w.Snapshot()
	n, _ := s.organization.byID.Load(id)
	b.ReportAllocs()
	for b.Loop() {
		next, o := *s, *s.organization
		o.put(n.clone())
		o.endEra()
		next.organization = &o
		w.snapshot.Store(&next)
	}
	w.snapshot.Store(s)
}

// BenchmarkAttachAtRoot is a whole change with its commit.
func BenchmarkAttachAtRoot(b *testing.B) {
	w, _ := deepAccount(b)
	policy, root := w.mustPolicy("deny", authz.ServiceControlPolicy, denyEncryptSCP), w.rootID()
	for b.Loop() {
		w.mustAttach(policy, root)
		if err := w.detach(policy, root); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadOrganization(b *testing.B) {
	w, _ := deepAccount(b)
	for b.Loop() {
		err := w.store.View(func(tx *storage.Tx) error {
			next := *w.Snapshot()
			return loadOrganization(tx, &next)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
