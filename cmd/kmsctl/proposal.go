package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// proposedPolicy is an identity-based policy.
type proposedPolicy struct {
	Version   string              `json:"Version"`
	Statement []proposedStatement `json:"Statement"`
}

// proposedStatement allows actions on resources.
type proposedStatement struct {
	Effect   string   `json:"Effect"`
	Action   []string `json:"Action"`
	Resource []string `json:"Resource"`
}

// maxManagedPolicy is AWS's bound of a managed policy in characters, blanks not counted.
const maxManagedPolicy = 6144

// literal makes a pattern of an ARN that matches nothing else: a path may have wildcards in it.
var literal = strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}")

// propose returns the least policy that allows what was used and is not unused: actions with the same resources share a statement. nil if nothing was.
func propose(uses []actionUse) *proposedPolicy {
	resources := map[string][]string{} // :: action → ARNs
	for _, u := range uses {
		if u.Unused {
			continue
		}
		resource := u.Resource
		if resource != "*" {
			resource = literal.Replace(resource)
		}
		resources[u.Action] = append(resources[u.Action], resource)
	}
	actions := map[string][]string{} // :: ARNs, joined → actions
	for _, action := range slices.Sorted(maps.Keys(resources)) {
		list := resources[action]
		slices.Sort(list)
		key := strings.Join(slices.Compact(list), "\n")
		actions[key] = append(actions[key], action)
	}
	if len(actions) == 0 {
		return nil
	}
	p := &proposedPolicy{Version: "2012-10-17"}
	for _, key := range slices.Sorted(maps.Keys(actions)) {
		p.Statement = append(p.Statement, proposedStatement{Effect: "Allow", Action: actions[key], Resource: strings.Split(key, "\n")})
	}
	return p
}

// showProposals prints the proposed policies: one for each principal, or if one was asked for, the document alone.
func (a *app) showProposals(all []principalUse, one bool) error {
	policies := map[string]*proposedPolicy{}
	for _, p := range all {
		if p.Policy != nil {
			policies[p.Principal] = p.Policy
			b, err := json.Marshal(p.Policy)
			if err != nil {
				return err
			}
			if len(b) > maxManagedPolicy {
				a.say("warning: the policy for %s has %d characters, and a managed policy at most %d: split it, or put patterns in place of the ARNs", p.Principal, len(b), maxManagedPolicy)
			}
		}
	}
	if len(policies) == 0 {
		a.say("nothing was used: there is nothing to propose")
		return nil
	}
	var v any = policies
	if one {
		v = all[0].Policy
	}
	was := a.output
	if was == formatTable {
		a.output = formatJSON // a document is JSON
	}
	b, err := a.encode(v)
	a.output = was
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(b)
	return err
}
