package server_test

import (
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// generations are the generations of the store before and after the last change.
func (d *door) generations() (before, after uint64) {
	d.t.Helper()
	for _, r := range d.Events(audit.Filter{}) {
		var e struct {
			StateGeneration struct{ Before, After uint64 }
		}
		if err := json.Unmarshal(r.Raw, &e); err != nil {
			d.t.Fatal(err)
		}
		if e.StateGeneration.After != 0 {
			before, after = e.StateGeneration.Before, e.StateGeneration.After
		}
	}
	return before, after
}

// A dry run of whatever can be run dry says that it would be done, and nothing else, and changes nothing; what would be refused is refused as it would be.
func TestDryRun(t *testing.T) {
	d := newDoor(t, nil)
	p, rows := newProps(d), specimensOf(t)
	nobody := d.User("nobody")
	tested := 0
	for _, method := range methods(t) {
		fd := descriptor(t, method).Input().Fields().ByName("dry_run")
		if fd == nil {
			if crypto := strings.Contains(method, ".CryptoService/"); crypto && short(method) != "GenerateRandom" || strings.Contains(method, ".KeyService/") && changes(method) {
				t.Errorf("%s cannot be run dry", short(method))
			}
			continue
		}
		tested++
		dry := func(m proto.Message) proto.Message {
			next := proto.Clone(m)
			next.ProtoReflect().Set(fd, protoreflect.ValueOfBool(true))
			return next
		}
		valid := rows[method].valid(p)
		d.must(kmsv1.KeyService_EnableKey_FullMethodName, kmsv1.EnableKeyRequest_builder{KeyId: d.Key().GetKeyId()}.Build(), &kmsv1.EnableKeyResponse{})
		_, before := d.generations()
		for range 2 {
			got := d.ask(d.root, method, dry(valid))
			if got.code != codes.OK {
				t.Errorf("a dry run of %s: %v, want %v", short(method), got, codes.OK)
				continue
			}
			onlyDry(t, d, method, got)
		}
		d.must(kmsv1.KeyService_EnableKey_FullMethodName, kmsv1.EnableKeyRequest_builder{KeyId: d.Key().GetKeyId()}.Build(), &kmsv1.EnableKeyResponse{})
		if from, _ := d.generations(); from != before+1 { // one change: the key
			t.Errorf("a dry run of %s took the store from generation %d to %d", short(method), before, from)
		}
		for what, c := range map[string]struct {
			as client.Credentials
			m  proto.Message
		}{"that is denied": {nobody, valid}, "that is invalid": {d.root, rows[method].invalid}} {
			wet, got := d.ask(c.as, method, c.m), d.ask(c.as, method, dry(c.m))
			if got.code == codes.OK || got.code != wet.code || got.reason != wet.reason || got.message != wet.message {
				t.Errorf("a dry run of %s %s: %v, want it as without: %v", short(method), what, got, wet)
			}
		}
		if got := d.ask(d.root, method, valid); got.code != codes.OK {
			t.Errorf("%s after its dry run: %v", short(method), got)
		}
	}
	if tested < 18 {
		t.Errorf("only %d methods can be run dry", tested)
	}
	t.Logf("%d methods", tested)
}

// onlyDry checks that an answer says that it is of a dry run and nothing else, but for findings.
func onlyDry(t *testing.T, d *door, method string, got answer) {
	t.Helper()
	out := newMessage(t, descriptor(t, method).Output())
	unmarshal(t, got.body, out)
	said := false
	out.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch fd.Name() {
		case "dry_run":
			said = v.Bool()
		case "findings":
		default:
			t.Errorf("the answer of a dry run of %s has %s = %v", short(method), fd.Name(), v)
		}
		return true
	})
	if !said {
		t.Errorf("the answer of a dry run of %s does not say so", short(method))
	}
}
