package client

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	grpccredentials "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/kmsd/kmsd/client/envelope"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/leaktest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func encrypt(t *testing.T, c *Client, plaintext string) []byte {
	t.Helper()
	out, err := c.Crypto().Encrypt(t.Context(), kmsv1.EncryptRequest_builder{KeyId: "alias/a", Plaintext: []byte(plaintext)}.Build())
	if err != nil {
		t.Fatalf("Encrypt = %v, want nil", err)
	}
	return out.GetCiphertextBlob()
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// signatureOf signs a call by the letter of AWS's description.
func signatureOf(host, method string, md metadata.MD, signed ...string) string {
	canonical := "POST\n" + method + "\n\n"
	for _, name := range signed {
		value := host
		if name != "host" {
			value = md[name][0]
		}
		canonical += name + ":" + value + "\n"
	}
	canonical += "\n" + strings.Join(signed, ";") + "\nUNSIGNED-PAYLOAD"
	digest := sha256.Sum256([]byte(canonical))
	date := md["x-amz-date"][0]
	scope := date[:8] + "/local/kms/aws4_request"
	key := mac(mac(mac(mac([]byte("AWS4"+testSecret), date[:8]), "local"), "kms"), "aws4_request")
	value := mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hex.EncodeToString(digest[:]))
	return fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", testKeyID, scope, strings.Join(signed, ";"), value)
}

func TestSignsEveryCall(t *testing.T) {
	s := newFakeServer(t)
	c := s.client(t, nil)
	encrypt(t, c, "plaintext")
	if _, err := c.Keys().EnableKey(t.Context(), kmsv1.EnableKeyRequest_builder{KeyId: "k"}.Build()); err != nil {
		t.Fatal(err)
	}
	calls := s.seen()
	if got := calls[0].md["authorization"][0]; got != signatureOf(s.endpoint, calls[0].method, calls[0].md, "host", "x-amz-content-sha256", "x-amz-date") {
		t.Errorf("a call that reads is signed %q", got)
	}
	if got := calls[1].md["authorization"][0]; got != signatureOf(s.endpoint, calls[1].method, calls[1].md, "host", "x-amz-content-sha256", "x-amz-date", "x-kmsd-nonce") {
		t.Errorf("a call that changes something is signed %q", got)
	}
	if got := calls[0].md[":authority"]; len(got) != 1 || got[0] != s.endpoint {
		t.Errorf(":authority = %q, want %q", got, s.endpoint)
	}
	if got := calls[0].md["x-kmsd-nonce"]; got != nil {
		t.Errorf("a call that reads has the nonce %q, want none", got)
	}
	if n := len(calls[1].md["x-kmsd-nonce"][0]); n < 16 || n > 64 {
		t.Errorf("a nonce of %d characters, want 16 to 64", n)
	}
	if got := calls[0].md["user-agent"][0]; !strings.HasPrefix(got, "kmsd-go grpc-go/") {
		t.Errorf("user-agent = %q, want kmsd-go first", got)
	}
}

func TestEveryChangeHasANonceOfItsOwn(t *testing.T) {
	s := newFakeServer(t)
	c := s.client(t, nil)
	nonces := map[string]bool{}
	for range 20 {
		if _, err := c.Keys().EnableKey(t.Context(), kmsv1.EnableKeyRequest_builder{KeyId: "k"}.Build()); err != nil {
			t.Fatal(err)
		}
	}
	for _, call := range s.seen() {
		nonces[call.md["x-kmsd-nonce"][0]] = true
	}
	if len(nonces) != 20 {
		t.Errorf("20 changes had %d nonces, want 20", len(nonces))
	}
}

func always(c Credentials) func(context.Context) (*Credentials, error) {
	return func(context.Context) (*Credentials, error) { return &c, nil }
}

// TestSignaturesAreOfTheirSecond: what reads shares a signature within a second, and no longer.
func TestSignaturesAreOfTheirSecond(t *testing.T) {
	byKey, _ := byKeyAndByCertificate(t)
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(always(byKey), byKey.Endpoint)
		sign := func(method string) string {
			md, err := s.GetRequestMetadata(grpccredentials.NewContextWithRequestInfo(t.Context(), grpccredentials.RequestInfo{Method: method}))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := md["x-amz-date"], time.Now().UTC().Format("20060102T150405Z"); got != want {
				t.Errorf("a signature of %s is dated %s, want %s", method, got, want)
			}
			return md["authorization"]
		}
		one := sign(kmsv1.CryptoService_Encrypt_FullMethodName)
		if sign(kmsv1.CryptoService_Encrypt_FullMethodName) != one {
			t.Error("two calls in one second are signed differently")
		}
		if sign(kmsv1.CryptoService_Decrypt_FullMethodName) == one {
			t.Error("two methods share a signature")
		}
		time.Sleep(time.Second)
		if sign(kmsv1.CryptoService_Encrypt_FullMethodName) == one {
			t.Error("two seconds share a signature")
		}
		change := sign(kmsv1.KeyService_EnableKey_FullMethodName)
		if sign(kmsv1.KeyService_EnableKey_FullMethodName) == change {
			t.Error("two changes share a signature")
		}
		if _, err := s.GetRequestMetadata(t.Context()); err == nil {
			t.Error("a call without a method is signed")
		}
	})
}

func TestMethodsThatChangeNothing(t *testing.T) {
	const want = `/kmsd.kms.v1.CryptoService/Encrypt
/kmsd.kms.v1.CryptoService/Decrypt
/kmsd.kms.v1.CryptoService/ReEncrypt
/kmsd.kms.v1.CryptoService/GenerateDataKey
/kmsd.kms.v1.CryptoService/GenerateDataKeyWithoutPlaintext
/kmsd.kms.v1.CryptoService/GenerateRandom
/kmsd.kms.v1.CryptoService/GenerateMac
/kmsd.kms.v1.CryptoService/VerifyMac
/kmsd.kms.v1.CryptoService/Sign
/kmsd.kms.v1.CryptoService/Verify
/kmsd.kms.v1.CryptoService/DeriveSharedSecret
/kmsd.kms.v1.CryptoService/Encapsulate
/kmsd.kms.v1.CryptoService/Decapsulate
/kmsd.kms.v1.CryptoService/GenerateDataKeyPair
/kmsd.kms.v1.CryptoService/GenerateDataKeyPairWithoutPlaintext
/kmsd.kms.v1.BatchService/BatchCrypto
/kmsd.kms.v1.BatchService/StreamCrypto
/kmsd.kms.v1.KeyService/DescribeKey
/kmsd.kms.v1.KeyService/ListKeys
/kmsd.kms.v1.KeyService/ListKeyRotations
/kmsd.kms.v1.KeyService/ListAliases
/kmsd.kms.v1.KeyService/GetKeyPolicy
/kmsd.kms.v1.KeyService/ListResourceTags
/kmsd.kms.v1.KeyService/ListGrants
/kmsd.kms.v1.KeyService/ListRetirableGrants
/kmsd.kms.v1.KeyService/GetKeyDeletionReport
/kmsd.kms.v1.KeyService/GetKeyRotationStatus
/kmsd.kms.v1.KeyService/GetPublicKey
/kmsd.kms.v1.KeyService/GetKeyLastUsage
/kmsd.kms.v1.KeyService/ListKeyPolicies
/kmsd.iam.v1.IAMService/GetUser
/kmsd.iam.v1.IAMService/ListUsers
/kmsd.iam.v1.IAMService/ListUserTags
/kmsd.iam.v1.IAMService/ListAccessKeys
/kmsd.iam.v1.IAMService/GetAccessKeyLastUsed
/kmsd.iam.v1.IAMService/ListClientCertificates
/kmsd.iam.v1.IAMService/GetUserPolicy
/kmsd.iam.v1.IAMService/ListUserPolicies
/kmsd.iam.v1.IAMService/ListAttachedUserPolicies
/kmsd.iam.v1.IAMService/GetGroup
/kmsd.iam.v1.IAMService/ListGroups
/kmsd.iam.v1.IAMService/ListGroupsForUser
/kmsd.iam.v1.IAMService/GetGroupPolicy
/kmsd.iam.v1.IAMService/ListGroupPolicies
/kmsd.iam.v1.IAMService/ListAttachedGroupPolicies
/kmsd.iam.v1.IAMService/GetPolicy
/kmsd.iam.v1.IAMService/ListPolicies
/kmsd.iam.v1.IAMService/GetPolicyVersion
/kmsd.iam.v1.IAMService/ListPolicyVersions
/kmsd.iam.v1.IAMService/ListEntitiesForPolicy
/kmsd.iam.v1.IAMService/GetRole
/kmsd.iam.v1.IAMService/ListRoles
/kmsd.iam.v1.IAMService/ListRoleTags
/kmsd.iam.v1.IAMService/GetRolePolicy
/kmsd.iam.v1.IAMService/ListRolePolicies
/kmsd.iam.v1.IAMService/ListAttachedRolePolicies
/kmsd.iam.v1.IAMService/ListMFADevices
/kmsd.iam.v1.IAMService/GetOpenIDConnectProvider
/kmsd.iam.v1.IAMService/ListOpenIDConnectProviders
/kmsd.sts.v1.STSService/GetCallerIdentity
/kmsd.organizations.v1.OrganizationsService/DescribeOrganization
/kmsd.organizations.v1.OrganizationsService/DescribeAccount
/kmsd.organizations.v1.OrganizationsService/ListAccounts
/kmsd.organizations.v1.OrganizationsService/ListRoots
/kmsd.organizations.v1.OrganizationsService/DescribeOrganizationalUnit
/kmsd.organizations.v1.OrganizationsService/ListOrganizationalUnitsForParent
/kmsd.organizations.v1.OrganizationsService/ListAccountsForParent
/kmsd.organizations.v1.OrganizationsService/ListChildren
/kmsd.organizations.v1.OrganizationsService/ListParents
/kmsd.organizations.v1.OrganizationsService/DescribePolicy
/kmsd.organizations.v1.OrganizationsService/ListPolicies
/kmsd.organizations.v1.OrganizationsService/ListPoliciesForTarget
/kmsd.organizations.v1.OrganizationsService/ListTargetsForPolicy`
	if got := strings.Join(reading(), "\n"); got != want {
		t.Errorf("reading() =\n%s\nwant\n%s", got, want)
	}
}

func TestSignsInWithACertificate(t *testing.T) {
	s := newFakeServer(t)
	certificate, key := s.ca.client(t)
	c := s.client(t, func(cfg *Config) {
		cfg.Credentials = Credentials{Endpoint: s.endpoint, CA: s.ca.pem, Certificate: certificate, Key: crypto.NewSecret(key)}
	})
	encrypt(t, c, "plaintext")
	call := s.seen()[0]
	if call.client != "alice" || call.md["authorization"] != nil {
		t.Errorf("a call with a certificate comes from %q with authorization %q, want alice and none", call.client, call.md["authorization"])
	}
}

func TestRefusesAServerOfAnotherCA(t *testing.T) {
	s := newFakeServer(t)
	other := newAuthority(t)
	for name, change := range map[string]func(*Config){
		"another CA":       func(cfg *Config) { cfg.Credentials.CA = other.pem },
		"another name":     func(cfg *Config) { cfg.Endpoint = strings.Replace(s.endpoint, "localhost", "127.0.0.1", 1) },
		"nobody listening": func(cfg *Config) { cfg.Endpoint = "localhost:1" },
	} {
		t.Run(name, func(t *testing.T) {
			c := s.client(t, change)
			_, err := c.Crypto().Encrypt(t.Context(), kmsv1.EncryptRequest_builder{KeyId: "alias/a", Plaintext: []byte("x")}.Build())
			var e *Error
			if !errors.As(err, &e) || e.Code != codes.Unavailable || e.Reason != "" {
				t.Errorf("Encrypt = %v, want UNAVAILABLE without a reason", err)
			}
		})
	}
	if n := len(s.seen()); n != 0 {
		t.Errorf("the server saw %d calls, want 0", n)
	}
}

func TestTLSIsOfVersion13(t *testing.T) {
	s := newFakeServer(t)
	cfg, err := s.credentials().TLS()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.MinVersion != tls.VersionTLS13 || cfg.InsecureSkipVerify || cfg.RootCAs == nil {
		t.Errorf("TLS() = MinVersion %x, InsecureSkipVerify %v, RootCAs %v", cfg.MinVersion, cfg.InsecureSkipVerify, cfg.RootCAs)
	}
}

func TestConnectionsAreUsedInTurn(t *testing.T) {
	s := newFakeServer(t)
	c := s.client(t, func(cfg *Config) { cfg.Connections = 3 })
	remotes := map[string]int{}
	for range 9 {
		encrypt(t, c, "plaintext")
	}
	for _, call := range s.seen() {
		remotes[call.remote]++
	}
	if len(remotes) != 3 {
		t.Errorf("9 calls came over %d connections, want 3", len(remotes))
	}
	for remote, n := range remotes {
		if n != 3 {
			t.Errorf("%s was used %d times, want 3", remote, n)
		}
	}
}

func TestEveryCallHasADeadline(t *testing.T) {
	s := newFakeServer(t)
	c := s.client(t, func(cfg *Config) { cfg.Timeout = 5 * time.Second })
	encrypt(t, c, "plaintext")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := c.Keys().EnableKey(ctx, kmsv1.EnableKeyRequest_builder{KeyId: "k"}.Build()); err != nil {
		t.Fatal(err)
	}
	if got := s.seen()[0].deadline; got <= 2*time.Second || got > 5*time.Second {
		t.Errorf("a call without a deadline has %v left, want just under 5s", got)
	}
	if got := s.seen()[1].deadline; got <= 0 || got > 2*time.Second {
		t.Errorf("a call with a deadline of 2s has %v left, want just under 2s", got)
	}
}

func TestDeadlineEndsACall(t *testing.T) {
	s := newFakeServer(t)
	release := make(chan struct{})
	defer close(release)
	s.set(func(seen) error { <-release; return nil }, nil)
	c := s.client(t, func(cfg *Config) { cfg.Timeout = 50 * time.Millisecond })
	_, err := c.Crypto().GenerateRandom(t.Context(), kmsv1.GenerateRandomRequest_builder{NumberOfBytes: 1}.Build())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("GenerateRandom = %v, want one that matches context.DeadlineExceeded", err)
	}
}

func TestNewRefuses(t *testing.T) {
	s := newFakeServer(t)
	for name, change := range map[string]func(*Config){
		"no credentials":       func(c *Config) { c.Credentials = Credentials{} },
		"too many connections": func(c *Config) { c.Connections = MaxConnections + 1 },
		"negative timeout":     func(c *Config) { c.Timeout = -1 },
		"endpoint without port": func(c *Config) {
			c.Endpoint = "localhost"
		},
		"endpoint of a scheme": func(c *Config) { c.Endpoint = "https://localhost:7443" },
	} {
		cfg := Config{Credentials: s.credentials()}
		change(&cfg)
		if c, err := New(cfg); err == nil || c != nil {
			t.Errorf("%s: New = %v, %v, want an error", name, c, err)
		}
	}
}

func TestFilesThroughTheClient(t *testing.T) {
	s := newFakeServer(t)
	c := s.client(t, nil)
	plaintext := bytes.Repeat([]byte("kmsd"), 100_000)
	var message, got bytes.Buffer
	if _, err := envelope.Encrypt(t.Context(), c, &message, bytes.NewReader(plaintext), envelope.EncryptOptions{KeyID: "alias/a"}); err != nil {
		t.Fatal(err)
	}
	info, err := envelope.Decrypt(t.Context(), c, &got, io.Reader(&message), envelope.DecryptOptions{})
	if err != nil || !bytes.Equal(got.Bytes(), plaintext) || info.KeyARN != testARN {
		t.Errorf("Decrypt = %v, %d bytes, %v; want the plaintext under %s", info.KeyARN, got.Len(), err, testARN)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := newFakeServer(t)
	c := s.client(t, nil)
	encrypt(t, c, "plaintext")
	secret := []byte(testSecret)
	sgn := newSigner(always(s.credentials()), s.endpoint)
	leaktest.Check(t, secret, s.credentials(), c, sgn, Config{Credentials: s.credentials()})
	_, key := s.ca.client(t)
	leaktest.Check(t, key, Credentials{Key: crypto.NewSecret(bytes.Clone(key))})
	token := []byte("token-of-a-session-hunter2")
	temporary := s.credentials()
	temporary.SessionToken, temporary.Expiration = crypto.NewSecret(bytes.Clone(token)), time.Now().Add(time.Hour)
	p := NewCredentialsProvider(temporary, func(context.Context) (Credentials, error) { return temporary, nil })
	defer p.Close()
	if _, err := p.Retrieve(t.Context()); err != nil {
		t.Fatal(err)
	}
	role := Credentials{Role: &Role{ARN: testRole, Source: &temporary}}
	for _, hidden := range [][]byte{token, secret} {
		leaktest.Check(t, hidden, temporary, p, p.current.Load(), role, Config{Provider: p}, Config{Credentials: role})
	}
}

func BenchmarkSign(b *testing.B) {
	byKey, _ := byKeyAndByCertificate(b)
	s := newSigner(always(byKey), byKey.Endpoint)
	for name, method := range map[string]string{"reads": kmsv1.CryptoService_Encrypt_FullMethodName, "changes": kmsv1.KeyService_EnableKey_FullMethodName} {
		b.Run(name, func(b *testing.B) {
			ctx := grpccredentials.NewContextWithRequestInfo(b.Context(), grpccredentials.RequestInfo{Method: method})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.GetRequestMetadata(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
