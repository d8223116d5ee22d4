package iam

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/crypto"
)

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
