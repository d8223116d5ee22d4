package oidc

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// claims are the payload of a token.
type claims struct {
	issuer, subject string
	audiences       []string
	issued, expires time.Time
	notBefore       time.Time         // zero if it is not said
	strings         map[string]string // :: name → value, of those of one value
}

var errClaims = errors.New("the claims are not those of an ID token")

// parseClaims reads a payload. It insists on iss, sub, aud, exp and iat, as OpenID Connect Core 1.0, section 2, does.
func parseClaims(payload []byte) (*claims, error) {
	var members map[string]json.RawMessage
	if !utf8.Valid(payload) || decode(payload, &members) != nil {
		return nil, errClaims
	}
	c := &claims{strings: map[string]string{}}
	var ok [5]bool
	c.issuer, ok[0] = text(members["iss"])
	c.subject, ok[1] = text(members["sub"])
	c.audiences, ok[2] = texts(members["aud"])
	c.expires, ok[3] = instant(members["exp"])
	c.issued, ok[4] = instant(members["iat"])
	if slices.Contains(ok[:], false) {
		return nil, errClaims
	}
	if raw, there := members["nbf"]; there {
		var fine bool
		if c.notBefore, fine = instant(raw); !fine {
			return nil, errClaims
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if value, ok := single(members[name]); ok && claimName(name) && len(c.strings) < maxClaims {
			c.strings[name] = value
		}
	}
	c.strings["iss"], c.strings["sub"] = c.issuer, c.subject // whatever the number of others
	delete(c.strings, "aud")
	return c, nil
}

func (c *claims) audienceAmong(accepted []string) (string, bool) {
	for _, a := range c.audiences {
		if slices.Contains(accepted, a) {
			return a, true
		}
	}
	return "", false
}

// checkTimes is the last check, so that ErrExpired is said of what is good otherwise.
func (c *claims) checkTimes(now time.Time) error {
	switch {
	case c.issued.After(now.Add(Skew)), c.notBefore.After(now.Add(Skew)), !c.expires.After(c.issued):
		return ErrToken
	case !now.Before(c.expires.Add(Skew)):
		return ErrExpired
	}
	return nil
}

// text reads a string of 1 to 255 bytes.
func text(raw json.RawMessage) (string, bool) {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil || s == "" || len(s) > maxText {
		return "", false
	}
	return s, true
}

// texts reads a string, or a list of them that is not empty.
func texts(raw json.RawMessage) ([]string, bool) {
	if s, ok := text(raw); ok {
		return []string{s}, true
	}
	var list []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &list) != nil || len(list) == 0 || len(list) > maxAudiences {
		return nil, false
	}
	all := make([]string, 0, len(list))
	for _, item := range list {
		s, ok := text(item)
		if !ok {
			return nil, false
		}
		all = append(all, s)
	}
	return all, true
}

// instant reads a NumericDate (RFC 7519, section 2) between 1970 and 9999; fractions are dropped.
func instant(raw json.RawMessage) (time.Time, bool) {
	const year9999 = 253402300799
	if len(raw) == 0 || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return time.Time{}, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > year9999 {
		return time.Time{}, false
	}
	return time.Unix(int64(f), 0).UTC(), true
}

// single reads the value of a claim that conditions can compare.
func single(raw json.RawMessage) (string, bool) {
	switch string(raw) {
	case "true", "false":
		return string(raw), true
	}
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil || len(s) > maxClaimValue {
		return "", false
	}
	return s, true
}

func claimName(name string) bool {
	if name == "" || len(name) > maxClaimName {
		return false
	}
	for i := range len(name) {
		if b := name[i]; !isTokenByte(b) && b != ':' && b != '/' {
			return false
		}
	}
	return true
}
