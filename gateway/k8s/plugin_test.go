package k8s_test

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	kmsapi "k8s.io/kms/apis/v2"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/gateway/k8s"
	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/kmstest"
	"github.com/kmsd/kmsd/internal/logtest"
	"github.com/kmsd/kmsd/internal/unixsocket"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// cluster is an API server's side of a plugin on a kmsd of its own.
type cluster struct {
	t      *testing.T
	kms    *kmstest.KMS
	key    *kmsv1.KeyMetadata
	user   client.Credentials
	socket string
	log    *logtest.Buffer
	api    kmsapi.KeyManagementServiceClient
}

const keyAlias = "alias/kubernetes"

// newCluster starts a kmsd with a key under keyAlias and a user who may use it.
func newCluster(t *testing.T, o *kmstest.Options) *cluster {
	t.Helper()
	c := &cluster{t: t, kms: kmstest.New(t, o), socket: filepath.Join(t.TempDir(), "k.sock"), log: &logtest.Buffer{}}
	c.key = c.kms.Key()
	c.point(keyAlias, c.key)
	c.user = c.kms.User("apiserver", kmstest.Allow([]string{"kms:Encrypt", "kms:Decrypt"}, c.key.GetArn()))
	return c
}

func (c *cluster) point(alias string, key *kmsv1.KeyMetadata) {
	c.t.Helper()
	if _, err := c.kms.Root().Keys().CreateAlias(c.t.Context(), kmsv1.CreateAliasRequest_builder{AliasName: alias, TargetKeyId: key.GetKeyId()}.Build()); err != nil {
		c.t.Fatal(err)
	}
}

// plugin starts a plugin as kmsd k8s-plugin does, with a health check for each Status, and connects to it.
func (c *cluster) plugin(keyID string) *k8s.Plugin {
	c.t.Helper()
	cl, err := client.New(client.Config{Credentials: c.user, Timeout: k8s.CallTimeout})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { cl.Close() })
	p := c.serve(k8s.Config{Crypto: cl.Crypto(), KeyID: keyID, Log: slog.New(slog.NewJSONHandler(c.log, nil)), Fresh: time.Nanosecond})
	c.api = connect(c.t, c.socket)
	return p
}

// serve starts a plugin on the socket. It is shut down when the test ends.
func (c *cluster) serve(cfg k8s.Config) *k8s.Plugin {
	c.t.Helper()
	return serve(c.t, c.socket, cfg)
}

func serve(t *testing.T, socket string, cfg k8s.Config) *k8s.Plugin {
	t.Helper()
	p, err := k8s.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := unixsocket.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		p.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return p
}

// connect is how the API server connects.
func connect(t *testing.T, socket string) kmsapi.KeyManagementServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///k8s", grpc.WithAuthority("localhost"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallSendMsgSize(8<<20)),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return net.Dial("unix", socket) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return kmsapi.NewKeyManagementServiceClient(conn)
}

// patience is how long the API server waits.
const patience = 3 * time.Second

func (c *cluster) status() *kmsapi.StatusResponse {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	s, err := c.api.Status(ctx, &kmsapi.StatusRequest{})
	if err != nil {
		c.t.Fatalf("Status = %v", err)
	}
	if s.GetVersion() != "v2" {
		c.t.Errorf("version = %q, want v2", s.GetVersion())
	}
	return s
}

// healthy wants a good Status, and returns the key_id.
func (c *cluster) healthy() string {
	c.t.Helper()
	s := c.status()
	if s.GetHealthz() != "ok" {
		c.t.Fatalf("healthz = %q, want ok", s.GetHealthz())
	}
	return s.GetKeyId()
}

// sick wants a Status that says why.
func (c *cluster) sick(says string) {
	c.t.Helper()
	if s := c.status(); s.GetHealthz() == "ok" || !strings.Contains(s.GetHealthz(), says) {
		c.t.Errorf("healthz = %q, want one that says %q", s.GetHealthz(), says)
	}
}

func (c *cluster) encrypt(plaintext string) (*kmsapi.EncryptResponse, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	return c.api.Encrypt(ctx, &kmsapi.EncryptRequest{Plaintext: []byte(plaintext), Uid: "uid-" + plaintext})
}

func (c *cluster) mustEncrypt(plaintext string) *kmsapi.EncryptResponse {
	c.t.Helper()
	e, err := c.encrypt(plaintext)
	if err != nil {
		c.t.Fatalf("Encrypt = %v", err)
	}
	return e
}

func (c *cluster) decrypt(e *kmsapi.EncryptResponse) (string, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	d, err := c.api.Decrypt(ctx, &kmsapi.DecryptRequest{Ciphertext: e.GetCiphertext(), KeyId: e.GetKeyId(), Annotations: e.GetAnnotations(), Uid: "uid"})
	return string(d.GetPlaintext()), err
}

// opens wants an encryption to decrypt to plaintext.
func (c *cluster) opens(e *kmsapi.EncryptResponse, plaintext string) {
	c.t.Helper()
	if got, err := c.decrypt(e); err != nil || got != plaintext {
		c.t.Errorf("Decrypt = %q, %v, want %q", got, err, plaintext)
	}
}

func (c *cluster) rotate() {
	c.t.Helper()
	if _, err := c.kms.Root().Keys().RotateKeyOnDemand(c.t.Context(), kmsv1.RotateKeyOnDemandRequest_builder{KeyId: c.key.GetKeyId()}.Build()); err != nil {
		c.t.Fatal(err)
	}
}

// eventually waits for what takes the client library some time, a reconnection.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// inside returns options of a kmsd with the plugin in it, once its key and user exist.
// pinned returns options that keep kmsd at the address of its first start.
func pinned(address *string) *kmstest.Options {
	return &kmstest.Options{Config: func(cfg *daemon.Config) {
		if *address != "" {
			cfg.Listen = *address
		}
	}}
}

func inside(socket, credentials *string) *kmstest.Options {
	return &kmstest.Options{Config: func(cfg *daemon.Config) {
		if *credentials != "" {
			cfg.K8s = daemon.K8sConfig{Socket: *socket, KeyID: keyAlias, CredentialsFile: *credentials}
		}
	}}
}
