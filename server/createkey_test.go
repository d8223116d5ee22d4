package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

const createKeyMethod = kmsv1.KeyService_CreateKey_FullMethodName

// awsNameOf is AWS's name of a value of an enum, or empty.
func awsNameOf(names map[int32]string, n int32) string {
	if n == 0 {
		return ""
	}
	return strings.TrimPrefix(names[n], strings.TrimSuffix(names[0], "UNSPECIFIED"))
}

// wantedOfCreateKey is how CreateKey answers to a request that has nothing but flags and enums: the error's message, or empty if it succeeds.
func wantedOfCreateKey(r *kmsv1.CreateKeyRequest) string {
	spec := awsNameOf(kmsv1.KeySpec_name, int32(r.GetKeySpec()))
	usage := awsNameOf(kmsv1.KeyUsage_name, int32(r.GetKeyUsage()))
	origin := awsNameOf(kmsv1.KeyMaterialOrigin_name, int32(r.GetOrigin()))
	switch {
	case spec == "" && r.GetKeySpec() != 0, usage == "" && r.GetKeyUsage() != 0, origin == "" && r.GetOrigin() != 0:
		return "has the unknown value"
	case spec == "":
		spec = string(crypto.SpecSymmetricDefault)
	}
	if usage == "" && spec != string(crypto.SpecSymmetricDefault) {
		return "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
	}
	if usage != "" && !crypto.Spec(spec).Allows(crypto.Usage(usage)) {
		return "KeyUsage " + usage + " is not compatible with KeySpec " + spec
	}
	return ""
}

// numbers are the numbers of an enum, and two that it does not have.
func numbers(names map[int32]string) []int32 {
	all := []int32{-1, 99}
	for n := range names {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// Every combination of the enums and flags of CreateKey succeeds or says what is wrong with it.
func TestCreateKeyCombinations(t *testing.T) {
	notWhenShort(t)
	d := newDoor(t, nil)
	var requests []*kmsv1.CreateKeyRequest
	for _, spec := range numbers(kmsv1.KeySpec_name) {
		for _, usage := range numbers(kmsv1.KeyUsage_name) {
			for _, origin := range numbers(kmsv1.KeyMaterialOrigin_name) {
				for flags := range 8 {
					r := kmsv1.CreateKeyRequest_builder{
						KeySpec: kmsv1.KeySpec(spec), KeyUsage: kmsv1.KeyUsage(usage), Origin: kmsv1.KeyMaterialOrigin(origin),
						BypassPolicyLockoutSafetyCheck: flags&1 != 0, DeletionProtectionEnabled: flags&2 != 0, DryRun: flags&4 != 0,
					}.Build()
					if wantedOfCreateKey(r) == "" && !r.GetDryRun() && (flags != 2 || isRSA(r) && r.GetOrigin() != kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_EXTERNAL) {
						continue // each kind of key is made once; those of RSA take long
					}
					requests = append(requests, r)
				}
			}
		}
	}
	calls := make([]call, len(requests))
	for i, r := range requests {
		calls[i] = call{method: createKeyMethod, body: marshal(t, r), as: d.root}
	}
	made, refused := 0, map[string]int{}
	for i, got := range d.sendAll(t.Context(), calls) {
		r, want := requests[i], wantedOfCreateKey(requests[i])
		what := fmt.Sprintf("CreateKey(%v)", r)
		if want != "" {
			refuses(t, what, got, codes.InvalidArgument, "ValidationException", want)
			if !strings.HasPrefix(want, "has ") && got.message != want {
				t.Errorf("%s says %q, want %q", what, got.message, want)
			}
			refused[want]++
			continue
		}
		if got.code != codes.OK {
			t.Errorf("%s: %v, want it done", what, got)
			continue
		}
		if r.GetDryRun() {
			onlyDry(t, d, createKeyMethod, got)
			continue
		}
		made++
		asCreated(t, what, r, got)
	}
	t.Logf("%d requests; %d keys made; %d reasons", len(requests), made, len(refused))
	if made < 35 || len(requests) < 4500 || len(refused) < 50 {
		t.Errorf("%d keys of %d requests with %d reasons: too few", made, len(requests), len(refused))
	}
}

func isRSA(r *kmsv1.CreateKeyRequest) bool {
	return strings.HasPrefix(awsNameOf(kmsv1.KeySpec_name, int32(r.GetKeySpec())), "RSA")
}

// asCreated checks that a key is what was asked for.
func asCreated(t *testing.T, what string, r *kmsv1.CreateKeyRequest, got answer) {
	t.Helper()
	var out kmsv1.CreateKeyResponse
	unmarshal(t, got.body, &out)
	k := out.GetKeyMetadata()
	want := proto.CloneOf(r)
	if want.GetKeySpec() == 0 {
		want.SetKeySpec(kmsv1.KeySpec_KEY_SPEC_SYMMETRIC_DEFAULT)
	}
	if want.GetKeyUsage() == 0 {
		want.SetKeyUsage(kmsv1.KeyUsage_KEY_USAGE_ENCRYPT_DECRYPT)
	}
	if want.GetOrigin() == 0 {
		want.SetOrigin(kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_AWS_KMS)
	}
	state, versions := kmsv1.KeyState_KEY_STATE_ENABLED, int32(1)
	if want.GetOrigin() == kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_EXTERNAL {
		state, versions = kmsv1.KeyState_KEY_STATE_PENDING_IMPORT, 0
	}
	if k.GetKeySpec() != want.GetKeySpec() || k.GetKeyUsage() != want.GetKeyUsage() || k.GetOrigin() != want.GetOrigin() || k.GetKeyState() != state ||
		k.GetVersionCount() != versions || k.GetDeletionProtectionEnabled() != want.GetDeletionProtectionEnabled() || (versions == 1) != (len(out.GetKeyMaterialId()) == 64) {
		t.Errorf("%s made %v with the material %q", what, k, out.GetKeyMaterialId())
	}
	algorithms := map[kmsv1.KeyUsage]int{
		kmsv1.KeyUsage_KEY_USAGE_ENCRYPT_DECRYPT: len(k.GetEncryptionAlgorithms()), kmsv1.KeyUsage_KEY_USAGE_SIGN_VERIFY: len(k.GetSigningAlgorithms()),
		kmsv1.KeyUsage_KEY_USAGE_GENERATE_VERIFY_MAC: len(k.GetMacAlgorithms()), kmsv1.KeyUsage_KEY_USAGE_KEY_AGREEMENT: len(k.GetKeyAgreementAlgorithms()),
		kmsv1.KeyUsage_KEY_USAGE_ENCAPSULATE_DECAPSULATE: len(k.GetEncapsulationAlgorithms()),
	}
	for usage, n := range algorithms {
		if (n > 0) != (usage == k.GetKeyUsage()) {
			t.Errorf("%s made a key with %d algorithms of %v", what, n, usage)
		}
	}
}
