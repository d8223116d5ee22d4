package iam

import (
	"cmp"
	"errors"
	"fmt"
	"maps"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/internal/cow"
	"github.com/kmsd/kmsd/storage"
)

// What the organization says of the account that it was founded with.
const managementName = "management"

// closedSCP and closedRCP stand below a closed account.
const (
	closedName = "account-closed" // in decisions
	closedSCP  = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`
	closedRCP  = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":["kms:*","sts:*"],"Resource":"*"}]}`
)

// firstPolicies returns what is attached to a node that is made.
func firstPolicies() []string { return []string{FullAWSAccessID, RCPFullAWSAccessID} }

// foundOrganization makes the organization, with accounts directly under its root.
func foundOrganization(tx *storage.Tx, accounts ...accountRecord) error {
	created := present()
	o := &organization{id: newOrganizationID(), created: created}
	root := &orgNode{kind: RootTarget, id: newRootID(), name: rootName, created: created, policies: firstPolicies()}
	err := o.write(tx, root)
	for _, a := range accounts {
		name := a.ID
		if a.Management {
			name = managementName
		}
		err = cmp.Or(err, o.write(tx, &orgNode{
			kind: AccountTarget, id: a.ID, parent: root.id, name: name, created: a.Created, policies: firstPolicies(), member: &member{},
		}))
	}
	if err != nil {
		return fmt.Errorf("founding the organization: %w", err)
	}
	return nil
}

// ensureOrganization founds the organization of a store that has accounts but no organization, as stores of the first
// release do.
func ensureOrganization(store *storage.Store) error {
	missing := false
	err := store.View(func(tx *storage.Tx) (err error) {
		missing, err = lacksOrganization(tx)
		return err
	})
	if err != nil || !missing {
		return err
	}
	return store.Update(func(tx *storage.Tx) error {
		var accounts []accountRecord
		err := tx.Walk(kindAccount, "", func(path string, value []byte) error {
			r, err := decodeAccount(value)
			if err != nil {
				return fmt.Errorf("record %s %q: %w", kindAccount, path, err)
			}
			accounts = append(accounts, r)
			return nil
		})
		if err != nil {
			return err
		}
		return foundOrganization(tx, accounts...)
	})
}

func lacksOrganization(tx *storage.Tx) (bool, error) {
	accounts := 0
	err := tx.Walk(kindAccount, "", func(string, []byte) error {
		accounts++
		return nil
	})
	if err != nil || accounts == 0 {
		return false, err
	}
	_, err = tx.Get(kindOrganization, organizationPath)
	if errors.Is(err, storage.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// organizationLoader gathers the organization while records are read.
type organizationLoader struct {
	o        *organization
	units    map[string]*orgNode   // :: unit's id → node
	accounts map[string]*orgNode   // :: account id → node
	policies map[string]*orgPolicy // :: policy's id → policy
	unusable []UnusablePolicy
}

// loadOrganization reads the organization in tx into s, which has its accounts already and which nobody else sees yet.
func loadOrganization(tx *storage.Tx, s *Snapshot) error {
	l := &organizationLoader{units: map[string]*orgNode{}, accounts: map[string]*orgNode{}, policies: map[string]*orgPolicy{}}
	kinds := []struct {
		kind storage.Kind
		load func(path string, value []byte) error
	}{
		{kindOrganization, l.organization},
		{kindUnit, l.unit},
		{kindMember, l.member},
		{kindOrgPolicy, l.policy},
	}
	for _, k := range kinds {
		err := tx.Walk(k.kind, "", func(path string, value []byte) error {
			if err := k.load(path, value); err != nil {
				return fmt.Errorf("record %s %q: %w", k.kind, path, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if l.o == nil {
		return errors.New("the store has no organization")
	}
	if err := l.complete(); err != nil {
		return err
	}
	s.organization = l.o
	return s.joinAccounts(l)
}

func (l *organizationLoader) organization(path string, value []byte) (err error) {
	l.o, err = decodeOrganization(path, value)
	return err
}

func (l *organizationLoader) unit(path string, value []byte) error {
	n, err := decodeUnit(path, value)
	if err == nil {
		l.units[n.id] = n
	}
	return err
}

func (l *organizationLoader) member(path string, value []byte) error {
	n, err := decodeMember(path, value)
	if err == nil {
		l.accounts[n.id] = n
	}
	return err
}

func (l *organizationLoader) policy(path string, value []byte) error {
	p, fault, err := decodeOrgPolicy(path, value)
	if err != nil {
		return err
	}
	l.policies[p.id] = p
	if fault != nil {
		l.unusable = append(l.unusable, UnusablePolicy{Name: p.id, Kind: p.kind, Err: fault, owner: p.id})
	}
	return nil
}

// complete makes the organization of what was gathered.
func (l *organizationLoader) complete() error {
	for _, p := range l.policies {
		l.o.own[typeIndex(p.kind)]++
	}
	for _, p := range []orgPolicy{
		{id: FullAWSAccessID, name: "FullAWSAccess", description: "Allows access to every operation", kind: authz.ServiceControlPolicy, document: authz.FullAWSAccess},
		{id: RCPFullAWSAccessID, name: "RCPFullAWSAccess", description: "Allows access to every resource", kind: authz.ResourceControlPolicy, document: authz.RCPFullAWSAccess},
	} {
		p.managed = true
		made, err := newOrgPolicy(p)
		if err != nil {
			return fmt.Errorf("reading %s: %w", p.id, err)
		}
		l.policies[p.id] = made
	}
	for n, document := range [2]string{closedSCP, closedRCP} {
		p, err := authz.Parse(orgPolicyTypes[n], []byte(document))
		if err != nil {
			return fmt.Errorf("reading %s: %w", closedName, err)
		}
		l.o.closed[n] = []*authz.Policy{p.Named(closedName)}
	}
	l.o.units = cow.CollectSorted(maps.All(l.units))
	l.o.accounts = cow.CollectSorted(maps.All(l.accounts))
	l.o.byID = cow.Collect(maps.All(l.accounts))
	l.o.policies = cow.CollectSorted(maps.All(l.policies))
	l.o.endEra()
	return l.o.checkTree()
}

// joinAccounts checks that the accounts of s are those of the organization, and suspends those that are closed.
func (s *Snapshot) joinAccounts(l *organizationLoader) error {
	for id, n := range l.accounts {
		a, ok := s.accounts.Load(id)
		if !ok {
			return recordError(n, "there is no such account")
		}
		if !n.member.closed.IsZero() {
			if a.Management {
				return recordError(n, "the management account is closed")
			}
			s.suspend(id)
		}
	}
	for id := range s.accounts.All() {
		if l.accounts[id] == nil {
			return fmt.Errorf("record %s %q: the account is not in the organization", kindAccount, id)
		}
	}
	for _, u := range l.unusable {
		u.Account, u.Owner = s.management, s.OrgPolicyARN(u.Name)
		s.noteUnusable(u.owner, []UnusablePolicy{u})
	}
	return nil
}
