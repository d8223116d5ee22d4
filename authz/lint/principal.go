package lint

import (
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// whoKeys are condition keys that say who calls, or from where. It is never written.
var whoKeys = []string{
	"aws:PrincipalArn", "aws:PrincipalAccount", "aws:PrincipalOrgID", "aws:PrincipalOrgPaths", "aws:PrincipalTag/", "aws:userid", "aws:username",
	"aws:SourceIdentity", "aws:SourceIp", "kms:CallerAccount", "sts:ExternalId", "aws:SourceArn", "aws:SourceAccount", "aws:SourceOrgID", "aws:SourceVpc", "aws:SourceVpce",
}

// restricted reports whether the statement only applies to requests that have one of the keys with a value it names.
func (s *statement) restricted(keys ...string) bool {
	return slices.ContainsFunc(s.conditions, func(c condition) bool {
		return c.base != "Null" && c.positive() && !c.negated && c.isFor(keys...) && !slices.Contains(c.Values, "*")
	})
}

func publicPrincipal(l *linter, s *statement) {
	if s.Effect != authz.Allow || l.kind == authz.ResourceControlPolicy || !slices.Contains(s.Principals, "*") || s.restricted(whoKeys...) {
		return
	}
	who := "every principal of every account"
	if l.kind == authz.KeyPolicy {
		who = "every principal of the account without an identity policy, and every one of other accounts that has one"
	}
	l.report(s.n, l.place(s, "*"), "The statement allows "+who+".", "")
}

// accountOf returns the account of a principal, or "" if it says none.
func accountOf(principal string) string {
	if len(principal) == 12 && strings.Trim(principal, "0123456789") == "" {
		return principal
	}
	if parts := strings.SplitN(principal, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}

func isProvider(principal string) bool { return strings.Contains(principal, ":oidc-provider/") }

func crossAccountTrust(l *linter, s *statement) {
	if l.kind != authz.TrustPolicy || s.Effect != authz.Allow || !s.takesIn(authz.STSAssumeRole) {
		return
	}
	if s.restricted(whoKeys...) {
		return
	}
	for _, p := range s.Principals {
		a := accountOf(p)
		if a == "" || isProvider(p) {
			continue
		}
		if a == l.account || l.account == "" && len(l.trusted()) < 2 {
			continue
		}
		message := "Principals of account " + a + " may assume the role."
		if l.account == "" {
			message = "Principals of several accounts may assume the role, so that some of them are of another one than the role."
		}
		l.report(s.n, l.place(s, p), message, "")
		return
	}
}

// trusted returns the accounts that the policy allows something to.
func (l *linter) trusted() []string {
	var list []string
	for i := range l.statements {
		s := &l.statements[i]
		if s.Effect != authz.Allow {
			continue
		}
		for _, p := range s.Principals {
			if a := accountOf(p); a != "" && !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list
}

func webIdentity(l *linter, s *statement) {
	if s.Effect != authz.Allow || !s.takesIn(authz.STSAssumeRoleWithWebIdentity) {
		return
	}
	for _, p := range s.Principals {
		_, issuer, ok := strings.Cut(p, ":oidc-provider/")
		if !ok || s.asksClaim(issuer) {
			continue
		}
		l.report(s.n, l.place(s, p), "Whoever has a token of "+quote(issuer)+" may assume the role.", "")
	}
}

// asksClaim reports whether a condition asks that a claim of the issuer, other than the audience, be one of some values.
func (s *statement) asksClaim(issuer string) bool {
	return slices.ContainsFunc(s.conditions, func(c condition) bool {
		at := strings.LastIndexByte(c.Key, ':')
		return c.claim && c.positive() && !c.negated && c.base != "Null" && strings.EqualFold(c.Key[:at], issuer) &&
			!slices.Contains([]string{"aud", "azp", "iss"}, strings.ToLower(c.Key[at+1:])) && !slices.Contains(c.Values, "*")
	})
}

func principalForActions(l *linter, s *statement) {
	if l.kind != authz.TrustPolicy || s.Effect != authz.Allow {
		return
	}
	assumes, web := s.takesIn(authz.STSAssumeRole), s.takesIn(authz.STSAssumeRoleWithWebIdentity)
	for _, p := range s.Principals {
		switch {
		case isProvider(p) && assumes && !web:
			l.report(s.n, l.place(s, p), "A web identity does not call sts:AssumeRole.", "")
			return
		case !isProvider(p) && web && !assumes:
			l.report(s.n, l.place(s, p), "Only web identities call sts:AssumeRoleWithWebIdentity.", "")
			return
		}
	}
}

// noAccountStatement looks for a statement that lets an account put another policy.
func noAccountStatement(l *linter) {
	if l.kind != authz.KeyPolicy {
		return
	}
	for i := range l.statements {
		s := &l.statements[i]
		if s.Effect != authz.Allow || len(s.conditions) > 0 || !s.takesIn(authz.KMSPutKeyPolicy) {
			continue
		}
		for _, p := range s.Principals {
			root := p == accountOf(p) || strings.HasSuffix(p, ":root")
			if p == "*" || root && (l.account == "" || accountOf(p) == l.account) {
				return
			}
		}
	}
	l.report(0, 0, "No statement lets the account change the key policy: nobody can, once the principals that it names are deleted.", "")
}
