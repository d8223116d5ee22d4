package server_test

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
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
	var report kmsv1.GetKeyDeletionReportResponse
	d.as(other.Credentials(), reportMethod, kmsv1.GetKeyDeletionReportRequest_builder{KeyId: p.keyID}.Build(), &report)
	if len(report.GetAliases()) != 0 {
		t.Errorf("another account is reported the aliases %q", report.GetAliases())
	}
	var policies kmsv1.ListKeyPoliciesResponse
	d.must(kmsv1.KeyService_ListKeyPolicies_FullMethodName, kmsv1.ListKeyPoliciesRequest_builder{KeyId: p.keyID}.Build(), &policies)
	if names := policies.GetPolicyNames(); len(names) != 1 || names[0] != "default" || policies.GetTruncated() {
		t.Errorf("ListKeyPolicies = %v", &policies)
	}
}
