package server

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// One call makes an RSA key, four wait, and the others are told to come again.
func TestGenerating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGenerating()
		leave, err := g.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, mostWaiting)
		for i := range mostWaiting {
			go func() {
				with := t.Context()
				if i == 0 {
					with = ctx
				}
				next, err := g.enter(with)
				if err == nil {
					next()
				}
				ended <- err
			}()
		}
		synctest.Wait()
		if _, err := g.enter(t.Context()); failureOf(err).code != codes.ResourceExhausted || failureOf(err).reason != reasonThrottling {
			t.Errorf("one too many: %v, want %v %s", err, codes.ResourceExhausted, reasonThrottling)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("one that is cancelled: %v, want %v", err, context.Canceled)
		}
		leave()
		for range mostWaiting - 1 {
			if err := <-ended; err != nil {
				t.Errorf("one that waits: %v", err)
			}
		}
		if leave, err = g.enter(t.Context()); err != nil {
			t.Errorf("the next one: %v", err)
		} else {
			leave()
		}
	})
}

// While too many RSA keys are being made, calls that need one are told to come again, and others are answered.
func TestThrottledKeys(t *testing.T) {
	h := newHouse(t)
	external := kmsv1.CreateKeyRequest_builder{Origin: kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_EXTERNAL}.Build()
	made, err := h.ask(kmsv1.KeyService_CreateKey_FullMethodName, external)
	h.check(err)
	parameters := func(a kmsv1.WrappingAlgorithmSpec, s kmsv1.WrappingKeySpec) proto.Message {
		return kmsv1.GetParametersForImportRequest_builder{KeyId: made.(*kmsv1.CreateKeyResponse).GetKeyMetadata().GetKeyId(), WrappingAlgorithm: a, WrappingKeySpec: s}.Build()
	}
	rsa := kmsv1.CreateKeyRequest_builder{KeySpec: kmsv1.KeySpec_KEY_SPEC_RSA_2048, KeyUsage: kmsv1.KeyUsage_KEY_USAGE_SIGN_VERIFY}.Build()
	dry := proto.CloneOf(rsa)
	dry.SetDryRun(true)
	curve := kmsv1.CreateKeyRequest_builder{KeySpec: kmsv1.KeySpec_KEY_SPEC_ECC_NIST_P256, KeyUsage: kmsv1.KeyUsage_KEY_USAGE_SIGN_VERIFY}.Build()
	imports := func(spec kmsv1.KeySpec, u kmsv1.KeyUsage) proto.Message {
		made, err := h.ask(kmsv1.KeyService_CreateKey_FullMethodName, kmsv1.CreateKeyRequest_builder{KeySpec: spec, KeyUsage: u, Origin: kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_EXTERNAL}.Build())
		h.check(err)
		return kmsv1.ImportKeyMaterialRequest_builder{
			KeyId: made.(*kmsv1.CreateKeyResponse).GetKeyMetadata().GetKeyId(), ImportToken: []byte("none"), EncryptedKeyMaterial: []byte("none"),
			ExpirationModel: kmsv1.ExpirationModel_EXPIRATION_MODEL_KEY_MATERIAL_DOES_NOT_EXPIRE,
		}.Build()
	}
	importRSA := imports(kmsv1.KeySpec_KEY_SPEC_RSA_4096, kmsv1.KeyUsage_KEY_USAGE_SIGN_VERIFY)
	importOther := imports(kmsv1.KeySpec_KEY_SPEC_SYMMETRIC_DEFAULT, kmsv1.KeyUsage_KEY_USAGE_ENCRYPT_DECRYPT)
	leave, err := h.s.generating.enter(t.Context())
	h.check(err)
	defer leave()
	h.s.generating.waiting.Store(mostWaiting)
	const create, get = kmsv1.KeyService_CreateKey_FullMethodName, kmsv1.KeyService_GetParametersForImport_FullMethodName
	for _, row := range []struct {
		what, method string
		m            proto.Message
		throttled    bool
	}{
		{"an RSA key", create, rsa, true},
		{"an RSA key, in a dry run", create, dry, false},
		{"a key on a curve", create, curve, false},
		{"an RSA wrapping key", get, parameters(kmsv1.WrappingAlgorithmSpec_WRAPPING_ALGORITHM_SPEC_RSAES_OAEP_SHA_256, kmsv1.WrappingKeySpec_WRAPPING_KEY_SPEC_RSA_2048), true},
		{"a wrapping key of HPKE", get, parameters(kmsv1.WrappingAlgorithmSpec_WRAPPING_ALGORITHM_SPEC_HPKE_MLKEM768_X25519, kmsv1.WrappingKeySpec_WRAPPING_KEY_SPEC_MLKEM768_X25519), false},
	} {
		_, err := h.ask(row.method, row.m)
		st := status.Convert(err)
		retry := slices.ContainsFunc(st.Details(), func(d any) bool { _, ok := d.(*errdetails.RetryInfo); return ok })
		if throttled := st.Code() == codes.ResourceExhausted && retry; throttled != row.throttled || !throttled && err != nil {
			t.Errorf("%s: %v, want it throttled: %v", row.what, err, row.throttled)
		}
	}
	const put = kmsv1.KeyService_ImportKeyMaterial_FullMethodName
	if _, err := h.ask(put, importRSA); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("an import of an RSA key: %v, want it throttled", err)
	}
	if _, err := h.ask(put, importOther); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an import of another key without a token: %v, want %v", err, codes.InvalidArgument)
	}
}
