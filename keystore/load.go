package keystore

import (
	"fmt"
	"iter"
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
	list    []*Key                      // in the order of accounts and ids
	keys    cow.Map[crypto.KeyID, *Key] // of list, once it is whole
	aliases map[aliasName]*Alias
	shared  shared

	grants      map[crypto.KeyID][]*authz.KeyGrant
	grantTokens *grantTokens
}

func newLoader(c *core) *loader {
	return &loader{
		core: c, aliases: map[aliasName]*Alias{}, grants: map[crypto.KeyID][]*authz.KeyGrant{},
		shared: shared{policies: map[string]*Policy{}, accounts: map[string]string{}},
	}
}

// load reads the store into the core.
func (l *loader) load() error {
	err := l.store.View(func(tx *storage.Tx) error {
		err := storage.WalkParallel(tx, kindKey, "", named(kindKey, l.key), func(_ string, k *Key) error {
			l.list = append(l.list, k)
			return nil
		})
		if err != nil {
			return err
		}
		l.keys = cow.Collect(func(yield func(crypto.KeyID, *Key) bool) {
			for _, k := range l.list {
				if !yield(k.ID, k) {
					return
				}
			}
		})
		if err := storage.WalkParallel(tx, kindMaterial, "", named(kindMaterial, l.material), l.addMaterial); err != nil {
			return err
		}
		return l.loadRest(tx)
	})
	if err != nil {
		return err
	}
	s, err := l.collect()
	if err != nil {
		return err
	}
	for account, list := range l.tokens {
		l.tokens[account] = list.sorted()
	}
	l.params = l.params.sorted()
	l.snapshot.Store(s)
	return nil
}

// named returns read with errors that name the record.
func named[T any](kind storage.Kind, read func(path string, value []byte) (T, error)) func(path string, value []byte) (T, error) {
	return func(path string, value []byte) (T, error) {
		v, err := read(path, value)
		if err != nil {
			err = fmt.Errorf("reading %s %s: %w", kind, path, err)
		}
		return v, err
	}
}

// loadRest reads what there is less of than keys.
func (l *loader) loadRest(tx *storage.Tx) error {
	for _, step := range []struct {
		kind storage.Kind
		read func(path string, value []byte) error
	}{
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
}

// collect returns what has been read, once it is all there.
func (l *loader) collect() (*Snapshot, error) {
	s := &Snapshot{keys: l.keys, aliases: cow.Collect(maps.All(l.aliases)), grantTokens: l.grantTokens}
	unusable, deleting, due := map[string]struct{}{}, map[string]struct{}{}, map[string]crypto.KeyID{}
	for _, k := range l.list {
		if k.current.Number == 0 && (k.Origin != OriginExternal || k.history != nil) {
			return nil, fmt.Errorf("reading key %s: %w: it has no material", k.Name, ErrCorrupt)
		}
		if k.Policy.unusable != nil {
			unusable[k.Name] = struct{}{}
		}
		if k.State == PendingDeletion {
			deleting[k.Name] = struct{}{}
		}
		if order := k.dueOrder(); order != "" {
			due[order] = k.ID
		}
	}
	aliases := map[string]map[string]*Alias{} // :: account → name → alias
	for n, a := range l.aliases {
		if aliases[n.account] == nil {
			aliases[n.account] = map[string]*Alias{}
		}
		aliases[n.account][n.name] = a
	}
	for own := range l.byAccount() {
		id := own[0].Account()
		s.accounts = s.accounts.With(id, account{keys: cow.CollectSorted(names(own)), aliases: cow.CollectSorted(maps.All(aliases[id]))})
	}
	s.unusable, s.deleting, s.due = cow.CollectSorted(maps.All(unusable)), cow.CollectSorted(maps.All(deleting)), cow.CollectSorted(maps.All(due))
	l.addGrants(s)
	return s, nil
}

// byAccount ranges over the keys of each account.
func (l *loader) byAccount() iter.Seq[[]*Key] {
	return func(yield func([]*Key) bool) {
		for rest := l.list; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].Account() == rest[0].Account() {
				n++
			}
			if !yield(rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// names ranges over the names of keys and their ids.
func names(keys []*Key) iter.Seq2[string, crypto.KeyID] {
	return func(yield func(string, crypto.KeyID) bool) {
		for _, k := range keys {
			if !yield(k.Name, k.ID) {
				return
			}
		}
	}
}

// addGrants gives the keys their grants, and s the orders of all grants.
func (l *loader) addGrants(s *Snapshot) {
	retirable, expiring := map[string]KeyedGrant{}, map[string]KeyedGrant{}
	for id, list := range l.grants {
		k, _ := l.keys.Load(id)
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

func (l *loader) token(path string, value []byte) error {
	r, err := decodeToken(value)
	if err != nil {
		return err
	}
	account, _, _ := strings.Cut(path, "/")
	l.tokens[account] = append(l.tokens[account], expiringRecord{path, r.Expires})
	return nil
}

// key reads a key. It may be called concurrently.
func (l *loader) key(path string, value []byte) (*Key, error) {
	account, text, ok := strings.Cut(path, "/")
	id, err := crypto.ParseKeyID(text)
	if !ok || err != nil || !isAccount(account) {
		return nil, fmt.Errorf("%w: path", ErrCorrupt)
	}
	decode := decodeKey
	if len(value) > 0 && value[0] == '{' {
		decode = decodeKeyV1
	}
	d, err := decode(value)
	if err != nil {
		return nil, err
	}
	account = l.shared.account(account)
	k := l.place.newKey(account, id, d.created, d.spec, d.usage, d.origin)
	k.State, k.Description, k.DeletionProtection, k.life = d.state, d.description, d.protected, d.life
	k.setPolicy(l.shared.policy(d.policy), d.policyUpdated)
	if len(d.tags) > 0 {
		k.setTags(d.tags)
	}
	k.use = l.uses.of(account, id)
	return k, nil
}

// of returns the key that a record at <account>/<key id>/… or <account>/<key id> belongs to, and what follows in the path.
func (l *loader) of(path string) (k *Key, rest string, err error) {
	account, rest, _ := strings.Cut(path, "/")
	text, rest, _ := strings.Cut(rest, "/")
	id, err := crypto.ParseKeyID(text)
	if err != nil {
		return nil, "", fmt.Errorf("%w: path", ErrCorrupt)
	}
	k, ok := l.keys.Load(id)
	if !ok || k.Account() != account {
		return nil, "", fmt.Errorf("%w: record of a key that does not exist", ErrCorrupt)
	}
	return k, rest, nil
}

// versionOf is a version and the key that it is of.
type versionOf struct {
	key     *Key
	version *Version
}

// material reads a version. It may be called concurrently.
func (l *loader) material(path string, value []byte) (versionOf, error) {
	k, rest, err := l.of(path)
	if err != nil {
		return versionOf{}, err
	}
	number, err := strconv.Atoi(rest)
	if err != nil || len(rest) != numberSize {
		return versionOf{}, fmt.Errorf("%w: path", ErrCorrupt)
	}
	v, err := decodeMaterial(value, k.ID, k.Spec, number)
	return versionOf{k, v}, err
}

// addMaterial gives keys their versions, which come in the order of paths, and so of their numbers.
func (l *loader) addMaterial(path string, of versionOf) error {
	k, v := of.key, of.version
	if n := k.VersionCount(); v.Number != n+1 {
		return fmt.Errorf("reading %s %s: %w: it does not follow version %d", kindMaterial, path, ErrCorrupt, n)
	}
	if (v.Imported == nil) != (k.Origin == OriginKMS) || v.pending() && v.Number == 1 || k.history != nil && k.history.pending != nil {
		return fmt.Errorf("reading %s %s: %w: it is not one for a key of origin %s", kindMaterial, path, ErrCorrupt, k.Origin)
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
	k, ok := l.keys.Load(id)
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
