package server_test

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/kmstest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// ListKeys describes the keys that the caller may describe, and leaves the others as they are: nobody is denied what he has not asked for.
func TestListKeysWithMetadata(t *testing.T) {
	d := newDoor(t, nil)
	const n = 130
	for range n {
		d.Key()
	}
	key := d.Key().GetArn()
	some := d.User("some", kmstest.Allow([]string{"kms:ListKeys"}), kmstest.Allow([]string{"kms:DescribeKey"}, key))
	list := func(marker string, limit int32, metadata bool) *kmsv1.ListKeysResponse {
		t.Helper()
		var out kmsv1.ListKeysResponse
		d.as(some, kmsv1.KeyService_ListKeys_FullMethodName, kmsv1.ListKeysRequest_builder{Limit: limit, Marker: marker, IncludeMetadata: metadata}.Build(), &out)
		return &out
	}
	first := list("", 1000, true)
	second := list(first.GetNextMarker(), 1000, true)
	if len(first.GetKeys()) != 100 || len(second.GetKeys()) != n+1-100 || second.GetTruncated() {
		t.Errorf("pages of %d and %d keys with metadata, want 100 and %d", len(first.GetKeys()), len(second.GetKeys()), n+1-100)
	}
	described := 0
	for _, k := range append(first.GetKeys(), second.GetKeys()...) {
		switch {
		case !k.HasKeyMetadata():
		case k.GetKeyArn() != key || !proto.Equal(k.GetKeyMetadata(), d.describe(key)):
			t.Errorf("%s is described: %v", k.GetKeyArn(), k.GetKeyMetadata())
		default:
			described++
		}
	}
	if plain := list("", 1000, false); described != 1 || len(plain.GetKeys()) != n+1 || plain.GetKeys()[0].HasKeyMetadata() {
		t.Errorf("%d keys are described, of %d without metadata the first is %v", described, len(plain.GetKeys()), plain.GetKeys()[0])
	}
	for _, e := range d.Events(audit.Filter{Event: "ListKeys"}) {
		if e.Decision.Result != audit.ResultAllow || len(e.Decision.MatchedPolicies) > 1 {
			t.Errorf("the event of ListKeys has the decision %+v", e.Decision)
		}
	}
}

// DescribeKey tells callers of other accounts nothing of aliases.
func TestAliasesAreTheAccountsOwn(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d)
	other := d.Account("other")
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":[%q,%q]},"Action":"kms:*","Resource":"*"}]}`, kmstest.Account, other.ID)
	if got := d.putPolicy(d.root, p.keyID, policy, false); got.code != codes.OK {
		t.Fatal(got)
	}
	var theirs kmsv1.DescribeKeyResponse
	d.as(other.Credentials(), describeMethod, kmsv1.DescribeKeyRequest_builder{KeyId: p.keyID}.Build(), &theirs)
	if n := len(theirs.GetKeyMetadata().GetAliases()); n != 0 || len(d.describe(p.keyID).GetAliases()) != 1 {
		t.Errorf("another account sees %d aliases, the own account %q", n, d.describe(p.keyID).GetAliases())
	}
	if got := d.ask(other.Credentials(), reportMethod, kmsv1.GetKeyDeletionReportRequest_builder{KeyId: p.keyID}.Build()); got.code != codes.PermissionDenied {
		t.Errorf("another account is given the report: %v", got)
	}
	var policies kmsv1.ListKeyPoliciesResponse
	d.must(kmsv1.KeyService_ListKeyPolicies_FullMethodName, kmsv1.ListKeyPoliciesRequest_builder{KeyId: p.keyID}.Build(), &policies)
	if names := policies.GetPolicyNames(); len(names) != 1 || names[0] != "default" || policies.GetTruncated() {
		t.Errorf("ListKeyPolicies = %v", &policies)
	}
}

// When a key was last used is told to who may ask for that, and to nobody who may only describe the key, of whatever account.
func TestLastUseIsToldToWhoMayAskForIt(t *testing.T) {
	d := newDoor(t, nil)
	p := newProps(d) // which has encrypted
	other := d.Account("other")
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":%q},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":%q},"Action":"kms:DescribeKey","Resource":"*"}]}`, kmstest.Account, other.ID)
	if got := d.putPolicy(d.root, p.keyID, policy, false); got.code != codes.OK {
		t.Fatal(got)
	}
	arn := d.describe(p.keyID).GetArn()
	for _, row := range []struct {
		who  string
		as   client.Credentials
		told bool
	}{
		{"root", d.root, true},
		{"who may describe it", d.User("describes", kmstest.Allow([]string{"kms:DescribeKey", "kms:ListKeys"}, "*")), false},
		{"who may ask for both", d.User("asks", kmstest.Allow([]string{"kms:DescribeKey", "kms:ListKeys", "kms:GetKeyLastUsage"}, "*")), true},
		{"who is denied the last use", d.User("denied", kmstest.Allow([]string{"kms:*"}, "*"),
			`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:GetKeyLastUsage","Resource":"*"}]}`), false},
		{"another account", other.Credentials(), false},
	} {
		var described kmsv1.DescribeKeyResponse
		d.as(row.as, describeMethod, kmsv1.DescribeKeyRequest_builder{KeyId: arn}.Build(), &described)
		if told := described.GetKeyMetadata().HasLastUsage(); told != row.told {
			t.Errorf("DescribeKey tells %s the last use: %v, want %v", row.who, told, row.told)
		}
		want := codes.OK
		if !row.told {
			want = codes.PermissionDenied
		}
		if got := d.ask(row.as, reportMethod, kmsv1.GetKeyDeletionReportRequest_builder{KeyId: arn}.Build()); got.code != want {
			t.Errorf("GetKeyDeletionReport answers %s with %v, want %v", row.who, got, want)
		}
		if row.who == "another account" {
			continue // whose list does not have the key
		}
		var list kmsv1.ListKeysResponse
		d.as(row.as, kmsv1.KeyService_ListKeys_FullMethodName, kmsv1.ListKeysRequest_builder{IncludeMetadata: true}.Build(), &list)
		told := 0
		for _, k := range list.GetKeys() {
			if k.GetKeyMetadata().HasLastUsage() {
				told++
			}
		}
		if told > 0 != row.told {
			t.Errorf("ListKeys tells %s the last use of %d keys, want some: %v", row.who, told, row.told)
		}
	}
}
