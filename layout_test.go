// Package kmsd's root holds no code: this test keeps the house in order, as docs/architecture.md describes it.
package kmsd

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/kmsd/kmsd/"

// imports is the direction of the house: package → what of this module it may import. A package that is not here
// fails the test. "*" after a slash stands for everything below.
var imports = map[string][]string{
	"authz":                       {"internal/cow"},
	"authz/ref":                   {},
	"authz/lint":                  {"authz"},
	"authz/diff":                  {"authz"},
	"crypto":                      {},
	"crypto/keypair":              {"crypto"},
	"crypto/keywrap":              {"crypto"},
	"internal/durable":            {},
	"internal/leaktest":           {},
	"internal/cow":                {},
	"internal/idempotency":        {"storage"},
	"internal/front":              {"iam/sigv4"},
	"internal/logtest":            {},
	"internal/unixsocket":         {},
	"internal/netlimit":           {},
	"gateway/aws":                 {"proto/*", "internal/front", "internal/netlimit", "iam/sigv4"},
	"gateway/k8s":                 {"proto/*", "internal/front", "internal/netlimit"},
	"internal/powerfs":            {},
	"internal/vectors":            {},
	"internal/vectors/pack":       {"internal/vectors"},
	"seal":                        {"crypto", "internal/durable"},
	"storage":                     {"crypto", "internal/durable"},
	"audit":                       {"internal/durable"},
	"iam":                         {"authz", "storage", "crypto", "internal/cow", "internal/idempotency", "iam/sigv4", "iam/totp", "iam/oidc"},
	"iam/totp":                    {"crypto"},
	"iam/oidc":                    {},
	"iam/sigv4":                   {"crypto"},
	"keystore":                    {"authz", "storage", "crypto", "crypto/keypair", "crypto/keywrap", "internal/cow"},
	"proto/kmsd/kms/v1":           {"proto/kmsd/iam/v1"},
	"proto/kmsd/iam/v1":           {},
	"proto/kmsd/sts/v1":           {"proto/kmsd/iam/v1"},
	"server":                      {"proto/*", "internal/front", "internal/netlimit", "iam", "iam/sigv4", "iam/totp", "keystore", "authz", "authz/lint", "audit", "crypto", "crypto/keypair", "crypto/keywrap", "storage"},
	"proto/kmsd/organizations/v1": {"proto/kmsd/iam/v1"},
	"client":                      {"proto/*", "crypto", "client/envelope"},
	"client/envelope":             {"crypto"},
	"internal/daemon":             {"gateway/*", "internal/unixsocket", "internal/front", "client", "proto/*", "server", "iam", "iam/sigv4", "keystore", "authz", "audit", "crypto", "crypto/keypair", "storage", "seal", "internal/durable"},
	"internal/kmstest":            {"internal/logtest", "proto/*", "iam/totp", "internal/daemon", "client", "client/envelope", "audit", "storage", "crypto", "seal", "server"},
	"cmd/kmsd":                    {"gateway/k8s", "internal/unixsocket", "client", "internal/daemon", "server", "crypto", "seal", "storage", "audit"},
	"cmd/kmsctl":                  {"authz", "authz/lint", "authz/diff", "client", "client/envelope", "proto/*", "audit", "crypto", "crypto/keypair", "crypto/keywrap", "internal/durable"},
	"bench/echo":                  {"proto/*", "client", "bench/load"},
	"bench/load":                  {"proto/*", "client", "crypto"},
}

// testImports is what tests may import beyond that.
var testImports = []string{"internal/logtest", "internal/unixsocket", "internal/leaktest", "internal/vectors", "internal/kmstest", "authz/ref", "internal/durable", "crypto", "storage", "authz", "audit", "client", "client/envelope", "server", "proto/*", "internal/daemon"}

// exposers may read the bytes of a crypto.Secret.
var exposers = []string{"crypto", "crypto/keypair", "crypto/keywrap", "seal", "storage", "iam", "iam/sigv4", "iam/totp", "keystore", "server", "client", "client/envelope", "cmd/kmsctl", "internal/daemon", "bench/load"}

// grpcUsers may import gRPC.
var grpcUsers = []string{"server", "client", "gateway/*", "cmd/kmsd", "cmd/kmsctl", "internal/daemon", "internal/kmstest", "bench/*", "proto/*"}

func allowed(list []string, pkg string) bool {
	return slices.ContainsFunc(list, func(a string) bool {
		prefix, tree := strings.CutSuffix(a, "*")
		return a == pkg || tree && strings.HasPrefix(pkg, prefix)
	})
}

type source struct {
	pkg, path string
	test      bool
	file      *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(p, "go.mod")); d.IsDir() && p != "." && err == nil {
			return filepath.SkipDir // a module of its own: difftest
		}
		if !strings.HasSuffix(p, ".go") || path.Dir(p) == "." {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, source{filepath.ToSlash(filepath.Dir(p)), p, strings.HasSuffix(p, "_test.go"), f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("found %d Go files: the walk is broken", len(all))
	}
	return all
}

func TestDirectionOfImports(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		seen[s.pkg] = true
		may, ok := imports[s.pkg]
		if !ok {
			t.Errorf("%s: package %s is not in the table of layout_test.go", s.path, s.pkg)
			continue
		}
		if s.test {
			may = slices.Concat(may, testImports)
		}
		for _, spec := range s.file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "google.golang.org/grpc") && !allowed(grpcUsers, s.pkg) {
				t.Errorf("%s imports %s: gRPC stays in %v", s.path, name, grpcUsers)
			}
			if dep, ours := strings.CutPrefix(name, module); ours && dep != s.pkg && !allowed(may, dep) {
				t.Errorf("%s imports %s: %s may import %v", s.path, dep, s.pkg, may)
			}
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(imports)) {
		if !seen[pkg] {
			t.Errorf("the table of layout_test.go names %s, which does not exist", pkg)
		}
	}
}

func TestCallersOfSecretBytes(t *testing.T) {
	calls := 0
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Expose" {
				calls++
				if !slices.Contains(exposers, s.pkg) {
					t.Errorf("%s reads the bytes of a secret: only %v may", s.path, exposers)
				}
			}
			return true
		})
	}
	if calls == 0 {
		t.Error("found no call of Expose: the search is broken")
	}
}

// unmapped are sentinel errors that no call can end with, each with the reason.
var unmapped = map[string]string{
	"audit.ErrLocked":       "of the start",
	"audit.ErrNoLog":        "of the start",
	"audit.ErrNotEmpty":     "of init",
	"audit.ErrVerification": "of verification, and stops the daemon",
	"audit.ErrClosed":       "matches audit.ErrUnavailable",

	"crypto.ErrMalformed":    "matches crypto.ErrCiphertext; the audit event says which",
	"crypto.ErrWrongKey":     "matches crypto.ErrCiphertext; the audit event says which",
	"crypto.ErrCommitment":   "matches crypto.ErrCiphertext; the audit event says which",
	"crypto.ErrWrongContext": "matches crypto.ErrCiphertext; the audit event says which",
	"crypto.ErrTampered":     "matches crypto.ErrCiphertext; the audit event says which",
	"crypto.ErrSealed":       "storage and seal say what it was about",

	"iam.ErrMalformedPolicy":  "is authz.ErrMalformedPolicy",
	"iam.ErrInactive":         "authentication gives its own failure",
	"iam.ErrAccountSuspended": "authentication gives its own failure",
	"iam.ErrInvalidToken":     "authentication gives its own failure",
	"keystore.ErrDryRun":      "is how a dry run succeeds",
	"iam.ErrExpired":          "authentication gives its own failure",

	"sigv4.ErrMissing":     "authentication gives its own failure",
	"sigv4.ErrUnsigned":    "authentication gives its own failure",
	"sigv4.ErrIncomplete":  "authentication gives its own failure",
	"sigv4.ErrExpired":     "authentication gives its own failure",
	"sigv4.ErrNotYetValid": "authentication gives its own failure",
	"sigv4.ErrScope":       "authentication gives its own failure",
	"sigv4.ErrMismatch":    "authentication gives its own failure",

	"storage.ErrNotFound": "keystore and iam read from their snapshots",
	"storage.ErrWrongKey": "of the start",
	"storage.ErrLocked":   "of the start",
}

// TestSentinelsHaveACode: every exported sentinel error of a package below server stands in server/status.go.
func TestSentinelsHaveACode(t *testing.T) {
	status, err := os.ReadFile("server/status.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, s := range sources(t) {
		if s.test || !slices.Contains([]string{"authz", "crypto", "crypto/keypair", "crypto/keywrap", "iam", "iam/sigv4", "keystore", "storage", "audit"}, s.pkg) {
			continue
		}
		for _, name := range sentinels(s.file) {
			found++
			qualified := path.Base(s.pkg) + "." + name
			_, exempt := unmapped[qualified]
			if mapped := strings.Contains(string(status), qualified); !mapped && !exempt {
				t.Errorf("%s: %s has no gRPC code in server/status.go, nor a reason in layout_test.go", s.path, qualified)
			}
		}
	}
	if found == 0 {
		t.Error("found no sentinel: the search is broken")
	}
}

func sentinels(f *ast.File) []string {
	var names []string
	for _, decl := range f.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if strings.HasPrefix(name.Name, "Err") && name.IsExported() {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}
