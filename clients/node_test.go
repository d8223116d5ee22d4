package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// nodeCases runs a program of js and takes each line that it prints for a case.
func nodeCases(t *testing.T, c *client, env []string, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", append([]string{program}, args...)...)
	cmd.Dir, cmd.Env = "js", env
	var stderr lockedBuffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	c.told(t, bufio.NewScanner(bytes.NewReader(out)), err, stderr.String())
}

// told takes each line that a program has printed for a case. err is how it ended.
func (c *client) told(t *testing.T, lines *bufio.Scanner, err error, stderr string) {
	t.Helper()
	n := 0
	for ; lines.Scan(); n++ {
		var result struct {
			Case  string
			Error *string
		}
		if err := json.Unmarshal(lines.Bytes(), &result); err != nil {
			t.Fatalf("the program printed %q: %v", lines.Text(), err)
		}
		c.run(t, result.Case, func(t *testing.T) {
			if result.Error != nil {
				t.Error(*result.Error)
			}
		})
	}
	c.run(t, "to its end", func(t *testing.T) {
		if err != nil || n == 0 {
			t.Errorf("%d cases, %v: %s", n, err, tail(stderr))
		}
	})
}

// needNode skips the client, aloud, where node is missing. Its version is that of a module.
func needNode(t *testing.T, c *client, module string) {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			c.skip(t, "%s is not installed", tool)
		}
	}
	out, err := exec.Command("node", "-p", "JSON.parse(require('fs').readFileSync('js/node_modules/"+module+"/package.json')).version").Output()
	if err != nil {
		t.Fatalf("%s is not installed: run `make clients`, which installs it", module)
	}
	c.version = strings.TrimSpace(string(out))
}

// TestNodeSDK runs the SDK for JavaScript.
func TestNodeSDK(t *testing.T) {
	c := newClient(t, "@aws-sdk/client-kms", "")
	needNode(t, c, "@aws-sdk/client-kms")
	k := server(t)
	u := k.accessKey(t, "node", allow("sts:AssumeRole"))
	role := k.role(t, "node-role", trustAccount)
	i := newIssuer(t)
	federated := k.federated(t, i, "https://node.example", "node-federated")
	nodeCases(t, c, environment(append(k.env(), "TEST_ROLE_ARN="+role, "TEST_USER_KEY="+u.keyID, "TEST_USER_SECRET="+u.secret,
		"TEST_WEB_ROLE_ARN="+federated, "TEST_TOKEN_FILE="+writeFile(t, "token", i.token(t, "https://node.example", "kmsd", "pod-1")))...), "sdk.mjs")
}

// TestNodeEncryptionSDK runs the Encryption SDK for JavaScript with its own keyring for AWS KMS.
func TestNodeEncryptionSDK(t *testing.T) {
	c := newClient(t, "@aws-crypto/client-node, and kmsctl's files", "")
	needNode(t, c, "@aws-crypto/client-node")
	k := server(t)
	nodeCases(t, c, environment(k.env()...), "esdk.mjs", k.madeKey(t, "alias/esdk"), k.madeKey(t, "alias/esdk-other"),
		filepath.Join(k.bin, "kmsctl"), filepath.Join(k.data, "root-credentials.yaml"), t.TempDir())
}
