package client

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kmsd/kmsd/crypto"
)

// sameCredentials compares all that credentials hold.
func sameCredentials(a, b Credentials) bool {
	return a.Endpoint == b.Endpoint && a.Region == b.Region && a.AccessKeyID == b.AccessKeyID && bytes.Equal(a.SecretAccessKey.Expose(), b.SecretAccessKey.Expose()) &&
		bytes.Equal(a.Certificate, b.Certificate) && bytes.Equal(a.Key.Expose(), b.Key.Expose()) && bytes.Equal(a.CA, b.CA) &&
		bytes.Equal(a.SessionToken.Expose(), b.SessionToken.Expose()) && a.Expiration.Equal(b.Expiration) && sameRole(a.Role, b.Role)
}

// sameRole compares what a file says of roles.
func sameRole(a, b *Role) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ARN == b.ARN && a.SessionName == b.SessionName && a.Duration == b.Duration && a.ExternalID == b.ExternalID && a.SourceIdentity == b.SourceIdentity &&
		a.MFASerial == b.MFASerial && a.WebIdentityTokenFile == b.WebIdentityTokenFile && a.SourceProfile == b.SourceProfile
}

// byKeyAndByCertificate are good credentials of both kinds.
func byKeyAndByCertificate(t testing.TB) (byKey, byCertificate Credentials) {
	t.Helper()
	ca := newAuthority(t)
	cert, key := ca.client(t)
	byKey = Credentials{Endpoint: "localhost:7443", Region: "local", AccessKeyID: testKeyID, SecretAccessKey: crypto.NewSecret([]byte(testSecret)), CA: ca.pem}
	byCertificate = Credentials{Endpoint: "[::1]:7443", Region: "eu-central-1", Certificate: cert, Key: crypto.NewSecret(key), CA: append(bytes.Clone(ca.pem), newAuthority(t).pem...)}
	return byKey, byCertificate
}

func mustMarshal(t testing.TB, c Credentials) []byte {
	t.Helper()
	b, err := c.Marshal()
	if err != nil {
		t.Fatalf("Marshal = %v, want nil", err)
	}
	return b
}

func TestCredentialsThereAndBack(t *testing.T) {
	byKey, byCertificate := byKeyAndByCertificate(t)
	odd := byKey
	odd.SecretAccessKey = crypto.NewSecret([]byte(`"\#:{}[]&*!|>'%@~`))
	noRegion := byCertificate
	noRegion.Region = ""
	temporary := byKey
	temporary.SessionToken = crypto.NewSecret([]byte("AQ" + strings.Repeat("x_-", 1300)))
	temporary.Expiration = time.Date(2026, 11, 23, 15, 4, 5, 0, time.UTC)
	role := Credentials{Role: &Role{
		ARN: testRole, SourceProfile: "./root \"1\" é.yaml", SessionName: "night@batch", Duration: 15 * time.Minute, ExternalID: "a:b/c", MFASerial: "arn:aws:iam::111122223333:mfa/phone",
		SourceIdentity: "alice",
	}}
	web := byKey.place()
	web.Role = &Role{ARN: testRole, WebIdentityTokenFile: "/var/run/secrets/token"}
	for name, want := range map[string]Credentials{
		"access key": byKey, "certificate": byCertificate, "odd secret": odd, "no region": noRegion, "temporary": temporary, "role": role, "web identity": web,
	} {
		b := mustMarshal(t, want)
		got, err := ParseCredentials(b)
		if err != nil || !sameCredentials(got, want) {
			t.Errorf("%s: ParseCredentials(Marshal()) = %v, %v, want what was marshalled:\n%s", name, got, err, b)
			continue
		}
		if again := mustMarshal(t, got); !bytes.Equal(again, b) {
			t.Errorf("%s: marshalled again it is\n%s, want\n%s", name, again, b)
		}
		if crlf, err := ParseCredentials(bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))); err != nil || crlf.Endpoint != want.Endpoint {
			t.Errorf("%s: with CR LF = %v", name, err)
		}
	}
}

// withLines returns the file of byKey with lines added or replaced by name.
func withLines(file string, lines ...string) string {
	for _, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		before, after, found := strings.Cut(file, "\n"+name+":")
		if !found {
			file += line + "\n"
			continue
		}
		_, rest, _ := strings.Cut(after, "\n")
		file = before + "\n" + line + "\n" + rest
	}
	return file
}

func TestParseCredentialsRefuses(t *testing.T) {
	const canary = "hunter2hunter2hunter2hunter2"
	byKey, byCertificate := byKeyAndByCertificate(t)
	good, cert := string(mustMarshal(t, byKey)), string(mustMarshal(t, byCertificate))
	for _, tt := range []struct{ name, file, want string }{
		{"nothing", "", "not one YAML mapping"},
		{"a list", "- a\n", "not one YAML mapping"},
		{"two documents", good + "---\n" + good, "not one YAML mapping"},
		{"a token without a key", withLines(cert, "session_token: "+canary), "both an access key and a client certificate"},
		{"a token with a space", withLines(good, `session_token: "`+canary+` "`), "session_token must have"},
		{"a long token", withLines(good, `session_token: "`+strings.Repeat("x", MaxSessionToken+1)+`"`), "session_token must have"},
		{"an end that is no time", withLines(good, "expiration: "+canary), "expiration must be a time such as"},
		{"a role and a key", withLines(good, "role_arn: "+testRole, "source_profile: x"), "both a role and other credentials"},
		{"a role of nobody", "role_arn: " + testRole + "\n", "role_arn needs source_profile or web_identity_token_file"},
		{"a source without a role", "source_profile: x\n", "role_arn must be the ARN of a role"},
		{"a user as a role", "role_arn: arn:aws:iam::111122223333:user/a\nsource_profile: x\n", "role_arn must be the ARN of a role"},
		{"a short session", "role_arn: " + testRole + "\nsource_profile: x\nduration_seconds: 899\n", "duration_seconds must be 900 to 43200"},
		{"a session of no number", "role_arn: " + testRole + "\nsource_profile: x\nduration_seconds: 1h\n", "duration_seconds must be 900 to 43200"},
		{"a web identity with a source", "role_arn: " + testRole + "\nsource_profile: x\nweb_identity_token_file: y\n", "with web_identity_token_file there is no source_profile"},
		{"a web identity of nowhere", "role_arn: " + testRole + "\nweb_identity_token_file: y\n", "endpoint must be host:port"},
		{"a region as a number", withLines(good, "region: 1"), "the value must be a text; quote it"},
		{"an unknown name", withLines(good, "password: "+canary), "column 1: unknown name: known are endpoint, region"},
		{"a name twice", good + "region: local\n", "column 1: the name is there twice"},
		{"a number", withLines(good, "secret_access_key: 12345678901234567890"), "the value must be a text; quote it if it looks like a number"},
		{"a list as value", withLines(good, "region: [local]"), "the value must be a text"},
		{"an alias", withLines(good, "region: &a local", "endpoint: *a"), "the value must be a text"},
		{"a secret that is a name", withLines(good, canary+": x"), "unknown name"},
		{"an unfinished quote", withLines(good, `secret_access_key: "`+canary), "not valid YAML"},
		{"a tab", "endpoint:\tx", "not a text file"},
		{"a NUL", "endpoint: \"a\x00\"", "not a text file"},
		{"not UTF-8", "endpoint: \xff", "not a text file"},
		{"too long", strings.Repeat("# comment\n", MaxFileSize), "more than 65536 bytes"},
		{"brackets without end", strings.Repeat("[", MaxFileSize), "more brackets and dashes"},
		{"lists without end", strings.Repeat("- ", MaxFileSize/2), "more brackets and dashes"},
		{"no endpoint", withLines(good, `endpoint: ""`), "endpoint must be host:port, such as localhost:7443"},
		{"an endpoint without port", withLines(good, `endpoint: localhost`), "endpoint must be host:port"},
		{"an endpoint with a scheme", withLines(good, `endpoint: https://localhost:7443`), "endpoint must be host:port"},
		{"an endpoint with a path", withLines(good, `endpoint: localhost:7443/x`), "endpoint must be host:port"},
		{"an endpoint with a service name", withLines(good, `endpoint: localhost:https`), "endpoint must be host:port"},
		{"an endpoint with a resolver", withLines(good, `endpoint: unix///x:7443`), "endpoint must be host:port"},
		{"port 0", withLines(good, `endpoint: localhost:0`), "endpoint must be host:port"},
		{"no region", withLines(good, `region: ""`), "region is missing"},
		{"a region in upper case", withLines(good, `region: Local`), "region must have 1 to 64 of a-z"},
		{"a short access key id", withLines(good, `access_key_id: AKIA`), "access_key_id must have 16 to 128 of A-Z and 0-9"},
		{"no secret", withLines(good, `secret_access_key: ""`), "secret_access_key must have 1 to 128 printable characters"},
		{"a secret with a space", withLines(good, `secret_access_key: "`+canary+` "`), "secret_access_key must have"},
		{"a long secret", withLines(good, `secret_access_key: "`+strings.Repeat(canary, 5)+`"`), "secret_access_key must have"},
		{"no credentials", withLines(good, `secret_access_key: ""`, `access_key_id: ""`), "neither access_key_id and secret_access_key, nor client_certificate and client_key"},
		{"both credentials", withLines(cert, "access_key_id: "+testKeyID), "both an access key and a client certificate"},
		{"a CA that is none", withLines(good, "ca: "+canary) + "x: |\n", "invalid credentials"},
		{"a key that is no key", cert[:strings.Index(cert, "client_key:")] + "client_key: " + canary + "\n" + cert[strings.Index(cert, "ca:"):], "are not a certificate and its key"},
	} {
		got, err := ParseCredentials([]byte(tt.file))
		if !errors.Is(err, ErrCredentials) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: ParseCredentials = %v, want %q", tt.name, err, tt.want)
			continue
		}
		if !sameCredentials(got, Credentials{}) {
			t.Errorf("%s: ParseCredentials = %v beside an error, want nothing", tt.name, got)
		}
		if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), testSecret) {
			t.Errorf("%s: the error tells a secret: %v", tt.name, err)
		}
	}
}

func TestCredentialsOfTwoCertificates(t *testing.T) {
	_, one := byKeyAndByCertificate(t)
	_, two := byKeyAndByCertificate(t)
	one.Key = two.Key
	if _, err := one.Marshal(); !errors.Is(err, ErrCredentials) {
		t.Errorf("Marshal of a certificate with another's key = %v, want ErrCredentials", err)
	}
	one.CA = append(one.CA, two.Key.Expose()...)
	if _, err := one.TLS(); err == nil {
		t.Error("TLS = nil, want an error")
	}
	if _, err := one.Marshal(); !errors.Is(err, ErrCredentials) {
		t.Errorf("Marshal of a CA with a private key in it = %v, want ErrCredentials", err)
	}
	byKey, _ := byKeyAndByCertificate(t)
	byKey.CA = append([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n"), byKey.CA...) // package pem passes over it
	if _, err := byKey.Marshal(); !errors.Is(err, ErrCredentials) {
		t.Errorf("Marshal of a CA with half a certificate = %v, want ErrCredentials", err)
	}
}

func TestLoadFile(t *testing.T) {
	byKey, _ := byKeyAndByCertificate(t)
	content := mustMarshal(t, byKey)
	dir := t.TempDir()
	write := func(name string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		if got, err := LoadFile(write("good", mode)); err != nil || !sameCredentials(got, byKey) {
			t.Errorf("LoadFile of mode %04o = %v, want nil", mode, err)
		}
		os.Remove(filepath.Join(dir, "good"))
	}
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o700} {
		path := write("open", mode)
		got, err := LoadFile(path)
		if !errors.Is(err, ErrFileMode) || !strings.HasSuffix(err.Error(), "run: chmod 600 "+path) || !sameCredentials(got, Credentials{}) {
			t.Errorf("LoadFile of mode %04o = %v, %v, want ErrFileMode with the command that helps", mode, got, err)
		}
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe, "/dev/null"} {
		if _, err := LoadFile(path); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
			t.Errorf("LoadFile(%s) = %v, want that it is not a regular file", path, err)
		}
	}
	if _, err := LoadFile(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("LoadFile of no file = %v, want fs.ErrNotExist", err)
	}
	content = bytes.Repeat([]byte("# comment\n"), MaxFileSize)
	if _, err := LoadFile(write("long", 0o600)); !errors.Is(err, ErrCredentials) {
		t.Errorf("LoadFile of a long file = %v, want ErrCredentials", err)
	}
}

func TestLoadEnvironment(t *testing.T) {
	t.Setenv(EnvCredentials, "")
	t.Setenv(EnvEndpoint, "")
	if _, err := LoadEnvironment(); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("LoadEnvironment = %v, want ErrNoCredentials", err)
	}
	byKey, _ := byKeyAndByCertificate(t)
	path := filepath.Join(t.TempDir(), "credentials.yaml")
	if err := os.WriteFile(path, mustMarshal(t, byKey), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(EnvCredentials, path)
	if got, err := LoadEnvironment(); err != nil || !sameCredentials(got, byKey) {
		t.Errorf("LoadEnvironment = %v, %v, want the file's", got, err)
	}
	t.Setenv(EnvEndpoint, "kms.example.com:443")
	if got, err := LoadEnvironment(); err != nil || got.Endpoint != "kms.example.com:443" {
		t.Errorf("LoadEnvironment = %v, %v, want the endpoint of the environment", got, err)
	}
	t.Setenv(EnvEndpoint, "kms.example.com")
	if got, err := LoadEnvironment(); !errors.Is(err, ErrCredentials) || !sameCredentials(got, Credentials{}) {
		t.Errorf("LoadEnvironment = %v, %v, want ErrCredentials", got, err)
	}
}

func FuzzParseCredentials(f *testing.F) {
	byKey, byCertificate := byKeyAndByCertificate(f)
	f.Add(mustMarshal(f, byKey))
	f.Add(mustMarshal(f, byCertificate))
	f.Add([]byte("role_arn: " + testRole + "\nsource_profile: root\nduration_seconds: 900\n"))
	f.Add(append(mustMarshal(f, byKey), "session_token: abc\nexpiration: \"2026-11-23T15:04:05Z\"\n"...))
	for _, s := range []string{"", "a", "- a", "a: b: c", "a: &x [*x]", "? a\n: b", "a: |\n b\n c", "a: |-\n", "---\n...\n", "endpoint: !!binary eA==", "<<: {a: b}", "{a: b", "a: >\n x", "\"\\x41\": b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCredentials(b)
		if err != nil {
			if !errors.Is(err, ErrCredentials) || !sameCredentials(c, Credentials{}) {
				t.Errorf("ParseCredentials(%q) = %v beside %v, want nothing and ErrCredentials", b, c, err)
			}
			return
		}
		out, err := c.Marshal()
		if err != nil {
			t.Fatalf("Marshal of what was parsed = %v, want nil", err)
		}
		// Marshal ends every line of a PEM with one line feed: from there on nothing changes any more.
		again, err := ParseCredentials(out)
		if err != nil {
			t.Fatalf("ParseCredentials of what was marshalled = %v, want nil:\n%s", err, out)
		}
		if twice, err := again.Marshal(); err != nil || !bytes.Equal(twice, out) {
			t.Errorf("marshalled twice = %q, %v, want %q", twice, err, out)
		}
	})
}
