package server_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

const (
	scheduleMethod = kmsv1.KeyService_ScheduleKeyDeletion_FullMethodName
	cancelMethod   = kmsv1.KeyService_CancelKeyDeletion_FullMethodName
	describeMethod = kmsv1.KeyService_DescribeKey_FullMethodName
	disableMethod  = kmsv1.KeyService_DisableKey_FullMethodName
	reportMethod   = kmsv1.KeyService_GetKeyDeletionReport_FullMethodName
	rotateMethod   = kmsv1.KeyService_RotateKeyOnDemand_FullMethodName
)

func (d *door) describe(key string) *kmsv1.KeyMetadata {
	d.t.Helper()
	var out kmsv1.DescribeKeyResponse
	d.must(describeMethod, kmsv1.DescribeKeyRequest_builder{KeyId: key}.Build(), &out)
	return out.GetKeyMetadata()
}

func (d *door) schedule(key string, days int32) *kmsv1.ScheduleKeyDeletionResponse {
	d.t.Helper()
	var out kmsv1.ScheduleKeyDeletionResponse
	d.must(scheduleMethod, kmsv1.ScheduleKeyDeletionRequest_builder{KeyId: key, PendingWindowInDays: days}.Build(), &out)
	return &out
}

// restarted is a door to the same kmsd, stopped and started.
func (d *door) restarted() {
	d.t.Helper()
	d.Restart()
	d.root = d.Credentials()
}

// A key that is pending deletion goes when its window is over and kmsd has run for as long, and not before, whatever the clock says.
func TestKeyDeletion(t *testing.T) {
	clock := kmstest.NewClock()
	d := newDoor(t, &kmstest.Options{Clock: clock})
	p := newProps(d)
	begun := clock.Wall()
	got := d.schedule(p.keyID, 7)
	if want := begun.AddDate(0, 0, 7); got.GetDeletionDate().AsTime().Sub(want).Abs() > time.Minute || got.GetPendingWindowInDays() != 7 || got.GetKeyState() != kmsv1.KeyState_KEY_STATE_PENDING_DELETION {
		t.Errorf("ScheduleKeyDeletion = %v, want the deletion at %v", got, want)
	}
	kept := func(when string) {
		t.Helper()
		d.Tick()
		if k := d.describe(p.keyID); k.GetKeyState() != kmsv1.KeyState_KEY_STATE_PENDING_DELETION || k.GetPendingDeletionWindowInDays() != 7 {
			t.Errorf("%s: %v, want the key pending deletion", when, k)
		}
		refuses(t, "Decrypt "+when, d.decrypt(p.blob, nil), codes.FailedPrecondition, "KMSInvalidStateException", p.keyID+" is pending deletion.")
	}
	kept("at once")
	for _, years := range []int{-10, 10, 1, -1} {
		step := clock.Wall().AddDate(years, 0, 0).Sub(clock.Wall())
		clock.Step(step)
		kept("with the clock off by years")
		d.restarted()
		kept("with the clock off by years, after a restart")
		clock.Step(-step)
	}
	clock.Pass(7*24*time.Hour - time.Hour)
	kept("an hour before the end of the window")
	clock.Step(-24 * time.Hour)
	clock.Pass(2 * time.Hour)
	kept("when kmsd has run for the window, and the clock was set back by a day")
	clock.Step(24 * time.Hour)
	d.Tick()
	p.isGone()
	d.restarted()
	p.isGone()
	for _, e := range d.Events(audit.Filter{Event: "DeleteKey"}) {
		if e.Phase == audit.PhaseService && e.Key.ID != "" && strings.HasSuffix(p.keyID, e.Key.ID) {
			return
		}
	}
	t.Errorf("no event says that the key was deleted: %+v", d.Events(audit.Filter{Event: "DeleteKey"}))
}

// isGone checks that nothing of the first key is there any more.
func (p *props) isGone() {
	p.t.Helper()
	t := p.t.(*testing.T)
	refuses(t, "DescribeKey of a deleted key", p.ask(p.door.root, describeMethod, kmsv1.DescribeKeyRequest_builder{KeyId: p.keyID}.Build()), codes.NotFound, "NotFoundException", "does not exist")
	refuses(t, "Encrypt by an alias of a deleted key", p.ask(p.door.root, encryptMethod, kmsv1.EncryptRequest_builder{KeyId: usualAlias(p.keyID), Plaintext: []byte("x")}.Build()), codes.NotFound, "NotFoundException", "is not found")
	refuses(t, "Decrypt of a ciphertext of a deleted key", p.decrypt(p.blob, nil), codes.InvalidArgument, "InvalidCiphertextException", "")
}

// A deletion that is cancelled leaves the key disabled, with all that it had.
func TestCancelKeyDeletion(t *testing.T) {
	clock := kmstest.NewClock()
	d := newDoor(t, &kmstest.Options{Clock: clock})
	p := newProps(d)
	d.schedule(p.keyID, 0)
	if k := d.describe(p.keyID); k.GetPendingDeletionWindowInDays() != 30 || !k.HasDeletionDate() || k.GetEnabled() {
		t.Errorf("scheduled without a window: %v, want one of 30 days", k)
	}
	clock.Pass(29 * 24 * time.Hour)
	d.Tick()
	var out kmsv1.CancelKeyDeletionResponse
	d.must(cancelMethod, kmsv1.CancelKeyDeletionRequest_builder{KeyId: p.keyID}.Build(), &out)
	clock.Pass(29 * 24 * time.Hour)
	d.Tick()
	k := d.describe(p.keyID)
	if out.GetKeyState() != kmsv1.KeyState_KEY_STATE_DISABLED || k.GetKeyState() != kmsv1.KeyState_KEY_STATE_DISABLED || k.HasDeletionDate() || k.GetPendingDeletionWindowInDays() != 0 || len(k.GetAliases()) != 1 {
		t.Errorf("cancelled: %v, %v, want it disabled", &out, k)
	}
	d.must(kmsv1.KeyService_EnableKey_FullMethodName, kmsv1.EnableKeyRequest_builder{KeyId: p.keyID}.Build(), &kmsv1.EnableKeyResponse{})
	if got := plaintextOf(t, d.decrypt(p.blob, nil)); got != "plaintext" {
		t.Errorf("decrypted %q after the deletion was cancelled", got)
	}
}

// A protected key is not deleted, and the refusal says how it could be.
func TestDeletionProtection(t *testing.T) {
	d := newDoor(t, nil)
	var made kmsv1.CreateKeyResponse
	d.must(createKeyMethod, kmsv1.CreateKeyRequest_builder{DeletionProtectionEnabled: true}.Build(), &made)
	key := made.GetKeyMetadata().GetArn()
	schedule := kmsv1.ScheduleKeyDeletionRequest_builder{KeyId: key}.Build()
	d.restarted()
	refuses(t, "ScheduleKeyDeletion of a protected key", d.ask(d.root, scheduleMethod, schedule), codes.FailedPrecondition, "KMSInvalidStateException", "UpdateKeyDeletionProtection")
	d.must(kmsv1.KeyService_UpdateKeyDeletionProtection_FullMethodName, kmsv1.UpdateKeyDeletionProtectionRequest_builder{KeyId: key}.Build(), &kmsv1.UpdateKeyDeletionProtectionResponse{})
	if k := d.describe(key); k.GetDeletionProtectionEnabled() {
		t.Errorf("%v is protected still", k)
	}
	d.must(scheduleMethod, schedule, &kmsv1.ScheduleKeyDeletionResponse{})
}

// A policy can ask for a second factor before a key is deleted.
func TestSecondFactorForDeletion(t *testing.T) {
	s := newStage(t)
	user := s.User("user", kmstest.Allow([]string{"kms:*", "sts:*"}),
		`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:ScheduleKeyDeletion","Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}}]}`)
	var made iamv1.CreateVirtualMFADeviceResponse
	s.does("making a device", s.door.root, iamv1.CreateVirtualMFADeviceRequest_builder{VirtualMfaDeviceName: "device"}.Build(), &made)
	serial, seed := made.GetVirtualMfaDevice().GetSerialNumber(), made.GetVirtualMfaDevice().GetBase32StringSeed()
	s.does("enabling it", s.door.root, iamv1.EnableMFADeviceRequest_builder{
		UserName: "user", SerialNumber: serial, AuthenticationCode1: kmstest.TOTP(t, seed, -1), AuthenticationCode2: kmstest.TOTP(t, seed, 0),
	}.Build(), nil)
	schedule := kmsv1.ScheduleKeyDeletionRequest_builder{KeyId: s.key.GetKeyId()}.Build()
	s.mayNot("deleting a key without a second factor", user, schedule, "explicit deny")
	s.may("disabling it", user, kmsv1.DisableKeyRequest_builder{KeyId: s.key.GetKeyId()}.Build())
	var token stsv1.GetSessionTokenResponse
	s.does("a session with a code", user, stsv1.GetSessionTokenRequest_builder{SerialNumber: serial, TokenCode: kmstest.TOTP(t, seed, 1)}.Build(), &token)
	s.may("deleting the key with a second factor", s.session(token.GetCredentials()), schedule)
}

// A policy can bound the waiting period, also that of a request that does not say one.
func TestPendingWindowCondition(t *testing.T) {
	s := newStage(t)
	user := s.User("user", kmstest.Allow([]string{"kms:*"}),
		`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:ScheduleKeyDeletion","Resource":"*","Condition":{"NumericLessThan":{"kms:ScheduleKeyDeletionPendingWindowInDays":"30"}}}]}`)
	request := func(days int32) proto.Message {
		return kmsv1.ScheduleKeyDeletionRequest_builder{KeyId: s.key.GetKeyId(), PendingWindowInDays: days}.Build()
	}
	s.mayNot("a window of 7 days", user, request(7), "explicit deny")
	s.refused("a window of 6 days", user, request(6), "ValidationException", "must be 7 to 30")
	s.refused("a window of 31 days", user, request(31), "ValidationException", "must be 7 to 30")
	s.may("the default window", user, request(0))
}

// The report says what speaks against a deletion, and DescribeKey and GetKeyLastUsage when the key was used.
func TestKeyDeletionReport(t *testing.T) {
	clock := kmstest.NewClock()
	d := newDoor(t, &kmstest.Options{Clock: clock})
	p := newProps(d)
	report := func() *kmsv1.GetKeyDeletionReportResponse {
		t.Helper()
		var out kmsv1.GetKeyDeletionReportResponse
		d.must(reportMethod, kmsv1.GetKeyDeletionReportRequest_builder{KeyId: p.keyID}.Build(), &out)
		return &out
	}
	warns := func(r *kmsv1.GetKeyDeletionReportResponse, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(strings.Join(r.GetWarnings(), "\n"), w) {
				t.Errorf("the warnings are %q, want one that says %q", r.GetWarnings(), w)
			}
		}
		if len(r.GetWarnings()) != len(want) {
			t.Errorf("the warnings are %q, want %d", r.GetWarnings(), len(want))
		}
	}
	p.grant(p.keyID)
	event := d.Events(audit.Filter{Event: "Encrypt"})
	first := report()
	if last, of := first.GetKeyLastUsage(), event[len(event)-1]; last.GetOperation() != "Encrypt" || last.GetEventId() != of.EventID || last.GetRequestId() != of.RequestID {
		t.Errorf("the last use is %v, want that of the event %s", last, of.EventID)
	}
	warns(first, "used less than a minute ago, by Encrypt", "was not disabled", "1 alias points to it", "1 grant lets")
	var last kmsv1.GetKeyLastUsageResponse
	d.must(kmsv1.KeyService_GetKeyLastUsage_FullMethodName, kmsv1.GetKeyLastUsageRequest_builder{KeyId: usualAlias(p.keyID)}.Build(), &last)
	if !proto.Equal(last.GetKeyLastUsage(), first.GetKeyLastUsage()) || !proto.Equal(last.GetTrackingStartDate(), last.GetKeyCreationDate()) || d.describe(p.keyID).GetLastUsage().GetOperation() != "Encrypt" {
		t.Errorf("GetKeyLastUsage = %v, DescribeKey %v", &last, d.describe(p.keyID).GetLastUsage())
	}

	d.must(disableMethod, kmsv1.DisableKeyRequest_builder{KeyId: p.keyID}.Build(), &kmsv1.DisableKeyResponse{})
	for range 3 {
		d.decrypt(p.blob, nil)
	}
	nobody := d.User("nobody")
	d.ask(nobody, decryptMethod, kmsv1.DecryptRequest_builder{CiphertextBlob: p.blob}.Build()) // is denied: nobody's loss
	clock.Pass(3 * time.Hour)
	d.Tick()
	d.restarted()
	second := report()
	if second.GetRefusedUses() != 3 || second.GetLastRefusedUsage().GetOperation() != "Decrypt" || !second.HasDisabledDate() || second.GetGrants() != 1 || second.GetVersions() != 1 || len(second.GetAliases()) != 1 {
		t.Errorf("the report is %v, want 3 uses refused", second)
	}
	warns(second, "used 3 hours ago, by Encrypt", "3 uses were refused", "1 alias points to it", "1 grant lets")
	d.must(kmsv1.KeyService_EnableKey_FullMethodName, kmsv1.EnableKeyRequest_builder{KeyId: p.keyID}.Build(), &kmsv1.EnableKeyResponse{})
	if r := report(); r.GetRefusedUses() != 0 || r.HasDisabledDate() {
		t.Errorf("the report of a key that is enabled again: %v", r)
	}

	never := d.Key()
	var unused kmsv1.GetKeyLastUsageResponse
	d.must(kmsv1.KeyService_GetKeyLastUsage_FullMethodName, kmsv1.GetKeyLastUsageRequest_builder{KeyId: never.GetKeyId()}.Build(), &unused)
	if unused.HasKeyLastUsage() || !unused.HasTrackingStartDate() {
		t.Errorf("a key that was never used: %v", &unused)
	}
}

// A key is after a restart in the state in which it was.
func TestStatesSurviveARestart(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	rotating, deleted := p.Key().GetArn(), p.imported()
	d.must(kmsv1.KeyService_EnableKeyRotation_FullMethodName, kmsv1.EnableKeyRotationRequest_builder{KeyId: rotating, RotationPeriodInDays: 100}.Build(), &kmsv1.EnableKeyRotationResponse{})
	d.must(unimportMethod, kmsv1.DeleteImportedKeyMaterialRequest_builder{KeyId: deleted}.Build(), &kmsv1.DeleteImportedKeyMaterialResponse{})
	stopped, _ := p.stopped()
	disabled := p.Key().GetArn()
	d.must(disableMethod, kmsv1.DisableKeyRequest_builder{KeyId: disabled}.Build(), &kmsv1.DisableKeyResponse{})
	keys := []string{p.keyID, rotating, deleted, stopped, disabled, p.doomed(), p.external(), p.imported()}
	type seen struct {
		metadata *kmsv1.KeyMetadata
		versions []*kmsv1.RotationsListEntry
	}
	look := func() (all []seen) {
		for _, k := range keys {
			all = append(all, seen{d.describe(k), d.versions(k, 0, 0)})
		}
		return all
	}
	before := look()
	d.restarted()
	states := map[kmsv1.KeyState]bool{}
	for i, after := range look() {
		if !proto.Equal(after.metadata, before[i].metadata) || !slices.EqualFunc(after.versions, before[i].versions, func(a, b *kmsv1.RotationsListEntry) bool { return proto.Equal(a, b) }) {
			t.Errorf("after a restart: %v, want %v", after, before[i])
		}
		states[after.metadata.GetKeyState()] = true
	}
	if len(states) != 4 {
		t.Errorf("keys in the states %v: not in all", states)
	}
}

// Events of the life cycle say what was changed, and how.
func TestLifecycleEvents(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	rotated, material := p.rotated()
	for _, row := range []struct {
		method string
		m      proto.Message
		want   []string
	}{
		{scheduleMethod, kmsv1.ScheduleKeyDeletionRequest_builder{KeyId: p.Key().GetArn()}.Build(), []string{`"pendingWindowInDays":30`, `"deletionDate":"`}},
		{createKeyMethod, kmsv1.CreateKeyRequest_builder{
			KeySpec: kmsv1.KeySpec_KEY_SPEC_HMAC_256, KeyUsage: kmsv1.KeyUsage_KEY_USAGE_GENERATE_VERIFY_MAC, Origin: kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_EXTERNAL,
		}.Build(), []string{`"keySpec":"HMAC_256"`, `"keyUsage":"GENERATE_VERIFY_MAC"`, `"origin":"EXTERNAL"`, `"deletionProtectionEnabled":false`}},
		{kmsv1.KeyService_EnableKeyRotation_FullMethodName, kmsv1.EnableKeyRotationRequest_builder{KeyId: p.keyID, RotationPeriodInDays: 91}.Build(), []string{`"rotationPeriodInDays":91`}},
		{kmsv1.KeyService_DisableKeyMaterial_FullMethodName, kmsv1.DisableKeyMaterialRequest_builder{KeyId: rotated, KeyMaterialId: material}.Build(), []string{`"keyMaterialId":"` + material + `"`}},
		{kmsv1.KeyService_UpdateKeyDeletionProtection_FullMethodName, kmsv1.UpdateKeyDeletionProtectionRequest_builder{KeyId: p.otherID, Enabled: true}.Build(), []string{`"enabled":true`}},
		{parametersMethod, parametersOf(p.external()), []string{`"wrappingAlgorithm":"HPKE_MLKEM768_X25519"`, `"wrappingKeySpec":"MLKEM768_X25519"`}},
		{importMethod, expiringImport(p), []string{`"expirationModel":"KEY_MATERIAL_EXPIRES"`, `"validTo":"`, `"materialID":"`, `"origin":"EXTERNAL"`}},
		{unimportMethod, kmsv1.DeleteImportedKeyMaterialRequest_builder{KeyId: p.imported()}.Build(), []string{`"materialID":"`}},
	} {
		agent := d.agent("event of " + row.method)
		if got := d.send(t.Context(), call{method: row.method, body: marshal(t, row.m), as: d.root, agent: agent}); got.code != codes.OK || got.err != nil {
			t.Fatalf("%s: %v", short(row.method), got)
		}
		e := d.events()[agent]
		if len(e) != 1 {
			t.Fatalf("%s has %d events", short(row.method), len(e))
		}
		for _, w := range row.want {
			if !strings.Contains(string(e[0].Raw), w) {
				t.Errorf("the event of %s is %s, want %s in it", short(row.method), e[0].Raw, w)
			}
		}
	}
}
