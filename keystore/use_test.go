package keystore

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	"github.com/kmsd/kmsd/internal/leaktest"
)

// pairOf is a key with imported material, as keys of every spec can be.
func (f *fixture) pairOf(spec crypto.Spec, u crypto.Usage) *Key {
	f.t.Helper()
	k := f.mustMake(NewKey{Origin: OriginExternal, Spec: spec, Usage: u})
	f.mustBring(k, must[crypto.Secret](f.t)(keypair.Generate(spec)).Expose(), Import{})
	return f.now(k)
}

// usesOf is which operations keys of a usage do.
var usesOf = map[crypto.Usage][]authz.Action{
	crypto.UsageEncryptDecrypt:         {authz.KMSEncrypt, authz.KMSDecrypt, authz.KMSReEncryptFrom, authz.KMSReEncryptTo},
	crypto.UsageSignVerify:             {authz.KMSSign, authz.KMSVerify},
	crypto.UsageGenerateVerifyMAC:      {authz.KMSGenerateMac, authz.KMSVerifyMac},
	crypto.UsageKeyAgreement:           {authz.KMSDeriveSharedSecret},
	crypto.UsageEncapsulateDecapsulate: {authz.KMSEncapsulate, authz.KMSDecapsulate},
}

var dataKeyUses = []authz.Action{
	authz.KMSGenerateDataKey, authz.KMSGenerateDataKeyWithoutPlaintext, authz.KMSGenerateDataKeyPair, authz.KMSGenerateDataKeyPairWithoutPlaintext,
}

// A key does the operations of its usage and no other; only symmetric ones make data keys, and only pairs have a public key.
func TestKeysFitOperations(t *testing.T) {
	f := newFixture(t)
	tried := 0
	for _, spec := range crypto.Specs() {
		for _, u := range spec.Usages() {
			k := place.newKey(testAccount, crypto.NewKeyID(), time.Unix(1, 0), spec, u, OriginKMS)
			k.use = f.uses.of(testAccount, k.ID)
			for a := range authz.Actions() {
				var want error = ErrNotPermitted // of what uses no key
				switch {
				case slices.Contains(dataKeyUses, a):
					want = when(spec != crypto.SpecSymmetricDefault, ErrInvalidKeyUsage)
				case a == authz.KMSGetPublicKey:
					want = when(!spec.Asymmetric(), ErrUnsupported)
				case slices.Contains(usesOf[u], a):
					want = nil
				case slices.ContainsFunc(crypto.Specs(), func(s crypto.Spec) bool {
					return slices.ContainsFunc(s.Usages(), func(u crypto.Usage) bool { return slices.Contains(usesOf[u], a) })
				}):
					want = ErrInvalidKeyUsage
				}
				if err := k.fit(a); !errors.Is(err, want) {
					t.Errorf("a key of spec %s for %s does %v: %v, want %v", spec, u, a, err, want)
				}
				tried++
			}
		}
	}
	if tried < 1000 {
		t.Errorf("tried %d combinations", tried)
	}
	sign := f.pairOf(crypto.SpecP256, crypto.UsageSignVerify)
	_, err := sign.Use(f.onKey(authz.KMSEncrypt, sign))
	if want := sign.ARN + " key usage is SIGN_VERIFY which is not valid for Encrypt."; err == nil || err.Error() != want {
		t.Errorf("Use = %v, want %q", err, want)
	}
}

// Each operation of a Usable needs its own permission, and the algorithm must be one of the key's spec.
func TestUsablesOfEverySpec(t *testing.T) {
	f := newFixture(t)
	use := func(k *Key, a authz.Action) Usable {
		t.Helper()
		return must[Usable](t)(k.UseFor(f.onKey(a, k), a))
	}
	message := []byte("message")
	mac := f.mustMake(NewKey{Spec: crypto.SpecHMAC224})
	sum := must[[]byte](t)(use(mac, authz.KMSGenerateMac).GenerateMAC(crypto.MACSHA224, message))
	if err := use(mac, authz.KMSVerifyMac).VerifyMAC(crypto.MACSHA224, message, sum); err != nil {
		t.Errorf("VerifyMAC = %v", err)
	}
	_, err := use(mac, authz.KMSGenerateMac).GenerateMAC(crypto.MACSHA256, message)
	if want := "Algorithm HMAC_SHA_256 is incompatible with key spec HMAC_224."; !errors.Is(err, ErrInvalidKeyUsage) || err.Error() != want {
		t.Errorf("GenerateMAC = %v, want %q", err, want)
	}
	pair := f.pairOf(crypto.SpecP256, crypto.UsageSignVerify)
	signature := must[[]byte](t)(use(pair, authz.KMSSign).Sign(crypto.SignECDSASHA256, crypto.MessageRaw, message))
	if err := use(pair, authz.KMSVerify).Verify(crypto.SignECDSASHA256, crypto.MessageRaw, message, signature); err != nil {
		t.Errorf("Verify = %v", err)
	}
	if err := use(pair, authz.KMSVerify).Verify(crypto.SignECDSASHA256, crypto.MessageRaw, message[1:], signature); !errors.Is(err, keypair.ErrSignature) {
		t.Errorf("Verify of another message = %v, want keypair.ErrSignature", err)
	}
	agree := f.pairOf(crypto.SpecP256, crypto.UsageKeyAgreement)
	public := must[[]byte](t)(use(agree, authz.KMSGetPublicKey).PublicKey())
	if secret := must[[]byte](t)(use(agree, authz.KMSDeriveSharedSecret).DeriveSharedSecret(crypto.AgreeECDH, public)); len(secret) != 32 {
		t.Errorf("DeriveSharedSecret gives %d bytes, want 32", len(secret))
	}
	kem := f.mustMake(NewKey{Spec: crypto.SpecMLKEM768})
	ciphertext, shared, err := use(kem, authz.KMSEncapsulate).Encapsulate(crypto.EncapsulateMLKEM)
	if err != nil {
		t.Fatal(err)
	}
	if got := must[[]byte](t)(use(kem, authz.KMSDecapsulate).Decapsulate(crypto.EncapsulateMLKEM, ciphertext)); string(got) != string(shared) {
		t.Error("Decapsulate gives another secret than Encapsulate")
	}
	rsa := f.pairOf(crypto.SpecRSA2048, crypto.UsageEncryptDecrypt)
	sealed := must[[]byte](t)(use(rsa, authz.KMSEncrypt).EncryptRSA(crypto.EncryptOAEPSHA256, message))
	if got := must[[]byte](t)(use(rsa, authz.KMSDecrypt).DecryptRSA(crypto.EncryptOAEPSHA256, sealed)); string(got) != string(message) {
		t.Errorf("DecryptRSA = %q, want %q", got, message)
	}
	for _, k := range []*Key{mac, pair, agree, kem, rsa} {
		u := Usable{k.Current(), k.ARN, f.onKey(authz.KMSDescribeKey, k), must[*prepared](t)(k.Current().prepare())}
		for name, err := range usesWithout(u) {
			if !errors.Is(err, ErrNotPermitted) {
				t.Errorf("%s of a key of spec %s with a grant to describe it = %v, want ErrNotPermitted", name, k.Spec, err)
			}
		}
	}
	for _, k := range []*Key{mac, pair} {
		u := Usable{k.Current(), k.ARN, f.onKey(authz.KMSDescribeKey, k), must[*prepared](t)(k.Current().prepare())}
		leaktest.Check(t, k.Current().held.secret.Expose(), u)
	}
}

// usesWithout calls every operation of a Usable.
func usesWithout(u Usable) map[string]error {
	_, mac := u.GenerateMAC("", nil)
	_, sign := u.Sign("", "", nil)
	_, public := u.PublicKey()
	_, derive := u.DeriveSharedSecret("", nil)
	_, _, encapsulate := u.Encapsulate("")
	_, decapsulate := u.Decapsulate("", nil)
	_, encryptRSA := u.EncryptRSA("", nil)
	_, decryptRSA := u.DecryptRSA("", nil)
	_, encrypt := u.Encrypt(nil, nil, crypto.Context{})
	_, decrypt := u.Decrypt(nil, nil, crypto.Context{})
	return map[string]error{
		"GenerateMAC": mac, "VerifyMAC": u.VerifyMAC("", nil, nil), "Sign": sign, "Verify": u.Verify("", "", nil, nil), "PublicKey": public,
		"DeriveSharedSecret": derive, "Encapsulate": encapsulate, "Decapsulate": decapsulate, "EncryptRSA": encryptRSA, "DecryptRSA": decryptRSA,
		"Encrypt": encrypt, "Decrypt": decrypt,
	}
}
