package main

import (
	"bytes"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kmsd/kmsd/internal/kmstest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kmsctl": main})
}

// TestScripts runs each script of testdata against a kmsd of its own, as the root user. Beside testscript's own commands there are
//
//	exits N COMMAND…          the command ends with exit code N; stdout and stderr look at what it printed
//	capture NAME REGEXP       $NAME is what the first group of REGEXP matches in the last standard output
//	damage FILE N             changes byte N of a file (from its end if negative)
//	cut FILE N                cuts N bytes off the end of a file
//	mode FILE PERM            the file has these permissions
//	user NAME POLICY…         makes a user with these policies; $NAME is its credentials file
//	code NAME FILE STEPS      $NAME is what the MFA device shows STEPS times 30 seconds from now, whose otpauth URI is in FILE
//	token FILE SUBJECT        writes a token of the provider $ISSUER, whose keys are in $JWKS, with the audience kmsd
//	requestid NAME            $NAME is the id of the request whose error is in the last standard error
//
// $ROOT is the root user's credentials file, the file large has 12,000 bytes.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) < 29 {
		t.Fatalf("found %d scripts in testdata: they are not all there", len(scripts))
	}
	if testing.Short() { // under the race detector each command takes a second: those that use several goroutines
		scripts = []string{"testdata/audit.txt", "testdata/encrypt.txt", "testdata/file.txt"}
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txt"), func(t *testing.T) {
			// One after the other: a process that another script starts would inherit the locks of this kmsd for the moment before it runs.
			runScript(t, kmstest.New(t, nil), script, nil)
		})
	}
}

// runScript runs a script as the root user of a kmsd. more may be nil, or add to what it starts with.
func runScript(t *testing.T, k *kmstest.KMS, script string, more func(*testscript.Env) error) {
	t.Helper()
	issuer := kmstest.NewIssuer(t, "https://issuer.example")
	testscript.Run(t, testscript.Params{
		Files: []string{script}, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("KMSD_CREDENTIALS", k.CredentialsFile(k.Credentials()))
			env.Setenv("ROOT", env.Getenv("KMSD_CREDENTIALS"))
			env.Setenv("ENDPOINT", k.Address())
			env.Setenv("AUDIT", k.AuditDir())
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("ISSUER", issuer.URL)
			env.Setenv("JWKS", filepath.Join(env.WorkDir, "jwks.json"))
			if more != nil {
				if err := more(env); err != nil {
					return err
				}
			}
			if err := os.WriteFile(filepath.Join(env.WorkDir, "large"), bytes.Repeat([]byte("large\n"), 2000), 0o600); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "jwks.json"), []byte(issuer.JWKS()), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": func(ts *testscript.TestScript, _ bool, args []string) {
				uri, err := url.Parse(strings.TrimSpace(ts.ReadFile(args[1])))
				ts.Check(err)
				steps, err := strconv.Atoi(args[2])
				ts.Check(err)
				ts.Setenv(args[0], kmstest.TOTP(t, uri.Query().Get("secret"), steps))
			},
			"token": func(ts *testscript.TestScript, _ bool, args []string) {
				now := time.Now()
				token := issuer.Token(map[string]any{"aud": "kmsd", "sub": args[1], "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()})
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(token), 0o644))
			},
			"exits": exits, "capture": capture, "damage": damage, "cut": cut, "mode": mode, "requestid": requestID,
			"user": func(ts *testscript.TestScript, _ bool, args []string) {
				for i, policy := range args[1:] {
					args[i+1] = ts.ReadFile(policy)
				}
				ts.Setenv(args[0], k.CredentialsFile(k.User(args[0], args[1:]...)))
			},
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N COMMAND ARGUMENT…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	default:
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s ended with exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func capture(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("%q does not match the standard output, once with one group", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func damage(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	if n < 0 {
		n += len(b)
	}
	b[n] ^= 1
	ts.Check(os.WriteFile(path, b, 0o600))
}

func cut(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	info, err := os.Stat(path)
	ts.Check(err)
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(path, info.Size()-n))
}

func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	want, err := strconv.ParseUint(args[1], 8, 32)
	ts.Check(err)
	if got := info.Mode().Perm(); got != os.FileMode(want) {
		ts.Fatalf("%s has mode %04o, want %04o", args[0], got, want)
	}
}
