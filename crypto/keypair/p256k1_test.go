package keypair

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/kmsd/kmsd/crypto"
)

// scalars returns those at which arithmetic goes wrong, if anywhere, and random ones.
func scalars(random int) [][]byte {
	order := secp256k1.Params().N
	var all [][]byte
	for _, edge := range []*big.Int{new(big.Int), order, new(big.Int).Rsh(order, 1)} {
		for i := range int64(33) {
			n := new(big.Int).Add(edge, big.NewInt(i-16))
			if n.Sign() > 0 && n.Cmp(order) < 0 {
				all = append(all, n.FillBytes(make([]byte, 32)))
			}
		}
	}
	for i := range 256 {
		all = append(all, new(big.Int).Mod(new(big.Int).Lsh(big.NewInt(1), uint(i)), order).FillBytes(make([]byte, 32)))
	}
	for range random {
		all = append(all, crypto.RandomSecret(32).Expose())
	}
	return all
}

// Multiples of the generator, inverses and signatures with the nonces of RFC 6979 are those of dcrd, whose time depends
// on the scalar.
func TestP256K1AgreesWithDcrd(t *testing.T) {
	hash := crypto.RandomSecret(32).Expose()
	for _, b := range scalars(100) {
		k, ok := parseScalar(b)
		if !ok {
			t.Fatalf("parseScalar(%x) refuses a private key", b)
		}
		theirs := secp256k1.PrivKeyFromBytes(b)
		if !k.public.IsEqual(theirs.PubKey()) {
			t.Errorf("public key of %x = %x, want %x", b, k.public.SerializeCompressed(), theirs.PubKey().SerializeCompressed())
		}
		got := invert(&k.d)
		if want := new(secp256k1.ModNScalar).InverseValNonConst(&k.d); !got.Equals(want) {
			t.Errorf("invert(%x) = %v, want %v", b, got, want)
		}
		if got, want := k.sign(hash, nil), ecdsa.Sign(theirs, hash).Serialize(); !bytes.Equal(got, want) {
			t.Errorf("signature of %x under %x = %x, want %x", hash, b, got, want)
		}
	}
}

func TestP256K1PrivateKeysOutOfRange(t *testing.T) {
	order := secp256k1.Params().N.FillBytes(make([]byte, 32))
	for _, b := range [][]byte{make([]byte, 32), order, bytes.Repeat([]byte{0xff}, 32)} {
		if _, ok := parseScalar(b); ok {
			t.Errorf("parseScalar(%x) takes it", b)
		}
	}
}

func BenchmarkTimesGenerator(b *testing.B) {
	k, _ := parseScalar(crypto.RandomSecret(32).Expose())
	for b.Loop() {
		timesGenerator(&k.d)
	}
}
