package vectors

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryFileIsWhatItsOriginSays(t *testing.T) {
	names, err := Names()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, name := range names {
		for _, g := range Read(t, name) {
			total += len(g.Tests)
		}
	}
	if len(names) != 59 || total != 12558 {
		t.Errorf("%d files with %d vectors, want 59 with 12558", len(names), total)
	}
	files, err := testdata.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(files), len(names)+len([]string{"ORIGIN", "LICENSE", "shared.gz"}); got != want {
		t.Errorf("testdata has %d files, want %d: one for each line of ORIGIN, and three", got, want)
	}
}

// A file that lies here and that no test runs would look like one that passes.
func TestEveryFileIsRunByATest(t *testing.T) {
	tests, err := filepath.Glob("../../crypto/*/wycheproof*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, path := range append(tests, "../../crypto/wycheproof_test.go") {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
	}
	names, err := Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.Contains(text.String(), `"`+name+`"`) {
			t.Errorf("no wycheproof_test.go below crypto names %q", name)
		}
	}
	for _, quoted := range regexp.MustCompile(`"(aes|ec|ed|hmac|ml|rsa)[a-z]*_[a-z0-9_]+"`).FindAllString(text.String(), -1) {
		if name := strings.Trim(quoted, `"`); !slices.Contains(names, name) {
			t.Errorf("a test names %q, which is not in ORIGIN", name)
		}
	}
}

func TestFilesThatAreNotWhatTheyShouldBe(t *testing.T) {
	for _, row := range []struct{ name, file, want string }{
		{"empty", `{"numberOfTests":0,"testGroups":[]}`, "has 0 vectors"},
		{"fewer than recorded", `{"numberOfTests":1,"testGroups":[{"tests":[{"tcId":1,"result":"valid"}]}]}`, "want 2"},
		{"says another number", `{"numberOfTests":3,"testGroups":[{"tests":[{"tcId":1,"result":"valid"},{"tcId":2,"result":"valid"}]}]}`, "says 3"},
		{"unknown result", `{"numberOfTests":2,"testGroups":[{"tests":[{"tcId":1,"result":"valid"},{"tcId":2,"result":"maybe"}]}]}`, `unknown result "maybe"`},
		{"no result", `{"numberOfTests":2,"testGroups":[{"tests":[{"tcId":1,"result":"valid"},{"tcId":2}]}]}`, `unknown result ""`},
		{"not hexadecimal", `{"numberOfTests":2,"testGroups":[{"tests":[{"tcId":1,"sig":"0g"}]}]}`, "invalid byte"},
		{"not JSON", `{`, "unexpected end"},
	} {
		if _, err := parse("x", []byte(row.file), 2); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: parse() = %v, want an error with %q", row.name, err, row.want)
		}
	}
	if _, err := read("aes_ccm"); err == nil {
		t.Error("a file that is not there is read")
	}
}

func TestPackedFilesUnpack(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 5)
	file := []byte(`{"a":"` + long + `","b":"` + long + `","c":"` + strings.ToUpper(long) + `","d":"` + long + `0","e":"beef"}`)
	var p Packer
	packed, err := p.Pack(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Shared) != 40 || bytes.Count(packed, []byte(`"#0:40"`)) != 2 {
		t.Errorf("packed: %s with %d bytes, want two references to 40 bytes", packed, len(p.Shared))
	}
	if got, err := Unpack(packed, p.Shared); err != nil || !bytes.Equal(got, file) {
		t.Errorf("Unpack() = %s, %v, want %s", got, err, file)
	}
	if _, err := Unpack(packed, p.Shared[1:]); err == nil {
		t.Error("Unpack() with a byte missing gives no error")
	}
	if _, err := p.Pack(packed); err == nil {
		t.Error("Pack() of a file with references gives no error")
	}
}

func TestVerdicts(t *testing.T) {
	pins := []*pinned{{pin: pin{"*", "Odd", refused, "odd"}}, {pin: pin{"*", "7", accepted, "seven"}}}
	no := errors.New("no")
	right, wrong := []byte("right"), []byte("wrong")
	for _, row := range []struct {
		name    string
		vector  Test
		verdict func(*Test) Verdict
		want    string // "" is an error
	}{
		{"valid is accepted", Test{Result: Valid}, func(v *Test) Verdict { return Gives(v, right, nil, right) }, "valid accepted"},
		{"valid gives something else", Test{Result: Valid}, func(v *Test) Verdict { return Gives(v, wrong, nil, right) }, ""},
		{"valid is refused", Test{Result: Valid}, func(*Test) Verdict { return Passes(no) }, ""},
		{"valid is refused for a reason", Test{Result: Valid}, func(*Test) Verdict { return Passes(no).Unoffered("label") }, "valid refused (label)"},
		{"valid is accepted though there is a reason", Test{Result: Valid}, func(*Test) Verdict { return Passes(nil).Unoffered("label") }, ""},
		{"invalid is refused", Test{Result: Invalid}, func(*Test) Verdict { return Passes(no) }, "invalid refused"},
		{"invalid is refused for a reason", Test{Result: Invalid}, func(*Test) Verdict { return Passes(no).Unoffered("label") }, "invalid refused"},
		{"invalid is accepted", Test{Result: Invalid}, func(*Test) Verdict { return Passes(nil) }, ""},
		{"invalid gives something else", Test{Result: Invalid}, func(v *Test) Verdict { return Gives(v, wrong, nil, right) }, ""},
		{"acceptable as its flag says", Test{Result: Acceptable, Flags: []string{"Odd"}}, func(*Test) Verdict { return Passes(no) }, "acceptable refused (odd)"},
		{"acceptable as its id says", Test{Result: Acceptable, ID: 7}, func(*Test) Verdict { return Passes(nil) }, "acceptable accepted (seven)"},
		{"acceptable against its flag", Test{Result: Acceptable, Flags: []string{"Odd"}}, func(*Test) Verdict { return Passes(nil) }, ""},
		{"acceptable without an entry", Test{Result: Acceptable}, func(*Test) Verdict { return Passes(nil) }, ""},
		{"acceptable gives something else", Test{Result: Acceptable, ID: 7}, func(v *Test) Verdict { return Gives(v, wrong, nil, right) }, ""},
		{"skipped", Test{Result: Valid}, func(*Test) Verdict { return Skip("because") }, "valid skipped (because)"},
		{"skipped without a reason", Test{Result: Valid}, func(*Test) Verdict { return Skip("") }, ""},
		{"failed", Test{Result: Invalid}, func(*Test) Verdict { return Failed(no) }, ""},
		{"nothing", Test{Result: Invalid}, func(*Test) Verdict { return Verdict{} }, ""},
	} {
		if got, err := settle(pins, &row.vector, row.verdict(&row.vector)); got != row.want || (err == nil) == (row.want == "") {
			t.Errorf("%s: settle() = %q, %v, want %q", row.name, got, err, row.want)
		}
	}
	if got, want := sentence(map[string]int{"b": 2, "a": 2, "c": 9}), "9 c, 2 a, 2 b"; got != want {
		t.Errorf("sentence() = %q, want %q", got, want)
	}
}
