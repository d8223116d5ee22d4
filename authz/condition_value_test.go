package authz

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

func TestDecimals(t *testing.T) {
	tests := []struct {
		policy  string
		request int64
		want    ordering
	}{
		{"0", 0, equal},
		{"-0", 0, equal},
		{"-0.0", 0, equal},
		{"007", 7, equal},
		{"7.000", 7, equal},
		{"7.001", 7, less},
		{"7.001", 8, greater},
		{"6.999", 7, greater},
		{"-0.5", 0, greater},
		{"-0.5", -1, less},
		{"-1.5", -1, greater},
		{"-1.5", -2, less},
		{"-2", -2, equal},
		{"0.1000000000000000000000000000001", 0, less},
		{"999999999999999999", 999999999999999999, equal},
		{"999999999999999998.9", 999999999999999999, greater},
		{"9007199254740993", 9007199254740992, less}, // which a float64 cannot tell
	}
	for _, tt := range tests {
		d, wrong := parseDecimal(tt.policy)
		if got := d.order(tt.request); wrong != "" || got != tt.want {
			t.Errorf("%d is to %q = %d, %s, want %d", tt.request, tt.policy, got, wrong, tt.want)
		}
	}
}

func TestDates(t *testing.T) {
	tests := []struct {
		text string
		want int64
	}{
		{"2026-01-02", 1767312000000},
		{"2026-01-02T03:04Z", 1767323040000},
		{"2026-01-02T03:04:05Z", 1767323045000},
		{"2026-01-02T03:04:05.5Z", 1767323045500},
		{"2026-01-02T03:04:05.123000Z", 1767323045123},
		{"2026-01-02T08:34:05+05:30", 1767323045000},
		{"2026-01-01T23:04:05-04:00", 1767323045000},
		{"2026-01-02T03:04:05+00:00", 1767323045000},
		{"2024-02-29", 1709164800000},
		{"1969-12-31T23:59:59.999Z", -1},
		{"0", 0},
		{"1767323045", 1767323045000},
		{"253402300799", 253402300799000},
	}
	for _, tt := range tests {
		if got, wrong := parseDate(tt.text); wrong != "" || got != tt.want {
			t.Errorf("parseDate(%q) = %d, %s, want %d", tt.text, got, wrong, tt.want)
		}
	}
}

// TestEpochTimeIsANumberAndADate has whole seconds, whatever the operator.
func TestEpochTimeIsANumberAndADate(t *testing.T) {
	x := &Context{Time: time.UnixMilli(1767323045999)}
	for _, block := range []string{
		`{"NumericEquals":{"aws:EpochTime":1767323045}}`,
		`{"DateEquals":{"aws:EpochTime":"2026-01-02T03:04:05Z"}}`,
		`{"DateEquals":{"aws:EpochTime":"1767323045"}}`,
		`{"DateEquals":{"aws:CurrentTime":"2026-01-02T03:04:05.999Z"}}`,
	} {
		if !holds(conditionOf(t, block), x, Allow) {
			t.Errorf("%s does not hold at 1767323045.999", block)
		}
	}
}

func TestAddresses(t *testing.T) {
	tests := []struct {
		policy, request string
		want            bool
	}{
		{"10.0.0.1", "10.0.0.1", true},
		{"10.0.0.1", "::ffff:10.0.0.1", true},
		{"10.0.0.1", "10.0.0.2", false},
		{"10.1.2.3/8", "10.255.0.1", true},
		{"0.0.0.0/0", "::1", false},
		{"::/0", "10.0.0.1", false},
		{"::/0", "::1", true},
		{"2001:DB8::1", "2001:db8:0:0::1", true},
		{"2001:db8::/32", "2001:db8:ffff::", true},
		{"fe80::/10", "fe80::1%eth0", true},
	}
	for _, tt := range tests {
		var x Context
		address.give(&x, []string{tt.request})
		if got := holds(conditionOf(t, `{"IpAddress":{"aws:SourceIp":"`+tt.policy+`"}}`), &x, Allow); got != tt.want {
			t.Errorf("IpAddress %s with %s = %v, want %v", tt.policy, tt.request, got, tt.want)
		}
		if got := holds(conditionOf(t, `{"NotIpAddress":{"aws:SourceIp":"`+tt.policy+`"}}`), &x, Allow); got == tt.want {
			t.Errorf("NotIpAddress %s with %s = %v, want %v", tt.policy, tt.request, got, !tt.want)
		}
	}
}

func FuzzConditionValues(f *testing.F) {
	for _, s := range []string{"-1.50", "2026-01-02T03:04:05.5+01:00", "10.0.0.0/8", "::1", "YQ==", "True", "${aws:userid, 'x'}*", "arn:*:a:b:c:d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, wrong := parseDecimal(s); wrong == "" && d.order(d.floor)&(equal|less) == 0 {
			t.Errorf("parseDecimal(%q) = %+v, which is less than its floor", s, d)
		}
		if ms, wrong := parseDate(s); wrong == "" {
			if again, _ := parseDate(time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")); again != ms {
				t.Errorf("parseDate(%q) = %d, which is written and read as %d", s, ms, again)
			}
		}
		if p, wrong := parseNetwork(s); wrong == "" && (!p.IsValid() || !p.Contains(p.Addr())) {
			t.Errorf("parseNetwork(%q) = %v", s, p)
		}
		if b, wrong := parseBinary(s); wrong == "" && len(b) != base64.StdEncoding.DecodedLen(len(s))-strings.Count(s, "=") {
			t.Errorf("parseBinary(%q) = %q", s, b)
		}
		if _, wrong := parseTruth(s); (wrong == "") != (strings.ToLower(s) == "true" || strings.ToLower(s) == "false") {
			t.Errorf("parseTruth(%q) = %s", s, wrong)
		}
		if o, _, _, wrong := parseOperator(s); (wrong == "") != (o != nil) {
			t.Errorf("parseOperator(%q) = %v, %s", s, o, wrong)
		}
		if k, member, wrong := parseKey(s, true); (wrong == "") != (k != 0) || k != 0 && keyTable[k].family != (member != "") {
			t.Errorf("parseKey(%q) = %d, %q, %s", s, k, member, wrong)
		}
	})
}
