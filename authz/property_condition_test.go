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

// An asker asks whether one condition holds for a request: by an identity policy of one Allow with it.
type asker struct {
	engine *engine
	key    *ref.Policy            // that leaves it to the account
	known  map[string]*ref.Policy // :: document → policy
}

func newAsker() *asker {
	const delegates = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":["111111111111","222222222222"]},"Action":"*","Resource":"*"}}`
	return &asker{newEngine(), decode("default", delegates), map[string]*ref.Policy{}}
}

// condition returns a policy with one condition, or nil if authz.Parse does not take it.
func (a *asker) condition(operator, key string, values any) *ref.Policy {
	s := map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": map[string]any{operator: map[string]any{key: values}}}
	doc := document("2012-10-17", []map[string]any{s})
	if _, err := parseBound(authz.IdentityPolicy, doc); err != nil {
		return nil
	}
	return a.policy(doc)
}

func (a *asker) policy(doc string) *ref.Policy {
	if a.known[doc] == nil {
		a.known[doc] = decode("condition", doc)
	}
	return a.known[doc]
}

func (a *asker) holds(q *ref.Request, p *ref.Policy) bool {
	r := *q
	c := &r.Caller
	c.Identity, c.Boundary, c.Session, c.Membership = []*ref.Policy{p}, nil, nil, nil
	r.Resource.Grants, r.Resource.Membership = nil, nil
	if r.Resource.Policy != nil {
		r.Resource.Policy = a.key
	}
	return a.engine.decide(&r).Allow
}

// decides reports whether the identity policy decides about the request.
func (a *asker) decides(q *ref.Request) bool {
	const nothing = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:kms:none:000000000000:key/none"}}`
	return a.holds(q, a.policy(authz.FullAWSAccess)) && !a.holds(q, a.policy(nothing))
}

// singles calls f for conditions on keys of one value with an operator that is not negated, and requests that have the key no more than once.
func singles(t *testing.T, f func(a *asker, q *ref.Request, operator string, k genKey, values any)) {
	t.Helper()
	seed, done := seedOf(t), 0
	for number := range uint64(400) {
		s, a := newScene(seed, number), newAsker()
		k := s.conditionKey(authz.IdentityPolicy)
		operator := pick(s.gen, genOperators[k.kind])
		if k.plural || strings.Contains(operator, "Not") {
			continue
		}
		values := s.conditionValues(k, operator)
		if a.condition(operator, k.name, values) == nil {
			continue
		}
		for range 20 {
			q := s.question()
			if collides(q.Context.EncryptionContext) || collides(q.Context.RequestTags) || !a.decides(q) {
				continue
			}
			done++
			f(a, q, operator, k, values)
		}
	}
	if done < 200 {
		t.Errorf("%d requests, want at least 200", done)
	}
}

// present reports whether the request has the key.
func (a *asker) present(q *ref.Request, key string) bool {
	return a.holds(q, a.condition("Null", key, "false"))
}

func TestForAnyValueOfOneIsThePlainOperator(t *testing.T) {
	singles(t, func(a *asker, q *ref.Request, operator string, k genKey, values any) {
		plain, anyOf := a.holds(q, a.condition(operator, k.name, values)), a.holds(q, a.condition("ForAnyValue:"+operator, k.name, values))
		if plain != anyOf {
			t.Fatalf("%s %s %v holds = %v, with ForAnyValue %v, for %s", operator, k.name, values, plain, anyOf, jsonOf(q))
		}
	})
}

func TestIfExistsHoldsWhereThePlainOperatorDoes(t *testing.T) {
	singles(t, func(a *asker, q *ref.Request, operator string, k genKey, values any) {
		plain, ifExists := a.holds(q, a.condition(operator, k.name, values)), a.holds(q, a.condition(operator+"IfExists", k.name, values))
		if want := plain || !a.present(q, k.name); ifExists != want {
			t.Fatalf("%sIfExists %s %v holds = %v, want %v, for %s", operator, k.name, values, ifExists, want, jsonOf(q))
		}
	})
}

func TestANegatedOperatorIsTheContrary(t *testing.T) {
	singles(t, func(a *asker, q *ref.Request, operator string, k genKey, values any) {
		negated := map[string]string{
			"StringEquals": "StringNotEquals", "StringEqualsIgnoreCase": "StringNotEqualsIgnoreCase", "StringLike": "StringNotLike", "ArnEquals": "ArnNotEquals",
			"ArnLike": "ArnNotLike", "NumericEquals": "NumericNotEquals", "DateEquals": "DateNotEquals", "IpAddress": "NotIpAddress",
		}[operator]
		if negated == "" {
			return
		}
		plain, not := a.holds(q, a.condition(operator, k.name, values)), a.holds(q, a.condition(negated, k.name, values))
		if plain == not {
			t.Fatalf("%s and %s of %s %v hold = %v, for %s", operator, negated, k.name, values, plain, jsonOf(q))
		}
	})
}

// TestAPolicyIsWhatItsViewSays writes down again what View tells of each policy: that must decide alike.
func TestAPolicyIsWhatItsViewSays(t *testing.T) {
	metamorphic(t, func(s *scene, q *ref.Request) *ref.Request {
		return withPolicies(q, func(kind authz.PolicyKind, p *ref.Policy) *ref.Policy {
			return s.once(p, func(p *ref.Policy) *ref.Policy { return rewritten(t, kind, p) })
		})
	}, func(before, after ref.Answer) bool { return before == after })
}

// rewritten returns the policy written from its views.
func rewritten(t *testing.T, kind authz.PolicyKind, p *ref.Policy) *ref.Policy {
	t.Helper()
	parsed, err := parseBound(kind, p.Text)
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	for n := range parsed.Statements() {
		v := parsed.View(n + 1)
		s := map[string]any{"Effect": map[authz.Verdict]string{authz.Allow: "Allow", authz.Deny: "Deny"}[v.Effect]}
		put := func(name string, not bool, values []string) {
			if not {
				name = "Not" + name
			}
			if len(values) > 0 {
				s[name] = values
			}
		}
		put("Action", v.NotAction, v.ActionPatterns)
		put("Resource", v.NotResource, v.Resources)
		if len(v.Principals) > 0 {
			s[map[bool]string{false: "Principal", true: "NotPrincipal"}[v.NotPrincipal]] = principalElement(v.Principals)
		}
		if len(v.Conditions) > 0 {
			s["Condition"] = conditionElement(v.Conditions)
		}
		list = append(list, s)
	}
	return decode(p.Name, document(parsed.Version(), list))
}

func principalElement(principals []string) any {
	element := map[string][]string{}
	for _, p := range principals {
		kind := "AWS"
		if strings.Contains(p, ":oidc-provider/") {
			kind = "Federated"
		}
		element[kind] = append(element[kind], p)
	}
	if slices.Equal(principals, []string{"*"}) {
		return "*"
	}
	return element
}

func conditionElement(conditions []authz.ConditionView) map[string]any {
	block := map[string]map[string][]string{}
	for _, c := range conditions {
		if block[c.Operator] == nil {
			block[c.Operator] = map[string][]string{}
		}
		block[c.Operator][c.Key] = c.Values
	}
	element := map[string]any{}
	for _, operator := range slices.Sorted(maps.Keys(block)) {
		element[operator] = block[operator]
	}
	return element
}

// TestWhiteSpaceInADocumentIsNeutral indents documents.
func TestWhiteSpaceInADocumentIsNeutral(t *testing.T) {
	metamorphic(t, func(s *scene, q *ref.Request) *ref.Request {
		return withPolicies(q, func(_ authz.PolicyKind, p *ref.Policy) *ref.Policy {
			return s.once(p, func(p *ref.Policy) *ref.Policy {
				text, err := json.MarshalIndent(json.RawMessage(p.Text), "\t", "  ")
				if err != nil {
					t.Fatal(err)
				}
				return decode(p.Name, string(text))
			})
		})
	}, func(before, after ref.Answer) bool { return before == after })
}
