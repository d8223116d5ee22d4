package iam

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/iam/totp"
)

const mfaOnly = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}]}`

// A second factor is told by the session of GetSessionToken, by the request that assumes a role, and not by the role's session.
func TestWhereMFAIsTold(t *testing.T) {
	w := newSessionWorld(t)
	phone := w.mustDevice("phone")
	phone.mustEnable("alice")
	if err := w.putPolicy("alice", "all", strings.Replace(mfaOnly, "kms:Decrypt", `*`, 1)); err != nil {
		t.Fatal(err)
	}
	w.later(2)
	session := func(r SessionToken) *Credential {
		t.Helper()
		tmp, err := w.SessionToken(w.rootsGrantTo(w.alice), w.alice, r, w.now)
		if err != nil {
			t.Fatal(err)
		}
		return w.mustSession(tmp)
	}
	with := session(SessionToken{SerialNumber: phone.serial, TokenCode: phone.code(0)})
	if !w.may(with, authz.KMSDecrypt) || w.mustCaller(with).MFA.IsZero() {
		t.Error("the session with a second factor does not tell it")
	}
	if w.may(session(SessionToken{}), authz.KMSDecrypt) || w.may(w.alice, authz.KMSDecrypt) {
		t.Error("who has not proven a second factor tells one")
	}
	for what, r := range map[string]SessionToken{
		"a used code": {SerialNumber: phone.serial, TokenCode: phone.code(0)}, "no code": {SerialNumber: phone.serial}, "no device": {TokenCode: "123456"},
	} {
		if _, err := w.SessionToken(w.rootsGrantTo(w.alice), w.alice, r, w.now); !errors.Is(err, ErrMFACode) {
			t.Errorf("%s: SessionToken = %v, want %v", what, err, ErrMFACode)
		}
	}

	trust := strings.Replace(w.trust("alice"), `"Effect":"Allow",`, `"Effect":"Allow","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}},`, 1)
	w.mustRole("guarded", trust, mfaOnly)
	var denied *deniedError
	if _, err := w.assume(w.alice, "guarded", AssumeRole{}); !errors.As(err, &denied) {
		t.Errorf("without a second factor: %v, want a denial", err)
	}
	w.later(1)
	proven, err := w.ProveMFA(w.alice, w.mustCaller(w.alice), phone.serial, phone.code(0), w.now)
	if err != nil {
		t.Fatal(err)
	}
	tmp, err := w.assumeAs(w.alice, proven, "guarded", AssumeRole{})
	if err != nil {
		t.Fatalf("with a second factor: %v", err)
	}
	if w.mustCaller(w.alice).MFA != (time.Time{}) {
		t.Error("the caller that is shared was changed")
	}
	if w.may(w.mustSession(tmp), authz.KMSDecrypt) {
		t.Error("the session of the role tells a second factor")
	}
	if w.may(w.mustAssume(with, "guarded", AssumeRole{}), authz.KMSDecrypt) {
		t.Error("the session of the role, opened from one with a second factor, tells it")
	}
	if _, err := w.ProveMFA(with, w.mustCaller(with), phone.serial, phone.code(1), w.now); !errors.Is(err, ErrMFACode) {
		t.Errorf("a code with a session: %v, want %v", err, ErrMFACode)
	}
}

// rootsGrantTo is a grant for GetSessionToken to a user whose policies do not allow it without a second factor.
func (w *sessionWorld) rootsGrantTo(c *Credential) authz.Grant {
	w.t.Helper()
	caller := *w.mustCaller(c)
	p, err := authz.Parse(authz.IdentityPolicy, []byte(allowAll))
	if err != nil {
		w.t.Fatal(err)
	}
	caller.Identity = []*authz.Policy{p}
	g, _ := authz.Authorize(&caller, authz.STSGetSessionToken, &authz.Resource{Kind: authz.None}, nil)
	return g
}

func FuzzDecodeDevice(f *testing.F) {
	seed := crypto.NewSecret(make([]byte, totp.SeedSize))
	f.Add(encodeDevice(&mfaDevice{seed: seed, path: "/", name: "x", created: time.Unix(1, 0)}))
	f.Add(encodeDevice(&mfaDevice{seed: seed, path: "/a/", name: "x", created: time.Unix(1, 0), enabled: time.Unix(2, 0), owner: "AIDA", last: 7}))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decodeDevice(data)
		if err != nil {
			if d != nil {
				t.Error("a device beside an error")
			}
			return
		}
		if again := encodeDevice(d); string(again) != string(data) {
			t.Errorf("decodeDevice(%x) encodes to %x", data, again)
		}
	})
}
