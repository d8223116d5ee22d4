package difftest

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
)

// typed returns a message and its type such that what is signed is message: at times its digest, or mu.
func typed(r *rand.Rand, k *key, a crypto.SigningAlgorithm, message []byte) (crypto.MessageType, []byte) {
	if r.IntN(2) == 0 || a == crypto.SignEd25519 {
		return crypto.MessageRaw, message
	}
	switch {
	case a == crypto.SignMLDSA:
		raw := k.spki[22:] // after the AlgorithmIdentifier and the head of the bit string
		tr := sha3.SumSHAKE256(raw, 64)
		return crypto.MessageExternalMu, sha3.SumSHAKE256(append(append(tr, 0, 0), message...), 64)
	case strings.HasSuffix(string(a), "256"):
		d := sha256.Sum256(message)
		return crypto.MessageDigest, d[:]
	case strings.HasSuffix(string(a), "384"):
		d := sha512.Sum384(message)
		return crypto.MessageDigest, d[:]
	}
	d := sha512.Sum512(message)
	return crypto.MessageDigest, d[:]
}

// signatures: one signs, the other verifies, both verify what has been altered; where the signature depends on
// nothing but key and message, both make the same.
func signatures(t *testing.T, a crypto.SigningAlgorithm, specs ...crypto.Spec) step {
	keys := newRing(t, specs...)
	deterministic := a == crypto.SignEd25519 || a == crypto.SignEd25519ph || strings.HasPrefix(string(a), "RSASSA_PKCS1")
	return func(r *rand.Rand, i int) (call, func(answer) error) {
		k := keys.next(i)
		m := message(r)
		mt, in := typed(r, k, a, m)
		if a == crypto.SignEd25519ph { // the digest is the message
			d := sha512.Sum512(m)
			mt, m, in = crypto.MessageDigest, d[:], d[:]
		}
		switch {
		case i%4 == 0 || k.made == nil:
			sig := must[[]byte](t)(k.private.Sign(a, mt, in))
			k.message, k.made = m, sig
			return call{"verify", string(a), k, [][]byte{m, sig}}, wantAccepted
		case i%4 == 1:
			return call{"sign", string(a), k, [][]byte{m}}, func(got answer) error {
				if got.refused || len(got.out) != 1 {
					return fmt.Errorf("%w: it does not sign", errDifference)
				}
				if deterministic {
					return wantOutput(got, must[[]byte](t)(k.private.Sign(a, mt, in)))
				}
				return k.public.Verify(a, mt, in, got.out[0])
			}
		}
		m, sig := k.message, altered(r, k.made)
		if r.IntN(4) == 0 && a != crypto.SignEd25519ph {
			m, sig = altered(r, k.message), k.made
			m = m[:min(len(m), crypto.MaxMessage)]
		}
		mt, in = typed(r, k, a, m)
		if a == crypto.SignEd25519ph {
			mt, in = crypto.MessageDigest, m
		}
		err := k.public.Verify(a, mt, in, sig)
		return call{"verify", string(a), k, [][]byte{m, sig}}, func(got answer) error { return wantSame(got, nil, err) }
	}
}

func macs(t *testing.T, a crypto.MACAlgorithm, spec crypto.Spec) step {
	keys := newRing(t, spec)
	return func(r *rand.Rand, i int) (call, func(answer) error) {
		k, m := keys.next(i), message(r)
		return call{"mac", string(a), k, [][]byte{m}}, func(got answer) error {
			if err := wantOutput(got, must[[]byte](t)(k.hmac.Generate(a, m))); err != nil {
				return err
			}
			if bad := altered(r, got.out[0]); !bytes.Equal(bad, got.out[0]) && k.hmac.Verify(a, m, bad) == nil {
				return fmt.Errorf("we take the altered MAC %x", bad)
			}
			return k.hmac.Verify(a, m, got.out[0])
		}
	}
}

// plaintext returns one that fits.
func plaintext(r *rand.Rand, k *key, hashSize int) []byte {
	bits := map[string]int{"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}[k.spec]
	limit := bits/8 - 2*hashSize - 2
	if r.IntN(8) == 0 {
		return random(r, limit)
	}
	return random(r, 1+r.IntN(limit))
}

func encryptions(t *testing.T, a crypto.EncryptionAlgorithm, hashSize int) step {
	keys := newRing(t, crypto.SpecRSA2048, crypto.SpecRSA3072, crypto.SpecRSA4096)
	return func(r *rand.Rand, i int) (call, func(answer) error) {
		k := keys.next(i)
		m := plaintext(r, k, hashSize)
		switch {
		case i%3 == 0 || k.made == nil:
			c := must[[]byte](t)(k.public.Encrypt(a, m))
			k.made = c
			return call{"decrypt", string(a), k, [][]byte{c}}, func(got answer) error { return wantOutput(got, m) }
		case i%3 == 1:
			return call{"encrypt", string(a), k, [][]byte{m}}, func(got answer) error {
				if got.refused || len(got.out) != 1 {
					return fmt.Errorf("%w: it does not encrypt", errDifference)
				}
				back, err := k.private.Decrypt(a, got.out[0])
				return wantSame(answer{out: [][]byte{m}}, back, err)
			}
		}
		c := altered(r, k.made)
		got, err := k.private.Decrypt(a, c)
		return call{"decrypt", string(a), k, [][]byte{c}}, func(a answer) error { return wantSame(a, got, err) }
	}
}

// agreements: both derive the same from each other's public key; a point that has been altered both refuse.
func agreements(t *testing.T, spec crypto.Spec) step {
	keys, peers := newRing(t, spec), newRing(t, spec)
	peers.every = 10
	return func(r *rand.Rand, i int) (call, func(answer) error) {
		k, other := keys.next(i), peers.next(i)
		spki := bytes.Clone(other.spki)
		if i%5 == 4 {
			spki[len(spki)-1-r.IntN(64)] ^= 1 << r.IntN(8) // a coordinate
		}
		got, err := k.private.DeriveSharedSecret(spki)
		return call{"derive", "ECDH", k, [][]byte{spki}}, func(a answer) error {
			if err := wantSame(a, got, err); err != nil || i%5 == 4 {
				return err
			}
			back, err := other.private.DeriveSharedSecret(k.spki)
			return wantSame(a, back, err)
		}
	}
}

// encapsulations: what one encapsulates the other decapsulates; from what has been altered both make the same secret.
func encapsulations(t *testing.T, spec crypto.Spec) step {
	keys := newRing(t, spec)
	return func(r *rand.Rand, i int) (call, func(answer) error) {
		k := keys.next(i)
		if i%3 == 1 {
			return call{"encapsulate", "ML_KEM", k, nil}, func(a answer) error {
				if a.refused || len(a.out) != 2 {
					return fmt.Errorf("%w: it does not encapsulate", errDifference)
				}
				got, err := k.private.Decapsulate(a.out[0])
				return wantSame(answer{out: a.out[1:]}, got, err)
			}
		}
		c, secret, err := k.public.Encapsulate()
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 2 {
			c = altered(r, c)
			secret, err = k.private.Decapsulate(c)
		}
		return call{"decapsulate", "ML_KEM", k, [][]byte{c}}, func(a answer) error { return wantSame(a, secret, err) }
	}
}

// seals: AES-256-GCM with the nonce before what is sealed.
func seals(t *testing.T) step {
	keys := newRing(t, crypto.SpecSymmetricDefault)
	return func(r *rand.Rand, i int) (call, func(answer) error) {
		k := keys.next(i)
		s := must[*crypto.Sealer](t)(crypto.NewSealer(k.secret))
		m, aad := message(r), random(r, r.IntN(40))
		if i%3 == 1 {
			return call{"seal", "AES_256_GCM", k, [][]byte{aad, m, random(r, 12)}}, func(a answer) error {
				got, err := s.Open(nil, a.out[0], aad)
				return wantSame(answer{out: [][]byte{m}}, got, err)
			}
		}
		sealed := s.Seal(nil, m, aad)
		if i%3 == 0 {
			return call{"open", "AES_256_GCM", k, [][]byte{aad, sealed}}, func(a answer) error { return wantOutput(a, m) }
		}
		sealed = altered(r, sealed)
		got, err := s.Open(nil, sealed, aad)
		return call{"open", "AES_256_GCM", k, [][]byte{aad, sealed}}, func(a answer) error { return wantSame(a, got, err) }
	}
}

// paddedWraps: AES-KWP, which gives the same each time.
func paddedWraps(t *testing.T, least int) step {
	keys := newRing(t, crypto.SpecSymmetricDefault)
	return func(r *rand.Rand, i int) (call, func(answer) error) {
		k, m := keys.next(i), random(r, least+r.IntN(200))
		wrapped := must[[]byte](t)(keywrap.KWPWrap(k.secret, m))
		if i%2 == 0 {
			return call{"wrap", "AES_KWP", k, [][]byte{nil, m, nil}}, func(a answer) error { return wantOutput(a, wrapped) }
		}
		if i%4 == 1 {
			wrapped = altered(r, wrapped)
		}
		got, err := keywrap.KWPUnwrap(k.secret, wrapped)
		return call{"unwrap", "AES_KWP", k, [][]byte{nil, wrapped}}, func(a answer) error { return wantSame(a, got.Expose(), err) }
	}
}

// wraps: material on its way in.
func wraps(t *testing.T, a keywrap.Algorithm, spec keywrap.KeySpec, label string) step {
	var k *key
	return func(r *rand.Rand, i int) (call, func(answer) error) {
		if k == nil || i%100 == 0 && spec == keywrap.MLKEM768X25519 {
			k = wrappingKey(t, spec)
		}
		k := k
		var info, theirs []byte
		if spec == keywrap.MLKEM768X25519 {
			info = random(r, r.IntN(60))
			theirs = append([]byte(label), info...)
		}
		m := random(r, 1+r.IntN(150))
		if i%3 == 1 {
			return call{"wrap", string(a), k, [][]byte{theirs, m, random(r, 32)}}, func(got answer) error {
				if got.refused || len(got.out) != 1 {
					return fmt.Errorf("%w: it does not wrap", errDifference)
				}
				back, err := keywrap.Unwrap(a, k.secret, info, got.out[0])
				return wantSame(answer{out: [][]byte{m}}, back.Expose(), err)
			}
		}
		wrapped := must[[]byte](t)(keywrap.Wrap(a, k.spki, info, m))
		if i%3 == 0 {
			return call{"unwrap", string(a), k, [][]byte{theirs, wrapped}}, func(got answer) error { return wantOutput(got, m) }
		}
		wrapped = altered(r, wrapped)
		back, err := keywrap.Unwrap(a, k.secret, info, wrapped)
		return call{"unwrap", string(a), k, [][]byte{theirs, wrapped}}, func(got answer) error { return wantSame(got, back.Expose(), err) }
	}
}
