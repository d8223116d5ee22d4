package aws_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"testing"
	"time"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
)

// caller is the caller with a key that replies told, kept as <name>Key, <name>Secret and <name>Token.
func (g *golden) caller(name string) {
	c := g.kms.Credentials()
	c.AccessKeyID = g.kept[name+"Key"]
	c.SecretAccessKey = crypto.NewSecret([]byte(g.kept[name+"Secret"]))
	if token := g.kept[name+"Token"]; token != "" {
		c.SessionToken = crypto.NewSecret([]byte(token))
	}
	g.callers[name] = c
}

func TestGoldenIAM(t *testing.T) {
	log := &breakable{}
	k := kmstest.New(t, &kmstest.Options{OpenAudit: log.open, Unchecked: true})
	g := newGolden(t, k, "iam")
	g.keepOrganization()
	g.do["alice"] = func(g *golden) { g.caller("alice") }
	g.do["csr"] = func(g *golden) { g.kept["csr"] = signingRequest(t) }
	g.do["issuer"] = func(g *golden) { g.kept["jwks"] = kmstest.NewIssuer(t, "https://ci.example.com").JWKS() }
	g.do["codes"] = func(g *golden) {
		seed, err := base64.StdEncoding.DecodeString(g.kept["seed"])
		if err != nil {
			t.Fatal(err)
		}
		g.kept["codeA"], g.kept["codeB"] = kmstest.TOTP(t, string(seed), -1), kmstest.TOTP(t, string(seed), 0)
	}
	g.do["forgetCodes"] = func(g *golden) { g.kept["codeA"], g.kept["codeB"] = "", "" } // six digits may be in any reply
	g.do["break"] = func(*golden) { log.full.Store(true) }
	g.do["mend"] = func(*golden) { log.full.Store(false) }
	g.run()
	g.errors(iamErrors, iamUnreached)
}

// keepUser keeps the id of a user as <name>Id.
func (g *golden) keepUser(name string) {
	g.t.Helper()
	u, err := g.kms.Root().IAM().GetUser(g.t.Context(), iamv1.GetUserRequest_builder{UserName: name}.Build())
	if err != nil {
		g.t.Fatal(err)
	}
	g.kept[name+"Id"] = u.GetUser().GetUserId()
}

// keepOrganization keeps the ids of the organization and of its root, which conditions can ask about.
func (g *golden) keepOrganization() {
	g.t.Helper()
	o, err := g.kms.Root().Organizations().DescribeOrganization(g.t.Context(), &organizationsv1.DescribeOrganizationRequest{})
	if err != nil {
		g.t.Fatal(err)
	}
	r, err := g.kms.Root().Organizations().ListRoots(g.t.Context(), &organizationsv1.ListRootsRequest{})
	if err != nil || len(r.GetRoots()) != 1 {
		g.t.Fatalf("%v, %v", r, err)
	}
	g.kept["organization"], g.kept["organizationRoot"] = o.GetOrganization().GetId(), r.GetRoots()[0].GetId()
}

// signingRequest is a PKCS #10 request, PEM.
func signingRequest(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "alice"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// commonErrors are those that both services of the Query protocol have.
var commonErrors = []string{
	"AccessDenied", "ExpiredToken", "IdempotentParameterMismatch", "IncompleteSignature", "InvalidAction", "InvalidClientTokenId", "MalformedInput",
	"MalformedPolicyDocument", "MissingAuthenticationToken", "SignatureDoesNotMatch", "Throttling", "UnsupportedOperation", "ValidationError",
}

// iamErrors are the errors that IAM's model names and kmsd has, and the common ones.
var iamErrors = append([]string{
	"DeleteConflict", "EntityAlreadyExists", "InvalidAuthenticationCode", "InvalidInput", "LimitExceeded", "NoSuchEntity", "ServiceFailure",
	"UnmodifiableEntity",
}, commonErrors...)

// iamUnreached are those of them that no exchange has, each with the reason.
var iamUnreached = map[string]string{
	"ExpiredToken": "a session lasts for 15 minutes at least",
	"InvalidInput": "what IAM calls so is a ValidationError of kmsd's",
	"Throttling":   "depends on how fast the machine is",
}

func TestGoldenSTS(t *testing.T) {
	log := &breakable{}
	k := kmstest.New(t, &kmstest.Options{OpenAudit: log.open, Unchecked: true, Config: func(c *daemon.Config) { c.OIDC.Hosts = []string{"127.0.0.1:1"} }})
	g := newGolden(t, k, "sts")
	g.callers["alice"] = k.User("alice", kmstest.Allow([]string{"sts:*"}))
	g.keepUser("alice")
	makeRoles(t, g, k.Root())
	for _, name := range []string{"session", "own"} {
		g.do[name] = func(g *golden) { g.caller(name) }
	}
	g.do["brokenSession"] = func(g *golden) {
		c := g.callers["session"]
		token := c.SessionToken.Expose()
		c.SessionToken = crypto.NewSecret(append([]byte("x"), token[1:]...))
		g.callers["session"] = c
	}
	g.do["break"] = func(*golden) { log.full.Store(true) }
	g.do["mend"] = func(*golden) { log.full.Store(false) }
	g.run()
	g.errors(stsErrors, stsUnreached)
}

var stsErrors = append([]string{
	"ExpiredTokenException", "IDPCommunicationError", "InternalFailure", "InvalidIdentityToken", "PackedPolicyTooLarge",
}, commonErrors...)

var stsUnreached = map[string]string{
	"ExpiredToken":                "a session lasts for 15 minutes at least",
	"IdempotentParameterMismatch": "no operation of STS takes a client token",
	"Throttling":                  "depends on how fast the machine is",
}

// makeRoles makes what the exchanges of STS need: the role "app" for alice, "web" and "away" for tokens of two issuers, an MFA device of alice's, and
// the tokens.
func makeRoles(t *testing.T, g *golden, root *client.Client) {
	t.Helper()
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, iam := t.Context(), root.IAM()
	const account = "arn:aws:iam::" + kmstest.Account
	role := func(name, principal, action string) {
		t.Helper()
		made, err := iam.CreateRole(ctx, iamv1.CreateRoleRequest_builder{RoleName: name, AssumeRolePolicyDocument: `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Principal":` + principal + `,"Action":` + action + `}]}`}.Build())
		do(made, err)
		g.kept[name+"Id"] = made.GetRole().GetRoleId()
	}
	role("app", `{"AWS":"`+account+`:user/alice"}`, `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`)
	do(iam.CreatePolicy(ctx, iamv1.CreatePolicyRequest_builder{PolicyName: "list", PolicyDocument: kmstest.Allow([]string{"kms:ListKeys"})}.Build()))

	here, away := kmstest.NewIssuer(t, "https://ci.example.com"), kmstest.NewIssuer(t, "https://away.example.com")
	do(iam.CreateOpenIDConnectProvider(ctx, iamv1.CreateOpenIDConnectProviderRequest_builder{
		Url: here.URL, ClientIdList: []string{"kmsd"}, Jwks: here.JWKS(),
	}.Build()))
	do(iam.CreateOpenIDConnectProvider(ctx, iamv1.CreateOpenIDConnectProviderRequest_builder{
		Url: away.URL, ClientIdList: []string{"kmsd"}, JwksUri: "https://127.0.0.1:1/keys",
	}.Build()))
	role("web", `{"Federated":"`+account+`:oidc-provider/ci.example.com"},"Condition":{"StringEquals":{"ci.example.com:sub":"job-1"}}`, `"sts:AssumeRoleWithWebIdentity"`)
	role("away", `{"Federated":"`+account+`:oidc-provider/away.example.com"},"Condition":{"StringEquals":{"away.example.com:sub":"job-1"}}`, `"sts:AssumeRoleWithWebIdentity"`)
	claims := func(sub string, until time.Duration) map[string]any {
		now := time.Now()
		return map[string]any{"sub": sub, "aud": "kmsd", "iat": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(until).Unix()}
	}
	g.kept["token"] = here.Token(claims("job-1", time.Hour))
	g.kept["tokenOfAnother"] = here.Token(claims("job-2", time.Hour))
	g.kept["tokenExpired"] = here.Token(claims("job-1", -time.Hour))
	g.kept["tokenForged"] = kmstest.NewIssuer(t, here.URL).Token(claims("job-1", time.Hour))
	g.kept["tokenAway"] = away.Token(claims("job-1", time.Hour))

	made, err := iam.CreateVirtualMFADevice(ctx, iamv1.CreateVirtualMFADeviceRequest_builder{VirtualMfaDeviceName: "phone"}.Build())
	do(made, err)
	device := made.GetVirtualMfaDevice()
	g.kept["serial"] = device.GetSerialNumber()
	do(iam.EnableMFADevice(ctx, iamv1.EnableMFADeviceRequest_builder{
		UserName: "alice", SerialNumber: device.GetSerialNumber(),
		AuthenticationCode1: kmstest.TOTP(t, device.GetBase32StringSeed(), -1), AuthenticationCode2: kmstest.TOTP(t, device.GetBase32StringSeed(), 0),
	}.Build()))
}
