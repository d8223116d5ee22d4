package iam

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
)

// policySet is the policies of a user, group or role.
type policySet struct {
	inline   []policy // in the order of their folded names
	attached []string // ids of managed policies, in the order in which they were attached
}

// policy is an inline policy.
type policy struct {
	name     string
	document string
	updated  time.Time
	compiled *authz.Policy
	fault    error // why compiled is unusable; nil if it is not
}

// newPolicy reads a document that is to be put. label is the policy's name in decisions.
func newPolicy(label, name, document string) (policy, error) {
	compiled, err := parsePolicy(authz.IdentityPolicy, label, document)
	if err != nil {
		return policy{}, err
	}
	return policy{name: name, document: document, updated: present(), compiled: compiled}, nil
}

func parsePolicy(kind authz.PolicyKind, label, document string) (*authz.Policy, error) {
	if len(document) > maxPolicyBytes {
		return nil, fmt.Errorf("%w: %d bytes for a policy document", ErrLimitExceeded, maxPolicyBytes)
	}
	compiled, err := authz.Parse(kind, []byte(document))
	if err != nil {
		return nil, err
	}
	return compiled.Named(label), nil
}

func (set *policySet) sort() {
	slices.SortStableFunc(set.inline, func(a, b policy) int { return strings.Compare(fold(a.name), fold(b.name)) })
}

// find returns where the inline policy is, or would be, whose name is name without regard to case.
func (set *policySet) find(name string) (int, bool) {
	return slices.BinarySearchFunc(set.inline, fold(name), func(q policy, folded string) int {
		return strings.Compare(fold(q.name), folded)
	})
}

// put returns a set that has the inline policy pol, if no more than limit characters are in all of them together.
func (set policySet) put(pol policy, limit int) (policySet, error) {
	at, exists := set.find(pol.name)
	set.inline = slices.Clone(set.inline)
	switch {
	case !exists:
		set.inline = slices.Insert(set.inline, at, pol)
	case set.inline[at].name != pol.name:
		return policySet{}, fmt.Errorf("%w: a policy whose name differs in case only", ErrEntityExists)
	default:
		set.inline[at] = pol
	}
	chars := 0
	for _, q := range set.inline {
		chars += significantChars(q.document)
	}
	if chars > limit {
		return policySet{}, fmt.Errorf("%w: %d characters for all inline policies together", ErrLimitExceeded, limit)
	}
	return set, nil
}

// get returns the inline policy of exactly this name.
func (set *policySet) get(name string) (policy, error) {
	at, ok := set.find(name)
	if !ok || set.inline[at].name != name {
		return policy{}, fmt.Errorf("%w: there is no inline policy of this name", ErrNoSuchEntity)
	}
	return set.inline[at], nil
}

// drop returns a set without the inline policy of exactly this name.
func (set policySet) drop(name string) (policySet, error) {
	if _, err := set.get(name); err != nil {
		return policySet{}, err
	}
	at, _ := set.find(name)
	set.inline = slices.Delete(slices.Clone(set.inline), at, at+1)
	return set, nil
}

// names returns the names of the inline policies, in order.
func (set *policySet) names() []string {
	names := make([]string, 0, len(set.inline))
	for _, q := range set.inline {
		names = append(names, q.name)
	}
	return names
}

// unusable returns the inline policies that did not parse; like says whose they are.
func (set *policySet) unusable(like UnusablePolicy) []UnusablePolicy {
	var list []UnusablePolicy
	for _, q := range set.inline {
		if q.fault != nil {
			like.Name, like.Err = q.compiled.Name(), q.fault
			list = append(list, like)
		}
	}
	return list
}

// significantChars counts the characters of a JSON document, without the white space between its tokens.
func significantChars(document string) int {
	n := 0
	quoted, escaped := false, false
	for _, c := range document {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && strings.ContainsRune(" \t\r\n", c):
			continue
		}
		n++
	}
	return n
}
