package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/client/envelope"
)

// every calls fn for every command of kmsctl.
func every(c *cobra.Command, fn func(*cobra.Command)) {
	if c.Name() == "help" {
		return // cobra's own
	}
	fn(c)
	for _, child := range c.Commands() {
		every(child, fn)
	}
}

func TestEveryCommandIsDescribed(t *testing.T) {
	n := 0
	every((&app{}).root(), func(c *cobra.Command) {
		n++
		if c.Short == "" || c.Long == "" || c.Example == "" {
			t.Errorf("%s: Short %q, Long %q, Example %q: each must say something", c.CommandPath(), c.Short, c.Long, c.Example)
		}
		if c.Args == nil {
			t.Errorf("%s takes any arguments", c.CommandPath())
		}
		if c.RunE == nil {
			t.Errorf("%s does nothing", c.CommandPath())
		}
		if strings.HasSuffix(c.Short, ".") || c.HasParent() && unicode.IsUpper([]rune(c.Short)[0]) {
			t.Errorf("%s: Short %q: want lower case and no stop", c.CommandPath(), c.Short)
		}
	})
	if n < 45 {
		t.Errorf("kmsctl has %d commands, want them all: at least 45", n)
	}
}

// TestExamplesAreRight: every example in the help names a command that there is, with flags and arguments that it takes.
func TestExamplesAreRight(t *testing.T) {
	n := 0
	every((&app{}).root(), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			n++
			checkExample(t, line)
		}
	})
	if n < 60 {
		t.Errorf("found %d examples, want at least 60", n)
	}
}

func checkExample(t *testing.T, line string) {
	t.Helper()
	_, call, ok := strings.Cut(line, "kmsctl ")
	if !ok {
		t.Errorf("%q: does not call kmsctl", line)
		return
	}
	for _, end := range []string{" | ", " < ", " > ", ")"} {
		call, _, _ = strings.Cut(call, end)
	}
	var args []string
	for i, part := range strings.Split(call, "'") {
		if i%2 == 1 {
			args = append(args, part) // quoted
			continue
		}
		args = append(args, strings.Fields(part)...)
	}
	root := (&app{}).root()
	c, rest, err := root.Find(args)
	if err != nil {
		t.Errorf("%q: %v", line, err)
		return
	}
	if err := c.ParseFlags(rest); err != nil {
		t.Errorf("%q: %v", line, err)
		return
	}
	if err := c.ValidateArgs(c.Flags().Args()); err != nil {
		t.Errorf("%q: %v", line, err)
	}
}

// TestManualShowsOnlyWhatThereIs: the commands in docs/kmsctl.md and docs/aws-clients.md are right, too.
func TestManualShowsOnlyWhatThereIs(t *testing.T) {
	for page, least := range map[string]int{"kmsctl.md": 30, "aws-clients.md": 4} {
		n, code := 0, false
		for line := range strings.Lines(readFile(t, "../../docs/"+page)) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "```") {
				code = !code
				continue
			}
			if code && strings.Contains(line, "kmsctl ") && !strings.HasPrefix(line, "#") {
				n++
				call, _, _ := strings.Cut(line, " #")
				checkExample(t, call)
			}
		}
		if n < least {
			t.Errorf("found %d commands in docs/%s, want at least %d", n, page, least)
		}
	}
}

// TestAWSPageShowsTheProfile: what docs/aws-clients.md shows is what kmsctl config aws prints.
func TestAWSPageShowsTheProfile(t *testing.T) {
	p := awsProfile{
		name: "kmsd", region: "local", endpoint: "https://localhost:" + awsPort, caFile: "/home/alice/.aws/kmsd-ca.pem",
		process: "/usr/local/bin/kmsctl --credentials /home/alice/alice.yaml config aws --credential-process",
	}
	page := readFile(t, "../../docs/aws-clients.md")
	if want := "```\n" + text(p.config()) + "```\n"; !strings.Contains(page, want) {
		t.Errorf("docs/aws-clients.md does not show the profile:\n%s", want)
	}
	for _, v := range p.environment() {
		service, perService := strings.CutPrefix(v.name, "AWS_ENDPOINT_URL")
		if !strings.Contains(page, v.name) && (!perService || !strings.Contains(page, "`"+service+"`")) {
			t.Errorf("docs/aws-clients.md does not name %s", v.name)
		}
	}
}

// TestManualNamesEveryCommand compares the table of all commands in docs/kmsctl.md with the commands that there are.
func TestManualNamesEveryCommand(t *testing.T) {
	const page, begin, end = "../../docs/kmsctl.md", "<!-- commands: go test ./cmd/kmsctl -run TestManual -update -->\n", "<!-- end of commands -->\n"
	before, rest, found := strings.Cut(readFile(t, page), begin)
	got, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatal("docs/kmsctl.md has not both marks of the commands")
	}
	var b strings.Builder
	b.WriteString("| command | |\n|---|---|\n")
	n := 0
	every((&app{}).root(), func(c *cobra.Command) {
		if len(c.Commands()) == 0 {
			n++
			fmt.Fprintf(&b, "| `%s` | %s |\n", c.CommandPath(), c.Short)
		}
	})
	switch want := b.String(); {
	case n < 140:
		t.Errorf("kmsctl has %d commands, want them all: at least 140", n)
	case got == want:
	case !*update:
		t.Error("docs/kmsctl.md names other commands than there are: run this test with -update")
	default:
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestChangesTakeATokenAndReadingDoesNot: every command but those named makes a change that is done once for a token, or none.
func TestChangesTakeATokenAndReadingDoesNot(t *testing.T) {
	changes := 0
	every((&app{}).root(), func(c *cobra.Command) {
		if len(c.Commands()) > 0 {
			return
		}
		token := c.Flags().Lookup("client-token") != nil
		first, _, _ := strings.Cut(strings.TrimPrefix(c.CommandPath(), "kmsctl "), " ")
		verb, _, _ := strings.Cut(c.Name(), "-")
		reads := slices.Contains([]string{
			"access", "attached", "certificates", "deletion", "describe", "diff", "entities", "explain", "for", "get", "groups", "last", "lint", "list", "organization",
			"policies", "public", "rotations", "simulate", "status", "tags", "targets", "tree", "trust", "versions", "wrap",
		}, verb)
		if c.Name() == "enable-mfa" || c.Name() == "create-certificate" || c.Name() == "on" || c.Name() == "off" {
			return // which docs/kmsctl.md names, and deletion-protection
		}
		switch first {
		case "key", "alias", "grant", "user", "group", "role", "policy", "identity-provider", "account", "ou", "scp":
			if token == reads {
				t.Errorf("%s: --client-token %v, and it reads %v", c.CommandPath(), token, reads)
			}
		default:
			if token {
				t.Errorf("%s has --client-token", c.CommandPath())
			}
		}
		if token {
			changes++
		}
	})
	if changes < 70 {
		t.Errorf("%d commands take a client token, want at least 70", changes)
	}
}

func TestParseContext(t *testing.T) {
	for _, tt := range []struct {
		given []string
		want  map[string]string
	}{
		{nil, nil},
		{[]string{"k=v"}, map[string]string{"k": "v"}},
		{[]string{"k="}, map[string]string{"k": ""}},
		{[]string{"k=a=b,c d", "é=ü"}, map[string]string{"k": "a=b,c d", "é": "ü"}},
	} {
		got, err := parseContext(tt.given)
		if err != nil || !maps.Equal(got, tt.want) {
			t.Errorf("parseContext(%q) = %q, %v, want %q", tt.given, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		given []string
		want  string
	}{
		{[]string{"k"}, `--context "k": must be KEY=VALUE`},
		{[]string{""}, `--context "": must be KEY=VALUE`},
		{[]string{"=v"}, `--context "=v": the key is empty`},
		{[]string{"a=1", "a=1"}, `--context: the key "a" is given twice`},
		{[]string{"a=1", "b=\xff"}, "--context: pair 2 is not valid UTF-8"},
		{[]string{strings.Repeat("k", 257) + "=v"}, "--context: "},
		{[]string{"k=" + strings.Repeat("v", 8192)}, "--context: "},
	} {
		got, err := parseContext(tt.given)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || got != nil {
			t.Errorf("parseContext(%.40q) = %q, %v, want %s", tt.given, got, err, tt.want)
		}
	}
}

func FuzzParseContext(f *testing.F) {
	for _, s := range []string{"k=v", "k", "=v", "a=b=c\nd=e", "a=1\na=2", "k=\xff", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		given := strings.Split(s, "\n")
		got, err := parseContext(given)
		if err != nil {
			if got != nil {
				t.Errorf("parseContext(%q) = %q beside %v, want nothing", given, got, err)
			}
			return
		}
		if len(got) != len(given) {
			t.Errorf("parseContext(%q) has %d pairs, want %d", given, len(got), len(given))
		}
		for _, pair := range given {
			key, value, _ := strings.Cut(pair, "=")
			if v, ok := got[key]; !ok || v != value {
				t.Errorf("parseContext(%q)[%q] = %q, %v, want %q", given, key, v, ok, value)
			}
		}
	})
}

func TestParseConfig(t *testing.T) {
	c, err := parseConfig([]byte("current_context: a\ncontexts:\n  a: /x\n  B.2: /y\n"))
	if err != nil || c.CurrentContext != "a" || !maps.Equal(c.Contexts, map[string]string{"a": "/x", "B.2": "/y"}) {
		t.Errorf("parseConfig = %v, %v, want two contexts", c, err)
	}
	for name, file := range map[string]string{
		"an unknown name":          "nonsense: 1\n",
		"a context without name":   "contexts:\n  \"\": /x\n",
		"a name with a space":      "contexts:\n  \"a b\": /x\n",
		"a relative path":          "contexts:\n  a: x\n",
		"a current one of nothing": "current_context: b\ncontexts:\n  a: /x\n",
	} {
		if c, err := parseConfig([]byte(file)); err == nil {
			t.Errorf("%s: parseConfig = %v, want an error", name, c)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{"", "current_context: a\ncontexts:\n  a: /x\n", "contexts: {a: b}", "nonsense: 1", "contexts:\n  - a", "&a [*a]", "contexts: &a {b: *a}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseConfig([]byte(s))
		if err != nil && (c.Contexts != nil || c.CurrentContext != "") {
			t.Errorf("parseConfig(%q) = %v beside %v, want nothing", s, c, err)
		}
		if _, ok := c.Contexts[c.CurrentContext]; c.CurrentContext != "" && !ok {
			t.Errorf("parseConfig(%q) has the current context %q, which is not there", s, c.CurrentContext)
		}
	})
}

func TestDurationsAndInstants(t *testing.T) {
	for s, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "36h": 36 * time.Hour, "1s": time.Second} {
		if got, err := duration("duration", s); err != nil || got != want {
			t.Errorf("duration(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "d", "0d", "-1d", "1.5d", "99999d", "0s", "-1h", "soon"} {
		if got, err := duration("duration", s); err == nil || got != 0 {
			t.Errorf("duration(%q) = %v, %v, want an error", s, got, err)
		}
	}
	for s, want := range map[string]time.Time{
		"":                          {},
		"2026-11-23":                time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC),
		"2026-11-23T15:04:05.5Z":    time.Date(2026, 11, 23, 15, 4, 5, 500_000_000, time.UTC),
		"2026-11-23T15:04:05+01:00": time.Date(2026, 11, 23, 14, 4, 5, 0, time.UTC),
	} {
		if got, err := instant("since", s); err != nil || !got.Equal(want) {
			t.Errorf("instant(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	if got, err := instant("since", "1h"); err != nil || time.Since(got).Round(time.Minute) != time.Hour {
		t.Errorf("instant(1h) = %v, %v, want an hour ago", got, err)
	}
	if _, err := instant("since", "yesterday"); err == nil {
		t.Error("instant(yesterday) = nil, want an error")
	}
}

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"plain, ünïcode 日本":   "plain, ünïcode 日本",
		"\x1b[2J":             `\x1b[2J`,
		"a\nb\tc\r":           `a\nb\tc\r`,
		"\u202eevil":          `\u202eevil`,
		"\u009b2J":            `\u009b2J`,
		"bad \xff":            `bad \ufffd`,
		"quote ' stays":       "quote ' stays",
		"quote ' and \x07 go": `quote ' and \a go`,
	} {
		if got := printable(s); got != want {
			t.Errorf("printable(%q) = %q, want %q", s, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b]0;x\x07")
	f.Fuzz(func(t *testing.T, s string) {
		got := printable(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, unprintable) {
			t.Errorf("printable(%q) = %q, which is not", s, got)
		}
	})
}

func TestExitCodes(t *testing.T) {
	kms := func(code codes.Code, reason string) error { return &client.Error{Code: code, Reason: reason} }
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"an error", errors.New("x"), exitError},
		{"wrong use", usage("x"), exitUsage},
		{"wrong use with a hint", hint(usage("x"), "y"), exitUsage},
		{"a key that is not there", kms(codes.NotFound, "NotFoundException"), exitNotFound},
		{"no permission", kms(codes.PermissionDenied, "AccessDeniedException"), exitDenied},
		{"unknown credentials", kms(codes.Unauthenticated, "UnrecognizedClientException"), exitDenied},
		{"a name that is taken", kms(codes.AlreadyExists, "AlreadyExistsException"), exitConflict},
		{"a disabled key", kms(codes.FailedPrecondition, "DisabledException"), exitConflict},
		{"too many", kms(codes.ResourceExhausted, "LimitExceededException"), exitConflict},
		{"too fast", kms(codes.ResourceExhausted, "ThrottlingException"), exitUnavailable},
		{"nobody there", kms(codes.Unavailable, ""), exitUnavailable},
		{"too late", kms(codes.DeadlineExceeded, "DependencyTimeoutException"), exitUnavailable},
		{"a bad request", kms(codes.InvalidArgument, "ValidationException"), exitError},
		{"a ciphertext that is none", kms(codes.InvalidArgument, "InvalidCiphertextException"), exitVerify},
		{"a signature that is none", kms(codes.InvalidArgument, "KMSInvalidSignatureException"), exitVerify},
		{"a MAC that is none", kms(codes.InvalidArgument, "KMSInvalidMacException"), exitVerify},
		{"other material", kms(codes.InvalidArgument, "IncorrectKeyMaterialException"), exitConflict},
		{"another key", kms(codes.InvalidArgument, "IncorrectKeyException"), exitConflict},
		{"a damaged record", kms(codes.DataLoss, "KMSInternalException"), exitVerify},
		{"an altered answer", fmt.Errorf("x: %w", client.ErrIntegrity), exitVerify},
		{"an altered file", fmt.Errorf("x: %w", envelope.ErrAltered), exitVerify},
		{"a file whose key is denied", fmt.Errorf("%w: %w", envelope.ErrNoDataKey, kms(codes.PermissionDenied, "AccessDeniedException")), exitDenied},
		{"an altered log", &audit.VerifyError{}, exitVerify},
		{"no log", audit.ErrNoLog, exitNotFound},
		{"a file that exists", fmt.Errorf("x: %w", os.ErrExist), exitConflict},
	} {
		if got, _ := classify(tt.err); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", tt.name, got, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var said strings.Builder
	if got := (&app{stderr: &said}).exit(ctx, kms(codes.Canceled, "")); got != exitInterrupted || said.String() != "error: interrupted\n" {
		t.Errorf("interrupted: exit code %d and %q, want %d", got, said.String(), exitInterrupted)
	}
}

func TestHintsFitTheMistake(t *testing.T) {
	for _, tt := range []struct{ name, reason, message, want string }{
		{"a key that is stopped", "DisabledException", "arn:aws:kms:local:111122223333:key/k is disabled.", "kmsctl key enable KEY"},
		{"a version that is stopped", "DisabledException", "arn:aws:kms:local:111122223333:key/k key material 00 is disabled.", "kmsctl key material enable KEY MATERIAL"},
		{"a key that was rotated too often", "LimitExceededException", "limit exceeded: a key is rotated on demand at most 25 times", "kmsctl key rotation enable KEY"},
		{"what FIPS does not allow", "UnsupportedOperationException", "not available in FIPS 140-3 mode", "choose another spec or algorithm"},
		{"a method that is not there", "UnsupportedOperationException", "there is no such method", "different versions"},
		{"a reason without a hint", "KMSInternalException", " is pending deletion.", ""},
	} {
		got := hintOf(&client.Error{Reason: tt.reason, Message: tt.message})
		if !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: the hint is %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestParseHead(t *testing.T) {
	want := audit.Head{Seq: 4711}
	want.Hash[0] = 0xAB
	if got, err := parseHead(headText(want)); err != nil || got != want {
		t.Errorf("parseHead(%q) = %v, %v, want %v", headText(want), got, err, want)
	}
	for _, s := range []string{"", "1", "1:", "0:" + strings.Repeat("00", 32), "-1:" + strings.Repeat("00", 32), "1:" + strings.Repeat("00", 31), "1:" + strings.Repeat("zz", 32)} {
		if got, err := parseHead(s); err == nil {
			t.Errorf("parseHead(%q) = %v, want an error", s, got)
		}
	}
}
