package keystore

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/cow"
)

// loader reads all records of a store into a snapshot.
type loader struct {
	place    Place
	keys     map[crypto.KeyID]*Key
	aliases  map[aliasName]*Alias
	policies map[[32]byte]*Policy // most keys have the same few policies
	tokens   tokenQueue

	grants      map[crypto.KeyID][]*authz.KeyGrant
	grantTokens *grantTokens
}

func newLoader(place Place) *loader {
	return &loader{
		place: place, keys: map[crypto.KeyID]*Key{}, aliases: map[aliasName]*Alias{}, policies: map[[32]byte]*Policy{},
		grants: map[crypto.KeyID][]*authz.KeyGrant{},
	}
}

// snapshot returns what has been read, once it is all there.
func (l *loader) snapshot() (*Snapshot, error) {
	s := &Snapshot{keys: cow.Collect(maps.All(l.keys)), aliases: cow.Collect(maps.All(l.aliases)), grantTokens: l.grantTokens}
	keys, aliases, unusable := map[string]map[string]crypto.KeyID{}, map[string]map[string]*Alias{}, map[string]struct{}{}
	for id, k := range l.keys {
		if len(k.versions) == 0 {
			return nil, fmt.Errorf("reading key %s: %w: it has no material", id, ErrCorrupt)
		}
		if k.Policy.unusable != nil {
			unusable[keyOrder(id)] = struct{}{}
		}
		put(keys, k.Account(), keyOrder(id), id)
	}
	for n, a := range l.aliases {
		put(aliases, n.account, n.name, a)
	}
	for id, list := range keys {
		s.accounts = s.accounts.With(id, account{keys: cow.CollectSorted(maps.All(list)), aliases: cow.CollectSorted(maps.All(aliases[id]))})
	}
	s.unusable = cow.CollectSorted(maps.All(unusable))
	l.addGrants(s)
	return s, nil
}

// addGrants gives the keys their grants, and s the orders of all grants.
func (l *loader) addGrants(s *Snapshot) {
	retirable, expiring := map[string]KeyedGrant{}, map[string]KeyedGrant{}
	for id, list := range l.grants {
		k := l.keys[id]
		k.setGrants(list)
		for _, g := range list {
			keyed := KeyedGrant{id, g}
			if g.Retiring.ID != "" {
				retirable[keyed.retiringOrder()] = keyed
			}
			if !g.Expires.IsZero() {
				expiring[keyed.expiryOrder()] = keyed
			}
		}
	}
	s.retirable, s.expiring = cow.CollectSorted(maps.All(retirable)), cow.CollectSorted(maps.All(expiring))
}

func put[V any](lists map[string]map[string]V, list, key string, v V) {
	if lists[list] == nil {
		lists[list] = map[string]V{}
	}
	lists[list][key] = v
}

func (l *loader) token(path string, value []byte) error {
	var r tokenRecord
	if err := decodeRecord(value, &r, func() int { return r.V }); err != nil {
		return err
	}
	l.tokens = append(l.tokens, queuedToken{path, r.Expires})
	return nil
}

func (l *loader) key(path string, value []byte) error {
	account, text, ok := strings.Cut(path, "/")
	id, err := crypto.ParseKeyID(text)
	if !ok || err != nil || !isAccount(account) {
		return fmt.Errorf("%w: path", ErrCorrupt)
	}
	var r keyRecord
	if err := decodeRecord(value, &r, func() int { return r.V }); err != nil {
		return err
	}
	k := l.place.newKey(account, id, r.Created)
	k.Description = r.Description
	if k.State, err = stateFromString(r.State); err != nil {
		return err
	}
	k.setPolicy(l.policy(r.Policy, r.Bindings), r.PolicyUpdated)
	k.setTags(tagsOf(r.Tags))
	l.keys[id] = k
	return nil
}

func (l *loader) policy(document string, bindings map[string]string) *Policy {
	hash := sha256.Sum256(mustJSON([]any{document, bindings}))
	if p, ok := l.policies[hash]; ok {
		return p
	}
	p, err := recompilePolicy(document, bindings)
	if err != nil {
		p = unusablePolicy(document, bindings, err)
	}
	l.policies[hash] = p
	return p
}

// material reads a version. The store walks in the order of paths, so versions come in the order of their numbers.
func (l *loader) material(path string, value []byte) error {
	part := strings.Split(path, "/")
	if len(part) != 3 {
		return fmt.Errorf("%w: path", ErrCorrupt)
	}
	id, err := crypto.ParseKeyID(part[1])
	if err != nil {
		return fmt.Errorf("%w: path", ErrCorrupt)
	}
	k, ok := l.keys[id]
	if !ok || k.Account() != part[0] {
		return fmt.Errorf("%w: key material without its key", ErrCorrupt)
	}
	number, err := strconv.Atoi(part[2])
	if err != nil || number != len(k.versions)+1 {
		return fmt.Errorf("%w: version %s does not follow version %d", ErrCorrupt, part[2], len(k.versions))
	}
	v, err := decodeMaterial(value, id, number)
	if err != nil {
		return err
	}
	k.addVersion(v)
	return nil
}

func (l *loader) alias(path string, value []byte) error {
	account, name, _ := strings.Cut(path, "/")
	var r aliasRecord
	if err := decodeRecord(value, &r, func() int { return r.V }); err != nil {
		return err
	}
	id, err := crypto.ParseKeyID(r.Key)
	if err != nil {
		return fmt.Errorf("%w: alias of no key", ErrCorrupt)
	}
	k, ok := l.keys[id]
	if !ok || k.Account() != account || checkAliasSyntax(name) != nil {
		return fmt.Errorf("%w: alias of a key that does not exist", ErrCorrupt)
	}
	a := l.place.alias(account, name, id, r.Created, r.Updated)
	l.aliases[aliasName{account, name}] = a
	k.Resource.Aliases = append(k.Resource.Aliases, name) // in order, as the store walks
	return nil
}

func (l *loader) grant(path string, value []byte) error {
	part := strings.Split(path, "/")
	if len(part) != 3 || checkGrantID(part[2]) != nil {
		return fmt.Errorf("%w: path", ErrCorrupt)
	}
	id, err := crypto.ParseKeyID(part[1])
	if err != nil {
		return fmt.Errorf("%w: path", ErrCorrupt)
	}
	if k, ok := l.keys[id]; !ok || k.Account() != part[0] {
		return fmt.Errorf("%w: grant of a key that does not exist", ErrCorrupt)
	}
	g, err := decodeGrant(value, part[2])
	if err != nil {
		return err
	}
	l.grants[id] = append(l.grants[id], g)
	return nil
}

func (l *loader) grantTokenKey(path string, value []byte) error {
	if path != grantTokenKeyPath || len(value) != grantTokenKeySize || value[0] != recordVersion {
		return fmt.Errorf("%w: key of grant tokens", ErrCorrupt)
	}
	l.grantTokens = newGrantTokens(crypto.NewSecret(value[1:]))
	return nil
}
