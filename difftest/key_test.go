package difftest

import (
	"fmt"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	"github.com/kmsd/kmsd/crypto/keywrap"
)

// key is one key as kmsd holds it, and as another implementation reads it.
type key struct {
	id      int
	spec    string
	pkcs8   []byte // raw bytes for HMAC, AES and X-Wing
	spki    []byte // nil for HMAC and AES
	secret  crypto.Secret
	private *keypair.Private
	public  *keypair.Public
	hmac    *crypto.HMACKey
	// The last message and what was made of it, to alter.
	message, made []byte
}

// ring hands out keys: each for some cases, then another.
type ring struct {
	t     *testing.T
	specs []crypto.Spec
	every int // cases per key
	size  int // keys of a spec, then the first again
	keys  map[string]*key
}

func newRing(t *testing.T, specs ...crypto.Spec) *ring {
	g := &ring{t: t, specs: specs, every: 100, size: 1 << 30, keys: map[string]*key{}}
	if specs[0] == crypto.SpecRSA2048 {
		g.size = 3 // they take long to make
	}
	return g
}

// next returns the key of case i. The first spec gets the most cases, since RSA gets slow: the others one of 16.
func (g *ring) next(i int) *key {
	g.t.Helper()
	spec := g.specs[0]
	if n := len(g.specs); n > 1 && i%16 == 15 {
		spec = g.specs[1+i/16%(n-1)]
	}
	which := i / g.every % g.size
	name := fmt.Sprint(spec, which)
	k := g.keys[name]
	if k == nil {
		if g.size > 1<<20 {
			clear(g.keys)
		}
		k = generate(g.t, spec)
		k.id = i
		g.keys[name] = k
	}
	return k
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func generate(t *testing.T, spec crypto.Spec) *key {
	t.Helper()
	k := &key{spec: string(spec)}
	k.secret = must[crypto.Secret](t)(keypair.Generate(spec))
	switch {
	case spec == crypto.SpecSymmetricDefault:
		k.spec, k.pkcs8 = "AES", k.secret.Expose()
	case !spec.Asymmetric():
		k.pkcs8 = k.secret.Expose()
		k.hmac = must[*crypto.HMACKey](t)(crypto.NewHMACKey(spec, k.secret))
	default:
		k.pkcs8 = must[crypto.Secret](t)(keypair.PKCS8(spec, k.secret)).Expose()
		k.private = must[*keypair.Private](t)(keypair.New(spec, k.secret))
		k.spki = k.private.Public().DER()
		k.public = must[*keypair.Public](t)(keypair.ParsePublic(spec, k.spki))
	}
	return k
}

// wrappingKey returns a key of keywrap.
func wrappingKey(t *testing.T, spec keywrap.KeySpec) *key {
	t.Helper()
	private, public, err := keywrap.Generate(spec)
	if err != nil {
		t.Fatal(err)
	}
	return &key{spec: string(spec), pkcs8: private.Expose(), spki: public, secret: private}
}
