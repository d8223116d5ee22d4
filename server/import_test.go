package server_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/kmstest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

const (
	parametersMethod = kmsv1.KeyService_GetParametersForImport_FullMethodName
	importMethod     = kmsv1.KeyService_ImportKeyMaterial_FullMethodName
	unimportMethod   = kmsv1.KeyService_DeleteImportedKeyMaterial_FullMethodName

	neverExpires = kmsv1.ExpirationModel_EXPIRATION_MODEL_KEY_MATERIAL_DOES_NOT_EXPIRE
	newMaterial  = kmsv1.ImportType_IMPORT_TYPE_NEW_KEY_MATERIAL
	oldMaterial  = kmsv1.ImportType_IMPORT_TYPE_EXISTING_KEY_MATERIAL
)

// external makes a key that waits for its material.
func (d *door) external(spec crypto.Spec) string {
	d.t.Helper()
	var out kmsv1.CreateKeyResponse
	d.must(createKeyMethod, kmsv1.CreateKeyRequest_builder{
		Origin: kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_EXTERNAL, KeySpec: kmsv1.KeySpec(kmsv1.KeySpec_value["KEY_SPEC_"+string(spec)]),
		KeyUsage: kmsv1.KeyUsage(kmsv1.KeyUsage_value["KEY_USAGE_"+string(spec.Usages()[0])]),
	}.Build(), &out)
	return out.GetKeyMetadata().GetArn()
}

// wrappings are how material can be wrapped, by AWS's names.
func wrappingOf(a keywrap.Algorithm, s keywrap.KeySpec) (kmsv1.WrappingAlgorithmSpec, kmsv1.WrappingKeySpec) {
	if a == keywrap.HPKEMLKEM768X25519 {
		return kmsv1.WrappingAlgorithmSpec_WRAPPING_ALGORITHM_SPEC_HPKE_MLKEM768_X25519, kmsv1.WrappingKeySpec_WRAPPING_KEY_SPEC_MLKEM768_X25519
	}
	return kmsv1.WrappingAlgorithmSpec(kmsv1.WrappingAlgorithmSpec_value["WRAPPING_ALGORITHM_SPEC_"+string(a)]), kmsv1.WrappingKeySpec(kmsv1.WrappingKeySpec_value["WRAPPING_KEY_SPEC_"+string(s)])
}

func (d *door) parameters(key string, a keywrap.Algorithm, s keywrap.KeySpec) *kmsv1.GetParametersForImportResponse {
	d.t.Helper()
	algorithm, spec := wrappingOf(a, s)
	var out kmsv1.GetParametersForImportResponse
	d.must(parametersMethod, kmsv1.GetParametersForImportRequest_builder{KeyId: key, WrappingAlgorithm: algorithm, WrappingKeySpec: spec}.Build(), &out)
	return &out
}

// wrapped is an import of material into a key, with parameters of its own.
func (d *door) wrapped(key string, material crypto.Secret) *kmsv1.ImportKeyMaterialRequest {
	d.t.Helper()
	p := d.parameters(key, keywrap.HPKEMLKEM768X25519, keywrap.MLKEM768X25519)
	return kmsv1.ImportKeyMaterialRequest_builder{
		KeyId: key, ImportToken: p.GetImportToken(), EncryptedKeyMaterial: wrapFor(d.t, keywrap.HPKEMLKEM768X25519, p, material), ExpirationModel: neverExpires,
	}.Build()
}

// imports imports material that does not expire and returns its id.
func (d *door) bring(key string, material crypto.Secret) string {
	d.t.Helper()
	var out kmsv1.ImportKeyMaterialResponse
	d.must(importMethod, d.wrapped(key, material), &out)
	return out.GetKeyMaterialId()
}

// Material of every spec arrives by every way that it fits through, and its key works.
func TestImport(t *testing.T) {
	d := newDoor(t, nil)
	for _, wrapping := range keywrap.KeySpecs() {
		if wrapping == keywrap.RSA3072 || wrapping == keywrap.RSA4096 {
			continue // as RSA_2048, and slow to make: TestImportWithLargeWrappingKeys
		}
		for _, algorithm := range wrapping.Algorithms() {
			for _, spec := range crypto.Specs() {
				direct := strings.HasPrefix(string(algorithm), "RSAES")
				if slow := wrapping == keywrap.RSA2048; slow && spec != crypto.SpecSymmetricDefault && spec != crypto.SpecRSA2048 && spec != crypto.SpecP521 && spec != crypto.SpecMLDSA65 {
					continue // each needs a wrapping key of its own
				}
				if direct && (spec == crypto.SpecRSA2048 || spec == crypto.SpecP521) {
					continue // is longer than what RSA-OAEP takes
				}
				key, material := d.external(spec), materialOf(t, spec)
				p := d.parameters(key, algorithm, wrapping)
				if p.GetPublicKeyCrc32C() != crypto.CRC32C(p.GetPublicKey()) || time.Until(p.GetParametersValidTo().AsTime()) < 23*time.Hour {
					t.Errorf("GetParametersForImport = %v", p)
				}
				blob := wrapFor(t, algorithm, p, material)
				var out kmsv1.ImportKeyMaterialResponse
				d.must(importMethod, kmsv1.ImportKeyMaterialRequest_builder{
					KeyId: key, ImportToken: p.GetImportToken(), EncryptedKeyMaterial: blob, EncryptedKeyMaterialCrc32C: proto.Uint32(crypto.CRC32C(blob)), ExpirationModel: neverExpires,
					KeyMaterialDescription: "of a test",
				}.Build(), &out)
				k := d.describe(key)
				if !k.GetEnabled() || k.GetCurrentKeyMaterialId() != out.GetKeyMaterialId() || len(out.GetKeyMaterialId()) != 64 || !out.GetVerifiedEncryptedKeyMaterialCrc32C() || k.GetExpirationModel() != neverExpires {
					t.Errorf("%s by %s: %v, %v", spec, algorithm, &out, k)
				}
			}
		}
	}
}

// The larger wrapping keys wrap too.
func TestImportWithLargeWrappingKeys(t *testing.T) {
	d := newDoor(t, nil)
	for _, wrapping := range []keywrap.KeySpec{keywrap.RSA3072, keywrap.RSA4096} {
		key, material := d.external(crypto.SpecRSA4096), materialOf(t, crypto.SpecRSA4096)
		p := d.parameters(key, keywrap.RSAAESSHA256, wrapping)
		d.must(importMethod, kmsv1.ImportKeyMaterialRequest_builder{
			KeyId: key, ImportToken: p.GetImportToken(), EncryptedKeyMaterial: wrapFor(t, keywrap.RSAAESSHA256, p, material), ExpirationModel: neverExpires,
		}.Build(), &kmsv1.ImportKeyMaterialResponse{})
		if k := d.describe(key); !k.GetEnabled() {
			t.Errorf("imported with a wrapping key of %s: %v", wrapping, k)
		}
	}
	algorithm, _ := wrappingOf(keywrap.RSAAESSHA256, keywrap.RSA2048)
	_, spec := wrappingOf(keywrap.HPKEMLKEM768X25519, keywrap.MLKEM768X25519)
	got := d.ask(d.root, parametersMethod, kmsv1.GetParametersForImportRequest_builder{KeyId: d.external(crypto.SpecSymmetricDefault), WrappingAlgorithm: algorithm, WrappingKeySpec: spec}.Build())
	refuses(t, "an algorithm of other wrapping keys", got, codes.InvalidArgument, "ValidationException", "wrapping keys of the spec MLKEM768_X25519")
}

// What does not belong to an import is refused, with what it is that is wrong, and an import is done once.
func TestImportRefusals(t *testing.T) {
	clock := kmstest.NewClock()
	d := newDoor(t, &kmstest.Options{Clock: clock})
	symmetric := crypto.SpecSymmetricDefault
	key, other := d.external(symmetric), d.external(symmetric)
	fresh := true // a key has at most ten import parameters at a time
	material := materialOf(t, symmetric)
	try := func(what string, code codes.Code, reason string, change func(r *kmsv1.ImportKeyMaterialRequest)) {
		t.Helper()
		if fresh {
			key = d.external(symmetric)
		}
		r := d.wrapped(key, material)
		change(r)
		refuses(t, what, d.ask(d.root, importMethod, r), code, reason, "")
	}
	const precondition, argument = codes.FailedPrecondition, codes.InvalidArgument
	try("a token of another key", argument, "InvalidImportTokenException", func(r *kmsv1.ImportKeyMaterialRequest) {
		r.SetImportToken(d.wrapped(other, material).GetImportToken())
	})
	try("a token of other parameters", argument, "InvalidCiphertextException", func(r *kmsv1.ImportKeyMaterialRequest) {
		r.SetImportToken(d.wrapped(key, material).GetImportToken())
	})
	try("what is no token", argument, "InvalidImportTokenException", func(r *kmsv1.ImportKeyMaterialRequest) { r.SetImportToken([]byte("x")) })
	for _, at := range []int{0, 7, -1} {
		try("an altered token", argument, "InvalidImportTokenException", func(r *kmsv1.ImportKeyMaterialRequest) {
			b := bytes.Clone(r.GetImportToken())
			b[(at+len(b))%len(b)] ^= 1
			r.SetImportToken(b)
		})
		try("altered material", argument, "InvalidCiphertextException", func(r *kmsv1.ImportKeyMaterialRequest) {
			b := bytes.Clone(r.GetEncryptedKeyMaterial())
			b[(at+len(b))%len(b)] ^= 1
			r.SetEncryptedKeyMaterial(b)
		})
	}
	try("a wrong checksum", argument, "ValidationException", func(r *kmsv1.ImportKeyMaterialRequest) { r.SetEncryptedKeyMaterialCrc32C(1) })
	for _, n := range []int{0, 6145} {
		try(fmt.Sprintf("material of %d bytes", n), argument, "ValidationException", func(r *kmsv1.ImportKeyMaterialRequest) { r.SetEncryptedKeyMaterial(make([]byte, n)) })
	}
	try("6144 bytes of nothing", argument, "InvalidCiphertextException", func(r *kmsv1.ImportKeyMaterialRequest) { r.SetEncryptedKeyMaterial(make([]byte, 6144)) })
	for _, n := range []int{1, 16, 31, 33, 64, 4000} {
		try(fmt.Sprintf("a key of %d bytes", n), argument, "IncorrectKeyMaterialException", func(r *kmsv1.ImportKeyMaterialRequest) {
			next := d.wrapped(key, crypto.RandomSecret(n))
			r.SetImportToken(next.GetImportToken())
			r.SetEncryptedKeyMaterial(next.GetEncryptedKeyMaterial())
		})
	}
	try("no end", argument, "ValidationException", func(r *kmsv1.ImportKeyMaterialRequest) { r.SetExpirationModel(0) })
	try("an end and none", argument, "ValidationException", func(r *kmsv1.ImportKeyMaterialRequest) { r.SetValidTo(timestamppb.New(clock.Wall().Add(time.Hour))) })
	for what, at := range map[string]time.Time{"an end in the past": clock.Wall().Add(-time.Second), "an end in more than a year": clock.Wall().Add(366 * 24 * time.Hour)} {
		try(what, argument, "ValidationException", func(r *kmsv1.ImportKeyMaterialRequest) {
			r.SetExpirationModel(0)
			r.SetValidTo(timestamppb.New(at))
		})
	}
	try("an import type that does not exist", argument, "ValidationException", func(r *kmsv1.ImportKeyMaterialRequest) { r.SetImportType(99) })
	try("a description with a line feed", argument, "ValidationException", func(r *kmsv1.ImportKeyMaterialRequest) { r.SetKeyMaterialDescription("a\nb") })
	try("a description with a bracket", argument, "ValidationException", func(r *kmsv1.ImportKeyMaterialRequest) { r.SetKeyMaterialDescription("<") })
	try("a description of 257 characters", argument, "ValidationException", func(r *kmsv1.ImportKeyMaterialRequest) { r.SetKeyMaterialDescription(strings.Repeat("x", 257)) })
	try("material that the key never had", argument, "IncorrectKeyMaterialException", func(r *kmsv1.ImportKeyMaterialRequest) { r.SetImportType(oldMaterial) })

	fresh = false
	key = d.external(symmetric)
	late := d.wrapped(key, material)
	clock.Pass(24*time.Hour + time.Minute)
	refuses(t, "a token of yesterday", d.ask(d.root, importMethod, late), precondition, "ExpiredImportTokenException", "")
	good := d.wrapped(key, material)
	d.must(importMethod, good, &kmsv1.ImportKeyMaterialResponse{})
	refuses(t, "the same import again", d.ask(d.root, importMethod, good), argument, "InvalidImportTokenException", "")

	// The key has its material: the same may come again, other material waits for its rotation.
	try("other material as the same", argument, "IncorrectKeyMaterialException", func(r *kmsv1.ImportKeyMaterialRequest) {
		next := d.wrapped(key, materialOf(t, symmetric))
		r.SetImportToken(next.GetImportToken())
		r.SetEncryptedKeyMaterial(next.GetEncryptedKeyMaterial())
	})
	mac := d.external(crypto.SpecHMAC256)
	d.bring(mac, materialOf(t, crypto.SpecHMAC256))
	second := d.wrapped(mac, materialOf(t, crypto.SpecHMAC256))
	second.SetImportType(newMaterial)
	if got := d.ask(d.root, importMethod, second); got.code == codes.OK {
		t.Error("an HMAC key took other material")
	}
}

// Material that was deleted can be imported again, and no other, and decrypts what it encrypted.
func TestDeletedMaterialComesAgain(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	key, material := d.external(crypto.SpecSymmetricDefault), materialOf(t, crypto.SpecSymmetricDefault)
	refuses(t, "Encrypt before the import", d.encrypts(d.root, key), codes.FailedPrecondition, "KMSInvalidStateException", key+" is pending import.")
	id := d.bring(key, material)
	blob := p.encrypt(key, []byte("hello"), nil)
	d.must(unimportMethod, kmsv1.DeleteImportedKeyMaterialRequest_builder{KeyId: key}.Build(), &kmsv1.DeleteImportedKeyMaterialResponse{})
	for _, when := range []string{"deleted", "deleted, after a restart"} {
		refuses(t, "Decrypt with material "+when, d.decrypt(blob, nil), codes.FailedPrecondition, "KMSInvalidStateException", key+" is pending import.")
		if all := d.versions(key, 0, 0); len(all) != 1 || all[0].GetImportState() != kmsv1.ImportState_IMPORT_STATE_PENDING_IMPORT {
			t.Errorf("the versions of a key with material %s are %v", when, all)
		}
		wrong := d.wrapped(key, materialOf(t, crypto.SpecSymmetricDefault))
		refuses(t, "other material", d.ask(d.root, importMethod, wrong), codes.InvalidArgument, "IncorrectKeyMaterialException", "")
		d.restarted()
	}
	if again := d.bring(key, material); again != id {
		t.Errorf("imported again the material is %s, want %s", again, id)
	}
	if got := plaintextOf(t, d.decrypt(blob, nil)); got != "hello" {
		t.Errorf("decrypted %q with material that was imported again", got)
	}
}

// Material that expires cannot be used from that moment on, whether somebody has removed it yet or not.
func TestImportedMaterialExpires(t *testing.T) {
	clock := kmstest.NewClock()
	d := newDoor(t, &kmstest.Options{Clock: clock})
	p := newProps(d)
	key := d.external(crypto.SpecSymmetricDefault)
	r := d.wrapped(key, materialOf(t, crypto.SpecSymmetricDefault))
	end := timestamppb.New(clock.Wall().Add(time.Hour).Truncate(time.Second))
	r.SetExpirationModel(0)
	r.SetValidTo(end)
	d.must(importMethod, r, &kmsv1.ImportKeyMaterialResponse{})
	if k, all := d.describe(key), d.versions(key, 0, 0); !proto.Equal(k.GetValidTo(), end) || k.GetExpirationModel() != kmsv1.ExpirationModel_EXPIRATION_MODEL_KEY_MATERIAL_EXPIRES || !proto.Equal(all[0].GetValidTo(), end) {
		t.Errorf("%v with versions %v, want them to expire at %v", k, all, end)
	}
	blob := p.encrypt(key, []byte("x"), nil)
	clock.Pass(time.Hour + time.Second)
	for _, when := range []string{"before it is removed", "after it is removed", "after a restart"} {
		refuses(t, "Decrypt "+when, d.decrypt(blob, nil), codes.FailedPrecondition, "KMSInvalidStateException", key+" is pending import.")
		refuses(t, "Encrypt "+when, d.encrypts(d.root, key), codes.FailedPrecondition, "KMSInvalidStateException", key+" is pending import.")
		if k := d.describe(key); k.GetKeyState() != kmsv1.KeyState_KEY_STATE_PENDING_IMPORT || k.GetEnabled() {
			t.Errorf("%s: %v, want it pending import", when, k)
		}
		if when == "after it is removed" {
			d.restarted()
		} else {
			d.Tick()
		}
	}
}

// New material of a symmetric key encrypts from when the key is rotated; there is one that waits at a time.
func TestImportAndRotate(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	key := d.external(crypto.SpecSymmetricDefault)
	first := d.bring(key, materialOf(t, crypto.SpecSymmetricDefault))
	blob := p.encrypt(key, []byte("first"), nil)
	rotate := kmsv1.RotateKeyOnDemandRequest_builder{KeyId: key}.Build()
	refuses(t, "a rotation without material", d.ask(d.root, rotateMethod, rotate), codes.FailedPrecondition, "KMSInvalidStateException", "")
	next := func() *kmsv1.ImportKeyMaterialRequest {
		r := d.wrapped(key, materialOf(t, crypto.SpecSymmetricDefault))
		r.SetImportType(newMaterial)
		return r
	}
	var pending kmsv1.ImportKeyMaterialResponse
	d.must(importMethod, next(), &pending)
	refuses(t, "two that wait", d.ask(d.root, importMethod, next()), codes.FailedPrecondition, "KMSInvalidStateException", "pending rotation")
	if k, all := d.describe(key), d.versions(key, 0, 0); k.GetCurrentKeyMaterialId() != first || len(all) != 2 || all[0].GetKeyMaterialState() != kmsv1.KeyMaterialState_KEY_MATERIAL_STATE_PENDING_ROTATION {
		t.Errorf("%v with versions %v, want the first one current", k, all)
	}
	d.must(rotateMethod, rotate, &kmsv1.RotateKeyOnDemandResponse{})
	if k := d.describe(key); k.GetCurrentKeyMaterialId() != pending.GetKeyMaterialId() {
		t.Errorf("after the rotation: %v, want %s current", k, pending.GetKeyMaterialId())
	}
	if got := plaintextOf(t, d.decrypt(blob, nil)); got != "first" {
		t.Errorf("decrypted %q after a rotation", got)
	}
}

// Imported material, its tokens and what it was wrapped in are nowhere but, sealed, in the store.
func TestImportedMaterialIsNowhere(t *testing.T) {
	d := newDoor(t, &kmstest.Options{Config: func(c *daemon.Config) { c.LogLevel = "debug" }})
	var secrets []string
	var failures bytes.Buffer
	for _, spec := range []crypto.Spec{crypto.SpecSymmetricDefault, crypto.SpecHMAC512, crypto.SpecP256, crypto.SpecMLKEM768} {
		key, material := d.external(spec), materialOf(t, spec)
		r := d.wrapped(key, material)
		if m := material.Expose(); len(m) > 80 { // of PKCS #8 the part with the key
			secrets = append(secrets, string(m[36:68]))
		} else {
			secrets = append(secrets, string(m))
		}
		secrets = append(secrets, string(r.GetImportToken()), string(r.GetEncryptedKeyMaterial()[:64]), string(r.GetEncryptedKeyMaterial()[len(r.GetEncryptedKeyMaterial())-16:]))
		wrong := proto.CloneOf(r)
		wrong.SetKeyMaterialDescription("<")
		alien := proto.CloneOf(r)
		alien.SetKeyId(d.external(spec))
		for _, m := range []proto.Message{wrong, alien, r, r} {
			got := d.ask(d.root, importMethod, m)
			fmt.Fprintf(&failures, "%s\n%s\n", got.message, marshal(t, got.status))
		}
		if !d.describe(key).GetEnabled() {
			t.Fatalf("the %s key was not imported: nothing was tested", spec)
		}
	}
	d.Stop()
	d.Start()
	files := readTree(t, d.Dir())
	for path, content := range files {
		search(t, path, content, secrets)
	}
	search(t, "the log", []byte(d.Log()), secrets)
	search(t, "the metrics", metricsOf(t, d), secrets)
	search(t, "the errors", failures.Bytes(), secrets)
	if failures.Len() == 0 || len(files) < 6 {
		t.Error("nothing was searched")
	}
}
