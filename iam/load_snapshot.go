package iam

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/internal/cow"
	"github.com/kmsd/kmsd/storage"
)

// snapshot makes what is published of what was gathered.
func (l *loader) snapshot(generation uint64) (*Snapshot, error) {
	s := &Snapshot{
		generation: generation, epoch: generation, partition: l.cfg.Partition, region: l.cfg.Region, management: l.management,
		shared: shared{
			accounts: cow.Collect(maps.All(l.accounts)),
			groups:   cow.Collect(maps.All(l.groups)),
			managed:  cow.Collect(maps.All(l.managed)),
		},
		principals: cow.Collect(maps.All(l.principals)),
		roles:      cow.Collect(maps.All(l.roles)),
		devices:    l.devices,
		providers:  l.providers,
	}
	accessKeys, certificates := map[string]*Credential{}, map[[32]byte]*Credential{}
	for _, p := range l.principals {
		p.complete(l.cfg.Region)
		s.unusable = append(s.unusable, p.unusable()...)
		for _, c := range p.credentials {
			if c.Method == ByCertificate {
				certificates[c.fingerprint] = c
			} else {
				accessKeys[c.ID] = c
			}
		}
	}
	s.accessKeys, s.certificates = cow.Collect(maps.All(accessKeys)), cow.Collect(maps.All(certificates))
	for _, g := range l.groups {
		g.sort()
		s.unusable = append(s.unusable, g.unusable(UnusablePolicy{Account: g.Account, Owner: g.ARN, owner: g.ID, Kind: authz.IdentityPolicy})...)
	}
	for _, r := range l.roles {
		r.sort()
		s.unusable = append(s.unusable, r.unusable()...)
	}
	for id, m := range l.managed {
		if m.compiled == nil {
			return nil, fmt.Errorf("record %s %q: the default version is missing", kindPolicy, join(m.Account, id))
		}
		s.unusable = append(s.unusable, m.unusable()...)
	}
	directories, err := l.directories()
	if err != nil {
		return nil, err
	}
	s.directories = cow.Collect(maps.All(directories))
	return s, nil
}

// directories makes the lists of names, and fails if two entities of an account have the same name.
func (l *loader) directories() (map[string]*directory, error) {
	all := map[string]*directory{awsAccount: {}}
	for id := range l.accounts {
		all[id] = &directory{}
	}
	for id, p := range l.principals {
		if !p.isRoot() {
			d := all[p.Account]
			d.users = append(d.users, named{fold(p.Name), id})
		}
	}
	for id, g := range l.groups {
		d := all[g.Account]
		d.groups = append(d.groups, named{fold(g.Name), id})
	}
	for id, r := range l.roles {
		d := all[r.Account]
		d.roles = append(d.roles, named{fold(r.Name), id})
	}
	for id, m := range l.managed {
		d := all[m.Account]
		d.policies = append(d.policies, named{fold(m.Name), id})
	}
	for account, d := range all {
		for kind, list := range map[storage.Kind]names{kindUser: d.users, kindGroup: d.groups, kindRole: d.roles, kindPolicy: d.policies} {
			slices.SortFunc(list, func(a, b named) int { return strings.Compare(a.folded, b.folded) })
			for n := 1; n < len(list); n++ {
				if list[n-1].folded == list[n].folded {
					return nil, fmt.Errorf("record %s %q: the name is that of %q", kind, join(account, list[n].id), join(account, list[n-1].id))
				}
			}
		}
	}
	return all, nil
}
