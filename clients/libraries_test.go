package clients

import (
	"bytes"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/core/registry"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"

	// Registers the scheme awskms.
	_ "gocloud.dev/secrets/awskms"
)

// madeKey makes a key with an alias and returns the key's ARN, by kmsctl.
func (k *kmsd) madeKey(t testing.TB, alias string) string {
	t.Helper()
	k.kmsctl(t, "key", "create", "--alias", alias)
	return k.describe(t, alias).Arn
}

// TestTink runs Tink's client of AWS KMS.
func TestTink(t *testing.T) {
	k := server(t)
	c := newClient(t, "tink-go-awskms", versionOf(awskms.NewClientWithOptions))
	k.setenv(t)
	arn := k.madeKey(t, "alias/tink")
	uri := "aws-kms://" + arn

	c.run(t, "AEAD under a key of kmsd", func(t *testing.T) {
		remote, err := awskms.NewAEADWithContext(t.Context(), arn)
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range [][]byte{nil, []byte("associated")} {
			sealed, err := remote.EncryptWithContext(t.Context(), []byte("plaintext"), data)
			if err != nil {
				t.Fatal(err)
			}
			opened, err := remote.DecryptWithContext(t.Context(), sealed, data)
			if err != nil || string(opened) != "plaintext" {
				t.Errorf("DecryptWithContext = %q, %v", opened, err)
			}
			if _, err := remote.DecryptWithContext(t.Context(), sealed, []byte("other")); !typed[*types.InvalidCiphertextException]()(err) {
				t.Errorf("DecryptWithContext with other data: error %v, want InvalidCiphertextException", err)
			}
		}
	})
	for _, name := range []awskms.EncryptionContextName{awskms.AssociatedData, awskms.LegacyAdditionalData} {
		c.run(t, "envelope encryption, with the context as "+name.String(), func(t *testing.T) {
			kms, err := awskms.NewClientWithOptions(t.Context(), uri, awskms.WithEncryptionContextName(name))
			if err != nil {
				t.Fatal(err)
			}
			remote, err := kms.GetAEAD(uri)
			if err != nil {
				t.Fatal(err)
			}
			envelope := aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), remote)
			sealed, err := envelope.Encrypt(bytes.Repeat([]byte("x"), 1<<20), []byte("associated"))
			if err != nil {
				t.Fatal(err)
			}
			opened, err := envelope.Decrypt(sealed, []byte("associated"))
			if err != nil || len(opened) != 1<<20 {
				t.Errorf("Decrypt = %d bytes, %v", len(opened), err)
			}
			if _, err := envelope.Decrypt(sealed, []byte("other")); err == nil {
				t.Error("Decrypt with other data succeeds")
			}
		})
	}
	c.run(t, "a keyset encrypted under a key of kmsd", func(t *testing.T) {
		kms, err := awskms.NewClientWithOptions(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		registry.RegisterKMSClient(kms)
		t.Cleanup(registry.ClearKMSClients)
		remote, err := kms.GetAEAD(uri)
		if err != nil {
			t.Fatal(err)
		}
		handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
		if err != nil {
			t.Fatal(err)
		}
		var kept bytes.Buffer
		if err := handle.WriteWithAssociatedData(keyset.NewJSONWriter(&kept), remote, []byte("keyset")); err != nil {
			t.Fatal(err)
		}
		again, err := keyset.ReadWithAssociatedData(keyset.NewJSONReader(&kept), remote, []byte("keyset"))
		if err != nil {
			t.Fatal(err)
		}
		want(t, "keyset", again.String(), handle.String())
	})
}

// TestGoCloud runs the secrets of the Go Cloud Development Kit.
func TestGoCloud(t *testing.T) {
	k := server(t)
	c := newClient(t, "gocloud.dev/secrets/awskms", versionOf(secrets.OpenKeeper))
	k.setenv(t)
	arn := k.madeKey(t, "alias/gocloud")
	for name, address := range map[string]string{
		"alias":                       "awskms://alias/gocloud?region=" + k.region,
		"ARN":                         "awskms:///" + arn + "?region=" + k.region,
		"ARN of the alias":            "awskms:///" + k.arn("alias/gocloud"),
		"ARN with encryption context": "awskms:///" + arn + "?context_tenant=17&context_a=b",
		"ARN with an endpoint":        "awskms:///" + arn + "?endpoint=" + url.QueryEscape(k.endpoint),
	} {
		c.run(t, name, func(t *testing.T) {
			keeper, err := secrets.OpenKeeper(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer keeper.Close()
			sealed, err := keeper.Encrypt(t.Context(), []byte("plaintext"))
			if err != nil {
				t.Fatal(err)
			}
			opened, err := keeper.Decrypt(t.Context(), sealed)
			if err != nil || string(opened) != "plaintext" {
				t.Errorf("Decrypt = %q, %v", opened, err)
			}
			sealed[len(sealed)-1] ^= 1
			if _, err := keeper.Decrypt(t.Context(), sealed); gcerrors.Code(err) != gcerrors.InvalidArgument {
				t.Errorf("Decrypt of what was altered: code %v (%v), want InvalidArgument", gcerrors.Code(err), err)
			}
		})
	}
	c.run(t, "a key that does not exist is NotFound", func(t *testing.T) {
		keeper, err := secrets.OpenKeeper(t.Context(), "awskms://alias/nothing")
		if err != nil {
			t.Fatal(err)
		}
		defer keeper.Close()
		if _, err := keeper.Encrypt(t.Context(), []byte("x")); gcerrors.Code(err) != gcerrors.NotFound {
			t.Errorf("Encrypt: code %v (%v), want NotFound", gcerrors.Code(err), err)
		}
	})
}
