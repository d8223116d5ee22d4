package keystore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
)

// modelKey is what a key must be.
type modelKey struct {
	life    modelLife
	aliases map[string]bool
	tags    map[string]string
	grants  map[string]authz.KeyGrant // :: id → what was asked for
}

// machine is a keystore and what must be in it. Each change is made by a dry run first, which must leave everything as it is and
// must fail exactly when the change fails.
type machine struct {
	*fixture
	keys map[crypto.KeyID]*modelKey
	soon time.Time // when grants that expire do
}

func TestKeystoreAgainstModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := newClockFixture(t)
		m := &machine{f, map[crypto.KeyID]*modelKey{}, f.clock.Wall().Add(time.Hour)}
		steps := []func(*rapid.T){
			m.createKey, m.switchKey, m.switchKey, m.tag, m.untag, m.setAlias, m.deleteAlias, m.createGrant, m.createGrant, m.createGrant, m.removeGrant, m.sweep, func(*rapid.T) { m.reopen() },
			m.scheduleKey, m.scheduleKey, m.cancelKey, m.protectKey, m.rotateKey, m.setRotation, m.importKey, m.importKey, m.deleteMaterialOf, m.passTime, m.passTime,
		}
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			for len(m.keys) == 0 {
				m.createKey(r)
			}
			rapid.SampledFrom(steps).Draw(r, "step")(r)
			m.compare(r)
		}
		m.reopen()
		m.compare(r)
	})
}

// do makes a change.
func (m *machine) do(r *rapid.T, change func(ks *Keystore) error) error {
	before, generation := m.Snapshot(), m.store.Generation()
	dry := change(m.DryRun())
	if m.Snapshot() != before || m.store.Generation() != generation {
		r.Fatal("a dry run changed something")
	}
	err := change(m.Keystore)
	if errors.Is(dry, ErrDryRun) != (err == nil) || err != nil && dry.Error() != err.Error() {
		r.Fatalf("a dry run gave %v, the change %v", dry, err)
	}
	if err != nil && m.store.Generation() != generation {
		r.Fatalf("a change that failed, %v, made generation %d of %d", err, m.store.Generation(), generation)
	}
	return err
}

func (m *machine) pick(r *rapid.T) (*Key, *modelKey) {
	ids := slices.SortedFunc(maps.Keys(m.keys), func(a, b crypto.KeyID) int { return strings.Compare(a.String(), b.String()) })
	id := rapid.SampledFrom(ids).Draw(r, "key")
	return m.now(&Key{ID: id}), m.keys[id]
}

func (m *machine) createKey(r *rapid.T) {
	tags, origin := drawTags(r), rapid.SampledFrom([]Origin{OriginKMS, OriginKMS, OriginExternal}).Draw(r, "origin")
	var made *Key
	err := m.do(r, func(ks *Keystore) (err error) {
		made, err = ks.CreateKey(m.grant(authz.KMSCreateKey, authz.Resource{}), NewKey{Account: testAccount, Policy: m.policy(DefaultPolicy("aws", testAccount)), Tags: tags, Origin: origin})
		return err
	})
	if (err == nil) != distinct(nil, tags) {
		r.Fatalf("CreateKey with the tags %q = %v", tags, err)
	}
	if err == nil {
		life := modelLife{state: Enabled, versions: 1}
		if origin == OriginExternal {
			life = modelLife{state: PendingImport, external: true}
		}
		m.keys[made.ID] = &modelKey{life, map[string]bool{}, tagMap(tags), map[string]authz.KeyGrant{}}
	}
}

func (m *machine) switchKey(r *rapid.T) {
	k, want := m.pick(r)
	next := rapid.SampledFrom([]State{Enabled, Disabled}).Draw(r, "state")
	err := m.do(r, func(ks *Keystore) error {
		if next == Enabled {
			_, err := ks.Enable(m.onKey(authz.KMSEnableKey, k), k.ID)
			return err
		}
		_, err := ks.Disable(m.onKey(authz.KMSDisableKey, k), k.ID)
		return err
	})
	if m.expect(r, "Enable or Disable", err, want.life.allowed(Enabled, Disabled)) {
		want.life.state = next
	}
}

func drawTags(r *rapid.T) (tags []Tag) {
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "A", "b", "c"}), 0, 3, rapid.ID).Draw(r, "tags") {
		tags = append(tags, Tag{key, rapid.SampledFrom([]string{"", "x"}).Draw(r, "value")})
	}
	return tags
}

// distinct says whether no two keys of tags differ in case only.
func distinct(have map[string]string, add []Tag) bool {
	seen := map[string]string{}
	for key := range have {
		seen[strings.ToLower(key)] = key
	}
	for _, t := range add {
		if other, ok := seen[strings.ToLower(t.Key)]; ok && other != t.Key {
			return false
		}
		seen[strings.ToLower(t.Key)] = t.Key
	}
	return true
}

func (m *machine) tag(r *rapid.T) {
	k, want := m.pick(r)
	tags := drawTags(r)
	err := m.do(r, func(ks *Keystore) error {
		_, err := ks.TagKey(m.onKey(authz.KMSTagResource, k), k.ID, tags)
		return err
	})
	if !distinct(want.tags, tags) {
		m.expect(r, "TagKey", err, ErrTag)
		return
	}
	m.expect(r, "TagKey", err, want.life.allowed(Enabled, Disabled, PendingImport))
	if err == nil {
		maps.Copy(want.tags, tagMap(tags))
	}
}

func (m *machine) untag(r *rapid.T) {
	k, want := m.pick(r)
	key := rapid.SampledFrom([]string{"a", "A", "b"}).Draw(r, "tag")
	err := m.do(r, func(ks *Keystore) error {
		_, err := ks.UntagKey(m.onKey(authz.KMSUntagResource, k), k.ID, []string{key})
		return err
	})
	if m.expect(r, "UntagKey", err, want.life.allowed(Enabled, Disabled, PendingImport)) {
		delete(want.tags, key)
	}
}

// holder returns the key that has the alias, or nil.
func (m *machine) holder(alias string) (crypto.KeyID, *modelKey) {
	for id, k := range m.keys {
		if k.aliases[alias] {
			return id, k
		}
	}
	return crypto.KeyID{}, nil
}

func drawAlias(r *rapid.T) string {
	return rapid.SampledFrom([]string{"alias/a", "alias/b", "alias/c"}).Draw(r, "alias")
}

func (m *machine) setAlias(r *rapid.T) {
	k, want := m.pick(r)
	name := drawAlias(r)
	old, holder := m.holder(name)
	create := rapid.Bool().Draw(r, "create") || holder == nil
	err := m.do(r, func(ks *Keystore) error {
		if create {
			_, err := ks.CreateAlias(m.onAlias(authz.KMSCreateAlias, name), m.onKey(authz.KMSCreateAlias, k), testAccount, name, k.ID)
			return err
		}
		_, err := ks.UpdateAlias(m.onAlias(authz.KMSUpdateAlias, name), m.onKey(authz.KMSUpdateAlias, m.now(&Key{ID: old})), m.onKey(authz.KMSUpdateAlias, k), testAccount, name, k.ID)
		return err
	})
	switch {
	case err == nil:
		if holder != nil {
			delete(holder.aliases, name)
		}
		want.aliases[name] = true
	case errors.Is(err, ErrInvalidState) && want.life.state == PendingDeletion:
	case !errors.Is(err, ErrAlreadyExists) || holder == nil || !create:
		r.Fatal(err)
	}
}

func (m *machine) deleteAlias(r *rapid.T) {
	name := drawAlias(r)
	id, holder := m.holder(name)
	if holder == nil {
		return
	}
	err := m.do(r, func(ks *Keystore) error {
		return ks.DeleteAlias(m.onAlias(authz.KMSDeleteAlias, name), m.onKey(authz.KMSDeleteAlias, m.now(&Key{ID: id})), testAccount, name)
	})
	if err != nil {
		r.Fatal(err)
	}
	delete(holder.aliases, name)
}

func (m *machine) createGrant(r *rapid.T) {
	k, want := m.pick(r)
	g := authz.KeyGrant{Grantee: user(rapid.SampledFrom([]string{"alice", "bob"}).Draw(r, "grantee")), Actions: []authz.Action{authz.KMSDecrypt}}
	g.Name = rapid.SampledFrom([]string{"", "n"}).Draw(r, "name")
	if rapid.Bool().Draw(r, "retiring") {
		g.Retiring = user("carol")
	}
	if rapid.Bool().Draw(r, "expires") {
		g.Expires = m.soon
	}
	var made *authz.KeyGrant
	err := m.do(r, func(ks *Keystore) (err error) {
		made, _, err = ks.CreateGrant(m.toCreateGrant(k), k.ID, &g)
		return err
	})
	if !m.expect(r, "CreateGrant", err, want.life.allowed(Enabled)) {
		return
	}
	before := ""
	for id, have := range want.grants {
		if g.Name != "" && have.Name == g.Name && have.Grantee == g.Grantee && have.Retiring == g.Retiring && have.Expires.Equal(g.Expires) {
			before = id
		}
	}
	if before != "" && made.ID != before || before == "" && want.grants[made.ID].Grantee.ID != "" {
		r.Fatalf("CreateGrant made %v, where %q was asked for in the same words", made.ID, before)
	}
	want.grants[made.ID] = g
}

func (m *machine) removeGrant(r *rapid.T) {
	k, want := m.pick(r)
	ids := append(slices.Sorted(maps.Keys(want.grants)), newGrantID())
	id := rapid.SampledFrom(ids).Draw(r, "grant")
	g, exists := k.Grant(id)
	retire := rapid.Bool().Draw(r, "retire") && exists
	err := m.do(r, func(ks *Keystore) error {
		if retire {
			return ks.RetireGrant(m.toRetire(k, g), k.ID, id)
		}
		return ks.RevokeGrant(m.toRevoke(k), k.ID, id)
	})
	if exists != (err == nil) || !exists && !errors.Is(err, ErrNotFound) {
		r.Fatalf("removing a grant that exists (%v) = %v", exists, err)
	}
	delete(want.grants, id)
}

func (m *machine) sweep(r *rapid.T) {
	now := rapid.SampledFrom([]time.Time{m.soon.Add(-1), m.soon}).Draw(r, "now")
	want := 0
	for _, k := range m.keys {
		for id, g := range k.grants {
			if !g.Expires.IsZero() && !now.Before(g.Expires) {
				delete(k.grants, id)
				want++
			}
		}
	}
	removed := 0
	err := m.do(r, func(ks *Keystore) (err error) { removed, err = ks.Sweep(now); return err })
	if err != nil || removed != want {
		r.Fatalf("Sweep = %d, %v, want %d", removed, err, want)
	}
}

// compare checks all that can be read.
func (m *machine) compare(r *rapid.T) {
	s := m.Snapshot()
	size := rapid.IntRange(1, 3).Draw(r, "page")
	if page, more := s.Keys(testAccount, crypto.KeyID{}, 1000); len(page) != len(m.keys) || more || s.Len() != len(m.keys) {
		r.Fatalf("%d keys, want %d", len(page), len(m.keys))
	}
	aliases, retirable := 0, []string{}
	for id, want := range m.keys {
		k := m.now(&Key{ID: id})
		aliases += len(want.aliases)
		byGrantee := map[string][]string{"": {}, user("alice").ID: {}, user("bob").ID: {}}
		for grantID, g := range want.grants {
			byGrantee[""] = append(byGrantee[""], grantID)
			byGrantee[g.Grantee.ID] = append(byGrantee[g.Grantee.ID], grantID)
			if g.Retiring.ID != "" {
				retirable = append(retirable, id.String()+"/"+grantID)
			}
		}
		for granteeID, ids := range byGrantee {
			slices.Sort(ids)
			if got := pagesOf(k, granteeID, size); !slices.Equal(got, ids) {
				r.Fatalf("grants for %q = %v, want %v", granteeID, got, ids)
			}
		}
		if got := slices.Sorted(maps.Keys(maps.Collect(keyed(slices.Collect(k.Resource.Grants.All()), func(g *authz.KeyGrant) string { return g.ID })))); !slices.Equal(got, byGrantee[""]) || k.Resource.Grants.Len() != len(got) {
			r.Fatalf("authz sees the grants %v, want %v", got, byGrantee[""])
		}
		if !maps.Equal(tagMap(k.Tags()), want.tags) || !maps.Equal(maps.Collect(k.Resource.Tags.All), want.tags) {
			r.Fatalf("tags = %q, for authz %v, want %q", k.Tags(), k.Resource.Tags, want.tags)
		}
		if names := slices.Sorted(maps.Keys(want.aliases)); !slices.Equal(k.Aliases(), names) || !slices.Equal(k.Resource.Aliases, names) {
			r.Fatalf("aliases = %q, want %q", k.Aliases(), names)
		}
		m.compareLife(r, k, &want.life)
	}
	if page, _ := s.Aliases(testAccount, nil, "", 100); len(page) != aliases {
		r.Fatalf("%d aliases, want %d", len(page), aliases)
	}
	slices.Sort(retirable)
	page, _ := s.RetirableGrants(user("carol").ID, "", 1000)
	if got := fmt.Sprint(markersOf(page)); got != fmt.Sprint(retirable) {
		r.Fatalf("retirable = %v, want %v", got, retirable)
	}
}

func markersOf(page []KeyedGrant) []string {
	list := []string{}
	for _, g := range page {
		list = append(list, g.Marker())
	}
	return list
}
