package iam

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

const orgManagement = "111122223333"

const (
	denyEncryptSCP = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*"}]}`
	allowKMSSCP    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`
	denyEncryptRCP = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*"}]}`
)

// orgWorld is an organization on a real store.
type orgWorld struct {
	*IAM
	t     testing.TB
	cfg   storage.Config
	store *storage.Store
	root  AccessKey
}

func newOrgWorld(t testing.TB) *orgWorld {
	t.Helper()
	w := &orgWorld{t: t, cfg: storage.Config{Path: filepath.Join(t.TempDir(), "store"), Domain: crypto.RandomSecret(32)}}
	if err := storage.Create(w.cfg); err != nil {
		t.Fatal(err)
	}
	w.openStore()
	w.write(func(tx *storage.Tx) (err error) {
		w.root, err = Bootstrap(tx, orgManagement)
		return err
	})
	w.open()
	t.Cleanup(w.close)
	return w
}

func (w *orgWorld) close() {
	w.t.Helper()
	if err := w.store.Verify(); err != nil {
		w.t.Errorf("Verify of the store = %v", err)
	}
	if err := w.store.Close(); err != nil {
		w.t.Error(err)
	}
}

func (w *orgWorld) openStore() {
	w.t.Helper()
	s, err := storage.Open(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = s
}

func (w *orgWorld) open() {
	w.t.Helper()
	i, err := Open(Config{Store: w.store})
	if err != nil {
		w.t.Fatal(err)
	}
	w.IAM = i
}

func (w *orgWorld) write(f func(tx *storage.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(f); err != nil {
		w.t.Fatal(err)
	}
}

// swap puts a value in the place of a record, nil meaning none, and returns what was there.
func (w *orgWorld) swap(kind storage.Kind, path string, value []byte) (old []byte) {
	w.t.Helper()
	w.write(func(tx *storage.Tx) (err error) {
		if old, err = tx.Get(kind, path); err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		if value == nil {
			return tx.Delete(kind, path)
		}
		return tx.Put(kind, path, value)
	})
	return old
}

// reopen opens everything again, and fails if what was in memory is not what is on disk.
func (w *orgWorld) reopen() {
	w.t.Helper()
	before := orgDump(w.Snapshot())
	w.close()
	w.openStore()
	w.open()
	if diff := cmp.Diff(before, orgDump(w.Snapshot())); diff != "" {
		w.t.Fatalf("opened again, the organization differs (-memory +disk):\n%s", diff)
	}
}

// caller is who an access key is of.
func (w *orgWorld) caller(id string) *authz.Caller {
	w.t.Helper()
	credential, ok := w.Snapshot().AccessKey(id)
	if !ok {
		w.t.Fatalf("there is no access key %s", id)
	}
	c, err := w.Snapshot().Caller(credential)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// grant is the permission of the management account's root user for an action on an ARN, or on nothing for "*".
func (w *orgWorld) grant(a authz.Action, arn string) authz.Grant {
	w.t.Helper()
	resource := w.Snapshot().OrganizationResource(arn)
	if arn == "*" {
		resource = authz.Resource{}
	}
	g, d := authz.Authorize(w.caller(w.root.ID), a, &resource, nil)
	if !g.Permits(a, arn) {
		w.t.Fatalf("Authorize(%v, %q) = %+v", a, arn, d)
	}
	return g
}

func (w *orgWorld) createUnit(parent, name string) (OrganizationalUnit, error) {
	w.t.Helper()
	return w.CreateOrganizationalUnit(w.grant(authz.OrganizationsCreateOrganizationalUnit, w.Snapshot().TargetARN(parent)), parent, name)
}

func (w *orgWorld) mustUnit(parent, name string) string {
	w.t.Helper()
	u, err := w.createUnit(parent, name)
	if err != nil {
		w.t.Fatal(err)
	}
	return u.ID
}

func (w *orgWorld) renameUnit(id, name string) error {
	w.t.Helper()
	_, err := w.UpdateOrganizationalUnit(w.grant(authz.OrganizationsUpdateOrganizationalUnit, w.Snapshot().OrganizationalUnitARN(id)), id, name)
	return err
}

func (w *orgWorld) deleteUnit(id string) error {
	w.t.Helper()
	return w.DeleteOrganizationalUnit(w.grant(authz.OrganizationsDeleteOrganizationalUnit, w.Snapshot().OrganizationalUnitARN(id)), id)
}

func (w *orgWorld) createAccount(r CreateAccount) (CreatedAccount, error) {
	w.t.Helper()
	return w.CreateAccount(w.grant(authz.OrganizationsCreateAccount, "*"), r)
}

func (w *orgWorld) mustAccount(name string) CreatedAccount {
	w.t.Helper()
	a, err := w.createAccount(CreateAccount{Name: name, RootAccessKey: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *orgWorld) closeAccount(id string) error {
	w.t.Helper()
	return w.CloseAccount(w.grant(authz.OrganizationsCloseAccount, w.Snapshot().OrgAccountARN(id)), id)
}

func (w *orgWorld) move(account, source, destination string) error {
	w.t.Helper()
	on := func(arn string) authz.Grant { return w.grant(authz.OrganizationsMoveAccount, arn) }
	s := w.Snapshot()
	g := MoveAccountGrants{Account: on(s.OrgAccountARN(account)), Source: on(s.TargetARN(source)), Destination: on(s.TargetARN(destination))}
	return w.MoveAccount(g, MoveAccount{AccountID: account, SourceParentID: source, DestinationParentID: destination})
}

func (w *orgWorld) createPolicy(name string, kind authz.PolicyKind, content string) (OrgPolicy, error) {
	w.t.Helper()
	return w.CreateOrgPolicy(w.grant(authz.OrganizationsCreatePolicy, "*"), CreateOrgPolicy{Name: name, Content: content, Type: kind})
}

func (w *orgWorld) mustPolicy(name string, kind authz.PolicyKind, content string) string {
	w.t.Helper()
	p, err := w.createPolicy(name, kind, content)
	if err != nil {
		w.t.Fatal(err)
	}
	return p.ID
}

func (w *orgWorld) updatePolicy(r UpdateOrgPolicy) error {
	w.t.Helper()
	_, err := w.UpdateOrgPolicy(w.grant(authz.OrganizationsUpdatePolicy, w.Snapshot().OrgPolicyARN(r.ID)), r)
	return err
}

func (w *orgWorld) deletePolicy(id string) error {
	w.t.Helper()
	return w.DeleteOrgPolicy(w.grant(authz.OrganizationsDeletePolicy, w.Snapshot().OrgPolicyARN(id)), id)
}

func (w *orgWorld) attach(policy, target string) error {
	w.t.Helper()
	s := w.Snapshot()
	return w.AttachOrgPolicy(w.grant(authz.OrganizationsAttachPolicy, s.OrgPolicyARN(policy)),
		w.grant(authz.OrganizationsAttachPolicy, s.TargetARN(target)), policy, target)
}

func (w *orgWorld) mustAttach(policy, target string) {
	w.t.Helper()
	if err := w.attach(policy, target); err != nil {
		w.t.Fatal(err)
	}
}

func (w *orgWorld) detach(policy, target string) error {
	w.t.Helper()
	s := w.Snapshot()
	return w.DetachOrgPolicy(w.grant(authz.OrganizationsDetachPolicy, s.OrgPolicyARN(policy)),
		w.grant(authz.OrganizationsDetachPolicy, s.TargetARN(target)), policy, target)
}

// rootID is the id of the organization's root.
func (w *orgWorld) rootID() string { return w.Snapshot().OrganizationRoot().ID }

// orgDump tells all that a snapshot has of the organization, and how each account is bound.
func orgDump(s *Snapshot) []string {
	o := s.organization
	lines := []string{fmt.Sprintf("organization %+v %+v own %v", s.Organization(), s.OrganizationRoot(), o.own)}
	for n := range o.nodesAfter("") {
		lines = append(lines, fmt.Sprintf("%v %q in %q: %q %v %q", n.kind, n.id, n.parent, n.name, n.created, n.policies))
		if n.kind == AccountTarget {
			lines = append(lines, fmt.Sprintf("member %q %+v suspended %v", n.id, *n.member, s.Suspended(n.id)), "bound "+n.id+" "+boundBy(s.Membership(n.id)))
		}
	}
	for _, p := range o.policies.All() {
		lines = append(lines, fmt.Sprintf("policy %+v compiled %q", s.showOrgPolicy(p), p.compiled.Document()))
	}
	return lines
}

// boundBy tells a membership, its policies by name and document.
func boundBy(m *authz.Membership) string {
	text := fmt.Sprintf("%s %s management %v", m.Organization, m.Path, m.Management)
	for _, levels := range [2][][]*authz.Policy{m.SCPs, m.RCPs} {
		for _, l := range levels {
			var names []string
			for _, p := range l {
				names = append(names, fmt.Sprintf("%v %s %s", p.Kind(), p.Name(), p.Document()))
			}
			text += fmt.Sprintf("\n  %q", names)
		}
	}
	return text
}

// fill makes units and accounts under the root, and policies of each type, in one transaction.
func (w *orgWorld) fill(units, accounts, policies int) {
	w.t.Helper()
	o := *w.Snapshot().organization
	w.write(func(tx *storage.Tx) error {
		for n := range units {
			u := &orgNode{kind: UnitTarget, id: newUnitID(o.root.id), parent: o.root.id, name: fmt.Sprintf("unit %d", n), created: present(), policies: firstPolicies()}
			if err := o.write(tx, u); err != nil {
				return err
			}
		}
		for n := range accounts {
			id := fmt.Sprintf("9%011d", n)
			a := &orgNode{kind: AccountTarget, id: id, parent: o.root.id, name: id, created: present(), policies: firstPolicies(), member: &member{}}
			account := encodeJSON(accountRecord{Version: recordVersion, ID: id, Created: a.created})
			if err := errors.Join(o.write(tx, a), tx.Put(kindAccount, id, account)); err != nil {
				return err
			}
		}
		for n := range policies {
			for at, document := range [2]string{denyEncryptSCP, denyEncryptRCP} {
				p := &orgPolicy{id: newOrgPolicyID(), name: fmt.Sprintf("policy %d", n), kind: orgPolicyTypes[at], document: document, created: present(), updated: present()}
				if err := tx.Put(kindOrgPolicy, p.id, encodeOrgPolicy(p)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	w.open()
}
