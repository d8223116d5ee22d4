package lint

import (
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// forms :: kind → what ARNs of it are like. It is never written.
var forms = map[authz.ResourceKind]string{
	authz.Key:                "arn:*:kms:*:*:key/*",
	authz.Alias:              "arn:*:kms:*:*:alias/*",
	authz.IAMEntity:          "arn:*:iam::*:*",
	authz.Role:               "arn:*:iam::*:role/*",
	authz.OrganizationEntity: "arn:*:organizations::*:*",
}

// matches reports whether a resource of the statement can be one that the action is asked for.
func (l *linter) matches(s *statement, a authz.Action) bool {
	set := l.subject(a)
	for _, r := range s.Resources {
		if r == "*" {
			return true
		}
		for k, form := range forms {
			if set&(1<<k) != 0 && l.meet(l.fixed(r), form) {
				return true
			}
		}
	}
	return false
}

// unmatched returns the actions that are asked for nothing that Resource names. Of actions written with wildcards only those are meant that
// can match.
func (l *linter) unmatched(s *statement, exact bool) []authz.Action {
	if s.NotResource || len(s.Resources) == 0 || s.NotAction {
		return nil
	}
	var list []authz.Action
	for _, a := range s.Actions {
		if exact && !slices.ContainsFunc(s.ActionPatterns, func(p string) bool { return strings.EqualFold(p, a.String()) }) {
			continue
		}
		if !l.matches(s, a) {
			list = append(list, a)
		}
	}
	return list
}

// onlyAliases reports whether all resources are aliases, and no action is asked for one.
func (l *linter) onlyAliases(s *statement) bool {
	for _, a := range s.Actions {
		if l.subject(a)&(1<<authz.Alias) != 0 {
			return false
		}
	}
	return len(s.Resources) > 0 && !slices.ContainsFunc(s.Resources, func(r string) bool {
		parts := strings.SplitN(r, ":", 6)
		return len(parts) < 6 || !strings.HasPrefix(parts[5], "alias/")
	})
}

func aliasForKeys(l *linter, s *statement) {
	if l.onlyAliases(s) && len(s.Actions) > 0 {
		l.report(s.n, l.place(s, s.Resources[0]), some(s.Actions)+" is asked for keys, never for aliases.", "")
	}
}

func resourceNeverMatches(l *linter, s *statement) {
	list := l.unmatched(s, false)
	if len(list) == 0 || len(list) < len(s.Actions) || l.onlyAliases(s) {
		return
	}
	l.report(s.n, l.place(s, s.Resources[0]), "Resource names nothing that "+some(list)+" is asked for.", l.rightResource(list))
}

// rightResource says what to write for the first of the actions.
func (l *linter) rightResource(list []authz.Action) string {
	set := l.subject(list[0])
	for _, k := range []authz.ResourceKind{authz.Key, authz.Alias, authz.Role, authz.IAMEntity, authz.OrganizationEntity} {
		if set&(1<<k) != 0 {
			return "For " + list[0].String() + " write an ARN such as " + forms[k] + "."
		}
	}
	return "For " + list[0].String() + `, which has no resource, write "*".`
}

func resourceNotForSome(l *linter, s *statement) {
	list := l.unmatched(s, true)
	if len(list) == 0 || len(l.unmatched(s, false)) == len(s.Actions) {
		return
	}
	l.report(s.n, l.place(s, list[0].String()), "Resource names nothing that "+some(list)+" is asked for.", l.rightResource(list))
}

func allowNotResource(l *linter, s *statement) {
	if s.Effect == authz.Allow && s.NotResource && l.grants() {
		l.report(s.n, s.From, "The statement allows the actions on everything but what it lists.", "")
	}
}

func keyPolicyResource(l *linter, s *statement) {
	if l.kind != authz.KeyPolicy || slices.Contains(s.Resources, "*") && !s.NotResource {
		return
	}
	l.report(s.n, l.place(s, s.Resources[0]), "A key policy is about its own key; the statement does not apply if its ARN is another one.", "")
}

func literalVariables(l *linter, s *statement) {
	if l.policy.Version() == "2012-10-17" {
		return
	}
	for _, r := range s.Resources {
		if strings.Contains(r, "${") {
			l.report(s.n, l.place(s, r), "Without Version 2012-10-17 the variable in "+quote(r)+" is not replaced.", "")
		}
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		if slices.ContainsFunc(c.Values, func(v string) bool { return strings.Contains(v, "${") }) {
			l.at(s, c, "Without Version 2012-10-17 the variables in the values of "+quote(c.name())+" are not replaced.", "")
		}
	}
}

// openVariable reports whether a value has a policy variable that a request may have no value for.
func (l *linter) openVariable(s string) bool {
	if l.policy.Version() != "2012-10-17" {
		return false
	}
	for {
		_, rest, ok := strings.Cut(s, "${")
		if !ok {
			return false
		}
		at := strings.IndexAny(rest, ",}")
		if at < 0 {
			return false
		}
		info, known := authz.ConditionKey(rest[:at])
		if known && rest[at] == '}' && !slices.Contains(alwaysPresent, info.Name) && !slices.Contains(presentForAccounts, info.Name) {
			return true
		}
		s = rest[at:]
	}
}

func variableInNotResource(l *linter, s *statement) {
	if s.Effect != authz.Allow || !s.NotResource {
		return
	}
	for _, r := range s.Resources {
		if l.openVariable(r) {
			l.report(s.n, l.place(s, r), "Where the variable in "+quote(r)+" has no value, the statement allows everything.", "")
		}
	}
}

func variableInDeny(l *linter, s *statement) {
	if s.Effect != authz.Deny || s.NotResource {
		return
	}
	for _, r := range s.Resources {
		if l.openVariable(r) {
			l.report(s.n, l.place(s, r), "Where the variable in "+quote(r)+" has no value, the statement denies nothing there.", "")
		}
	}
}
