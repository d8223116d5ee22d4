package k8s

import (
	"errors"
	"strings"
	"testing"
)

const testKey = "arn:aws:kms:local:111122223333:key/01234567-89ab-cdef-0123-456789abcdef"

func material(digit string) version { return version{testKey, strings.Repeat(digit, 64)} }

func TestParseVersion(t *testing.T) {
	good := material("a").String()
	for _, row := range []struct {
		name, text string
		ok         bool
	}{
		{"what String returns", good, true},
		{"of another partition and region", strings.Replace(good, "aws:kms:local", "aws-cn:kms:eu-central-1", 1), true},
		{"nothing", "", false},
		{"a key without a material id", testKey, false},
		{"a key with a slash and nothing", testKey + "/", false},
		{"a material id that is too short", good[:len(good)-1], false},
		{"a material id that is too long", good + "a", false},
		{"a material id in upper case", strings.ToUpper(good), false},
		{"an alias", "alias/kubernetes/" + strings.Repeat("a", 64), false},
		{"something before it", " " + good, false},
		{"a line feed after it", good + "\n", false},
		{"a line feed in it", strings.Replace(good, "/", "\n/", 1), false},
		{"a kibibyte", strings.Repeat("a", 1024), false},
		{"a mebibyte", strings.Repeat(good, 1<<20/len(good)), false},
		{"of another service", strings.Replace(good, ":kms:", ":iam:", 1), false},
		{"of an account with letters", strings.Replace(good, "111122223333", "11112222333x", 1), false},
	} {
		v, err := parseVersion(row.text)
		if (err == nil) != row.ok || row.ok && v.String() != row.text || !row.ok && v != (version{}) {
			t.Errorf("%s: parseVersion = %v, %v, want success: %v", row.name, v, err, row.ok)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add(material("a").String())
	f.Add(testKey)
	f.Add("")
	f.Add(material("0").String() + "\n")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := parseVersion(s)
		if err != nil {
			if v != (version{}) {
				t.Errorf("parseVersion(%q) = %v beside an error", s, v)
			}
			return
		}
		if v.String() != s || len(s) >= maxStored {
			t.Errorf("parseVersion(%q).String() = %q", s, v.String())
		}
	})
}

// TestVersions: answers come in any order, and the current version never goes back.
func TestVersions(t *testing.T) {
	a, b, other := material("a"), material("b"), version{strings.Replace(testKey, "0123-", "9999-", 1), strings.Repeat("c", 64)}
	type answer struct {
		under   version
		begin   int // changes when its call began
		current bool
		err     error
		now     version
	}
	for _, row := range []struct {
		name    string
		answers []answer
	}{
		{"the first answer is the current version", []answer{{a, 0, true, nil, a}, {a, 0, true, nil, a}, {a, 1, true, nil, a}}},
		{"a version seen after the current one is later", []answer{{a, 0, true, nil, a}, {b, 1, true, nil, b}, {b, 1, true, nil, b}}},
		{"a late answer under a version that was left is made again", []answer{{a, 0, true, nil, a}, {b, 1, true, nil, b}, {a, 1, false, nil, b}, {a, 2, false, nil, b}}},
		{"of two calls that began before anything was known the order is not known", []answer{{b, 0, true, nil, b}, {a, 0, false, nil, b}}},
		{"another key is none of ours", []answer{{a, 0, true, nil, a}, {other, 1, false, errMoved, a}, {a, 1, true, nil, a}}},
	} {
		var v versions
		for i, x := range row.answers {
			current, err := v.saw(x.under, x.begin)
			if current != x.current || !errors.Is(err, x.err) || v.now() != x.now {
				t.Errorf("%s: answer %d: saw = %v, %v with %v current, want %v, %v with %v", row.name, i, current, err, v.now(), x.current, x.err, x.now)
			}
		}
	}
}

// TestNameOfTheKey: decryptions name the ARN as soon as it is known, so that an alias that moves does not matter.
func TestNameOfTheKey(t *testing.T) {
	var v versions
	if got := v.name("alias/kubernetes"); got != "alias/kubernetes" {
		t.Errorf("name = %q before anything is known", got)
	}
	if err := v.opened(testKey); err != nil {
		t.Fatal(err)
	}
	if got := v.name("alias/kubernetes"); got != testKey {
		t.Errorf("name = %q, want the ARN", got)
	}
}
