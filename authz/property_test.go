package authz_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/authz/ref"
)

// metamorphic changes random requests, and checks that what is decided before and after goes together. A change that returns nil does not apply.
func metamorphic(t *testing.T, change func(*scene, *ref.Request) *ref.Request, holds func(before, after ref.Answer) bool) {
	t.Helper()
	seed, scenes, done := seedOf(t), uint64(250), 0
	if testing.Short() {
		scenes = 50
	}
	for number := range scenes {
		s, e := newScene(seed, number), newEngine()
		for range 60 {
			q := s.question()
			changed := change(s, q)
			if changed == nil {
				continue
			}
			before := e.decide(q)
			e.refused = nil
			after := e.decide(changed)
			if e.refused != nil {
				continue
			}
			done++
			if !holds(before, after) {
				t.Fatalf("scene %d: %+v before the change and %+v after it\nbefore %s\nafter %s", number, before, after, jsonOf(q), jsonOf(changed))
			}
		}
	}
	if done < int(scenes) {
		t.Errorf("the change applied to %d requests only", done)
	}
}

func jsonOf(q *ref.Request) string {
	text, err := json.MarshalIndent(explode(q), "", " ")
	if err != nil {
		panic(err)
	}
	return string(text)
}

// same reports whether the verdict and the reason are.
func same(before, after ref.Answer) bool {
	return before.Allow == after.Allow && before.Reason == after.Reason
}

// noMore reports whether nothing is allowed that was not.
func noMore(before, after ref.Answer) bool { return before.Allow || !after.Allow }

// noLess reports whether all is allowed that was, and what was denied explicitly still is.
func noLess(before, after ref.Answer) bool {
	if strings.HasPrefix(before.Reason, "Explicit") {
		return same(before, after)
	}
	return !before.Allow || after.Allow
}

// withPolicies returns the request with every policy replaced by what f makes of it.
func withPolicies(q *ref.Request, f func(authz.PolicyKind, *ref.Policy) *ref.Policy) *ref.Request {
	r := *q
	known := map[*ref.Membership]*ref.Membership{}
	one := func(kind authz.PolicyKind, p *ref.Policy) *ref.Policy {
		if p == nil || p.Unusable {
			return p
		}
		return f(kind, p)
	}
	list := func(kind authz.PolicyKind, l []*ref.Policy) []*ref.Policy {
		var out []*ref.Policy
		for _, p := range l {
			out = append(out, one(kind, p))
		}
		return out
	}
	membership := func(m *ref.Membership) *ref.Membership {
		if m == nil || known[m] != nil {
			return known[m]
		}
		next := *m
		next.SCPs, next.RCPs = nil, nil
		for _, l := range m.SCPs {
			next.SCPs = append(next.SCPs, list(authz.ServiceControlPolicy, l))
		}
		for _, l := range m.RCPs {
			next.RCPs = append(next.RCPs, list(authz.ResourceControlPolicy, l))
		}
		known[m] = &next
		return &next
	}
	r.Caller.Identity, r.Caller.Session = list(authz.IdentityPolicy, q.Caller.Identity), list(authz.SessionPolicy, q.Caller.Session)
	r.Caller.Boundary = one(authz.IdentityPolicy, q.Caller.Boundary)
	r.Resource.Policy = one(policyKindOf(q), q.Resource.Policy)
	r.Caller.Membership, r.Resource.Membership = membership(q.Caller.Membership), membership(q.Resource.Membership)
	return &r
}

func policyKindOf(q *ref.Request) authz.PolicyKind {
	if q.Resource.Policy != nil && q.Resource.Policy.Name == "trust-policy" {
		return authz.TrustPolicy
	}
	return authz.KeyPolicy
}

// once returns what f makes of a policy, the same each time in a scene.
func (s *scene) once(p *ref.Policy, f func(*ref.Policy) *ref.Policy) *ref.Policy {
	if s.made == nil {
		s.made = map[*ref.Policy]*ref.Policy{}
	}
	if s.made[p] == nil {
		s.made[p] = f(p)
	}
	return s.made[p]
}

// edit replaces the statements of every policy of a request by what f makes of them.
func (s *scene) edit(q *ref.Request, f func([]map[string]any) []map[string]any) *ref.Request {
	return withPolicies(q, func(_ authz.PolicyKind, p *ref.Policy) *ref.Policy {
		return s.once(p, func(p *ref.Policy) *ref.Policy { return edited(p, f) })
	})
}

// edited returns the policy with other statements.
func edited(p *ref.Policy, f func([]map[string]any) []map[string]any) *ref.Policy {
	var doc struct {
		Version   string
		Statement any
	}
	if err := json.Unmarshal([]byte(p.Text), &doc); err != nil {
		panic(err)
	}
	var list []map[string]any
	switch v := doc.Statement.(type) {
	case map[string]any:
		list = append(list, v)
	case []any:
		for _, s := range v {
			list = append(list, s.(map[string]any))
		}
	}
	return decode(p.Name, document(doc.Version, f(list)))
}

func TestOrderIsIrrelevant(t *testing.T) {
	metamorphic(t, func(s *scene, q *ref.Request) *ref.Request {
		r := s.edit(q, s.shuffled)
		turn := func(l []*ref.Policy) { s.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] }) }
		turn(r.Caller.Identity)
		turn(r.Caller.Session)
		if m := r.Caller.Membership; m != nil {
			for _, level := range m.SCPs {
				turn(level)
			}
			s.Shuffle(len(m.SCPs), func(i, j int) { m.SCPs[i], m.SCPs[j] = m.SCPs[j], m.SCPs[i] })
		}
		r.Resource.Grants = slices.Clone(q.Resource.Grants)
		slices.Reverse(r.Resource.Grants)
		return r
	}, same)
}

// shuffled returns the statements, and the values in them, in another order.
func (s *scene) shuffled(list []map[string]any) []map[string]any {
	s.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	var turn func(any)
	turn = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				turn(v[name])
			}
		case []any:
			s.Shuffle(len(v), func(i, j int) { v[i], v[j] = v[j], v[i] })
		}
	}
	for _, one := range list {
		turn(one)
	}
	return list
}

func TestSplittingAListIsNeutral(t *testing.T) {
	metamorphic(t, func(s *scene, q *ref.Request) *ref.Request {
		if collides(q.Context.EncryptionContext) || collides(q.Context.RequestTags) || collides(q.Context.Claims) {
			return nil
		}
		return s.edit(q, splitAll)
	}, same)
}

// splitAll makes a statement of each value of Action, Resource, and the conditions of which one value has to match.
func splitAll(list []map[string]any) []map[string]any {
	itself := func(s map[string]any) map[string]any { return s }
	list = split(split(list, "Action", itself), "Resource", itself)
	for i := 0; i < len(list); i++ {
		block, _ := list[i]["Condition"].(map[string]any)
		for operator, keys := range block {
			if strings.Contains(operator, "Not") || strings.HasPrefix(operator, "ForAllValues") {
				continue
			}
			for key := range keys.(map[string]any) {
				parts := split(list[i:i+1], key, func(s map[string]any) map[string]any {
					return s["Condition"].(map[string]any)[operator].(map[string]any)
				})
				list = slices.Replace(list, i, i+1, parts...)
			}
		}
	}
	return list
}

// collides reports whether names differ by case only: then each value must hold, in one statement.
func collides(m map[string]string) bool {
	seen := map[string]bool{}
	for name := range m {
		if seen[strings.ToLower(name)] {
			return true
		}
		seen[strings.ToLower(name)] = true
	}
	return false
}

// split makes a statement of each value of a member of the object that of returns.
func split(list []map[string]any, member string, of func(map[string]any) map[string]any) []map[string]any {
	var out []map[string]any
	for _, s := range list {
		values, ok := of(s)[member].([]any)
		if !ok {
			out = append(out, s)
			continue
		}
		for _, v := range values {
			one := deepCopy(s)
			of(one)[member] = v
			out = append(out, one)
		}
	}
	return out
}

func deepCopy(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for name, v := range m {
		if inner, ok := v.(map[string]any); ok {
			v = deepCopy(inner)
		}
		out[name] = v
	}
	return out
}

func TestSplittingAPolicyIsNeutral(t *testing.T) {
	parts := map[*ref.Policy][]*ref.Policy{}
	metamorphic(t, func(_ *scene, q *ref.Request) *ref.Request {
		r := *q
		r.Caller.Identity = nil
		for _, p := range q.Caller.Identity {
			if parts[p] == nil {
				parts[p] = splitPolicy(p)
			}
			r.Caller.Identity = append(r.Caller.Identity, parts[p]...)
		}
		return &r
	}, same)
}

// splitPolicy makes a policy of each statement.
func splitPolicy(p *ref.Policy) []*ref.Policy {
	if p.Unusable {
		return []*ref.Policy{p}
	}
	var out []*ref.Policy
	edited(p, func(list []map[string]any) []map[string]any {
		for _, s := range list {
			out = append(out, edited(p, func([]map[string]any) []map[string]any { return []map[string]any{s} }))
		}
		return list
	})
	return out
}

func TestTheCaseOfActionsAndKeysIsNeutral(t *testing.T) {
	metamorphic(t, func(s *scene, q *ref.Request) *ref.Request {
		return s.edit(q, inCapitals)
	}, same)
}

// inCapitals writes actions and condition keys in capitals.
func inCapitals(list []map[string]any) []map[string]any {
	for _, s := range list {
		for _, name := range []string{"Action", "NotAction"} {
			switch v := s[name].(type) {
			case string:
				s[name] = strings.ToUpper(v)
			case []any:
				for i := range v {
					v[i] = strings.ToUpper(v[i].(string))
				}
			}
		}
		block, _ := s["Condition"].(map[string]any)
		for operator, keys := range block {
			other := map[string]any{}
			for key, values := range keys.(map[string]any) {
				other[strings.ToUpper(key)] = values
			}
			block[operator] = other
		}
	}
	return list
}

// genRenamed swaps the accounts, and the unique ids, for others.
var genRenamed = strings.NewReplacer(
	"111111111111", "333333333333", "222222222222", "444444444444", "AIDAAAAAAAAAAAAAA", "AIDABBBBBBBBBBBBBB", "AROAAAAAAAAAAAAAA", "AROABBBBBBBBBBBBBB",
	`1?1*`, `3?3*`, `:2*2`, `:4*4`, `"1*"`, `"3*"`, `::1*:`, `::3*:`,
)

func TestRenamingIsNeutral(t *testing.T) {
	metamorphic(t, func(s *scene, q *ref.Request) *ref.Request {
		bare := *q
		bare.Caller.Identity, bare.Caller.Boundary, bare.Caller.Session, bare.Caller.Membership = nil, nil, nil, nil
		bare.Resource.Policy, bare.Resource.Membership = nil, nil
		text, err := json.Marshal(bare)
		if err != nil {
			t.Fatal(err)
		}
		r := &ref.Request{}
		if err := json.Unmarshal([]byte(genRenamed.Replace(string(text))), r); err != nil {
			t.Fatal(err)
		}
		with := withPolicies(q, func(_ authz.PolicyKind, p *ref.Policy) *ref.Policy {
			return s.once(p, func(p *ref.Policy) *ref.Policy { return decode(p.Name, genRenamed.Replace(p.Text)) })
		})
		r.Caller.Identity, r.Caller.Boundary, r.Caller.Session = with.Caller.Identity, with.Caller.Boundary, with.Caller.Session
		r.Caller.Membership, r.Resource.Membership, r.Resource.Policy = with.Caller.Membership, with.Resource.Membership, with.Resource.Policy
		return r
	}, func(before, after ref.Answer) bool {
		before.GrantID = after.GrantID // of several that allow it, any may be named
		return before == after
	})
}

// TestExplainAnswersAsAuthorizeDoes also asks each twice: nothing is remembered.
func TestExplainAnswersAsAuthorizeDoes(t *testing.T) {
	seed := seedOf(t)
	s, e := newScene(seed, 1), newEngine()
	for i := range 20_000 {
		if i%200 == 0 {
			s, e = newScene(seed, uint64(i)), newEngine()
		}
		q := s.question()
		c, r, x := e.caller(&q.Caller), e.resource(&q.Resource), e.fill(&q.Context)
		a, _ := authz.ActionByName(q.Action)
		_, first := authz.Authorize(&c, a, &r, x)
		explained := authz.Explain(&c, a, &r, x).Decision
		_, second := authz.Authorize(&c, a, &r, x)
		if explained != first || second != first {
			t.Fatalf("Authorize answers %+v, Explain %+v and Authorize %+v to %s", first, explained, second, jsonOf(q))
		}
	}
}
