package server_test

import (
	"bytes"
	stdcrypto "crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // of RSAES_OAEP_SHA_1
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// publicKey is what GetPublicKey says of a key.
func (p *props) publicKey(key string) *kmsv1.GetPublicKeyResponse {
	p.t.Helper()
	out := must[*kmsv1.GetPublicKeyResponse](p)(p.Root().Keys().GetPublicKey(p.t.Context(), kmsv1.GetPublicKeyRequest_builder{KeyId: key}.Build()))
	if out.GetPublicKeyCrc32C() != crypto.CRC32C(out.GetPublicKey()) || out.GetKeyMaterialId() == "" || out.GetKeyId() != key {
		p.t.Errorf("GetPublicKey = %v", out)
	}
	return out
}

// parsed is a public key as the standard library has it, or nil of kinds that it does not have.
func parsed(t testing.TB, spec string, der []byte) any {
	t.Helper()
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil && spec != "ECC_SECG_P256K1" && !strings.HasPrefix(spec, "ML_") {
		t.Errorf("the public key of %s is none for the standard library: %v", spec, err)
	}
	return key
}

// holds reports whether the standard library takes a signature. Of a key that it does not have it says yes.
func holds(key any, algorithm string, message, signature []byte) bool {
	if key == nil {
		return true
	}
	hashes := map[string]stdcrypto.Hash{"SHA_256": stdcrypto.SHA256, "SHA_384": stdcrypto.SHA384, "SHA_512": stdcrypto.SHA512}
	h := hashes[algorithm[len(algorithm)-7:]]
	digest := h.New()
	digest.Write(message)
	sum := digest.Sum(nil)
	switch key := key.(type) {
	case *rsa.PublicKey:
		if strings.Contains(algorithm, "PSS") {
			return rsa.VerifyPSS(key, h, sum, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(key, h, sum, signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, sum, signature)
	case ed25519.PublicKey:
		if strings.Contains(algorithm, "_PH_") {
			again := sha512.Sum512(sum) // Sign takes a digest, and Ed25519ph hashes what it is given
			return ed25519.VerifyWithOptions(key, again[:], signature, &ed25519.Options{Hash: stdcrypto.SHA512}) == nil
		}
		return ed25519.Verify(key, message, signature)
	}
	return false
}

// digestFor is the digest that an algorithm signs, or nil if it takes none.
func digestFor(algorithm string, message []byte) []byte {
	switch {
	case algorithm == "ED25519_SHA_512" || strings.HasPrefix(algorithm, "ML_"):
		return nil
	case strings.HasSuffix(algorithm, "256"):
		s := sha256.Sum256(message)
		return s[:]
	case strings.HasSuffix(algorithm, "384"):
		s := sha512.Sum384(message)
		return s[:]
	}
	s := sha512.Sum512(message)
	return s[:]
}

// What kmsd signs the standard library verifies with what GetPublicKey returns, and kmsd itself; of another message neither.
func TestSignaturesHoldOutside(t *testing.T) {
	p := newProps(newDoor(t, nil))
	message, tested := []byte("a message"), 0
	for _, k := range keysOfAllKinds(p) {
		if k.usage != "SIGN_VERIFY" {
			continue
		}
		public := p.publicKey(k.arn)
		key := parsed(t, k.spec, public.GetPublicKey())
		for _, a := range public.GetSigningAlgorithms() {
			name := nameOf(kmsv1.SigningAlgorithmSpec_name, "SIGNING_ALGORITHM_SPEC_", int32(a))
			forms := map[kmsv1.MessageType][]byte{kmsv1.MessageType_MESSAGE_TYPE_DIGEST: digestFor(name, message)}
			if name != "ED25519_PH_SHA_512" {
				forms[kmsv1.MessageType_MESSAGE_TYPE_RAW] = message
			}
			for mt, form := range forms {
				if form == nil {
					continue
				}
				tested++
				out := must[*kmsv1.SignResponse](p)(p.Root().Crypto().Sign(t.Context(), kmsv1.SignRequest_builder{KeyId: k.arn, Message: form, MessageType: mt, SigningAlgorithm: a}.Build()))
				if !holds(key, name, message, out.GetSignature()) || key != nil && holds(key, name, []byte("another"), out.GetSignature()) {
					t.Errorf("a signature of %s by %s of %v does not hold outside", k.spec, name, mt)
				}
				verify := kmsv1.VerifyRequest_builder{KeyId: k.arn, Message: form, MessageType: mt, SigningAlgorithm: a, Signature: out.GetSignature()}.Build()
				if ok, err := p.Root().Crypto().Verify(t.Context(), verify); err != nil || !ok.GetSignatureValid() {
					t.Errorf("Verify of a signature of %s by %s = %v, %v", k.spec, name, ok, err)
				}
				verify.SetMessage(bytes.Repeat([]byte{1}, len(form)))
				if _, err := p.Root().Crypto().Verify(t.Context(), verify); status.Code(err) != codes.InvalidArgument {
					t.Errorf("Verify of another message by %s = %v", name, err)
				}
			}
		}
	}
	if tested < 30 {
		t.Errorf("%d signatures: too few", tested)
	}
}

// What is encrypted, agreed, encapsulated and authenticated outside with what kmsd tells is what kmsd has inside.
func TestSecretsAgreeWithOutside(t *testing.T) {
	p := newProps(newDoor(t, nil))
	c, tested := p.Root().Crypto(), 0
	for _, k := range keysOfAllKinds(p) {
		if k.usage == "SIGN_VERIFY" || k.usage == "GENERATE_VERIFY_MAC" || k.spec == "SYMMETRIC_DEFAULT" {
			continue
		}
		tested++
		der := p.publicKey(k.arn).GetPublicKey()
		switch k.usage {
		case "ENCRYPT_DECRYPT":
			key := parsed(t, k.spec, der).(*rsa.PublicKey)
			for a, h := range map[kmsv1.EncryptionAlgorithm]stdcrypto.Hash{2: stdcrypto.SHA1, 3: stdcrypto.SHA256} {

				sealed, err := rsa.EncryptOAEP(h.New(), rand.Reader, key, []byte("plaintext"), nil)
				if err != nil {
					t.Fatal(err)
				}
				out, err := c.Decrypt(t.Context(), kmsv1.DecryptRequest_builder{KeyId: k.arn, CiphertextBlob: sealed, EncryptionAlgorithm: a}.Build())
				if err != nil || string(out.GetPlaintext()) != "plaintext" || out.GetEncryptionAlgorithm() != a {
					t.Errorf("Decrypt of what was encrypted outside for %s = %v, %v", k.spec, out, err)
				}
			}
		case "KEY_AGREEMENT":
			theirs, err := parsed(t, k.spec, der).(*ecdsa.PublicKey).ECDH()
			if err != nil {
				t.Fatal(err)
			}
			mine, err := theirs.Curve().GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			agreed(t, p, k, mine, theirs)
		case "ENCAPSULATE_DECAPSULATE":
			encapsulated(t, p, k, der)
		}
	}
	if tested != 8 {
		t.Errorf("%d keys, want 8", tested)
	}
}

func agreed(t *testing.T, p *props, k kindOfKey, mine *ecdh.PrivateKey, theirs *ecdh.PublicKey) {
	t.Helper()
	want, err := mine.ECDH(theirs)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(mine.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Root().Crypto().DeriveSharedSecret(t.Context(), kmsv1.DeriveSharedSecretRequest_builder{KeyId: k.arn, PublicKey: der}.Build())
	if err != nil || !bytes.Equal(out.GetSharedSecret(), want) || out.GetKeyOrigin() != kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_AWS_KMS {
		t.Errorf("the secret of %s is not that of the other side: %v", k.spec, err)
	}
}

func encapsulated(t *testing.T, p *props, k kindOfKey, der []byte) {
	t.Helper()
	var spki struct {
		Algorithm struct{ ID asn1.ObjectIdentifier }
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &spki); err != nil {
		t.Fatal(err)
	}
	var key stdcrypto.Encapsulator
	var err error
	if key, err = mlkem.NewEncapsulationKey768(spki.Key.Bytes); k.spec == "ML_KEM_1024" {
		key, err = mlkem.NewEncapsulationKey1024(spki.Key.Bytes)
	}
	if err != nil {
		t.Fatal(err)
	}
	secret, blob := key.Encapsulate()
	c := p.Root().Crypto()
	open := func(blob []byte) []byte {
		return must[*kmsv1.DecapsulateResponse](p)(c.Decapsulate(t.Context(), kmsv1.DecapsulateRequest_builder{KeyId: k.arn, SharedSecretCiphertextBlob: blob}.Build())).GetSharedSecret()
	}
	if !bytes.Equal(open(blob), secret) {
		t.Errorf("what was encapsulated outside for %s is another secret inside", k.spec)
	}
	blob[5] ^= 1
	if got := open(blob); bytes.Equal(got, secret) || len(got) != 32 {
		t.Errorf("an altered encapsulation for %s has a secret of %d bytes, want another one of 32", k.spec, len(got))
	}
	inside := must[*kmsv1.EncapsulateResponse](p)(c.Encapsulate(t.Context(), kmsv1.EncapsulateRequest_builder{KeyId: k.arn}.Build()))
	if !bytes.Equal(open(inside.GetSharedSecretCiphertextBlob()), inside.GetSharedSecret()) {
		t.Errorf("Decapsulate does not return what Encapsulate did, for %s", k.spec)
	}
}

// A data key pair: the private key is the same in clear and encrypted, belongs to the public one, and is one for the standard library.
func TestDataKeyPairs(t *testing.T) {
	p := newProps(newDoor(t, nil))
	ec := map[string]string{"app": "web"}
	for n, name := range kmsv1.DataKeyPairSpec_name {
		spec := nameOf(kmsv1.DataKeyPairSpec_name, "DATA_KEY_PAIR_SPEC_", n)
		if n == 0 || spec == "RSA_3072" || spec == "RSA_4096" { // as RSA_2048, and slow
			continue
		}
		out := must[*kmsv1.GenerateDataKeyPairResponse](p)(p.Root().Crypto().GenerateDataKeyPair(t.Context(), kmsv1.GenerateDataKeyPairRequest_builder{
			KeyId: p.keyID, KeyPairSpec: kmsv1.DataKeyPairSpec(n), EncryptionContext: ec,
		}.Build()))
		var opened kmsv1.DecryptResponse
		p.must(decryptMethod, kmsv1.DecryptRequest_builder{CiphertextBlob: out.GetPrivateKeyCiphertextBlob(), EncryptionContext: ec}.Build(), &opened)
		if !bytes.Equal(opened.GetPlaintext(), out.GetPrivateKeyPlaintext()) || len(out.GetPrivateKeyPlaintext()) < 40 {
			t.Errorf("%s: the private key encrypted is not the one in clear", name)
		}
		refuses(t, name+" without its context", p.decrypt(out.GetPrivateKeyCiphertextBlob(), nil), codes.InvalidArgument, "InvalidCiphertextException", "")
		if spec == "ECC_SECG_P256K1" || strings.HasPrefix(spec, "ML_") {
			continue
		}
		private, err := x509.ParsePKCS8PrivateKey(out.GetPrivateKeyPlaintext())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		der, err := x509.MarshalPKIXPublicKey(private.(stdcrypto.Signer).Public())
		if err != nil || !bytes.Equal(der, out.GetPublicKey()) {
			t.Errorf("%s: the public key is not the private one's: %v", name, err)
		}
	}
}

// A MAC is that of the standard library, as far as anybody outside can have the key: imported.
func TestMacOfImportedMaterial(t *testing.T) {
	p := newProps(newDoor(t, nil))
	material := crypto.RandomSecret(32)
	key := p.door.external(crypto.SpecHMAC256)
	p.bring(key, material)
	out := must[*kmsv1.GenerateMacResponse](p)(p.Root().Crypto().GenerateMac(t.Context(), kmsv1.GenerateMacRequest_builder{KeyId: key, Message: []byte("message"), MacAlgorithm: hmacSHA256}.Build()))
	h := hmac.New(sha256.New, material.Expose())
	h.Write([]byte("message"))
	if !bytes.Equal(out.GetMac(), h.Sum(nil)) {
		t.Errorf("GenerateMac = %x, want %x", out.GetMac(), h.Sum(nil))
	}
}

// Whatever produces a ciphertext binds it to its encryption context: pairs that read the same when they are put in a row are others.
func TestContextsOfEveryProducer(t *testing.T) {
	p := newProps(newDoor(t, nil))
	contexts := []map[string]string{nil, {"a": "bc"}, {"ab": "c"}, {"a": "b", "c": ""}, {"a": "", "b": "c"}, {"abc": ""}, {"A": "bc"}}
	c := p.Root().Crypto()
	producers := map[string]func(ec map[string]string) []byte{
		"Encrypt": func(ec map[string]string) []byte { return p.encrypt(p.keyID, []byte("x"), ec) },
		"ReEncrypt": func(ec map[string]string) []byte {
			return must[*kmsv1.ReEncryptResponse](p)(c.ReEncrypt(t.Context(), kmsv1.ReEncryptRequest_builder{CiphertextBlob: p.blob, DestinationKeyId: p.otherID, DestinationEncryptionContext: ec}.Build())).GetCiphertextBlob()
		},
		"GenerateDataKey": func(ec map[string]string) []byte {
			return must[*kmsv1.GenerateDataKeyResponse](p)(c.GenerateDataKey(t.Context(), kmsv1.GenerateDataKeyRequest_builder{KeyId: p.keyID, NumberOfBytes: 32, EncryptionContext: ec}.Build())).GetCiphertextBlob()
		},
		"GenerateDataKeyWithoutPlaintext": func(ec map[string]string) []byte {
			return must[*kmsv1.GenerateDataKeyWithoutPlaintextResponse](p)(c.GenerateDataKeyWithoutPlaintext(t.Context(), kmsv1.GenerateDataKeyWithoutPlaintextRequest_builder{KeyId: p.keyID, NumberOfBytes: 32, EncryptionContext: ec}.Build())).GetCiphertextBlob()
		},
		"GenerateDataKeyPair": func(ec map[string]string) []byte {
			return must[*kmsv1.GenerateDataKeyPairResponse](p)(c.GenerateDataKeyPair(t.Context(), kmsv1.GenerateDataKeyPairRequest_builder{KeyId: p.keyID, KeyPairSpec: pairOfP256, EncryptionContext: ec}.Build())).GetPrivateKeyCiphertextBlob()
		},
		"GenerateDataKeyPairWithoutPlaintext": func(ec map[string]string) []byte {
			return must[*kmsv1.GenerateDataKeyPairWithoutPlaintextResponse](p)(c.GenerateDataKeyPairWithoutPlaintext(t.Context(), kmsv1.GenerateDataKeyPairWithoutPlaintextRequest_builder{KeyId: p.keyID, KeyPairSpec: pairOfP256, EncryptionContext: ec}.Build())).GetPrivateKeyCiphertextBlob()
		},
	}
	for name, produce := range producers {
		for i, sealed := range contexts {
			blob := produce(sealed)
			for j, opened := range contexts {
				got := p.decrypt(blob, opened)
				if i == j && got.code != codes.OK {
					t.Errorf("%s with %v does not open with it: %v", name, sealed, got)
				}
				if i != j {
					refuses(t, fmt.Sprint(name, " with ", sealed, " opened with ", opened), got, codes.InvalidArgument, "InvalidCiphertextException", "")
				}
			}
		}
	}
}

// ReEncrypt from and to every kind of key, and back: the plaintext arrives, and is in no answer on the way, nor in any file.
func TestReEncryptAcrossKinds(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	secret := fresh("KMSDPLAINTEXT")
	type place struct {
		key       string
		algorithm kmsv1.EncryptionAlgorithm
	}
	places := []place{{p.keyID, 0}, {p.otherID, 1}}
	for _, k := range keysOfAllKinds(p) {
		if strings.HasPrefix(k.spec, "RSA") && k.usage == "ENCRYPT_DECRYPT" {
			places = append(places, place{k.arn, 2}, place{k.arn, 3})
		}
	}
	var answers bytes.Buffer
	blob, at := p.encrypt(p.keyID, []byte(secret), nil), places[0]
	for round := range 2 {
		for i := range places {
			to := places[(i*(round+2)+1)%len(places)]
			m := kmsv1.ReEncryptRequest_builder{
				CiphertextBlob: blob, SourceKeyId: at.key, SourceEncryptionAlgorithm: at.algorithm, DestinationKeyId: to.key, DestinationEncryptionAlgorithm: to.algorithm,
			}.Build()
			got := d.ask(d.root, kmsv1.CryptoService_ReEncrypt_FullMethodName, m)
			var out kmsv1.ReEncryptResponse
			if got.code != codes.OK {
				t.Fatalf("ReEncrypt from %v to %v: %v", at, to, got)
			}
			unmarshal(t, got.body, &out)
			answers.Write(got.body)
			if out.GetSourceKeyId() != at.key || out.GetKeyId() != to.key || int32(out.GetDestinationEncryptionAlgorithm()) != max(1, int32(to.algorithm)) {
				t.Errorf("ReEncrypt from %v to %v = %v", at, to, &out)
			}
			blob, at = out.GetCiphertextBlob(), to
		}
	}
	var out kmsv1.DecryptResponse
	d.must(decryptMethod, kmsv1.DecryptRequest_builder{KeyId: at.key, CiphertextBlob: blob, EncryptionAlgorithm: at.algorithm}.Build(), &out)
	if string(out.GetPlaintext()) != secret {
		t.Errorf("after %d keys the plaintext is %q", 2*len(places), out.GetPlaintext())
	}
	d.Stop()
	search(t, "an answer of ReEncrypt", answers.Bytes(), []string{secret})
	search(t, "the log", []byte(d.Log()), []string{secret})
	for name, content := range readTree(t, d.Dir()) {
		search(t, name, content, []string{secret})
	}
	d.Start()
}
