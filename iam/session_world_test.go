package iam

import (
	"fmt"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
)

const allowAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// sessionWorld is a world whose user alice may do everything, and whose role batch trusts alice and may kms:Decrypt.
type sessionWorld struct {
	*world
	alice *Credential
	now   time.Time
}

func newSessionWorld(t testing.TB) *sessionWorld {
	t.Helper()
	w := &sessionWorld{world: newWorld(t), now: time.Now()}
	w.mustUser("alice")
	if err := w.putPolicy("alice", "all", allowAll); err != nil {
		t.Fatal(err)
	}
	w.alice = w.credential(w.mustKey("alice").ID)
	w.mustRole("batch", w.trust("alice"), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}]}`)
	return w
}

func (w *sessionWorld) credential(id string) *Credential {
	w.t.Helper()
	c, ok := w.Snapshot().AccessKey(id)
	if !ok {
		w.t.Fatalf("there is no access key %s", id)
	}
	return c
}

// trust is a trust policy that lets a user do all that belongs to assuming a role.
func (w *sessionWorld) trust(user string) string {
	return sessionTrust(w.Snapshot().UserARN(testAccount, user))
}

func sessionTrust(arn string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`, arn)
}

func (w *sessionWorld) mustRole(name, trust, document string, tags ...Tag) Role {
	w.t.Helper()
	n := NewRole{Name: name, TrustPolicy: trust, MaxSessionDuration: 2 * time.Hour, Tags: tags}
	arn := w.Snapshot().NewRoleARN(testAccount, "/", name)
	if len(tags) > 0 {
		n.Tagging = w.grant(authz.IAMTagRole, arn)
	}
	r, err := w.CreateRole(w.grant(authz.IAMCreateRole, arn), testAccount, n)
	if err != nil {
		w.t.Fatal(err)
	}
	if document != "" {
		w.putRolePolicy(name, document)
	}
	return r
}

func (w *sessionWorld) putRolePolicy(name, document string) {
	w.t.Helper()
	if _, err := w.PutRolePolicy(w.grant(authz.IAMPutRolePolicy, w.Snapshot().RoleARN(testAccount, name)), testAccount, name, "p", document); err != nil {
		w.t.Fatal(err)
	}
}

func (w *sessionWorld) mustPolicy(name, document string) string {
	w.t.Helper()
	p, err := w.CreatePolicy(w.grant(authz.IAMCreatePolicy, w.Snapshot().NewPolicyARN(testAccount, "/", name)), testAccount, NewPolicy{Name: name, Document: document})
	if err != nil {
		w.t.Fatal(err)
	}
	return p.ARN
}

// assume does what the server does.
func (w *sessionWorld) assume(c *Credential, role string, r AssumeRole) (Temporary, error) {
	w.t.Helper()
	s := w.Snapshot()
	caller, err := s.Caller(c)
	if err != nil {
		return Temporary{}, err
	}
	return w.assumeAs(c, caller, role, r)
}

func (w *sessionWorld) assumeAs(c *Credential, caller *authz.Caller, role string, r AssumeRole) (Temporary, error) {
	w.t.Helper()
	s := w.Snapshot()
	arn := s.RoleARN(testAccount, role)
	shared, _ := s.RoleResource(arn)
	res := *shared
	if found, ok := s.RoleByARN(arn); ok {
		r.RoleID = found.ID
	}
	if r.SessionName == "" {
		r.SessionName = "night"
	}
	x := &authz.Context{Time: w.now}
	needs, err := s.AssumeRoleContext(c, &r, x, &res)
	if err != nil {
		return Temporary{}, err
	}
	var grants []authz.Grant
	for _, action := range needs {
		g, d := authz.Authorize(caller, action, &res, x)
		if d.Verdict != authz.Allow {
			return Temporary{}, &deniedError{action, d}
		}
		grants = append(grants, g)
	}
	return w.AssumeRole(grants, c, &r, w.now)
}

type deniedError struct {
	action authz.Action
	d      authz.Decision
}

func (e *deniedError) Error() string { return fmt.Sprintf("%v denied: %v", e.action, e.d.Reason) }

func (w *sessionWorld) mustAssume(c *Credential, role string, r AssumeRole) *Credential {
	w.t.Helper()
	t, err := w.assume(c, role, r)
	if err != nil {
		w.t.Fatalf("assuming %s: %v", role, err)
	}
	return w.mustSession(t)
}

func (w *sessionWorld) mustSession(t Temporary) *Credential {
	w.t.Helper()
	c, err := w.OpenSession(t.Token, t.AccessKeyID, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	if !c.Secret().Equal(t.Secret) || c.ID != t.AccessKeyID || !c.NotAfter.Equal(t.Expiration) {
		w.t.Fatalf("OpenSession = %+v, want the credential of %+v", c, t)
	}
	return c
}

func (w *sessionWorld) mustCaller(c *Credential) *authz.Caller {
	w.t.Helper()
	caller, err := w.Snapshot().Caller(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return caller
}

// may reports whether a credential is allowed an action on a key that leaves all to the policies of its account.
func (w *sessionWorld) may(c *Credential, a authz.Action) bool {
	w.t.Helper()
	caller := w.mustCaller(c)
	policy, err := authz.Parse(authz.KeyPolicy, fmt.Appendf(nil,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"kms:*","Resource":"*"}]}`, testAccount))
	if err != nil {
		w.t.Fatal(err)
	}
	key := &authz.Resource{Kind: authz.Key, Account: testAccount, ARN: "arn:aws:kms:local:" + testAccount + ":key/1", Policy: policy}
	_, d := authz.Authorize(caller, a, key, &authz.Context{Time: w.now})
	return d.Verdict == authz.Allow
}
