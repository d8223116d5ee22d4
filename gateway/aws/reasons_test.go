package aws

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// reasons finds, in the source of a package, every reason that an error may have: reason → gRPC codes.
func reasons(t *testing.T, folder string, least int) map[string]map[codes.Code]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var parsed []*ast.File
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	r := reasonFinder{constants: map[string]string{}, found: map[string]map[codes.Code]bool{}, named: map[string]bool{}}
	for _, f := range parsed {
		ast.Inspect(f, r.constant)
	}
	for _, f := range parsed {
		ast.Inspect(f, r.reason)
	}
	for name := range r.named {
		if folder != "." && r.found[name] == nil {
			t.Errorf("%s says %s, and the test does not see of which error: teach it", folder, name)
		}
	}
	if len(r.found) < least {
		t.Fatalf("%s: found %d reasons: the test is broken", folder, len(r.found))
	}
	return r.found
}

type reasonFinder struct {
	constants map[string]string // reasonX → its text
	found     map[string]map[codes.Code]bool
	named     map[string]bool // all that looks like a reason
}

func (r *reasonFinder) constant(n ast.Node) bool {
	if v, ok := n.(*ast.ValueSpec); ok {
		for i, name := range v.Names {
			if i < len(v.Values) {
				if text := r.text(v.Values[i]); strings.HasPrefix(name.Name, "reason") && text != "" {
					r.constants[name.Name] = text
				}
			}
		}
	}
	return true
}

func (r *reasonFinder) text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(e.Value)
		return s
	case *ast.Ident:
		return r.constants[e.Name]
	}
	return ""
}

var looksLikeReason = regexp.MustCompile(`^[A-Za-z]+Exception$|^RequestCanceled$`)

func (r *reasonFinder) reason(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BasicLit:
		if text := r.text(n); looksLikeReason.MatchString(text) {
			r.named[text] = true
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "unauthenticated" {
			r.add(r.text(n.Args[0]), codes.Unauthenticated)
		}
	case *ast.KeyValueExpr: // a front.Error
		if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Reason" {
			r.add(r.text(n.Value), codes.InvalidArgument)
		}
	case *ast.CompositeLit:
		var code codes.Code
		var reason string
		for i, e := range n.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				if k, ok := kv.Key.(*ast.Ident); ok && k.Name == "code" {
					code = codeOf(kv.Value)
				} else if ok && k.Name == "reason" {
					reason = r.text(kv.Value)
				}
			} else if i == 1 {
				code = codeOf(e)
			} else if i == 2 {
				reason = r.text(e)
			}
		}
		if reason != "" && code != codes.OK {
			r.add(reason, code)
		}
	}
	return true
}

func (r *reasonFinder) add(reason string, code codes.Code) {
	if reason == "" {
		return
	}
	if r.found[reason] == nil {
		r.found[reason] = map[codes.Code]bool{}
	}
	r.found[reason][code] = true
}

// codeOf is the code that codes.X names.
func codeOf(e ast.Expr) codes.Code {
	if s, ok := e.(*ast.SelectorExpr); ok {
		for c := codes.OK; c <= codes.Unauthenticated; c++ {
			if c.String() == s.Sel.Name || c == codes.Canceled && s.Sel.Name == "Canceled" {
				return c
			}
		}
	}
	return codes.OK
}

var updateErrors = flag.Bool("update-errors", false, "write testdata/errors.txt anew")

// TestEveryReasonIsAnErrorOfAWS: testdata/errors.txt says what every error of the pipeline, and of the front itself, becomes in each service. A reason that
// is new is not in it, and somebody must look at what became of it.
func TestEveryReasonIsAnErrorOfAWS(t *testing.T) {
	all := reasons(t, "../../server", 60)
	for reason, codes := range reasons(t, ".", 8) {
		if all[reason] == nil {
			all[reason] = codes
		}
	}
	all[reasonDryRun] = map[codes.Code]bool{codes.FailedPrecondition: true}
	var lines []string
	for _, s := range newServices() {
		for _, reason := range slices.Sorted(maps.Keys(all)) {
			for _, code := range slices.Sorted(maps.Keys(all[reason])) {
				f := s.protocol.fail(s, nil, statusOf(t, code, reason, "the message"))
				name := nameOf(t, s, f)
				if f.code < 400 || f.code > 599 || name == "" || strings.ContainsAny(name, " \n<>") {
					t.Errorf("%s: %s (%v) became %d %q", s.name, reason, code, f.code, name)
				}
				if down := code == codes.Unavailable || code == codes.Internal || code == codes.DataLoss; down && f.code < 500 && reason != "IDPCommunicationErrorException" {
					t.Errorf("%s: %s (%v) became %d, which SDKs do not repeat", s.name, reason, code, f.code)
				}
				lines = append(lines, fmt.Sprintf("%-13s %-43s %-18v %d %s\n", s.name, reason, code, f.code, name))
			}
		}
	}
	got := strings.Join(lines, "")
	if *updateErrors {
		if err := os.WriteFile("testdata/errors.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/errors.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		known := strings.SplitAfter(string(want), "\n")
		for _, line := range lines {
			if !slices.Contains(known, line) {
				t.Errorf("not in testdata/errors.txt: %s", line)
			}
		}
		t.Error("testdata/errors.txt is not what the tables say: look at each difference, then run with -update-errors")
	}
}

func statusOf(t *testing.T, code codes.Code, reason, message string) *status.Status {
	t.Helper()
	st, err := status.New(code, message).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "kms"}, &errdetails.RequestInfo{RequestId: "the-request-id"})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// nameOf is what an error calls itself.
func nameOf(t *testing.T, s *service, f failure) string {
	t.Helper()
	if s.version == "" {
		return f.errorType
	}
	e := parseXML(t, f.body)
	if id := e.child("RequestId"); id == nil || id.Text != "the-request-id" {
		t.Errorf("%s: the error has no request id: %s", s.name, f.body)
	}
	kind := "Sender"
	if f.code >= 500 {
		kind = "Receiver"
	}
	if got := e.child("Error").child("Type").Text; got != kind {
		t.Errorf("%s: the error of %d is a %s's, want a %s's", s.name, f.code, got, kind)
	}
	return e.child("Error").child("Code").Text
}

func TestQueryErrors(t *testing.T) {
	for _, c := range []struct {
		name, service, operation string
		code                     codes.Code
		reason, message          string
		fields                   []violation
		http                     int
		want                     string
	}{
		{"what the caller sent is escaped", "iam", "GetUser", codes.NotFound, "NoSuchEntityException", "no such entity: <b>", nil, 404, "Sender NoSuchEntity no such entity: <b>"},
		{"a token that signs has expired", "sts", "GetCallerIdentity", codes.Unauthenticated, "ExpiredTokenException", "The security token included in the request is expired", nil, 403, "Sender ExpiredToken The security token included in the request is expired"},
		{"a token of an identity provider has expired", "sts", "AssumeRoleWithWebIdentity", codes.Unauthenticated, "ExpiredTokenException", "the web identity token has expired", nil, 400, "Sender ExpiredTokenException the web identity token has expired"},
		{"a code of MFA is wrong", "sts", "AssumeRole", codes.PermissionDenied, "InvalidAuthenticationCodeException", "x", nil, 403, "Sender AccessDenied MultiFactorAuthentication failed with invalid MFA one time pass code."},
		{"a field is missing", "iam", "CreateUser", codes.InvalidArgument, reasonValidation, "user_name: is missing", []violation{{"user_name", "is missing"}}, 400, "Sender ValidationError 1 validation error detected: Value null at 'userName' failed to satisfy constraint: Member must not be null"},
		{"the audit log is down", "iam", "CreateUser", codes.Unavailable, "KMSInternalException", "the audit log is not available, so nothing is answered", nil, 500, "Receiver ServiceFailure the audit log is not available, so nothing is answered"},
		{"the audit log is down for STS", "sts", "AssumeRole", codes.Unavailable, "KMSInternalException", "the audit log is not available, so nothing is answered", nil, 500, "Receiver InternalFailure the audit log is not available, so nothing is answered"},
		{"an error without a reason", "iam", "CreateUser", codes.Unknown, "", "x", nil, 500, "Receiver ServiceFailure x"},
		{"a refusal without a reason", "iam", "CreateUser", codes.InvalidArgument, "", "x", nil, 400, "Sender ValidationError x"},
		{"a reason that no table has", "iam", "CreateUser", codes.Aborted, "QuarrelException", "x", nil, 409, "Sender Quarrel x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			op := querySide(t, c.service, c.operation)
			bad := &errdetails.BadRequest{}
			for _, v := range c.fields {
				bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: v.field, Description: v.what})
			}
			st, err := status.New(c.code, c.message).WithDetails(&errdetails.ErrorInfo{Reason: c.reason}, &errdetails.RequestInfo{RequestId: "r"}, bad)
			if err != nil {
				t.Fatal(err)
			}
			f := op.service.protocol.fail(op.service, op, st)
			e := parseXML(t, f.body).child("Error")
			if got := e.child("Type").Text + " " + e.child("Code").Text + " " + e.child("Message").Text; f.code != c.http || got != c.want {
				t.Errorf("%v %s became %d %s, want %d %s", c.code, c.reason, f.code, got, c.http, c.want)
			}
		})
	}
	s := querySide(t, "sts", "AssumeRole").service
	if e := parseXML(t, s.protocol.fail(nil, nil, status.New(codes.InvalidArgument, "x")).body); e.XMLName.Space != "" || e.XMLName.Local != "ErrorResponse" {
		t.Errorf("without a service the error is %v", e.XMLName)
	}
}

func TestUnknownOperationsOfQuery(t *testing.T) {
	s := querySide(t, "iam", "GetUser").service
	for name, want := range map[string]string{
		"MakeCoffee":          "UnknownOperationException: Could not find operation MakeCoffee for version 2010-05-08",
		"<script>":            "UnknownOperationException: ",
		"CreateLoginProfile":  "UnsupportedOperationException: kmsd does not have the operation CreateLoginProfile.",
		"createuser":          "UnknownOperationException: Could not find operation createuser for version 2010-05-08",
		"ListInstanceProfile": "UnknownOperationException: Could not find operation ListInstanceProfile for version 2010-05-08",
	} {
		if op, err := s.find(name); op != nil || err == nil || err.Error() != want {
			t.Errorf("find(%q) = %v, %v, want %s", name, op, err, want)
		}
	}
	for name := range s.absent {
		if s.operations[name] != nil {
			t.Errorf("%s is an operation of kmsd, and said to be absent", name)
		}
	}
}
