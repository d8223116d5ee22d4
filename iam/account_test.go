package iam

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/internal/leaktest"
)

const testKeyID = "key/12345678-1234-1234-1234-123456789012"

// orgKey is a key of an account whose policy lets all accounts decide for themselves.
func orgKey(t *testing.T, s *Snapshot, account string) *authz.Resource {
	t.Helper()
	p, err := authz.Parse(authz.KeyPolicy, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return &authz.Resource{
		Kind: authz.Key, Account: account, ARN: "arn:aws:kms:local:" + account + ":" + testKeyID, Policy: p.Named("default"), Membership: s.Membership(account),
	}
}

// request is what every call says of itself.
func request() *authz.Context {
	return &authz.Context{Time: time.Now(), SourceIP: netip.MustParseAddr("192.0.2.1"), SecureTransport: true, Region: "local"}
}

// decide asks for kms:Encrypt under a key.
func decide(c *authz.Caller, key *authz.Resource) authz.Decision {
	_, d := authz.Authorize(c, authz.KMSEncrypt, key, request())
	return d
}

// A new account has a root user who may do everything in it, and a role by which the management account comes in.
func TestCreateAccount(t *testing.T) {
	w := newOrgWorld(t)
	made, err := w.createAccount(CreateAccount{
		Name: "Payments and more", Email: "ops@example.com", Tags: []Tag{{"team", "payments"}}, RootAccessKey: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s, id := w.Snapshot(), made.Account.ID
	if want := "arn:aws:organizations::" + orgManagement + ":account/" + s.Organization().ID + "/" + id; made.Account.ARN != want || s.OrgAccountARN(id) != want {
		t.Errorf("the ARN is %q and %q, want %q", made.Account.ARN, s.OrgAccountARN(id), want)
	}
	if p, err := s.Parent(id); err != nil || p.Type != RootTarget {
		t.Errorf("Parent = %+v, %v, want the root", p, err)
	}
	root := w.caller(made.RootKey.ID)
	if root.Kind != authz.Root || root.Account != id || root.Membership != s.Membership(id) {
		t.Errorf("the root access key is %+v, want the root user of %s", root, id)
	}
	if d := decide(root, orgKey(t, s, id)); d.Verdict != authz.Allow {
		t.Errorf("the root user may not encrypt: %+v", d)
	}
	resource := s.OrganizationResource(made.Account.ARN)
	if tags := slices.Collect(keysOf(resource.Tags)); !slices.Equal(tags, []string{"team"}) {
		t.Errorf("the account's tags are %q, want team", tags)
	}
	testAccountRole(t, w, made)
	w.reopen()
	if again := w.caller(made.RootKey.ID); again.Account != id {
		t.Errorf("opened again, the root access key is of %q", again.Account)
	}
}

func keysOf(p authz.Pairs) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		p.All(func(name, _ string) bool { return yield(name) })
	}
}

// testAccountRole checks who may assume the role of an account.
func testAccountRole(t *testing.T, w *orgWorld, made CreatedAccount) {
	t.Helper()
	s := w.Snapshot()
	if made.Role.Name != DefaultAccountRole || made.Role.Account != made.Account.ID {
		t.Errorf("the role is %+v, want %s of the account", made.Role, DefaultAccountRole)
	}
	role, ok := s.RoleResource(made.Role.ARN)
	if !ok {
		t.Fatal("the role is not there")
	}
	admin := parsed(t, authz.IdentityPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:*","Resource":"*"}]}`)
	user := func(account string) *authz.Caller {
		return &authz.Caller{
			Kind: authz.User, Account: account, ID: "AIDAAAAAAAAAAAAAAAAAA", ARN: "arn:aws:iam::" + account + ":user/ann", UserName: "ann",
			Identity: []*authz.Policy{admin}, Membership: s.Membership(account),
		}
	}
	other := w.mustAccount("other")
	for account, want := range map[string]authz.Verdict{orgManagement: authz.Allow, other.Account.ID: authz.Deny} {
		if _, d := authz.Authorize(user(account), authz.STSAssumeRole, role, request()); d.Verdict != want {
			t.Errorf("AssumeRole by a user of %s = %+v, want %v", account, d, want)
		}
	}
	session, err := s.roleCaller(made.Role.ID)
	if err != nil {
		t.Fatal(err)
	}
	c := *session
	c.ARN, c.SessionName = "arn:aws:sts::"+made.Account.ID+":assumed-role/"+made.Role.Name+"/x", "x"
	if _, d := authz.Authorize(&c, authz.KMSCreateKey, &authz.Resource{}, request()); d.Verdict != authz.Allow {
		t.Errorf("CreateKey by a session of the role = %+v, want it allowed", d)
	}
}

func parsed(t *testing.T, kind authz.PolicyKind, document string) *authz.Policy {
	t.Helper()
	p, err := authz.Parse(kind, []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCreateAccountRefuses(t *testing.T) {
	w := newOrgWorld(t)
	if _, err := w.createAccount(CreateAccount{Name: "one", Email: "ops@example.com"}); err != nil {
		t.Fatal(err)
	}
	before := orgDump(w.Snapshot())
	many := make([]Tag, MaxTags+1)
	for n := range many {
		many[n] = Tag{Key: strings.Repeat("k", n+1)}
	}
	for name, r := range map[string]struct {
		CreateAccount
		want error
	}{
		"no name":                               {CreateAccount{}, ErrValidation},
		"a name that is too long":               {CreateAccount{Name: strings.Repeat("x", 51)}, ErrValidation},
		"a name with a line end":                {CreateAccount{Name: "x\n"}, ErrValidation},
		"the email of another":                  {CreateAccount{Name: "two", Email: "ops@example.com"}, ErrEmailExists},
		"the email of another, in another case": {CreateAccount{Name: "two", Email: "OPS@Example.com"}, ErrEmailExists},
		"an email without an at":                {CreateAccount{Name: "two", Email: "example.com"}, ErrValidation},
		"an email with two":                     {CreateAccount{Name: "two", Email: "a@b@example.com"}, ErrValidation},
		"an email with a space":                 {CreateAccount{Name: "two", Email: "a b@example.com"}, ErrValidation},
		"an email that is too long":             {CreateAccount{Name: "two", Email: strings.Repeat("x", 60) + "@a.de"}, ErrValidation},
		"a role with a slash in its name":       {CreateAccount{Name: "two", RoleName: "a/b"}, ErrValidation},
		"a tag of AWS":                          {CreateAccount{Name: "two", Tags: []Tag{{"aws:x", "y"}}}, ErrValidation},
		"two tags that differ in case only":     {CreateAccount{Name: "two", Tags: []Tag{{"a", "y"}, {"A", "y"}}}, ErrValidation},
		"more tags than there may be":           {CreateAccount{Name: "two", Tags: many}, ErrLimitExceeded},
	} {
		if _, err := w.createAccount(r.CreateAccount); !errors.Is(err, r.want) {
			t.Errorf("CreateAccount with %s = %v, want %v", name, err, r.want)
		}
	}
	if after := orgDump(w.Snapshot()); !slices.Equal(before, after) {
		t.Errorf("refused accounts changed the organization:\n%q\nwas\n%q", after, before)
	}
}

// From the moment that an account is closed, its credentials are refused and what belongs to it is denied to others, too.
func TestCloseAccount(t *testing.T) {
	w := newOrgWorld(t)
	made := w.mustAccount("short-lived")
	id := made.Account.ID
	root, key := w.caller(made.RootKey.ID), orgKey(t, w.Snapshot(), id)
	management := w.caller(w.root.ID)
	if d := decide(management, key); d.Verdict != authz.Allow {
		t.Fatalf("before, the management account may not use the key: %+v", d)
	}
	old := w.Snapshot()
	if err := w.closeAccount(id); err != nil {
		t.Fatal(err)
	}
	for _, again := range []bool{false, true} {
		if again {
			w.reopen()
		}
		s := w.Snapshot()
		credential, _ := s.AccessKey(made.RootKey.ID)
		if _, err := s.Caller(credential); !errors.Is(err, ErrAccountSuspended) {
			t.Errorf("opened again %v: Caller = %v, want ErrAccountSuspended", again, err)
		}
		if _, err := s.roleCaller(made.Role.ID); !errors.Is(err, ErrAccountSuspended) {
			t.Errorf("opened again %v: roleCaller = %v, want ErrAccountSuspended", again, err)
		}
		if _, ok := s.RoleResource(made.Role.ARN); ok {
			t.Errorf("opened again %v: the role can be assumed", again)
		}
		if a, ok := s.Account(id); !ok || !a.Suspended || !s.Suspended(id) {
			t.Errorf("opened again %v: Account = %+v, %v, want it suspended", again, a, ok)
		}
		if d := decide(management, orgKey(t, s, id)); d.Verdict != authz.Deny || d.Policy != closedName {
			t.Errorf("opened again %v: the key for the management account: %+v, want it denied by %s", again, d, closedName)
		}
		held := *root
		held.Membership = s.Membership(id)
		if d := decide(&held, orgKey(t, s, orgManagement)); d.Verdict != authz.Deny || d.Policy != closedName {
			t.Errorf("opened again %v: a caller of the account: %+v, want it denied by %s", again, d, closedName)
		}
	}
	if d := decide(root, orgKey(t, old, id)); d.Verdict != authz.Allow {
		t.Errorf("a request that began before is denied by a snapshot that was taken before: %+v", d)
	}
	if !w.Snapshot().Suspended("000000000000") {
		t.Error("an account that does not exist is not suspended")
	}
}

// A Deny at the root binds the root user of a member account, and nobody in the management account.
func TestPolicyAtTheRoot(t *testing.T) {
	w := newOrgWorld(t)
	member := w.mustAccount("member")
	for _, r := range []struct {
		kind     authz.PolicyKind
		document string
	}{{authz.ServiceControlPolicy, denyEncryptSCP}, {authz.ResourceControlPolicy, denyEncryptRCP}} {
		policy := w.mustPolicy("deny", r.kind, r.document)
		w.mustAttach(policy, w.rootID())
		s := w.Snapshot()
		if d := decide(w.caller(member.RootKey.ID), orgKey(t, s, member.Account.ID)); d.Verdict != authz.Deny || d.Policy != policy {
			t.Errorf("%v: the member account's root user: %+v, want it denied by %s", r.kind, d, policy)
		}
		if d := decide(w.caller(w.root.ID), orgKey(t, s, orgManagement)); d.Verdict != authz.Allow {
			t.Errorf("%v: the management account's root user: %+v, want it allowed", r.kind, d)
		}
		if err := w.updatePolicy(UpdateOrgPolicy{ID: policy, Content: strings.Replace(r.document, "kms:Encrypt", "kms:Decrypt", 1)}); err != nil {
			t.Fatal(err)
		}
		if d := decide(w.caller(member.RootKey.ID), orgKey(t, w.Snapshot(), member.Account.ID)); d.Verdict != authz.Allow {
			t.Errorf("%v: after the policy no longer denies: %+v", r.kind, d)
		}
		if err := w.detach(policy, w.rootID()); err != nil {
			t.Fatal(err)
		}
	}
}

// The secret of a root access key is told once, and by nothing that prints.
func TestCreatedAccountLeak(t *testing.T) {
	w := newOrgWorld(t)
	made := w.mustAccount("secret")
	leaktest.Check(t, made.RootKey.Secret.Expose(), made, *made.RootKey, w.IAM)
}
