package iam

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
)

func TestWhatAssumeRoleTakes(t *testing.T) {
	w := newSessionWorld(t)
	many := func(n int) (tags []Tag) {
		for i := range n {
			tags = append(tags, Tag{fmt.Sprint("k", i), "v"})
		}
		return tags
	}
	allow := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`
	long := allow + strings.Repeat(" ", maxSessionPolicyChars-len(allow))
	var arns []string
	for n := range maxSessionPolicies + 1 {
		arns = append(arns, w.mustPolicy(fmt.Sprint("p", n), allow))
	}
	for _, v := range []struct {
		what string
		r    AssumeRole
		want error // nil: taken
	}{
		{"a name of two", AssumeRole{SessionName: "ab"}, nil},
		{"a name of every character", AssumeRole{SessionName: "aZ09_+=,.@-"}, nil},
		{"a name of 64", AssumeRole{SessionName: strings.Repeat("n", 64)}, nil},
		{"a name of one", AssumeRole{SessionName: "a"}, ErrValidation},
		{"a name of 65", AssumeRole{SessionName: strings.Repeat("n", 65)}, ErrValidation},
		{"a name with a slash", AssumeRole{SessionName: "a/b"}, ErrValidation},
		{"a name with a colon", AssumeRole{SessionName: "a:b"}, ErrValidation},
		{"a name with a line end", AssumeRole{SessionName: "ab\n"}, ErrValidation},
		{"a name with an asterisk", AssumeRole{SessionName: "a*"}, ErrValidation},
		{"a name that is not ASCII", AssumeRole{SessionName: "äb"}, ErrValidation},
		{"the shortest", AssumeRole{Duration: 900 * time.Second}, nil},
		{"shorter than that", AssumeRole{Duration: 899 * time.Second}, ErrValidation},
		{"the longest of the role", AssumeRole{Duration: 2 * time.Hour}, nil},
		{"longer than that", AssumeRole{Duration: 2*time.Hour + time.Second}, ErrValidation},
		{"longer than any role", AssumeRole{Duration: 13 * time.Hour}, ErrValidation},
		{"negative", AssumeRole{Duration: -time.Hour}, ErrValidation},
		{"a fraction of a second", AssumeRole{Duration: time.Hour + time.Millisecond}, ErrValidation},
		{"an external id", AssumeRole{ExternalID: "a:/b"}, nil},
		{"the longest external id", AssumeRole{ExternalID: strings.Repeat("x", 1224)}, nil},
		{"a longer external id", AssumeRole{ExternalID: strings.Repeat("x", 1225)}, ErrValidation},
		{"an external id of one", AssumeRole{ExternalID: "x"}, ErrValidation},
		{"an external id with a space", AssumeRole{ExternalID: "a b"}, ErrValidation},
		{"a source identity", AssumeRole{SourceIdentity: "me"}, nil},
		{"a source identity of AWS", AssumeRole{SourceIdentity: "aws:me"}, ErrValidation},
		{"one with a colon", AssumeRole{SourceIdentity: "a:b"}, ErrValidation},
		{"fifty tags", AssumeRole{Tags: many(50)}, nil},
		{"51 tags", AssumeRole{Tags: many(51)}, ErrLimitExceeded},
		{"a tag twice", AssumeRole{Tags: []Tag{{"a", "1"}, {"a", "1"}}}, ErrValidation},
		{"a tag twice in another case", AssumeRole{Tags: []Tag{{"a", "1"}, {"A", "1"}}}, ErrValidation},
		{"a tag of AWS", AssumeRole{Tags: []Tag{{"aws:a", "1"}}}, ErrValidation},
		{"a tag without a key", AssumeRole{Tags: []Tag{{"", "1"}}}, ErrValidation},
		{"a tag with an empty value", AssumeRole{Tags: []Tag{{"a", ""}}}, nil},
		{"a transitive tag", AssumeRole{Tags: []Tag{{"a", "1"}}, TransitiveTagKeys: []string{"A"}}, nil},
		{"a transitive tag that is none", AssumeRole{Tags: []Tag{{"a", "1"}}, TransitiveTagKeys: []string{"b"}}, ErrValidation},
		{"a transitive tag twice", AssumeRole{Tags: []Tag{{"a", "1"}}, TransitiveTagKeys: []string{"a", "A"}}, ErrValidation},
		{"a session policy", AssumeRole{Policy: allow}, nil},
		{"the longest", AssumeRole{Policy: long}, nil},
		{"a longer one", AssumeRole{Policy: long + " "}, ErrValidation},
		{"the longest with a managed one", AssumeRole{Policy: long, PolicyARNs: arns[:1]}, ErrPackedPolicyTooLarge},
		{"a session policy that is none", AssumeRole{Policy: "{}"}, ErrMalformedPolicy},
		{"a session policy with a principal", AssumeRole{Policy: w.trust("alice")}, ErrMalformedPolicy},
		{"ten managed policies", AssumeRole{PolicyARNs: arns[:10]}, nil},
		{"eleven managed policies", AssumeRole{PolicyARNs: arns}, ErrValidation},
		{"one of them twice", AssumeRole{PolicyARNs: []string{arns[0], arns[0]}}, ErrValidation},
		{"one that there is not", AssumeRole{PolicyARNs: []string{arns[0] + "x"}}, ErrNoSuchEntity},
		{"one of another account", AssumeRole{PolicyARNs: []string{strings.Replace(arns[0], testAccount, "999999999999", 1)}}, ErrNoSuchEntity},
		{"what is not an ARN", AssumeRole{PolicyARNs: []string{""}}, ErrNoSuchEntity},
	} {
		tmp, err := w.assume(w.alice, "batch", v.r)
		if !errors.Is(err, v.want) || v.want == nil && err != nil {
			t.Errorf("%s: AssumeRole = %v, want %v", v.what, err, v.want)
		}
		if err == nil {
			w.mustCaller(w.mustSession(tmp))
		} else if tmp.Token != "" || !tmp.Secret.IsZero() {
			t.Errorf("%s: credentials beside an error", v.what)
		}
	}
}

// What a request says is in its context, under the names of AWS.
func TestContextOfAssumeRole(t *testing.T) {
	w := newSessionWorld(t)
	arn := w.Snapshot().UserARN(testAccount, "alice")
	for condition, want := range map[string]bool{
		`"StringEquals":{"sts:ExternalId":"x:1"}`:                                                    true,
		`"StringEquals":{"sts:ExternalId":"x:2"}`:                                                    false,
		`"StringEquals":{"sts:RoleSessionName":"night"}`:                                             true,
		`"StringEquals":{"sts:SourceIdentity":"me"}`:                                                 true,
		`"StringEquals":{"aws:RequestTag/team":"red"}`:                                               true,
		`"ForAllValues:StringEquals":{"aws:TagKeys":["team","cost"]},"Null":{"aws:TagKeys":"false"}`: true,
		`"ForAnyValue:StringEquals":{"sts:TransitiveTagKeys":["team"]}`:                              true,
		`"ForAnyValue:StringEquals":{"sts:TransitiveTagKeys":["cost"]}`:                              false,
		`"StringEquals":{"aws:ResourceTag/site":"north"}`:                                            true,
	} {
		w.mustRole("conditional", strings.Replace(sessionTrust(arn), `"Effect":"Allow",`, `"Effect":"Allow","Condition":{`+condition+`},`, 1), "", Tag{"site", "north"})
		_, err := w.assume(w.alice, "conditional", AssumeRole{
			ExternalID: "x:1", SourceIdentity: "me", Tags: []Tag{{"team", "red"}, {"cost", "1"}}, TransitiveTagKeys: []string{"team"},
		})
		if (err == nil) != want {
			t.Errorf("with %s: %v, want it to be allowed: %v", condition, err, want)
		}
		if err := w.DeleteRole(w.grant(authz.IAMDeleteRole, w.Snapshot().RoleARN(testAccount, "conditional")), testAccount, "conditional"); err != nil {
			t.Fatal(err)
		}
	}
}

// Tags and source identities need permissions of their own, also when they are inherited.
func TestWhatAssumeRoleNeeds(t *testing.T) {
	w := newSessionWorld(t)
	needs := func(c *Credential, r AssumeRole) []authz.Action {
		t.Helper()
		r.SessionName = "night"
		list, err := w.Snapshot().AssumeRoleContext(c, &r, &authz.Context{}, &authz.Resource{})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	plain := w.mustAssume(w.alice, "batch", AssumeRole{Tags: []Tag{{"a", "1"}}})
	tagged := w.mustAssume(w.alice, "batch", AssumeRole{Tags: []Tag{{"a", "1"}}, TransitiveTagKeys: []string{"a"}})
	known := w.mustAssume(w.alice, "batch", AssumeRole{SourceIdentity: "me"})
	assume, tag, identity := authz.STSAssumeRole, authz.STSTagSession, authz.STSSetSourceIdentity
	for _, v := range []struct {
		what string
		got  []authz.Action
		want []authz.Action
	}{
		{"nothing", needs(w.alice, AssumeRole{}), []authz.Action{assume}},
		{"tags", needs(w.alice, AssumeRole{Tags: []Tag{{"a", "1"}}}), []authz.Action{assume, tag}},
		{"a source identity", needs(w.alice, AssumeRole{SourceIdentity: "me"}), []authz.Action{assume, identity}},
		{"both", needs(w.alice, AssumeRole{SourceIdentity: "me", Tags: []Tag{{"a", "1"}}}), []authz.Action{assume, tag, identity}},
		{"a session whose tags stay with it", needs(plain, AssumeRole{}), []authz.Action{assume}},
		{"a session that passes tags on", needs(tagged, AssumeRole{}), []authz.Action{assume, tag}},
		{"a session with a source identity", needs(known, AssumeRole{}), []authz.Action{assume, identity}},
	} {
		if !slices.Equal(v.got, v.want) {
			t.Errorf("%s: %v, want %v", v.what, v.got, v.want)
		}
	}
	// Grants that are not all there, or another's, are not enough.
	role, _ := w.Snapshot().Role(testAccount, "batch")
	res, _ := w.Snapshot().RoleResource(role.ARN)
	g, _ := authz.Authorize(w.mustCaller(w.alice), assume, res, nil)
	r := AssumeRole{RoleID: role.ID, SessionName: "night", Tags: []Tag{{"a", "1"}}}
	if _, err := w.AssumeRole([]authz.Grant{g}, w.alice, &r, w.now); !errors.Is(err, ErrNotPermitted) {
		t.Errorf("tags without a grant for them: %v, want %v", err, ErrNotPermitted)
	}
	r.Tags = nil
	if _, err := w.AssumeRole([]authz.Grant{g}, w.credential(w.root.ID), &r, w.now); !errors.Is(err, ErrNotPermitted) {
		t.Errorf("another's grant: %v, want %v", err, ErrNotPermitted)
	}
	if _, err := w.AssumeRole(nil, w.alice, &r, w.now); !errors.Is(err, ErrNotPermitted) {
		t.Errorf("no grant: %v, want %v", err, ErrNotPermitted)
	}
	if _, err := w.AssumeRole([]authz.Grant{g}, w.alice, &r, w.now); err != nil {
		t.Errorf("the grant: %v", err)
	}
	r.RoleID = newRoleID()
	if _, err := w.AssumeRole([]authz.Grant{g}, w.alice, &r, w.now); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("a role that has gone: %v, want %v", err, ErrNoSuchEntity)
	}
}

func TestRootAssumesNoRole(t *testing.T) {
	w := newSessionWorld(t)
	var denied *deniedError
	w.mustRole("open", sessionTrust(testAccount), allowAll)
	if _, err := w.assume(w.credential(w.root.ID), "open", AssumeRole{}); !errors.As(err, &denied) || denied.d.Reason != authz.RootCannotAssumeRole {
		t.Errorf("root: %v, want %v", err, authz.RootCannotAssumeRole)
	}
	if _, err := w.assume(w.alice, "none", AssumeRole{}); !errors.As(err, &denied) && !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("a role that there is not: %v", err)
	}
}

// A session of a role can open others: for an hour at most, with the tags that it passes on, and with its source identity.
func TestChaining(t *testing.T) {
	w := newSessionWorld(t)
	batch := w.Snapshot().RoleARN(testAccount, "batch")
	w.mustRole("second", sessionTrust(batch), allowAll, Tag{"Team", "of the role"}, Tag{"site", "north"})
	w.putRolePolicy("batch", allowAll)
	first := w.mustAssume(w.alice, "batch", AssumeRole{
		SourceIdentity: "me", Tags: []Tag{{"team", "red"}, {"own", "1"}}, TransitiveTagKeys: []string{"team"},
	})
	for d, want := range map[time.Duration]error{0: nil, time.Hour: nil, time.Hour + time.Second: ErrValidation, 2 * time.Hour: ErrValidation} {
		tmp, err := w.assume(first, "second", AssumeRole{Duration: d})
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("chained for %v: %v, want %v", d, err, want)
		}
		if err == nil && tmp.Expiration.Sub(w.now.Truncate(time.Second)) != time.Hour {
			t.Errorf("chained for %v it is for %v", d, tmp.Expiration.Sub(w.now))
		}
	}
	// The session of a user is no session of a role.
	if _, err := w.assume(w.sessionToken(w.alice.ID, SessionToken{}), "batch", AssumeRole{Duration: 2 * time.Hour}); err != nil {
		t.Errorf("from a user's session: %v", err)
	}
	second := w.mustAssume(first, "second", AssumeRole{Tags: []Tag{{"own", "2"}}})
	tags := map[string]string{}
	for key, value := range w.mustCaller(second).Tags.All {
		tags[key] = value
	}
	if len(tags) != 3 || tags["team"] != "red" || tags["own"] != "2" || tags["site"] != "north" {
		t.Errorf("tags of the second session = %v", tags)
	}
	if got := w.mustCaller(second).SourceIdentity; got != "me" {
		t.Errorf("source identity of the second session = %q, want %q", got, "me")
	}
	for what, r := range map[string]AssumeRole{
		"an inherited tag":                 {Tags: []Tag{{"team", "red"}}},
		"an inherited tag in another case": {Tags: []Tag{{"TEAM", "blue"}}},
		"another source identity":          {SourceIdentity: "you"},
	} {
		if _, err := w.assume(first, "second", r); !errors.Is(err, ErrValidation) {
			t.Errorf("%s: %v, want %v", what, err, ErrValidation)
		}
	}
	if _, err := w.assume(first, "second", AssumeRole{SourceIdentity: "me"}); err != nil {
		t.Errorf("the same source identity: %v", err)
	}
	// It goes on to the third, although the second did not name it.
	w.mustRole("third", sessionTrust(w.Snapshot().RoleARN(testAccount, "second")), "")
	third := w.mustCaller(w.mustAssume(second, "third", AssumeRole{}))
	if n := third.Tags.Len(); n != 1 || third.SourceIdentity != "me" {
		t.Errorf("the third session has %d tags and the source identity %q", n, third.SourceIdentity)
	}
}

// For the trust policy an inherited tag stands in the place of the role's.
func TestInheritedTagsBeforeTheTrustPolicy(t *testing.T) {
	w := newSessionWorld(t)
	w.putRolePolicy("batch", allowAll)
	batch := w.Snapshot().RoleARN(testAccount, "batch")
	trust := strings.Replace(sessionTrust(batch), `"Effect":"Allow",`, `"Effect":"Allow","Condition":{"StringEquals":{"aws:ResourceTag/team":"red"}},`, 1)
	w.mustRole("guarded", trust, "", Tag{"Team", "blue"})
	if _, err := w.assume(w.mustAssume(w.alice, "batch", AssumeRole{}), "guarded", AssumeRole{}); err == nil {
		t.Error("with the role's own tag it is allowed")
	}
	c := w.mustAssume(w.alice, "batch", AssumeRole{Tags: []Tag{{"team", "red"}}, TransitiveTagKeys: []string{"team"}})
	if _, err := w.assume(c, "guarded", AssumeRole{}); err != nil {
		t.Errorf("with the inherited tag: %v", err)
	}
	shared, _ := w.Snapshot().RoleResource(w.Snapshot().RoleARN(testAccount, "guarded"))
	for _, value := range shared.Tags.All {
		if value != "blue" {
			t.Errorf("the resource that is shared has the tag %q", value)
		}
	}
}

// A role that is deleted and made again is not the one that was authorized.
func TestRoleThatIsMadeAgainMeanwhile(t *testing.T) {
	w := newSessionWorld(t)
	role := w.mustRole("other", w.trust("alice"), "")
	res, _ := w.Snapshot().RoleResource(role.ARN)
	g, _ := authz.Authorize(w.mustCaller(w.alice), authz.STSAssumeRole, res, nil)
	if err := w.DeleteRole(w.grant(authz.IAMDeleteRole, role.ARN), testAccount, "other"); err != nil {
		t.Fatal(err)
	}
	w.mustRole("other", w.trust("alice"), allowAll)
	if _, err := w.AssumeRole([]authz.Grant{g}, w.alice, &AssumeRole{RoleID: role.ID, SessionName: "night"}, w.now); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("AssumeRole = %v, want %v", err, ErrNoSuchEntity)
	}
}
