package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// refusal is a status with AWS's name.
func refusal(code codes.Code, reason string) error {
	st, err := status.New(code, "refused").WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "kmsd"})
	if err != nil {
		panic(err)
	}
	return st.Err()
}

// keyIDOf is the access key that a call was signed with.
func keyIDOf(call seen) string {
	_, after, _ := strings.Cut(strings.Join(call.md["authorization"], ""), "Credential=")
	id, _, _ := strings.Cut(after, "/")
	return id
}

func TestAssumesARole(t *testing.T) {
	s := newFakeServer(t)
	source := s.credentials()
	c := s.client(t, func(cfg *Config) {
		cfg.Credentials = source.place()
		cfg.Credentials.Role = &Role{
			ARN: testRole, Source: &source, SessionName: "batch", Duration: time.Hour, ExternalID: "ext", SourceIdentity: "alice", MFASerial: "arn:aws:iam::1:mfa/m",
			MFACode:    func(_ context.Context, serial string) (string, error) { return "123456", nil },
			Tags:       map[string]string{"b": "2", "a": "1"},
			PolicyARNs: []string{"arn:aws:iam::aws:policy/ReadOnly"}, Policy: "{}", TransitiveTagKeys: []string{"a"},
		}
	})
	for range 3 {
		encrypt(t, c, "plaintext")
	}
	calls := s.seen()
	if len(calls) != 4 {
		t.Fatalf("3 calls as a role made %d calls, want 4", len(calls))
	}
	r := calls[0].request.(*stsv1.AssumeRoleRequest)
	if keyIDOf(calls[0]) != testKeyID || calls[0].md["x-amz-security-token"] != nil || calls[0].md["x-kmsd-nonce"] == nil {
		t.Errorf("AssumeRole is signed by %q with %v, want the source's key and a nonce", keyIDOf(calls[0]), calls[0].md)
	}
	if r.GetRoleArn() != testRole || r.GetRoleSessionName() != "batch" || r.GetDurationSeconds() != 3600 || r.GetExternalId() != "ext" || r.GetSourceIdentity() != "alice" ||
		r.GetSerialNumber() != "arn:aws:iam::1:mfa/m" || r.GetTokenCode() != "123456" || len(r.GetTags()) != 2 || r.GetTags()[0].GetKey() != "a" ||
		r.GetPolicyArns()[0].GetArn() != "arn:aws:iam::aws:policy/ReadOnly" || r.GetPolicy() != "{}" || r.GetTransitiveTagKeys()[0] != "a" {
		t.Errorf("AssumeRole asks for %v, want all that the role says", r)
	}
	for _, call := range calls[1:] {
		if keyIDOf(call) != "ASIAIOSFODNN7EXA0001" || strings.Join(call.md["x-amz-security-token"], "") != "token-of-1" {
			t.Errorf("a call of the role is signed by %q with the token %q", keyIDOf(call), call.md["x-amz-security-token"])
		}
		if !strings.Contains(call.md["authorization"][0], "x-amz-security-token") {
			t.Errorf("the token is not among the signed headers: %s", call.md["authorization"])
		}
	}
}

func TestARoleOfARole(t *testing.T) {
	s := newFakeServer(t)
	root := s.credentials()
	first := Credentials{Role: &Role{ARN: testRole + "1", Source: &root}}
	second := root.place()
	second.Role = &Role{ARN: testRole + "2", Source: &first}
	c := s.client(t, func(cfg *Config) { cfg.Credentials = second })
	encrypt(t, c, "plaintext")
	var signedBy []string
	for _, call := range s.seen() {
		signedBy = append(signedBy, keyIDOf(call))
	}
	if got, want := strings.Join(signedBy, " "), testKeyID+" ASIAIOSFODNN7EXA0001 ASIAIOSFODNN7EXA0002"; got != want {
		t.Errorf("the calls were signed by %s, want %s", got, want)
	}
}

func TestAWebIdentityIsReadAtEachRenewal(t *testing.T) {
	s := newFakeServer(t)
	path := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(path, []byte(token), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	creds := s.credentials().place()
	creds.Role = &Role{ARN: testRole, WebIdentityTokenFile: path}
	c := s.client(t, func(cfg *Config) { cfg.Credentials = creds })
	encrypt(t, c, "plaintext")
	write("second")
	expired := failFirst(1, refusal(codes.Unauthenticated, "ExpiredTokenException"))
	s.set(func(call seen) error {
		if strings.HasSuffix(call.method, "/Encrypt") {
			return expired(call)
		}
		return nil
	}, nil)
	encrypt(t, c, "plaintext")
	var tokens []string
	for _, call := range s.seen() {
		if r, ok := call.request.(*stsv1.AssumeRoleWithWebIdentityRequest); ok {
			tokens = append(tokens, r.GetWebIdentityToken())
			if call.md["authorization"] != nil {
				t.Errorf("AssumeRoleWithWebIdentity is signed: %v", call.md["authorization"])
			}
		}
	}
	if strings.Join(tokens, " ") != "first second" {
		t.Errorf("sessions were opened by %q, want the token of then", tokens)
	}
	for name, content := range map[string]string{"an empty token": " \n", "a long token": strings.Repeat("x", maxWebIdentityToken+1)} {
		write(content)
		if _, err := readWebIdentityToken(path); err == nil || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%s: readWebIdentityToken = %v, want an error that quotes nothing", name, err)
		}
	}
	if _, err := readWebIdentityToken(t.TempDir()); err == nil {
		t.Error("readWebIdentityToken of a folder = nil, want an error")
	}
}

func TestExpiredCredentialsAreRenewedOnce(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fails  int64
		reason string
		opened int64
		ok     bool
	}{
		{"taken", 0, "", 1, true},
		{"expired once", 1, "ExpiredTokenException", 2, true},
		{"not known once", 1, "UnrecognizedClientException", 2, true},
		{"expired for ever", 9, "ExpiredTokenException", 2, false},
		{"denied", 9, "AccessDeniedException", 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			source := s.credentials()
			p, err := AssumeRole(Config{Credentials: source}, Role{ARN: testRole})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			refuse := failFirst(tt.fails, refusal(codes.Unauthenticated, tt.reason))
			s.set(func(call seen) error {
				if strings.HasSuffix(call.method, "/GenerateRandom") {
					return refuse(call)
				}
				return nil
			}, nil)
			c := s.client(t, func(cfg *Config) { cfg.Credentials, cfg.Provider = Credentials{}, p })
			if err := random(t.Context(), c); (err == nil) != tt.ok || err != nil && !Is(err, tt.reason) {
				t.Errorf("GenerateRandom = %v, want success %v", err, tt.ok)
			}
			calls := s.seen()
			if last, want := keyIDOf(calls[len(calls)-1]), fmt.Sprintf("ASIAIOSFODNN7EXA%04d", tt.opened); last != want {
				t.Errorf("the last call is signed by %s, want %s", last, want)
			}
			if n := s.sessions.n.Load(); n != tt.opened {
				t.Errorf("%d sessions were opened, want %d", n, tt.opened)
			}
			if !tt.ok && tt.opened == 2 {
				if random(t.Context(), c); s.sessions.n.Load() != tt.opened {
					t.Error("each call opens a session although kmsd refuses them")
				}
			}
		})
	}
}

func TestWhyARoleCannotBeAssumedIsTold(t *testing.T) {
	s := newFakeServer(t)
	s.set(func(call seen) error { return refusal(codes.PermissionDenied, "AccessDeniedException") }, nil)
	source := s.credentials()
	creds := source.place()
	creds.Role = &Role{ARN: testRole, Source: &source}
	c := s.client(t, func(cfg *Config) { cfg.Credentials = creds })
	err := random(t.Context(), c)
	if !Is(err, "AccessDeniedException") || !strings.HasPrefix(err.Error(), "assuming the role "+testRole+": refused") {
		t.Errorf("GenerateRandom = %v, want why the role cannot be assumed", err)
	}
}

func TestAssumeRoleRefuses(t *testing.T) {
	s := newFakeServer(t)
	good := Config{Credentials: s.credentials()}
	for name, tt := range map[string]struct {
		source Config
		role   Role
	}{
		"no ARN":                         {good, Role{}},
		"MFA that nobody is asked for":   {good, Role{ARN: testRole, MFASerial: "arn:aws:iam::1:mfa/m"}},
		"a web identity and a key":       {good, Role{ARN: testRole, WebIdentityTokenFile: "x"}},
		"no source":                      {Config{}, Role{ARN: testRole}},
		"a source that was not loaded":   {Config{Credentials: Credentials{Role: &Role{ARN: testRole, SourceProfile: "x"}}}, Role{ARN: testRole}},
		"a source of two kinds":          {Config{Credentials: s.credentials(), Provider: &CredentialsProvider{}}, Role{ARN: testRole}},
		"a web identity without a place": {Config{}, Role{ARN: testRole, WebIdentityTokenFile: "x"}},
	} {
		if p, err := AssumeRole(tt.source, tt.role); err == nil {
			p.Close()
			t.Errorf("%s: AssumeRole = nil, want an error", name)
		}
	}
}

// profiles writes credentials files and returns their folder.
func profiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadAChain(t *testing.T) {
	byKey, _ := byKeyAndByCertificate(t)
	role := "role_arn: " + testRole + "\n"
	dir := profiles(t, map[string]string{
		"root.yaml":   string(mustMarshal(t, byKey)),
		"admin.yaml":  role + "source_profile: ./root.yaml\n",
		"night.yaml":  role + "source_profile: admin\nregion: elsewhere\n",
		"self.yaml":   role + "source_profile: ./self.yaml\n",
		"a.yaml":      role + "source_profile: ./b.yaml\n",
		"b.yaml":      role + "source_profile: a\n",
		"nobody.yaml": role + "source_profile: nobody\n",
		"lost.yaml":   role + "source_profile: ./none.yaml\n",
		"web.yaml":    string(mustMarshal(t, Credentials{Endpoint: byKey.Endpoint, Region: "local", CA: byKey.CA, Role: &Role{ARN: testRole, WebIdentityTokenFile: "t"}})),
		"r1.yaml":     role + "source_profile: ./root.yaml\n", "r2.yaml": role + "source_profile: ./r1.yaml\n", "r3.yaml": role + "source_profile: ./r2.yaml\n",
		"r4.yaml": role + "source_profile: ./r3.yaml\n", "r5.yaml": role + "source_profile: ./r4.yaml\n", "r6.yaml": role + "source_profile: ./r5.yaml\n",
	})
	named := func(name string) (string, error) {
		if name == "nobody" {
			return "", os.ErrNotExist
		}
		return filepath.Join(dir, name+".yaml"), nil
	}
	load := func(name string) (Credentials, error) { return Load(filepath.Join(dir, name), named) }
	c, err := load("night.yaml")
	if err != nil || c.Role.Source == nil || c.Role.Source.Role.Source.AccessKeyID != testKeyID || c.Endpoint != byKey.Endpoint || c.Region != "elsewhere" || c.Role.Source.Region != "local" {
		t.Fatalf("Load of a chain = %+v, %v", c, err)
	}
	if c, err := load("web.yaml"); err != nil || c.Role.WebIdentityTokenFile != filepath.Join(dir, "t") {
		t.Errorf("Load of a web identity = %+v, %v, want the token beside the file", c, err)
	}
	if _, err := load("r5.yaml"); err != nil {
		t.Errorf("Load of 5 roles = %v, want nil", err)
	}
	for name, want := range map[string]string{
		"r6.yaml": "more than 5 roles one behind the other: ", "self.yaml": "self.yaml → " + dir + "/self.yaml", "a.yaml": "source_profile goes round in a circle: " + dir + "/a.yaml → " + dir + "/b.yaml → " + dir + "/a.yaml",
		"nobody.yaml": "source_profile of ", "lost.yaml": "none.yaml: no such file",
	} {
		if c, err := load(name); err == nil || !strings.Contains(err.Error(), want) || !c.isZero() {
			t.Errorf("Load(%s) = %v, %v, want %s", name, c, err, want)
		}
	}
	if _, err := Load(filepath.Join(dir, "b.yaml"), nil); !errors.Is(err, ErrCredentials) || !strings.Contains(err.Error(), "only kmsctl knows names") {
		t.Errorf("Load of a name without names = %v, want what to do", err)
	}
}

func TestADryRunHasNoChecksums(t *testing.T) {
	s := newFakeServer(t)
	c := s.client(t, nil)
	dry := true
	s.set(nil, func(m proto.Message) {
		if out, ok := m.(*kmsv1.DecryptResponse); ok {
			proto.Reset(out)
			out.SetDryRun(dry)
		}
	})
	decrypt := func(dryRun bool) error {
		out, err := c.Crypto().Decrypt(t.Context(), kmsv1.DecryptRequest_builder{CiphertextBlob: []byte("x"), DryRun: dryRun}.Build())
		if err == nil && !out.GetDryRun() {
			t.Errorf("Decrypt = %v, want that it was a dry run", out)
		}
		return err
	}
	if err := decrypt(true); err != nil {
		t.Errorf("Decrypt as a dry run = %v, want nil", err)
	}
	if err := decrypt(false); !errors.Is(err, ErrIntegrity) {
		t.Errorf("Decrypt that is answered as a dry run = %v, want ErrIntegrity", err)
	}
	dry = false
	if err := decrypt(true); !errors.Is(err, ErrIntegrity) {
		t.Errorf("Decrypt as a dry run that is answered with nothing = %v, want ErrIntegrity", err)
	}
}
