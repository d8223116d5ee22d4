package oidc

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	// MaxKeySet is the longest JSON Web Key Set, in bytes.
	MaxKeySet = 64 << 10

	maxKeys    = 64
	minRSABits = 2048 // the longest is go-jose's: 4096
)

// ErrKeySet says that a key set cannot be used; errors that match it say why.
var ErrKeySet = errors.New("the JSON Web Key Set is not valid")

// A KeySet is the public keys of a provider. It never changes and may be used by many goroutines at once. The zero KeySet, and a
// nil one, has no keys.
type KeySet struct {
	keys []publicKey
}

type publicKey struct {
	id, algorithm string // the algorithm is "" if the set does not say
	family        string
	key           any
}

// ParseKeySet reads a JSON Web Key Set of at most MaxKeySet bytes and 64 keys. Keys for other purposes and of other kinds than RSA
// (2,048 to 4,096 bits), P-256, P-384 and Ed25519, and keys without an id, are left out; that none is left is an error,
// and so is a private or symmetric key, and an id that two keys of a kind have. Errors match ErrKeySet and do not hold what was read.
func ParseKeySet(data []byte) (*KeySet, error) {
	if len(data) > MaxKeySet {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrKeySet, MaxKeySet)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if decode(data, &set) != nil {
		return nil, fmt.Errorf(`%w: it is not JSON of the form {"keys":[…]}`, ErrKeySet)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%w: it has more than %d keys", ErrKeySet, maxKeys)
	}
	k := &KeySet{}
	for n, raw := range set.Keys {
		key, ok, err := parseKey(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: key %d %w", ErrKeySet, n+1, err)
		}
		if !ok {
			continue
		}
		for _, other := range k.keys {
			if other.id == key.id && other.family == key.family {
				return nil, fmt.Errorf("%w: key %d has the id of another", ErrKeySet, n+1)
			}
		}
		k.keys = append(k.keys, key)
	}
	if len(k.keys) == 0 {
		return nil, fmt.Errorf("%w: it has no key with an id that can check signatures: RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519", ErrKeySet)
	}
	return k, nil
}

// Len returns the number of keys that can be used.
func (k *KeySet) Len() int {
	if k == nil {
		return 0
	}
	return len(k.keys)
}

// parseKey reads one key, and reports whether it is of use.
func parseKey(raw json.RawMessage) (publicKey, bool, error) {
	var members map[string]*json.RawMessage // pointers, or Marshal writes them as base64
	if json.Unmarshal(raw, &members) != nil || members == nil {
		return publicKey{}, false, errors.New("is not an object")
	}
	for _, secret := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if _, there := members[secret]; there {
			return publicKey{}, false, errors.New("is not public: make it anew, and give only its public part")
		}
	}
	if use, there := members["use"]; there && (use == nil || string(*use) != `"sig"`) {
		return publicKey{}, false, nil
	}
	for _, certificates := range []string{"x5c", "x5u", "x5t", "x5t#S256"} { // of which nothing is believed
		delete(members, certificates)
	}
	plain, err := json.Marshal(members)
	if err != nil {
		return publicKey{}, false, errors.New("is not an object")
	}
	var jwk jose.JSONWebKey
	if jwk.UnmarshalJSON(plain) != nil || !jwk.Valid() || !jwk.IsPublic() || jwk.KeyID == "" {
		return publicKey{}, false, nil
	}
	family, ok := familyOf(jwk.Key)
	return publicKey{id: jwk.KeyID, algorithm: jwk.Algorithm, family: family, key: jwk.Key}, ok, nil
}

// familyOf returns what the algorithms begin with that a key is good for: "R", which stands for RS and PS, or the algorithm itself.
func familyOf(key any) (string, bool) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return "R", k.N.BitLen() >= minRSABits && k.E >= 3
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return string(jose.ES256), true
		case elliptic.P384():
			return string(jose.ES384), true
		}
	case ed25519.PublicKey:
		return string(jose.EdDSA), true
	}
	return "", false
}

// find returns the key of an id, if it is one for the algorithm.
func (k *KeySet) find(id, algorithm string) (any, error) {
	if k == nil {
		return nil, ErrUnknownKey
	}
	family := algorithm
	if strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS") {
		family = "R"
	}
	known := false
	for _, key := range k.keys {
		if key.id != id {
			continue
		}
		known = true
		if key.family == family && (key.algorithm == "" || key.algorithm == algorithm) {
			return key.key, nil
		}
	}
	if known {
		return nil, ErrToken
	}
	return nil, ErrUnknownKey
}
