package authz_test

import (
	"encoding/json"
	"testing"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/authz/ref"
)

// patternTable :: what patterns cover
var patternTable = []struct {
	pattern string
	covers  bool
	arn     string
}{
	{"*", true, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:*", true, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:*", false, "arn:aws:iam::111122223333:user/a"},
	{"arn:aws:kms:*:key/a", true, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:l*l:key/a*", false, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:*:111122223333:key/*", true, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:*:111122223333:key/*", false, "arn:aws:kms:local:444455556666:key/a"},
	{"arn:aws:kms:*:111122223333:key/*", false, "arn:aws:kms:local:111122223333:alias/a"},
	{"arn:aws:kms:*:111122223333:key/*", false, "arn:aws:kms:local"},
	{"arn:aws:kms:*:*:key/a?c", true, "arn:aws:kms:local:111122223333:key/abc"},
	{"arn:aws:kms:*:*:key/a?c", false, "arn:aws:kms:local:111122223333:key/ac"},
	{"arn:aws:kms:*:*:key/a?", false, "arn:aws:kms:local:111122223333:key/abc"},
	{"arn:aws:kms:*:*:key/A", false, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:*:*:key/[a]", false, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:*:*:key/a*c", true, "arn:aws:kms:local:111122223333:key/abcc"},
	{"arn:aws:kms:*:*:key/a*bc*bd", true, "arn:aws:kms:local:111122223333:key/abcbcbd"},
	{"arn:aws:kms:*:*:key/ab*bc", false, "arn:aws:kms:local:111122223333:key/abc"},
	{"arn:aws:kms:*:*:*a?b*", true, "arn:aws:kms:local:111122223333:key/aaabb"},
	{"arn:aws:kms:*:*:*?x?*", false, "arn:aws:kms:local:111122223333:key/x"},
	{"arn:aws:kms:*:*:key/a?*?c", false, "arn:aws:kms:local:111122223333:key/abc"},
	{"arn:aws:kms:*:*:key/a?*?c", true, "arn:aws:kms:local:111122223333:key/abbc"},
	{"arn:aws:kms:*:*:key/*ab*ba*", false, "arn:aws:kms:local:111122223333:key/aba"},
	{"arn:aws:kms:*:*:key/*ab*ba*", true, "arn:aws:kms:local:111122223333:key/abba"},
	{"arn:aws:kms:l?c*:*:key/a", true, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:l?*:*:key/a", false, "arn:aws:kms:l:111122223333:key/a"},
	{"arn:aws:kms::111122223333:key/*", false, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:aws:kms:?:*:key/a", false, "arn:aws:kms::111122223333:key/a"},
	{"arn:aws:kms:*:*:key/a", true, "arn:aws:kms::111122223333:key/a"},
	{"arn:aws:*:*:*:*", true, "arn:aws:kms:local:111122223333:key/a"},
	{"arn:**:**:**:**:**", true, "arn:aws:kms:local:111122223333:key/a"},
	// What follows cannot happen with the ARNs of kmsd, which have five colons.
	{"arn:aws:kms:*:111122223333:key/*", true, "arn:aws:kms:local:444455556666:alias/a:111122223333:key/b"},
	{"arn:aws:kms:local:*:key/a*", true, "arn:aws:kms:local:1:2:3:key/a"},
	{"arn:aws:s3:l*l:1:key/a*", false, "arn:aws:s3:l:l:1:key/a"},
	{"arn:*:a*b:c", true, "arn:x:aX:ab:c"},
	{"arn:*:a*b:c", false, "arn:x:aX:ab:d"},
	{"arn:a*b:c*", false, "arn:a:b:c"},
	{"arn:a:b:c:d:e?f", true, "arn:a:b:c:d:e:f"},
	{"arn:a:b:c?d:*", false, "arn:a:b:c:d:e"},
	{"arn:a:b:c:d:e?", true, "arn:a:b:c:d:e\u00e9"},
	{"arn:a:b:c:d:e??", false, "arn:a:b:c:d:e\u00e9"},
	{"arn:a:b:c:d:*?b", true, "arn:a:b:c:d:\u00e9b"},
	{"arn:a:b:c:d:*??b", false, "arn:a:b:c:d:\u00e9b"},
	{"arn:aws:?*:x", true, "arn:aws:\u00e9:y:x"},
}

func TestPatterns(t *testing.T) {
	for _, tt := range patternTable {
		p := mustParse(t, authz.IdentityPolicy, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"`+tt.pattern+`"}}`)
		c := authz.Caller{Kind: authz.User, Account: "1", ID: "1", Identity: []*authz.Policy{p}}
		_, d := authz.Authorize(&c, authz.KMSCreateAlias, &authz.Resource{Kind: authz.Alias, Account: "1", ARN: tt.arn}, nil)
		if got := d.Verdict == authz.Allow; got != tt.covers {
			t.Errorf("pattern %q covers %q = %v, want %v", tt.pattern, tt.arn, got, tt.covers)
		}
		if got := ref.Match(tt.pattern, tt.arn); got != tt.covers {
			t.Errorf("ref.Match(%q, %q) = %v, want %v", tt.pattern, tt.arn, got, tt.covers)
		}
	}
}

func FuzzResourcePattern(f *testing.F) {
	for _, tt := range patternTable {
		f.Add(tt.pattern, tt.arn)
	}
	f.Fuzz(func(t *testing.T, pattern, arn string) {
		if arn == "" || len(pattern)*len(arn) > 20000 {
			return
		}
		doc, err := json.Marshal(map[string]any{"Statement": map[string]any{"Effect": "Allow", "Action": "*", "Resource": pattern}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := authz.Parse(authz.IdentityPolicy, doc)
		if err != nil {
			return
		}
		c := authz.Caller{Kind: authz.User, Account: "1", ID: "1", Identity: []*authz.Policy{p}}
		_, d := authz.Authorize(&c, authz.KMSCreateAlias, &authz.Resource{Kind: authz.Alias, Account: "1", ARN: arn}, nil)
		if got, want := d.Verdict == authz.Allow, ref.Match(pattern, arn); got != want && d.Reason != authz.TooComplex {
			t.Errorf("pattern %q covers %q = %v, want %v", pattern, arn, got, want)
		}
	})
}
