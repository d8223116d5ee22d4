package authz

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// globReference is the meaning of a glob, by recursion: part says whether * and ? stop at a colon.
func globReference(p, s []rune, stops bool) bool {
	switch {
	case len(p) == 0:
		return len(s) == 0
	case p[0] == '*':
		return globReference(p[1:], s, stops) || len(s) > 0 && !(stops && s[0] == ':') && globReference(p, s[1:], stops)
	case len(s) == 0:
		return false
	case p[0] == '?':
		return !(stops && s[0] == ':') && globReference(p[1:], s[1:], stops)
	}
	return p[0] == s[0] && globReference(p[1:], s[1:], stops)
}

// arnReference compares part by part.
func arnReference(pattern, s string) bool {
	p, a := strings.SplitN(pattern, ":", arnParts), strings.SplitN(s, ":", arnParts)
	if len(p) < arnParts || len(a) < arnParts {
		return false
	}
	for i := range p {
		if !globReference([]rune(p[i]), []rune(a[i]), i < arnParts-1) {
			return false
		}
	}
	return true
}

func textMatch(tb testing.TB, p pattern, wrong, s string) bool {
	tb.Helper()
	if wrong != "" {
		tb.Fatal(wrong)
	}
	var q request
	q.target.budget = maxSteps
	return q.textMatches(&p, s)
}

func randomText(r *rand.Rand, letters []string, most int) string {
	var b strings.Builder
	for range r.IntN(most + 1) {
		b.WriteString(letters[r.IntN(len(letters))])
	}
	return b.String()
}

// TestTextPatternsAreGlobs compares the compiled forms of StringLike and ArnLike with recursion.
func TestTextPatternsAreGlobs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	hits := 0
	for range 60_000 {
		glob, s := randomText(r, []string{"a", "b", "*", "?", "é", ":"}, 7), randomText(r, []string{"a", "b", "é", ":", "a"}, 8)
		p, wrong := compileText(glob, true, lexer{meaning: true})
		got, want := textMatch(t, p, wrong, s), globReference([]rune(glob), []rune(s), false)
		if got != want {
			t.Fatalf("StringLike %q with %q = %v, want %v", glob, s, got, want)
		}
		if got {
			hits++
		}
		glob, s = randomText(r, []string{"a", "*", "?", "é", ":", ":"}, 9), randomText(r, []string{"a", "é", ":", ":"}, 9)
		glob, s = "arn:a:b:c"+glob, "arn:a:b:c"+s
		if p, wrong = compileARN(glob, lexer{}); wrong != "" {
			continue
		}
		if got, want = textMatch(t, p, wrong, s), arnReference(glob, s); got != want {
			t.Fatalf("ArnLike %q with %q = %v, want %v", glob, s, got, want)
		}
	}
	if hits < 3_000 {
		t.Errorf("%d of 60,000 texts matched, too few to say anything", hits)
	}
}

// TestSplitPatternsMatchAsTokensDo compares the two forms of patterns of six parts on ARNs of five colons.
func TestSplitPatternsMatchAsTokensDo(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	hits := 0
	letters := []string{"a", "b", "*", "?", "ab", "**"}
	for range 60_000 {
		var pattern, arn [arnParts]string
		for i := range pattern {
			pattern[i], arn[i] = randomText(r, letters, 4), randomText(r, letters[:2], 4)
			if r.IntN(2) == 0 {
				pattern[i] = arn[i] + "*"
			}
		}
		p := compilePattern("arn" + strings.Join(pattern[:], ":"))
		if p.kind != partsPattern {
			continue
		}
		target := newTarget("arn" + strings.Join(arn[:], ":"))
		split, tokens := target.opsMatch(p.ops, target.arn), target.tokensMatch(&p, target.arn, nil)
		if split != tokens {
			t.Fatalf("%q covers %q: split %v, tokens %v", p.text, target.arn, split, tokens)
		}
		if split {
			hits++
		}
	}
	if hits < 3_000 {
		t.Errorf("%d patterns matched, too few to say anything", hits)
	}
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"", "*", "a*b", "*a?*b", "a:b:*:c", "é?*", "arn:a:b:c:d:e*f", "arn:*:?:c:d*:e", "${*}", "\xff*"} {
		f.Add(s, "arn:a:b:c:d:e")
		f.Add(s, "aéb:")
	}
	f.Fuzz(func(t *testing.T, glob, s string) {
		if len(glob) > 40 || len(s) > 40 {
			return
		}
		if strings.ToValidUTF8(glob, "") != glob || strings.ToValidUTF8(s, "") != s {
			glob, s = strings.ToValidUTF8(glob, "?"), strings.ToValidUTF8(s, "?")
		}
		if strings.Count(glob, "*") > 6 {
			return
		}
		p, wrong := compileText(glob, true, lexer{})
		if got, want := textMatch(t, p, wrong, s), globReference([]rune(glob), []rune(s), false); got != want {
			t.Errorf("StringLike %q with %q = %v, want %v", glob, s, got, want)
		}
		folded, wrong := compileText(glob, false, lexer{fold: true})
		if got := wrong == "" && folded.text == foldName(s); got != (foldName(glob) == foldName(s)) {
			t.Errorf("StringEqualsIgnoreCase %q with %q = %v", glob, s, got)
		}
		if p, wrong := compileARN(glob, lexer{}); wrong == "" {
			if got, want := textMatch(t, p, wrong, s), arnReference(glob, s); got != want {
				t.Errorf("ArnLike %q with %q = %v, want %v", glob, s, got, want)
			}
		}
		if p, wrong := compileText(glob, true, lexer{meaning: true}); wrong == "" {
			var q request // no variable has a value; what is left must end
			q.caller, q.resource, q.target.budget = &Caller{}, &Resource{}, maxSteps
			q.textMatches(&p, s)
			if p, wrong := compileText(glob, false, lexer{meaning: true, fold: true}); wrong == "" {
				q.foldedMatches(&p, s)
			}
		}
	})
}
