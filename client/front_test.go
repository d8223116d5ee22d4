package client_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
	"github.com/kmsd/kmsd/server"
)

// TestKmsdTakesTheSignatureOfEveryMethod: what the client signs without a nonce, kmsd does not want one for.
func TestKmsdTakesTheSignatureOfEveryMethod(t *testing.T) {
	k := kmstest.New(t, nil)
	conn := k.Root().Conn()
	actions := server.Actions()
	n := 0
	for _, file := range []protoreflect.FileDescriptor{
		kmsv1.File_kmsd_kms_v1_crypto_service_proto, kmsv1.File_kmsd_kms_v1_batch_service_proto, kmsv1.File_kmsd_kms_v1_key_service_proto,
		iamv1.File_kmsd_iam_v1_iam_service_proto, stsv1.File_kmsd_sts_v1_sts_service_proto,
		organizationsv1.File_kmsd_organizations_v1_organizations_service_proto,
	} {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				name := fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
				if _, ok := actions[name]; !ok {
					continue
				}
				n++
				if m.IsStreamingClient() {
					continue // it is signed as every method: by its name
				}
				for range 2 { // the second time with the signature of the first, where that is done
					err := conn.Invoke(t.Context(), name, dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output()))
					var e *client.Error
					if errors.As(err, &e) && (strings.Contains(e.Reason, "Signature") || strings.Contains(e.Reason, "Token") || e.Reason == "UnrecognizedClientException" || e.Reason == "") {
						t.Errorf("%s = %v, want its signature taken", name, err)
					}
				}
			}
		}
	}
	if want := len(actions); n != want || n == 0 {
		t.Errorf("called %d methods, kmsd has %d", n, want)
	}
}

// TestOneSignatureServesManyConnections: each connection of a client may repeat the signature of another one.
func TestOneSignatureServesManyConnections(t *testing.T) {
	k := kmstest.New(t, nil)
	c, err := client.New(client.Config{Credentials: k.Credentials(), Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 20 {
		if _, err := c.Crypto().GenerateRandom(t.Context(), kmsv1.GenerateRandomRequest_builder{NumberOfBytes: 16}.Build()); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkEncrypt(b *testing.B) {
	k := kmstest.New(b, nil)
	id := k.Key().GetKeyId()
	r := kmsv1.EncryptRequest_builder{KeyId: id, Plaintext: make([]byte, 32)}.Build()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Root().Crypto().Encrypt(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

// TestFrontOfSigners: a certificate that a key of kmsd signed is one for the standard library, and so is what it decrypts.
func TestFrontOfSigners(t *testing.T) {
	k := kmstest.New(t, nil)
	create := func(spec kmsv1.KeySpec, usage kmsv1.KeyUsage) string {
		out, err := k.Root().Keys().CreateKey(t.Context(), kmsv1.CreateKeyRequest_builder{KeySpec: spec, KeyUsage: usage}.Build())
		if err != nil {
			t.Fatal(err)
		}
		return out.GetKeyMetadata().GetArn()
	}
	for _, spec := range []kmsv1.KeySpec{
		kmsv1.KeySpec_KEY_SPEC_RSA_2048, kmsv1.KeySpec_KEY_SPEC_ECC_NIST_P256, kmsv1.KeySpec_KEY_SPEC_ECC_NIST_P384, kmsv1.KeySpec_KEY_SPEC_ECC_NIST_P521,
		kmsv1.KeySpec_KEY_SPEC_ECC_NIST_EDWARDS25519,
	} {
		signer, err := k.Root().Signer(t.Context(), create(spec, kmsv1.KeyUsage_KEY_USAGE_SIGN_VERIFY))
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
		der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer) // which verifies what was signed
		if err != nil {
			t.Errorf("%v: CreateCertificate = %v, want nil", spec, err)
			continue
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := cert.CheckSignatureFrom(cert); err != nil {
			t.Errorf("%v: CheckSignatureFrom = %v, want nil", spec, err)
		}
	}
	d, err := k.Root().Decrypter(t.Context(), create(kmsv1.KeySpec_KEY_SPEC_RSA_2048, kmsv1.KeyUsage_KEY_USAGE_ENCRYPT_DECRYPT))
	if err != nil {
		t.Fatal(err)
	}
	ciphertext, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, d.Public().(*rsa.PublicKey), []byte("attack"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.Decrypt(nil, ciphertext, &rsa.OAEPOptions{Hash: crypto.SHA256}); err != nil || string(got) != "attack" {
		t.Errorf("Decrypt = %q, %v, want attack", got, err)
	}
	if _, err := k.Root().Signer(t.Context(), create(kmsv1.KeySpec_KEY_SPEC_ML_DSA_44, kmsv1.KeyUsage_KEY_USAGE_SIGN_VERIFY)); !errors.Is(err, client.ErrNotSupported) {
		t.Errorf("Signer of ML-DSA = %v, want ErrNotSupported", err)
	}
}

// TestFrontOfBatches: a batch of any size is answered in its order, item by item, and so is a stream.
func TestFrontOfBatches(t *testing.T) {
	k := kmstest.New(t, nil)
	id := k.Key().GetKeyId()
	const n = client.MaxBatchItems + 7
	var items []*kmsv1.BatchItem
	for i := range n {
		key := id
		if i == 3 {
			key = "alias/none"
		}
		items = append(items, kmsv1.BatchItem_builder{Encrypt: kmsv1.EncryptRequest_builder{KeyId: key, Plaintext: fmt.Append(nil, i)}.Build()}.Build())
	}
	sealed, err := k.Root().BatchCrypto(t.Context(), items)
	if err != nil || len(sealed) != n {
		t.Fatalf("BatchCrypto = %d results, %v, want %d", len(sealed), err, n)
	}
	if err := client.BatchError(sealed[3]); !client.Is(err, "NotFoundException") {
		t.Errorf("the item of no key = %v, want NotFoundException", err)
	}
	for i, r := range sealed {
		items[i] = kmsv1.BatchItem_builder{Decrypt: kmsv1.DecryptRequest_builder{CiphertextBlob: r.GetEncrypt().GetCiphertextBlob()}.Build()}.Build()
	}
	items[3] = items[2]
	opened, err := k.Root().BatchCrypto(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range opened {
		if want := fmt.Sprint(i); i != 3 && string(r.GetDecrypt().GetPlaintext()) != want {
			t.Errorf("item %d is %q, %v, want %q", i, r.GetDecrypt().GetPlaintext(), client.BatchError(r), want)
		}
	}
	stream, err := k.Root().Batch().StreamCrypto(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := stream.Send(kmsv1.StreamCryptoRequest_builder{Sequence: uint64(i), Item: items[i]}.Build()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	got := map[uint64]string{}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[r.GetSequence()] = string(r.GetResult().GetDecrypt().GetPlaintext())
	}
	if len(got) != 100 || got[0] != "0" || got[99] != "99" {
		t.Errorf("a stream of 100 items has %d answers, the last is %q, want 100 and 99", len(got), got[99])
	}
}
