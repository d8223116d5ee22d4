package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/authz/lint"
	"github.com/kmsd/kmsd/internal/kmstest"
)

const (
	exampleScripts = "../../docs/iam/*/run.txt"
	iamPage        = "../../docs/iam.md"
)

var update = flag.Bool("update", false, "write the table of condition keys into docs/iam.md")

// examples returns the scripts of the worked examples of docs/iam.md.
func examples(t *testing.T) []string {
	t.Helper()
	scripts, err := filepath.Glob(exampleScripts)
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

// TestExamplePolicies looks at each policy of the examples: its script uses it, the prose links to it, and lint finds nothing grave in it.
func TestExamplePolicies(t *testing.T) {
	prose := readFile(t, iamPage)
	for _, script := range examples(t) {
		folder := filepath.Dir(script)
		commands := readFile(t, script)
		policies, err := filepath.Glob(filepath.Join(folder, "*.json"))
		if err != nil || len(policies) == 0 {
			t.Errorf("%s has %d policies, %v", folder, len(policies), err)
		}
		for _, policy := range policies {
			name := filepath.Base(folder) + "/" + filepath.Base(policy)
			if !strings.Contains(commands, " "+filepath.Base(policy)) {
				t.Errorf("%s: the script beside it does not use it", name)
			}
			if !strings.Contains(prose, "(iam/"+name+")") {
				t.Errorf("%s: docs/iam.md does not link to it", name)
			}
			lintExample(t, name, policy)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var verb = regexp.MustCompile(`(?m)^(?:exec|! exec|exits [0-9]+) (kmsctl .*)$`)

// TestExamplesProse compares what docs/iam.md shows of the examples with what is run: each policy in it is one of the files, and each command
// one of the scripts.
func TestExamplesProse(t *testing.T) {
	files, commands := map[string]bool{}, map[string]bool{}
	for _, script := range examples(t) {
		for _, found := range verb.FindAllStringSubmatch(readFile(t, script), -1) {
			commands[found[1]] = true
		}
		policies, err := filepath.Glob(filepath.Join(filepath.Dir(script), "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, policy := range policies {
			files[readFile(t, policy)] = true
		}
	}
	_, prose, ok := strings.Cut(readFile(t, iamPage), "## Ten worked examples\n")
	if !ok {
		t.Fatal("docs/iam.md has no worked examples")
	}
	policies, shown := 0, 0
	for i, block := range strings.Split(prose, "```") {
		if i%2 == 0 {
			continue // between blocks
		}
		if document, ok := strings.CutPrefix(block, "json\n"); ok {
			if policies++; !files[document] {
				t.Errorf("docs/iam.md shows a policy that is none of the examples: %s", document)
			}
			continue
		}
		for line := range strings.SplitSeq(block, "\n") {
			if !strings.HasPrefix(line, "kmsctl ") {
				continue
			}
			if shown++; !commands[line] {
				t.Errorf("docs/iam.md shows a command that no example runs: %s", line)
			}
		}
	}
	if policies < 10 || shown < 25 {
		t.Errorf("docs/iam.md shows %d policies and %d commands: they are not all there", policies, shown)
	}
}

func lintExample(t *testing.T, name, path string) {
	t.Helper()
	kind := authz.IdentityPolicy
	if k, ok := exampleKinds[strings.TrimSuffix(filepath.Base(path), ".json")]; ok {
		kind = k
	}
	for _, f := range lint.Lint(kind, []byte(readFile(t, path))) {
		if f.Severity <= lint.Warning {
			t.Errorf("%s: line %d: %s: %s %s", name, f.Line, f.Code, f.Message, f.Fix)
		}
	}
}

// TestPolicyPage reads the policies that docs/policies.md shows.
func TestPolicyPage(t *testing.T) {
	read := 0
	for _, block := range strings.Split(readFile(t, "../../docs/policies.md"), "```json\n")[1:] {
		document, _, _ := strings.Cut(block, "```")
		if !strings.HasPrefix(document, "{") {
			document = `{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*", ` + document + "}}" // a part of a statement
		}
		kind := authz.IdentityPolicy
		if strings.Contains(document, `"Principal"`) {
			kind = authz.KeyPolicy
		}
		if _, err := authz.Parse(kind, []byte(document)); err != nil {
			t.Errorf("docs/policies.md shows a policy that is refused: %v\n%s", err, document)
		}
		read++
	}
	if read < 5 {
		t.Errorf("docs/policies.md shows %d policies: they are not all there", read)
	}
}

// TestConditionKeys compares the tables of condition keys in docs/iam.md with authz's own.
func TestConditionKeys(t *testing.T) {
	const begin, end = "<!-- condition keys: go test ./cmd/kmsctl -run TestConditionKeys -update -->\n", "<!-- end of condition keys -->\n"
	before, rest, found := strings.Cut(readFile(t, iamPage), begin)
	got, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("docs/iam.md has not both marks of the condition keys")
	}
	want := conditionKeys()
	if strings.Count(want, "\n") < 50 {
		t.Fatalf("authz tells of few condition keys: %s", want)
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("docs/iam.md has other condition keys than authz: run this test with -update")
	}
	if err := os.WriteFile(iamPage, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// requestsWith :: a condition key → words for the requests that have it, which serve for all keys that the same requests have.
var requestsWith = map[string]string{
	"aws:PrincipalArn":          "every request",
	"aws:ResourceAccount":       "requests for a resource",
	"kms:KeySpec":               "requests for a key, `kms:CreateKey`",
	"kms:ResourceAliases":       "requests for a key",
	"kms:EncryptionContextKeys": "cryptographic operations, `kms:CreateGrant`",
	"kms:EncryptionAlgorithm":   "cryptographic operations",
	"iam:ResourceTag/${k}":      "requests for a user, role or other entity of IAM",
	"aws:RequestTag/${k}":       "what creates with tags, adds tags, or opens a session with tags",
	"aws:TagKeys":               "the same, and what removes tags",
	"sts:RoleSessionName":       "what opens a session of a role",
	"iam:PermissionsBoundary":   "what creates or changes a user or role, its policies and its boundary",
	"organizations:PolicyType":  "operations on policies of the organization",
}

func conditionKeys() string {
	having := map[string][]string{} // :: condition key → actions
	for a := range authz.Actions() {
		for _, k := range authz.ContextKeys(a) {
			having[k.Name] = append(having[k.Name], "`"+a.String()+"`")
		}
	}
	words := map[string]string{} // :: actions → words for them
	for key, w := range requestsWith {
		words[strings.Join(having[key], ", ")] = w
	}
	var b strings.Builder
	b.WriteString("| key | type | value | requests that have it |\n|---|---|---|---|\n")
	var never []string
	for k := range authz.ConditionKeys() {
		if k.Never {
			never = append(never, "`"+k.Name+"`")
			continue
		}
		kind := k.Type.String()
		if k.Multi {
			kind += ", several"
		}
		requests := strings.Join(having[k.Name], ", ")
		if w, ok := words[requests]; ok {
			requests = w
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, kind, k.From, requests)
	}
	slices.Sort(never)
	fmt.Fprintf(&b, "\nKeys that AWS has and no request to kmsd: they are accepted, and are always absent. %s.\n", strings.Join(never, ", "))
	return b.String()
}
