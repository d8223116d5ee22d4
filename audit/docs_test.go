package audit

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocumentedCheck runs the script of docs/formats/audit-log.md, which knows nothing of this package, over a good log and over an altered one.
func TestDocumentedCheck(t *testing.T) {
	for _, tool := range []string{"sh", "jq", "xxd", "openssl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: %s is not installed", tool)
		}
	}
	doc, err := os.ReadFile("../docs/formats/audit-log.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(string(doc), "```sh\n")
	script, _, ok := strings.Cut(script, "```")
	if !ok {
		t.Fatal("docs/formats/audit-log.md holds no script")
	}
	s := newSample(t, 8, 6_000)
	run := func() ([]byte, error) {
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir = s.config.Dir
		return cmd.CombinedOutput()
	}
	if out, err := run(); err != nil || len(out) > 0 {
		t.Errorf("the script on a good log: %v, %s", err, out)
	}
	name := s.names[len(s.names)-1]
	altered := bytes.Replace(s.segments[name], []byte("node-1"), []byte("node-2"), 1)
	if err := os.WriteFile(filepath.Join(s.config.Dir, name), altered, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(); err == nil || !bytes.Contains(out, []byte(": hash")) {
		t.Errorf("the script on an altered log: %v, %q, want a complaint about a hash", err, out)
	}
}
