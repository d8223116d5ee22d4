package keystore

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
)

// State is where a key is in its life. The zero value is no state.
type State uint8

// The states of a key. The numbers are on disk and never change.
const (
	Enabled State = iota + 1
	Disabled
)

// String is AWS's name of the state.
func (s State) String() string {
	switch s {
	case Enabled:
		return "Enabled"
	case Disabled:
		return "Disabled"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Key is a master key as one snapshot has it: metadata, policy and versions. It never changes, and many goroutines
// may read it.
type Key struct {
	ID       crypto.KeyID
	Name     string // ID as text
	ARN      string
	Created  time.Time
	State    State
	Resource authz.Resource // what authz decides about, but for the Membership of the account, which iam knows
	Policy   *Policy

	Description   string
	PolicyUpdated time.Time

	tags       []Tag // in the order of their keys
	grants     grantIndex
	versions   []*Version            // by number - 1; the last one is current
	byMaterial map[[16]byte]*Version // :: short material id → version, once there are two
}

// What every key is, as AWS KMS calls it.
const (
	keySpec   = "SYMMETRIC_DEFAULT"
	keyUsage  = "ENCRYPT_DECRYPT"
	keyOrigin = "AWS_KMS"
)

// newKey returns a key without policy, tags or versions.
func (p Place) newKey(account string, id crypto.KeyID, created time.Time) *Key {
	arn := p.KeyARN(account, id)
	return &Key{
		ID: id, Name: id.String(), ARN: arn, Created: created, State: Enabled,
		Resource: authz.Resource{Kind: authz.Key, Account: account, ARN: arn, KeySpec: keySpec, KeyUsage: keyUsage, KeyOrigin: keyOrigin},
	}
}

func (k *Key) setPolicy(p *Policy, updated time.Time) {
	k.Policy, k.Resource.Policy, k.PolicyUpdated = p, p.compiled, updated
}

// addVersion makes v the current version of a key that nobody else sees yet.
func (k *Key) addVersion(v *Version) {
	k.versions = append(slices.Clip(k.versions), v)
	if len(k.versions) == 1 {
		return
	}
	all := make(map[[16]byte]*Version, len(k.versions))
	for _, v := range k.versions {
		all[v.Material.Short()] = v
	}
	k.byMaterial = all
}

// Account is the account that owns the key.
func (k *Key) Account() string { return k.Resource.Account }

// Current is the version that encrypts.
func (k *Key) Current() *Version { return k.versions[len(k.versions)-1] }

// Versions returns the versions, the oldest first. The caller must not change the slice.
func (k *Key) Versions() []*Version { return k.versions }

// Aliases returns the key's aliases in the order of their names. The caller must not change the slice.
func (k *Key) Aliases() []string { return k.Resource.Aliases }

// version returns the version that a ciphertext names.
func (k *Key) version(material [16]byte) (*Version, error) {
	if v := k.Current(); v.Material.Short() == material {
		return v, nil
	}
	if v, ok := k.byMaterial[material]; ok {
		return v, nil
	}
	return nil, ErrMaterialMissing
}

// with returns a copy of k that change has been applied to.
func (k *Key) with(change func(*Key)) *Key {
	next := *k
	change(&next)
	return &next
}

// Rotation is why a version was made. The numbers are on disk and never change.
type Rotation uint8

// The reasons.
const (
	Creation Rotation = iota + 1
	OnDemand
)

// Version is one version of a key. It is made once and never changes.
type Version struct {
	Number   int // from 1
	Material crypto.MaterialID
	Name     string // Material as text
	Created  time.Time
	Rotation Rotation

	id     crypto.KeyID
	secret crypto.Secret
	ready  atomic.Pointer[crypto.Key] // made on first use: most keys of a large store are at rest
}

func (v *Version) key() (*crypto.Key, error) {
	if k := v.ready.Load(); k != nil {
		return k, nil
	}
	k, err := crypto.NewKey(v.id, v.Material, v.secret)
	if err != nil {
		return nil, fmt.Errorf("preparing version %d of key %s: %w", v.Number, v.id, err)
	}
	v.ready.Store(k)
	return k, nil
}

// Usable is a version of a key in the hands of somebody whom authz let have it. It can do what the grant allows and
// nothing else. The zero value can do nothing.
type Usable struct {
	Version *Version
	arn     string
	grant   authz.Grant
	key     *crypto.Key
}

// Use returns the current version of key, for encrypting with the permission g. Errors match ErrDisabled.
func (key *Key) Use(g authz.Grant) (Usable, error) {
	return key.use(g, key.Current())
}

// UseVersion returns the version that a ciphertext names by the short id of its material, for decrypting with the
// permission g. Errors match ErrDisabled or ErrMaterialMissing.
func (key *Key) UseVersion(g authz.Grant, material [16]byte) (Usable, error) {
	if key.State != Enabled {
		return Usable{}, &StateError{key.ARN, key.State}
	}
	v, err := key.version(material)
	if err != nil {
		return Usable{}, err
	}
	return key.use(g, v)
}

func (key *Key) use(g authz.Grant, v *Version) (Usable, error) {
	if key.State != Enabled {
		return Usable{}, &StateError{key.ARN, key.State}
	}
	ready, err := v.key()
	if err != nil {
		return Usable{}, err
	}
	return Usable{v, key.ARN, g, ready}, nil
}

func (u Usable) permits(actions ...authz.Action) error {
	for _, a := range actions {
		if u.grant.Permits(a, u.arn) {
			return nil
		}
	}
	return ErrNotPermitted
}

// Encrypt appends the ciphertext of plaintext to dst. The grant must be for an operation that encrypts.
func (u Usable) Encrypt(dst, plaintext []byte, c crypto.Context) ([]byte, error) {
	err := u.permits(authz.KMSEncrypt, authz.KMSGenerateDataKey, authz.KMSGenerateDataKeyWithoutPlaintext, authz.KMSReEncryptTo)
	if err != nil {
		return nil, err
	}
	return u.key.Encrypt(dst, plaintext, c)
}

// Decrypt appends the plaintext of blob to dst. The grant must be for an operation that decrypts. Errors match
// crypto.ErrCiphertext.
func (u Usable) Decrypt(dst, blob []byte, c crypto.Context) ([]byte, error) {
	if err := u.permits(authz.KMSDecrypt, authz.KMSReEncryptFrom); err != nil {
		return nil, err
	}
	return u.key.Decrypt(dst, blob, c)
}
