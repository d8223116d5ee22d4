package lint

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// redundant calls say for each value of a list that another one takes in; of two that take in each other, for the second.
func (l *linter) redundant(list []string, covers func(a, b string) bool, say func(value, by string)) {
	first := make(map[string]int, len(list))
	for i, v := range list {
		if _, again := first[v]; again {
			say(v, v)
			continue
		}
		first[v] = i
	}
	for i, by := range list {
		if !wildcard(by) || first[by] != i {
			continue
		}
		for j, v := range list {
			if l.full() || l.steps < 0 {
				return
			}
			if i != j && v != by && covers(by, v) && (i < j || !covers(v, by)) {
				say(v, by)
			}
		}
	}
}

func redundantActions(l *linter, s *statement) {
	folded := make([]string, len(s.ActionPatterns))
	for i, p := range s.ActionPatterns {
		folded[i] = strings.ToLower(p)
	}
	l.redundant(folded, func(a, b string) bool {
		if a == "*" {
			return true
		}
		service, name, _ := strings.Cut(a, ":")
		of, other, ok := strings.Cut(b, ":")
		return ok && service == of && l.covers(name, other, true)
	}, func(value, by string) {
		at := slices.Index(folded, value)
		l.report(s.n, l.place(s, s.ActionPatterns[at]), quote(s.ActionPatterns[at])+" is among "+quote(by)+".", "")
	})
}

func redundantResources(l *linter, s *statement) {
	l.redundant(s.Resources, l.coversResource, func(value, by string) {
		l.report(s.n, l.place(s, value), quote(value)+" is among "+quote(by)+".", "")
	})
}

// coversResource reports whether one value of Resource takes in another one.
func (l *linter) coversResource(a, b string) bool {
	return a == "*" || a == b || !strings.Contains(a+b, "${") && l.covers(a, b, false)
}

func redundantPrincipals(l *linter, s *statement) {
	var seen []string
	for _, p := range s.Principals {
		if l.full() {
			return
		}
		same := p
		if strings.HasSuffix(p, ":root") {
			same = accountOf(p)
		}
		switch {
		case slices.Contains(seen, same):
			l.report(s.n, l.place(s, p), quote(p)+" stands there already.", "")
		case p != "*" && s.Effect == authz.Deny && slices.Contains(s.Principals, "*") && !isProvider(p):
			l.report(s.n, l.place(s, p), quote(p)+` is among "*".`, "")
		}
		seen = append(seen, same)
	}
}

func redundantValues(l *linter, s *statement, c *condition) {
	values := c.Values
	if strings.HasSuffix(c.base, "IgnoreCase") {
		values = make([]string, len(c.Values))
		for i, v := range c.Values {
			values[i] = strings.ToLower(v)
		}
	}
	l.redundant(values, func(a, b string) bool {
		if strings.Contains(a+b, "${") {
			return false
		}
		switch c.base {
		case "StringLike", "StringNotLike":
			return l.covers(a, b, true)
		case "ArnLike", "ArnNotLike", "ArnEquals", "ArnNotEquals":
			return l.covers(a, b, false)
		}
		return false
	}, func(value, by string) {
		l.at(s, c, quote(value)+" is among "+quote(by)+".", "")
	})
	if c.info.Type == authz.IPAddressKey && c.base != "Null" {
		l.redundantNetworks(s, c)
	}
}

func (l *linter) redundantNetworks(s *statement, c *condition) {
	var list []netip.Prefix
	for _, v := range c.Values {
		p, err := netip.ParsePrefix(v)
		if err != nil {
			a, _ := netip.ParseAddr(v)
			p = netip.PrefixFrom(a, a.BitLen())
		}
		list = append(list, p.Masked())
	}
	for i, p := range list {
		for j, by := range list {
			if l.steps--; l.steps < 0 || l.full() {
				return
			}
			if i != j && by.Bits() < p.Bits() && by.Contains(p.Addr()) {
				l.at(s, c, quote(c.Values[i])+" is among "+quote(c.Values[j])+".", "")
				break
			}
		}
	}
}

func redundantStatement(l *linter, s *statement) {
	for i := range l.statements {
		other := &l.statements[i]
		if l.steps < 0 {
			return
		}
		if other.n == s.n || !l.takesIn(other, s) || other.n > s.n && l.takesIn(s, other) {
			continue
		}
		l.report(s.n, s.From, "Statement "+number(other.n)+" is about all that this one is about.", "")
		return
	}
}

// takesIn reports whether statement a applies wherever b does, with the same effect.
func (l *linter) takesIn(a, b *statement) bool {
	l.steps -= 1 + len(b.Actions)
	if a.Effect != b.Effect || a.NotPrincipal || b.NotPrincipal || !a.takesIn(b.Actions...) || len(b.Actions) == 0 {
		return false
	}
	for _, p := range b.Principals {
		l.steps -= len(a.Principals)
		if !slices.Contains(a.Principals, p) && (!slices.Contains(a.Principals, "*") || isProvider(p)) {
			return false
		}
	}
	if slices.Contains(a.Principals, "*") && !slices.Contains(b.Principals, "*") && a.Effect == authz.Allow {
		return false // who is named has more than who is among everyone
	}
	return l.resourcesTakeIn(a, b) && l.conditionsTakeIn(a, b)
}

func (l *linter) resourcesTakeIn(a, b *statement) bool {
	if a.NotResource != b.NotResource {
		return !a.NotResource && slices.Contains(a.Resources, "*")
	}
	if a.NotResource {
		return slices.Equal(a.Resources, b.Resources)
	}
	for _, r := range b.Resources {
		if !slices.ContainsFunc(a.Resources, func(by string) bool { return l.coversResource(by, r) }) {
			return false
		}
	}
	return true
}

// conditionsTakeIn reports whether all conditions of a stand in b too.
func (l *linter) conditionsTakeIn(a, b *statement) bool {
	for i := range a.conditions {
		c := &a.conditions[i]
		if !slices.ContainsFunc(b.conditions, func(d condition) bool {
			l.steps -= len(c.Values)
			return c.Operator == d.Operator && strings.EqualFold(c.Key, d.Key) && slices.Equal(c.Values, d.Values)
		}) {
			return false
		}
	}
	return true
}
