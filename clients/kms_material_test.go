package clients

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// parsePublic parses a public key as AWS returns it.
func parsePublic[T any](t testing.TB, der []byte) T {
	t.Helper()
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	public, ok := key.(T)
	if !ok {
		t.Fatalf("the public key is a %T", key)
	}
	return public
}

func dataKeyPairs(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, nil)
	about := map[string]string{"a": "1"}
	pair := must(s.kms.GenerateDataKeyPair(ctx, &kms.GenerateDataKeyPairInput{KeyId: key.Arn, KeyPairSpec: types.DataKeyPairSpecEccNistP256, EncryptionContext: about}))(t)
	wantPtr(t, "KeyId", pair.KeyId, *key.Arn)
	wantPtr(t, "KeyMaterialId", pair.KeyMaterialId, *key.CurrentKeyMaterialId)
	want(t, "KeyPairSpec", pair.KeyPairSpec, types.DataKeyPairSpecEccNistP256)
	private, err := x509.ParsePKCS8PrivateKey(pair.PrivateKeyPlaintext)
	if err != nil {
		t.Fatal(err)
	}
	if !private.(*ecdsa.PrivateKey).PublicKey.Equal(parsePublic[*ecdsa.PublicKey](t, pair.PublicKey)) {
		t.Error("PublicKey is not that of PrivateKeyPlaintext")
	}
	opened := must(s.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: pair.PrivateKeyCiphertextBlob, EncryptionContext: about}))(t)
	want(t, "the private key decrypted is the one in clear", bytes.Equal(opened.Plaintext, pair.PrivateKeyPlaintext), true)

	sealed := must(s.kms.GenerateDataKeyPairWithoutPlaintext(ctx, &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: key.Arn, KeyPairSpec: types.DataKeyPairSpecRsa2048}))(t)
	wantPtr(t, "KeyId", sealed.KeyId, *key.Arn)
	wantPtr(t, "KeyMaterialId", sealed.KeyMaterialId, *key.CurrentKeyMaterialId)
	want(t, "KeyPairSpec", sealed.KeyPairSpec, types.DataKeyPairSpecRsa2048)
	want(t, "bits", parsePublic[*rsa.PublicKey](t, sealed.PublicKey).N.BitLen(), 2048)
	must(s.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.PrivateKeyCiphertextBlob}))(t)
}

func signatures(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, specified(types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify))
	public := must(s.kms.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: key.KeyId}))(t)
	wantPtr(t, "GetPublicKey KeyId", public.KeyId, *key.Arn)
	want(t, "GetPublicKey KeySpec", public.KeySpec, types.KeySpecEccNistP256)
	//lint:ignore SA1019 programs still read it
	want(t, "GetPublicKey CustomerMasterKeySpec", public.CustomerMasterKeySpec, types.CustomerMasterKeySpecEccNistP256)
	want(t, "GetPublicKey KeyUsage", public.KeyUsage, types.KeyUsageTypeSignVerify)
	want(t, "GetPublicKey SigningAlgorithms", fmt.Sprint(public.SigningAlgorithms), "[ECDSA_SHA_256]")
	message := []byte("signed")
	digest := sha256.Sum256(message)
	for _, in := range []*kms.SignInput{
		{Message: message},
		{Message: message, MessageType: types.MessageTypeRaw},
		{Message: digest[:], MessageType: types.MessageTypeDigest},
	} {
		in.KeyId, in.SigningAlgorithm = key.Arn, types.SigningAlgorithmSpecEcdsaSha256
		signed := must(s.kms.Sign(ctx, in))(t)
		wantPtr(t, "Sign KeyId", signed.KeyId, *key.Arn)
		want(t, "Sign SigningAlgorithm", signed.SigningAlgorithm, types.SigningAlgorithmSpecEcdsaSha256)
		if !ecdsa.VerifyASN1(parsePublic[*ecdsa.PublicKey](t, public.PublicKey), digest[:], signed.Signature) {
			t.Errorf("the signature of a message of type %q does not fit its public key", in.MessageType)
		}
		verified := must(s.kms.Verify(ctx, &kms.VerifyInput{
			KeyId: key.Arn, Message: in.Message, MessageType: in.MessageType, Signature: signed.Signature, SigningAlgorithm: in.SigningAlgorithm,
		}))(t)
		wantPtr(t, "Verify KeyId", verified.KeyId, *key.Arn)
		want(t, "Verify SignatureValid", verified.SignatureValid, true)
		want(t, "Verify SigningAlgorithm", verified.SigningAlgorithm, types.SigningAlgorithmSpecEcdsaSha256)
	}
}

func macs(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, specified(types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac))
	made := must(s.kms.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: key.KeyId, Message: []byte("m"), MacAlgorithm: types.MacAlgorithmSpecHmacSha256}))(t)
	wantPtr(t, "GenerateMac KeyId", made.KeyId, *key.Arn)
	want(t, "length of Mac", len(made.Mac), 32)
	want(t, "GenerateMac MacAlgorithm", made.MacAlgorithm, types.MacAlgorithmSpecHmacSha256)
	verified := must(s.kms.VerifyMac(ctx, &kms.VerifyMacInput{KeyId: key.KeyId, Message: []byte("m"), Mac: made.Mac, MacAlgorithm: types.MacAlgorithmSpecHmacSha256}))(t)
	wantPtr(t, "VerifyMac KeyId", verified.KeyId, *key.Arn)
	want(t, "VerifyMac MacValid", verified.MacValid, true)
	want(t, "VerifyMac MacAlgorithm", verified.MacAlgorithm, types.MacAlgorithmSpecHmacSha256)
}

func sharedSecret(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, specified(types.KeySpecEccNistP384, types.KeyUsageTypeKeyAgreement))
	public := must(s.kms.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: key.KeyId}))(t)
	want(t, "KeyAgreementAlgorithms", fmt.Sprint(public.KeyAgreementAlgorithms), "[ECDH]")
	mine, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(mine.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := parsePublic[*ecdsa.PublicKey](t, public.PublicKey).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := mine.ECDH(theirs)
	if err != nil {
		t.Fatal(err)
	}
	derived := must(s.kms.DeriveSharedSecret(ctx, &kms.DeriveSharedSecretInput{KeyId: key.Arn, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh, PublicKey: der}))(t)
	wantPtr(t, "KeyId", derived.KeyId, *key.Arn)
	want(t, "KeyAgreementAlgorithm", derived.KeyAgreementAlgorithm, types.KeyAgreementAlgorithmSpecEcdh)
	want(t, "KeyOrigin", derived.KeyOrigin, types.OriginTypeAwsKms)
	want(t, "both sides have one secret", bytes.Equal(derived.SharedSecret, secret), true)
}

func encapsulation(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, specified(types.KeySpecMlKem768, types.KeyUsageTypeEncapsulateDecapsulate))
	want(t, "EncapsulationAlgorithms", fmt.Sprint(key.EncapsulationAlgorithms), "[ML_KEM]")
	public := must(s.kms.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: key.KeyId}))(t)
	want(t, "GetPublicKey EncapsulationAlgorithms", fmt.Sprint(public.EncapsulationAlgorithms), "[ML_KEM]")
	made := must(s.kms.Encapsulate(ctx, &kms.EncapsulateInput{KeyId: key.KeyId, EncapsulationAlgorithm: types.EncapsulationAlgorithmSpecMlKem}))(t)
	wantPtr(t, "Encapsulate KeyId", made.KeyId, *key.Arn)
	want(t, "Encapsulate EncapsulationAlgorithm", made.EncapsulationAlgorithm, types.EncapsulationAlgorithmSpecMlKem)
	want(t, "length of SharedSecret", len(made.SharedSecret), 32)

	// The public key ends with FIPS 203's encapsulation key, after the header of SubjectPublicKeyInfo.
	encapsulator, err := mlkem.NewEncapsulationKey768(public.PublicKey[len(public.PublicKey)-mlkem.EncapsulationKeySize768:])
	if err != nil {
		t.Fatal(err)
	}
	secret, ciphertext := encapsulator.Encapsulate()
	for _, c := range []struct{ secret, ciphertext []byte }{{made.SharedSecret, made.SharedSecretCiphertextBlob}, {secret, ciphertext}} {
		opened := must(s.kms.Decapsulate(ctx, &kms.DecapsulateInput{
			KeyId: key.Arn, EncapsulationAlgorithm: types.EncapsulationAlgorithmSpecMlKem, SharedSecretCiphertextBlob: c.ciphertext,
		}))(t)
		wantPtr(t, "Decapsulate KeyId", opened.KeyId, *key.Arn)
		want(t, "Decapsulate EncapsulationAlgorithm", opened.EncapsulationAlgorithm, types.EncapsulationAlgorithmSpecMlKem)
		want(t, "both sides have one secret", bytes.Equal(opened.SharedSecret, c.secret), true)
	}
}

// importMaterial imports material into a key as AWS's documentation says: wrapped under the key for the import.
func (s *goSDK) importMaterial(t testing.TB, keyID *string, material []byte, change func(*kms.ImportKeyMaterialInput)) (*kms.ImportKeyMaterialOutput, error) {
	t.Helper()
	return importMaterial(t, s.kms, keyID, material, change)
}

func importMaterial(t testing.TB, c *kms.Client, keyID *string, material []byte, change func(*kms.ImportKeyMaterialInput)) (*kms.ImportKeyMaterialOutput, error) {
	t.Helper()
	ctx := t.Context()
	p := must(c.GetParametersForImport(ctx, &kms.GetParametersForImportInput{
		KeyId: keyID, WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048,
	}))(t)
	wantNear(t, "ParametersValidTo", p.ParametersValidTo, day)
	wrapped, err := rsa.EncryptOAEP(crypto.SHA256.New(), rand.Reader, parsePublic[*rsa.PublicKey](t, p.PublicKey), material, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := &kms.ImportKeyMaterialInput{
		KeyId: keyID, ImportToken: p.ImportToken, EncryptedKeyMaterial: wrapped, ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
	}
	if change != nil {
		change(in)
	}
	return c.ImportKeyMaterial(ctx, in)
}

func importedMaterial(t *testing.T, s *goSDK) {
	ctx := t.Context()
	key := s.createKey(t, external)
	want(t, "Origin", key.Origin, types.OriginTypeExternal)
	want(t, "KeyState", key.KeyState, types.KeyStatePendingImport)
	validTo := time.Now().Add(90 * day).Truncate(time.Second)
	made := must(s.importMaterial(t, key.KeyId, bytes.Repeat([]byte{7}, 32), func(in *kms.ImportKeyMaterialInput) {
		in.ExpirationModel, in.ValidTo = types.ExpirationModelTypeKeyMaterialExpires, &validTo
		in.KeyMaterialDescription = aws.String("the first")
	}))(t)
	wantPtr(t, "ImportKeyMaterial KeyId", made.KeyId, *key.Arn)
	wantMaterial(t, "ImportKeyMaterial KeyMaterialId", made.KeyMaterialId)
	m := must(s.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.KeyId}))(t).KeyMetadata
	want(t, "KeyState", m.KeyState, types.KeyStateEnabled)
	want(t, "ExpirationModel", m.ExpirationModel, types.ExpirationModelTypeKeyMaterialExpires)
	if m.ValidTo == nil || !m.ValidTo.Equal(validTo) {
		t.Errorf("ValidTo = %v, want %v", m.ValidTo, validTo)
	}
	sealed := must(s.kms.Encrypt(ctx, &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")}))(t)

	second := must(s.importMaterial(t, key.KeyId, bytes.Repeat([]byte{8}, 32), func(in *kms.ImportKeyMaterialInput) { in.ImportType = types.ImportTypeNewKeyMaterial }))(t)
	list := must(s.kms.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{KeyId: key.KeyId, IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial}))(t).Rotations
	states := map[string]types.RotationsListEntry{}
	for _, r := range list {
		states[aws.ToString(r.KeyMaterialId)] = r
	}
	first, next := states[*made.KeyMaterialId], states[*second.KeyMaterialId]
	want(t, "KeyMaterialState of the first", first.KeyMaterialState, types.KeyMaterialStateCurrent)
	want(t, "ImportState of the first", first.ImportState, types.ImportStateImported)
	want(t, "ExpirationModel of the first", first.ExpirationModel, types.ExpirationModelTypeKeyMaterialExpires)
	wantPtr(t, "KeyMaterialDescription of the first", first.KeyMaterialDescription, "the first")
	if first.ValidTo == nil || !first.ValidTo.Equal(validTo) {
		t.Errorf("ValidTo of the first = %v, want %v", first.ValidTo, validTo)
	}
	want(t, "KeyMaterialState of the second", next.KeyMaterialState, types.KeyMaterialStatePendingRotation)
	must(s.kms.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: key.KeyId}))(t)
	m = must(s.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.KeyId}))(t).KeyMetadata
	wantPtr(t, "CurrentKeyMaterialId", m.CurrentKeyMaterialId, *second.KeyMaterialId)

	deleted := must(s.kms.DeleteImportedKeyMaterial(ctx, &kms.DeleteImportedKeyMaterialInput{KeyId: key.KeyId, KeyMaterialId: made.KeyMaterialId}))(t)
	wantPtr(t, "DeleteImportedKeyMaterial KeyId", deleted.KeyId, *key.Arn)
	wantPtr(t, "DeleteImportedKeyMaterial KeyMaterialId", deleted.KeyMaterialId, *made.KeyMaterialId)
	m = must(s.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.KeyId}))(t).KeyMetadata
	want(t, "KeyState after DeleteImportedKeyMaterial", m.KeyState, types.KeyStatePendingImport)
	must(s.importMaterial(t, key.KeyId, bytes.Repeat([]byte{7}, 32), func(in *kms.ImportKeyMaterialInput) {
		in.ImportType, in.KeyMaterialId = types.ImportTypeExistingKeyMaterial, made.KeyMaterialId
	}))(t)
	opened := must(s.kms.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob}))(t)
	wantPtr(t, "KeyMaterialId of what was encrypted before", opened.KeyMaterialId, *made.KeyMaterialId)

	// An imported HMAC key computes what anybody who has the material does.
	material := bytes.Repeat([]byte{9}, 32)
	mac := s.createKey(t, func(in *kms.CreateKeyInput) {
		external(in)
		in.KeySpec, in.KeyUsage = types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac
	})
	must(s.importMaterial(t, mac.KeyId, material, nil))(t)
	h := hmac.New(sha256.New, material)
	h.Write([]byte("m"))
	got := must(s.kms.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: mac.KeyId, Message: []byte("m"), MacAlgorithm: types.MacAlgorithmSpecHmacSha256}))(t)
	want(t, "the HMAC of kmsd is that of the material", bytes.Equal(got.Mac, h.Sum(nil)), true)
}

// kmsSpecifications makes a key of each kind, and uses it with each of its algorithms. What the SDK names and kmsd has not is refused by name.
func kmsSpecifications(t *testing.T, s *goSDK) {
	absent := []types.KeySpec{types.KeySpecSm2, types.KeySpecMlKem512}
	usages := map[types.KeySpec][]types.KeyUsageType{types.KeySpecSymmetricDefault: {types.KeyUsageTypeEncryptDecrypt}}
	for _, spec := range types.KeySpec("").Values() {
		switch name := string(spec); {
		case strings.HasPrefix(name, "RSA"):
			usages[spec] = []types.KeyUsageType{types.KeyUsageTypeEncryptDecrypt, types.KeyUsageTypeSignVerify}
		case strings.HasPrefix(name, "HMAC"):
			usages[spec] = []types.KeyUsageType{types.KeyUsageTypeGenerateVerifyMac}
		case name == "ECC_NIST_P256", name == "ECC_NIST_P384", name == "ECC_NIST_P521":
			usages[spec] = []types.KeyUsageType{types.KeyUsageTypeKeyAgreement, types.KeyUsageTypeSignVerify}
		case strings.HasPrefix(name, "ECC"), strings.HasPrefix(name, "ML_DSA"):
			usages[spec] = []types.KeyUsageType{types.KeyUsageTypeSignVerify}
		case strings.HasPrefix(name, "ML_KEM"):
			usages[spec] = []types.KeyUsageType{types.KeyUsageTypeEncapsulateDecapsulate}
		}
	}
	for _, spec := range types.KeySpec("").Values() {
		s.run(t, string(spec), func(t *testing.T) {
			if slices.Contains(absent, spec) {
				_, err := s.kms.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: spec, KeyUsage: types.KeyUsageTypeSignVerify})
				wantCode(t, "CreateKey", err, "UnsupportedOperationException")
				return
			}
			if len(usages[spec]) == 0 {
				t.Fatal("the test does not know what such a key is used for")
			}
			for _, usage := range usages[spec] {
				s.useEveryAlgorithm(t, s.createKey(t, specified(spec, usage)))
			}
		})
	}
}

func (s *goSDK) useEveryAlgorithm(t *testing.T, key *types.KeyMetadata) {
	t.Helper()
	ctx := t.Context()
	//lint:ignore SA1019 programs still read it
	want(t, "CustomerMasterKeySpec", string(key.CustomerMasterKeySpec), string(key.KeySpec))
	uses := 0
	if name := string(key.KeySpec); key.KeySpec != types.KeySpecSymmetricDefault && !strings.HasPrefix(name, "HMAC") {
		public := must(s.kms.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: key.KeyId}))(t)
		want(t, "EncryptionAlgorithms of GetPublicKey", fmt.Sprint(public.EncryptionAlgorithms), fmt.Sprint(key.EncryptionAlgorithms))
		want(t, "SigningAlgorithms of GetPublicKey", fmt.Sprint(public.SigningAlgorithms), fmt.Sprint(key.SigningAlgorithms))
	}
	for _, a := range key.EncryptionAlgorithms {
		sealed := must(s.kms.Encrypt(ctx, &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x"), EncryptionAlgorithm: a}))(t)
		opened := must(s.kms.Decrypt(ctx, &kms.DecryptInput{KeyId: key.KeyId, CiphertextBlob: sealed.CiphertextBlob, EncryptionAlgorithm: a}))(t)
		want(t, "plaintext", string(opened.Plaintext), "x")
		want(t, "EncryptionAlgorithm", opened.EncryptionAlgorithm, a)
		uses++
	}
	for _, a := range key.SigningAlgorithms {
		in := &kms.SignInput{KeyId: key.KeyId, Message: []byte("x"), MessageType: types.MessageTypeRaw, SigningAlgorithm: a}
		if a == types.SigningAlgorithmSpecEd25519PhSha512 {
			in.Message, in.MessageType = make([]byte, 64), types.MessageTypeDigest
		}
		signed := must(s.kms.Sign(ctx, in))(t)
		verified := must(s.kms.Verify(ctx, &kms.VerifyInput{
			KeyId: key.KeyId, Message: in.Message, MessageType: in.MessageType, SigningAlgorithm: a, Signature: signed.Signature,
		}))(t)
		want(t, "SignatureValid", verified.SignatureValid, true)
		uses++
	}
	for _, a := range key.MacAlgorithms {
		made := must(s.kms.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: key.KeyId, Message: []byte("x"), MacAlgorithm: a}))(t)
		want(t, "MacValid", must(s.kms.VerifyMac(ctx, &kms.VerifyMacInput{KeyId: key.KeyId, Message: []byte("x"), Mac: made.Mac, MacAlgorithm: a}))(t).MacValid, true)
		uses++
	}
	for _, a := range key.EncapsulationAlgorithms {
		made := must(s.kms.Encapsulate(ctx, &kms.EncapsulateInput{KeyId: key.KeyId, EncapsulationAlgorithm: a}))(t)
		opened := must(s.kms.Decapsulate(ctx, &kms.DecapsulateInput{KeyId: key.KeyId, EncapsulationAlgorithm: a, SharedSecretCiphertextBlob: made.SharedSecretCiphertextBlob}))(t)
		want(t, "both sides have one secret", bytes.Equal(opened.SharedSecret, made.SharedSecret), true)
		uses++
	}
	for _, a := range key.KeyAgreementAlgorithms {
		public := must(s.kms.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: key.KeyId}))(t)
		must(s.kms.DeriveSharedSecret(ctx, &kms.DeriveSharedSecretInput{KeyId: key.KeyId, KeyAgreementAlgorithm: a, PublicKey: public.PublicKey}))(t)
		uses++
	}
	if uses == 0 {
		t.Errorf("a key of %s for %s has no algorithm", key.KeySpec, key.KeyUsage)
	}
}
