package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kmsd/kmsd/internal/logtest"
)

// asMain makes the test binary be kmsd.
const asMain = "KMSD_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
	}
	os.Exit(m.Run())
}

// kmsd runs a command line in this process.
func kmsd(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, os.Stdin, &out, &errs)
	return code, out.String(), errs.String()
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestCommandLine(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if code, out, errs := kmsd(t, "init", "--data", data, "--account-id", "111122223333"); code != exitOK || !strings.Contains(out, "111122223333") || errs != "" {
		t.Fatalf("init = %d, %q, %q", code, out, errs)
	}
	for _, row := range []struct {
		args string
		code int
		says string // on standard error, or on standard output if the code is 0
	}{
		{"--version", exitOK, "kmsd " + release},
		{"version", exitOK, "FIPS 140-3"},
		{"help", exitOK, "kmsd init --data"},
		{"check-config --data " + data, exitOK, "is good"},
		{"check-config --data " + data + " --aws-listen 127.0.0.1:7445", exitOK, "clients of AWS on 127.0.0.1:7445"},
		{"check-config --data " + data + " --aws-listen nowhere", exitError, "aws.listen"},
		{"init --data " + data + "2 --aws-listen nowhere", exitError, "aws.listen"},
		{"frobnicate", exitUsage, "frobnicate"},
		{"init --dat x", exitUsage, "unknown flag: --dat"},
		{"init extra", exitUsage, "takes no argument"},
		{"serve extra", exitUsage, "takes no argument"},
		{"init --data " + data, exitError, "never touches an old one"},
		{"init --data " + data + "2 --key-file a --passphrase-file b", exitUsage, "give one of"},
		{"init --data " + data + "2 --account-id 1", exitError, "12 digits"},
		{"init --data " + data + "2 --listen nowhere", exitError, "host:port"},
		{"init --data " + data + "2 --admin-listen 0.0.0.0:1", exitError, "loopback"},
		{"serve --data " + data + "2", exitError, "kmsd init --data"},
		{"check-config --data " + data + " --log-level loud", exitError, "log_level"},
	} {
		code, out, errs := kmsd(t, strings.Fields(row.args)...)
		said := errs
		if row.code == exitOK {
			said = out
		}
		if code != row.code || !strings.Contains(said, row.says) {
			t.Errorf("kmsd %s = %d, %q, %q; want %d and %q", row.args, code, out, errs, row.code, row.says)
		}
	}
}

// start starts a kmsd of its own process on a fresh data folder and waits until it serves.
func start(t *testing.T) (*exec.Cmd, *logtest.Buffer) {
	t.Helper()
	data, listen := filepath.Join(t.TempDir(), "data"), freePort(t)
	if code, _, errs := kmsd(t, "init", "--data", data, "--listen", listen, "--admin-listen", "off"); code != exitOK {
		t.Fatal(errs)
	}
	cmd, log := exec.Command(os.Args[0], "serve", "--data", data), &logtest.Buffer{}
	cmd.Env, cmd.Stderr = append(os.Environ(), asMain+"=1"), log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", listen)
		if err == nil {
			conn.Close()
			return cmd, log
		}
		if time.Now().After(end) {
			t.Fatalf("kmsd does not serve: %s", log)
		}
	}
}

// checkThreads fails the test if a thread of a kmsd may gain privileges. With cgo, which `make build` and `make test` do without, not all of them are told.
func checkThreads(t *testing.T, pid int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) < 2 {
		t.Fatalf("kmsd has %d threads (%v)", len(tasks), err)
	}
	hardened := 0
	for _, task := range tasks {
		if status, err := os.ReadFile(task); err == nil && strings.Contains(string(status), "NoNewPrivs:\t1") || errors.Is(err, fs.ErrNotExist) {
			hardened++
		}
	}
	if want := len(tasks); hardened < want && !withCgo || hardened == 0 {
		t.Errorf("%d of %d threads may not gain privileges", hardened, want)
	}
}

func TestSignals(t *testing.T) {
	cmd, log := start(t)
	checkThreads(t, cmd.Process.Pid)
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid)); err == nil && os.Getuid() != 0 {
		t.Error("the process can be read by others of its user")
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), `"msg":"loaded the certificate"`) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, log)
	}
	for _, want := range []string{`"msg":"serving"`, `"msg":"loaded the certificate"`, `"msg":"shutting down"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
}
