package lint

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// at reports a finding about a condition.
func (l *linter) at(s *statement, c *condition, message, fix string) {
	l.report(s.n, c.From, message, fix)
}

func neverPresent(l *linter, s *statement, c *condition) {
	if !c.claim && c.info.Never {
		l.at(s, c, "No request to kmsd has "+quote(c.name())+", so that the condition "+c.absent()+".", "")
	}
}

// absent says what the condition does where the key is absent.
func (c *condition) absent() string {
	holds := c.negated || c.ifExists
	switch {
	case c.base == "Null":
		holds = strings.EqualFold(c.Values[0], "true")
	case c.set == "ForAllValues":
		holds = true
	case c.set == "ForAnyValue":
		holds = false
	}
	if holds {
		return "always holds"
	}
	return "never holds"
}

func notForActions(l *linter, s *statement, c *condition) {
	if c.claim || c.info.Never || len(l.relevant(s)) == 0 {
		return
	}
	if missing := l.absentFor(s, c); len(missing) == len(l.relevant(s)) {
		l.at(s, c, "No request for "+some(missing)+" has "+quote(c.name())+", so that the condition "+c.absent()+".", "")
	}
}

// notForSomeActions leaves out what is plain from the statement: an operator that asks for the key in a Deny, and one with IfExists.
func notForSomeActions(l *linter, s *statement, c *condition) {
	if c.claim || c.info.Never || c.ifExists || c.base == "Null" || s.NotAction {
		return
	}
	if s.Effect == authz.Deny && c.positive() {
		return
	}
	missing := l.absentFor(s, c)
	if len(missing) == 0 || len(missing) == len(l.relevant(s)) {
		return
	}
	what := "denied"
	if (s.Effect == authz.Allow) == (c.absent() == "always holds") {
		what = "allowed whatever it is"
	}
	if s.Effect == authz.Allow && what == "denied" {
		what = "not allowed"
	}
	l.at(s, c, "Requests for "+some(missing)+" never have "+quote(c.name())+": they are "+what+".", "")
}

func plainOnList(l *linter, s *statement, c *condition) {
	if !c.claim && c.info.Multi && c.set == "" && c.base != "Null" {
		l.at(s, c, quote(c.name())+" may have several values, which "+c.Operator+" alone does not compare.", "Write ForAnyValue:"+c.base+" or ForAllValues:"+c.base+".")
	}
}

func setOnOneValue(l *linter, s *statement, c *condition) {
	if c.set != "" && (c.claim || !c.info.Multi) {
		l.at(s, c, quote(c.name())+" has one value, so that "+c.set+" only changes what holds where it is absent.", "")
	}
}

func contradictory(l *linter, s *statement, c *condition) {
	if c.base == "Null" && strings.EqualFold(c.Values[0], "true") && s.requires(c) {
		l.at(s, c, "One condition asks that "+quote(c.name())+" be absent and another one that it be there: the statement never applies.", "")
	}
}

func forAllWithoutNull(l *linter, s *statement, c *condition) {
	if s.Effect == authz.Allow && c.set == "ForAllValues" && !s.requires(c) {
		l.at(s, c, "The condition holds for every request without "+quote(c.name())+".", "")
	}
}

func forAllDeniesAbsent(l *linter, s *statement, c *condition) {
	if s.Effect == authz.Deny && c.set == "ForAllValues" && !c.negated && !s.asksPresence(c) {
		l.at(s, c, "The condition holds for every request without "+quote(c.name())+", and for none that has another value besides.", "")
	}
}

// negation reports whether the condition is a negated one that also holds where the key is absent, without saying so.
func (l *linter) negation(s *statement, c *condition) bool {
	return c.negated && c.set == "" && !c.ifExists && !c.info.Never && !s.asksPresence(c) && !s.requires(c) && l.mayBeAbsent(s, c)
}

func negationAllowsAbsent(l *linter, s *statement, c *condition) {
	if s.Effect == authz.Allow && l.negation(s, c) {
		l.at(s, c, "The condition holds for every request without "+quote(c.name())+" too.", "")
	}
}

func negationDeniesAbsent(l *linter, s *statement, c *condition) {
	if s.Effect == authz.Deny && l.negation(s, c) {
		l.at(s, c, "The condition holds for every request without "+quote(c.name())+" too, which is denied.", "")
	}
}

func mfaDeny(l *linter, s *statement, c *condition) {
	if s.Effect == authz.Deny && c.isFor("aws:MultiFactorAuthPresent") && c.Operator == "Bool" && strings.EqualFold(c.Values[0], "false") {
		l.at(s, c, "Long-term credentials do not have aws:MultiFactorAuthPresent, so that they are not denied.", "")
	}
}

func mfaAllow(l *linter, s *statement, c *condition) {
	if s.Effect == authz.Allow && c.isFor("aws:MultiFactorAuthPresent") && c.Operator == "BoolIfExists" && strings.EqualFold(c.Values[0], "true") {
		l.at(s, c, "Long-term credentials do not have aws:MultiFactorAuthPresent, so that they are allowed.", "")
	}
}

func clientControlled(l *linter, s *statement, c *condition) {
	if s.Effect == authz.Allow && c.isFor("aws:UserAgent", "aws:Referer") {
		l.at(s, c, "The client chooses what "+quote(c.name())+" is.", "")
	}
}

func everyAddress(l *linter, s *statement, c *condition) {
	if c.info.Type != authz.IPAddressKey || c.base == "Null" {
		return
	}
	for _, v := range c.Values {
		if p, err := netip.ParsePrefix(v); err == nil && p.Bits() == 0 {
			l.at(s, c, quote(v)+" is every address.", "")
		}
	}
}

func hostBits(l *linter, s *statement, c *condition) {
	if c.info.Type != authz.IPAddressKey || c.base == "Null" {
		return
	}
	for _, v := range c.Values {
		if p, err := netip.ParsePrefix(v); err == nil && p != p.Masked() {
			l.at(s, c, quote(v)+" has host bits, which do not count.", "Write "+p.Masked().String()+", or "+p.Addr().String()+" for the address alone.")
		}
	}
}

func wildcardInEquals(l *linter, s *statement, c *condition) {
	if !strings.HasPrefix(c.base, "StringEquals") && !strings.HasPrefix(c.base, "StringNotEquals") {
		return
	}
	for _, v := range c.Values {
		if wildcard(withoutVariables(v)) {
			l.at(s, c, "The * or ? in "+quote(v)+" stands for itself.", "")
		}
	}
}

// withoutVariables cuts out what stands in ${}.
func withoutVariables(s string) string {
	for {
		from := strings.Index(s, "${")
		if from < 0 {
			return s
		}
		to := strings.IndexByte(s[from:], '}')
		if to < 0 {
			return s[:from]
		}
		s = s[:from] + s[from+to+1:]
	}
}

func likeWithoutWildcard(l *linter, s *statement, c *condition) {
	if (c.base == "StringLike" || c.base == "StringNotLike") && !slices.ContainsFunc(c.Values, wildcard) {
		l.at(s, c, "No value has a wildcard.", "Write "+strings.Replace(c.Operator, "Like", "Equals", 1)+".")
	}
}

func ifExistsWithoutEffect(l *linter, s *statement, c *condition) {
	if c.ifExists && !l.mayBeAbsent(s, c) {
		l.at(s, c, "Every request has "+quote(c.name())+".", "Write "+strings.TrimSuffix(c.Operator, "IfExists")+".")
	}
}

func resourceTagInKeyPolicy(l *linter, s *statement, c *condition) {
	if l.kind == authz.KeyPolicy && c.isFor("aws:ResourceTag/", "kms:ResourceAliases") {
		l.at(s, c, "AWS KMS does not have "+quote(c.name())+" in key policies; kmsd has.", "")
	}
}
