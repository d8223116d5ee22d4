package server_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// keyNamed is the key that a request of a specimen is about.
func keyNamed(m proto.Message) string {
	for _, name := range []protoreflect.Name{"key_id", "source_key_id", "destination_key_id"} {
		if fd := m.ProtoReflect().Descriptor().Fields().ByName(name); fd != nil && m.ProtoReflect().Get(fd).String() != "" {
			return m.ProtoReflect().Get(fd).String()
		}
	}
	return ""
}

func (p *props) lastUse(key string) *kmsv1.KeyLastUsage {
	p.t.Helper()
	var out kmsv1.GetKeyLastUsageResponse
	p.must(kmsv1.KeyService_GetKeyLastUsage_FullMethodName, kmsv1.GetKeyLastUsageRequest_builder{KeyId: key}.Build(), &out)
	return out.GetKeyLastUsage()
}

// usedKey is a request and the key that it is about, of nothing else.
type usedKey struct {
	*props
	method, key string
	wet, dry    proto.Message
	before      *kmsv1.KeyLastUsage
}

func usedKeys(t *testing.T, d *door) (all []usedKey) {
	t.Helper()
	for method, row := range specimensOf(t) {
		if !strings.Contains(method, ".CryptoService/") && short(method) != "GetPublicKey" || short(method) == "GenerateRandom" {
			continue
		}
		p := newProps(d)
		u := usedKey{props: p, method: method, wet: row.valid(p)}
		if u.key = keyNamed(u.wet); u.key == "" {
			u.key = p.keyID
		}
		u.dry = proto.Clone(u.wet)
		u.dry.ProtoReflect().Set(u.wet.ProtoReflect().Descriptor().Fields().ByName("dry_run"), protoreflect.ValueOfBool(true))
		u.before = p.lastUse(u.key)
		all = append(all, u)
	}
	if len(all) != 15 {
		t.Errorf("%d operations, want 15", len(all))
	}
	return all
}

// Each operation that succeeds is a use of its key, by its request; a dry run, a failure and GetPublicKey are none. One that is refused because of
// the key's state is counted.
func TestUsesOfKeys(t *testing.T) {
	d := newDoor(t, nil)
	all := usedKeys(t, d)
	time.Sleep(time.Second) // of the uses in one second the first counts
	for _, u := range all {
		name := short(u.method)
		if got := d.ask(d.root, u.method, u.dry); got.code != codes.OK || !proto.Equal(u.lastUse(u.key), u.before) {
			t.Errorf("a dry run of %s, %v, is a use: %v", name, got, u.lastUse(u.key))
		}
		got := d.ask(d.root, u.method, u.wet)
		last := u.lastUse(u.key)
		if name == "GetPublicKey" {
			if !proto.Equal(last, u.before) {
				t.Errorf("GetPublicKey is a use: %v", last)
			}
		} else if got.code != codes.OK || last.GetOperation() != name || last.GetRequestId() != got.requestID {
			t.Errorf("after %s, %v, the last use is %v, want it of request %s", name, got, last, got.requestID)
		}
		d.must(kmsv1.KeyService_DisableKey_FullMethodName, kmsv1.DisableKeyRequest_builder{KeyId: u.key}.Build(), &kmsv1.DisableKeyResponse{})
		d.ask(d.root, u.method, u.dry)
		for range 2 {
			if got := d.ask(d.root, u.method, u.wet); got.reason != "DisabledException" {
				t.Errorf("%s of a disabled key: %v", name, got)
			}
		}
		var report kmsv1.GetKeyDeletionReportResponse
		d.must(kmsv1.KeyService_GetKeyDeletionReport_FullMethodName, kmsv1.GetKeyDeletionReportRequest_builder{KeyId: u.key}.Build(), &report)
		if report.GetRefusedUses() != 2 || !proto.Equal(u.lastUse(u.key), last) {
			t.Errorf("%s of a disabled key: %d refusals, want 2; the last use is %v", name, report.GetRefusedUses(), u.lastUse(u.key))
		}
	}
}
