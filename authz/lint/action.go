package lint

import (
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// wildcard reports whether a value has * or ?.
func wildcard(s string) bool { return strings.ContainsAny(s, "*?") }

func unknownActions(l *linter, s *statement) {
	for _, p := range s.ActionPatterns {
		if l.full() {
			return
		}
		if _, ok := authz.ActionByName(p); ok || wildcard(p) {
			continue
		}
		fix := ""
		if near := nearestAction(p); near != "" {
			fix = "Write " + near + "."
		}
		l.report(s.n, l.place(s, p), "kmsd has no action "+quote(p)+", so that it matches nothing.", fix)
	}
}

func emptyPatterns(l *linter, s *statement) {
	for _, p := range s.ActionPatterns {
		if wildcard(p) && !l.full() && len(l.matched(p)) == 0 {
			l.report(s.n, l.place(s, p), "No action of kmsd matches "+quote(p)+".", "")
		}
	}
}

// matched returns the actions that a value of Action takes in.
func (l *linter) matched(pattern string) []authz.Action {
	if a, ok := authz.ActionByName(pattern); ok {
		return []authz.Action{a}
	}
	var list []authz.Action
	if !wildcard(pattern) {
		return nil
	}
	service, name, _ := strings.Cut(strings.ToLower(pattern), ":")
	for a := range authz.Actions() {
		of, rest, _ := strings.Cut(strings.ToLower(a.String()), ":")
		if pattern == "*" || service == of && l.covers(name, rest, true) {
			list = append(list, a)
		}
	}
	return list
}

func allowNotAction(l *linter, s *statement) {
	if s.Effect == authz.Allow && s.NotAction && l.grants() {
		l.report(s.n, s.From, "The statement allows every action but those that it lists.", "")
	}
}

// grants reports whether an Allow of the kind of policy gives permissions, and does not only limit those of others.
func (l *linter) grants() bool {
	return l.kind == authz.IdentityPolicy || l.kind == authz.KeyPolicy || l.kind == authz.TrustPolicy
}

func notAsked(l *linter, s *statement) {
	switch l.kind {
	case authz.KeyPolicy, authz.ResourceControlPolicy:
	default:
		return // of a trust policy the parser refuses such actions
	}
	if len(s.Actions) > 0 && len(l.relevant(s)) == 0 {
		l.report(s.n, s.From, "Nobody asks "+l.name()+" about "+some(s.Actions)+".", "")
	}
}

// name returns the kind with its article.
func (l *linter) name() string {
	if l.kind == authz.IdentityPolicy {
		return "an " + l.kind.String()
	}
	return "a " + l.kind.String()
}

// takesIn reports whether the statement has all of the actions.
func (s *statement) takesIn(all ...authz.Action) bool {
	for _, a := range all {
		if int(a) >= len(s.has) || !s.has[a] {
			return false
		}
	}
	return true
}

// everything reports whether the statement is about every action that the kind of policy is asked about, on everything, on no
// condition.
func (l *linter) everything(s *statement) bool {
	if s.NotAction || s.NotResource || len(s.Conditions) > 0 || !slices.Contains(s.Resources, "*") {
		return false
	}
	all := slices.Contains(s.ActionPatterns, "*")
	if l.kind == authz.KeyPolicy {
		all = all || slices.ContainsFunc(s.ActionPatterns, func(p string) bool { return strings.EqualFold(p, "kms:*") })
	}
	return all
}

func fullAccess(l *linter, s *statement) {
	if l.kind == authz.IdentityPolicy && s.Effect == authz.Allow && l.everything(s) {
		l.report(s.n, s.From, "The statement allows everything.", "")
	}
}

func deniesEveryone(l *linter, s *statement) {
	if s.Effect != authz.Deny || !l.everything(s) || s.NotPrincipal {
		return
	}
	if l.kind == authz.KeyPolicy && !slices.Contains(s.Principals, "*") {
		return
	}
	l.report(s.n, s.From, "The statement denies everything, whatever allows it.", "")
}

func allowsLittle(l *linter) {
	if l.kind != authz.ServiceControlPolicy {
		return
	}
	allows := 0
	for i := range l.statements {
		s := &l.statements[i]
		if s.Effect != authz.Allow {
			continue
		}
		if allows = s.n; l.everything(s) {
			return
		}
	}
	if allows != 0 {
		l.report(allows, l.statements[allows-1].From, "No statement of the policy allows everything, so that it needs another one beside it at each place that it is attached to.", "")
	}
}

// escalations are actions with which one can give permissions that one does not have, and the kind of entity that they are asked for. It is
// never written.
var escalations = map[authz.Action]string{
	authz.IAMPutUserPolicy:                 "user",
	authz.IAMAttachUserPolicy:              "user",
	authz.IAMCreateAccessKey:               "user",
	authz.IAMCreateClientCertificate:       "user",
	authz.IAMDeleteUserPermissionsBoundary: "user",
	authz.IAMPutGroupPolicy:                "group",
	authz.IAMAttachGroupPolicy:             "group",
	authz.IAMAddUserToGroup:                "group",
	authz.IAMPutRolePolicy:                 "role",
	authz.IAMAttachRolePolicy:              "role",
	authz.IAMUpdateAssumeRolePolicy:        "role",
	authz.IAMDeleteRolePermissionsBoundary: "role",
	authz.IAMCreatePolicyVersion:           "policy",
	authz.IAMSetDefaultPolicyVersion:       "policy",
}

func privilegeEscalation(l *linter, s *statement) {
	if l.kind != authz.IdentityPolicy || s.Effect != authz.Allow || l.everything(s) {
		return
	}
	for i := range s.conditions {
		if c := &s.conditions[i]; c.positive() && c.isFor("iam:PermissionsBoundary", "iam:PolicyARN", "iam:ResourceTag/", "aws:ResourceTag/") {
			return
		}
	}
	var list []authz.Action
	for _, a := range s.Actions {
		if of, ok := escalations[a]; ok && s.onEvery(of) {
			list = append(list, a)
		}
	}
	if len(list) > 0 {
		l.report(s.n, s.From, "With "+some(list)+" on all of them, one can have any permission in the account.", "")
	}
}

// losses are the actions after which what a key has encrypted is lost. It is never written.
var losses = []authz.Action{authz.KMSScheduleKeyDeletion, authz.KMSDeleteImportedKeyMaterial}

// keyLoss leaves a statement about every action alone: it is an administrator's, or that of a key policy for the key's account.
func keyLoss(l *linter, s *statement) {
	if s.Effect != authz.Allow || l.kind != authz.IdentityPolicy && l.kind != authz.KeyPolicy || allOfKMS(s) {
		return
	}
	if l.kind == authz.KeyPolicy && !slices.Contains(s.Principals, "*") || !s.onEvery("key") {
		return
	}
	if s.restricted("aws:MultiFactorAuthPresent", "aws:MultiFactorAuthAge", "aws:ResourceTag/", "kms:ResourceAliases") {
		return
	}
	var list []authz.Action
	for _, a := range losses {
		if s.takesIn(a) {
			list = append(list, a)
		}
	}
	if len(list) > 0 {
		l.report(s.n, l.place(s, list[0].String()), "With "+some(list)+", one who has stolen a password or an access key can have every key destroyed.", "")
	}
}

// allOfKMS reports whether the statement is about all actions of KMS, or all there are.
func allOfKMS(s *statement) bool {
	return slices.ContainsFunc(s.ActionPatterns, func(p string) bool { return p == "*" || strings.EqualFold(p, "kms:*") })
}

// onEvery reports whether the statement takes in all entities of a kind, or all of a path.
func (s *statement) onEvery(kind string) bool {
	if s.NotResource {
		return true
	}
	return slices.ContainsFunc(s.Resources, func(r string) bool {
		parts := strings.SplitN(r, ":", 6)
		return r == "*" || len(parts) < 6 || parts[5] == "*" || parts[5] == kind+"/*" || parts[5] == kind+"*"
	})
}
