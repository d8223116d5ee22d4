package clients

import (
	"bufio"
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// TestPython runs the SDK for Python.
func TestPython(t *testing.T) {
	c := newClient(t, "boto3", "")
	if _, err := exec.LookPath("python3"); err != nil {
		c.skip(t, "python3 is not installed")
	}
	k := server(t)
	u := k.accessKey(t, "python", allow("sts:AssumeRole"))
	cmd := exec.CommandContext(t.Context(), "python3", "py/sdk.py")
	cmd.Env = environment(append(k.env(), "TEST_TRUST="+trustAccount, "TEST_USER_KEY="+u.keyID, "TEST_USER_SECRET="+u.secret,
		"TEST_ROLE_ARN="+k.role(t, "python-role", trustAccount), "PYTHONDONTWRITEBYTECODE=1")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	first, rest, _ := bytes.Cut(out, []byte("\n"))
	if module, missing := strings.CutPrefix(string(first), "missing "); missing {
		c.skip(t, "%s is not installed", module)
	}
	c.version = strings.TrimPrefix(string(first), "version ")
	c.told(t, bufio.NewScanner(bytes.NewReader(rest)), err, stderr.String())
}
