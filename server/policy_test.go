package server_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// only is a key policy that lets some users do everything, and nobody else.
func only(users ...string) string {
	for i, u := range users {
		users[i] = `"arn:aws:iam::` + kmstest.Account + `:user/` + u + `"`
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":[` + strings.Join(users, ",") + `]},"Action":"kms:*","Resource":"*"}]}`
}

func (d *door) encrypts(as client.Credentials, key string) answer {
	d.t.Helper()
	return d.ask(as, encryptMethod, kmsv1.EncryptRequest_builder{KeyId: key, Plaintext: []byte("x")}.Build())
}

func (d *door) putPolicy(as client.Credentials, key, policy string, bypass bool) answer {
	d.t.Helper()
	return d.ask(as, kmsv1.KeyService_PutKeyPolicy_FullMethodName, kmsv1.PutKeyPolicyRequest_builder{KeyId: key, Policy: policy, BypassPolicyLockoutSafetyCheck: bypass}.Build())
}

// A key policy under which the caller could not change it again is refused, unless asked for.
func TestLockout(t *testing.T) {
	d := newDoor(t, nil)
	key := d.Key().GetArn()
	d.User("alice")
	refuses(t, "PutKeyPolicy", d.putPolicy(d.root, key, only("alice"), false), codes.InvalidArgument, "MalformedPolicyDocumentException", "will not allow you to update the key policy")
	create := func(bypass bool) answer {
		return d.ask(d.root, kmsv1.KeyService_CreateKey_FullMethodName, kmsv1.CreateKeyRequest_builder{Policy: only("alice"), BypassPolicyLockoutSafetyCheck: bypass}.Build())
	}
	refuses(t, "CreateKey", create(false), codes.InvalidArgument, "MalformedPolicyDocumentException", "will not allow you to update the key policy")
	if got := d.encrypts(d.root, key); got.code != codes.OK {
		t.Errorf("after a policy that was refused: %v", got)
	}
	if got := create(true); got.code != codes.OK {
		t.Errorf("CreateKey without the check: %v", got)
	}
	if got := d.putPolicy(d.root, key, only("alice"), true); got.code != codes.OK {
		t.Errorf("PutKeyPolicy without the check: %v", got)
	}
	refuses(t, "the root user under a policy that does not name the account", d.encrypts(d.root, key), codes.PermissionDenied, "AccessDeniedException", "")
	refuses(t, "a policy that names nobody who exists", d.putPolicy(d.root, d.Key().GetArn(), only("nobody-there"), true), codes.InvalidArgument, "MalformedPolicyDocumentException", "")
	refuses(t, "a policy that is not JSON", d.putPolicy(d.root, d.Key().GetArn(), `{"Version":`, true), codes.InvalidArgument, "MalformedPolicyDocumentException", "")
}

// A key policy that does not delegate to the account leaves identity policies without effect; a Deny beats every Allow.
func TestKeyPolicyDecides(t *testing.T) {
	d := newDoor(t, nil)
	key, delegating := d.Key().GetArn(), d.Key().GetArn()
	everything := kmstest.Allow([]string{"kms:*"})
	alice, bob := d.User("alice"), d.User("bob", everything)
	carol := d.User("carol", everything, kmstest.Deny([]string{"kms:Encrypt"}, key))
	if got := d.putPolicy(d.root, key, only("alice", "carol"), true); got.code != codes.OK {
		t.Fatal(got)
	}
	if got := d.encrypts(alice, key); got.code != codes.OK {
		t.Errorf("alice, whom the key policy names: %v", got)
	}
	refuses(t, "bob, whom only his own policy allows it", d.encrypts(bob, key), codes.PermissionDenied, "AccessDeniedException", "no resource-based policy allows the kms:Encrypt action")
	refuses(t, "carol, whom her own policy denies it", d.encrypts(carol, key), codes.PermissionDenied, "AccessDeniedException", "explicit deny")
	if got := d.encrypts(bob, delegating); got.code != codes.OK {
		t.Errorf("bob, under a key policy that delegates to the account: %v", got)
	}
	refuses(t, "alice, under a key policy that delegates to the account", d.encrypts(alice, delegating), codes.PermissionDenied, "AccessDeniedException", "no identity-based policy allows the kms:Encrypt action")
	// A change of policy holds for the next call.
	if _, err := d.Root().IAM().DeleteUserPolicy(t.Context(), iamv1.DeleteUserPolicyRequest_builder{UserName: "bob", PolicyName: "policya"}.Build()); err != nil {
		t.Fatal(err)
	}
	refuses(t, "bob without his policy", d.encrypts(bob, delegating), codes.PermissionDenied, "AccessDeniedException", "")
}

// A user who is deleted and made again under the same name is somebody else.
func TestUserMadeAgain(t *testing.T) {
	d := newDoor(t, nil)
	ctx, key := t.Context(), d.Key().GetArn()
	old := d.User("alice")
	if got := d.putPolicy(d.root, key, only("alice"), true); got.code != codes.OK {
		t.Fatal(got)
	}
	if got := d.encrypts(old, key); got.code != codes.OK {
		t.Fatal(got)
	}
	_, err := d.Root().IAM().DeleteUser(ctx, iamv1.DeleteUserRequest_builder{UserName: "alice"}.Build())
	if !client.Is(err, "DeleteConflictException") {
		t.Errorf("DeleteUser of a user with an access key = %v, want DeleteConflictException", err)
	}
	if _, err := d.Root().IAM().DeleteAccessKey(ctx, iamv1.DeleteAccessKeyRequest_builder{UserName: "alice", AccessKeyId: old.AccessKeyID}.Build()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Root().IAM().DeleteUser(ctx, iamv1.DeleteUserRequest_builder{UserName: "alice"}.Build()); err != nil {
		t.Fatal(err)
	}
	again := d.User("alice")
	refuses(t, "the new alice", d.encrypts(again, key), codes.PermissionDenied, "AccessDeniedException", "")
	refuses(t, "the old alice", d.encrypts(old, key), codes.Unauthenticated, "UnrecognizedClientException", "")
	d.Restart()
	old.Endpoint, again.Endpoint = d.Address(), d.Address()
	refuses(t, "the new alice after a restart", d.encrypts(again, key), codes.PermissionDenied, "AccessDeniedException", "")
	refuses(t, "the old alice after a restart", d.encrypts(old, key), codes.Unauthenticated, "UnrecognizedClientException", "")
}
