package aws_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/kmstest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// breakable is the files of an audit log, which are full while full is set.
type breakable struct{ full atomic.Bool }

type breakableFile struct {
	*os.File
	of *breakable
}

func (b *breakable) open(path string, flag int, perm fs.FileMode) (audit.File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return &breakableFile{f, b}, nil
}

func (f *breakableFile) Write(p []byte) (int, error) {
	if f.of.full.Load() {
		return 0, unix.ENOSPC
	}
	return f.File.Write(p)
}

func (f *breakableFile) Datasync() error { return unix.Fdatasync(int(f.Fd())) }

// wrongSecret is c with another secret.
func wrongSecret(c client.Credentials) client.Credentials {
	c.SecretAccessKey = crypto.NewSecret([]byte(strings.Repeat("x", 40)))
	return c
}

func TestGoldenKMS(t *testing.T) {
	log, clock := &breakable{}, kmstest.NewClock()
	k := kmstest.New(t, &kmstest.Options{OpenAudit: log.open, Clock: clock})
	g := newGolden(t, k, "kms")
	g.callers["alice"] = k.User("alice")
	stranger := k.Account("stranger")
	g.callers["stranger"], g.kept["stranger"] = stranger.User("stranger", kmstest.Allow([]string{"kms:*"})), stranger.ID
	g.callers["hermit"] = k.Account("hermit").User("hermit", kmstest.Allow([]string{"kms:*"}))
	for range 2 {
		if _, err := stranger.Root().Keys().CreateKey(t.Context(), &kmsv1.CreateKeyRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	g.kept["soon"] = fmt.Sprintf("%d.500", time.Now().Add(30*24*time.Hour).Unix())
	g.do["bytes"] = func(g *golden) {
		for _, n := range []int{300, 4097} {
			g.kept[fmt.Sprintf("bytes%d", n)] = base64.StdEncoding.EncodeToString(make([]byte, n))
		}
	}
	g.do["aliases"] = func(g *golden) {
		for i := range 50 {
			r := kmsv1.CreateAliasRequest_builder{AliasName: fmt.Sprintf("alias/once-%d", i), TargetKeyId: g.kept["once"]}.Build()
			if _, err := k.Root().Keys().CreateAlias(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.do["rotations"] = func(g *golden) {
		for range 25 {
			if _, err := k.Root().Keys().RotateKeyOnDemand(t.Context(), kmsv1.RotateKeyOnDemandRequest_builder{KeyId: g.kept["once"]}.Build()); err != nil {
				t.Fatal(err)
			}
			clock.Pass(time.Hour)
		}
	}
	g.do["wrap"] = func(g *golden) { g.kept["wrapped"] = wrapped(t, g.kept["wrappingKey"], sha256.New()) }
	g.do["wrapAnother"] = func(g *golden) { g.kept["wrapped"] = wrapped(t, g.kept["wrappingKey"], sha1.New()) }
	g.do["wait"] = func(*golden) { clock.Pass(25 * time.Hour) }
	g.do["quarter"] = func(*golden) { clock.Pass(90*24*time.Hour - 5*time.Minute) }
	g.do["break"] = func(*golden) { log.full.Store(true) }
	g.do["mend"] = mend(k, log)
	g.run()
	g.errors(kmsErrors, kmsUnreached)
}

// mend makes room for the audit log again, and waits until kmsd has found out.
func mend(k *kmstest.KMS, log *breakable) func(*golden) {
	return func(g *golden) {
		log.full.Store(false)
		for range 500 {
			if _, err := k.Root().Keys().ListKeys(g.t.Context(), &kmsv1.ListKeysRequest{}); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		g.t.Error("the audit log works again, and kmsd does not answer")
	}
}

// wrapped is random material under a wrapping key, by RSA-OAEP with h; both in base64.
func wrapped(t *testing.T, key string, h hash.Hash) string {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	material := make([]byte, 32)
	rand.Read(material)
	out, err := rsa.EncryptOAEP(h, rand.Reader, public.(*rsa.PublicKey), material, nil)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(out)
}

// kmsErrors are the errors that AWS KMS's model names and kmsd has, and those that every service of AWS has.
var kmsErrors = []string{
	"AlreadyExistsException", "ConflictException", "DependencyTimeoutException", "DisabledException", "DryRunOperationException",
	"ExpiredImportTokenException", "IncorrectKeyException", "IncorrectKeyMaterialException", "InvalidAliasNameException", "InvalidArnException",
	"InvalidCiphertextException", "InvalidGrantIdException", "InvalidGrantTokenException", "InvalidImportTokenException", "InvalidKeyUsageException",
	"InvalidMarkerException", "KeyUnavailableException", "KMSInternalException", "KMSInvalidMacException", "KMSInvalidSignatureException",
	"KMSInvalidStateException", "LimitExceededException", "MalformedPolicyDocumentException", "NotFoundException", "TagException",
	"UnsupportedOperationException",
	"AccessDeniedException", "ExpiredTokenException", "IncompleteSignatureException", "InvalidSignatureException", "MissingAuthenticationTokenException",
	"SerializationException", "ThrottlingException", "UnknownOperationException", "UnrecognizedClientException", "ValidationException",
	"IdempotentParameterMismatchException",
}

// kmsUnreached are those of them that no exchange has, each with the reason.
var kmsUnreached = map[string]string{
	"DependencyTimeoutException": "a call takes as long as its time at most only where a disk hangs",
	"KeyUnavailableException":    "kmsd has no keys of other stores",
	"ExpiredTokenException":      "a session lasts for 15 minutes at least",
	"ThrottlingException":        "depends on how fast the machine is",
}

// errorType finds the name of an error in a file, of JSON or of XML.
var errorType = regexp.MustCompile(`(?m)^X-Amzn-Errortype: (\w+)$|<Code>(\w+)</Code>`)

// errors fails if an error of the list is in no file, or is in one although it is not reached.
func (g *golden) errors(all []string, unreached map[string]string) {
	g.t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "golden", g.service, "*.txt"))
	if err != nil {
		g.t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			g.t.Fatal(err)
		}
		if m := errorType.FindSubmatch(b); m != nil {
			found[string(m[1])+string(m[2])] = true
		}
	}
	for _, name := range all {
		if reason := unreached[name]; found[name] == (reason != "") {
			g.t.Errorf("%s: an exchange has it: %v; why none has it: %q", name, found[name], reason)
		}
	}
	for name := range found {
		if !slices.Contains(all, name) {
			g.t.Errorf("%s is an error that AWS's model does not name", name)
		}
	}
}
