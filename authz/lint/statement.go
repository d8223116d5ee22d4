package lint

import (
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// A statement is one of the document with its conditions taken apart.
type statement struct {
	authz.StatementView
	n          int
	has        []bool // :: action → whether it is among Actions
	conditions []condition
}

// A condition is one key of one operator.
type condition struct {
	authz.ConditionView
	set      string // "ForAllValues", "ForAnyValue" or ""
	base     string // "StringEquals"
	ifExists bool
	negated  bool
	claim    bool                 // Key is a claim of a web identity, and info is not known
	info     authz.ContextKeyInfo // of Key
}

func newStatement(v authz.StatementView, n int) statement {
	s := statement{StatementView: v, n: n}
	if len(v.Actions) > 0 {
		s.has = make([]bool, slices.Max(v.Actions)+1)
	}
	for _, a := range v.Actions {
		s.has[a] = true
	}
	for _, c := range v.Conditions {
		s.conditions = append(s.conditions, newCondition(c))
	}
	return s
}

func newCondition(v authz.ConditionView) condition {
	c := condition{ConditionView: v, base: v.Operator}
	if set, base, ok := strings.Cut(v.Operator, ":"); ok {
		c.set, c.base = set, base
	}
	c.base, c.ifExists = strings.CutSuffix(c.base, "IfExists")
	c.negated = strings.Contains(c.base, "Not")
	info, ok := authz.ConditionKey(v.Key)
	c.info, c.claim = info, !ok
	return c
}

// name returns the key as AWS writes it, and of a family, or a claim, as the document does.
func (c *condition) name() string {
	if c.claim || strings.HasSuffix(c.info.Name, "${k}") {
		return c.Key
	}
	return c.info.Name
}

// isFor reports whether the condition is about one of the keys; of a family its name ends in "/" or ":".
func (c *condition) isFor(names ...string) bool {
	return !c.claim && slices.Contains(names, strings.TrimSuffix(c.info.Name, "${k}"))
}

// positive reports whether the condition can only hold if the request has the key.
func (c *condition) positive() bool {
	switch {
	case c.base == "Null":
		return strings.EqualFold(c.Values[0], "false")
	case c.set == "ForAnyValue":
		return true
	}
	return !c.negated && !c.ifExists && c.set == ""
}

// requires reports whether some condition of the statement, other than c, holds only if the request has c's key.
func (s *statement) requires(c *condition) bool {
	for i := range s.conditions {
		if other := &s.conditions[i]; other != c && strings.EqualFold(other.Key, c.Key) && other.positive() {
			return true
		}
	}
	return false
}

// asksPresence reports whether a condition of the statement is Null for c's key.
func (s *statement) asksPresence(c *condition) bool {
	for i := range s.conditions {
		if other := &s.conditions[i]; other.base == "Null" && strings.EqualFold(other.Key, c.Key) {
			return true
		}
	}
	return false
}

// alwaysPresent are the condition keys that every request has that can have them. It is never written.
var alwaysPresent = []string{
	"aws:PrincipalArn", "aws:PrincipalType", "aws:SourceIp", "aws:SecureTransport", "aws:CurrentTime", "aws:EpochTime",
	"aws:RequestedRegion", "aws:ResourceAccount", "kms:KeySpec", "kms:KeyUsage", "kms:KeyOrigin", "kms:MultiRegion",
	"kms:CustomerMasterKeySpec", "kms:CustomerMasterKeyUsage", "kms:EncryptionAlgorithm", "kms:GrantOperations", "kms:GranteePrincipal",
	"kms:GrantIsForAWSResource", "kms:ReEncryptOnSameKey", "kms:SigningAlgorithm", "kms:MessageType", "kms:MacAlgorithm", "kms:KeyAgreementAlgorithm",
	"kms:DataKeyPairSpec", "kms:ScheduleKeyDeletionPendingWindowInDays", "kms:WrappingAlgorithm", "kms:WrappingKeySpec", "kms:ExpirationModel", "sts:RoleSessionName", "iam:PolicyARN", "organizations:PolicyType", "organizations:PolicyId",
}

// presentForAccounts are those that every request has but that of a web identity.
var presentForAccounts = []string{"aws:PrincipalAccount", "aws:userid", "kms:CallerAccount"}

// mayBeAbsent reports whether a request for an action of the statement can lack the key.
func (l *linter) mayBeAbsent(s *statement, c *condition) bool {
	if c.claim || l.absentFor(s, c) != nil {
		return true
	}
	return !slices.Contains(alwaysPresent, c.info.Name) && (l.kind == authz.TrustPolicy || !slices.Contains(presentForAccounts, c.info.Name))
}

// absentFor returns the actions of the statement whose requests never have the key.
func (l *linter) absentFor(s *statement, c *condition) []authz.Action {
	if c.claim {
		return nil
	}
	var list []authz.Action
	for _, a := range l.relevant(s) {
		if !l.has(a, c.info.Name) {
			list = append(list, a)
		}
	}
	return list
}

// has reports whether requests for an action can have a key.
func (l *linter) has(a authz.Action, key string) bool {
	names, ok := l.keys[a]
	if !ok {
		names = make(map[string]bool)
		for _, k := range authz.ContextKeys(a) {
			names[k.Name] = true
		}
		l.keys[a] = names
	}
	return names[key]
}

// relevant returns the actions of the statement about which policies of the kind are asked.
func (l *linter) relevant(s *statement) []authz.Action {
	kinds := allKinds
	switch l.kind {
	case authz.KeyPolicy:
		kinds = 1 << authz.Key
	case authz.TrustPolicy:
		kinds = 1 << authz.Role
	case authz.ResourceControlPolicy:
		kinds = 1<<authz.Key | 1<<authz.Role
	}
	list := make([]authz.Action, 0, len(s.Actions))
	for _, a := range s.Actions {
		if l.subject(a)&kinds != 0 {
			list = append(list, a)
		}
	}
	return list
}

// A kindSet has bit 1<<k for each authz.ResourceKind k.
type kindSet uint8

const allKinds kindSet = 1<<(authz.OrganizationEntity+1) - 1

// subject returns what kinds of resources an action is asked for.
func (l *linter) subject(a authz.Action) kindSet {
	if set, ok := l.subjects[a]; ok {
		return set
	}
	const account = "111122223333"
	c := authz.Caller{Kind: authz.Root, Account: account, ID: account, ARN: "arn:aws:iam::" + account + ":root"}
	var set kindSet
	for k := authz.None; k <= authz.OrganizationEntity; k++ {
		r := authz.Resource{Kind: k, Account: account, ARN: c.ARN}
		if _, d := authz.Authorize(&c, a, &r, nil); d.Reason != authz.InvalidRequest {
			set |= 1 << k
		}
	}
	l.subjects[a] = set
	return set
}
