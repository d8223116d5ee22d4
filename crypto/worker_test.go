package crypto

import "testing"

// The message key does not stay in the pool after the call that derived it, whether the call succeeds or fails.
func TestWorkersKeepNoMessageKey(t *testing.T) {
	k, err := NewKey(NewKeyID(), NewMaterialID(), RandomSecret(KeySize))
	if err != nil {
		t.Fatal(err)
	}
	check := func(after string) {
		t.Helper()
		w := k.take()
		defer k.put(w)
		if w.derived != [64]byte{} {
			t.Errorf("after %s the worker holds a message key", after)
		}
	}
	blob, err := k.Encrypt(nil, []byte("message"), Context{})
	if err != nil {
		t.Fatal(err)
	}
	check("Encrypt")
	if _, err := k.Decrypt(nil, blob, Context{}); err != nil {
		t.Fatal(err)
	}
	check("Decrypt")
	blob[len(blob)-1] ^= 1
	if _, err := k.Decrypt(nil, blob, Context{}); err == nil {
		t.Fatal("Decrypt of an altered blob succeeds")
	}
	check("a failed Decrypt")
}
