package main

import (
	"strings"
	"testing"
)

func TestMergeKeepsWhatIsNotIts(t *testing.T) {
	put := []section{{"profile kmsd", []string{"region = local"}}}
	const made = "[profile kmsd]\n" + madeBy + "\nregion = local\n"
	for _, tt := range []struct{ name, old, want string }{
		{"an empty file", "", made},
		{"another profile", "[profile a]\nx = 1\n", "[profile a]\nx = 1\n\n" + made},
		{"no line feed at the end", "[profile a]\nx = 1", "[profile a]\nx = 1\n\n" + made},
		{"a comment without a profile", "# nothing\n", "# nothing\n\n" + made},
		{"an older one in the middle", "[a]\nx = 1\n\n[ profile  \"kmsd\" ]\n" + madeBy + "\nregion = b\ns3 =\n  y = 2\n\n# of c\n[c]\nz = 3\n", "[a]\nx = 1\n\n" + made + "\n# of c\n[c]\nz = 3\n"},
		{"the same twice", made + "\n" + made, made + "\n"},
		{"one of a like name", "[profile kmsd2]\nx = 1\n\n", "[profile kmsd2]\nx = 1\n\n" + made},
		{"itself", made, made},
		{"one that is gone", "[old]\n" + madeBy + "\nx = 1\n\n[a]\n", "\n[a]\n\n" + made},
	} {
		if got, err := merge(tt.old, put, []string{"old"}, false); err != nil || got != tt.want {
			t.Errorf("%s: merge = %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	for name, old := range map[string]string{
		"a profile of that name":         "[profile kmsd]\nregion = b\n",
		"one with the mark in a setting": "[profile kmsd]\nregion = b " + madeBy + "\n",
		"one that is gone":               "[old]\nx = 1\n",
	} {
		if got, err := merge(old, put, []string{"old"}, false); err == nil || got != "" {
			t.Errorf("%s: merge = %q, %v, want an error: kmsctl has not written it", name, got, err)
		}
		if got, err := merge(old, put, []string{"old"}, true); err != nil || strings.TrimSpace(got) != strings.TrimSpace(made) {
			t.Errorf("%s: merge, forced, = %q, %v, want %q", name, got, err, made)
		}
	}
}

func FuzzMerge(f *testing.F) {
	for _, s := range []string{"", "[profile kmsd]\nx = 1\n", "[profile kmsd]\n" + madeBy + "\nx = 1\n# y\n[z]\n", "[", "[]\n]", "a\r\n[b]\r\n", madeBy + "\n[old]\n" + madeBy} {
		f.Add(s)
	}
	put := []section{{"profile kmsd", []string{"region = local"}}}
	f.Fuzz(func(t *testing.T, old string) {
		var whole strings.Builder
		others := 0
		for _, p := range split(old) {
			whole.WriteString(p.body + p.after)
			if p.name != "profile kmsd" && p.name != "old" {
				others += len(p.body)
			}
		}
		if whole.String() != old {
			t.Errorf("split(%q) is %q put together", old, whole.String())
		}
		got, err := merge(old, put, []string{"old"}, true)
		if err != nil {
			t.Fatalf("merge(%q), forced: %v", old, err)
		}
		if !strings.Contains(got, text(put)) || len(got) < others+len(text(put)) {
			t.Errorf("merge(%q) = %q: it lacks the section, or what was there", old, got)
		}
		if again, err := merge(got, put, []string{"old"}, false); err != nil || again != got {
			t.Errorf("merge(merge(%q)) = %q, %v, want no change to %q", old, again, err, got)
		}
	})
}

func TestShellWord(t *testing.T) {
	for s, want := range map[string]string{"a/b-c_1.2:x=@%+,": "a/b-c_1.2:x=@%+,", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "é": "'é'", "~/a": "'~/a'", "a;b": "'a;b'"} {
		if got := shellWord(s); got != want {
			t.Errorf("shellWord(%q) = %s, want %s", s, got, want)
		}
	}
}

func TestFitsINI(t *testing.T) {
	for s, want := range map[string]bool{"/home/a b/ca.pem": true, "/a\n[x]": false, "/a #b": false, "/a;b": false, " /a": false, "/a\x1b": false} {
		if got := fitsINI(s); got != want {
			t.Errorf("fitsINI(%q) = %v, want %v", s, got, want)
		}
	}
}
