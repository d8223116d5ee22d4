package clients

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// commandLine is the aws command in the environment of a kmsd.
type commandLine struct {
	k    *kmsd
	env  []string
	path string
}

// try runs aws and returns what it prints; what it says besides if it fails.
func (c *commandLine) try(args ...string) (string, error) {
	cmd := exec.Command(c.path, append([]string{"--output", "json"}, args...)...)
	cmd.Env = c.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return stderr.String(), err
	}
	return string(out), nil
}

// aws runs aws and returns its answer.
func (c *commandLine) aws(t *testing.T, args ...string) map[string]any {
	t.Helper()
	out, err := c.try(args...)
	if err != nil {
		t.Fatalf("aws %s: %v: %s", strings.Join(args, " "), err, tail(out))
	}
	answer := map[string]any{}
	if strings.TrimSpace(out) != "" {
		if err := json.Unmarshal([]byte(out), &answer); err != nil {
			t.Fatalf("aws %s printed %s", strings.Join(args, " "), tail(out))
		}
	}
	return answer
}

// refused runs aws and wants it to fail with these words.
func (c *commandLine) refused(t *testing.T, says string, args ...string) {
	t.Helper()
	if out, err := c.try(args...); err == nil || !strings.Contains(out, says) {
		t.Errorf("aws %s: %v: %s, want an error with %q", strings.Join(args, " "), err, tail(out), says)
	}
}

// with is c with more of an environment.
func (c *commandLine) with(more ...string) *commandLine {
	changed := *c
	changed.env = append(append([]string{}, c.env...), more...)
	return &changed
}

// at is a member of an answer, by the names on the way.
func at(t *testing.T, answer map[string]any, names ...string) string {
	t.Helper()
	for _, name := range names[:len(names)-1] {
		inner, ok := answer[name].(map[string]any)
		if !ok {
			t.Fatalf("the answer %v has no %s", answer, name)
		}
		answer = inner
	}
	s, ok := answer[names[len(names)-1]].(string)
	if !ok {
		t.Fatalf("the answer %v has no text %s", answer, names[len(names)-1])
	}
	return s
}

// TestCommandLine runs the aws command.
func TestCommandLine(t *testing.T) {
	c := newClient(t, "aws command line", "")
	path, err := exec.LookPath("aws")
	if err != nil {
		c.skip(t, "aws is not installed")
	}
	cli := &commandLine{path: path, env: os.Environ()}
	version, err := cli.try("--version")
	if err != nil {
		c.skip(t, "aws --version: %v: %s", err, tail(version))
	}
	c.version = strings.TrimPrefix(strings.Fields(version)[0], "aws-cli/")
	cli.k = server(t)
	cli.env = environment(cli.k.env()...)
	for _, part := range []struct {
		name string
		test func(*testing.T, *commandLine)
	}{
		{"kms: keys, aliases, tags and rotation", cliKeys},
		{"kms: encrypt, decrypt, data keys", cliCrypto},
		{"kms: sign and verify, MACs", cliSignatures},
		{"kms: list-keys pages by itself", cliPages},
		{"sts: get-caller-identity", func(t *testing.T, c *commandLine) {
			want(t, "Arn", at(t, c.aws(t, "sts", "get-caller-identity"), "Arn"), "arn:aws:iam::"+account+":root")
		}},
		{"iam: users, policies and access keys", cliIdentities},
		{"organizations: units and accounts", cliOrganizations},
		{"a profile with role_arn", cliRole},
		{"a profile with a web identity token", cliWebIdentity},
		{"the profile that kmsctl config aws writes", cliProfile},
		{"the exports that kmsctl config aws prints", cliExports},
		{"AWS_ENDPOINT_URL alone", func(t *testing.T, c *commandLine) {
			c = &commandLine{k: c.k, path: c.path, env: environment("AWS_ENDPOINT_URL="+c.k.endpoint, "AWS_REGION="+c.k.region, "AWS_DEFAULT_REGION="+c.k.region,
				"AWS_CA_BUNDLE="+c.k.caFile, "AWS_ACCESS_KEY_ID="+c.k.keyID, "AWS_SECRET_ACCESS_KEY="+c.k.secret)}
			c.aws(t, "kms", "list-aliases")
		}},
		{"errors say what is wrong", cliErrors},
	} {
		c.run(t, part.name, func(t *testing.T) { part.test(t, cli) })
	}
}

func cliKeys(t *testing.T, c *commandLine) {
	key := at(t, c.aws(t, "kms", "create-key", "--description", "by aws", "--tags", "TagKey=a,TagValue=1"), "KeyMetadata", "KeyId")
	c.aws(t, "kms", "create-alias", "--alias-name", "alias/cli", "--target-key-id", key)
	want(t, "Description", at(t, c.aws(t, "kms", "describe-key", "--key-id", "alias/cli"), "KeyMetadata", "Description"), "by aws")
	c.aws(t, "kms", "enable-key-rotation", "--key-id", key, "--rotation-period-in-days", "90")
	want(t, "KeyRotationEnabled", c.aws(t, "kms", "get-key-rotation-status", "--key-id", key)["KeyRotationEnabled"], any(true))
	c.aws(t, "kms", "rotate-key-on-demand", "--key-id", key)
	want(t, "rotations", len(c.aws(t, "kms", "list-key-rotations", "--key-id", key)["Rotations"].([]any)), 1)
	want(t, "tags", len(c.aws(t, "kms", "list-resource-tags", "--key-id", key)["Tags"].([]any)), 1)
	c.aws(t, "kms", "disable-key", "--key-id", key)
	want(t, "KeyState", at(t, c.aws(t, "kms", "schedule-key-deletion", "--key-id", key, "--pending-window-in-days", "7"), "KeyState"), "PendingDeletion")
	c.aws(t, "kms", "cancel-key-deletion", "--key-id", key)
	c.aws(t, "kms", "put-key-policy", "--key-id", key, "--policy", at(t, c.aws(t, "kms", "get-key-policy", "--key-id", key), "Policy"))
}

func cliCrypto(t *testing.T, c *commandLine) {
	c.k.madeKey(t, "alias/cli-crypto")
	plain := writeFile(t, "plain", "plaintext\x00\xff")
	sealed := at(t, c.aws(t, "kms", "encrypt", "--key-id", "alias/cli-crypto", "--plaintext", "fileb://"+plain, "--encryption-context", "tenant=17"), "CiphertextBlob")
	blob, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, "sealed", string(blob))
	opened := at(t, c.aws(t, "kms", "decrypt", "--ciphertext-blob", "fileb://"+file, "--encryption-context", "tenant=17"), "Plaintext")
	want(t, "Plaintext", opened, base64.StdEncoding.EncodeToString([]byte("plaintext\x00\xff")))
	c.refused(t, "(InvalidCiphertextException)", "kms", "decrypt", "--ciphertext-blob", "fileb://"+file)
	c.aws(t, "kms", "re-encrypt", "--ciphertext-blob", "fileb://"+file, "--source-encryption-context", "tenant=17", "--destination-key-id", "alias/cli-crypto")
	made := at(t, c.aws(t, "kms", "generate-data-key", "--key-id", "alias/cli-crypto", "--key-spec", "AES_256"), "Plaintext")
	want(t, "length of the data key in base64", len(made), 44)
	c.aws(t, "kms", "generate-random", "--number-of-bytes", "32")
}

func cliSignatures(t *testing.T, c *commandLine) {
	message := writeFile(t, "message", "message")
	key := at(t, c.aws(t, "kms", "create-key", "--key-spec", "ECC_NIST_P256", "--key-usage", "SIGN_VERIFY"), "KeyMetadata", "KeyId")
	signature, err := base64.StdEncoding.DecodeString(at(t, c.aws(t, "kms", "sign", "--key-id", key, "--message", "fileb://"+message, "--signing-algorithm", "ECDSA_SHA_256"), "Signature"))
	if err != nil {
		t.Fatal(err)
	}
	verified := c.aws(t, "kms", "verify", "--key-id", key, "--message", "fileb://"+message, "--signing-algorithm", "ECDSA_SHA_256",
		"--signature", "fileb://"+writeFile(t, "signature", string(signature)))
	want(t, "SignatureValid", verified["SignatureValid"], any(true))
	c.aws(t, "kms", "get-public-key", "--key-id", key)
}

func cliPages(t *testing.T, c *commandLine) {
	for range 3 {
		c.aws(t, "kms", "create-key")
	}
	all := c.aws(t, "kms", "list-keys")["Keys"].([]any)
	paged := c.aws(t, "kms", "list-keys", "--page-size", "1")["Keys"].([]any)
	want(t, "keys, a page each", len(paged), len(all))
	first := c.aws(t, "kms", "list-keys", "--max-items", "2")
	want(t, "keys with --max-items", len(first["Keys"].([]any)), 2)
	c.aws(t, "kms", "list-keys", "--max-items", "1", "--starting-token", at(t, first, "NextToken"))
}

func cliIdentities(t *testing.T, c *commandLine) {
	policy := writeFile(t, "policy.json", allow("kms:ListKeys"))
	want(t, "Arn", at(t, c.aws(t, "iam", "create-user", "--user-name", "cli", "--tags", "Key=a,Value=1"), "User", "Arn"), "arn:aws:iam::"+account+":user/cli")
	c.aws(t, "iam", "put-user-policy", "--user-name", "cli", "--policy-name", "p", "--policy-document", "file://"+policy)
	document := c.aws(t, "iam", "get-user-policy", "--user-name", "cli", "--policy-name", "p")["PolicyDocument"].(map[string]any)
	want(t, "Version of the document, which aws has parsed", document["Version"], any("2012-10-17"))
	key := c.aws(t, "iam", "create-access-key", "--user-name", "cli")
	user := c.with("AWS_ACCESS_KEY_ID="+at(t, key, "AccessKey", "AccessKeyId"), "AWS_SECRET_ACCESS_KEY="+at(t, key, "AccessKey", "SecretAccessKey"))
	user.aws(t, "kms", "list-keys")
	want(t, "Arn", at(t, user.aws(t, "sts", "get-caller-identity"), "Arn"), "arn:aws:iam::"+account+":user/cli")
	user.refused(t, "(AccessDeniedException)", "kms", "create-key")
	user.refused(t, "(AccessDenied)", "iam", "list-users")
	want(t, "users with --max-items", len(c.aws(t, "iam", "list-users", "--max-items", "1")["Users"].([]any)), 1)
	seed := filepath.Join(t.TempDir(), "seed")
	device := c.aws(t, "iam", "create-virtual-mfa-device", "--virtual-mfa-device-name", "cli", "--outfile", seed, "--bootstrap-method", "Base32StringSeed")
	written, err := os.ReadFile(seed)
	if err != nil {
		t.Fatal(err)
	}
	c.aws(t, "iam", "enable-mfa-device", "--user-name", "cli", "--serial-number", at(t, device, "VirtualMFADevice", "SerialNumber"),
		"--authentication-code1", totp(t, written, -1), "--authentication-code2", totp(t, written, 0))
	c.aws(t, "iam", "create-group", "--group-name", "cli")
	c.aws(t, "iam", "add-user-to-group", "--group-name", "cli", "--user-name", "cli")
	c.refused(t, "(DeleteConflict)", "iam", "delete-user", "--user-name", "cli")
	c.refused(t, "(EntityAlreadyExists)", "iam", "create-user", "--user-name", "cli")
}

func cliOrganizations(t *testing.T, c *commandLine) {
	roots := c.aws(t, "organizations", "list-roots")["Roots"].([]any)
	root := at(t, roots[0].(map[string]any), "Id")
	unit := at(t, c.aws(t, "organizations", "create-organizational-unit", "--parent-id", root, "--name", "cli"), "OrganizationalUnit", "Id")
	want(t, "Name", at(t, c.aws(t, "organizations", "describe-organizational-unit", "--organizational-unit-id", unit), "OrganizationalUnit", "Name"), "cli")
	made := at(t, c.aws(t, "organizations", "create-account", "--account-name", "cli", "--email", "cli@example.com"), "CreateAccountStatus", "AccountId")
	c.aws(t, "organizations", "move-account", "--account-id", made, "--source-parent-id", root, "--destination-parent-id", unit)
	want(t, "children", len(c.aws(t, "organizations", "list-children", "--parent-id", unit, "--child-type", "ACCOUNT")["Children"].([]any)), 1)
	c.aws(t, "organizations", "describe-organization")
	c.refused(t, "(DuplicateOrganizationalUnitException)", "organizations", "create-organizational-unit", "--parent-id", root, "--name", "cli")
	c.refused(t, "(OrganizationalUnitNotEmptyException)", "organizations", "delete-organizational-unit", "--organizational-unit-id", unit)
}

// withConfig is c with a configuration file in the place of credentials in the environment.
func (c *commandLine) withConfig(t *testing.T, content string) *commandLine {
	t.Helper()
	return c.with("AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_CONFIG_FILE="+writeFile(t, "config", content)).drop("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
}

// drop is c without some of its environment.
func (c *commandLine) drop(names ...string) *commandLine {
	changed := *c
	changed.env = nil
	for _, pair := range c.env {
		dropped := false
		for _, name := range names {
			dropped = dropped || strings.HasPrefix(pair, name+"=")
		}
		if !dropped {
			changed.env = append(changed.env, pair)
		}
	}
	return &changed
}

func cliRole(t *testing.T, c *commandLine) {
	u := c.k.accessKey(t, "cli-role-user", allow("sts:AssumeRole"))
	role := c.k.role(t, "cli-role", trustAccount)
	p := c.withConfig(t, "[profile user]\naws_access_key_id = "+u.keyID+"\naws_secret_access_key = "+u.secret+
		"\n\n[profile night]\nrole_arn = "+role+"\nsource_profile = user\nrole_session_name = cli\n")
	want(t, "Arn", at(t, p.aws(t, "--profile", "night", "sts", "get-caller-identity"), "Arn"), "arn:aws:sts::"+account+":assumed-role/cli-role/cli")
	p.aws(t, "--profile", "night", "kms", "list-keys")
	p.refused(t, "(AccessDeniedException)", "--profile", "night", "kms", "create-key")
	c.aws(t, "sts", "get-session-token")
}

func cliWebIdentity(t *testing.T, c *commandLine) {
	i := newIssuer(t)
	role := c.k.federated(t, i, "https://cli.example", "cli-federated")
	token := writeFile(t, "token", i.token(t, "https://cli.example", "kmsd", "pod-1"))
	p := c.withConfig(t, "[profile pod]\nrole_arn = "+role+"\nweb_identity_token_file = "+token+"\nrole_session_name = cli\n")
	want(t, "Arn", at(t, p.aws(t, "--profile", "pod", "sts", "get-caller-identity"), "Arn"), "arn:aws:sts::"+account+":assumed-role/cli-federated/cli")
	p.aws(t, "--profile", "pod", "kms", "list-keys")
}

// cliProfile does what docs/aws-clients.md says first.
func cliProfile(t *testing.T, c *commandLine) {
	home := t.TempDir()
	cmd := exec.Command(filepath.Join(c.k.bin, "kmsctl"), "--credentials", filepath.Join(c.k.data, "root-credentials.yaml"), "config", "aws", "--endpoint", c.k.endpoint, "--write")
	cmd.Env = environment("HOME=" + home)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kmsctl config aws --write: %v: %s", err, out)
	}
	p := &commandLine{k: c.k, path: c.path, env: environment("HOME="+home, "AWS_PROFILE=kmsd")}
	p.aws(t, "kms", "list-keys")
	p.aws(t, "iam", "list-users")
	want(t, "Arn", at(t, p.aws(t, "sts", "get-caller-identity"), "Arn"), "arn:aws:iam::"+account+":root")
}

// cliExports does what docs/aws-clients.md says for programs without profiles.
func cliExports(t *testing.T, c *commandLine) {
	script := `eval "$("$KMSCTL" --credentials "$CREDENTIALS" config aws --shell --endpoint "$ENDPOINT" --ca-file "$HOME/ca.pem")" && aws kms list-keys && aws organizations list-roots`
	cmd := exec.Command("bash", "-c", script)
	cmd.Env = environment("HOME="+t.TempDir(), "KMSCTL="+filepath.Join(c.k.bin, "kmsctl"), "CREDENTIALS="+filepath.Join(c.k.data, "root-credentials.yaml"), "ENDPOINT="+c.k.endpoint)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "KeyArn") {
		t.Errorf("%v: %s", err, tail(string(out)))
	}
}

func cliErrors(t *testing.T, c *commandLine) {
	c.refused(t, "(NotFoundException)", "kms", "describe-key", "--key-id", "alias/nothing")
	c.refused(t, "(UnsupportedOperationException)", "kms", "create-key", "--multi-region")
	c.refused(t, "(UnsupportedOperationException)", "kms", "describe-custom-key-stores")
	c.refused(t, "(ValidationException)", "kms", "generate-random", "--number-of-bytes", "1025")
	c.refused(t, "(DryRunOperationException)", "kms", "generate-data-key", "--key-id", c.k.madeKey(t, "alias/cli-dry"), "--key-spec", "AES_256", "--dry-run")
	c.refused(t, "(InvalidSignatureException) when calling the ListKeys operation: Credential should be scoped to a valid region", "--region", "us-west-2", "kms", "list-keys")
	c.refused(t, "serves the region '"+c.k.region+"'", "--region", "us-west-2", "kms", "list-keys")
	wrong := c.with("AWS_SECRET_ACCESS_KEY=wrong")
	wrong.refused(t, "(InvalidSignatureException) when calling the ListKeys operation: The request signature we calculated does not match", "kms", "list-keys")
	wrong.refused(t, "(SignatureDoesNotMatch)", "sts", "get-caller-identity")
	c.with("AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE").refused(t, "(UnrecognizedClientException)", "kms", "list-keys")
	c.with("AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE").refused(t, "(InvalidClientTokenId)", "iam", "list-users")
	c.drop("AWS_CA_BUNDLE").refused(t, "CERTIFICATE_VERIFY_FAILED", "kms", "list-keys")
}
