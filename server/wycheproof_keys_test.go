package server_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
	"github.com/kmsd/kmsd/internal/vectors"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func wycheproofHMAC(t *testing.T, b *bench) {
	const want = "%d invalid refused, 27 valid refused (the MAC is truncated), 26 valid accepted, 12 valid refused (the key is not as long as the hash), 1 valid refused (the message is empty)"
	for _, row := range someWhenShort([]struct {
		file    string
		spec    crypto.Spec
		bits    int
		invalid int
	}{
		{"hmac_sha224", crypto.SpecHMAC224, 224, 106},
		{"hmac_sha256", crypto.SpecHMAC256, 256, 108},
		{"hmac_sha384", crypto.SpecHMAC384, 384, 108},
		{"hmac_sha512", crypto.SpecHMAC512, 512, 108},
	}) {
		a := kmsv1.MacAlgorithmSpec(kmsv1.MacAlgorithmSpec_value[fmt.Sprintf("MAC_ALGORITHM_SPEC_HMAC_SHA_%d", row.bits)])
		b.run(t, row.file, fmt.Sprintf(want, row.invalid), func(g *vectors.Group, v *vectors.Test) question {
			q := question{spec: row.spec, usage: crypto.UsageGenerateVerifyMAC, material: v.Key}
			reason := noMAC
			switch {
			case g.KeySize != row.bits:
				q.unoffered = "the key is not as long as the hash"
			case g.TagSize != row.bits:
				q.unoffered = "the MAC is truncated"
			case len(v.Msg) == 0:
				q.unoffered = "the message is empty"
			}
			if len(v.Msg) == 0 {
				reason = noRequest
			}
			q.ask = func(key string) []*kmsv1.BatchItem {
				return []*kmsv1.BatchItem{
					item(kmsv1.BatchItem_builder{VerifyMac: kmsv1.VerifyMacRequest_builder{KeyId: key, MacAlgorithm: a, Message: v.Msg, Mac: v.Tag}.Build()}),
					item(kmsv1.BatchItem_builder{GenerateMac: kmsv1.GenerateMacRequest_builder{KeyId: key, MacAlgorithm: a, Message: v.Msg}.Build()}),
				}
			}
			q.verdict = func(answers []*kmsv1.BatchResult) vectors.Verdict {
				if mac := answers[1].GetGenerateMac().GetMac(); q.unoffered == "" && len(v.Msg) > 0 && bytes.Equal(mac, v.Tag) != (v.Result == vectors.Valid) {
					return vectors.Failed(fmt.Errorf("GenerateMac gives %x", mac))
				}
				return gives(v, answers[0], nil, reason, nil)
			}
			return q
		})
	}
}

func wycheproofECDH(t *testing.T, b *bench) {
	for _, row := range someWhenShort([]struct {
		file string
		spec crypto.Spec
		want string
	}{
		{"ecdh_secp256r1", crypto.SpecP256, "330 valid accepted, 222 acceptable refused (it is not DER), 52 invalid refused, 7 acceptable refused (RFC 5480 wants a name), 1 acceptable accepted (RFC 5480 has it)"},
		{"ecdh_secp384r1", crypto.SpecP384, "771 valid accepted, 222 acceptable refused (it is not DER), 46 invalid refused, 7 acceptable refused (RFC 5480 wants a name), 1 acceptable accepted (RFC 5480 has it)"},
		{"ecdh_secp521r1", crypto.SpecP521, "632 valid accepted, 220 acceptable refused (it is not DER), 56 invalid refused, 7 acceptable refused (RFC 5480 wants a name), 1 acceptable accepted (RFC 5480 has it)"},
	}) {
		materials := map[string][]byte{} // :: number →
		b.run(t, row.file, row.want, func(_ *vectors.Group, v *vectors.Test) question {
			d := string(v.Private)
			if materials[d] == nil {
				materials[d] = ecdhMaterial(t, row.spec, v.Private)
			}
			return question{
				spec: row.spec, usage: crypto.UsageKeyAgreement, material: materials[d],
				ask: func(key string) []*kmsv1.BatchItem {
					return []*kmsv1.BatchItem{item(kmsv1.BatchItem_builder{DeriveSharedSecret: kmsv1.DeriveSharedSecretRequest_builder{KeyId: key, PublicKey: v.Public}.Build()})}
				},
				verdict: func(answers []*kmsv1.BatchResult) vectors.Verdict {
					return gives(v, answers[0], answers[0].GetDeriveSharedSecret().GetSharedSecret(), noRequest, v.Shared)
				},
			}
		})
	}
}

// ecdhMaterial is the key whose number is d, big-endian with zeros before it or without.
func ecdhMaterial(t *testing.T, spec crypto.Spec, d []byte) []byte {
	t.Helper()
	curve := map[crypto.Spec]ecdh.Curve{crypto.SpecP256: ecdh.P256(), crypto.SpecP384: ecdh.P384(), crypto.SpecP521: ecdh.P521()}[spec]
	size := map[crypto.Spec]int{crypto.SpecP256: 32, crypto.SpecP384: 48, crypto.SpecP521: 66}[spec]
	for len(d) > size && d[0] == 0 {
		d = d[1:]
	}
	k, err := curve.NewPrivateKey(slices.Concat(make([]byte, max(0, size-len(d))), d))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func wycheproofMLKEM(t *testing.T, b *bench) {
	for _, row := range someWhenShort([]struct {
		spec           crypto.Spec
		file, want     string
		keys, wantKeys string
		expanded       string
	}{
		{crypto.SpecMLKEM768, "mlkem_768", "153 valid accepted, 40 invalid refused", "mlkem_768_keygen_seed", "75 valid skipped (to import one of four will do), 25 valid accepted", "mlkem_768_semi_expanded_decaps"},
		{crypto.SpecMLKEM1024, "mlkem_1024", "153 valid accepted, 40 invalid refused", "mlkem_1024_keygen_seed", "75 valid skipped (to import one of four will do), 25 valid accepted", "mlkem_1024_semi_expanded_decaps"},
	}) {
		seed := func(v *vectors.Test) question {
			q := question{spec: row.spec, usage: crypto.UsageEncapsulateDecapsulate, material: v.Seed}
			if v.EK != nil {
				q.public = seedSPKI(t, row.spec, v.EK)
			}
			return q
		}
		b.run(t, row.file, row.want, func(_ *vectors.Group, v *vectors.Test) question {
			q := seed(v)
			q.ask = func(key string) []*kmsv1.BatchItem {
				return []*kmsv1.BatchItem{item(kmsv1.BatchItem_builder{Decapsulate: kmsv1.DecapsulateRequest_builder{KeyId: key, SharedSecretCiphertextBlob: v.C}.Build()})}
			}
			q.verdict = func(answers []*kmsv1.BatchResult) vectors.Verdict {
				return gives(v, answers[0], answers[0].GetDecapsulate().GetSharedSecret(), noCiphertext, v.K)
			}
			return q
		})
		if testing.Short() {
			continue
		}
		b.run(t, row.keys, row.wantKeys, func(_ *vectors.Group, v *vectors.Test) question {
			q := seed(v)
			if v.ID%4 != 1 {
				q.skip = "to import one of four will do"
			}
			return q
		})
		b.run(t, row.expanded, "6 invalid refused, 3 valid refused (the key is expanded)", func(_ *vectors.Group, v *vectors.Test) question {
			return question{spec: row.spec, usage: crypto.UsageEncapsulateDecapsulate, material: v.DK, unoffered: "the key is expanded"}
		})
	}
}

// seedSPKI is the SubjectPublicKeyInfo of a public key of ML-DSA (RFC 9881) or ML-KEM (RFC 9935).
func seedSPKI(t *testing.T, spec crypto.Spec, key []byte) []byte {
	t.Helper()
	last := map[crypto.Spec][]int{
		crypto.SpecMLDSA44: {3, 17}, crypto.SpecMLDSA65: {3, 18}, crypto.SpecMLDSA87: {3, 19}, crypto.SpecMLKEM768: {4, 2}, crypto.SpecMLKEM1024: {4, 3},
	}[spec]
	type algorithm struct{ ID asn1.ObjectIdentifier }
	der, err := asn1.Marshal(struct {
		Algorithm algorithm
		Key       asn1.BitString
	}{algorithm{append(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4}, last...)}, asn1.BitString{Bytes: key, BitLength: 8 * len(key)}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Material that is wrapped with AES-KWP arrives behind the AES key, which is wrapped with RSA (RSA_AES_KEY_WRAP). What is
// unwrapped, but is no key, is told from what does not open; what is as long as an HMAC key becomes one.
func wycheproofKWP(t *testing.T, b *bench) {
	d := *b.door
	d.t = t
	const noKey = "it opens, and is no key"
	waiting := d.external(crypto.SpecRSA2048)
	p := d.parameters(waiting, keywrap.RSAAESSHA256, keywrap.RSA2048)
	const want = "177 invalid refused, 52 valid refused (the AES key has not 256 bits), 22 valid refused (it opens, and is no key), 3 valid accepted"
	vectors.Run(t, "aes_kwp", want, func(g *vectors.Group, v *vectors.Test) vectors.Verdict {
		if g.KeySize == 256 && v.Result == vectors.Valid && len(v.Msg) == 32 {
			return d.kwpVerdict(t, v)
		}
		got := d.ask(d.root, importMethod, kwpImport(t, waiting, p, v))
		switch {
		case got.reason == noMaterial && g.KeySize == 256 && v.Result == vectors.Valid:
			return vectors.Passes(errors.New(noKey)).Unoffered(noKey)
		case got.reason != noCiphertext:
			return vectors.Failed(errors.New(got.String()))
		case g.KeySize != 256:
			return vectors.Passes(errors.New(got.String())).Unoffered("the AES key has not 256 bits")
		}
		return vectors.Passes(errors.New(got.String()))
	})
}

// kwpImport is an import of what a vector has wrapped.
func kwpImport(t *testing.T, key string, p *kmsv1.GetParametersForImportResponse, v *vectors.Test) *kmsv1.ImportKeyMaterialRequest {
	t.Helper()
	public := parsed(t, "RSA_2048", p.GetPublicKey()).(*rsa.PublicKey)
	first, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public, v.Key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return kmsv1.ImportKeyMaterialRequest_builder{
		KeyId: key, ImportToken: p.GetImportToken(), EncryptedKeyMaterial: slices.Concat(first, v.CT), ExpirationModel: neverExpires,
	}.Build()
}

// kwpVerdict imports an HMAC key that a vector has wrapped, and looks whether its MACs are those of what was wrapped.
func (d *door) kwpVerdict(t *testing.T, v *vectors.Test) vectors.Verdict {
	key := d.external(crypto.SpecHMAC256)
	d.must(importMethod, kwpImport(t, key, d.parameters(key, keywrap.RSAAESSHA256, keywrap.RSA2048), v), &kmsv1.ImportKeyMaterialResponse{})
	message := []byte("a message")
	var out kmsv1.GenerateMacResponse
	d.must(kmsv1.CryptoService_GenerateMac_FullMethodName, kmsv1.GenerateMacRequest_builder{
		KeyId: key, Message: message, MacAlgorithm: kmsv1.MacAlgorithmSpec_MAC_ALGORITHM_SPEC_HMAC_SHA_256,
	}.Build(), &out)
	want := hmac.New(sha256.New, v.Msg)
	want.Write(message)
	return vectors.Gives(v, out.GetMac(), nil, want.Sum(nil))
}
