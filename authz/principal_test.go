package authz

import (
	"fmt"
	"testing"
)

func TestBoundID(t *testing.T) {
	const role = "AROANIGHT00000000001"
	for _, b := range []boundID{{role, "batch"}, {role, "b="}, {role, ""}, {"111122223333", ""}, {"AIDAALICE00000000001", ""}} {
		text := b.String()
		if !b.is(text) || b.hash() != hashOfID(text) {
			t.Errorf("%+v is not found as %q", b, text)
		}
		for _, other := range []string{"", b.id + "x", b.id + ":", b.id + ":x", b.id + "::batch", "x" + text, text + "x", b.session, ":" + b.session} {
			if b.is(other) {
				t.Errorf("%+v is %q", b, other)
			}
		}
	}
}

// TestSessionGrantsAllocateNothing looks for the grant of a session among many.
func TestSessionGrantsAllocateNothing(t *testing.T) {
	c, r := &Caller{Kind: RoleSession, Account: "111122223333", ID: "AROANIGHT00000000001", ARN: "arn:session", RoleARN: "arn:role", SessionName: "batch"}, benchResource(t, benchDefault)
	for n := range 40 {
		p := Principal{Level: DirectLevel, Account: c.Account, ID: fmt.Sprintf("AROANIGHT%011d:batch", n)}
		r.Grants = r.Grants.With(&KeyGrant{ID: fmt.Sprint(n), Grantee: p, Actions: []Action{KMSDecrypt}})
	}
	x := benchContext()
	var d Decision
	if n := testing.AllocsPerRun(100, func() { _, d = Authorize(c, KMSDecrypt, r, x) }); n != 0 || d.GrantID != "1" {
		t.Errorf("Authorize = %+v with %v allocations, want it by grant 1 with none", d, n)
	}
}
