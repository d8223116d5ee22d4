package server

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Linting is long code over hostile text. Were it to panic behind a change, the change would be made and the answer would say that it is not: so it
// stands before every change that the same function makes.
func TestPoliciesAreLintedBeforeTheyAreStored(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	linting := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			change, lints := token.Pos(0), []token.Pos{}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				of, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				on, _ := of.X.(*ast.Ident)
				switch {
				case on == nil:
				case on.Name == "c" && of.Sel.Name == "lint":
					lints = append(lints, call.Pos())
				case (on.Name == "people" || on.Name == "keys") && change == 0:
					change = call.Pos()
				}
				return true
			})
			for _, at := range lints {
				linting++
				if change == 0 || at > change {
					t.Errorf("%s: %s lints behind the change, or makes none", set.Position(at), f.Name.Name)
				}
			}
		}
	}
	if linting < 11 {
		t.Errorf("found %d policies that are linted, want at least 11: the search is broken", linting)
	}
}
