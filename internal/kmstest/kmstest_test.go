package kmstest

import (
	"bytes"
	"testing"

	"github.com/kmsd/kmsd/audit"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// The whole way once: what is encrypted before a restart is decrypted after it, and both calls are in the log.
func TestRoundTrip(t *testing.T) {
	k := New(t, nil)
	key := k.Key()
	ctx := map[string]string{"purpose": "test"}
	e, err := k.Root().Crypto().Encrypt(t.Context(), kmsv1.EncryptRequest_builder{KeyId: key.GetArn(), Plaintext: []byte("hello"), EncryptionContext: ctx}.Build())
	if err != nil {
		t.Fatal(err)
	}
	k.Restart()
	d, err := k.Root().Crypto().Decrypt(t.Context(), kmsv1.DecryptRequest_builder{CiphertextBlob: e.GetCiphertextBlob(), EncryptionContext: ctx}.Build())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(d.GetPlaintext(), []byte("hello")) || d.GetKeyMaterialId() != e.GetKeyMaterialId() {
		t.Errorf("Decrypt = %q under %s, want %q under %s", d.GetPlaintext(), d.GetKeyMaterialId(), "hello", e.GetKeyMaterialId())
	}
	for _, event := range []string{"CreateKey", "Encrypt", "Decrypt"} {
		if n := len(k.Events(audit.Filter{Event: event})); n != 1 {
			t.Errorf("%d events %s, want 1", n, event)
		}
	}
}
