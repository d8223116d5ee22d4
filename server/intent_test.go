package server_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// Nobody changes anything unseen: while the audit log cannot be written, changes are not only not answered but not made.
func TestNoChangeWithoutARecord(t *testing.T) {
	s := &sink{}
	d := newDoor(t, &kmstest.Options{OpenAudit: s.open, Config: func(c *daemon.Config) { c.Limits.CallTimeout = callTimeout }})
	mallory := d.User("mallory", kmstest.Allow([]string{"iam:PutUserPolicy", "kms:DisableKey", "kms:DescribeKey"}))
	key := d.Key()
	full := sinkFaults()[0]
	s.fault.Store(full)
	for range 5 {
		put := iamv1.PutUserPolicyRequest_builder{UserName: "mallory", PolicyName: "more", PolicyDocument: kmstest.Allow([]string{"kms:*"})}.Build()
		refuses(t, "a policy for oneself", d.ask(mallory, iamv1.IAMService_PutUserPolicy_FullMethodName, put), codes.Unavailable, "KMSInternalException", "")
		disable := kmsv1.DisableKeyRequest_builder{KeyId: key.GetKeyId()}.Build()
		refuses(t, "disabling a key", d.ask(mallory, kmsv1.KeyService_DisableKey_FullMethodName, disable), codes.Unavailable, "KMSInternalException", "")
	}
	s.fault.Store(nil)
	recovers(t, d, full.name)
	var names iamv1.ListUserPoliciesResponse
	d.must(iamv1.IAMService_ListUserPolicies_FullMethodName, iamv1.ListUserPoliciesRequest_builder{UserName: "mallory"}.Build(), &names)
	var described kmsv1.DescribeKeyResponse
	d.must(kmsv1.KeyService_DescribeKey_FullMethodName, kmsv1.DescribeKeyRequest_builder{KeyId: key.GetKeyId()}.Build(), &described)
	if len(names.GetPolicyNames()) != 1 || !described.GetKeyMetadata().GetEnabled() {
		t.Errorf("policies %q, enabled %v: what nobody could record was done", names.GetPolicyNames(), described.GetKeyMetadata().GetEnabled())
	}
}

// A change whose outcome cannot be recorded has been recorded as intended before.
func TestIntentPrecedesTheChange(t *testing.T) {
	s := &sink{}
	d := newDoor(t, &kmstest.Options{OpenAudit: s.open, Config: func(c *daemon.Config) { c.Limits.CallTimeout = callTimeout }})
	key := d.Key()
	before := len(d.Intents(audit.Filter{Event: "DisableKey"}))
	syncs := 0
	s.fault.Store(&fault{name: "the second sync fails", sync: func(f *os.File) error {
		if syncs++; syncs == 2 {
			return unix.EIO
		}
		return unix.Fdatasync(int(f.Fd()))
	}})
	got := d.ask(d.root, kmsv1.KeyService_DisableKey_FullMethodName, kmsv1.DisableKeyRequest_builder{KeyId: key.GetKeyId()}.Build())
	s.fault.Store(nil)
	if got.code != codes.Unavailable {
		t.Fatalf("DisableKey without its outcome on the disk: %v", got)
	}
	recovers(t, d, "the second sync fails")
	intents := d.Intents(audit.Filter{Event: "DisableKey"})
	if len(intents) != before+1 || intents[before].Key.ID != key.GetKeyId() || intents[before].Decision.Result != audit.ResultAllow {
		t.Errorf("intents = %+v, want one for the key, allowed", intents)
	}
}

// The root user's access keys are its own business: whoever may do everything with users cannot become root.
func TestRootIsManagedByRootAlone(t *testing.T) {
	d := newDoor(t, nil)
	helpdesk := d.User("helpdesk", kmstest.Allow([]string{"iam:*"}))
	const root = "<root_account>"
	create := iamv1.CreateAccessKeyRequest_builder{UserName: root}.Build()
	refuses(t, "an access key for root", d.ask(helpdesk, iamv1.IAMService_CreateAccessKey_FullMethodName, create), codes.PermissionDenied, "AccessDeniedException", "")
	remove := iamv1.DeleteAccessKeyRequest_builder{UserName: root, AccessKeyId: d.root.AccessKeyID}.Build()
	refuses(t, "deleting root's access key", d.ask(helpdesk, iamv1.IAMService_DeleteAccessKey_FullMethodName, remove), codes.PermissionDenied, "AccessDeniedException", "")
	list := iamv1.ListAccessKeysRequest_builder{UserName: root}.Build()
	refuses(t, "listing root's access keys", d.ask(helpdesk, iamv1.IAMService_ListAccessKeys_FullMethodName, list), codes.PermissionDenied, "AccessDeniedException", "")
	var own iamv1.ListAccessKeysResponse
	d.must(iamv1.IAMService_ListAccessKeys_FullMethodName, &iamv1.ListAccessKeysRequest{}, &own)
	if len(own.GetAccessKeyMetadata()) != 1 {
		t.Errorf("root sees %d access keys of its own, want 1", len(own.GetAccessKeyMetadata()))
	}
}

// A denial does not tell whether a user exists, nor the path that only an existing one has.
func TestDenialDoesNotTellThePath(t *testing.T) {
	d := newDoor(t, nil)
	nobody := d.User("nobody")
	var made iamv1.CreateUserResponse
	d.must(iamv1.IAMService_CreateUser_FullMethodName, iamv1.CreateUserRequest_builder{UserName: "bob", Path: "/secret-project/"}.Build(), &made)
	texts := map[string]bool{}
	for _, name := range []string{"bob", "eve"} {
		got := d.ask(nobody, iamv1.IAMService_GetUser_FullMethodName, iamv1.GetUserRequest_builder{UserName: name}.Build())
		refuses(t, name, got, codes.PermissionDenied, "AccessDeniedException", "")
		texts[strings.ReplaceAll(got.message, name, "NAME")] = true
	}
	if len(texts) != 1 {
		t.Errorf("denials of a user that exists and of one that does not differ: %v", texts)
	}
}

// A change that was made is recorded as made, although its caller did not wait.
func TestChangeOfACallerWhoLeft(t *testing.T) {
	s := &sink{}
	d := newDoor(t, &kmstest.Options{OpenAudit: s.open})
	key := d.Key()
	slow := &fault{name: "slow", sync: func(f *os.File) error {
		time.Sleep(100 * time.Millisecond)
		return unix.Fdatasync(int(f.Fd()))
	}}
	s.fault.Store(slow)
	c := call{
		method: kmsv1.KeyService_DisableKey_FullMethodName, as: d.root, agent: d.agent("left"), header: map[string]string{"Grpc-Timeout": "150m"},
		body: marshal(t, kmsv1.DisableKeyRequest_builder{KeyId: key.GetKeyId()}.Build()),
	}
	got := d.send(t.Context(), c)
	s.fault.Store(nil)
	if got.code == codes.OK {
		t.Skip("the caller was in time after all") // a fast disk; nothing to see
	}
	for end := time.Now().Add(5 * time.Second); len(d.events()[c.agent]) == 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
	}
	var described kmsv1.DescribeKeyResponse
	d.must(kmsv1.KeyService_DescribeKey_FullMethodName, kmsv1.DescribeKeyRequest_builder{KeyId: key.GetKeyId()}.Build(), &described)
	e := d.events()[c.agent]
	if disabled := !described.GetKeyMetadata().GetEnabled(); len(e) != 1 || (e[0].Outcome.Status == "OK") != disabled {
		t.Errorf("disabled %v, events %+v: want one that says so", disabled, e)
	}
}
