package keypair

import (
	"crypto/rand"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/kmsd/kmsd/crypto"
)

// keyP256K1 is a private key on secp256k1.
type keyP256K1 struct {
	d      secp256k1.ModNScalar // between 1 and the order of the curve
	public *secp256k1.PublicKey
}

// parseScalar returns the private key whose 32 bytes are d, if it is between 1 and the order of the curve.
func parseScalar(d []byte) (*keyP256K1, bool) {
	k := new(keyP256K1)
	if overflow := k.d.SetByteSlice(d); overflow || k.d.IsZero() {
		return nil, false
	}
	x, y := timesGenerator(&k.d)
	k.public = secp256k1.NewPublicKey(&x, &y)
	return k, true
}

func generateP256K1(spec crypto.Spec) []byte {
	for {
		d := crypto.RandomSecret(32).Expose()
		if k, ok := parseScalar(d); ok {
			return marshalEC(spec, d, k.public.SerializeUncompressed())
		}
	}
}

func newP256K1(spec crypto.Spec, material []byte) (*Private, error) {
	parsed, err := parseEC(spec, material)
	if err != nil {
		return nil, err
	}
	k, ok := parseScalar(parsed.scalar)
	if !ok {
		return nil, malformed(spec, "a private key that is not between 1 and the order of the curve")
	}
	if err := parsed.check(spec, k.public.SerializeUncompressed()); err != nil {
		return nil, err
	}
	return &Private{
		spec:   spec,
		public: publicP256K1(spec, k.public),
		sign: func(in input) ([]byte, error) {
			var fresh [32]byte
			rand.Read(fresh[:])
			return k.sign(in.bytes, fresh[:]), nil
		},
	}, nil
}

// sign returns a signature of a hash of 32 bytes, with the lower s of the two that are right. The nonce is that of RFC
// 6979 with fresh, 32 random bytes, as additional input (section 3.6): neither a weak source of random bytes nor a
// fault that makes one hash from another gives the key away. With fresh nil it is deterministic.
func (k *keyP256K1) sign(hash, fresh []byte) []byte {
	d := k.d.Bytes()
	defer clear(d[:])
	for iteration := uint32(0); ; iteration++ {
		nonce := secp256k1.NonceRFC6979(d[:], hash, fresh, nil, iteration)
		if s, ok := k.signWith(nonce, hash); ok {
			return s.Serialize()
		}
	}
}

// signWith is algorithm 4.29 of Hankerson, Menezes and Vanstone, "Guide to Elliptic Curve Cryptography". Package ecdsa
// of dcrd has it too, but takes a time there that depends on the nonce. It fails with a probability of 2^-256.
func (k *keyP256K1) signWith(nonce *secp256k1.ModNScalar, hash []byte) (*ecdsa.Signature, bool) {
	x, _ := timesGenerator(nonce)
	var r, e, s secp256k1.ModNScalar
	r.SetBytes(x.Bytes())
	e.SetByteSlice(hash)
	s.Mul2(&k.d, &r).Add(&e)
	inverse := invert(nonce)
	s.Mul(&inverse)
	return ecdsa.NewSignature(&r, &s), !r.IsZero() && !s.IsZero()
}

func parseP256K1Public(spec crypto.Spec, point []byte) (*Public, bool) {
	if len(point) == 65 && point[0] != 4 { // the hybrid form
		return nil, false
	}
	key, err := secp256k1.ParsePubKey(point)
	if err != nil {
		return nil, false
	}
	return publicP256K1(spec, key), true
}

func publicP256K1(spec crypto.Spec, key *secp256k1.PublicKey) *Public {
	return &Public{
		spec: spec,
		der:  marshalSPKI(spec, key.SerializeUncompressed()),
		verify: func(in input, signature []byte) bool {
			s, err := ecdsa.ParseDERSignature(signature)
			return err == nil && s.Verify(in.bytes, key)
		},
	}
}
