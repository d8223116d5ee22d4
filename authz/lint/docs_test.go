package lint

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table into docs/policies.md")

// table is the list of checks as docs/policies.md has it.
func table() string {
	var b strings.Builder
	b.WriteString("| code | severity | what it finds | what to write instead |\n|---|---|---|---|\n")
	cell := strings.NewReplacer("|", `\|`)
	for _, c := range Checks() {
		b.WriteString("| `" + c.Code + "` | " + c.Severity.String() + " | " + cell.Replace(c.Finds) + " | " + cell.Replace(c.Advice) + " |\n")
	}
	return b.String()
}

func TestTheDocumentationListsTheChecks(t *testing.T) {
	const file, begin, end = "../../docs/policies.md", "<!-- checks: begin -->\n", "<!-- checks: end -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	have, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no list of checks", file)
	}
	if have == table() {
		return
	}
	if !*update {
		t.Fatalf("%s does not list the checks as they are; run go test ./authz/lint -update", file)
	}
	if err := os.WriteFile(file, []byte(before+begin+table()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
