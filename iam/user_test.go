package iam

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/iam/sigv4"
)

func TestCreateUserNames(t *testing.T) {
	w := newWorld(t)
	w.mustUser("Ann")
	rows := []struct {
		name, path string
		want       error
	}{
		{"bob", "/", nil},
		{"bob2", "", nil},
		{"a+b=c,d.e@f-g_h", "/", nil},
		{strings.Repeat("x", 64), "/a/b.c/", nil},
		{"y", "/" + strings.Repeat("p", 510) + "/", nil},

		{"Ann", "/", ErrEntityExists},
		{"ann", "/", ErrEntityExists},
		{"ANN", "/other/", ErrEntityExists},

		{"", "/", ErrValidation},
		{strings.Repeat("x", 65), "/", ErrValidation},
		{RootName, "/", ErrValidation},
		{"root user", "/", ErrValidation},
		{"ann ", "/", ErrValidation},
		{" ann", "/", ErrValidation},
		{"ann\n", "/", ErrValidation},
		{"ann\x00", "/", ErrValidation},
		{"a/b", "/", ErrValidation},
		{"a:b", "/", ErrValidation},
		{"a*", "/", ErrValidation},
		{"a?", "/", ErrValidation},
		{"${aws:username}", "/", ErrValidation},
		{"%61nn", "/", ErrValidation},
		{".", "/", ErrValidation},
		{"..", "/", ErrValidation},
		{"Ånn", "/", ErrValidation},
		{"a\u0301nn", "/", ErrValidation},
		{"ann\u200b", "/", ErrValidation},
		{"\uff41nn", "/", ErrValidation},  // full-width a
		{"\u212aarl", "/", ErrValidation}, // Kelvin sign, which folds to k
		{"\xff", "/", ErrValidation},

		{"p", "a/", ErrValidation},
		{"p", "/a", ErrValidation},
		{"p", "//", ErrValidation},
		{"p", "/a//b/", ErrValidation},
		{"p", "/../", ErrValidation},
		{"p", "/a/./", ErrValidation},
		{"p", "/a:b/", ErrValidation},
		{"p", "/*/", ErrValidation},
		{"p", "/a b/", ErrValidation},
		{"p", "/" + strings.Repeat("p", 511) + "/", ErrValidation},
	}
	for _, r := range rows {
		u, err := w.createUser(r.name, r.path)
		if !errors.Is(err, r.want) {
			t.Errorf("CreateUser(%q, %q) = %v, want %v", r.name, r.path, err, r.want)
		}
		if err != nil {
			if u != (User{}) {
				t.Errorf("CreateUser(%q, %q) returns %+v beside an error", r.name, r.path, u)
			}
			if v := new(ValidationError); errors.As(err, &v) && r.name != "" && len(r.name) > 2 && strings.Contains(err.Error(), r.name) {
				t.Errorf("the error quotes the name: %v", err)
			}
			continue
		}
		path := r.path
		if path == "" {
			path = "/"
		}
		if !userID.MatchString(u.ID) || u.Name != r.name || u.Path != path || u.ARN != "arn:aws:iam::"+testAccount+":user"+path+r.name {
			t.Errorf("CreateUser(%q, %q) = %+v", r.name, r.path, u)
		}
		if id, ok := w.Snapshot().PrincipalID(u.ARN); !ok || id != u.ID {
			t.Errorf("PrincipalID(%q) = %q, %v, want %q", u.ARN, id, ok, u.ID)
		}
		if arn, ok := w.Snapshot().ARN(u.ID); !ok || arn != u.ARN {
			t.Errorf("ARN(%q) = %q, %v, want %q", u.ID, arn, ok, u.ARN)
		}
	}
	w.reopen()
}

// No two spellings reach one user: whatever is accepted is ASCII, and found under its own spelling only.
func TestNoAliases(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"Ann", "kim", "mass", "s"} { // the last one is met often
		w.mustUser(name)
	}
	s := w.Snapshot()
	pieces := []string{
		"a", "A", "n", "N", "k", "K", "i", "I", "m", "M", "s", "S", "\u212a", "\u017f", "\u0130", "\u0131", "ß", "\u0301", "\u200b", "\u200d", "\u00ad", " ",
		".", "%", "%61", "*", "?", "/", ":", "\x00", "\n", "\uff41", "\ufb06", "\xff", "é", "e\u0301",
	}
	accepted, found := 0, 0
	for range 200_000 {
		var b strings.Builder
		for range 1 + rand.IntN(4) {
			b.WriteString(pieces[rand.IntN(len(pieces))])
		}
		name := b.String()
		if u, ok := s.User(testAccount, name); ok {
			found++
			if u.Name != name {
				t.Fatalf("User(%q) = %q, which is an alias", name, u.Name)
			}
		}
		if checkName("UserName", name, maxUserName) != nil {
			continue
		}
		accepted++
		if f := fold(name); fold(f) != f || len(f) != len(name) || !strings.EqualFold(f, name) {
			t.Fatalf("fold(%q) = %q", name, f)
		}
		for i := range len(name) {
			if name[i] >= 0x80 {
				t.Fatalf("%q is accepted", name)
			}
		}
	}
	if accepted == 0 || found == 0 {
		t.Fatalf("%d names accepted, %d found: the test shows nothing", accepted, found)
	}
	for _, name := range []string{"ANN", "ann", "KIM", "Mass"} {
		if _, taken := s.directory(testAccount).users.find(name); !taken {
			t.Errorf("the name %q is free, want it taken by one that differs in case", name)
		}
	}
}

func TestPrincipalIDIsExact(t *testing.T) {
	w := newWorld(t)
	u, err := w.createUser("Ann", "/div/")
	if err != nil {
		t.Fatal(err)
	}
	for _, arn := range []string{
		"", "arn", ":::::", "arn:aws:iam::111122223333:user/Ann", "arn:aws:iam::111122223333:user/div/ann", "arn:aws:iam::111122223333:user/DIV/Ann",
		"arn:aws-cn:iam::111122223333:user/div/Ann", "arn:aws:iam::111122223334:user/div/Ann", "arn:aws:iam::111122223333:root",
		"arn:aws:iam::111122223333:user/" + RootName, "arn:aws:iam:local:111122223333:user/div/Ann", u.ARN + "/", u.ARN + ":", " " + u.ARN, u.ID, testAccount,
	} {
		if id, ok := w.Snapshot().PrincipalID(arn); ok {
			t.Errorf("PrincipalID(%q) = %q, want none", arn, id)
		}
	}
}

// A user made again under an old name is another one, and nothing of the old one works.
func TestRecreatedUserIsAnother(t *testing.T) {
	w := newWorld(t)
	u := w.mustUser("ann")
	k := w.mustKey("ann")
	if err := w.deleteUser("ann"); !errors.Is(err, ErrDeleteConflict) {
		t.Fatalf("DeleteUser with an access key = %v, want %v", err, ErrDeleteConflict)
	}
	if err := w.DeleteAccessKey(w.on(authz.IAMDeleteAccessKey, "ann"), testAccount, "ann", k.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.deleteUser("ann"); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	again := w.mustUser("ann")
	if again.ID == u.ID {
		t.Errorf("the user made again has the old id")
	}
	if _, ok := w.Snapshot().UserByID(u.ID); ok {
		t.Error("the old id is still somebody's")
	}
	if _, ok := w.Snapshot().AccessKey(k.ID); ok {
		t.Error("the old access key still works")
	}
}

func TestDeleteConflict(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	if err := w.putPolicy("ann", "p", testPolicy); err != nil {
		t.Fatal(err)
	}
	if err := w.deleteUser("ann"); !errors.Is(err, ErrDeleteConflict) {
		t.Errorf("DeleteUser with a policy = %v, want %v", err, ErrDeleteConflict)
	}
	if err := w.DeleteUserPolicy(w.on(authz.IAMDeleteUserPolicy, "ann"), testAccount, "ann", "p"); err != nil {
		t.Fatal(err)
	}
	c, err := w.CreateClientCertificate(w.on(authz.IAMCreateClientCertificate, "ann"), testAccount, "ann", newCSR(t, ecdsaKey(t)), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.deleteUser("ann"); !errors.Is(err, ErrDeleteConflict) {
		t.Errorf("DeleteUser with a certificate = %v, want %v", err, ErrDeleteConflict)
	}
	if err := w.DeleteClientCertificate(w.on(authz.IAMDeleteClientCertificate, "ann"), testAccount, "ann", c.Fingerprint); err != nil {
		t.Fatal(err)
	}
	if err := w.deleteUser("ann"); err != nil {
		t.Errorf("DeleteUser = %v, want nil", err)
	}
	if err := w.deleteUser("ann"); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("DeleteUser again = %v, want %v", err, ErrNoSuchEntity)
	}
	if err := w.deleteUser(RootName); !errors.Is(err, ErrValidation) {
		t.Errorf("DeleteUser of the root user = %v, want %v", err, ErrValidation)
	}
}

func TestAccessKeys(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	for _, name := range []string{"ann", RootName} {
		have, err := w.Snapshot().ListAccessKeys(w.on(authz.IAMListAccessKeys, name), testAccount, name)
		if err != nil {
			t.Fatal(err)
		}
		for range MaxAccessKeysPerUser - len(have) {
			k := w.mustKey(name)
			if !accessKeyID.MatchString(k.ID) || !secretKey.Match(k.Secret.Expose()) {
				t.Errorf("access key %q is malformed, or its secret is", k.ID)
			}
			told := string(k.Secret.Expose())
			k.Secret.Wipe()
			if c, _ := w.Snapshot().AccessKey(k.ID); string(c.Secret().Expose()) != told {
				t.Error("wiping what was told changes the credential")
			}
		}
		if _, err := w.createKey(name); !errors.Is(err, ErrLimitExceeded) {
			t.Errorf("a third access key for %s = %v, want %v", name, err, ErrLimitExceeded)
		}
	}
	w.reopen()
	list, err := w.Snapshot().ListAccessKeys(w.on(authz.IAMListAccessKeys, "ann"), testAccount, "ann")
	if err != nil || len(list) != 2 {
		t.Fatalf("ListAccessKeys = %v, %v, want two", list, err)
	}
	first, second := list[0].ID, list[1].ID
	update := func(id string, s Status) error {
		return w.UpdateAccessKey(w.on(authz.IAMUpdateAccessKey, "ann"), testAccount, "ann", id, s)
	}
	if err := update(first, Inactive); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	for id, want := range map[string]error{first: ErrInactive, second: nil} {
		c, ok := w.Snapshot().AccessKey(id)
		if !ok {
			t.Fatalf("access key %s is gone", id)
		}
		if err := c.Usable(time.Now()); !errors.Is(err, want) {
			t.Errorf("Usable of %s = %v, want %v", id, err, want)
		}
	}
	if _, err := w.createKey("ann"); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("a third access key beside an inactive one = %v, want %v", err, ErrLimitExceeded)
	}
	if err := update(first, Active); err != nil {
		t.Fatal(err)
	}
	if c, _ := w.Snapshot().AccessKey(first); c.Usable(time.Now()) != nil {
		t.Error("an access key made active again is not usable")
	}
	for _, s := range []Status{0, 3} {
		if err := update(first, s); !errors.Is(err, ErrValidation) {
			t.Errorf("UpdateAccessKey(%d) = %v, want %v", s, err, ErrValidation)
		}
	}
	if err := update(w.root.ID, Inactive); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("UpdateAccessKey of another's key = %v, want %v", err, ErrNoSuchEntity)
	}
	err = w.DeleteAccessKey(w.on(authz.IAMDeleteAccessKey, "ann"), testAccount, "ann", w.root.ID)
	if !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("DeleteAccessKey of another's key = %v, want %v", err, ErrNoSuchEntity)
	}
	if _, err := w.createKey("nobody"); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("CreateAccessKey for nobody = %v, want %v", err, ErrNoSuchEntity)
	}
	if _, err := w.createKey("ANN"); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("CreateAccessKey for another spelling = %v, want %v", err, ErrNoSuchEntity)
	}
}

func TestSigningKey(t *testing.T) {
	w := newWorld(t)
	c, _ := w.Snapshot().AccessKey(w.root.ID)
	for _, date := range []string{"20261130", "20261201", "20261130", "20261203", ""} {
		if got := c.SigningKey(date, "local", Service).Date(); got != date {
			t.Errorf("SigningKey(%q) is for %q", date, got)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { c.SigningKey("20261203", "local", Service) }); allocs > 1 {
		t.Errorf("a kept signing key costs %v allocations", allocs)
	}
	if got := (&Credential{secret: crypto.Secret{}}).SigningKey("20261130", "local", Service); got.Date() != "" {
		t.Errorf("a credential without a secret has a signing key")
	}
	for _, r := range []struct {
		region, service string
		served          bool
	}{
		{"local", "kms", true},
		{"local", "sts", true},
		{"local", "iam", true},
		{"local", "organizations", true},
		{"us-east-1", "sts", true},
		{"us-east-1", "iam", true},
		{"us-east-1", "organizations", true},
		{"us-east-1", "kms", false},
		{"elsewhere", "iam", false},
		{"", "iam", false},
		{"local", "s3", false},
		{"local", "", false},
	} {
		if got := ServesScope(r.region, r.service, "local"); got != r.served {
			t.Errorf("ServesScope(%q, %q) = %v, want %v", r.region, r.service, got, r.served)
		}
		request, signature := signedHTTP(t, w.root, r.region, r.service)
		for range 2 { // derived, then kept
			err := signature.Verify(c.SigningKey("20261130", r.region, r.service), request, signature.Time)
			if (err == nil) != r.served {
				t.Errorf("a request for %q in %q verifies with %v under its signing key; served: %v", r.service, r.region, err, r.served)
			}
		}
		if allocs := testing.AllocsPerRun(100, func() { c.SigningKey("20261130", r.region, r.service) }); allocs > 0 {
			t.Errorf("a kept signing key of %q in %q costs %v allocations", r.service, r.region, allocs)
		}
	}
}

// signedHTTP is a request of 2026-11-30 that AWS's signer signed with an access key.
func signedHTTP(t *testing.T, k AccessKey, region, service string) (sigv4.Request, sigv4.Signature) {
	t.Helper()
	const hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	r, err := http.NewRequest(http.MethodPost, "https://kmsd.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	credentials := aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: string(k.Secret.Expose())}
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, hash, service, region, time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	out := sigv4.Request{Method: "POST", Path: "/", Host: "kmsd.example", Headers: map[string][]string{}, PayloadHash: hash}
	for name, values := range r.Header {
		out.Headers[strings.ToLower(name)] = values
	}
	if region == "" || service == "" {
		return out, sigv4.Signature{} // no signature has such a scope
	}
	s, err := sigv4.ParseHTTP(&out)
	if err != nil {
		t.Fatal(err)
	}
	return out, s
}

func TestUserPolicies(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	k := w.mustKey("ann")
	get := func(name string) (string, error) {
		return w.Snapshot().UserPolicy(w.on(authz.IAMGetUserPolicy, "ann"), testAccount, "ann", name)
	}
	allowed := func() bool {
		c, _ := w.Snapshot().AccessKey(k.ID)
		caller, err := w.Snapshot().Caller(c)
		if err != nil {
			t.Fatal(err)
		}
		g, _ := authz.Authorize(caller, authz.KMSListKeys, &authz.Resource{}, nil)
		return g.Permits(authz.KMSListKeys, "*")
	}
	if allowed() {
		t.Error("a user without policies may list keys")
	}
	spaced := "\n " + strings.ReplaceAll(testPolicy, ",", " ,\t") + " \r\n"
	if err := w.putPolicy("ann", "Second", spaced); err != nil {
		t.Fatal(err)
	}
	if !allowed() {
		t.Error("a policy that was put does not count")
	}
	w.reopen()
	if !allowed() {
		t.Error("a policy does not count after opening again")
	}
	if doc, err := get("Second"); err != nil || doc != spaced {
		t.Errorf("UserPolicy = %q, %v, want it as it was put", doc, err)
	}
	for _, name := range []string{"second", "none"} {
		if _, err := get(name); !errors.Is(err, ErrNoSuchEntity) {
			t.Errorf("UserPolicy(%q) = %v, want %v", name, err, ErrNoSuchEntity)
		}
	}
	if err := w.putPolicy("ann", "first", testPolicy); err != nil {
		t.Fatal(err)
	}
	names, err := w.Snapshot().ListUserPolicies(w.on(authz.IAMListUserPolicies, "ann"), testAccount, "ann")
	if err != nil || strings.Join(names, " ") != "first Second" {
		t.Errorf("ListUserPolicies = %v, %v, want [first Second]", names, err)
	}
	deny := strings.Replace(testPolicy, "Allow", "Deny", 1)
	if err := w.putPolicy("ann", "first", deny); err != nil {
		t.Fatal(err)
	}
	if allowed() {
		t.Error("a Deny that took the place of an Allow does not count")
	}
	if err := w.DeleteUserPolicy(w.on(authz.IAMDeleteUserPolicy, "ann"), testAccount, "ann", "first"); err != nil {
		t.Fatal(err)
	}
	if !allowed() {
		t.Error("a Deny that was deleted still counts")
	}
	rows := []struct {
		user, name, document string
		want                 error
	}{
		{"ann", "SECOND", testPolicy, ErrEntityExists},
		{"ann", "", testPolicy, ErrValidation},
		{"ann", strings.Repeat("p", 129), testPolicy, ErrValidation},
		{"ann", "a/b", testPolicy, ErrValidation},
		{"ann", "p", "", ErrMalformedPolicy},
		{"ann", "p", "{}", ErrMalformedPolicy},
		{"ann", "p", strings.Replace(testPolicy, `"Effect"`, `"effect":"Deny","Effect"`, 1), ErrMalformedPolicy},
		{"ann", "p", strings.Repeat(" ", maxPolicyBytes) + testPolicy, ErrLimitExceeded},
		{RootName, "p", testPolicy, ErrValidation},
		{"nobody", "p", testPolicy, ErrNoSuchEntity},
	}
	for _, r := range rows {
		if err := w.putPolicy(r.user, r.name, r.document); !errors.Is(err, r.want) {
			t.Errorf("PutUserPolicy(%q, %.20q, %.40q) = %v, want %v", r.user, r.name, r.document, err, r.want)
		}
	}
	w.reopen()
}

func TestInlinePolicyLimit(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	// sized makes a policy of n characters beside white space.
	sized := func(n int) string {
		const head, tail = `{"Version":"2012-10-17","Statement":[{"Sid":"`, `","Effect":"Allow","Action":"kms:*","Resource":"*"}]}`
		return head + strings.Repeat("a", n-len(head)-len(tail)) + tail
	}
	if err := w.putPolicy("ann", "a", sized(1048)); err != nil {
		t.Fatal(err)
	}
	if err := w.putPolicy("ann", "b", sized(1001)); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("2049 characters in two policies = %v, want %v", err, ErrLimitExceeded)
	}
	if err := w.putPolicy("ann", "b", strings.ReplaceAll(sized(1000), ",", " \n\t, ")); err != nil {
		t.Errorf("2048 characters and white space = %v, want nil", err)
	}
	if err := w.putPolicy("ann", "a", sized(1049)); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("2049 characters by replacing one = %v, want %v", err, ErrLimitExceeded)
	}
	if err := w.putPolicy("ann", "a", sized(1047)); err != nil {
		t.Errorf("2047 characters by replacing one = %v, want nil", err)
	}
	w.reopen()
}

func TestSignificantChars(t *testing.T) {
	for document, want := range map[string]int{
		"": 0, " \t\r\n": 0, `{"a b" : "c\" d"}`: 15, `"\\" "x y"`: 9, `"é" `: 3,
	} {
		if got := significantChars(document); got != want {
			t.Errorf("significantChars(%q) = %d, want %d", document, got, want)
		}
	}
}
