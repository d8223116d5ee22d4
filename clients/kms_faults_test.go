package clients

import (
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/kmstest"
)

// fullDisk is the files of an audit log on a disk that is full while full is set.
type fullDisk struct{ full atomic.Bool }

type fullFile struct {
	*os.File
	disk *fullDisk
}

func (d *fullDisk) open(path string, flag int, perm fs.FileMode) (audit.File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return &fullFile{f, d}, nil
}

func (f *fullFile) Write(p []byte) (int, error) {
	if f.disk.full.Load() {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(p)
}

func (f *fullFile) Datasync() error { return f.Sync() }

// faults wants the errors that only another time or a broken disk brings about: over a kmsd in this process, whose clock and disk the test has.
func (s *goSDK) faults(t *testing.T, tested map[string]bool) {
	clock, disk := kmstest.NewClock(), &fullDisk{}
	k := kmstest.New(t, &kmstest.Options{Clock: clock, OpenAudit: disk.open})
	c := kms.NewFromConfig(inProcessConfig(t, s, k))
	create := func(t *testing.T, in *kms.CreateKeyInput) *string {
		t.Helper()
		return must(c.CreateKey(t.Context(), in))(t).KeyMetadata.KeyId
	}
	for _, e := range []errorCase{
		{"ExpiredImportTokenException", typed[*types.ExpiredImportTokenException](), "", func(t *testing.T, _ *goSDK) error {
			_, err := importMaterial(t, c, create(t, &kms.CreateKeyInput{Origin: types.OriginTypeExternal}), make([]byte, 32), func(*kms.ImportKeyMaterialInput) {
				clock.Pass(25 * time.Hour)
			})
			return err
		}},
		{"ConflictException", typed[*types.ConflictException](), "", func(t *testing.T, _ *goSDK) error {
			key := create(t, &kms.CreateKeyInput{})
			must(c.EnableKeyRotation(t.Context(), &kms.EnableKeyRotationInput{KeyId: key, RotationPeriodInDays: aws.Int32(90)}))(t)
			clock.Pass(90*day - 5*time.Minute)
			_, err := c.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: key})
			return err
		}},
		{"KMSInternalException", typed[*types.KMSInternalException](), "", func(t *testing.T, _ *goSDK) error {
			key := create(t, &kms.CreateKeyInput{})
			disk.full.Store(true)
			defer disk.full.Store(false)
			_, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})
			return err
		}},
	} {
		tested[e.name] = true
		s.run(t, e.name, func(t *testing.T) { checkTyped(t, e, e.call(t, s)) })
	}
	s.run(t, "the SDK's retries outlast a full disk", func(t *testing.T) {
		disk.full.Store(true)
		time.AfterFunc(300*time.Millisecond, func() { disk.full.Store(false) })
		must(c.ListKeys(t.Context(), &kms.ListKeysInput{}, func(o *kms.Options) { o.RetryMaxAttempts = 10 }))(t)
	})
}

// inProcessConfig is the configuration of s for the root user of k.
func inProcessConfig(t *testing.T, s *goSDK, k *kmstest.KMS) aws.Config {
	t.Helper()
	root := k.Credentials()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(root.CA)) {
		t.Fatal("the credentials hold no certificate")
	}
	h := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}}
	t.Cleanup(h.CloseIdleConnections)
	c := s.as(static(root.AccessKeyID, string(root.SecretAccessKey.Expose()), ""))
	c.ConfigSources = nil // the environment, which names another kmsd
	c.HTTPClient, c.Region, c.BaseEndpoint = h, root.Region, aws.String(k.AWSEndpoint())
	return c
}
