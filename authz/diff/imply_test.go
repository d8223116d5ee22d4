package diff

import (
	"testing"

	"github.com/kmsd/kmsd/authz"
)

func TestWhatFollowsFromWhat(t *testing.T) {
	like := func(operator, values string) string {
		return `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"` + operator + `":{"aws:PrincipalTag/team":[` + values + `]}}}`
	}
	on := func(element, values string) string {
		return `{"Effect":"Allow","Action":"kms:Decrypt","` + element + `":[` + values + `]}`
	}
	for _, e := range []struct {
		name, a, b string
		want       bool
	}{
		{"a value from more values", like("StringEquals", `"a"`), like("StringEquals", `"a","b"`), true},
		{"more values from a value", like("StringEquals", `"a","b"`), like("StringEquals", `"a"`), false},
		{"being none of many from being none of more", like("StringNotEquals", `"a","b"`), like("StringNotEquals", `"a"`), true},
		{"being none of more from being none of few", like("StringNotEquals", `"a"`), like("StringNotEquals", `"a","b"`), false},
		{"a glob from a narrower one", like("StringLike", `"ab*"`), like("StringLike", `"a*"`), true},
		{"a glob from a wider one", like("StringLike", `"a*"`), like("StringLike", `"ab*"`), false},
		{"a glob from what has a variable there", like("StringLike", `"a${aws:username}"`), like("StringLike", `"a*"`), true},
		{"a glob from what begins with a variable", like("StringLike", `"${aws:username}a"`), like("StringLike", `"a*"`), false},
		{"one operator from another", like("StringEquals", `"a"`), like("StringEqualsIgnoreCase", `"a"`), false},
		{"presence from absence", like("Null", `"true"`), like("Null", `"false"`), false},
		{"a key from a key of an account", on("Resource", `"arn:aws:kms:*:111122223333:key/a"`), on("Resource", `"arn:aws:kms:*:*:key/*"`), true},
		{"a key of an account from a key", on("Resource", `"arn:aws:kms:*:*:key/*"`), on("Resource", `"arn:aws:kms:*:111122223333:key/a"`), false},
		{"not being a key from not being one of an account", on("NotResource", `"arn:aws:kms:*:111122223333:key/*"`), on("NotResource", `"arn:aws:kms:*:*:key/*"`), false},
		{"not being one of an account from not being a key", on("NotResource", `"arn:aws:kms:*:*:key/*"`), on("NotResource", `"arn:aws:kms:*:111122223333:key/*"`), true},
		{"being from not being", on("NotResource", `"arn:aws:kms:*:*:key/*"`), on("Resource", `"arn:aws:kms:*:*:key/*"`), false},
	} {
		s, err := newSearch(authz.IdentityPolicy, []byte(policy(e.a)), []byte(policy(e.b)), Options{})
		if err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
		if len(s.in.atoms) != 2 {
			t.Fatalf("%s: %d atoms, want 2", e.name, len(s.in.atoms))
		}
		if got := s.implies(&s.in.atoms[0], &s.in.atoms[1]); got != e.want {
			t.Errorf("%s follows: %v, want %v", e.name, got, e.want)
		}
	}
}

func TestTextsTellGlobsApart(t *testing.T) {
	s := &search{steps: defaultSteps}
	globs := []glob{newGlob("a*", likeGlob), newGlob("*b", likeGlob), newGlob("ab", exactGlob), newGlob("AB", foldedGlob), newGlob("?", likeGlob)}
	list, complete := s.texts(globs, nil)
	sets := make(map[string]string) // :: which globs match → the first text
	for _, text := range list {
		key := ""
		for i := range globs {
			if globs[i].matches(text) {
				key += string(rune('0' + i))
			}
		}
		if first, again := sets[key]; again {
			t.Errorf("%q and %q are matched by the same globs", first, text)
		}
		sets[key] = text
	}
	// none; a*; *b; a* and *b; each of the last three of one character; "ab", "aB", "Ab" and "AB".
	for _, want := range []string{"", "0", "1", "01", "4", "04", "14", "0123", "03", "13", "3"} {
		if _, ok := sets[want]; !ok {
			t.Errorf("no text is matched by just %q; there are %q", want, list)
		}
	}
	if !complete || len(sets) != 11 {
		t.Errorf("texts = %q, complete %v", list, complete)
	}
}
