package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/authz/lint"
	"github.com/kmsd/kmsd/internal/kmstest"
)

const exampleFolders = "../../docs/iam/*/run.txt"

// examples returns the scripts of the worked examples of docs/iam.md.
func examples(t *testing.T) []string {
	t.Helper()
	scripts, err := filepath.Glob(exampleFolders)
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) < 10 {
		t.Fatalf("found %d examples in docs/iam: they are not all there", len(scripts))
	}
	return scripts
}

// TestExamples runs the script of each example of docs/iam.md against a kmsd of its own, with the policies that lie beside it. The commands are
// those of TestScripts.
func TestExamples(t *testing.T) {
	for _, script := range examples(t) {
		folder := filepath.Dir(script)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			if testing.Short() {
				t.Skip("under the race detector each command takes a second")
			}
			runScript(t, kmstest.New(t, nil), script, func(env *testscript.Env) error {
				policies, err := filepath.Glob(filepath.Join(folder, "*.json"))
				if err != nil {
					return err
				}
				for _, policy := range policies {
					document, err := os.ReadFile(policy)
					if err != nil {
						return err
					}
					if err := os.WriteFile(filepath.Join(env.WorkDir, filepath.Base(policy)), document, 0o600); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

var requestIDInError = regexp.MustCompile(`request ([0-9a-f-]{36})`)

func requestID(ts *testscript.TestScript, _ bool, args []string) {
	found := requestIDInError.FindStringSubmatch(ts.ReadFile("stderr"))
	if len(args) != 1 || found == nil {
		ts.Fatalf("usage: requestid NAME, after a command whose error has the id of a request")
	}
	ts.Setenv(args[0], found[1])
}

// exampleKinds :: how the name of an example's policy begins → what it is; the others are identity policies.
var exampleKinds = map[string]authz.PolicyKind{
	"key-policy":     authz.KeyPolicy,
	"trust-policy":   authz.TrustPolicy,
	"session-policy": authz.SessionPolicy,
	"scp":            authz.ServiceControlPolicy,
	"rcp":            authz.ResourceControlPolicy,
}

// intended :: policy of an example → code of a finding that it is about. The prose says why.
var intended = map[string]string{
	"06-break-glass/administrator.json": "",
}

// TestExamplePolicies looks at each policy of the examples: its script uses it, and lint finds nothing grave in it.
func TestExamplePolicies(t *testing.T) {
	for _, script := range examples(t) {
		folder := filepath.Dir(script)
		commands, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		policies, err := filepath.Glob(filepath.Join(folder, "*.json"))
		if err != nil || len(policies) == 0 {
			t.Errorf("%s has %d policies, %v", folder, len(policies), err)
		}
		for _, policy := range policies {
			name := filepath.Base(folder) + "/" + filepath.Base(policy)
			if !strings.Contains(string(commands), " "+filepath.Base(policy)) {
				t.Errorf("%s: the script beside it does not use it", name)
			}
			lintExample(t, name, policy)
		}
	}
}

func lintExample(t *testing.T, name, path string) {
	t.Helper()
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	kind := authz.IdentityPolicy
	if k, ok := exampleKinds[strings.TrimSuffix(filepath.Base(path), ".json")]; ok {
		kind = k
	}
	for _, f := range lint.Lint(kind, document) {
		if f.Severity <= lint.SecurityWarning && intended[name] != f.Code {
			t.Errorf("%s: line %d: %s: %s %s", name, f.Line, f.Code, f.Message, f.Fix)
		}
	}
}
