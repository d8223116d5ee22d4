package authz_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/authz/ref"
)

// A gen makes policies and requests out of few names, so that they meet.
type gen struct{ *rand.Rand }

func newGen(seed uint64) gen { return gen{rand.New(rand.NewPCG(seed, 1))} }

func pick[T any](g gen, list []T) T { return list[g.IntN(len(list))] }

func (g gen) some(list []string, most int) any {
	if g.IntN(2) == 0 {
		return pick(g, list)
	}
	var out []string
	for range 1 + g.IntN(most) {
		out = append(out, pick(g, list))
	}
	return out
}

var (
	genActions = []string{
		"kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:CreateKey", "kms:PutKeyPolicy", "kms:CreateAlias",
		"kms:ListKeys", "iam:GetUser", "iam:ListUsers", "sts:GetCallerIdentity",
	}
	genActionPatterns = []string{
		"*", "kms:*", "KMS:decrypt", "kms:Decrypt", "kms:Encrypt", "kms:?ecrypt", "kms:*crypt", "kms:*e*y*", "kms:Describe*",
		"iam:*", "Iam:getuser", "iam:List*", "kms:Create*", "kms:C*K*", "kms:PutKeyPolicy", "s3:*", "kms:Sign",
	}
	genKeys = []string{
		"arn:aws:kms:local:111111111111:key/a", "arn:aws:kms:local:111111111111:key/ab",
		"arn:aws:kms:local:222222222222:key/a", "arn:aws:kms:local:222222222222:key/b",
	}
	genAliases  = []string{"arn:aws:kms:local:111111111111:alias/a", "arn:aws:kms:local:222222222222:alias/a"}
	genEntities = []string{"arn:aws:iam::111111111111:user/a", "arn:aws:iam::222222222222:user/p/b"}
	genExact    = slices.Concat(genKeys, genAliases, genEntities)
	genGlobs    = []string{
		"*", "*", "arn:aws:kms:*:111111111111:key/*", "arn:aws:kms:*", "arn:*", "arn:aws:kms:local:*:key/a", "arn:aws:kms:*:key/a",
		"arn:aws:kms:local:111111111111:*", "arn:aws:*:*:*:*/a*", "arn:aws:kms:l?c*l:2*2:key/?", "arn:aws:iam::*:user/*",
		"arn:aws:kms:local:1?1*:key/*b", "arn:aws:kms:*:*:k*y/*a*", "arn:aws:kms:*cal:*:alias/?", "arn:aws:*:a", "arn:aws:iam::222222222222:user/?/b",
	}
	genIDs = map[string]string{
		"arn:aws:iam::111111111111:user/a":   "AIDAAAAAAAAAAAAAA001",
		"arn:aws:iam::111111111111:user/b":   "AIDAAAAAAAAAAAAAA002",
		"arn:aws:iam::222222222222:user/p/b": "AIDAAAAAAAAAAAAAA003",
	}
	genPrincipals = []string{
		"*", "111111111111", "222222222222", "arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:root",
		"arn:aws:iam::111111111111:user/a", "arn:aws:iam::111111111111:user/a", "arn:aws:iam::111111111111:user/b",
		"arn:aws:iam::222222222222:user/p/b", "AIDAAAAAAAAAAAAAA001", "AIDAAAAAAAAAAAAAA009",
		"arn:aws:sts::111111111111:assumed-role/r/session",
	}
)

func (g gen) statement(kind authz.PolicyKind) map[string]any {
	s := map[string]any{"Effect": "Allow"}
	if g.IntN(4) == 0 {
		s["Effect"] = "Deny"
	}
	name := "Action"
	if g.IntN(8) == 0 {
		name = "NotAction"
	}
	s[name] = g.some(genActionPatterns, 3)
	name = "Resource"
	if g.IntN(8) == 0 {
		name = "NotResource"
	}
	switch {
	case kind == authz.KeyPolicy && g.IntN(3) > 0:
		s["Resource"] = "*"
		name = "Resource"
	case g.IntN(2) == 0:
		s[name] = g.some(genExact, 12)
	default:
		s[name] = g.some(slices.Concat(genGlobs, genExact), 4)
	}
	if kind == authz.KeyPolicy {
		s["Principal"] = map[string]any{"AWS": g.some(genPrincipals, 12)}
		if g.IntN(12) == 0 {
			s["Principal"] = "*"
		}
	}
	return s
}

func (g gen) statements(kind authz.PolicyKind) []map[string]any {
	var list []map[string]any
	for range 1 + g.IntN(4) {
		list = append(list, g.statement(kind))
	}
	return list
}

func document(list []map[string]any) string {
	p := map[string]any{"Version": "2012-10-17", "Statement": list}
	if len(list) == 1 {
		p["Statement"] = list[0]
	}
	doc, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return string(doc)
}

// A pair is one policy in both interpreters.
type pair struct {
	doc      string
	compiled *authz.Policy
	decoded  ref.Policy
}

func newPair(tb testing.TB, kind authz.PolicyKind, doc string) pair {
	tb.Helper()
	p := mustParse(tb, kind, doc)
	bound, err := p.Bind(func(arn string) (string, bool) { id, ok := genIDs[arn]; return id, ok })
	if err != nil {
		tb.Fatalf("Bind(%s): %v", doc, err)
	}
	d, err := ref.Decode(doc)
	if err != nil {
		tb.Fatal(err)
	}
	return pair{doc, bound, d}
}

func (g gen) pair(tb testing.TB, kind authz.PolicyKind) pair {
	tb.Helper()
	return newPair(tb, kind, document(g.statements(kind)))
}

// A question is a request without its policies.
type question struct {
	root        bool
	account, id string
	action      string
	kind        authz.ResourceKind
	owner, arn  string
	exists      bool
}

func (g gen) question() question {
	q := question{action: pick(g, genActions), exists: g.IntN(8) > 0}
	switch g.IntN(7) {
	case 0:
		q.root, q.account, q.id = true, "111111111111", "111111111111"
	case 1:
		q.account, q.id = "222222222222", "AIDAAAAAAAAAAAAAA003"
	case 2:
		q.root, q.account, q.id = true, "222222222222", "222222222222"
	case 3:
		q.account, q.id = "111111111111", "AIDAAAAAAAAAAAAAA002"
	default:
		q.account, q.id = "111111111111", "AIDAAAAAAAAAAAAAA001"
	}
	switch q.action {
	case "kms:CreateKey", "kms:ListKeys", "sts:GetCallerIdentity":
	case "iam:GetUser", "iam:ListUsers":
		q.kind, q.arn = authz.IAMEntity, pick(g, genEntities)
		q.owner = q.arn[13:25]
	case "kms:CreateAlias":
		if g.IntN(2) == 0 {
			q.kind, q.arn = authz.Alias, pick(g, genAliases)
			q.owner = q.arn[18:30]
			break
		}
		fallthrough
	default:
		q.kind, q.arn = authz.Key, pick(g, genKeys)
		q.owner = q.arn[18:30]
	}
	return q
}

func (q question) compiled(identity []pair, key *pair) authz.Decision {
	c := authz.Caller{Kind: authz.User, Account: q.account, ID: q.id}
	if q.root {
		c.Kind = authz.Root
	}
	for _, p := range identity {
		c.Identity = append(c.Identity, p.compiled)
	}
	r := authz.Resource{Kind: q.kind, Account: q.owner, ARN: q.arn}
	if q.kind == authz.Key && q.exists && key != nil {
		r.Policy = key.compiled
	}
	a, _ := authz.ActionByName(q.action)
	g, d := authz.Authorize(&c, a, &r, nil)
	arn := q.arn
	if q.kind == authz.None {
		arn = "*"
	}
	if g.Permits(a, arn) != (d.Verdict == authz.Allow) {
		panic(fmt.Sprintf("Authorize(%+v) = %+v, %+v: the grant and the decision differ", q, g, d))
	}
	return d
}

func (q question) reference(identity []pair, key *pair) ref.Answer {
	r := ref.Request{
		Root: q.root, Account: q.account, ID: q.id, Action: q.action, Kind: "other",
		ResourceAccount: q.owner, ResourceARN: q.arn, IDs: genIDs,
	}
	switch q.kind {
	case authz.None:
		r.Kind = "none"
	case authz.Key:
		r.Kind = "key"
		if q.exists && key != nil {
			r.KeyPolicy = key.decoded
		}
	}
	for _, p := range identity {
		r.Identity = append(r.Identity, p.decoded)
	}
	return ref.Decide(r)
}

// TestCompiledPoliciesDecideAsTheTextSays compares both interpreters on random policies and requests.
func TestCompiledPoliciesDecideAsTheTextSays(t *testing.T) {
	goal, limit := 1_200_000, 15*time.Second
	if testing.Short() {
		goal, limit = 50_000, 2*time.Second
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	g := newGen(seed)
	reasons := map[string]int{}
	start, asked := time.Now(), 0
	for asked < goal && time.Since(start) < limit {
		var identity []pair
		for range g.IntN(4) {
			identity = append(identity, g.pair(t, authz.IdentityPolicy))
		}
		key := g.pair(t, authz.KeyPolicy)
		for range 200 {
			q := g.question()
			d, want := q.compiled(identity, &key), q.reference(identity, &key)
			asked++
			reasons[want.Reason]++
			if (d.Verdict == authz.Allow) != want.Allow || d.Reason.String() != want.Reason || d.Statement != want.Statement {
				t.Fatalf("Authorize(%+v) = %+v (%v), want %+v\nkey policy %s\nidentity %v", q, d, d.Reason, want, key.doc, docs(identity))
			}
		}
	}
	t.Logf("%d questions in %v: %v", asked, time.Since(start).Round(time.Millisecond), reasons)
	if asked < goal/10 {
		t.Errorf("only %d questions asked, want %d", asked, goal)
	}
	for _, r := range []string{
		"AlwaysAllowed", "NotCrossAccount", "ExplicitResource", "ExplicitIdentity", "NoResourceAllow", "ResourcePolicy",
		"IdentityViaAccount", "CrossAccount", "KeyPolicyDoesNotDelegate", "NoIdentityAllow", "Identity", "Root",
	} {
		if reasons[r] < 20 {
			t.Errorf("reason %s came up %d times in %d questions", r, reasons[r], asked)
		}
	}
}

func docs(list []pair) string {
	var out []string
	for _, p := range list {
		out = append(out, p.doc)
	}
	return strings.Join(out, "\n")
}

// patternTable :: what patterns cover
var patternTable = []struct {
	pattern string
	covers  bool
	arn     string
}{
	{"*", true, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:*", true, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:*", false, "arn:aws:iam::111122223333:user/a"},
	{"arn:aws:kms:*:key/a", true, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:l*l:key/a*", false, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:*:111122223333:key/*", true, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:*:111122223333:key/*", false, "arn:aws:kms:local:444455556666:key/a"},
	{"arn:aws:kms:*:111122223333:key/*", false, "arn:aws:kms:local:111122223333:alias/a"},
	{"arn:aws:kms:*:111122223333:key/*", false, "arn:aws:kms:local"},
	{"arn:aws:kms:*:*:key/a?c", true, "arn:aws:kms:local:111122223333:key/abc"},
	{"arn:aws:kms:*:*:key/a?c", false, "arn:aws:kms:local:111122223333:key/ac"},
	{"arn:aws:kms:*:*:key/a?", false, "arn:aws:kms:local:111122223333:key/abc"},
	{"arn:aws:kms:*:*:key/A", false, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:*:*:key/[a]", false, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:*:*:key/a*c", true, "arn:aws:kms:local:111122223333:key/abcc"},
	{"arn:aws:kms:*:*:key/a*bc*bd", true, "arn:aws:kms:local:111122223333:key/abcbcbd"},
	{"arn:aws:kms:*:*:key/ab*bc", false, "arn:aws:kms:local:111122223333:key/abc"},
	{"arn:aws:kms:*:*:*a?b*", true, "arn:aws:kms:local:111122223333:key/aaabb"},
	{"arn:aws:kms:*:*:*?x?*", false, "arn:aws:kms:local:111122223333:key/x"},
	{"arn:aws:kms:*:*:key/a?*?c", false, "arn:aws:kms:local:111122223333:key/abc"},
	{"arn:aws:kms:*:*:key/a?*?c", true, "arn:aws:kms:local:111122223333:key/abbc"},
	{"arn:aws:kms:*:*:key/*ab*ba*", false, "arn:aws:kms:local:111122223333:key/aba"},
	{"arn:aws:kms:*:*:key/*ab*ba*", true, "arn:aws:kms:local:111122223333:key/abba"},
	{"arn:aws:kms:l?c*:*:key/a", true, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:l?*:*:key/a", false, "arn:aws:kms:l:111122223333:key/a"},
	{"arn:aws:kms::111122223333:key/*", false, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:?:*:key/a", false, "arn:aws:kms::111122223333:key/a"},
	{"arn:aws:kms:*:*:key/a", true, "arn:aws:kms::111122223333:key/a"},
	{"arn:aws:*:*:*:*", true, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:**:**:**:**:**", true, "arn:aws:kms:local:111122223333:key/a"},
	// What follows cannot happen with the ARNs of kmsd, which have five colons.
	{"arn:aws:kms:*:111122223333:key/*", true, "arn:aws:kms:local:444455556666:alias/a:111122223333:key/b"},
	{"arn:aws:kms:local:*:key/a*", true, "arn:aws:kms:local:1:2:3:key/a"},
	{"arn:aws:s3:l*l:1:key/a*", false, "arn:aws:s3:l:l:1:key/a"},
	{"arn:*:a*b:c", true, "arn:x:aX:ab:c"},
	{"arn:*:a*b:c", false, "arn:x:aX:ab:d"},
	{"arn:a*b:c*", false, "arn:a:b:c"},
	{"arn:a:b:c:d:e?f", true, "arn:a:b:c:d:e:f"},
	{"arn:a:b:c?d:*", false, "arn:a:b:c:d:e"},
	{"arn:a:b:c:d:e?", true, "arn:a:b:c:d:e\u00e9"},
	{"arn:a:b:c:d:e??", false, "arn:a:b:c:d:e\u00e9"},
	{"arn:a:b:c:d:*?b", true, "arn:a:b:c:d:\u00e9b"},
	{"arn:a:b:c:d:*??b", false, "arn:a:b:c:d:\u00e9b"},
	{"arn:aws:?*:x", true, "arn:aws:\u00e9:y:x"},
}

func TestPatterns(t *testing.T) {
	for _, tt := range patternTable {
		p := mustParse(t, authz.IdentityPolicy, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"`+tt.pattern+`"}}`)
		c := authz.Caller{Kind: authz.User, Account: "1", ID: "1", Identity: []*authz.Policy{p}}
		_, d := authz.Authorize(&c, authz.KMSCreateAlias, &authz.Resource{Kind: authz.Alias, Account: "1", ARN: tt.arn}, nil)
		if got := d.Verdict == authz.Allow; got != tt.covers {
			t.Errorf("pattern %q covers %q = %v, want %v", tt.pattern, tt.arn, got, tt.covers)
		}
		if got := ref.Match(tt.pattern, tt.arn); got != tt.covers {
			t.Errorf("ref.Match(%q, %q) = %v, want %v", tt.pattern, tt.arn, got, tt.covers)
		}
	}
}

func FuzzResourcePattern(f *testing.F) {
	for _, p := range genGlobs {
		f.Add(p, genKeys[0])
	}
	for _, tt := range patternTable {
		f.Add(tt.pattern, tt.arn)
	}
	f.Fuzz(func(t *testing.T, pattern, arn string) {
		if arn == "" || len(pattern)*len(arn) > 20000 {
			return
		}
		doc, err := json.Marshal(map[string]any{"Statement": map[string]any{"Effect": "Allow", "Action": "*", "Resource": pattern}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := authz.Parse(authz.IdentityPolicy, doc)
		if err != nil {
			return
		}
		c := authz.Caller{Kind: authz.User, Account: "1", ID: "1", Identity: []*authz.Policy{p}}
		_, d := authz.Authorize(&c, authz.KMSCreateAlias, &authz.Resource{Kind: authz.Alias, Account: "1", ARN: arn}, nil)
		if got, want := d.Verdict == authz.Allow, ref.Match(pattern, arn); got != want && d.Reason != authz.TooComplex {
			t.Errorf("pattern %q covers %q = %v, want %v", pattern, arn, got, want)
		}
	})
}
