package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain runs the tests in an environment that has nothing of the caller's but where programs are, and prints the table of clients at the end.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	home, err := os.MkdirTemp("", "kmsd-clients-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer os.RemoveAll(home)
	if err := cleanEnvironment(home); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	code := m.Run()
	if !printTable(os.Stdout) && code == 0 {
		fmt.Fprintln(os.Stderr, "clients: nothing was tested")
		code = 1
	}
	return code
}

// cleanEnvironment takes everything out of the environment that a client could read, but PATH.
func cleanEnvironment(home string) error {
	path := os.Getenv("PATH")
	os.Clearenv()
	set := map[string]string{
		"PATH": path, "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", "TZ": "UTC",
		"XDG_CONFIG_HOME": filepath.Join(home, ".config"), "XDG_CACHE_HOME": filepath.Join(home, ".cache"),
		// No client is to look for credentials or for a region in a network.
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "", "AWS_CLI_AUTO_PROMPT": "off",
	}
	for name, value := range set {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// environment is that of a program: this process's and what is given besides, as "NAME=value".
func environment(more ...string) []string {
	return append(os.Environ(), more...)
}

// tail is the end of what a program has said, for a failure.
func tail(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 4000 {
		s = "…" + s[len(s)-4000:]
	}
	return s
}
