package authz

import "strings"

// A comparison is how a condition operator compares a value of the request with one of the policy.
type comparison uint8

const (
	textEqual   comparison = iota + 1 // the bytes
	textFolded                        // the bytes, without regard to case
	textLike                          // a glob
	arnLike                           // a glob for each part of an ARN
	numberOrder                       // as numbers
	dateOrder                         // as instants
	truthEqual                        // true or false
	bytesEqual                        // the bytes, which the policy has in base64
	addressIn                         // an address in a network
	keyPresence                       // whether the request has the key
)

// ordering has a bit for each way in which the value of the request may stand to that of the policy.
type ordering uint8

const (
	less ordering = 1 << iota
	equal
	greater
)

// An operator is a condition operator without its set operator and IfExists.
type operator struct {
	name    string
	compare comparison
	negated bool     // holds if no value matches
	order   ordering // of numbers and dates
	keys    keyTypes // that it can compare
}

// keyTypes has bit 1<<t for each KeyType t.
type keyTypes uint8

const (
	textKeys    = 1<<StringKey | 1<<ARNKey
	stringKeys  = 1 << StringKey
	boolKeys    = 1 << BoolKey
	numericKeys = 1 << NumericKey
	dateKeys    = 1 << DateKey
	addressKeys = 1 << IPAddressKey
	allKeys     = textKeys | boolKeys | numericKeys | dateKeys | addressKeys
)

// operators are all of IAM's. It is never written.
var operators = [...]operator{
	{"StringEquals", textEqual, false, 0, textKeys},
	{"StringNotEquals", textEqual, true, 0, textKeys},
	{"StringEqualsIgnoreCase", textFolded, false, 0, textKeys},
	{"StringNotEqualsIgnoreCase", textFolded, true, 0, textKeys},
	{"StringLike", textLike, false, 0, textKeys},
	{"StringNotLike", textLike, true, 0, textKeys},
	{"NumericEquals", numberOrder, false, equal, numericKeys},
	{"NumericNotEquals", numberOrder, true, equal, numericKeys},
	{"NumericLessThan", numberOrder, false, less, numericKeys},
	{"NumericLessThanEquals", numberOrder, false, less | equal, numericKeys},
	{"NumericGreaterThan", numberOrder, false, greater, numericKeys},
	{"NumericGreaterThanEquals", numberOrder, false, greater | equal, numericKeys},
	{"DateEquals", dateOrder, false, equal, dateKeys},
	{"DateNotEquals", dateOrder, true, equal, dateKeys},
	{"DateLessThan", dateOrder, false, less, dateKeys},
	{"DateLessThanEquals", dateOrder, false, less | equal, dateKeys},
	{"DateGreaterThan", dateOrder, false, greater, dateKeys},
	{"DateGreaterThanEquals", dateOrder, false, greater | equal, dateKeys},
	{"Bool", truthEqual, false, 0, boolKeys},
	{"BinaryEquals", bytesEqual, false, 0, stringKeys},
	{"IpAddress", addressIn, false, 0, addressKeys},
	{"NotIpAddress", addressIn, true, 0, addressKeys},
	{"ArnEquals", arnLike, false, 0, textKeys},
	{"ArnLike", arnLike, false, 0, textKeys},
	{"ArnNotEquals", arnLike, true, 0, textKeys},
	{"ArnNotLike", arnLike, true, 0, textKeys},
	{"Null", keyPresence, false, 0, allKeys},
}

// A setOperator says how the values of a key that has several are taken together.
type setOperator uint8

const (
	noSet setOperator = iota
	forAllValues
	forAnyValue
)

// parseOperator reads an operator with what stands before and behind it. The last result is what is wrong with it, ""
// if nothing.
func parseOperator(s string) (o *operator, set setOperator, ifExists bool, wrong string) {
	base := s
	if rest, ok := strings.CutPrefix(base, "ForAllValues:"); ok {
		base, set = rest, forAllValues
	} else if rest, ok := strings.CutPrefix(base, "ForAnyValue:"); ok {
		base, set = rest, forAnyValue
	}
	base, ifExists = strings.CutSuffix(base, "IfExists")
	for i := range operators {
		if operators[i].name == base {
			o = &operators[i]
		}
	}
	switch {
	case o == nil:
		return nil, 0, false, "is not a condition operator" + operatorHint(s)
	case o.compare == keyPresence && (set != noSet || ifExists):
		return nil, 0, false, `asks nothing; write "Null" alone`
	case set == forAnyValue && ifExists:
		return nil, 0, false, `contradicts itself where the key is absent; write ForAnyValue without IfExists, and a second statement with "Null"`
	}
	return o, set, ifExists, ""
}

// operatorHint says which operator may have been meant.
func operatorHint(s string) string {
	prefix := ""
	for _, p := range []string{"ForAllValues:", "ForAnyValue:"} {
		if len(s) >= len(p) && foldEqual(s[:len(p)], p) {
			prefix, s = p, s[len(p):]
		}
	}
	suffix := ""
	if at := len(s) - len("IfExists"); at >= 0 && foldEqual(s[at:], "IfExists") {
		s, suffix = s[:at], "IfExists"
	}
	names := make([]string, 0, len(operators))
	for i := range operators {
		names = append(names, operators[i].name)
	}
	if near := nearest(s, names); near != "" {
		return "; did you mean " + quote(prefix+near+suffix) + "?"
	}
	return `; write one such as "StringEquals"`
}

// nearest returns the name that differs from s in case only or in at most three letters, and "" if there is none.
func nearest(s string, names []string) string {
	const enough, longest = 3, 100
	if len(s) > longest {
		return ""
	}
	best, least := "", min(enough, len(s)/3)+1
	for _, name := range names {
		if foldEqual(s, name) {
			return name
		}
		if d := editDistance(foldName(s), foldName(name)); d < least {
			best, least = name, d
		}
	}
	return best
}

// editDistance is the number of bytes to insert, remove or replace.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
