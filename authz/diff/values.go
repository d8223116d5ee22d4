package diff

import (
	"encoding/base64"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxGlobs bounds the values that are looked at together.
const maxGlobs = 300

// maxExpansions bounds what a value with variables becomes.
const maxExpansions = 32

// A choice is what is asked about one dim by the atoms of a facet.
type choice struct {
	s     *search
	dim   string
	base  *draft
	atoms []int // of the facet
	uses  []use
	keys  []string            // folded, that are asked about, or are those of variables
	plain []string            // values to try besides, if variables stand for what the dim is
	known map[string][]string // :: folded key of a variable → values that it may have
}

// values returns what the conditions on a key, or on any if key is "*", compare with.
func (c *choice) values(key string) []string {
	var list []string
	for _, u := range c.uses {
		if u.key == key || key == "*" {
			list = append(list, u.values...)
		}
	}
	return unique(list)
}

// asks reports whether a condition is about the key.
func (c *choice) asks(key string) bool {
	return slices.ContainsFunc(c.uses, func(u use) bool { return u.key == key })
}

// globs returns the values that a key, or any, is compared with as text.
func (c *choice) globs(key string) []glob {
	var list []glob
	for _, v := range c.plain {
		list = append(list, newGlob(v, exactGlob))
	}
	for _, u := range c.uses {
		if u.key != key && key != "*" {
			continue
		}
		kind := exactGlob
		switch u.compare {
		case "StringEqualsIgnoreCase":
			kind = foldedGlob
		case "StringLike":
			kind = likeGlob
		case "ArnEquals", "ArnLike":
			kind = arnGlob
		case "Resource":
			kind = resourceGlob
		case "Null":
			continue
		}
		for _, v := range u.values {
			if u.compare == "BinaryEquals" {
				if b, err := base64.StdEncoding.DecodeString(v); err == nil {
					list = append(list, newGlob(string(b), exactGlob))
				}
				continue
			}
			for _, e := range c.expand(v) {
				list = append(list, newGlob(e, kind))
			}
		}
	}
	return list
}

// expand returns a value with what its variables may stand for. Both versions of the policy are taken to have variables: those who do not
// get a few values too many to try.
func (c *choice) expand(v string) []string {
	from := strings.Index(v, "${")
	if from < 0 {
		return []string{v}
	}
	to := strings.IndexByte(v[from:], '}')
	if to < 0 {
		return []string{v}
	}
	name, fallback, hasFallback := strings.Cut(v[from+2:from+to], ",")
	var stands []string
	switch {
	case len(name) == 1 && strings.Contains("*?$", name):
		stands = []string{name}
	default:
		stands = slices.Clone(c.known[fold(name)])
		if hasFallback {
			stands = append(stands, strings.Trim(strings.TrimSpace(fallback), "'"))
		}
	}
	rest := c.expand(v[from+to+1:])
	list := []string{v}
	for _, s := range stands {
		for _, r := range rest {
			if len(list) < maxExpansions {
				list = append(list, v[:from]+s+r)
			}
		}
	}
	return list
}

// texts returns texts that tell the values apart which conditions on the key compare with.
func (c *choice) texts(key string, form ...glob) ([]string, bool) {
	globs := c.globs(key)
	var list []string
	complete := false
	if len(globs) <= maxGlobs {
		list, complete = c.s.texts(globs, form)
	}
	if complete {
		return list, true
	}
	for _, g := range globs[:min(len(globs), 4*maxGlobs)] {
		text := g.instance()
		c.s.spend(len(text))
		if !slices.ContainsFunc(form, func(f glob) bool { return !f.matches(text) }) {
			list = append(list, text)
		}
	}
	return list, false
}

// instance is a text that the glob matches.
func (g *glob) instance() string {
	var b strings.Builder
	for _, t := range g.tokens {
		switch t.kind {
		case literal:
			b.WriteRune(t.r)
		case digit:
			b.WriteByte('1')
		case many, manyInPart, manyInName: // nothing is among any number
		default:
			b.WriteByte('x')
		}
	}
	return b.String()
}

// numbers returns whole numbers, none of them negative, that tell the values apart.
func numbers(values []string) []int64 {
	list := []int64{0}
	for _, v := range values {
		whole, _, _ := strings.Cut(v, ".")
		n, err := strconv.ParseInt(whole, 10, 64)
		if err != nil {
			continue
		}
		for _, m := range []int64{n - 1, n, n + 1} {
			if m >= 0 {
				list = append(list, m)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// instants returns times that tell the values apart, which are dates or seconds since 1970.
func instants(values []string) []time.Time {
	var list []time.Time
	for _, v := range values {
		t, ok := parseInstant(v)
		if !ok {
			continue
		}
		for _, by := range []time.Duration{-time.Second, -time.Millisecond, 0, time.Millisecond, time.Second} {
			if u := t.Add(by); u.Year() >= 1 && u.Year() <= 9999 {
				list = append(list, u)
			}
		}
	}
	return list
}

func parseInstant(v string) (time.Time, bool) {
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		return time.Unix(n, 0).UTC(), true
	}
	if whole, _, point := strings.Cut(v, "."); point && strings.Trim(whole, "0123456789") == "" {
		n, err := strconv.ParseInt(whole, 10, 64)
		return time.Unix(n, 0).UTC(), err == nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00"} {
		if t, err := time.Parse(layout, v); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// addresses returns addresses that tell the networks apart: where each begins and what follows it.
func addresses(values []string) []netip.Addr {
	list := []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.MustParseAddr("2001:db8::1")}
	ends := []netip.Addr{netip.AddrFrom4([4]byte{}), netip.IPv6Unspecified()}
	for _, v := range values {
		p, err := netip.ParsePrefix(v)
		if err != nil {
			a, err := netip.ParseAddr(v)
			if err != nil {
				continue
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		p = p.Masked()
		list = append(list, p.Addr())
		if next := after(p); next.IsValid() {
			ends = append(ends, next)
		}
	}
	return append(list, ends...)
}

// after is the first address behind a network, or none.
func after(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	at := p.Bits() - 1
	if at < 0 {
		return netip.Addr{}
	}
	add := byte(1) << (7 - at%8)
	for i := at / 8; i >= 0; i-- {
		sum, carry := bits.Add32(uint32(b[i]), uint32(add), 0)
		b[i] = byte(sum)
		if carry == 0 && sum < 256 {
			a, _ := netip.AddrFromSlice(b)
			return a
		}
		add = 1
	}
	return netip.Addr{}
}
