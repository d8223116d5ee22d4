package keystore

import (
	"testing"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
)

// So many key pairs are kept ready; one that is not any more is made ready again by its next use, and who holds it goes on with it.
func TestSoManyPairsAreKeptReady(t *testing.T) {
	f := newFixture(t)
	keys := map[string]*Key{
		"the pair":    f.mustMake(NewKey{Spec: crypto.SpecMLDSA44}),
		"an HMAC key": f.mustMake(NewKey{Spec: crypto.SpecHMAC256}),
	}
	ready := func(name string) bool { return keys[name].Current().held.ready.Load() != nil }
	use := func(name string, a authz.Action) Usable {
		t.Helper()
		return must[Usable](t)(keys[name].UseFor(f.onKey(a, keys[name]), a))
	}
	sign := func(u Usable) {
		t.Helper()
		if _, err := u.Sign(crypto.SignMLDSA, crypto.MessageRaw, []byte("message")); err != nil {
			t.Errorf("Sign = %v", err)
		}
	}
	first := use("the pair", authz.KMSSign)
	use("an HMAC key", authz.KMSGenerateMac)
	for round := range 2 {
		for range mostReadyPairs - 1 {
			f.uses.pairs.add(&held{})
		}
		if !ready("the pair") {
			t.Errorf("round %d: one of %d pairs is not ready", round, mostReadyPairs)
		}
		f.uses.pairs.add(&held{})
		if ready("the pair") || !ready("an HMAC key") {
			t.Errorf("round %d: with %d others the pair is ready: %v; the HMAC key: %v", round, mostReadyPairs, ready("the pair"), ready("an HMAC key"))
		}
		sign(first)
		sign(use("the pair", authz.KMSSign))
		sign(use("the pair", authz.KMSSign)) // which is ready
	}
}
