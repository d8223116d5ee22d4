package authz

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// costly has conditions that take as many steps as a policy can make them, each with a request that goes with it.
func costly(tb testing.TB) map[string]func() (*condition, *Context) {
	list := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format+",", i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	names := make(map[string]string)
	for i := range 1000 {
		names[fmt.Sprintf("%s%d", strings.Repeat("a", 200), i)] = "x"
	}
	many := Context{EncryptionContext: NewPairs(names)}
	long := Context{EncryptionContext: NewPairs(map[string]string{"k": strings.Repeat("a", 8000)})}
	long.SourceIP, long.Time = netip.MustParseAddr("10.0.0.1"), time.Unix(1767323045, 0)
	one := func(block string, x *Context) func() (*condition, *Context) {
		return func() (*condition, *Context) { return conditionOf(tb, block), x }
	}
	stars := strings.Repeat("*a", 200) + "*b"
	return map[string]func() (*condition, *Context){
		"globs of all names":          one(`{"ForAllValues:StringNotLike":{"kms:EncryptionContextKeys":["`+stars+`","`+strings.Repeat("*?a", 200)+`*b"]}}`, &many),
		"texts of all names":          one(`{"ForAllValues:StringNotEquals":{"kms:EncryptionContextKeys":[`+list(400, `"%04d"`)+`]}}`, &many),
		"folded texts of all names":   one(`{"ForAllValues:StringNotEqualsIgnoreCase":{"kms:EncryptionContextKeys":["`+strings.Repeat("a", 203)+`",`+list(300, `"%04d"`)+`]}}`, &many),
		"a glob of a long value":      one(`{"StringLike":{"kms:EncryptionContext:k":"`+strings.Repeat("*?a", 300)+`*b"}}`, &long),
		"variables in a long value":   one(`{"StringLike":{"kms:EncryptionContext:k":"*${aws:EpochTime}*${aws:SourceIp}*${aws:CurrentTime}b"}}`, &long),
		"a long value as variable":    one(`{"StringLike":{"kms:EncryptionContext:k":"*${kms:EncryptionContext:k}*${kms:EncryptionContext:k}"}}`, &long),
		"a folded value and variable": one(`{"StringEqualsIgnoreCase":{"kms:EncryptionContext:k":"${kms:EncryptionContext:k}x"}}`, &long),
		"many networks":               one(`{"NotIpAddress":{"aws:SourceIp":[`+list(200, `"192.0.2.%d"`)+`]}}`, &long),
	}
}

// TestCostlyConditionsEnd holds every condition to the steps that a decision may take.
func TestCostlyConditionsEnd(t *testing.T) {
	for name, build := range costly(t) {
		c, x := build()
		q := request{caller: &Caller{}, resource: &Resource{}, context: x}
		q.target.budget = maxSteps
		c.holds(&q, Deny)
		if q.target.budget < -maxSteps/2 {
			t.Errorf("%s: %d steps were taken past the bound", name, -q.target.budget)
		}
		if n := testing.AllocsPerRun(5, func() {
			q.target.budget = maxSteps
			c.holds(&q, Deny)
		}); n != 0 {
			t.Errorf("%s: holds allocates %v times, want 0", name, n)
		}
	}
}

func BenchmarkCostlyConditions(b *testing.B) {
	for name, build := range costly(b) {
		b.Run(name, func(b *testing.B) {
			c, x := build()
			q := request{caller: &Caller{}, resource: &Resource{}, context: x}
			steps := 0
			for b.Loop() {
				q.target.budget = maxSteps
				c.holds(&q, Deny)
				steps = maxSteps - q.target.budget
			}
			b.ReportMetric(float64(steps), "steps")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(max(steps, 1)), "ns/step")
		})
	}
}

func BenchmarkConditions(b *testing.B) {
	x := &Context{
		Time: time.Unix(1767323045, 0), SourceIP: netip.MustParseAddr("10.0.0.1"), SecureTransport: true,
		EncryptionContext: NewPairs(map[string]string{"app": "billing", "stage": "prod"}), RequestTags: NewPairs(map[string]string{"k": "red"}),
	}
	caller := &Caller{Kind: User, ID: "AIDA", UserName: "alice", ARN: "arn:aws:iam::111122223333:user/alice", Tags: NewPairs(map[string]string{"team": "red"})}
	r := &Resource{Kind: Key, Aliases: []string{"alias/a", "alias/b"}, Tags: NewPairs(map[string]string{"team": "red"})}
	for _, block := range []string{
		`{"StringEquals":{"kms:EncryptionContext:app":"billing"}}`,
		`{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}`,
		`{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["app","stage"]}}`,
		`{"ForAnyValue:StringLike":{"kms:ResourceAliases":"alias/b*"}}`,
		`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/a*"}}`,
		`{"NotIpAddress":{"aws:SourceIp":["192.0.2.0/24","198.51.100.0/24"]}}`,
		`{"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}}`,
		`{"DateLessThan":{"aws:CurrentTime":"2030-01-01T00:00:00Z"}}`,
	} {
		b.Run(block, func(b *testing.B) {
			c := conditionOf(b, block)
			q := request{caller: caller, resource: r, context: x}
			b.ReportAllocs()
			for b.Loop() {
				q.target.budget = maxSteps
				if !c.holds(&q, Deny) {
					b.Fatal("does not hold")
				}
			}
		})
	}
}
