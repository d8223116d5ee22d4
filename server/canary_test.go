package server_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

const (
	canaryPrefix = "KMSDCANARY"
	canaryLength = len(canaryPrefix) + 16
)

// allowedSinks are the fields whose content may be found elsewhere, each with the reason: "sink: field of a request".
var allowedSinks = map[string]string{
	"audit: encryption_context keys":               "not secret; people search by it",
	"audit: encryption_context values":             "not secret; people search by it",
	"audit: source_encryption_context keys":        "not secret; people search by it",
	"audit: source_encryption_context values":      "not secret; people search by it",
	"audit: destination_encryption_context keys":   "not secret; people search by it",
	"audit: destination_encryption_context values": "not secret; people search by it",
	"audit: key_id":                                       "the resource: an alias by its ARN",
	"audit: source_key_id":                                "the resource: an alias by its ARN",
	"audit: destination_key_id":                           "the resource: an alias by its ARN",
	"audit: target_key_id":                                "the resource: an alias by its ARN",
	"audit: alias_name":                                   "the resource: an alias by its ARN",
	"audit: user_name":                                    "the resource: a user by its ARN",
	"audit: new_user_name":                                "the resource: a user by its ARN to be",
	"audit: group_name":                                   "the resource: a group by its ARN",
	"audit: new_group_name":                               "the resource: a group by its ARN to be",
	"audit: role_name":                                    "the resource: a role by its ARN",
	"audit: role_arn":                                     "the resource: a role",
	"audit: path":                                         "part of an ARN",
	"audit: new_path":                                     "part of an ARN",
	"audit: policy_name":                                  "the name of a policy",
	"audit: policy_arn":                                   "the resource: a managed policy",
	"audit: policy_arns.arn":                              "the managed policies that limit a session",
	"audit: policy_source_arn":                            "the resource: whose policies are simulated",
	"audit: permissions_boundary":                         "the managed policy that limits a user or role",
	"audit: version_id":                                   "names a version of a policy",
	"audit: access_key_id":                                "names the credential; it is not the secret",
	"audit: serial_number":                                "names the MFA device; it is not its seed",
	"audit: virtual_mfa_device_name":                      "the resource: an MFA device by its ARN",
	"audit: open_id_connect_provider_arn":                 "the resource: an identity provider",
	"audit: url":                                          "the issuer of an identity provider, which is part of its ARN",
	"audit: client_id":                                    "an audience that an identity provider is trusted for; not secret",
	"audit: client_id_list":                               "audiences that an identity provider is trusted for; not secret",
	"audit: tags.key":                                     "the keys of tags, not their values",
	"audit: tags.tag_key":                                 "the keys of tags, not their values",
	"audit: tag_keys":                                     "the keys of tags, not their values",
	"audit: transitive_tag_keys":                          "the keys of tags, not their values",
	"audit: role_session_name":                            "says who uses the role",
	"audit: source_identity":                              "says who uses the role",
	"audit: external_id":                                  "as in AWS: names a customer, is no secret",
	"audit: grantee_principal":                            "whom a grant is for",
	"audit: retiring_principal":                           "who may retire a grant",
	"audit: grant_id":                                     "names a grant",
	"audit: constraints.encryption_context_subset keys":   "not secret; people search by it",
	"audit: constraints.encryption_context_subset values": "not secret; people search by it",
	"audit: constraints.encryption_context_equals keys":   "not secret; people search by it",
	"audit: constraints.encryption_context_equals values": "not secret; people search by it",
	"audit: jwks_uri":                                     "where kmsd gets the keys of an issuer: public, and what an attacker would change",
	"audit: account_id":                                   "the resource: an account",
	"audit: account_name":                                 "the name of a new account",
	"audit: policy_id":                                    "the resource: a policy of the organization",
	"audit: target_id":                                    "the resource: what a policy is attached to",
	"audit: parent_id":                                    "the resource: a place in the organization",
	"audit: child_id":                                     "the resource: a place in the organization",
	"audit: source_parent_id":                             "the resource: a place in the organization",
	"audit: destination_parent_id":                        "the resource: a place in the organization",
	"audit: organizational_unit_id":                       "the resource: a place in the organization",
	"audit: name":                                         "the name of an organizational unit or of a policy of the organization",
	"audit: header User-Agent":                            "says which program called",
	"audit: unknown access key":                           "the credential that was claimed; it is not the secret",
	"audit: method":                                       "the method that does not exist",

	"error: key_id":                                 named,
	"error: source_key_id":                          named,
	"error: destination_key_id":                     named,
	"error: target_key_id":                          named,
	"error: alias_name":                             named,
	"error: user_name":                              named,
	"error: new_user_name":                          named,
	"error: group_name":                             named,
	"error: new_group_name":                         named,
	"error: role_name":                              named,
	"error: role_arn":                               named,
	"error: path":                                   named,
	"error: new_path":                               named,
	"error: policy_name":                            named,
	"error: policy_arn":                             named,
	"error: policy_source_arn":                      named,
	"error: grantee_principal":                      named,
	"error: retiring_principal":                     named,
	"error: serial_number":                          named,
	"error: url":                                    named,
	"error: virtual_mfa_device_name":                named,
	"error: open_id_connect_provider_arn":           named,
	"error: account_id":                             named,
	"error: policy_id":                              named,
	"error: target_id":                              named,
	"error: parent_id":                              named,
	"error: child_id":                               named,
	"error: organizational_unit_id":                 named,
	"error: policy":                                 malformed,
	"error: content":                                malformed,
	"error: policy_document":                        malformed,
	"error: assume_role_policy_document":            malformed,
	"error: resource_policy":                        malformed,
	"error: policy_input_list":                      malformed,
	"error: permissions_boundary_policy_input_list": malformed,
	"error: session_policy_input_list":              malformed,
	"error: ordered_organization_policy_input_list.service_control_policy_input_list":      malformed,
	"error: ordered_resource_control_policy_input_list.resource_control_policy_input_list": malformed,
}

const (
	named     = "names to the caller what he has asked for"
	malformed = "the word that makes it malformed, to its author"
)

// aviary makes canaries and knows where each was put.
type aviary struct {
	origin map[string]string // :: canary → what it was put into
}

func (a *aviary) canary(origin string) string {
	c := canaryPrefix + rand.Text()[:16]
	a.origin[c] = origin
	return c
}

// shapes are forms in which a text may get past the checks of a field.
func shapes(t testing.TB, f field) []func(string) string {
	all := []func(string) string{
		func(c string) string { return c },
		func(c string) string { return c + strings.Repeat("x", 70_000) }, // longer than any field may be
	}
	add := func(format string) { all = append(all, func(c string) string { return fmt.Sprintf(format, c) }) }
	switch name := string(f.desc().Name()); {
	case name == "alias_name", strings.HasSuffix(name, "key_id"):
		add("alias/%s")
		add("arn:aws:kms:local:" + kmstest.Account + ":alias/%s")
		add("arn:aws:kms:local:999988887777:alias/%s")
		add("arn:aws:kms:local:" + kmstest.Account + ":key/%s")
	case name == "policy" && !strings.Contains(f.method, "STS"):
		add(`{"Version":"2012-10-17","Statement":[{"Sid":"%s","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + kmstest.Account + `:root"},"Action":"kms:*","Resource":"*"}]}`)
		add(`{"Version":"2012-10-17","Statement":[{"%s":"x"}]}`)
	case name == "role_arn":
		add("arn:aws:iam::" + kmstest.Account + ":role/%s")
	case name == "assume_role_policy_document":
		add(`{"Version":"2012-10-17","Statement":[{"Sid":"%s","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + kmstest.Account + `:root"},"Action":"sts:AssumeRole"}]}`)
	case name == "policy_document", name == "policy", name == "content", strings.HasSuffix(name, "policy_input_list"):
		add(`{"Version":"2012-10-17","Statement":[{"Sid":"%s","Effect":"Allow","Action":"kms:*","Resource":"*"}]}`)
		add(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"%s","Resource":"*"}]}`)
	case name == "path", name == "path_prefix", name == "new_path":
		add("/%s/")
	case name == "marker":
		all = append(all, func(c string) string { return base64.RawURLEncoding.EncodeToString([]byte(c)) })
	case name == "certificate_signing_request":
		key, _ := keyPair(t)
		all = append(all, func(c string) string {
			der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: c}, DNSNames: []string{c}}, key)
			if err != nil {
				t.Fatal(err)
			}
			return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
		})
	}
	return all
}

// encodings are the forms in which a text may be found: as it is, escaped, in hexadecimal, in base64 wherever it begins, and as numbers.
func encodings(text string) [][]byte {
	var escaped, decimal, spaced strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&escaped, `\u%04x`, text[i])
		fmt.Fprintf(&decimal, "%d,", text[i])
		fmt.Fprintf(&spaced, "%d ", text[i])
	}
	all := [][]byte{
		[]byte(hex.EncodeToString([]byte(text))), []byte(strings.ToUpper(hex.EncodeToString([]byte(text)))),
		[]byte(escaped.String()), []byte(strings.TrimSuffix(decimal.String(), ",")), []byte(strings.TrimSuffix(spaced.String(), " ")),
	}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			b := []byte(e.EncodeToString(append(make([]byte, before), text...)))
			all = append(all, b[(before*8+5)/6:(before+len(text))*8/6])
		}
	}
	return all
}

// releases makes the calls that put canaries into every field of every request, by every kind of caller, and into headers.
func (a *aviary) releases(t *testing.T, d *door, p *props) (calls []call) {
	t.Helper()
	rows, nobody, everybody := specimensOf(t), d.User("nobody"), d.User("everybody", kmstest.Allow([]string{"*"}))
	for _, method := range methods(t) {
		fields := textFields(t, method)
		able := d.root
		if rows[method].byUser {
			able = everybody
		}
		refusable := rows[method].valid(p)
		calls = append(calls, call{method: method, body: marshal(t, rows[method].valid(p)), as: able})
		for _, f := range fields {
			for _, shape := range shapes(t, f) {
				for _, who := range []client.Credentials{able, nobody, {}} {
					m := proto.Clone(refusable)
					if who.AccessKeyID == able.AccessKeyID {
						m = proto.Clone(rows[method].valid(p)) // it may share parts with others
					}
					f.put(m, shape(a.canary(f.where())))
					calls = append(calls, call{method: method, body: marshal(t, m), as: who})
				}
			}
			// In a message that does not decode.
			calls = append(calls, call{method: method, body: append(f.raw(nil, a.canary("malformed message")), 0x07), as: d.root})
		}
	}
	body := marshal(t, rows[encryptMethod].valid(p))
	for _, name := range []string{"User-Agent", "Authorization", "X-Amz-Date", "X-Amz-Content-Sha256", "X-Kmsd-Nonce", "X-Kmsd-Other", "X-Other", "X-Other-Bin", "Cookie"} {
		for _, as := range []client.Credentials{d.root, {}} {
			calls = append(calls, call{method: encryptMethod, body: body, as: as, header: map[string]string{name: a.canary("header " + name)}})
		}
	}
	unknown := d.root
	unknown.AccessKeyID = a.canary("unknown access key")
	calls = append(calls, call{method: encryptMethod, body: body, as: unknown})
	for _, as := range []client.Credentials{d.root, {}} {
		calls = append(calls, call{method: "/kmsd.kms.v1." + a.canary("method") + "/Method", as: as})
	}
	return calls
}

// secretsOf are what a call holds that is nobody else's business: the bytes of its answer, credentials, seeds, and the token of a web identity.
func secretsOf(t *testing.T, c call, got answer) (all []string) {
	t.Helper()
	if got.err != nil || got.code != codes.OK {
		return nil
	}
	switch c.method {
	case kmsv1.CryptoService_GenerateDataKey_FullMethodName, kmsv1.CryptoService_GenerateRandom_FullMethodName,
		encryptMethod, kmsv1.CryptoService_GenerateDataKeyWithoutPlaintext_FullMethodName, kmsv1.CryptoService_ReEncrypt_FullMethodName,
		kmsv1.CryptoService_GenerateDataKeyPair_FullMethodName, kmsv1.CryptoService_GenerateDataKeyPairWithoutPlaintext_FullMethodName,
		kmsv1.CryptoService_GenerateMac_FullMethodName, kmsv1.CryptoService_Sign_FullMethodName, kmsv1.CryptoService_DeriveSharedSecret_FullMethodName,
		kmsv1.CryptoService_Encapsulate_FullMethodName, kmsv1.CryptoService_Decapsulate_FullMethodName:
		for b := got.body; len(b) > 0; {
			_, kind, n := protowire.ConsumeTag(b)
			if kind != protowire.BytesType {
				b = b[n+protowire.ConsumeFieldValue(1, kind, b[n:]):]
				continue
			}
			v, m := protowire.ConsumeBytes(b[n:])
			if b = b[n+m:]; len(v) >= 16 && !bytes.HasPrefix(v, []byte("arn:")) && len(v) != 64 { // names of keys and of versions are no secrets
				all = append(all, string(v[:16])) // of a ciphertext: version, suite and key id
				if len(v) > 66 {
					all[len(all)-1] = string(v[34:66])
				}
			}
		}
	case kmsv1.BatchService_BatchCrypto_FullMethodName:
		var out kmsv1.BatchCryptoResponse
		unmarshal(t, got.body, &out)
		for _, r := range out.GetResults() {
			if key := r.GetGenerateDataKey(); key != nil {
				all = append(all, string(key.GetPlaintext()), string(key.GetCiphertextBlob()[34:66]))
			}
		}
	case iamv1.IAMService_CreateAccessKey_FullMethodName:
		var out iamv1.CreateAccessKeyResponse
		unmarshal(t, got.body, &out)
		all = append(all, out.GetAccessKey().GetSecretAccessKey())
	case iamv1.IAMService_CreateVirtualMFADevice_FullMethodName:
		var out iamv1.CreateVirtualMFADeviceResponse
		unmarshal(t, got.body, &out)
		seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(out.GetVirtualMfaDevice().GetBase32StringSeed())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out.GetVirtualMfaDevice().GetBase32StringSeed(), string(seed))
	case organizationsv1.OrganizationsService_CreateAccount_FullMethodName:
		var out organizationsv1.CreateAccountResponse
		unmarshal(t, got.body, &out)
		all = append(all, out.GetRootAccessKey().GetSecretAccessKey())
	case stsv1.STSService_AssumeRole_FullMethodName:
		var out stsv1.AssumeRoleResponse
		unmarshal(t, got.body, &out)
		all = append(all, out.GetCredentials().GetSecretAccessKey(), out.GetCredentials().GetSessionToken())
	case stsv1.STSService_GetSessionToken_FullMethodName:
		var out stsv1.GetSessionTokenResponse
		unmarshal(t, got.body, &out)
		all = append(all, out.GetCredentials().GetSecretAccessKey(), out.GetCredentials().GetSessionToken())
	case stsv1.STSService_AssumeRoleWithWebIdentity_FullMethodName:
		var in stsv1.AssumeRoleWithWebIdentityRequest
		unmarshal(t, c.body, &in)
		var out stsv1.AssumeRoleWithWebIdentityResponse
		unmarshal(t, got.body, &out)
		all = append(all, in.GetWebIdentityToken(), out.GetCredentials().GetSecretAccessKey(), out.GetCredentials().GetSessionToken())
	}
	return all
}

func unmarshal(t testing.TB, b []byte, m proto.Message) {
	t.Helper()
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
}

// TestCanaries puts a text of its own into every field of every request, and finds in the audit log, in the log, in the metrics and in errors only
// those that are meant to be there; of keys and plaintexts, nothing in the whole data folder.
func TestCanaries(t *testing.T) {
	d := newDoor(t, &kmstest.Options{Config: func(c *daemon.Config) { c.LogLevel = "debug" }})
	p, a := newProps(d), &aviary{origin: map[string]string{}}
	calls := a.releases(t, d, p)
	secrets := []string{string(d.root.SecretAccessKey.Expose())}
	var failures bytes.Buffer
	of := map[string]int{} // :: method → calls whose secrets are searched
	for i, got := range d.sendAll(t.Context(), calls) {
		if got.err != nil {
			t.Errorf("%s: %v", calls[i].method, got)
			continue
		}
		fmt.Fprintf(&failures, "%s\n%s\n", got.message, marshal(t, got.status))
		if of[calls[i].method] < 3 { // each is searched in many forms
			found := secretsOf(t, calls[i], got)
			if len(found) > 0 {
				of[calls[i].method]++
			}
			secrets = append(secrets, found...)
		}
	}
	if len(of) < 19 {
		t.Errorf("secrets of %d methods only: %v", len(of), of)
	}
	d.Stop()
	d.Start()
	var records []byte
	for _, b := range readTree(t, d.AuditDir()) {
		records = append(records, b...)
	}
	sinks := map[string][]byte{"audit": records, "log": []byte(d.Log()), "metrics": metricsOf(t, d), "error": failures.Bytes()}
	used := map[string]bool{}
	for _, sink := range slices.Sorted(maps.Keys(sinks)) {
		if len(sinks[sink]) == 0 {
			t.Errorf("there is nothing in the %s: nothing was tested", sink)
		}
		a.find(t, sink, sinks[sink], used)
		search(t, sink, sinks[sink], secrets)
	}
	for _, row := range slices.Sorted(maps.Keys(allowedSinks)) {
		if !used[row] {
			t.Errorf("%q is allowed and does not happen: take it out", row)
		}
	}
	t.Logf("%d calls with %d canaries, %d secrets of answers", len(calls), len(a.origin), len(secrets))
	if len(a.origin) < 500 || len(secrets) < 10 {
		t.Errorf("%d canaries and %d secrets: too few", len(a.origin), len(secrets))
	}
	d.searchFolder(t, a, secrets)
}

// find reports the canaries in a sink that are not allowed there.
func (a *aviary) find(t *testing.T, sink string, content []byte, used map[string]bool) {
	t.Helper()
	told := map[string]bool{}
	for rest := content; ; {
		i := bytes.Index(rest, []byte(canaryPrefix))
		if i < 0 {
			break
		}
		rest = rest[i:]
		origin := a.origin[string(rest[:min(canaryLength, len(rest))])]
		row := sink + ": " + origin
		used[row] = true
		if allowedSinks[row] == "" && !told[row] {
			told[row] = true
			t.Errorf("the %s has what was put into %q: %.300q", sink, origin, rest)
		}
		rest = rest[len(canaryPrefix):]
	}
	for _, e := range encodings(canaryPrefix) {
		if i := bytes.Index(content, e); i >= 0 {
			t.Errorf("the %s has a canary, encoded as %q: %q", sink, e, content[max(0, i-200):min(len(content), i+200)])
		}
	}
}

// search reports secrets in a place where none may be.
func search(t *testing.T, where string, content []byte, secrets []string) {
	t.Helper()
	for _, s := range secrets {
		for _, e := range append(encodings(s), []byte(s)) {
			if bytes.Contains(content, e) {
				t.Errorf("%s holds a secret of %d bytes, encoded as %.8q…", where, len(s), e)
			}
		}
	}
}

func metricsOf(t *testing.T, d *door) []byte {
	t.Helper()
	resp, err := http.Get("http://" + d.AdminAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// secretOrigins are the fields whose content is stored nowhere.
var secretOrigins = []string{
	"plaintext", "ciphertext_blob", "header Authorization", "token_code", "authentication_code1", "authentication_code2", "web_identity_token", "grant_token", "grant_tokens",
	"certificate_signing_request", "import_token", "encrypted_key_material",
	"message", "mac", "signature", "public_key", "shared_secret_ciphertext_blob",
}

// searchFolder looks for secrets, plaintexts and the root key in the whole data folder.
func (d *door) searchFolder(t *testing.T, a *aviary, secrets []string) {
	t.Helper()
	files := readTree(t, d.Dir())
	rootKey := string(files[filepath.Join(d.Dir(), "root.key")])
	if len(rootKey) != 32 {
		t.Fatalf("root.key has %d bytes, want 32", len(rootKey))
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		name, content := filepath.Base(path), files[path]
		if name == daemon.RootCredentialsFile {
			search(t, name, content, append(secrets[1:len(secrets):len(secrets)], rootKey)) // it holds the first
			continue
		}
		search(t, name, content, secrets)
		if name != "root.key" {
			search(t, name, content, []string{rootKey})
		}
		for c, origin := range a.origin {
			if slices.Contains(secretOrigins, origin) {
				if bytes.Contains(content, []byte(c)) {
					t.Errorf("%s holds what was put into %q", name, origin)
				}
			}
		}
	}
	if len(files) < 6 {
		t.Errorf("%d files in the data folder: %v", len(files), slices.Sorted(maps.Keys(files)))
	}
}
