package iam

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/internal/leaktest"
)

func TestRoleSession(t *testing.T) {
	w := newSessionWorld(t)
	tmp, err := w.assume(w.alice, "batch", AssumeRole{SourceIdentity: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	role, _ := w.Snapshot().Role(testAccount, "batch")
	c := w.mustSession(tmp)
	caller := w.mustCaller(c)
	want := "arn:aws:sts::" + testAccount + ":assumed-role/batch/night"
	if tmp.ARN != want || tmp.AssumedRoleID != role.ID+":night" || tmp.SourceIdentity != "alice" || tmp.PackedPolicySize != 0 {
		t.Errorf("AssumeRole = %+v", tmp)
	}
	if caller.Kind != authz.RoleSession || caller.ARN != want || caller.RoleARN != role.ARN || caller.ID != role.ID || caller.Account != testAccount ||
		caller.SessionName != "night" || caller.SourceIdentity != "alice" || caller.UserName != "" || !caller.MFA.IsZero() || caller.Session != nil {
		t.Errorf("Caller = %+v", caller)
	}
	if !caller.Issued.Equal(w.now.Truncate(time.Second)) || c.Method != BySession || c.PrincipalID != role.ID || c.UserName != "" {
		t.Errorf("issued %v, credential %+v", caller.Issued, c)
	}
	if got := tmp.Expiration.Sub(caller.Issued); got != time.Hour {
		t.Errorf("the session is for %v, want 1h", got)
	}
	if again, err := w.OpenSession(tmp.Token, tmp.AccessKeyID, w.now); again != c || err != nil {
		t.Errorf("opened again it is another credential, %v", err)
	}
	if w.mustCaller(c) != caller {
		t.Error("asked again it is another caller")
	}
	leaktest.Check(t, tmp.Secret.Expose(), tmp, c, c.session, c.session.claims, w.IAM, caller)
}

// A role session holds none of its caller's permissions.
func TestSessionReplacesPermissions(t *testing.T) {
	w := newSessionWorld(t)
	c := w.mustAssume(w.alice, "batch", AssumeRole{})
	for action, want := range map[authz.Action]bool{authz.KMSDecrypt: true, authz.KMSEncrypt: false} {
		if got := w.may(c, action); got != want {
			t.Errorf("the session may %v: %v, want %v", action, got, want)
		}
		if !w.may(w.alice, action) {
			t.Errorf("alice may not %v", action)
		}
	}
}

// What a role may is what it may when the session is used, and not when it was opened.
func TestSessionFollowsItsRole(t *testing.T) {
	w := newSessionWorld(t)
	c := w.mustAssume(w.alice, "batch", AssumeRole{})
	if !w.may(c, authz.KMSDecrypt) {
		t.Error("the role's policy has no effect")
	}
	w.putRolePolicy("batch", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}]}`)
	if w.may(c, authz.KMSDecrypt) || !w.may(c, authz.KMSEncrypt) {
		t.Error("the change of the role's policy has no effect")
	}
	arn := w.mustPolicy("more", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:GenerateDataKey","Resource":"*"}]}`)
	if err := w.AttachRolePolicy(w.grant(authz.IAMAttachRolePolicy, w.Snapshot().RoleARN(testAccount, "batch")), testAccount, "batch", arn); err != nil {
		t.Fatal(err)
	}
	if !w.may(c, authz.KMSGenerateDataKey) {
		t.Error("the policy that was attached has no effect")
	}
	_, err := w.CreatePolicyVersion(w.grant(authz.IAMCreatePolicyVersion, arn), testAccount, arn,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`, true)
	if err != nil {
		t.Fatal(err)
	}
	if w.may(c, authz.KMSEncrypt) {
		t.Error("the new version of the policy that is attached has no effect")
	}
}

// The way to revoke sessions: a Deny for those that were issued before.
func TestSessionIsRevokedByItsTime(t *testing.T) {
	w := newSessionWorld(t)
	c := w.mustAssume(w.alice, "batch", AssumeRole{})
	w.putRolePolicy("batch", fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":%q}}}]}`, w.now.Add(time.Minute).UTC().Format(time.RFC3339)))
	if w.may(c, authz.KMSDecrypt) {
		t.Error("the session that was issued before is allowed")
	}
	w.now = w.now.Add(2 * time.Minute)
	if !w.may(w.mustAssume(w.alice, "batch", AssumeRole{}), authz.KMSDecrypt) {
		t.Error("the session that was issued since is denied")
	}
}

func TestSessionOfWhoIsGone(t *testing.T) {
	w := newSessionWorld(t)
	c := w.mustAssume(w.alice, "batch", AssumeRole{})
	arn := w.Snapshot().RoleARN(testAccount, "batch")
	if err := w.DeleteRolePolicy(w.grant(authz.IAMDeleteRolePolicy, arn), testAccount, "batch", "p"); err != nil {
		t.Fatal(err)
	}
	if err := w.DeleteRole(w.grant(authz.IAMDeleteRole, arn), testAccount, "batch"); err != nil {
		t.Fatal(err)
	}
	if caller, err := w.Snapshot().Caller(c); !errors.Is(err, ErrInvalidToken) || caller != nil {
		t.Errorf("Caller of a deleted role's session = %v, %v, want %v", caller, err, ErrInvalidToken)
	}
	w.mustRole("batch", w.trust("alice"), allowAll)
	if _, err := w.Snapshot().Caller(c); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("once a role of the name is made again, Caller = %v, want %v", err, ErrInvalidToken)
	}
	w.mustUser("bob")
	if err := w.putPolicy("bob", "all", allowAll); err != nil {
		t.Fatal(err)
	}
	bob := w.mustKey("bob")
	token := w.sessionToken(bob.ID, SessionToken{})
	if err := w.DeleteAccessKey(w.on(authz.IAMDeleteAccessKey, "bob"), testAccount, "bob", bob.ID); err != nil {
		t.Fatal(err)
	}
	if w.mustCaller(token).UserName != "bob" {
		t.Error("the session is not bob's")
	}
	if err := w.DeleteUserPolicy(w.on(authz.IAMDeleteUserPolicy, "bob"), testAccount, "bob", "all"); err != nil {
		t.Fatal(err)
	}
	if err := w.deleteUser("bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Snapshot().Caller(token); !errors.Is(err, ErrInvalidToken) {
		t.Errorf("Caller of a deleted user's session = %v, want %v", err, ErrInvalidToken)
	}
}

func TestSessionEnds(t *testing.T) {
	w := newSessionWorld(t)
	tmp, err := w.assume(w.alice, "batch", AssumeRole{Duration: 15 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	c := w.mustSession(tmp)
	for at, want := range map[time.Time]error{
		tmp.Expiration.Add(-1): nil, tmp.Expiration: ErrExpired, tmp.Expiration.Add(time.Hour): ErrExpired,
	} {
		if _, err := w.OpenSession(tmp.Token, tmp.AccessKeyID, at); !errors.Is(err, want) {
			t.Errorf("OpenSession at %v = %v, want %v", at, err, want)
		}
		if _, err := w.reopened().OpenSession(tmp.Token, tmp.AccessKeyID, at); !errors.Is(err, want) {
			t.Errorf("OpenSession of a token not seen before at %v = %v, want %v", at, err, want)
		}
	}
	if c.Usable(tmp.Expiration.Add(-1)) != nil || c.Usable(tmp.Expiration) == nil {
		t.Error("Usable does not end with the session")
	}
}

// reopened is what another start of kmsd on the same store knows.
func (w *sessionWorld) reopened() *IAM {
	w.t.Helper()
	return w.mustOpen()
}

func TestSessionTagsOverrideThoseOfTheRole(t *testing.T) {
	w := newSessionWorld(t)
	w.mustRole("tagged", w.trust("alice"), allowAll, Tag{"Team", "blue"}, Tag{"Cost", "1"})
	c := w.mustAssume(w.alice, "tagged", AssumeRole{Tags: []Tag{{"team", "red"}, {"Site", "x"}}})
	got := map[string]string{}
	for name, value := range w.mustCaller(c).Tags.All {
		got[name] = value
	}
	if want := map[string]string{"team": "red", "Site": "x", "Cost": "1"}; !maps.Equal(got, want) {
		t.Errorf("tags = %v, want %v", got, want)
	}
}

func TestSessionPolicies(t *testing.T) {
	w := newSessionWorld(t)
	w.mustRole("wide", w.trust("alice"), allowAll)
	allow := func(action string) string {
		return `{ "Version" : "2012-10-17", "Statement" : [ { "Effect" : "Allow", "Action" : "` + action + `", "Resource" : "*" } ] }`
	}
	managed := w.mustPolicy("sign", allow("kms:GenerateDataKey"))
	c := w.mustAssume(w.alice, "wide", AssumeRole{Policy: allow("kms:Encrypt"), PolicyARNs: []string{managed}})
	for action, want := range map[authz.Action]bool{authz.KMSEncrypt: true, authz.KMSGenerateDataKey: true, authz.KMSDecrypt: false} {
		if got := w.may(c, action); got != want {
			t.Errorf("the session may %v: %v, want %v", action, got, want)
		}
	}
	if name := w.mustCaller(c).Session[0].Name(); name != "session-policy" {
		t.Errorf("the inline session policy is %q in decisions", name)
	}
	// The AWS-managed ones can be used in every account.
	read := w.mustAssume(w.alice, "wide", AssumeRole{PolicyARNs: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}})
	if w.may(read, authz.KMSEncrypt) || !w.may(read, authz.KMSDescribeKey) {
		t.Error("ReadOnlyAccess as a session policy has no effect")
	}
	// Once a managed session policy is gone, nothing is allowed.
	if err := w.DeletePolicy(w.grant(authz.IAMDeletePolicy, managed), testAccount, managed); err != nil {
		t.Fatal(err)
	}
	if w.may(c, authz.KMSEncrypt) {
		t.Error("without its managed session policy the session is allowed something")
	}
}

func TestSessionToken(t *testing.T) {
	w := newSessionWorld(t)
	c := w.sessionToken(w.alice.ID, SessionToken{})
	caller, long := w.mustCaller(c), w.mustCaller(w.alice)
	if caller.Kind != authz.User || caller.ARN != long.ARN || caller.ID != long.ID || caller.UserName != "alice" || len(caller.Identity) != 1 || caller.Issued.IsZero() || !caller.MFA.IsZero() {
		t.Errorf("Caller = %+v", caller)
	}
	if c.UserName != "alice" || c.NotAfter.Sub(caller.Issued) != DefaultSessionTokenDuration {
		t.Errorf("credential %+v", c)
	}
	root := w.sessionToken(w.root.ID, SessionToken{})
	if caller := w.mustCaller(root); caller.Kind != authz.Root || caller.ID != testAccount || root.NotAfter.Sub(caller.Issued) != MaxRootTokenDuration {
		t.Errorf("Caller of root = %+v until %v", caller, root.NotAfter)
	}
	for _, v := range []struct {
		what string
		id   string
		d    time.Duration
		want error
	}{
		{"the shortest", w.alice.ID, 900 * time.Second, nil},
		{"the longest", w.alice.ID, 129600 * time.Second, nil},
		{"too short", w.alice.ID, 899 * time.Second, ErrValidation},
		{"too long", w.alice.ID, 129601 * time.Second, ErrValidation},
		{"negative", w.alice.ID, -time.Hour, ErrValidation},
		{"a fraction", w.alice.ID, time.Hour + 1, ErrValidation},
		{"the longest for root", w.root.ID, time.Hour, nil},
		{"too long for root", w.root.ID, time.Hour + time.Second, ErrValidation},
	} {
		_, err := w.getSessionToken(w.credential(v.id), SessionToken{Duration: v.d})
		if !errors.Is(err, v.want) || v.want == nil && err != nil {
			t.Errorf("%s: SessionToken = %v, want %v", v.what, err, v.want)
		}
	}
	for what, session := range map[string]*Credential{"a user": c, "a role": w.mustAssume(w.alice, "batch", AssumeRole{})} {
		if _, err := w.getSessionToken(session, SessionToken{}); !errors.Is(err, ErrSessionNotAllowed) {
			t.Errorf("SessionToken of a session of %s = %v, want %v", what, err, ErrSessionNotAllowed)
		}
	}
	if _, err := w.SessionToken(w.grantOfNone(w.root.ID, authz.STSGetSessionToken), w.alice, SessionToken{}, w.now); !errors.Is(err, ErrNotPermitted) {
		t.Errorf("with another's grant SessionToken = %v, want %v", err, ErrNotPermitted)
	}
	// A session of a user can assume roles.
	if w.may(w.mustAssume(c, "batch", AssumeRole{}), authz.KMSEncrypt) {
		t.Error("the role's session has what the user's had")
	}
}

// grantOfNone is a permission for an action that has no resource.
func (w *sessionWorld) grantOfNone(accessKey string, a authz.Action) authz.Grant {
	w.t.Helper()
	g, d := authz.Authorize(w.mustCaller(w.credential(accessKey)), a, &authz.Resource{Kind: authz.None}, &authz.Context{Time: w.now})
	if d.Verdict != authz.Allow {
		w.t.Fatalf("%v is denied: %+v", a, d)
	}
	return g
}

func (w *sessionWorld) getSessionToken(c *Credential, r SessionToken) (Temporary, error) {
	w.t.Helper()
	g, _ := authz.Authorize(w.mustCaller(c), authz.STSGetSessionToken, &authz.Resource{Kind: authz.None}, &authz.Context{Time: w.now})
	return w.SessionToken(g, c, r, w.now)
}

func (w *sessionWorld) sessionToken(accessKey string, r SessionToken) *Credential {
	w.t.Helper()
	tmp, err := w.getSessionToken(w.credential(accessKey), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.mustSession(tmp)
}

func TestOpenSessionConcurrently(t *testing.T) {
	w := newSessionWorld(t)
	tmp, err := w.assume(w.alice, "batch", AssumeRole{Policy: allowAll})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	opened := make([]*Credential, 8)
	for n := range opened {
		wg.Go(func() {
			c, err := w.OpenSession(tmp.Token, tmp.AccessKeyID, w.now)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := w.Snapshot().Caller(c); err != nil {
				t.Error(err)
			}
			opened[n] = c
		})
	}
	for range 5 {
		w.putRolePolicy("batch", allowAll)
	}
	wg.Wait()
	for _, c := range opened {
		if c != opened[0] {
			t.Error("one token gave two credentials")
		}
	}
}

func BenchmarkSessionCaller(b *testing.B) {
	w := newSessionWorld(b)
	c := w.mustAssume(w.alice, "batch", AssumeRole{Policy: allowAll, Tags: []Tag{{"a", "b"}}})
	s := w.Snapshot()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Caller(c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenSession(b *testing.B) {
	w := newSessionWorld(b)
	tmp, err := w.assume(w.alice, "batch", AssumeRole{Policy: allowAll, Tags: []Tag{{"a", "b"}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("kept", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.OpenSession(tmp.Token, tmp.AccessKeyID, w.now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w.opened = sessionCache{}
			if _, err := w.OpenSession(tmp.Token, tmp.AccessKeyID, w.now); err != nil {
				b.Fatal(err)
			}
		}
	})
}
