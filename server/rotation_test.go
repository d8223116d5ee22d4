package server_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/internal/kmstest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

const statusMethod = kmsv1.KeyService_GetKeyRotationStatus_FullMethodName

func (d *door) rotationStatus(key string) *kmsv1.GetKeyRotationStatusResponse {
	d.t.Helper()
	var out kmsv1.GetKeyRotationStatusResponse
	d.must(statusMethod, kmsv1.GetKeyRotationStatusRequest_builder{KeyId: key}.Build(), &out)
	return &out
}

func (d *door) versions(key string, limit int32, which kmsv1.IncludeKeyMaterial) (all []*kmsv1.RotationsListEntry) {
	d.t.Helper()
	for marker := ""; ; {
		var out kmsv1.ListKeyRotationsResponse
		d.must(kmsv1.KeyService_ListKeyRotations_FullMethodName, kmsv1.ListKeyRotationsRequest_builder{KeyId: key, Limit: limit, Marker: marker, IncludeKeyMaterial: which}.Build(), &out)
		all = append(all, out.GetRotations()...)
		if marker = out.GetNextMarker(); marker == "" {
			return all
		}
	}
}

// A key is rotated when its period is over, not while it cannot be used, and at once when it can be again.
func TestAutomaticRotation(t *testing.T) {
	clock := kmstest.NewClock()
	d := newDoor(t, &kmstest.Options{Clock: clock})
	p := newProps(d)
	enable := func(days int32) answer {
		return d.ask(d.root, kmsv1.KeyService_EnableKeyRotation_FullMethodName, kmsv1.EnableKeyRotationRequest_builder{KeyId: p.keyID, RotationPeriodInDays: days}.Build())
	}
	for _, days := range []int32{-1, 89, 2561} {
		refuses(t, "a period out of its bounds", enable(days), codes.InvalidArgument, "ValidationException", "must be 90 to 2560")
	}
	if got := enable(0); got.code != codes.OK || d.rotationStatus(p.keyID).GetRotationPeriodInDays() != 365 {
		t.Errorf("EnableKeyRotation without a period: %v, %v, want 365 days", got, d.rotationStatus(p.keyID))
	}
	if got := enable(90); got.code != codes.OK {
		t.Fatalf("EnableKeyRotation: %v", got)
	}
	due := d.rotationStatus(p.keyID).GetNextRotationDate().AsTime()
	if k := d.describe(p.keyID); due.Sub(clock.Wall()) < 89*24*time.Hour || !k.GetKeyRotationEnabled() || k.GetRotationPeriodInDays() != 90 || !proto.Equal(k.GetNextRotationDate(), d.rotationStatus(p.keyID).GetNextRotationDate()) {
		t.Errorf("the next rotation is at %v, the key %v", due, k)
	}
	after := func(days int, want int32, when string) {
		t.Helper()
		clock.Pass(time.Duration(days) * 24 * time.Hour)
		d.Tick()
		if got := d.describe(p.keyID).GetVersionCount(); got != want {
			t.Errorf("%s: %d versions, want %d", when, got, want)
		}
	}
	after(89, 1, "a day before")
	after(1, 2, "when the period is over")
	after(80, 2, "eighty days later")
	d.must(disableMethod, kmsv1.DisableKeyRequest_builder{KeyId: p.keyID}.Build(), &kmsv1.DisableKeyResponse{})
	after(30, 2, "while it is disabled")
	d.must(kmsv1.KeyService_EnableKey_FullMethodName, kmsv1.EnableKeyRequest_builder{KeyId: p.keyID}.Build(), &kmsv1.EnableKeyResponse{})
	after(0, 3, "when it is enabled again, overdue")
	if all := d.versions(p.keyID, 0, 0); len(all) != 3 || all[0].GetRotationType() != kmsv1.RotationType_ROTATION_TYPE_AUTOMATIC || all[2].GetRotationType() != 0 {
		t.Errorf("the versions are %v", all)
	}
	if got := plaintextOf(t, d.decrypt(p.blob, nil)); got != "plaintext" {
		t.Errorf("decrypted %q after rotations", got)
	}

	d.schedule(p.keyID, 7)
	if s := d.rotationStatus(p.keyID); s.GetKeyRotationEnabled() || s.HasNextRotationDate() {
		t.Errorf("pending deletion: %v, want no rotation", s)
	}
	d.must(cancelMethod, kmsv1.CancelKeyDeletionRequest_builder{KeyId: p.keyID}.Build(), &kmsv1.CancelKeyDeletionResponse{})
	if s := d.rotationStatus(p.keyID); !s.GetKeyRotationEnabled() || s.GetRotationPeriodInDays() != 90 {
		t.Errorf("after the deletion was cancelled: %v, want rotation as before", s)
	}
	d.must(kmsv1.KeyService_EnableKey_FullMethodName, kmsv1.EnableKeyRequest_builder{KeyId: p.keyID}.Build(), &kmsv1.EnableKeyResponse{})
	d.must(kmsv1.KeyService_DisableKeyRotation_FullMethodName, kmsv1.DisableKeyRotationRequest_builder{KeyId: p.keyID}.Build(), &kmsv1.DisableKeyRotationResponse{})
	after(200, 3, "without rotation")
}

// Rotation on demand has its quota, and gives way to one that is about to come by itself.
func TestRotationOnDemand(t *testing.T) {
	clock := kmstest.NewClock()
	d := newDoor(t, &kmstest.Options{Clock: clock})
	key := d.Key().GetArn()
	rotate := kmsv1.RotateKeyOnDemandRequest_builder{KeyId: key}.Build()
	d.must(kmsv1.KeyService_EnableKeyRotation_FullMethodName, kmsv1.EnableKeyRotationRequest_builder{KeyId: key, RotationPeriodInDays: 90}.Build(), &kmsv1.EnableKeyRotationResponse{})
	clock.Pass(90*24*time.Hour - 10*time.Minute)
	refuses(t, "ten minutes before a rotation that comes by itself", d.ask(d.root, rotateMethod, rotate), codes.Aborted, "ConflictException", "")
	clock.Pass(time.Hour)
	d.Tick()
	if left := d.rotationStatus(key).GetOnDemandRotationsLeft(); left != 25 {
		t.Errorf("%d rotations on demand are left after one that came by itself, want 25", left)
	}
	for i := range 25 {
		d.must(rotateMethod, rotate, &kmsv1.RotateKeyOnDemandResponse{})
		if left := d.rotationStatus(key).GetOnDemandRotationsLeft(); left != int32(24-i) {
			t.Fatalf("%d rotations on demand are left after %d", left, i+1)
		}
	}
	refuses(t, "the 26th", d.ask(d.root, rotateMethod, rotate), codes.ResourceExhausted, "LimitExceededException", "")
	for _, limit := range []int32{1, 10, 26, 0} {
		all := d.versions(key, limit, 0)
		for i, v := range all {
			state := kmsv1.KeyMaterialState_KEY_MATERIAL_STATE_NON_CURRENT
			if i == 0 {
				state = kmsv1.KeyMaterialState_KEY_MATERIAL_STATE_CURRENT
			}
			if v.GetVersion() != int32(27-i) || v.GetKeyMaterialState() != state {
				t.Errorf("in pages of %d the version %d is %v", limit, i, v)
			}
		}
		if rotations := d.versions(key, limit, kmsv1.IncludeKeyMaterial_INCLUDE_KEY_MATERIAL_ROTATIONS_ONLY); len(all) != 27 || len(rotations) != 26 {
			t.Errorf("in pages of %d there are %d versions, %d of rotations, want 27 and 26", limit, len(all), len(rotations))
		}
	}
}

// A version can be stopped, but for the current one: what was encrypted under it is safe from everybody, until it is started again.
func TestKeyMaterialStates(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	const stop, start = kmsv1.KeyService_DisableKeyMaterial_FullMethodName, kmsv1.KeyService_EnableKeyMaterial_FullMethodName
	old := d.describe(p.keyID).GetCurrentKeyMaterialId()
	disable := kmsv1.DisableKeyMaterialRequest_builder{KeyId: p.keyID, KeyMaterialId: old}.Build()
	enable := kmsv1.EnableKeyMaterialRequest_builder{KeyId: p.keyID, KeyMaterialId: old}.Build()
	refuses(t, "the current version", d.ask(d.root, stop, disable), codes.FailedPrecondition, "KMSInvalidStateException", "current")
	d.must(rotateMethod, kmsv1.RotateKeyOnDemandRequest_builder{KeyId: p.keyID}.Build(), &kmsv1.RotateKeyOnDemandResponse{})
	d.must(stop, disable, &kmsv1.DisableKeyMaterialResponse{})
	check := func(when string) {
		t.Helper()
		refuses(t, "Decrypt under a stopped version "+when, d.decrypt(p.blob, nil), codes.FailedPrecondition, "DisabledException", old+" is disabled.")
		if got := plaintextOf(t, d.decrypt(p.encrypt(p.keyID, []byte("new"), nil), nil)); got != "new" {
			t.Errorf("decrypted %q under the current version %s", got, when)
		}
		if all := d.versions(p.keyID, 0, 0); len(all) != 2 || all[1].GetKeyMaterialState() != kmsv1.KeyMaterialState_KEY_MATERIAL_STATE_DISABLED {
			t.Errorf("the versions %s are %v", when, all)
		}
	}
	check("")
	d.restarted()
	check("after a restart")
	d.must(start, enable, &kmsv1.EnableKeyMaterialResponse{})
	if got := plaintextOf(t, d.decrypt(p.blob, nil)); got != "plaintext" {
		t.Errorf("decrypted %q under a version that was started again", got)
	}
	other := d.describe(p.otherID).GetCurrentKeyMaterialId()
	refuses(t, "a version of another key", d.ask(d.root, stop, kmsv1.DisableKeyMaterialRequest_builder{KeyId: p.keyID, KeyMaterialId: other}.Build()), codes.NotFound, "NotFoundException", "")
	refuses(t, "what is no version", d.ask(d.root, stop, kmsv1.DisableKeyMaterialRequest_builder{KeyId: p.keyID, KeyMaterialId: "x"}.Build()), codes.InvalidArgument, "ValidationException", "64 hexadecimal digits")
	d.schedule(p.keyID, 7)
	for method, m := range map[string]proto.Message{stop: disable, start: enable} {
		refuses(t, short(method)+" of a key that is pending deletion", d.ask(d.root, method, m), codes.FailedPrecondition, "KMSInvalidStateException", p.keyID+" is pending deletion.")
	}
}
