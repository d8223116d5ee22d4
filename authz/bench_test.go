package authz

import (
	"fmt"
	"strings"
	"testing"
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
		r := reader{kind: kind, doc: s}
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

// A timedCase is a decision whose cost is a goal.
type timedCase struct {
	name     string
	key      string
	identity []string
	want     Verdict
	exact    string // if set, the ARN asked for
}

var timedCases = []timedCase{
	{"delegated, one statement", benchDefault, []string{benchAllow}, Allow, ""},
	{"named by the key policy", strings.Replace(benchDefault, "arn:aws:iam::111122223333:root", "AIDAALICE00000000001", 1), nil, Allow, ""},
	{
		"10,000 statements on other actions", benchDefault,
		append(times(10000, `{"Effect":"Allow","Action":"kms:DescribeKey","Resource":"arn:aws:kms:*:111122223333:key/%d*"}`), benchAllow),
		Allow, "",
	},
	{
		"1,000 statements on the action, exact ARNs", benchDefault,
		times(1000, `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:local:111122223333:key/%08d-12ab-34cd-56ef-1234567890ab"}`),
		Allow, "arn:aws:kms:local:111122223333:key/00000999-12ab-34cd-56ef-1234567890ab",
	},
	{
		"1,000 statements on the action, globs", benchDefault,
		times(1000, `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:*:111122223333:key/*%d?x*"}`), Deny, "",
	},
}

func (c *timedCase) build(tb testing.TB) (*Caller, *Resource) {
	caller := &Caller{Kind: User, Account: benchAccount, ID: "AIDAALICE00000000001", ARN: "arn:aws:iam::111122223333:user/alice"}
	if c.identity != nil {
		caller.Identity = []*Policy{compileAll(tb, IdentityPolicy, c.identity...)}
	}
	arn := benchKey
	if c.exact != "" {
		arn = c.exact
	}
	return caller, &Resource{Kind: Key, Account: benchAccount, ARN: arn, Policy: parseFor(tb, KeyPolicy, c.key)}
}

func BenchmarkAuthorize(b *testing.B) {
	for _, c := range timedCases {
		b.Run(c.name, func(b *testing.B) {
			caller, r := c.build(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, d := Authorize(caller, KMSDecrypt, r, nil); d.Verdict != c.want {
					b.Fatalf("Authorize = %+v, want %v", d, c.want)
				}
			}
		})
	}
}

func TestDecisionsAllocateNothing(t *testing.T) {
	for _, c := range timedCases {
		caller, r := c.build(t)
		var d Decision
		if n := testing.AllocsPerRun(100, func() { _, d = Authorize(caller, KMSDecrypt, r, nil) }); n != 0 {
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

func BenchmarkAuthorizeAdversarial(b *testing.B) {
	caller, r := adversarialCase(b)
	for b.Loop() {
		if _, d := Authorize(caller, IAMGetUser, r, nil); d.Reason != TooComplex {
			b.Fatalf("Authorize = %+v, want TooComplex", d)
		}
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
