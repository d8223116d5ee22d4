package diff

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
)

// A generator makes policies and requests of few values, so that they meet.
type generator struct{ *rand.Rand }

func pick[T any](g generator, list ...T) T { return list[g.IntN(len(list))] }

// some returns one to three of the list.
func some[T any](g generator, list ...T) []T {
	var out []T
	for range 1 + g.IntN(3) {
		out = append(out, pick(g, list...))
	}
	return out
}

const (
	home    = "111122223333"
	abroad  = "444455556666"
	bob     = "arn:aws:iam::111122223333:user/team/bob"
	batch   = "arn:aws:iam::111122223333:role/batch"
	visitor = "arn:aws:iam::444455556666:role/visitor"
	issuer  = "arn:aws:iam::111122223333:oidc-provider/ci.example"
)

var (
	keyARNs = []string{
		"arn:aws:kms:eu-central-1:111122223333:key/aa", "arn:aws:kms:eu-central-1:111122223333:key/ab", "arn:aws:kms:us-east-1:111122223333:key/b",
		"arn:aws:kms:us-east-1:444455556666:key/aa",
	}
	aliasARNs  = []string{"arn:aws:kms:eu-central-1:111122223333:alias/a", "arn:aws:kms:eu-central-1:111122223333:alias/team/b", "arn:aws:kms:eu-central-1:111122223333:alias/red"}
	roleARNs   = []string{"arn:aws:iam::111122223333:role/batch", "arn:aws:iam::111122223333:role/other", "arn:aws:iam::444455556666:role/batch"}
	entityARNs = []string{"arn:aws:iam::111122223333:user/team/bob", "arn:aws:iam::111122223333:user/eve"}
	patterns   = []string{
		"*", "*", "arn:aws:kms:*:111122223333:key/*", "arn:aws:kms:*:*:key/a*", "arn:aws:kms:eu-*:111122223333:key/?b", "arn:aws:kms:*", "arn:aws:kms:*:key/aa",
		"arn:aws:kms:*:111122223333:alias/${aws:PrincipalTag/team}", "arn:aws:kms:*:*:alias/team/*", "arn:aws:iam::*:user/${aws:username}", "arn:aws:iam::111122223333:role/b*",
		"arn:aws:iam::111122223333:user/*",
	}
	words    = []string{"a", "b", "ab", "red", "A"}
	globs    = []string{"a", "a*", "*b", "?", "*", "red", "A*"}
	networks = []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "2001:db8::/32", "0.0.0.0/0"}
	times    = []string{"2026-01-01T12:00:00Z", "2026-02-01", "2025-06-01T00:00:00Z"}
	counts   = []string{"900", "3600", "0", "1000.5"}
)

func (g generator) condition(kind authz.PolicyKind, allow bool) (operator, key string, values []string) {
	ifExists := pick(g, "", "", "IfExists")
	texts := func(key string, words, globs []string) (string, string, []string) {
		switch g.IntN(5) {
		case 0:
			return pick(g, "StringEquals", "StringNotEquals") + ifExists, key, some(g, words...)
		case 1:
			return pick(g, "StringLike", "StringNotLike") + ifExists, key, some(g, globs...)
		case 2:
			return pick(g, "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase") + ifExists, key, some(g, words...)
		case 3:
			return "Null", key, []string{pick(g, "true", "false")}
		}
		return "StringEquals", key, append(some(g, words...), pick(g, "${aws:PrincipalTag/team}", "${aws:username, 'a'}", "b"))
	}
	list := func(key string, words, globs []string) (string, string, []string) {
		set := pick(g, "ForAllValues:", "ForAnyValue:")
		if g.IntN(2) == 0 {
			return set + pick(g, "StringEquals", "StringNotEquals"), key, some(g, words...)
		}
		return set + pick(g, "StringLike", "StringNotLike"), key, some(g, globs...)
	}
	switch g.IntN(18) {
	case 0:
		return texts("aws:PrincipalTag/team", words, globs)
	case 1:
		return texts("aws:ResourceTag/team", words, globs)
	case 2:
		return texts("kms:EncryptionContext:app", words, globs)
	case 3:
		return list("kms:EncryptionContextKeys", []string{"app", "App", "b"}, []string{"a*", "*p", "*"})
	case 4:
		return pick(g, "IpAddress", "NotIpAddress"), "aws:SourceIp", some(g, networks...)
	case 5:
		return pick(g, "DateLessThan", "DateGreaterThanEquals", "DateEquals", "DateNotEquals"), "aws:CurrentTime", some(g, times...)
	case 6:
		return pick(g, "DateLessThan", "DateGreaterThan") + ifExists, "aws:TokenIssueTime", some(g, times...)
	case 7:
		return "Bool" + ifExists, pick(g, "aws:MultiFactorAuthPresent", "aws:SecureTransport", "kms:MultiRegion"), []string{pick(g, "true", "false")}
	case 8:
		return pick(g, "NumericLessThan", "NumericGreaterThanEquals", "NumericNotEquals") + ifExists, "aws:MultiFactorAuthAge", some(g, counts...)
	case 9:
		return pick(g, "ArnLike", "ArnNotLike", "StringLike"), "aws:PrincipalArn", some(g, bob, batch, "arn:aws:iam::*:user/*", "arn:aws:iam::111122223333:*/*b*", visitor)
	case 10:
		return texts("aws:RequestTag/team", words, globs)
	case 11:
		return list("aws:TagKeys", []string{"team", "cost"}, []string{"t*", "*o*"})
	case 12:
		return list("kms:ResourceAliases", []string{"alias/a", "alias/b"}, []string{"alias/*", "*b"})
	case 13:
		return pick(g, "StringEquals", "StringNotEquals"), pick(g, "aws:PrincipalAccount", "kms:CallerAccount", "aws:ResourceAccount"), some(g, home, abroad)
	case 15:
		return pick(g, "NumericLessThan", "NumericGreaterThanEquals", "NumericEquals") + ifExists, pick(g, "kms:ScheduleKeyDeletionPendingWindowInDays", "kms:RotationPeriodInDays"), some(g, counts...)
	case 16:
		return pick(g, "DateLessThan", "DateGreaterThanEquals", "DateNotEquals") + ifExists, "kms:ValidTo", some(g, times...)
	case 14:
		return list("kms:GrantOperations", []string{"Decrypt", "Encrypt", "CreateGrant"}, []string{"*crypt", "Create*"})
	}
	if kind == authz.TrustPolicy {
		return texts(pick(g, "ci.example:sub", "sts:ExternalId"), words, globs)
	}
	return texts(pick(g, "kms:RequestAlias", "kms:KeySpec", "aws:PrincipalOrgID"), words, globs)
}

func (g generator) statement(kind authz.PolicyKind) documentStatement {
	s := documentStatement{Effect: pick(g, "Allow", "Allow", "Deny")}
	s.Action = some(g, "kms:Decrypt", "kms:Encrypt", "kms:ListKeys", "kms:CreateAlias", "kms:TagResource", "kms:CreateGrant", "kms:ScheduleKeyDeletion", "kms:ImportKeyMaterial", "kms:*", "kms:Generate*", "iam:PutUserPolicy", "sts:AssumeRole", "*")
	if kind == authz.ResourceControlPolicy {
		s.Effect = "Deny"
	}
	switch kind {
	case authz.TrustPolicy:
		s.Action = some(g, "sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:*")
	case authz.KeyPolicy:
		s.Resource = []string{pick(g, "*", "*", "*", patterns[2], patterns[3])}
	default:
		if g.IntN(6) == 0 {
			s.NotResource = some(g, patterns...)
		} else {
			s.Resource = some(g, patterns...)
		}
	}
	switch kind {
	case authz.ResourceControlPolicy:
		s.Principal = map[string][]string{"AWS": {"*"}}
	case authz.KeyPolicy, authz.TrustPolicy:
		s.Principal = map[string][]string{"AWS": some(g, home, bob, batch, visitor, "*", abroad, "arn:aws:sts::111122223333:assumed-role/batch/night")}
		if kind == authz.TrustPolicy && g.IntN(3) == 0 {
			s.Principal = map[string][]string{"Federated": {issuer}}
		}
		if kind == authz.KeyPolicy && s.Effect == "Deny" && g.IntN(4) == 0 {
			s.Principal, s.NotPrincipal = nil, map[string][]string{"AWS": {home, pick(g, bob, batch)}}
		}
	}
	for range g.IntN(3) {
		operator, key, values := g.condition(kind, s.Effect == "Allow")
		if s.Condition == nil {
			s.Condition = make(map[string]map[string][]string)
		}
		if s.Condition[operator] == nil {
			s.Condition[operator] = make(map[string][]string)
		}
		s.Condition[operator][key] = values
	}
	return s
}

// policy returns a document that parses.
func (g generator) policy(kind authz.PolicyKind) document {
	for {
		d := document{Version: language}
		for range 1 + g.IntN(4) {
			d.Statement = append(d.Statement, g.statement(kind))
		}
		if g.parses(kind, d) {
			return d
		}
	}
}

func (g generator) parses(kind authz.PolicyKind, d document) bool { return parse(kind, d) != nil }

// change returns another version of a document.
func (g generator) change(kind authz.PolicyKind, d document) document {
	for {
		next := document{Version: d.Version, Statement: slices.Clone(d.Statement)}
		at := g.IntN(len(next.Statement))
		switch g.IntN(5) {
		case 0:
			next.Statement = slices.Delete(next.Statement, at, at+1)
		case 1:
			next.Statement = append(next.Statement, g.statement(kind))
		case 2:
			next.Statement[at].Condition = nil
		case 3:
			next.Statement[at].Action = g.statement(kind).Action
		default:
			next.Statement[at].Condition = g.statement(kind).Condition
		}
		if len(next.Statement) > 0 && g.parses(kind, next) {
			return next
		}
	}
}

func (d document) text() []byte {
	b, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return b
}

// request returns a draft of a request that a kmsd could ask a policy of the kind about.
func (g generator) request(s *search) (*draft, bool) {
	kind := s.kind
	callers := []class{
		userClass(bob), userClass("arn:aws:iam::111122223333:user/eve"), sessionClass(batch, "night"), sessionClass(batch, "day"), sessionClass("arn:aws:iam::111122223333:role/other", "day"),
	}
	switch kind {
	case authz.IdentityPolicy:
	case authz.SessionPolicy:
		callers = callers[2:]
	default:
		callers = append(callers, rootClass(home), rootClass(abroad), sessionClass(visitor, "day"), userClass("arn:aws:iam::444455556666:user/eve"), webClass(issuer))
	}
	c := pick(g, callers...)
	c.owner, c.parts = home, "aws"
	if kind == authz.ServiceControlPolicy {
		c.owner = c.caller.Account
	}
	var actions []authz.Action
	for a := range authz.Actions() {
		if strings.HasPrefix(a.String(), "kms:") || a == authz.IAMPutUserPolicy || strings.HasPrefix(a.String(), "sts:") {
			actions = append(actions, a)
		}
	}
	a := pick(g, actions...)
	kinds := s.kindsOf(a)
	if len(kinds) == 0 {
		return nil, false
	}
	d := newDraft(&c, pick(g, kinds...), a)
	if !reaches(&c, a, d.kind) {
		return nil, false
	}
	s.join(d)
	g.fill(d, kind)
	return d, d.caller.Account == d.owner || a.CrossAccount() || d.kind == authz.None || c.caller.Kind == authz.WebIdentity
}

func (g generator) fill(d *draft, kind authz.PolicyKind) {
	arns := map[authz.ResourceKind][]string{authz.Key: keyARNs, authz.Alias: aliasARNs, authz.Role: roleARNs, authz.IAMEntity: entityARNs}[d.kind]
	if len(arns) > 0 {
		arn := pick(g, arns...)
		if a := accountOf(arn); a == d.owner || d.action.CrossAccount() && kind != authz.KeyPolicy && kind != authz.ResourceControlPolicy && kind != authz.TrustPolicy {
			d.place(arn, "")
		}
	}
	maybe := func() bool { return g.IntN(2) == 0 }
	values := append(slices.Clone(words), "alias/a", "x", "")
	if maybe() && d.caller.Kind != authz.WebIdentity {
		d.tags["team"] = []string{pick(g, values...)}
	}
	if maybe() && populates(d.action, "aws:ResourceTag/${k}") {
		d.resourceTags["team"] = []string{pick(g, values...)}
	}
	if populates(d.action, "kms:EncryptionContext:${k}") {
		if maybe() {
			d.encryptionContext["app"] = some(g, values...)
		}
		if maybe() {
			d.contextKeys = some(g, "b", "c", "apple")
		}
	}
	if populates(d.action, "aws:TagKeys") {
		if maybe() && populates(d.action, "aws:RequestTag/${k}") {
			d.requestTags["team"] = []string{pick(g, values...)}
		}
		if maybe() {
			d.tagKeys = some(g, "cost", "other", "to")
		}
	}
	if d.kind == authz.Key && maybe() {
		d.aliases = some(g, "alias/a", "alias/b", "alias/c")
	}
	if d.kind == authz.Key {
		d.texts[authz.CtxKeySpec] = pick(g, values...)
	}
	if populates(d.action, "kms:GrantOperations") && maybe() {
		d.lists[authz.CtxGrantOperations] = some(g, "Decrypt", "Encrypt", "CreateGrant", "DescribeKey")
	}
	if populates(d.action, "kms:RequestAlias") && maybe() {
		d.texts[authz.CtxRequestAlias] = pick(g, values...)
	}
	if populates(d.action, "sts:ExternalId") && maybe() {
		d.texts[authz.CtxExternalID] = pick(g, values...)
	}
	if d.caller.Kind == authz.WebIdentity && maybe() {
		d.claims["ci.example:sub"] = some(g, values...)
	}
	if kind != authz.ServiceControlPolicy && maybe() {
		d.principalOrg = &authz.Membership{Organization: pick(g, words...), Path: "p/"}
	} else if kind == authz.ServiceControlPolicy {
		d.principalOrg = &authz.Membership{Organization: pick(g, words...), Path: "p/"}
	}
	if d.caller.Kind != authz.RoleSession && maybe() {
		d.issued = pick(g, noon, noon.AddDate(0, -8, 0), noon.AddDate(0, 3, 0))
	}
	if d.caller.Kind == authz.User || d.caller.Kind == authz.Root {
		d.mfaAge = pick(g, int64(-1), 0, 900, 1000, 1001, 5000)
	}
	d.now = pick(g, noon, noon.Add(-time.Millisecond), noon.AddDate(0, 2, 0), noon.AddDate(-1, 0, 0))
	d.address = netip.MustParseAddr(pick(g, "10.0.0.1", "10.1.0.1", "10.1.2.3", "192.0.2.7", "2001:db8::9", "2001:db9::1"))
	d.tls = maybe()
}
