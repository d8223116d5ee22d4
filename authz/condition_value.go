package authz

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A decimal is a number of a policy, as exact as it is written: what it has behind the point only matters by being
// there or not, since requests have whole numbers.
type decimal struct {
	floor int64
	more  bool // it is greater than floor
}

// order says how a whole number stands to d.
func (d decimal) order(n int64) ordering {
	switch {
	case n < d.floor || n == d.floor && d.more:
		return less
	case n > d.floor:
		return greater
	}
	return equal
}

// parseDecimal reads digits with a sign and a fraction. The second result is what is wrong, "" if nothing.
func parseDecimal(s string) (decimal, string) {
	const longest = 18 // digits of an int64, whatever they are
	t, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(t, ".")
	switch {
	case whole == "" || digits(whole) != len(whole) || digits(fraction) != len(fraction) || point && fraction == "":
		return decimal{}, "is not a number; write digits, with a minus sign and a decimal point where needed"
	case len(whole) > longest:
		return decimal{}, "is a number of more than 18 digits"
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return decimal{}, "is not a number"
	}
	more := strings.Trim(fraction, "0") != ""
	switch {
	case negative && more:
		return decimal{-n - 1, true}, ""
	case negative:
		return decimal{-n, false}, ""
	}
	return decimal{n, more}, ""
}

const dateForms = `write it as "2026-01-31T12:00:00Z", with another offset than Z as "+01:00", as a day "2026-01-31", or in seconds since 1970`

// parseDate reads a date as W3C NOTE-datetime writes it, but for a year or a month alone, or seconds since 1970. It
// returns milliseconds since 1970, and what is wrong, "" if nothing.
func parseDate(s string) (int64, string) {
	const lastSecond = 253402300799 // of the year 9999
	if s != "" && digits(s) == len(s) {
		switch n, err := strconv.ParseInt(s, 10, 64); {
		case len(s) == 4:
			return 0, "could be a year or a number of seconds; " + dateForms
		case err != nil || n > lastSecond:
			return 0, "is past the year 9999; dates are seconds since 1970, not milliseconds"
		default:
			return n * 1000, ""
		}
	}
	if len(s) == len("2026-01") && s[4] == '-' {
		return 0, "is a month; " + dateForms
	}
	if at := strings.IndexByte(s, '.'); at >= 0 {
		if n := digits(s[at+1:]); n > 3 && strings.Trim(s[at+4:at+1+n], "0") != "" {
			return 0, "is finer than a millisecond, which the time of a request is not"
		}
	}
	for _, layout := range [...]string{"2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00"} {
		if !hasLayout(s, layout) {
			continue
		}
		t, err := time.Parse(layout, s)
		if y := t.UTC().Year(); err != nil || y < 0 || y > 9999 {
			return 0, "is not a date of the calendar; " + dateForms
		}
		return t.UnixMilli(), ""
	}
	return 0, "is not a date; " + dateForms
}

// hasLayout reports whether s is written exactly so, where time.Parse is lenient: digits for digits, and an offset of
// at most 23:59.
func hasLayout(s, layout string) bool {
	form, zoned := strings.CutSuffix(layout, "Z07:00")
	if len(s) < len(form) {
		return false
	}
	for i := range len(form) {
		if isDigit(form[i]) != isDigit(s[i]) || !isDigit(form[i]) && form[i] != s[i] {
			return false
		}
	}
	rest := s[len(form):]
	if !zoned {
		return rest == ""
	}
	if strings.HasPrefix(rest, ".") && strings.HasSuffix(form, ":05") {
		n := digits(rest[1:])
		if n == 0 {
			return false
		}
		rest = rest[1+n:]
	}
	return rest == "Z" || len(rest) == len("+01:00") && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':' &&
		digits(rest[1:3]) == 2 && digits(rest[4:]) == 2 && rest[1:3] < "24" && rest[4:] < "60"
}

// parseNetwork reads an address or a network in CIDR notation, whose host bits do not count. The second result is
// what is wrong, "" if nothing.
func parseNetwork(s string) (netip.Prefix, string) {
	const forms = `write it as "192.0.2.0/24" or "2001:db8::/32"`
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, "is not an address or a network; " + forms
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, "is an IPv4 address in an IPv6 one, as which no request comes; write it as IPv4"
	}
	return p.Masked(), ""
}

// parseTruth reads true or false, in any case. The second result is what is wrong, "" if nothing.
func parseTruth(s string) (bool, string) {
	switch {
	case foldEqual(s, "true"):
		return true, ""
	case foldEqual(s, "false"):
		return false, ""
	}
	return false, "is not a truth value; write true or false"
}

// parseBinary decodes base64 with padding. The second result is what is wrong, "" if nothing.
func parseBinary(s string) (string, string) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return "", "is not base64 with padding"
	}
	return string(b), ""
}
