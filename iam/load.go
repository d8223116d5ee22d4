package iam

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/internal/cow"
	"github.com/kmsd/kmsd/storage"
)

// loader gathers principals while records are read; what is published is made from it in one pass.
type loader struct {
	cfg        Config
	management string
	accounts   map[string]*account   // :: account id → account
	principals map[string]*principal // :: principal id → principal
	keyIDs     map[string]bool
}

// loadSnapshot reads every record of principals in tx.
func loadSnapshot(tx *storage.Tx, cfg Config) (*Snapshot, error) {
	l := &loader{
		cfg: cfg, accounts: map[string]*account{}, principals: map[string]*principal{}, keyIDs: map[string]bool{},
	}
	kinds := []struct {
		kind storage.Kind
		load func(path string, value []byte) error
	}{
		{kindAccount, l.account},
		{kindUser, l.user}, // after accounts; all others after users
		{kindAccessKey, l.accessKey},
		{kindUserPolicy, l.policy},
		{kindCertificate, l.certificate},
	}
	for _, k := range kinds {
		err := tx.Walk(k.kind, "", func(path string, value []byte) error {
			if err := k.load(path, value); err != nil {
				return fmt.Errorf("record %s %q: %w", k.kind, path, err)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if l.management == "" {
		return nil, fmt.Errorf("%w: the store has no management account", ErrNoSuchEntity)
	}
	return l.snapshot(tx.Generation())
}

func (l *loader) account(path string, value []byte) error {
	r, err := decodeAccount(value)
	if err != nil {
		return err
	}
	if r.ID != path || !accountID.MatchString(r.ID) {
		return errors.New("the id is not the path's")
	}
	if r.Management {
		if l.management != "" {
			return errors.New("a second management account")
		}
		l.management = r.ID
	}
	root := &principal{User: User{
		Account: r.ID, ID: r.ID, Name: RootName, Path: "/", ARN: rootARN(l.cfg.Partition, r.ID), Created: r.Created,
	}}
	l.principals[r.ID] = root
	l.accounts[r.ID] = &account{Account: Account{ID: r.ID, Management: r.Management, Created: r.Created}, root: root}
	return nil
}

func (l *loader) user(path string, value []byte) error {
	parts, err := split(path, 2)
	if err != nil {
		return err
	}
	r, err := decodeUser(value)
	if err != nil {
		return err
	}
	a := l.accounts[parts[0]]
	switch {
	case a == nil:
		return errors.New("there is no such account")
	case r.ID != parts[1] || !userID.MatchString(r.ID):
		return errors.New("the id is not the path's")
	case l.principals[r.ID] != nil:
		return errors.New("another account has a user of the same id")
	}
	p := &principal{User: User{
		Account: a.ID, ID: r.ID, Name: r.Name, Path: r.Path, ARN: userARN(l.cfg.Partition, a.ID, r.Path, r.Name), Created: r.Created,
	}}
	l.principals[r.ID] = p
	a.users = append(a.users, p)
	return nil
}

// owner returns the principal that a record of three parts hangs on, and the last part.
func (l *loader) owner(path string) (*principal, string, error) {
	parts, err := split(path, 3)
	if err != nil {
		return nil, "", err
	}
	p := l.principals[parts[1]]
	if p == nil || p.Account != parts[0] {
		return nil, "", errors.New("there is no such principal")
	}
	return p, parts[2], nil
}

func (l *loader) accessKey(path string, value []byte) error {
	p, id, err := l.owner(path)
	if err != nil {
		return err
	}
	k, err := decodeAccessKey(value)
	if err != nil {
		return err
	}
	if !accessKeyID.MatchString(id) || l.keyIDs[id] {
		return errors.New("the access key id is malformed or given twice")
	}
	k.id = id
	l.keyIDs[id] = true
	p.keys = append(p.keys, k)
	return nil
}

func (l *loader) policy(path string, value []byte) error {
	p, name, err := l.owner(path)
	if err != nil {
		return err
	}
	r, err := decodePolicy(value)
	if err != nil {
		return err
	}
	if fold(r.Name) != name || p.isRoot() {
		return errors.New("the name is not the path's, or the principal is a root user")
	}
	pol, err := newPolicy(r.Name, r.Document, r.Updated)
	if err != nil {
		return err
	}
	p.policies = append(p.policies, pol)
	return nil
}

func (l *loader) certificate(path string, value []byte) error {
	p, fingerprint, err := l.owner(path)
	if err != nil {
		return err
	}
	r, err := decodeCertificate(value)
	if err != nil {
		return err
	}
	c, err := parseCertificate(r.Certificate, p.Name, r.Created)
	if err != nil {
		return err
	}
	if c.fingerprintHex() != fingerprint {
		return errors.New("the fingerprint is not the path's")
	}
	p.certificates = append(p.certificates, c)
	return nil
}

// snapshot compiles what was gathered.
func (l *loader) snapshot(generation uint64) (*Snapshot, error) {
	accessKeys, certificates := map[string]*Credential{}, map[[32]byte]*Credential{}
	for _, p := range l.principals {
		for _, c := range p.compile(l.cfg.Region).credentials {
			if c.Method == ByCertificate {
				certificates[c.fingerprint] = c
			} else {
				accessKeys[c.ID] = c
			}
		}
	}
	for _, a := range l.accounts {
		slices.SortFunc(a.users, func(p, q *principal) int { return strings.Compare(fold(p.Name), fold(q.Name)) })
		for n, p := range a.users {
			if n > 0 && fold(a.users[n-1].Name) == fold(p.Name) {
				return nil, fmt.Errorf("record %s %q: the name is that of %q", kindUser, join(a.ID, p.ID), join(a.ID, a.users[n-1].ID))
			}
		}
	}
	return &Snapshot{
		generation:   generation,
		partition:    l.cfg.Partition,
		region:       l.cfg.Region,
		management:   l.management,
		accounts:     cow.Collect(maps.All(l.accounts)),
		principals:   cow.Collect(maps.All(l.principals)),
		accessKeys:   cow.Collect(maps.All(accessKeys)),
		certificates: cow.Collect(maps.All(certificates)),
	}, nil
}
