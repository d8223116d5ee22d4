package iam

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
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
	if c.Usable(tmp.Expiration.Add(-1)) != nil || c.Usable(tmp.Expiration.Add(1)) == nil {
		t.Error("Usable does not end with the session")
	}
}

// reopened is what another start of kmsd on the same store knows.
func (w *sessionWorld) reopened() *IAM {
	w.t.Helper()
	return w.mustOpen()
}

func TestTokensOfOthers(t *testing.T) {
	w, other := newSessionWorld(t), newSessionWorld(t)
	tmp, err := w.assume(w.alice, "batch", AssumeRole{})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, i *IAM, token, id string) {
		t.Helper()
		if c, err := i.OpenSession(token, id, w.now); err != ErrInvalidToken || c != nil {
			t.Errorf("%s: OpenSession = %v, %v, want %v", what, c, err, ErrInvalidToken)
		}
	}
	if _, err := other.assume(other.alice, "batch", AssumeRole{}); err != nil { // which makes its key
		t.Fatal(err)
	}
	refused("the token of another store", other.IAM, tmp.Token, tmp.AccessKeyID)
	refused("another's access key", w.IAM, tmp.Token, "ASIAAAAAAAAAAAAAAAAA")
	refused("no access key", w.IAM, tmp.Token, "")
	w.mustSession(tmp) // so that it is kept
	refused("another's access key, once it is kept", w.IAM, tmp.Token, w.alice.ID)
	refused("no token", w.IAM, "", tmp.AccessKeyID)
	refused("a token that is too long", w.IAM, strings.Repeat("A", MaxSessionToken+1), tmp.AccessKeyID)
	refused("padding", w.IAM, tmp.Token+"=", tmp.AccessKeyID)
	refused("a line end", w.IAM, tmp.Token[:8]+"\n"+tmp.Token[8:], tmp.AccessKeyID)
	refused("a space", w.IAM, tmp.Token+" ", tmp.AccessKeyID)
	refused("a token that ends early", w.IAM, tmp.Token[:len(tmp.Token)-4], tmp.AccessKeyID)
	raw, err := base64.RawURLEncoding.DecodeString(tmp.Token)
	if err != nil {
		t.Fatal(err)
	}
	for n := range raw {
		altered := slices.Clone(raw)
		altered[n] ^= 1
		refused(fmt.Sprintf("byte %d altered", n), w.IAM, base64.RawURLEncoding.EncodeToString(altered), tmp.AccessKeyID)
	}
	// The management account is in the associated data: the key alone does not do.
	if _, err := w.ring.Load().open("999999999999", tmp.Token); err != ErrInvalidToken {
		t.Errorf("the token under another management account: %v, want %v", err, ErrInvalidToken)
	}
}

func TestTokensOutliveRestartsAndKeys(t *testing.T) {
	w := newSessionWorld(t)
	tmp, err := w.assume(w.alice, "batch", AssumeRole{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := w.RotateSessionKey(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.ring.Load().keys); n != 4 {
		t.Errorf("there are %d keys, want 4", n)
	}
	w.reopen()
	w.mustSession(tmp)
	if n := len(w.ring.Load().keys); n != 4 {
		t.Errorf("after a restart there are %d keys, want 4", n)
	}
	later, err := w.assume(w.alice, "batch", AssumeRole{})
	if err != nil {
		t.Fatal(err)
	}
	if later.Token[:12] == tmp.Token[:12] {
		t.Error("the token is sealed under the key of before")
	}
}

// A key is replaced after a week, and deleted once no token that it sealed can be good.
func TestSessionKeysAge(t *testing.T) {
	start := time.Now()
	made := func(n byte, at time.Duration) tokenKey {
		return tokenKey{id: [tokenKeyID]byte{n}, created: start.Add(at)}
	}
	r := &tokenRing{}
	if r.newest(start) != nil {
		t.Error("no key is a key")
	}
	r, gone := r.with(made(1, 0))
	if len(gone) != 0 || r.newest(start.Add(sessionKeyLife-1)) == nil || r.newest(start.Add(sessionKeyLife)) != nil {
		t.Error("a key is not replaced after its life")
	}
	r, gone = r.with(made(2, sessionKeyLife))
	if len(gone) != 0 || len(r.keys) != 2 || r.find([tokenKeyID]byte{1}) == nil {
		t.Errorf("a key went with the one that replaced it: %v", gone)
	}
	r, gone = r.with(made(3, sessionKeyLife+sessionKeyRest-time.Second))
	if len(gone) != 0 || len(r.keys) != 3 {
		t.Errorf("a key went too early: %v", gone)
	}
	r, gone = r.with(made(4, sessionKeyLife+sessionKeyRest))
	if len(gone) != 1 || gone[0].id != [tokenKeyID]byte{1} || len(r.keys) != 3 || r.find([tokenKeyID]byte{1}) != nil || r.keys[0].id[0] != 4 {
		t.Errorf("of the old keys went %v", gone)
	}
	if sessionKeyRest <= MaxSessionTokenDuration || sessionKeyRest <= MaxMaxSessionDuration {
		t.Error("keys go before the tokens that they sealed")
	}
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

// Everything that does not fit is refused, and everything that fits makes a token that opens.
func TestTokensFit(t *testing.T) {
	w := newSessionWorld(t)
	name := strings.Repeat("n", 64)
	longest := AssumeRole{SessionName: name, SourceIdentity: name}
	for n := 1; ; n++ {
		longest.Tags = append(longest.Tags, Tag{fmt.Sprintf("%0128d", n), strings.Repeat("v", 10)})
		tmp, err := w.assume(w.alice, "batch", longest)
		if err != nil {
			if !errors.Is(err, ErrPackedPolicyTooLarge) || n < 10 {
				t.Errorf("with %d tags AssumeRole = %v", n, err)
			}
			break
		}
		if len(tmp.Token) > MaxSessionToken || tmp.PackedPolicySize < 1 || tmp.PackedPolicySize > 100 {
			t.Fatalf("with %d tags the token has %d bytes, and %d%% are used", n, len(tmp.Token), tmp.PackedPolicySize)
		}
		if got := w.mustCaller(w.mustSession(tmp)).Tags; got.Len() != n {
			t.Fatalf("the session has %d tags, want %d", got.Len(), n)
		}
	}
	full := &tokenClaims{
		kind: roleToken, account: testAccount, principalID: newRoleID(), sessionName: name, accessKeyID: newTemporaryKeyID(), secret: newSecretKey(),
		issued: w.now, expires: w.now.Add(time.Hour), sourceIdentity: name,
	}
	full.policy = strings.Repeat("p", maxPacked-len(full.appendPacked(nil)))
	key, err := w.tokenKeyFor(w.now)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(key.seal(testAccount, full)); n > MaxSessionToken {
		t.Errorf("the longest token has %d bytes, want at most %d", n, MaxSessionToken)
	}
}

func TestOpenedSessionsAreBounded(t *testing.T) {
	var c sessionCache
	hash := func(n int) tokenHash { return hashToken(fmt.Sprint(n)) }
	small := func() *Credential { return &Credential{session: &session{size: sessionOverhead}} }
	for n := range maxOpened + 10 {
		c.add(hash(n), small())
		c.get(hash(0))
	}
	if len(c.byHash) != maxOpened || c.order.Len() != maxOpened || c.get(hash(0)) == nil || c.get(hash(1)) != nil || c.get(hash(maxOpened+9)) == nil {
		t.Errorf("%d sessions are kept, want %d, those that were used last", len(c.byHash), maxOpened)
	}
	for n := range 100 {
		c.add(hash(-1-n), &Credential{session: &session{size: maxOpenedBytes / 10}})
	}
	if c.bytes > maxOpenedBytes || len(c.byHash) > 10 {
		t.Errorf("%d sessions of %d bytes are kept, want at most %d bytes", len(c.byHash), c.bytes, maxOpenedBytes)
	}
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

// fakeClaims are claims that a token could have.
func fakeClaims() *tokenClaims {
	return &tokenClaims{
		kind: roleToken, account: testAccount, principalID: "AROAAAAAAAAAAAAAAAAAA", sessionName: "night", accessKeyID: "ASIAAAAAAAAAAAAAAAAA",
		secret: crypto.NewSecret([]byte(strings.Repeat("s", secretChars))), issued: time.Unix(1_800_000_000, 0).UTC(), expires: time.Unix(1_800_003_600, 0).UTC(),
		sourceIdentity: "alice", policy: "{}", policyARNs: []string{"arn:aws:iam::aws:policy/x"}, tags: []sessionTag{{Tag{"A", "1"}, true}, {Tag{"b", ""}, false}},
	}
}

func TestClaimsThatAreNeverSealed(t *testing.T) {
	for what, change := range map[string]func(c *tokenClaims){
		"no kind":                  func(c *tokenClaims) { c.kind = 0 },
		"a kind that there is not": func(c *tokenClaims) { c.kind = 4 },
		"a user's id of a role":    func(c *tokenClaims) { c.principalID = newUserID() },
		"a user with tags":         func(c *tokenClaims) { c.kind, c.principalID = userToken, newUserID() },
		"root of another account": func(c *tokenClaims) {
			*c = tokenClaims{kind: rootToken, account: c.account, principalID: "1", accessKeyID: c.accessKeyID, secret: c.secret, issued: c.issued, expires: c.expires}
		},
		"a role with MFA":            func(c *tokenClaims) { c.mfa = c.issued },
		"no account":                 func(c *tokenClaims) { c.account = "" },
		"a long-term access key":     func(c *tokenClaims) { c.accessKeyID = newAccessKeyID() },
		"no time of issue":           func(c *tokenClaims) { c.issued = time.Time{} },
		"an end before it":           func(c *tokenClaims) { c.expires = c.issued },
		"too many policies":          func(c *tokenClaims) { c.policyARNs = make([]string, 11) },
		"tags out of order":          func(c *tokenClaims) { slices.Reverse(c.tags) },
		"tags that differ in case":   func(c *tokenClaims) { c.tags[1].Key = "a" },
		"no name of the session":     func(c *tokenClaims) { c.sessionName = "" },
		"a malformed secret":         func(c *tokenClaims) { c.secret = crypto.NewSecret([]byte(strings.Repeat(" ", secretChars))) },
		"a time that is out of time": func(c *tokenClaims) { c.expires = time.Unix(1<<41, 0) },
	} {
		c := fakeClaims()
		change(c)
		if got, err := decodeClaims(encodeClaims(c)); err == nil || got != nil {
			t.Errorf("%s: decodeClaims takes it", what)
		}
	}
	if _, err := decodeClaims(encodeClaims(fakeClaims())); err != nil {
		t.Errorf("decodeClaims = %v", err)
	}
}

func FuzzDecodeClaims(f *testing.F) {
	f.Add(encodeClaims(fakeClaims()))
	user := fakeClaims()
	*user = tokenClaims{kind: userToken, account: testAccount, principalID: "AIDAAAAAAAAAAAAAAAAAA", accessKeyID: user.accessKeyID, secret: user.secret, issued: user.issued, expires: user.expires, mfa: user.issued}
	f.Add(encodeClaims(user))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeClaims(data)
		if err != nil {
			if c != nil {
				t.Error("claims beside an error")
			}
			return
		}
		if again := encodeClaims(c); string(again) != string(data) {
			t.Errorf("decodeClaims(%x) encodes to %x", data, again)
		}
	})
}

func FuzzOpenToken(f *testing.F) {
	secret := crypto.NewSecret([]byte(strings.Repeat("k", crypto.KeySize)))
	sealer, err := crypto.NewSealer(secret)
	if err != nil {
		f.Fatal(err)
	}
	key := tokenKey{sealer: sealer}
	ring := &tokenRing{keys: []tokenKey{key}}
	good := key.seal(testAccount, fakeClaims())
	f.Add(good)
	f.Add(good[:40])
	f.Add("AQAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := ring.open(testAccount, token)
		if (err == nil) != (c != nil) || err != nil && err != ErrInvalidToken {
			t.Errorf("open = %v, %v", c, err)
		}
		if err == nil && c.sessionName != "night" {
			t.Errorf("open takes a token that was not sealed")
		}
	})
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
