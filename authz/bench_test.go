package authz

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	benchAccount = "111122223333"
	benchKey     = "arn:aws:kms:local:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	benchDefault = `{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}}`
	benchAllow   = `{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt"],"Resource":"arn:aws:kms:*:111122223333:key/*"}`
)

// compileAll makes one policy of any number of statements, past the bounds of Parse.
func compileAll(tb testing.TB, kind PolicyKind, statements ...string) *Policy {
	tb.Helper()
	var stmts []statement
	for _, s := range statements {
		r := reader{kind: kind, doc: s, version: version, variables: true}
		n, err := readJSON(s)
		if err != nil {
			tb.Fatal(err)
		}
		list, err := r.statements([]node{n})
		if err != nil {
			tb.Fatal(err)
		}
		stmts = append(stmts, list...)
	}
	return compile(kind, stmts)
}

func parseFor(tb testing.TB, kind PolicyKind, doc string) *Policy {
	tb.Helper()
	p, err := Parse(kind, []byte(doc))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func times(n int, format string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(format, i)
	}
	return list
}

// A timedCase is a decision whose cost is a goal: at most so many times that of one seal of 1 KiB with AES-256-GCM.
type timedCase struct {
	name  string
	goal  float64
	want  Verdict
	build func(tb testing.TB) (*Caller, *Resource, *Context)
}

var timedCases = []timedCase{
	{"delegated, one statement", 0.6, Allow, func(tb testing.TB) (*Caller, *Resource, *Context) {
		return benchCaller(tb, benchAllow), benchResource(tb, benchDefault), nil
	}},
	{"named by the key policy", 0.6, Allow, func(tb testing.TB) (*Caller, *Resource, *Context) {
		return benchCaller(tb), benchResource(tb, strings.Replace(benchDefault, "arn:aws:iam::111122223333:root", "AIDAALICE00000000001", 1)), nil
	}},
	{"two Deny and five conditions", 1.0, Allow, func(tb testing.TB) (*Caller, *Resource, *Context) {
		return benchCaller(tb, benchDenies[0], benchDenies[1], benchConditions), benchResource(tb, benchDefault), benchContext()
	}},
	{"the full stack", 2.0, Allow, fullStack},
	{"10,000 statements on other actions", 0.66, Allow, func(tb testing.TB) (*Caller, *Resource, *Context) {
		others := times(10000, `{"Effect":"Allow","Action":"kms:DescribeKey","Resource":"arn:aws:kms:*:111122223333:key/%d*"}`)
		return benchCaller(tb, append(others, benchAllow)...), benchResource(tb, benchDefault), nil
	}},
	{"1,000 statements on the action, exact ARNs", 0.6, Allow, func(tb testing.TB) (*Caller, *Resource, *Context) {
		r := benchResource(tb, benchDefault)
		r.ARN = "arn:aws:kms:local:111122223333:key/00000999-12ab-34cd-56ef-1234567890ab"
		return benchCaller(tb, times(1000, `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:local:111122223333:key/%08d-12ab-34cd-56ef-1234567890ab"}`)...), r, nil
	}},
	{"1,000 statements on the action, globs", 80, Deny, func(tb testing.TB) (*Caller, *Resource, *Context) {
		return benchCaller(tb, times(1000, `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:*:111122223333:key/*%d?x*"}`)...), benchResource(tb, benchDefault), nil
	}},
	{"50,000 grants", 0.4, Allow, func(tb testing.TB) (*Caller, *Resource, *Context) {
		return grantsCase(tb, func(i int, g *KeyGrant) {
			g.Grantee.ID, g.Subset = fmt.Sprintf("AIDAALICE%011d", i), NewPairs(map[string]string{"app": "1"})
		})
	}},
	{"50,000 grants for one, other pairs", 0.4, Allow, func(tb testing.TB) (*Caller, *Resource, *Context) {
		return grantsCase(tb, func(i int, g *KeyGrant) { g.Equals = volume(i, "prod") })
	}},
	{"50,000 grants for one, other subsets", 0.4, Allow, func(tb testing.TB) (*Caller, *Resource, *Context) {
		return grantsCase(tb, func(i int, g *KeyGrant) { g.Subset = NewPairs(map[string]string{"app": fmt.Sprint(i)}) })
	}},
	{"50,000 grants for one, other subsets of two", 0.4, Allow, func(tb testing.TB) (*Caller, *Resource, *Context) {
		return grantsCase(tb, func(i int, g *KeyGrant) {
			g.Subset = NewPairs(map[string]string{"stage": "prod", "app": fmt.Sprint(i)})
		})
	}},
	{"50,000 grants for one, all the same", 0.4, Allow, func(tb testing.TB) (*Caller, *Resource, *Context) {
		return grantsCase(tb, func(int, *KeyGrant) {})
	}},
	{"50,000 grants for one, all but one at their end", 0.4, Allow, func(tb testing.TB) (*Caller, *Resource, *Context) {
		return grantsCase(tb, func(i int, g *KeyGrant) { g.Expires = time.Unix(1767323045+int64(i/49_999), 0) })
	}},
}

// benchDenies and benchConditions are statements of a careful administrator. They are never written.
var benchDenies = [...]string{
	`{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","192.168.0.0/16"]}}}`,
	`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`,
}

const benchConditions = `{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt"],"Resource":"arn:aws:kms:*:111122223333:key/*","Condition":{
	"StringEquals":{"kms:EncryptionContext:app":"billing","aws:ResourceTag/team":"${aws:PrincipalTag/team}"},
	"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["app","stage"]},
	"ForAnyValue:StringLike":{"kms:ResourceAliases":"alias/b*"},
	"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}}}`

func benchCaller(tb testing.TB, statements ...string) *Caller {
	c := &Caller{
		Kind: User, Account: benchAccount, ID: "AIDAALICE00000000001", ARN: "arn:aws:iam::111122223333:user/alice", UserName: "alice",
		Tags: NewPairs(map[string]string{"team": "red", "stage": "prod"}),
	}
	if len(statements) > 0 {
		c.Identity = []*Policy{compileAll(tb, IdentityPolicy, statements...)}
	}
	return c
}

func benchResource(tb testing.TB, policy string) *Resource {
	return &Resource{
		Kind: Key, Account: benchAccount, ARN: benchKey, Policy: parseFor(tb, KeyPolicy, policy), KeySpec: "SYMMETRIC_DEFAULT",
		Tags: NewPairs(map[string]string{"team": "red"}), Aliases: []string{"alias/a", "alias/billing"},
	}
}

func benchContext() *Context {
	return &Context{
		Time: time.Unix(1767323045, 0), SourceIP: netip.MustParseAddr("10.1.2.3"), SecureTransport: true, UserAgent: "bench", Region: "local",
		EncryptionContext: NewPairs(map[string]string{"app": "billing", "stage": "prod"}),
	}
}

// fullStack is a session of a role with six levels of service and of resource control policies, each with a Deny on a condition, a permissions
// boundary, a session policy, and eleven policies of its own of which the last allows.
func fullStack(tb testing.TB) (*Caller, *Resource, *Context) {
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	c, r := benchCaller(tb), benchResource(tb, benchDefault)
	c.Kind, c.ID, c.RoleARN, c.SessionName = RoleSession, "AROANIGHT00000000001", "arn:aws:iam::111122223333:role/night", "batch"
	c.ARN = "arn:aws:sts::111122223333:assumed-role/night/batch"
	c.Membership, r.Membership = &Membership{Organization: "o-aaaaaaaaaa"}, &Membership{Organization: "o-aaaaaaaaaa"}
	for range 6 {
		c.Membership.SCPs = append(c.Membership.SCPs, []*Policy{compileAll(tb, ServiceControlPolicy, all, benchDenies[0])})
		full := parseFor(tb, ResourceControlPolicy, RCPFullAWSAccess)
		deny := parseFor(tb, ResourceControlPolicy, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*",`+
			`"Condition":{"StringNotEqualsIfExists":{"aws:PrincipalOrgID":"o-aaaaaaaaaa"}}}}`)
		r.Membership.RCPs = append(r.Membership.RCPs, []*Policy{full, deny})
	}
	c.Boundary = compileAll(tb, IdentityPolicy, all)
	c.Session = []*Policy{compileAll(tb, SessionPolicy, benchAllow)}
	for range 10 {
		c.Identity = append(c.Identity, compileAll(tb, IdentityPolicy, `{"Effect":"Allow","Action":"kms:Describe*","Resource":"*"}`))
	}
	c.Identity = append(c.Identity, compileAll(tb, IdentityPolicy, benchAllow))
	return c, r, benchContext()
}

// sealTime is how long one seal of 1 KiB with AES-256-GCM takes, in nanoseconds: the best of several batches.
func sealTime(tb testing.TB) float64 {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		tb.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		tb.Fatal(err)
	}
	nonce, text, out := make([]byte, gcm.NonceSize()), make([]byte, 1024), make([]byte, 0, 1100)
	best := time.Duration(1 << 62)
	const batch = 2000
	for range 20 {
		start := time.Now()
		for range batch {
			out = gcm.Seal(out[:0], nonce, text, nil)
		}
		best = min(best, time.Since(start))
	}
	return float64(best.Nanoseconds()) / batch
}

// BenchmarkAuthorize reports each case as a multiple of one seal of 1 KiB with AES-256-GCM in the same run, beside its goal: the best of several
// batches of both, so that what else the machine does counts less.
func BenchmarkAuthorize(b *testing.B) {
	for _, c := range timedCases {
		b.Run(c.name, func(b *testing.B) {
			caller, r, x := c.build(b)
			seal := sealTime(b)
			b.ReportAllocs()
			best := time.Duration(1 << 62)
			const batch = 100
			n, start := 0, time.Now()
			for b.Loop() {
				if _, d := Authorize(caller, KMSDecrypt, r, x); d.Verdict != c.want {
					b.Fatalf("Authorize = %+v, want %v", d, c.want)
				}
				if n++; n%batch == 0 {
					end := time.Now()
					best, start = min(best, end.Sub(start)), end
				}
			}
			if n >= batch {
				b.ReportMetric(float64(best.Nanoseconds())/batch/seal, "ratio")
				b.ReportMetric(c.goal, "goal")
			}
		})
	}
}

func TestDecisionsAllocateNothing(t *testing.T) {
	for _, c := range timedCases {
		caller, r, x := c.build(t)
		var d Decision
		if n := testing.AllocsPerRun(100, func() { _, d = Authorize(caller, KMSDecrypt, r, x) }); n != 0 {
			t.Errorf("%s: Authorize allocates %v times, want 0", c.name, n)
		}
		if d.Verdict != c.want {
			t.Errorf("%s: Authorize = %+v, want %v", c.name, d, c.want)
		}
	}
}

// adversarial is a policy of the largest size that makes matching as dear as can be.
func adversarial(tb testing.TB) *Policy {
	const head = `{"Statement":{"Effect":"Deny","Action":"*","Resource":["arn:aws:iam::111122223333:user/`
	star := strings.Repeat("a?", 100)
	var list []string
	for size := len(head) + 8; size+len(star)+60 < maxIdentity; size += len(star) + 60 {
		list = append(list, "*"+star+"b*z")
	}
	return parseFor(tb, IdentityPolicy, head+strings.Join(list, `","arn:aws:iam::111122223333:user/`)+`"]}}`)
}

func adversarialCase(tb testing.TB) (*Caller, *Resource) {
	p := adversarial(tb)
	allow := parseFor(tb, IdentityPolicy, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	return &Caller{
		Kind: User, Account: benchAccount, ID: "AIDAALICE00000000001",
		Identity: []*Policy{p, p, p, p, p, p, p, p, p, p, allow},
	}, &Resource{
		Kind: IAMEntity, Account: benchAccount,
		ARN: "arn:aws:iam::111122223333:user/" + strings.Repeat("a", 500) + "/zz",
	}
}

// crowdedCase is a user with as many policies as the quotas allow, each of as many statements as it can hold.
func crowdedCase(tb testing.TB) (*Caller, *Resource) {
	fill := func(kind PolicyKind, statement string, size int) *Policy {
		n := (size - 60) / (len(statement) + 1)
		return parseFor(tb, kind, `{"Version":"2012-10-17","Statement":[`+strings.TrimSuffix(strings.Repeat(statement+",", n), ",")+`]}`)
	}
	own := fill(IdentityPolicy, `{"Effect":"Deny","Action":"*","Resource":"arn:aws:iam::*:role/*"}`, maxIdentity)
	scp := fill(ServiceControlPolicy, `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}`, 5120)
	c := &Caller{Kind: User, Account: benchAccount, ID: "AIDAALICE00000000001", Membership: &Membership{}}
	for range 110 {
		p := *own
		p.stmts, p.order = slices.Clone(own.stmts), slices.Clone(own.order)
		c.Identity = append(c.Identity, &p)
	}
	full := parseFor(tb, ServiceControlPolicy, FullAWSAccess)
	for range 7 {
		c.Membership.SCPs = append(c.Membership.SCPs, []*Policy{full, scp, scp, scp, scp})
	}
	c.Identity = append(c.Identity, parseFor(tb, IdentityPolicy, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`))
	return c, &Resource{Kind: IAMEntity, Account: benchAccount, ARN: "arn:aws:iam::111122223333:user/a"}
}

// worstCases cost as much as policies can make a decision cost.
var worstCases = []struct {
	name   string
	action Action
	want   Reason
	build  func(tb testing.TB) (*Caller, *Resource)
}{
	{"globs", IAMGetUser, TooComplex, adversarialCase},
	{"statements", IAMGetUser, TooComplex, crowdedCase},
	{"grants", KMSGenerateDataKey, TooComplex, manyForOne},
}

// BenchmarkAuthorizeWorst has the goal of 100 µs, where a seal takes 250 ns.
func BenchmarkAuthorizeWorst(b *testing.B) {
	for _, c := range worstCases {
		b.Run(c.name, func(b *testing.B) {
			caller, r := c.build(b)
			x := everyPair()
			seal := sealTime(b)
			best, start := time.Duration(1<<62), time.Now()
			for b.Loop() {
				if _, d := Authorize(caller, c.action, r, x); d.Reason != c.want {
					b.Fatalf("Authorize = %+v, want %v", d, c.want)
				}
				end := time.Now()
				best, start = min(best, end.Sub(start)), end
			}
			b.ReportMetric(float64(best.Nanoseconds())/seal, "ratio")
			b.ReportMetric(400, "goal")
		})
	}
}

func TestACostlyDecisionIsADenial(t *testing.T) {
	caller, r := adversarialCase(t)
	g, d := Authorize(caller, IAMGetUser, r, nil)
	if d.Verdict != Deny || d.Reason != TooComplex || g != (Grant{}) {
		t.Errorf("Authorize = %+v, %+v, want DENY TooComplex and no grant", g, d)
	}
	r.ARN = "arn:aws:iam::111122223333:user/:" + strings.Repeat("a", 500) + "/zz" // which only tokens can match
	if _, d := Authorize(caller, IAMGetUser, r, nil); d.Verdict != Deny || d.Reason != TooComplex {
		t.Errorf("Authorize = %+v with one colon more, want DENY TooComplex", d)
	}
	r.ARN = "arn:aws:iam::111122223333:user/bob"
	if _, d := Authorize(caller, IAMGetUser, r, nil); d.Verdict != Allow {
		t.Errorf("Authorize = %+v for a short name, want ALLOW", d)
	}
	// What could not be compared in time is no Deny, though NotResource would be one of what does not match.
	not := strings.Replace(string(caller.Identity[0].Document()), `"Resource"`, `"NotResource"`, 1)
	caller.Identity[0] = parseFor(t, IdentityPolicy, not)
	r.ARN = "arn:aws:iam::111122223333:user/" + strings.Repeat("a", 5000) + "/zz"
	if _, d := Authorize(caller, IAMGetUser, r, nil); d.Reason != TooComplex {
		t.Errorf("Authorize = %+v for NotResource, want TooComplex", d)
	}
	for _, c := range worstCases {
		caller, r := c.build(t)
		x := everyPair()
		if g, d := Authorize(caller, c.action, r, x); d.Reason != c.want || (g == (Grant{})) != (c.want == TooComplex) {
			t.Errorf("%s: Authorize = %+v, want %v", c.name, d, c.want)
		}
		// A Deny that is found before the budget is spent is reported, whatever comes after it.
		caller.Identity = append([]*Policy{parseFor(t, IdentityPolicy, `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`)}, caller.Identity...)
		if caller.Membership = nil; c.action != KMSGenerateDataKey {
			if _, d := Authorize(caller, c.action, r, x); d.Reason != ExplicitIdentity {
				t.Errorf("%s: Authorize = %+v with a Deny in front, want ExplicitIdentity", c.name, d)
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	doc := `{"Version":"2012-10-17","Statement":[` + strings.TrimSuffix(strings.Repeat(benchAllow+",", 48), ",") + `]}`
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(IdentityPolicy, []byte(doc)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPattern(b *testing.B) {
	for _, pattern := range []string{"*", benchKey, "arn:aws:kms:*:111122223333:key/*", "arn:aws:kms:*:*:key/*-12ab-*", "arn:aws:kms:*"} {
		b.Run(pattern, func(b *testing.B) {
			p, t := compilePattern(pattern), newTarget(benchKey)
			for b.Loop() {
				t.budget = maxSteps
				if !t.matches(&p) {
					b.Fatal("no match")
				}
			}
		})
	}
}
