package keystore

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/cow"
	"github.com/kmsd/kmsd/storage"
)

// loader reads all records of a store into a snapshot.
type loader struct {
	*core
	keys     map[crypto.KeyID]*Key
	aliases  map[aliasName]*Alias
	policies map[string]*Policy // :: as Policy.encode has it → policy; most keys have the same few
	names    map[string]string  // :: account → account, so that all keys of one share it

	grants      map[crypto.KeyID][]*authz.KeyGrant
	grantTokens *grantTokens
}

func newLoader(c *core) *loader {
	return &loader{
		core: c, keys: map[crypto.KeyID]*Key{}, aliases: map[aliasName]*Alias{}, policies: map[string]*Policy{}, names: map[string]string{},
		grants: map[crypto.KeyID][]*authz.KeyGrant{},
	}
}

// load reads the store into the core.
func (l *loader) load() error {
	err := l.store.View(func(tx *storage.Tx) error {
		for _, step := range []struct {
			kind storage.Kind
			read func(path string, value []byte) error
		}{
			{kindKey, l.key},
			{kindMaterial, l.material},
			{kindUsage, l.usage},
			{kindAlias, l.alias},
			{kindToken, l.token},
			{kindParams, l.parameters},
			{kindGrantTokenKey, l.grantTokenKey},
			{kindGrant, l.grant},
			{kindCommitmentKey, l.commitmentKey},
			{kindClock, l.clockRecord},
			{kindErase, l.erase},
		} {
			err := tx.Walk(step.kind, "", func(path string, value []byte) error {
				if err := step.read(path, value); err != nil {
					return fmt.Errorf("reading %s %s: %w", step.kind, path, err)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s, err := l.collect()
	if err != nil {
		return err
	}
	l.tokens, l.params = l.tokens.sorted(), l.params.sorted()
	l.snapshot.Store(s)
	return nil
}

// collect returns what has been read, once it is all there.
func (l *loader) collect() (*Snapshot, error) {
	s := &Snapshot{keys: cow.Collect(maps.All(l.keys)), aliases: cow.Collect(maps.All(l.aliases)), grantTokens: l.grantTokens}
	keys, aliases, unusable := map[string]map[string]crypto.KeyID{}, map[string]map[string]*Alias{}, map[string]struct{}{}
	deleting, due := map[string]struct{}{}, map[string]crypto.KeyID{}
	for id, k := range l.keys {
		if k.current.Number == 0 && (k.Origin != OriginExternal || k.history != nil) {
			return nil, fmt.Errorf("reading key %s: %w: it has no material", id, ErrCorrupt)
		}
		if k.Policy.unusable != nil {
			unusable[k.Name] = struct{}{}
		}
		if k.State == PendingDeletion {
			deleting[k.Name] = struct{}{}
		}
		if order := k.dueOrder(); order != "" {
			due[order] = id
		}
		put(keys, k.Account(), k.Name, id)
	}
	for n, a := range l.aliases {
		put(aliases, n.account, n.name, a)
	}
	for id, list := range keys {
		s.accounts = s.accounts.With(id, account{keys: cow.CollectSorted(maps.All(list)), aliases: cow.CollectSorted(maps.All(aliases[id]))})
	}
	s.unusable, s.deleting, s.due = cow.CollectSorted(maps.All(unusable)), cow.CollectSorted(maps.All(deleting)), cow.CollectSorted(maps.All(due))
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
	r, err := decodeToken(value)
	if err != nil {
		return err
	}
	l.tokens = append(l.tokens, expiringRecord{path, r.Expires})
	return nil
}

// account returns the account of a name, shared.
func (l *loader) account(name string) string {
	if shared, ok := l.names[name]; ok {
		return shared
	}
	l.names[strings.Clone(name)] = strings.Clone(name)
	return l.names[name]
}

func (l *loader) key(path string, value []byte) error {
	account, text, ok := strings.Cut(path, "/")
	id, err := crypto.ParseKeyID(text)
	if !ok || err != nil || !isAccount(account) {
		return fmt.Errorf("%w: path", ErrCorrupt)
	}
	decode := decodeKey
	if len(value) > 0 && value[0] == '{' {
		decode = decodeKeyV1
	}
	d, err := decode(value)
	if err != nil {
		return err
	}
	account = l.account(account)
	k := l.place.newKey(account, id, d.created, d.spec, d.usage, d.origin)
	k.State, k.Description, k.DeletionProtection, k.life = d.state, d.description, d.protected, d.life
	k.setPolicy(l.policy(d.policy), d.policyUpdated)
	if len(d.tags) > 0 {
		k.setTags(d.tags)
	}
	k.use = l.uses.of(account, id)
	l.keys[id] = k
	return nil
}

func (l *loader) policy(encoded []byte) *Policy {
	if p, ok := l.policies[string(encoded)]; ok {
		return p
	}
	document, bindings := decodePolicy(encoded)
	p, err := recompilePolicy(document, bindings)
	if err != nil {
		p = unusablePolicy(document, bindings, err)
	}
	l.policies[string(encoded)] = p
	return p
}

// of returns the key that a record at <account>/<key id>/… or <account>/<key id> belongs to, and what follows in the path.
func (l *loader) of(path string) (k *Key, rest string, err error) {
	account, rest, _ := strings.Cut(path, "/")
	text, rest, _ := strings.Cut(rest, "/")
	id, err := crypto.ParseKeyID(text)
	if err != nil {
		return nil, "", fmt.Errorf("%w: path", ErrCorrupt)
	}
	k, ok := l.keys[id]
	if !ok || k.Account() != account {
		return nil, "", fmt.Errorf("%w: record of a key that does not exist", ErrCorrupt)
	}
	return k, rest, nil
}

// material reads a version. The store walks in the order of paths, so versions come in the order of their numbers.
func (l *loader) material(path string, value []byte) error {
	k, rest, err := l.of(path)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(rest)
	if err != nil || number != k.VersionCount()+1 || len(rest) != numberSize {
		return fmt.Errorf("%w: version %s does not follow version %d", ErrCorrupt, rest, k.VersionCount())
	}
	v, err := decodeMaterial(value, k.ID, k.Spec, number)
	if err != nil {
		return err
	}
	if (v.Imported == nil) != (k.Origin == OriginKMS) || v.pending() && number == 1 || k.history != nil && k.history.pending != nil {
		return fmt.Errorf("%w: version %d is not one for a key of origin %s", ErrCorrupt, number, k.Origin)
	}
	k.setVersion(v)
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
	k, rest, err := l.of(path)
	if err != nil {
		return err
	}
	if checkGrantID(rest) != nil {
		return fmt.Errorf("%w: path", ErrCorrupt)
	}
	g, err := decodeGrant(value, rest)
	if err != nil {
		return err
	}
	l.grants[k.ID] = append(l.grants[k.ID], g)
	return nil
}

func (l *loader) grantTokenKey(path string, value []byte) error {
	if path != theOne || len(value) != grantTokenKeySize || value[0] != recordVersion {
		return fmt.Errorf("%w: key of grant tokens", ErrCorrupt)
	}
	l.grantTokens = newGrantTokens(crypto.NewSecret(value[1:]))
	return nil
}

func (l *loader) commitmentKey(path string, value []byte) error {
	if path != theOne || len(value) != commitmentKeySize || value[0] != recordVersion {
		return fmt.Errorf("%w: key of commitments", ErrCorrupt)
	}
	l.committer = newCommitter(crypto.NewSecret(value[1:]))
	return nil
}

func (l *loader) usage(path string, value []byte) error {
	k, rest, err := l.of(path)
	if err != nil {
		return err
	}
	if rest != "" {
		return fmt.Errorf("%w: path", ErrCorrupt)
	}
	return k.use.decode(value)
}

func (l *loader) parameters(path string, value []byte) error {
	if _, _, err := l.of(path); err != nil {
		return err
	}
	p, err := decodeParameters(value)
	if err != nil {
		return err
	}
	p.private.Wipe()
	l.params = append(l.params, expiringRecord{path, p.expires})
	return nil
}

func (l *loader) clockRecord(path string, value []byte) error {
	if path != theOne {
		return fmt.Errorf("%w: path", ErrCorrupt)
	}
	return l.served.decode(value)
}

func (l *loader) erase(string, []byte) error {
	l.toErase = 1
	return nil
}
