package server_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
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
	"audit: key_id":             "the resource: an alias by its ARN",
	"audit: source_key_id":      "the resource: an alias by its ARN",
	"audit: destination_key_id": "the resource: an alias by its ARN",
	"audit: target_key_id":      "the resource: an alias by its ARN",
	"audit: alias_name":         "the resource: an alias by its ARN",
	"audit: user_name":          "the resource: a user by its ARN",
	"audit: path":               "part of a user's ARN",
	"audit: policy_name":        "the name of a user's policy",
	"audit: access_key_id":      "names the credential; it is not the secret",
	"audit: header User-Agent":  "says which program called",
	"audit: unknown access key": "the credential that was claimed; it is not the secret",
	"audit: method":             "the method that does not exist",

	"error: key_id":             "names to the caller what he has asked for",
	"error: source_key_id":      "names to the caller what he has asked for",
	"error: destination_key_id": "names to the caller what he has asked for",
	"error: alias_name":         "names to the caller what he has asked for",
	"error: user_name":          "names to the caller what he has asked for",
	"error: policy":             "the word that makes it malformed, to its author",
	"error: policy_document":    "the word that makes it malformed, to its author",
	"error: path":               "names to the caller what he has asked for: part of a user's ARN",
}

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
	switch name := string(f.desc.Name()); {
	case name == "alias_name", strings.HasSuffix(name, "key_id"):
		add("alias/%s")
		add("arn:aws:kms:local:" + kmstest.Account + ":alias/%s")
		add("arn:aws:kms:local:999988887777:alias/%s")
		add("arn:aws:kms:local:" + kmstest.Account + ":key/%s")
	case name == "policy":
		add(`{"Version":"2012-10-17","Statement":[{"Sid":"%s","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + kmstest.Account + `:root"},"Action":"kms:*","Resource":"*"}]}`)
		add(`{"Version":"2012-10-17","Statement":[{"%s":"x"}]}`)
	case name == "policy_document":
		add(`{"Version":"2012-10-17","Statement":[{"Sid":"%s","Effect":"Allow","Action":"kms:*","Resource":"*"}]}`)
		add(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"%s","Resource":"*"}]}`)
	case name == "path", name == "path_prefix":
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
	rows, nobody := specimensOf(t), d.User("nobody")
	for _, method := range methods(t) {
		fields := textFields(t, method)
		if len(fields) == 0 {
			continue
		}
		for _, f := range fields {
			for _, shape := range shapes(t, f) {
				for _, who := range []client.Credentials{d.root, nobody, {}} {
					m := rows[method].valid(p)
					where := string(f.desc.Name())
					if f.part != "" {
						where += " " + f.part
					}
					f.put(m, shape(a.canary(where)))
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

// secretsOf are what answers hold that is nobody else's business: field numbers of bytes, and the secret of an access key.
func secretsOf(t *testing.T, c call, got answer) (all []string) {
	t.Helper()
	if got.err != nil || got.code != codes.OK {
		return nil
	}
	switch c.method {
	case kmsv1.CryptoService_GenerateDataKey_FullMethodName, kmsv1.CryptoService_GenerateRandom_FullMethodName,
		encryptMethod, kmsv1.CryptoService_GenerateDataKeyWithoutPlaintext_FullMethodName, kmsv1.CryptoService_ReEncrypt_FullMethodName:
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
	case iamv1.IAMService_CreateAccessKey_FullMethodName:
		var out iamv1.CreateAccessKeyResponse
		if err := proto.Unmarshal(got.body, &out); err != nil {
			t.Fatal(err)
		}
		all = append(all, out.GetAccessKey().GetSecretAccessKey())
	}
	return all
}

// TestCanaries puts a text of its own into every field of every request, and finds in the audit log, in the log, in the metrics and in errors only
// those that are meant to be there; of keys and plaintexts, nothing in the whole data folder.
func TestCanaries(t *testing.T) {
	d := newDoor(t, &kmstest.Options{Config: func(c *daemon.Config) { c.LogLevel = "debug" }})
	p, a := newProps(d), &aviary{origin: map[string]string{}}
	calls := a.releases(t, d, p)
	secrets := []string{string(d.root.SecretAccessKey.Expose())}
	var failures bytes.Buffer
	for i, got := range d.sendAll(t.Context(), calls) {
		if got.err != nil {
			t.Errorf("%s: %v", calls[i].method, got)
			continue
		}
		fmt.Fprintf(&failures, "%s\n%s\n", got.message, marshal(t, got.status))
		secrets = append(secrets, secretsOf(t, calls[i], got)...)
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
			if origin == "plaintext" || origin == "ciphertext_blob" || strings.HasPrefix(origin, "header Auth") {
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
