package clients

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/klog/v2"
	"k8s.io/kms/pkg/service"
)

// plugin is a process of kmsd k8s-plugin.
type plugin struct {
	k      *kmsd
	socket string
	args   []string

	cmd    *exec.Cmd
	log    lockedBuffer
	exited chan struct{}
}

// newPlugin makes a key, a user who may use it, and a plugin that does.
func newPlugin(t *testing.T, k *kmsd) *plugin {
	t.Helper()
	arn := k.madeKey(t, "alias/kubernetes")
	u := k.accessKey(t, "kubernetes", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt"],"Resource":"`+arn+
		`","Condition":{"StringEquals":{"kms:EncryptionContext:kubernetes.io/kms-plugin":"kmsd"}}}]}`)
	dir, err := os.MkdirTemp("", "k8s-") // a short path: that of a socket has at most 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	p := &plugin{k: k, socket: filepath.Join(dir, "kms.sock")}
	p.args = []string{"k8s-plugin", "--socket", p.socket, "--key-id", arn, "--credentials-file", u.file}
	t.Cleanup(func() {
		p.stop(t)
		os.RemoveAll(dir)
	})
	p.start(t)
	return p
}

// start starts the process and waits for its socket.
func (p *plugin) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(filepath.Join(p.k.bin, "kmsd"), p.args...)
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.exited = make(chan struct{})
	go func() {
		defer close(p.exited)
		p.cmd.Wait()
	}()
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(p.socket); err == nil {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("the plugin does not open its socket: %s", tail(p.log.String()))
		}
	}
}

// stop stops the process, by its id.
func (p *plugin) stop(t *testing.T) {
	t.Helper()
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-p.exited
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the plugin ended with %d: %s", code, tail(p.log.String()))
	}
	p.cmd = nil
}

// apiServer is what an API server makes of an EncryptionConfiguration.
type apiServer struct {
	secrets value.Transformer
	health  healthz.HealthChecker
}

// newAPIServer loads the configuration of docs/kubernetes.md, as an API server does when it starts.
func newAPIServer(t *testing.T, p *plugin) *apiServer {
	t.Helper()
	file := writeFile(t, "encryption.yaml", `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets, configmaps]
  providers:
  - kms:
      apiVersion: v2
      name: kmsd
      endpoint: unix://`+p.socket+`
      timeout: 3s
  - identity: {}
`)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	c, err := encryptionconfig.LoadEncryptionConfig(ctx, file, false, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.HealthChecks) != 1 {
		t.Fatalf("%d health checks, want 1", len(c.HealthChecks))
	}
	secrets := c.Transformers[schema.GroupResource{Resource: "secrets"}]
	if secrets == nil {
		t.Fatal("nothing for secrets")
	}
	return &apiServer{secrets, c.HealthChecks[0]}
}

// path is what is authenticated beside a value: its key in etcd.
func path() value.Context { return value.DefaultContext("/registry/secrets/default/token") }

// check is the API server's /healthz/kms-providers.
func (a *apiServer) check(t *testing.T) error {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz/kms-providers", nil)
	if err != nil {
		t.Fatal(err)
	}
	return a.health.Check(request)
}

// until asks for the health until it is as wanted. The API server keeps an answer: 20 s if it is good, 3 s if not.
func (a *apiServer) until(t *testing.T, what string, good func(error) bool) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		err := a.check(t)
		if good(err) {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("the API server's health is still %v, want %s", err, what)
		}
	}
}

func (a *apiServer) untilHealthy(t *testing.T) {
	t.Helper()
	a.until(t, "good", func(err error) bool { return err == nil })
}

func (a *apiServer) untilSick(t *testing.T) {
	t.Helper()
	a.until(t, "bad", func(err error) bool { return err != nil })
}

// opened decrypts what etcd holds, and says whether it is to be written anew.
func (a *apiServer) opened(t *testing.T, stored []byte, want string) (stale bool) {
	t.Helper()
	plain, stale, err := a.secrets.TransformFromStorage(t.Context(), stored, path())
	if err != nil {
		t.Fatal(err)
	}
	if string(plain) != want {
		t.Errorf("decrypted %q, want %q", plain, want)
	}
	return stale
}

func (a *apiServer) stored(t *testing.T, plain string) []byte {
	t.Helper()
	stored, err := a.secrets.TransformToStorage(t.Context(), []byte(plain), path())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(stored, []byte("k8s:enc:kms:v2:kmsd:")) || bytes.Contains(stored, []byte(plain)) {
		t.Fatalf("what etcd gets begins with %q, or has the plaintext in it", stored[:min(len(stored), 24)])
	}
	return stored
}

// TestKubernetes runs the API server's side of KMS v2 against kmsd k8s-plugin.
func TestKubernetes(t *testing.T) {
	klog.SetLogger(logr.Discard())
	k := server(t)
	c := newClient(t, "k8s.io/apiserver kmsv2", versionOf(encryptionconfig.LoadEncryptionConfig))
	p := newPlugin(t, k)
	c.run(t, "the client of KMS v2 asks for the status, encrypts and decrypts", func(t *testing.T) { kmsService(t, k, p) })

	a := newAPIServer(t, p)
	var first []byte
	c.run(t, "an API server is healthy, encrypts and decrypts", func(t *testing.T) {
		a.untilHealthy(t)
		first = a.stored(t, "hunter2")
		want(t, "stale", a.opened(t, first, "hunter2"), false)
		if _, _, err := a.secrets.TransformFromStorage(t.Context(), first, value.DefaultContext("/registry/secrets/default/another")); err == nil {
			t.Error("a value decrypts in another's place")
		}
	})
	c.run(t, "a second API server reads what the first wrote", func(t *testing.T) {
		b := newAPIServer(t, p)
		b.untilHealthy(t)
		want(t, "stale", b.opened(t, first, "hunter2"), false)
	})
	c.run(t, "what stands in etcd unencrypted is read, and stale", func(t *testing.T) {
		want(t, "stale", a.opened(t, []byte("in clear"), "in clear"), true)
	})
	c.run(t, "a rotation is seen, makes what was written before stale, and leaves it readable", func(t *testing.T) {
		k.kmsctl(t, "key", "rotate", k.describe(t, "alias/kubernetes").ID)
		for until := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
			if err := a.check(t); err != nil {
				t.Fatal(err)
			}
			if a.opened(t, first, "hunter2") {
				break
			}
			if time.Now().After(until) {
				t.Fatal("the API server has not seen the rotation")
			}
		}
		next := a.stored(t, "hunter3")
		want(t, "stale", a.opened(t, next, "hunter3"), false)
		if material := k.describe(t, "alias/kubernetes").Material; !bytes.Contains(next, []byte(material)) || bytes.Contains(first, []byte(material)) {
			t.Error("what was written after the rotation does not name the version, or what was written before does")
		}
	})
	c.run(t, "a disabled key is seen, and so is that it is enabled", func(t *testing.T) {
		id := k.describe(t, "alias/kubernetes").ID
		k.kmsctl(t, "key", "disable", id)
		a.untilSick(t)
		k.kmsctl(t, "key", "enable", id)
		a.untilHealthy(t)
	})
	c.run(t, "a plugin that is away is seen, and so is that it is back", func(t *testing.T) {
		p.stop(t)
		a.untilSick(t)
		want(t, "stale, with the seed in memory", a.opened(t, first, "hunter2"), true)
		p.start(t)
		a.untilHealthy(t)
		b := newAPIServer(t, p)
		b.untilHealthy(t)
		want(t, "stale", b.opened(t, first, "hunter2"), true)
	})
	c.run(t, "the log of the plugin has no plaintext", func(t *testing.T) {
		if log := p.log.String(); strings.Contains(log, "hunter") || log == "" {
			t.Errorf("the log is empty, or has a plaintext: %s", tail(log))
		}
	})
}

// kmsService calls the plugin by the API server's client of KMS v2.
func kmsService(t *testing.T, k *kmsd, p *plugin) {
	t.Helper()
	ctx := t.Context()
	s, err := kmsv2.NewGRPCService(ctx, "unix://"+p.socket, "kmsd", 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	st := must(s.Status(ctx))(t)
	key := k.describe(t, "alias/kubernetes")
	want(t, "Version", st.Version, "v2")
	want(t, "Healthz", st.Healthz, "ok")
	if !strings.Contains(st.KeyID, key.Arn) || !strings.Contains(st.KeyID, key.Material) {
		t.Errorf("KeyID %q does not name the key %s and its version %s", st.KeyID, key.Arn, key.Material)
	}
	for i := range 3 {
		plain := fmt.Appendf(nil, "seed of 32 bytes, number %08d", i)
		sealed := must(s.Encrypt(ctx, fmt.Sprint("uid-", i), plain))(t)
		want(t, "KeyID of Encrypt", sealed.KeyID, st.KeyID)
		if _, err := kmsv2.ValidateKeyID(sealed.KeyID); err != nil {
			t.Error(err)
		}
		if len(sealed.Ciphertext) >= 1024 {
			t.Errorf("the ciphertext has %d bytes, want less than 1024", len(sealed.Ciphertext))
		}
		opened := must(s.Decrypt(ctx, fmt.Sprint("uid-", i), &service.DecryptRequest{Ciphertext: sealed.Ciphertext, KeyID: sealed.KeyID, Annotations: sealed.Annotations}))(t)
		want(t, "plaintext", string(opened), string(plain))
		_, err := s.Decrypt(ctx, "uid", &service.DecryptRequest{Ciphertext: sealed.Ciphertext, KeyID: "another"})
		want(t, "code of Decrypt with another's key_id", status.Code(err), codes.InvalidArgument)
		sealed.Ciphertext[len(sealed.Ciphertext)-1] ^= 1
		if _, err := s.Decrypt(ctx, "uid", &service.DecryptRequest{Ciphertext: sealed.Ciphertext, KeyID: sealed.KeyID}); err == nil {
			t.Error("Decrypt of what was altered succeeds")
		}
	}
}
