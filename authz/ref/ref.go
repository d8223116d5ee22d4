// Package ref is a second interpreter of policies, against which tests compare authz. It follows the text of the
// rules word by word on decoded JSON, compiles nothing, indexes nothing, and shares no code with authz.
//
// It is for tests alone: it is slow, it takes documents that authz.Parse has accepted, and it does not check them.
//
// Trust: none. Nothing but tests imports it.
package ref

import (
	"encoding/json"
	"strings"
)

// Policy is a decoded document.
type Policy map[string]any

// Decode decodes a document.
func Decode(doc string) (Policy, error) {
	var p Policy
	err := json.Unmarshal([]byte(doc), &p)
	return p, err
}

// Request is one question.
type Request struct {
	Root            bool // the caller is the root user of its account, else a user
	Account, ID     string
	Identity        []Policy
	Action          string
	Kind            string // "none", "key" or "other"
	ResourceAccount string
	ResourceARN     string
	KeyPolicy       Policy            // nil if the key does not exist
	IDs             map[string]string // :: user ARN → unique id
}

// Answer is a decision. Statement counts from 1 in the policy that decided.
type Answer struct {
	Allow     bool
	Reason    string
	Statement int
}

// crossAccount are the actions, of those that kmsd has, that AWS KMS lets a caller perform on another account's key.
var crossAccount = map[string]bool{
	"kms:Encrypt": true, "kms:Decrypt": true, "kms:ReEncryptFrom": true, "kms:ReEncryptTo": true,
	"kms:GenerateDataKey": true, "kms:GenerateDataKeyWithoutPlaintext": true, "kms:DescribeKey": true,
}

// Decide answers.
func Decide(q Request) Answer {
	if q.Action == "sts:GetCallerIdentity" {
		return Answer{true, "AlwaysAllowed", 0}
	}
	cross := q.Kind != "none" && q.Account != q.ResourceAccount
	if cross && !crossAccount[q.Action] {
		return Answer{false, "NotCrossAccount", 0}
	}
	for i, s := range statements(q.KeyPolicy) {
		if s["Effect"] == "Deny" && q.covered(s) && len(q.levels(s)) > 0 {
			return Answer{false, "ExplicitResource", i + 1}
		}
	}
	if n := q.identity("Deny"); n > 0 {
		return Answer{false, "ExplicitIdentity", n}
	}
	if q.Kind != "key" || q.KeyPolicy == nil && !cross {
		return q.own("Identity", "Root", 0)
	}
	levels := map[string]int{} // :: level → first statement that allows at it
	for i, s := range statements(q.KeyPolicy) {
		if s["Effect"] != "Allow" || !q.covered(s) {
			continue
		}
		for l := range q.levels(s) {
			if levels[l] == 0 {
				levels[l] = i + 1
			}
		}
	}
	switch {
	case cross && len(levels) == 0:
		return Answer{false, "NoResourceAllow", 0}
	case cross && levels["DIRECT"] > 0:
		return q.own("CrossAccount", "CrossAccount", levels["DIRECT"])
	case cross:
		return q.own("CrossAccount", "CrossAccount", levels["ACCOUNT"])
	case levels["DIRECT"] > 0:
		return Answer{true, "ResourcePolicy", levels["DIRECT"]}
	case levels["ACCOUNT"] > 0:
		return q.own("IdentityViaAccount", "IdentityViaAccount", levels["ACCOUNT"])
	}
	for _, s := range statements(q.KeyPolicy) {
		if _, account := q.levels(s)["ACCOUNT"]; account && s["Effect"] == "Allow" && q.actionCovered(s) {
			return Answer{false, "NoResourceAllow", 0}
		}
	}
	return Answer{false, "KeyPolicyDoesNotDelegate", 0}
}

// own lets the caller's own policies decide; n is the statement of the key policy that a root user goes by.
func (q Request) own(byStatement, byRoot string, n int) Answer {
	if q.Root {
		return Answer{true, byRoot, n}
	}
	if s := q.identity("Allow"); s > 0 {
		return Answer{true, byStatement, s}
	}
	return Answer{false, "NoIdentityAllow", 0}
}

func (q Request) identity(effect string) int {
	for _, p := range q.Identity {
		for i, s := range statements(p) {
			if s["Effect"] == effect && q.covered(s) {
				return i + 1
			}
		}
	}
	return 0
}

func statements(p Policy) []map[string]any {
	switch v := p["Statement"].(type) {
	case map[string]any:
		return []map[string]any{v}
	case []any:
		var list []map[string]any
		for _, s := range v {
			list = append(list, s.(map[string]any))
		}
		return list
	}
	return nil
}

func values(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, s := range v {
			list = append(list, s.(string))
		}
		return list
	}
	return nil
}

func (q Request) covered(s map[string]any) bool { return q.actionCovered(s) && q.resourceCovered(s) }

func (q Request) actionCovered(s map[string]any) bool {
	name := "Action"
	_, negated := s["NotAction"]
	if negated {
		name = "NotAction"
	}
	for _, p := range values(s[name]) {
		if actionMatches(p, q.Action) {
			return !negated
		}
	}
	return negated
}

func actionMatches(pattern, action string) bool {
	if pattern == "*" {
		return true
	}
	pattern, action = strings.ToLower(pattern), strings.ToLower(action)
	service, name, _ := strings.Cut(pattern, ":")
	of, what, _ := strings.Cut(action, ":")
	return service == of && run(tokens(name, 5), what)
}

func (q Request) resourceCovered(s map[string]any) bool {
	name := "Resource"
	_, negated := s["NotResource"]
	if negated {
		name = "NotResource"
	}
	for _, p := range values(s[name]) {
		if p == "*" || q.Kind != "none" && Match(p, q.ResourceARN) {
			return !negated
		}
	}
	return negated
}

// levels returns the levels at which Principal names the caller.
func (q Request) levels(s map[string]any) map[string]struct{} {
	found := map[string]struct{}{}
	entries := values(s["Principal"])
	if m, ok := s["Principal"].(map[string]any); ok {
		entries = values(m["AWS"])
	}
	for _, e := range entries {
		switch {
		case e == "*":
			found["DIRECT"] = struct{}{}
		case e == q.Account, strings.HasPrefix(e, "arn:") && strings.HasSuffix(e, ":iam::"+q.Account+":root"):
			found["ACCOUNT"] = struct{}{}
		case !q.Root && (e == q.ID || q.IDs[e] == q.ID):
			found["DIRECT"] = struct{}{}
		}
	}
	return found
}

// A token is one element of a pattern.
type token struct {
	r      rune // of a literal
	star   bool
	one    bool
	colons bool // may stand for colons
}

// tokens cuts a pattern as design section 3.2 has it; colons says how many colons have gone before.
func tokens(pattern string, colons int) []token {
	rs := []rune(pattern)
	var list []token
	for i, r := range rs {
		switch {
		case r == '*':
			last := i+1 == len(rs) || rs[i+1] == ':'
			list = append(list, token{star: true, colons: last || colons >= 5})
		case r == '?':
			list = append(list, token{one: true, colons: colons >= 5})
		default:
			if r == ':' {
				colons++
			}
			list = append(list, token{r: r})
		}
	}
	return list
}

// Match reports whether a value of Resource takes in an ARN.
func Match(pattern, arn string) bool {
	return pattern == "*" || run(tokens(pattern, 0), arn)
}

// run keeps the set of all places in the pattern where a match could stand.
func run(list []token, s string) bool {
	at := make([]bool, len(list)+1)
	at[0] = true
	pass := func(set []bool) { // a star may stand for nothing
		for i, t := range list {
			if set[i] && t.star {
				set[i+1] = true
			}
		}
	}
	pass(at)
	for _, r := range s {
		next := make([]bool, len(list)+1)
		for i, t := range list {
			switch {
			case !at[i]:
			case t.star && (t.colons || r != ':'):
				next[i] = true
			case t.one && (t.colons || r != ':'):
				next[i+1] = true
			case !t.star && !t.one && t.r == r:
				next[i+1] = true
			}
		}
		pass(next)
		at = next
	}
	return at[len(list)]
}
