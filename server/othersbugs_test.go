package server_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// TestBugsOfOthers asks kmsd for what other key management services were found to do wrong, each under the name of where it was found. Secrets in
// the log of a call (rustfs#2372) are what TestCanaries looks for; a backup that ends early (vault#13130) kmsd cannot have: it makes none.
func TestBugsOfOthers(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	for _, bug := range []struct {
		name string
		try  func(*testing.T, *props)
	}{
		{"moto, localstack and local-kms put the pairs of a context in a row without their lengths", bugPairsInARow},
		{"local-kms read beyond a blob that begins with a large length", bugShortBlobs},
		{"rustfs 5668 and 6639 kept the context beside the ciphertext and compared it", bugContextBeside},
		{"fakecloud 1909, localstack 8505 and floci 817 made data keys without their context", bugDataKeyContext},
		{"rustfs 5668 could not open what it had encrypted", bugRoundTrip},
		{"localstack tries all versions of a key until one opens", bugTrialDecryption},
		{"cloudemu 1059 refused to rotate a key of another kind as a mistake in the request", bugRotationOfOtherKinds},
		{"rustfs 4262 forgot what was disabled or pending deletion when it restarted", bugForgottenStates},
	} {
		t.Run(bug.name, func(t *testing.T) { bug.try(t, p) })
	}
}

// opens decrypts a blob, and returns what the answer is called if that fails.
func (p *props) opens(t *testing.T, blob []byte, ec map[string]string) (plaintext []byte, reason string) {
	t.Helper()
	out, err := p.Root().Crypto().Decrypt(t.Context(), kmsv1.DecryptRequest_builder{CiphertextBlob: blob, EncryptionContext: ec}.Build())
	if e := (*client.Error)(nil); errors.As(err, &e) {
		return nil, e.Reason
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.GetPlaintext(), ""
}

func (p *props) refusesToOpen(t *testing.T, what string, blob []byte, ec map[string]string) {
	t.Helper()
	if _, reason := p.opens(t, blob, ec); reason != "InvalidCiphertextException" {
		t.Errorf("Decrypt %s: %q, want InvalidCiphertextException", what, reason)
	}
}

func bugPairsInARow(t *testing.T, p *props) {
	blob := p.encrypt(p.keyID, []byte("x"), map[string]string{"a": "bc"})
	for _, ec := range []map[string]string{{"ab": "c"}, {"abc": ""}, {"a": "b", "c": ""}} {
		p.refusesToOpen(t, "in another context of the same letters", blob, ec)
	}
}

func bugShortBlobs(t *testing.T, p *props) {
	p.refusesToOpen(t, "four bytes, the first 250", []byte{250, 1, 2, 3}, nil)
	blob := p.encrypt(p.keyID, []byte("x"), nil)
	for n := 1; n < len(blob); n++ {
		p.refusesToOpen(t, "a part of a blob", blob[:n], nil)
	}
}

func bugContextBeside(t *testing.T, p *props) {
	sealed, other := map[string]string{"a": "b"}, map[string]string{"a": "c"}
	const tag, after = 50, 66 // where the context tag is: docs/formats/ciphertext.md
	blob, forged := p.encrypt(p.keyID, []byte("x"), sealed), p.encrypt(p.keyID, []byte("x"), other)
	copy(blob[tag:after], forged[tag:after])
	p.refusesToOpen(t, "with another context and its tag", blob, other)
	p.refusesToOpen(t, "with its context and another's tag", blob, sealed)
}

func bugDataKeyContext(t *testing.T, p *props) {
	ec := map[string]string{"purpose": "test"}
	blob := must[*kmsv1.GenerateDataKeyResponse](p)(p.Root().Crypto().GenerateDataKey(t.Context(), kmsv1.GenerateDataKeyRequest_builder{
		KeyId: p.keyID, KeySpec: kmsv1.DataKeySpec_DATA_KEY_SPEC_AES_256, EncryptionContext: ec,
	}.Build())).GetCiphertextBlob()
	p.refusesToOpen(t, "a data key without its context", blob, nil)
	if got, reason := p.opens(t, blob, ec); len(got) != 32 {
		t.Errorf("Decrypt of a data key in its context gives %d bytes, %s", len(got), reason)
	}
}

func bugRoundTrip(t *testing.T, p *props) {
	for _, n := range []int{1, 4096, 64 << 10} {
		want := bytes.Repeat([]byte{7}, n)
		if got, reason := p.opens(t, p.encrypt(p.keyID, want, nil), nil); !bytes.Equal(got, want) {
			t.Errorf("what was encrypted from %d bytes opens to %d, %s", n, len(got), reason)
		}
	}
}

// The blob of one version names another one that can decrypt: only the one that it was made with would open it.
func bugTrialDecryption(t *testing.T, p *props) {
	key := p.Key().GetArn()
	blob := p.encrypt(key, []byte("x"), nil)
	next := must[*kmsv1.RotateKeyOnDemandResponse](p)(p.Root().Keys().RotateKeyOnDemand(t.Context(), kmsv1.RotateKeyOnDemandRequest_builder{KeyId: key}.Build())).GetKeyMaterialId()
	if got, reason := p.opens(t, blob, nil); string(got) != "x" {
		t.Fatalf("Decrypt after a rotation = %q, %s", got, reason)
	}
	id, err := hex.DecodeString(next)
	if err != nil {
		t.Fatal(err)
	}
	const material, after = 18, 34 // where the material id is: docs/formats/ciphertext.md
	p.refusesToOpen(t, "a blob that names another version", slices.Concat(blob[:material], id[:16], blob[after:]), nil)
}

func bugRotationOfOtherKinds(t *testing.T, p *props) {
	mac := p.keyOf(kmsv1.KeySpec_KEY_SPEC_HMAC_256, kmsv1.KeyUsage_KEY_USAGE_GENERATE_VERIFY_MAC)
	keys := p.Root().Keys()
	_, enable := keys.EnableKeyRotation(t.Context(), kmsv1.EnableKeyRotationRequest_builder{KeyId: mac}.Build())
	_, rotate := keys.RotateKeyOnDemand(t.Context(), kmsv1.RotateKeyOnDemandRequest_builder{KeyId: mac}.Build())
	for what, err := range map[string]error{"EnableKeyRotation": enable, "RotateKeyOnDemand": rotate} {
		if e := (*client.Error)(nil); !errors.As(err, &e) || e.Reason != "UnsupportedOperationException" {
			t.Errorf("%s of an HMAC key = %v, want UnsupportedOperationException", what, err)
		}
	}
}

func bugForgottenStates(t *testing.T, p *props) {
	disabled, doomed := p.Key().GetArn(), p.Key().GetArn()
	must[*kmsv1.DisableKeyResponse](p)(p.Root().Keys().DisableKey(t.Context(), kmsv1.DisableKeyRequest_builder{KeyId: disabled}.Build()))
	must[*kmsv1.ScheduleKeyDeletionResponse](p)(p.Root().Keys().ScheduleKeyDeletion(t.Context(), kmsv1.ScheduleKeyDeletionRequest_builder{KeyId: doomed}.Build()))
	p.Restart()
	for key, want := range map[string]kmsv1.KeyState{disabled: kmsv1.KeyState_KEY_STATE_DISABLED, doomed: kmsv1.KeyState_KEY_STATE_PENDING_DELETION} {
		got := must[*kmsv1.DescribeKeyResponse](p)(p.Root().Keys().DescribeKey(t.Context(), kmsv1.DescribeKeyRequest_builder{KeyId: key}.Build())).GetKeyMetadata().GetKeyState()
		if got != want {
			t.Errorf("after a restart the key is %v, want %v", got, want)
		}
	}
}
