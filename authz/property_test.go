package authz_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

// A setting is what the policies of one caller and one key are made of.
type setting struct {
	identity [][]map[string]any
	key      []map[string]any
}

func (g gen) setting() setting {
	return setting{[][]map[string]any{g.statements(authz.IdentityPolicy)}, g.statements(authz.KeyPolicy)}
}

func (s setting) policies(t *testing.T) ([]pair, *pair) {
	t.Helper()
	var identity []pair
	for _, list := range s.identity {
		identity = append(identity, newPair(t, authz.IdentityPolicy, document(list)))
	}
	key := newPair(t, authz.KeyPolicy, document(s.key))
	return identity, &key
}

// metamorphic changes random settings, and checks that what is decided before and after goes together.
func metamorphic(t *testing.T, change func(gen, setting) setting, holds func(before, after authz.Verdict) bool) {
	t.Helper()
	g := newGen(20260101)
	for range 1000 {
		s := g.setting()
		identity, key := s.policies(t)
		changedIdentity, changedKey := change(g, s).policies(t)
		for range 60 {
			q := g.question()
			before, after := q.compiled(identity, key).Verdict, q.compiled(changedIdentity, changedKey).Verdict
			if !holds(before, after) {
				t.Fatalf("%+v: %v before the change and %v after it\nbefore %s\n%s\nafter %s\n%s",
					q, before, after, docs(identity), key.doc, docs(changedIdentity), changedKey.doc)
			}
		}
	}
}

func same(before, after authz.Verdict) bool { return before == after }

// with returns the setting with one statement more, in front of one of the policies.
func (s setting) with(g gen, effect string) setting {
	if g.IntN(2) == 0 {
		more := g.statement(authz.KeyPolicy)
		more["Effect"] = effect
		return setting{s.identity, append([]map[string]any{more}, s.key...)}
	}
	more := g.statement(authz.IdentityPolicy)
	more["Effect"] = effect
	return setting{[][]map[string]any{append([]map[string]any{more}, s.identity[0]...)}, s.key}
}

func TestAnotherDenyNeverAllows(t *testing.T) {
	metamorphic(t, func(g gen, s setting) setting { return s.with(g, "Deny") },
		func(before, after authz.Verdict) bool { return before == authz.Allow || after == authz.Deny })
}

func TestAnotherAllowNeverDenies(t *testing.T) {
	metamorphic(t, func(g gen, s setting) setting { return s.with(g, "Allow") },
		func(before, after authz.Verdict) bool { return before == authz.Deny || after == authz.Allow })
}

func TestOrderIsIrrelevant(t *testing.T) {
	metamorphic(t, func(g gen, s setting) setting {
		return setting{[][]map[string]any{g.shuffled(s.identity[0])}, g.shuffled(s.key)}
	}, same)
}

func TestSplittingAListIsNeutral(t *testing.T) {
	metamorphic(t, func(_ gen, s setting) setting {
		return setting{[][]map[string]any{split(split(s.identity[0], "Action"), "Resource")}, split(s.key, "Action")}
	}, same)
}

func TestSplittingAPolicyIsNeutral(t *testing.T) {
	metamorphic(t, func(_ gen, s setting) setting {
		var parts [][]map[string]any
		for _, one := range s.identity[0] {
			parts = append(parts, []map[string]any{one})
		}
		return setting{parts, s.key}
	}, same)
}

func TestTheCaseOfActionsIsNeutral(t *testing.T) {
	metamorphic(t, func(_ gen, s setting) setting {
		return setting{[][]map[string]any{inCapitals(s.identity[0])}, inCapitals(s.key)}
	}, same)
}

// shuffled returns the statements, and the values in them, in another order.
func (g gen) shuffled(list []map[string]any) []map[string]any {
	out := make([]map[string]any, len(list))
	for i, to := range g.Perm(len(list)) {
		s := map[string]any{}
		for name, v := range list[i] {
			if l, ok := v.([]string); ok {
				turned := append([]string(nil), l...)
				g.Shuffle(len(turned), func(a, b int) { turned[a], turned[b] = turned[b], turned[a] })
				v = turned
			}
			s[name] = v
		}
		out[to] = s
	}
	return out
}

// split makes a statement of each value of an element.
func split(list []map[string]any, element string) []map[string]any {
	var out []map[string]any
	for _, s := range list {
		values, ok := s[element].([]string)
		if !ok {
			out = append(out, s)
			continue
		}
		for _, v := range values {
			one := maps.Clone(s)
			one[element] = v
			out = append(out, one)
		}
	}
	return out
}

func inCapitals(list []map[string]any) []map[string]any {
	var out []map[string]any
	for _, s := range list {
		one := maps.Clone(s)
		for _, name := range []string{"Action", "NotAction"} {
			switch v := s[name].(type) {
			case string:
				one[name] = strings.ToUpper(v)
			case []string:
				one[name] = strings.Split(strings.ToUpper(strings.Join(v, "\n")), "\n")
			}
		}
		out = append(out, one)
	}
	return out
}

// renamed swaps account numbers and ids everywhere.
var renamed = strings.NewReplacer(
	"111111111111", "333333333333", "222222222222", "444444444444", "AIDAAAAAAAAAAAAAA", "AIDABBBBBBBBBBBBBB",
	"1?1*:", "3?3*:", "2*2:", "4*4:",
)

func TestRenamingIsNeutral(t *testing.T) {
	bind := func(arn string) (string, bool) {
		for known, id := range genIDs {
			if renamed.Replace(known) == arn {
				return renamed.Replace(id), true
			}
		}
		return "", false
	}
	g := newGen(20260101)
	for range 1000 {
		s := g.setting()
		identity, key := s.policies(t)
		policy, err := mustParse(t, authz.KeyPolicy, renamed.Replace(key.doc)).Bind(bind)
		if err != nil {
			t.Fatal(err)
		}
		own := pair{compiled: mustParse(t, authz.IdentityPolicy, renamed.Replace(identity[0].doc))}
		for range 60 {
			q := g.question()
			r := q
			r.account, r.id = renamed.Replace(q.account), renamed.Replace(q.id)
			r.owner, r.arn = renamed.Replace(q.owner), renamed.Replace(q.arn)
			if a, b := q.compiled(identity, key).Verdict, r.compiled([]pair{own}, &pair{compiled: policy}).Verdict; a != b {
				t.Fatalf("%+v: %v, and %v renamed: %s and %s", q, a, b, docs(identity), key.doc)
			}
		}
	}
}

// TestClosedFormula goes through every combination of what one caller's layers can say, against the formula
//
//	same account:   not denied, and (named directly, or account named and identity)
//	other account:  not denied, and named in any way, and identity
//	no key policy:  not denied, and identity, in the same account
func TestClosedFormula(t *testing.T) {
	const name, acct = "arn:aws:iam::111122223333:user/alice", "111122223333"
	clause := func(effect, principal string) string {
		return `{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"kms:Decrypt","Resource":"*"}`
	}
	direct, star, account := `{"AWS":"`+name+`"}`, `"*"`, `{"AWS":"`+acct+`"}`
	never := `{"Effect":"Allow","Principal":"*","Action":"kms:Sign","Resource":"*"}`
	combinations := 0
	for bits := range 1 << 9 {
		on := func(i int) bool { return bits>>i&1 == 1 }
		clauses := []string{never}
		for i, c := range []string{
			clause("Allow", direct), clause("Allow", star), clause("Allow", account),
			clause("Deny", direct), clause("Deny", account),
		} {
			if on(i) {
				clauses = append(clauses, c)
			}
		}
		key := mustParse(t, authz.KeyPolicy, `{"Statement":[`+strings.Join(clauses, ",")+`]}`)
		key, err := key.Bind(resolveUser)
		if err != nil {
			t.Fatal(err)
		}
		for _, cross := range []bool{false, true} {
			for _, isRoot := range []bool{false, true} {
				c := authz.Caller{Kind: authz.User, Account: acct, ID: ids[name], ARN: name}
				r := authz.Resource{Kind: authz.Key, Account: acct, ARN: keyA, Policy: key}
				if isRoot {
					c.Kind, c.ID = authz.Root, acct
				}
				if cross {
					r.Account = accountB
				}
				if on(5) {
					c.Identity = append(c.Identity, mustParse(t, authz.IdentityPolicy, allowDecrypt))
				}
				if on(6) {
					c.Identity = append(c.Identity, mustParse(t, authz.IdentityPolicy, denyDecrypt))
				}
				if on(7) {
					r.Policy = nil
				}
				noise := `{"Statement":{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*"}}`
				if on(8) {
					c.Identity = append(c.Identity, mustParse(t, authz.IdentityPolicy, noise))
				}
				exists := !on(7)
				kpDirect := exists && (on(0) && !isRoot || on(1))
				kpAccount := exists && on(2)
				denied := exists && (on(3) && !isRoot || on(4)) || on(6)
				id := isRoot || on(5)
				want := !denied && (kpDirect || kpAccount && id)
				if cross {
					want = !denied && (kpDirect || kpAccount) && id
				}
				if !exists {
					want = !denied && id && !cross
				}
				combinations++
				if _, d := authz.Authorize(&c, authz.KMSDecrypt, &r, nil); (d.Verdict == authz.Allow) != want {
					t.Errorf("bits %09b, cross %v, root %v: %+v, want allowed = %v", bits, cross, isRoot, d, want)
				}
			}
		}
	}
	if combinations != 2048 {
		t.Errorf("%d combinations, want 2048", combinations)
	}
}
