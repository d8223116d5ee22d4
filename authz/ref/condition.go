package ref

import (
	"encoding/base64"
	"math/big"
	"net/netip"
	"strings"
	"time"
)

// negatedOf :: negated operator → its positive. It is never written.
var negatedOf = map[string]string{
	"StringNotEquals":           "StringEquals",
	"StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
	"StringNotLike":             "StringLike",
	"NumericNotEquals":          "NumericEquals",
	"DateNotEquals":             "DateEquals",
	"NotIpAddress":              "IpAddress",
	"ArnNotEquals":              "ArnEquals",
	"ArnNotLike":                "ArnLike",
}

// conditionsHold is the AND over operators, and over the keys of each.
func (e *evaluation) conditionsHold(p *Policy, s *statement) bool {
	for i := range s.conditions {
		if !e.holdsForEach(p, s, &s.conditions[i]) {
			return false
		}
	}
	return true
}

// holdsForEach answers D11: of names that differ by case only, each in turn is the only one. In an Allow the condition must hold for all of them, in a
// Deny for one.
func (e *evaluation) holdsForEach(p *Policy, s *statement, c *condition) bool {
	e.count(c)
	v, plural := e.values(c.key)
	several := e.collide(c.key)
	if several == nil || v == nil {
		return e.conditionHolds(p, s, c, v, plural)
	}
	enough := s.deny || e.Defect == CollidingAny // one is
	for _, one := range several {
		if e.conditionHolds(p, s, c, []string{one}, false) == enough {
			return enough
		}
	}
	return !enough
}

// conditionHolds is section 5.2.
func (e *evaluation) conditionHolds(p *Policy, s *statement, c *condition, v []string, plural bool) bool {
	_, negated := negatedOf[c.operator]
	if c.operator == "Null" {
		return (v == nil) == strings.EqualFold(c.values[0], "true")
	}
	switch c.set {
	case "ForAllValues":
		if v == nil {
			return e.Defect != AbsentForAllFalse
		}
		for _, one := range v {
			if !e.valueMatches(p, s, c, one) {
				return false
			}
		}
		return true
	case "ForAnyValue":
		if v == nil {
			return e.Defect == AbsentForAnyNegatedTrue && negated
		}
		for _, one := range v {
			if e.valueMatches(p, s, c, one) {
				return true
			}
		}
		return false
	}
	if v == nil {
		return c.ifExists || negated && e.Defect != AbsentNegatedFalse
	}
	if (len(v) > 1 || plural) && e.Defect != PluralAsSingle {
		return false
	}
	return e.valueMatches(p, s, c, v[0])
}

// count notes that a condition was evaluated.
func (e *evaluation) count(c *condition) {
	if e.Operators == nil {
		return
	}
	name := c.operator
	if c.set != "" {
		name = c.set + ":" + name
	}
	e.Operators[name]++
	if c.ifExists {
		e.Operators[name+"IfExists"]++
	}
}

func (e *evaluation) valueMatches(p *Policy, s *statement, c *condition, v string) bool {
	positive, negated := negatedOf[c.operator]
	if !negated {
		positive = c.operator
	}
	hit, all := false, true
	for _, pattern := range c.values {
		one := e.baseMatch(p, positive, pattern, v)
		if textual(positive) && e.ambiguous(p, pattern) && e.Defect != CollidingAny {
			one = s.deny != negated
		}
		hit, all = hit || one, all && one
	}
	if negated && e.Defect == AnyForNegated {
		return !all
	}
	return hit != negated
}

// baseMatch compares one value of the policy with one of the request. A pattern whose variable has no value never matches.
func (e *evaluation) baseMatch(p *Policy, operator, pattern, v string) bool {
	kind := operator
	for _, k := range []string{"String", "Numeric", "Date", "Arn"} {
		if strings.HasPrefix(operator, k) {
			kind = k
		}
	}
	switch kind {
	case "String", "Arn":
		words := e.wording(p)
		words.wildcards = operator == "StringLike" || kind == "Arn"
		if operator == "StringEqualsIgnoreCase" {
			return e.equalFolded(words, pattern, v)
		}
		list, ok := words.tokens(pattern)
		if kind == "Arn" {
			return ok && arnLike(list, v)
		}
		return ok && run(list, v)
	case "Numeric":
		a, okA := decimal(v)
		b, okB := decimal(pattern)
		return okA && okB && compare(strings.TrimPrefix(operator, "Numeric"), a.Cmp(b))
	case "Date":
		a, okA := e.instant(v)
		b, okB := e.instant(pattern)
		return okA && okB && compare(strings.TrimPrefix(operator, "Date"), a.Compare(b))
	case "Bool":
		return strings.EqualFold(pattern, v)
	case "BinaryEquals":
		b, err := base64.StdEncoding.DecodeString(pattern)
		return err == nil && v == string(b)
	case "IpAddress":
		return e.contains(pattern, v)
	}
	panic("ref: unknown operator " + operator)
}

// textual reports whether an operator's values may have variables.
func textual(operator string) bool {
	return strings.HasPrefix(operator, "String") || strings.HasPrefix(operator, "Arn")
}

// equalFolded compares with the case of letters set aside, in the pattern, in what its variables stand for and in the value.
func (e *evaluation) equalFolded(words wording, pattern, v string) bool {
	list, ok := words.tokens(pattern)
	if !ok {
		return false
	}
	var text strings.Builder
	for _, t := range list {
		text.WriteRune(t.r)
	}
	return fold(text.String()) == fold(v)
}

// compare says what an operator makes of the order of the request's value and the policy's.
func compare(relation string, order int) bool {
	switch relation {
	case "Equals":
		return order == 0
	case "LessThan":
		return order < 0
	case "LessThanEquals":
		return order <= 0
	case "GreaterThan":
		return order > 0
	case "GreaterThanEquals":
		return order >= 0
	}
	panic("ref: unknown relation " + relation)
}

// decimal reads a decimal number: digits, with a sign and a fraction if need be.
func decimal(s string) (*big.Rat, bool) {
	digits := strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+")
	whole, fraction, point := strings.Cut(digits, ".")
	if whole == "" || point && fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// instant reads a date, or the seconds since 1970, to the millisecond.
func (e *evaluation) instant(s string) (time.Time, bool) {
	if s != "" && strings.Trim(s, "0123456789") == "" {
		n, ok := new(big.Int).SetString(s, 10)
		if !ok || !n.IsInt64() {
			return time.Time{}, false
		}
		if e.Defect == EpochMilliseconds {
			return time.UnixMilli(n.Int64()), true
		}
		return time.Unix(n.Int64(), 0), true
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.Truncate(time.Millisecond), true
		}
	}
	return time.Time{}, false
}

// contains reports whether an address is one of a CIDR block, or is the address that the policy names.
func (e *evaluation) contains(block, address string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	if a = a.WithZone(""); e.Defect != MappedAddress {
		a = a.Unmap()
	}
	if one, err := netip.ParseAddr(block); err == nil {
		return one == a
	}
	p, err := netip.ParsePrefix(block)
	return err == nil && p.Masked().Contains(a)
}
