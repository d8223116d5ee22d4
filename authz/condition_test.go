package authz

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

const truthTable = "testdata/conditions.txt"

// A sample is what the rows of an operator are asked with: two values of the policy, and what hits and misses them.
type sample struct {
	key          string // the condition key; several values are put in another one
	policy       string // values, in JSON
	hits, misses [2]string
	give         func(x *Context, values []string)
}

func giveTags(x *Context, values []string) {
	tags := make(map[string]string)
	for i, v := range values {
		tags[[]string{"k", "K"}[i]] = v
	}
	x.RequestTags.Set(tags)
}

func giveList(x *Context, values []string) { x.SetList(CtxGrantOperations, values) }

// severalKey is a condition key that may have several values.
const severalKey = "kms:GrantOperations"

// samples :: positive or negated base operator → sample
var samples = map[string]sample{
	"StringEquals":              {"aws:RequestTag/k", `["zz","a*"]`, [2]string{"a*", "zz"}, [2]string{"ab", "A*"}, giveTags},
	"StringNotEquals":           {"aws:RequestTag/k", `["zz","a*"]`, [2]string{"a*", "zz"}, [2]string{"ab", "A*"}, giveTags},
	"StringEqualsIgnoreCase":    {"aws:RequestTag/k", `["zz","aÉ*"]`, [2]string{"Aé*", "ZZ"}, [2]string{"aéb", "z"}, giveTags},
	"StringNotEqualsIgnoreCase": {"aws:RequestTag/k", `["zz","aÉ*"]`, [2]string{"Aé*", "ZZ"}, [2]string{"aéb", "z"}, giveTags},
	"StringLike":                {"aws:RequestTag/k", `["zz","a*:?/c"]`, [2]string{"a:/:é/c", "zz"}, [2]string{"a:/c", "A:b/c"}, giveTags},
	"StringNotLike":             {"aws:RequestTag/k", `["zz","a*:?/c"]`, [2]string{"a:/:é/c", "zz"}, [2]string{"a:/c", "A:b/c"}, giveTags},
	"BinaryEquals":              {"aws:RequestTag/k", `["eno=","YSo="]`, [2]string{"a*", "zz"}, [2]string{"ab", "YSo="}, giveTags},
	"ArnEquals":                 {"aws:RequestTag/k", arns, arnHits, arnMisses, giveTags},
	"ArnLike":                   {"aws:RequestTag/k", arns, arnHits, arnMisses, giveTags},
	"ArnNotEquals":              {"aws:RequestTag/k", arns, arnHits, arnMisses, giveTags},
	"ArnNotLike":                {"aws:RequestTag/k", arns, arnHits, arnMisses, giveTags},

	"NumericEquals":            numeric(`["60.0",7.25]`, "60", "7"),
	"NumericNotEquals":         numeric(`["60.0",7.25]`, "60", "7"),
	"NumericLessThan":          numeric(`[60,"7.25"]`, "59", "60"),
	"NumericLessThanEquals":    numeric(`["60","7.25"]`, "60", "61"),
	"NumericGreaterThan":       numeric(`["60.5","70"]`, "61", "60"),
	"NumericGreaterThanEquals": numeric(`["60.5","70"]`, "70", "60"),
	"DateEquals":               date("1767323045000", "1767323045001"),
	"DateNotEquals":            validTo("1767323045000", "1767323045001"),
	"DateLessThan":             date("1767323044999", "1767323045000"),
	"DateLessThanEquals":       validTo("1767323045000", "1767323045001"),
	"DateGreaterThan":          validTo("1767323045001", "1767323045000"),
	"DateGreaterThanEquals":    date("1767323045000", "1767323044999"),
	"Bool": {"kms:ReEncryptOnSameKey", `"TRUE"`, [2]string{"true"}, [2]string{"false"}, func(x *Context, values []string) {
		x.SetList(CtxReEncryptOnSameKey, nil)
		if len(values) > 0 {
			x.SetBool(CtxReEncryptOnSameKey, values[0] == "true")
		}
	}},
	"IpAddress":    address,
	"NotIpAddress": address,
}

const arns = `["arn:aws:iam::1:user/zz","arn:*:i?m::*:role/a*"]`

var (
	arnHits   = [2]string{"arn:aws:iam::1:role/a:b", "arn:aws:iam::1:user/zz"}
	arnMisses = [2]string{"arn:aws:iam::1:2:role/a", "role/a"}
	address   = sample{"aws:SourceIp", `["10.1.2.3/24","2001:DB8::/32"]`, [2]string{"::ffff:10.1.2.9"}, [2]string{"10.1.3.1"}, func(x *Context, values []string) {
		x.SourceIP = netip.Addr{}
		if len(values) > 0 {
			x.SourceIP = netip.MustParseAddr(values[0])
		}
	}}
)

func numeric(policy, hit, miss string) sample {
	return sample{"sts:DurationSeconds", policy, [2]string{hit}, [2]string{miss}, func(x *Context, values []string) {
		x.SetList(CtxDurationSeconds, nil)
		if len(values) > 0 {
			var n int64
			fmt.Sscan(values[0], &n)
			x.SetNumber(CtxDurationSeconds, n)
		}
	}}
}

// date is about one instant, written in two ways.
func date(hit, miss string) sample {
	return sample{"aws:CurrentTime", `["2026-01-02T04:04:05+01:00","1767323045"]`, [2]string{hit}, [2]string{miss}, func(x *Context, values []string) {
		x.Time = time.Time{}
		if len(values) > 0 {
			var ms int64
			fmt.Sscan(values[0], &ms)
			x.Time = time.UnixMilli(ms)
		}
	}}
}

// validTo is date about a key that requests give by themselves.
func validTo(hit, miss string) sample {
	s := date(hit, miss)
	s.key = "kms:ValidTo"
	s.give = func(x *Context, values []string) {
		x.SetList(CtxValidTo, nil)
		if len(values) > 0 {
			var ms int64
			fmt.Sscan(values[0], &ms)
			x.SetDate(CtxValidTo, time.UnixMilli(ms))
		}
	}
	return s
}

// A column is what a request has for the key.
type column struct {
	name         string
	hits, misses int
	empty        bool // a value that is the empty text, which misses
	asked        bool // the key was set, to nothing
}

var columns = []column{
	{name: "absent"},
	{name: "empty", asked: true},
	{name: `""`, misses: 1, empty: true},
	{name: "hit", hits: 1},
	{name: "miss", misses: 1},
	{name: "hit,hit", hits: 2},
	{name: "hit,miss", hits: 1, misses: 1},
	{name: "miss,miss", misses: 2},
}

// cells returns the columns that a key of the sample can have.
func (s *sample) columns() []column {
	if s.misses[1] != "" {
		return columns
	}
	return []column{columns[0], columns[1], columns[3], columns[4]}
}

func (s *sample) values(c column) []string {
	if c.empty {
		return []string{""}
	}
	return append(append([]string{}, s.hits[:c.hits]...), s.misses[:c.misses]...)
}

// expected is the closed formula of the table: how many of the values match, all of them or some. Values of one key in
// names that differ in case count against the caller, whatever the set operator.
func expected(form string, negated, several bool, effect Verdict, c column) bool {
	n, matching := c.hits+c.misses, c.hits
	if negated {
		matching = c.misses
	}
	all, some := matching == n, matching > 0
	switch {
	case n == 0 && form == "ForAnyValue":
		return false
	case n == 0:
		return negated || form != "plain"
	case !several:
		return effect == Allow && all || effect == Deny && some
	case form == "ForAnyValue":
		return some
	}
	return all && strings.HasPrefix(form, "ForAllValues")
}

var forms = []string{"plain", "IfExists", "ForAllValues", "ForAllValues+IfExists", "ForAnyValue"}

func operatorIn(form, base string) string {
	set, suffix, _ := strings.Cut(form, "+")
	switch set {
	case "plain":
		return base
	case "IfExists":
		return base + "IfExists"
	}
	return set + ":" + base + suffix
}

// conditionOf compiles one condition, in a Deny, since an Allow may not have all of them.
func conditionOf(tb testing.TB, block string) *condition {
	tb.Helper()
	p, err := Parse(TrustPolicy, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"sts:*","Condition":`+block+`}}`))
	if err != nil {
		tb.Fatal(err)
	}
	return &p.stmts[0].conditions[0]
}

func holds(c *condition, x *Context, effect Verdict) bool {
	q := request{caller: &Caller{}, resource: &Resource{}, context: x}
	q.target.budget = maxSteps
	return c.holds(&q, effect)
}

// TestTruthTable puts the table of testdata/conditions.txt, which was read by people, to the evaluator and to the formula.
func TestTruthTable(t *testing.T) {
	table := readTruthTable(t)
	rows := 0
	for i := range operators {
		o := &operators[i]
		s, ok := samples[o.name]
		if o.compare == keyPresence {
			continue
		}
		if !ok {
			t.Fatalf("operator %s has no sample", o.name)
		}
		for _, form := range forms {
			for _, several := range []bool{false, true} {
				if several && s.misses[1] == "" {
					continue // no key of the type has several values
				}
				rows += checkTruthRows(t, table, o, s, form, several)
			}
		}
	}
	if rows != len(table) {
		t.Errorf("%d cells compared, want all %d of %s", rows, len(table), truthTable)
	}
	if rows < 1250 {
		t.Errorf("the table has %d cells, want 1,250 at least", rows)
	}
}

func checkTruthRows(t *testing.T, table map[string]bool, o *operator, s sample, form string, several bool) int {
	key, give := s.key, s.give
	if several {
		key, give = severalKey, giveList
	}
	operator := operatorIn(form, o.name)
	c := conditionOf(t, fmt.Sprintf(`{%q:{%q:%s}}`, operator, key, s.policy))
	rows := 0
	for _, effect := range []Verdict{Allow, Deny} {
		for _, col := range s.columns() {
			var x Context
			if col.name != "absent" {
				give(&x, s.values(col))
			}
			cell := cellName(operator, several, effect, col)
			want, ok := table[cell]
			if !ok {
				t.Fatalf("%s has no cell %q", truthTable, cell)
			}
			if formula := expected(form, o.negated, several, effect, col); formula != want {
				t.Errorf("%s: the formula says %v, the table %v", cell, formula, want)
			}
			if got := holds(c, &x, effect); got != want {
				t.Errorf("%s = %v, want %v", cell, got, want)
			}
			rows++
		}
	}
	return rows
}

func cellName(operator string, several bool, effect Verdict, c column) string {
	key := "one"
	if several {
		key = "several"
	}
	return strings.Join([]string{operator, key, effect.String(), c.name}, " ")
}

// readTruthTable returns the cells of the table: "operator key effect column" → whether the condition holds.
func readTruthTable(t *testing.T) map[string]bool {
	f, err := os.Open(truthTable)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table := make(map[string]bool)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		for _, cell := range fields[3:] {
			at := strings.LastIndexByte(cell, '=')
			name := strings.Join(append(append([]string{}, fields[:3]...), cell[:at]), " ")
			if _, twice := table[name]; twice || cell[at+1:] != "T" && cell[at+1:] != "-" {
				t.Fatalf("%s: bad cell %q", truthTable, name)
			}
			table[name] = cell[at+1:] == "T"
		}
	}
	if err := lines.Err(); err != nil || len(table) == 0 {
		t.Fatalf("%s has no cells: %v", truthTable, err)
	}
	return table
}

func TestNull(t *testing.T) {
	for _, tt := range []struct {
		value         string
		absent, there bool
	}{{`"true"`, true, false}, {"true", true, false}, {`"FALSE"`, false, true}, {"false", false, true}} {
		for _, key := range []string{"aws:TagKeys", "aws:RequestTag/k", "kms:EncryptionContext:k"} {
			c := conditionOf(t, fmt.Sprintf(`{"Null":{%q:%s}}`, key, tt.value))
			pairs := NewPairs(map[string]string{"K": "", "k": ""})
			for _, effect := range []Verdict{Allow, Deny} {
				if got := holds(c, &Context{}, effect); got != tt.absent {
					t.Errorf("Null %s %s without the key = %v, want %v", key, tt.value, got, tt.absent)
				}
				if got := holds(c, &Context{RequestTags: pairs, EncryptionContext: pairs}, effect); got != tt.there {
					t.Errorf("Null %s %s with the key = %v, want %v", key, tt.value, got, tt.there)
				}
			}
		}
	}
}

// TestPublishedVectors has the tables that AWS's documentation of set operators gives for aws:TagKeys.
func TestPublishedVectors(t *testing.T) {
	const all = `{"ForAllValues:StringEquals":{"aws:TagKeys":["environment","cost-center"]},"Null":{"aws:TagKeys":"false"}}`
	const one = `{"ForAnyValue:StringEquals":{"aws:TagKeys":["environment","cost-center"]}}`
	tests := []struct {
		tags     []string
		all, one bool
	}{
		{[]string{"environment"}, true, true},
		{[]string{"cost-center"}, true, true},
		{[]string{"environment", "cost-center"}, true, true},
		{[]string{"environment", "dept"}, false, true},
		{[]string{"dept"}, false, false},
		{nil, false, false},
	}
	for _, tt := range tests {
		var listed, given Context
		listed.SetList(CtxTagKeys, tt.tags)
		tags := map[string]string{}
		for _, k := range tt.tags {
			tags[k] = "x"
		}
		given.RequestTags = NewPairs(tags)
		for _, x := range []*Context{&listed, &given} {
			if got := statementHolds(t, all, x, Allow); got != tt.all {
				t.Errorf("%s with %q = %v, want %v", all, tt.tags, got, tt.all)
			}
			if got := statementHolds(t, one, x, Allow); got != tt.one {
				t.Errorf("%s with %q = %v, want %v", one, tt.tags, got, tt.one)
			}
		}
	}
}

func statementHolds(t *testing.T, block string, x *Context, effect Verdict) bool {
	t.Helper()
	p := parseFor(t, IdentityPolicy, `{"Version":"2012-10-17","Statement":{"Effect":"`+map[Verdict]string{Allow: "Allow", Deny: "Deny"}[effect]+
		`","Action":"*","Resource":"*","Condition":`+block+`}}`)
	q := request{caller: &Caller{Kind: User, Account: "111122223333", ID: "AIDA", UserName: "alice", ARN: "arn:aws:iam::111122223333:user/alice"}, resource: &Resource{}, context: x}
	q.target.budget = maxSteps
	return p.stmts[0].conditionsHold(&q)
}
