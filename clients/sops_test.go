package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// plainYAML is a file as users keep it in a repository.
const plainYAML = "database:\n    user: app\n    password: hunter2\nlist:\n    - one\n    - two\n"

// sopsFolder is a folder that sops works in.
type sopsFolder struct {
	k    *kmsd
	dir  string
	more []string // of the environment
}

// sops runs sops and returns what it prints.
func (f *sopsFolder) sops(t *testing.T, args ...string) string {
	t.Helper()
	out, err := f.try(args...)
	if err != nil {
		t.Fatalf("sops %s: %v: %s", strings.Join(args, " "), err, tail(out))
	}
	return out
}

func (f *sopsFolder) try(args ...string) (string, error) {
	cmd := exec.Command(sopsBinary(), args...)
	cmd.Dir, cmd.Env = f.dir, environment(append(f.k.env(), f.more...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func sopsBinary() string {
	path, err := filepath.Abs(filepath.Join(".bin", "sops"))
	if err != nil {
		panic(err)
	}
	return path
}

// write writes a file into the folder, and read reads one.
func (f *sopsFolder) write(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func (f *sopsFolder) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSops runs sops as its users do.
func TestSops(t *testing.T) {
	if _, err := os.Stat(sopsBinary()); err != nil {
		t.Fatalf("%v: run `make clients`, which builds it", err)
	}
	k := server(t)
	version, err := (&sopsFolder{k: k, dir: t.TempDir()}).try("--version", "--check-for-updates=false")
	if err != nil {
		t.Fatal(err, version)
	}
	c := newClient(t, "sops", strings.TrimPrefix(strings.Fields(version)[1], "v"))
	arn, second := k.madeKey(t, "alias/sops"), k.madeKey(t, "alias/sops-second")
	folder := func(t *testing.T) *sopsFolder {
		f := &sopsFolder{k: k, dir: t.TempDir()}
		f.write(t, "secrets.yaml", plainYAML, 0o600)
		return f
	}
	for name, args := range map[string][]string{
		"--kms with an ARN":                                  {"--kms", arn},
		"--kms with an alias's ARN":                          {"--kms", k.arn("alias/sops")},
		"--kms with an ARN and encryption context":           {"--kms", arn, "--encryption-context", "tenant:17,purpose:sops"},
		"--kms with two ARNs":                                {"--kms", arn + "," + second},
		"SOPS_KMS_ARN":                                       nil,
		"--kms with an ARN, context with spaces and unicode": {"--kms", arn, "--encryption-context", "größe:a b"},
	} {
		c.run(t, "encrypt and decrypt: "+name, func(t *testing.T) {
			f := folder(t)
			if args == nil {
				f.more = []string{"SOPS_KMS_ARN=" + arn}
			}
			f.sops(t, append(append([]string{"encrypt", "--in-place"}, args...), "secrets.yaml")...)
			if sealed := f.read(t, "secrets.yaml"); strings.Contains(sealed, "hunter2") || !strings.Contains(sealed, "password: ENC[AES256_GCM") {
				t.Fatalf("encrypt wrote %s", sealed)
			}
			want(t, "what decrypt prints", f.sops(t, "decrypt", "secrets.yaml"), plainYAML)
		})
	}
	c.run(t, "a role that is to use the key", func(t *testing.T) {
		f, u := folder(t), k.accessKey(t, "sops-user", allow("sts:AssumeRole"))
		k.role(t, "sops", trustAccount, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt"],"Resource":"`+arn+`"}]}`)
		f.more = []string{"AWS_ACCESS_KEY_ID=" + u.keyID, "AWS_SECRET_ACCESS_KEY=" + u.secret}
		f.sops(t, "encrypt", "--in-place", "--kms", arn+"+arn:aws:iam::"+account+":role/sops", "secrets.yaml")
		want(t, "what decrypt prints", f.sops(t, "decrypt", "secrets.yaml"), plainYAML)
	})
	c.run(t, "edit with EDITOR", func(t *testing.T) {
		f := folder(t)
		f.sops(t, "encrypt", "--in-place", "--kms", arn, "--encryption-context", "tenant:17", "secrets.yaml")
		f.more = []string{"EDITOR=" + f.write(t, "editor", "#!/bin/sh\nsed -i s/hunter2/correct-horse/ \"$1\"\n", 0o700)}
		f.sops(t, "edit", "secrets.yaml")
		want(t, "what decrypt prints", f.sops(t, "decrypt", "secrets.yaml"), strings.Replace(plainYAML, "hunter2", "correct-horse", 1))
		want(t, "what decrypt --extract prints", f.sops(t, "decrypt", "--extract", `["database"]["password"]`, "secrets.yaml"), "correct-horse")
		f.sops(t, "set", "secrets.yaml", `["database"]["user"]`, `"other"`)
		want(t, "what decrypt --extract prints", f.sops(t, "decrypt", "--extract", `["database"]["user"]`, "secrets.yaml"), "other")
	})
	c.run(t, ".sops.yaml, updatekeys and rotate", func(t *testing.T) {
		f := folder(t)
		rules := "creation_rules:\n  - path_regex: secrets\n    key_groups:\n      - kms:\n          - arn: " + arn + "\n            context:\n              tenant: '17'\n"
		f.write(t, ".sops.yaml", rules, 0o600)
		f.sops(t, "encrypt", "--in-place", "secrets.yaml")
		before := f.read(t, "secrets.yaml")
		f.sops(t, "rotate", "--in-place", "secrets.yaml")
		if after := f.read(t, "secrets.yaml"); after == before || sopsEnc(t, f) == "" {
			t.Error("rotate changed nothing")
		}
		f.write(t, ".sops.yaml", strings.Replace(rules, arn, second, 1), 0o600)
		f.sops(t, "updatekeys", "--yes", "secrets.yaml")
		if sealed := f.read(t, "secrets.yaml"); !strings.Contains(sealed, second) || strings.Contains(sealed, arn) {
			t.Error("updatekeys did not replace the key")
		}
		f.sops(t, "rotate", "--in-place", "--add-kms", arn, "secrets.yaml")
		want(t, "what decrypt prints", f.sops(t, "decrypt", "secrets.yaml"), plainYAML)
	})
	c.run(t, "exec-env and JSON", func(t *testing.T) {
		f := folder(t)
		f.write(t, "app.json", `{"TOKEN":"abc"}`, 0o600)
		f.sops(t, "encrypt", "--in-place", "--kms", arn, "app.json")
		want(t, "TOKEN", f.sops(t, "exec-env", "app.json", "printf %s \"$TOKEN\""), "abc")
	})
	c.run(t, "an altered context, and a user without permission, are refused", func(t *testing.T) {
		f := folder(t)
		f.sops(t, "encrypt", "--in-place", "--kms", arn, "--encryption-context", "tenant:17", "secrets.yaml")
		sealed := f.read(t, "secrets.yaml")
		f.write(t, "secrets.yaml", strings.Replace(sealed, `tenant: "17"`, `tenant: "18"`, 1), 0o600)
		if out, err := f.try("decrypt", "secrets.yaml"); err == nil || !strings.Contains(out, "InvalidCiphertextException") {
			t.Errorf("decrypt in another context: %v: %s, want InvalidCiphertextException", err, tail(out))
		}
		f.write(t, "secrets.yaml", sealed, 0o600)
		u := k.accessKey(t, "sops-nobody")
		f.more = []string{"AWS_ACCESS_KEY_ID=" + u.keyID, "AWS_SECRET_ACCESS_KEY=" + u.secret}
		if out, err := f.try("decrypt", "secrets.yaml"); err == nil || !strings.Contains(out, "AccessDeniedException") {
			t.Errorf("decrypt without permission: %v: %s, want AccessDeniedException", err, tail(out))
		}
	})
}

// sopsEnc is the encrypted data key in a file of sops.
func sopsEnc(t *testing.T, f *sopsFolder) string {
	t.Helper()
	_, after, ok := strings.Cut(f.read(t, "secrets.yaml"), "enc: ")
	if !ok {
		t.Fatal("the file has no encrypted data key")
	}
	line, _, _ := strings.Cut(after, "\n")
	return line
}
