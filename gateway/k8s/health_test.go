package k8s

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// fake is a kmsd whose ciphertexts are their plaintexts.
type fake struct {
	kmsv1.CryptoServiceClient
	encrypts atomic.Int32
	encrypt  func(ctx context.Context, n int32) (under version, err error)
	decrypt  func(material string, in []byte) []byte
}

func (f *fake) Encrypt(ctx context.Context, r *kmsv1.EncryptRequest, _ ...grpc.CallOption) (*kmsv1.EncryptResponse, error) {
	under, err := f.encrypt(ctx, f.encrypts.Add(1))
	if err != nil {
		return nil, err
	}
	return kmsv1.EncryptResponse_builder{CiphertextBlob: append([]byte(under.material[:1]), r.GetPlaintext()...), KeyId: under.key, KeyMaterialId: under.material}.Build(), nil
}

func (f *fake) Decrypt(_ context.Context, r *kmsv1.DecryptRequest, _ ...grpc.CallOption) (*kmsv1.DecryptResponse, error) {
	b := r.GetCiphertextBlob()
	out := b[1:]
	if f.decrypt != nil {
		out = f.decrypt(string(b[:1]), out)
	}
	return kmsv1.DecryptResponse_builder{Plaintext: out, KeyId: testKey, KeyMaterialId: strings.Repeat(string(b[:1]), 64)}.Build(), nil
}

func newFake(t *testing.T, f *fake) *Plugin {
	t.Helper()
	p, err := New(Config{Crypto: f, KeyID: "alias/kubernetes", Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func healthOf(t *testing.T, p *Plugin) (healthz, keyID string) {
	t.Helper()
	s, err := p.Status(t.Context(), &kmsapi.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return s.GetHealthz(), s.GetKeyId()
}

// TestOneCheckForAll: calls of Status at a time share one encryption, and those within a second its result.
func TestOneCheckForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{encrypt: func(context.Context, int32) (version, error) { time.Sleep(time.Second); return material("a"), nil }}
		p := newFake(t, f)
		defer p.Shutdown(t.Context())
		ask := func(n int) {
			var all sync.WaitGroup
			for range n {
				all.Go(func() {
					if healthz, id := healthOf(t, p); healthz != "ok" || id != material("a").String() {
						t.Errorf("Status = %q, %q", healthz, id)
					}
				})
			}
			all.Wait()
		}
		for i, row := range []struct {
			after time.Duration
			want  int32
		}{{0, 1}, {900 * time.Millisecond, 1}, {time.Second, 2}} {
			time.Sleep(row.after)
			ask(50)
			if got := f.encrypts.Load(); got != row.want {
				t.Errorf("round %d: %d encryptions, want %d", i, got, row.want)
			}
		}
	})
}

// TestChecksEnd: a kmsd that does not answer makes Status unhealthy before the API server gives up, and a caller that goes away waits no longer.
func TestChecksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFake(t, &fake{encrypt: func(ctx context.Context, _ int32) (version, error) { <-ctx.Done(); return version{}, ctx.Err() }})
		defer p.Shutdown(t.Context())
		began := time.Now()
		if healthz, id := healthOf(t, p); !strings.Contains(healthz, "did not answer within 2s") || id != "" || time.Since(began) != CallTimeout {
			t.Errorf("Status = %q, %q after %v, want that kmsd did not answer, after %v", healthz, id, time.Since(began), CallTimeout)
		}
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := p.Status(ctx, &kmsapi.StatusRequest{}); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("Status with a millisecond = %v, want DeadlineExceeded", err)
		}
	})
}

// TestVersionOfStatus: Status tells the version that Encrypt saw last, after a check of it, and not the one of a check that began before.
func TestVersionOfStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.encrypt = func(_ context.Context, n int32) (version, error) {
			if n == 1 {
				time.Sleep(time.Second) // answers last, of what was there first
				return material("a"), nil
			}
			return material("b"), nil
		}
		p := newFake(t, f)
		defer p.Shutdown(t.Context())
		var asking sync.WaitGroup
		asking.Go(func() {
			if healthz, id := healthOf(t, p); healthz != "ok" || id != material("b").String() {
				t.Errorf("Status = %q, %q, want ok and version b", healthz, id)
			}
		})
		time.Sleep(time.Millisecond)
		e, err := p.Encrypt(t.Context(), &kmsapi.EncryptRequest{Plaintext: []byte("seed")})
		if err != nil || e.GetKeyId() != material("b").String() {
			t.Errorf("Encrypt = %v, %v, want version b", e.GetKeyId(), err)
		}
		asking.Wait()
	})
}

// TestHealthOfTheVersion: a check of a version that was left meanwhile says nothing of the one that is current.
func TestHealthOfTheVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{encrypt: func(_ context.Context, n int32) (version, error) {
			if n == 1 {
				return material("a"), nil
			}
			return material("b"), nil
		}}
		f.decrypt = func(material string, in []byte) []byte {
			if material == "b" {
				return nil
			}
			time.Sleep(time.Second)
			return in
		}
		p := newFake(t, f)
		defer p.Shutdown(t.Context())
		var asking sync.WaitGroup
		asking.Go(func() {
			if healthz, id := healthOf(t, p); healthz == "ok" || id != material("b").String() {
				t.Errorf("Status = %q, %q, want that version b cannot be decrypted", healthz, id)
			}
		})
		time.Sleep(time.Millisecond)
		if _, err := p.Encrypt(t.Context(), &kmsapi.EncryptRequest{Plaintext: []byte("seed")}); err != nil {
			t.Error(err)
		}
		asking.Wait()
	})
}

// TestBadAnswers: what a kmsd that is not well says makes the plugin unhealthy.
func TestBadAnswers(t *testing.T) {
	good := func(context.Context, int32) (version, error) { return material("a"), nil }
	for _, row := range []struct {
		name string
		kmsd *fake
		says string
	}{
		{"another plaintext", &fake{encrypt: good, decrypt: func(_ string, b []byte) []byte { b[0] ^= 1; return b }}, "decrypts to something else"},
		{"no plaintext", &fake{encrypt: good, decrypt: func(string, []byte) []byte { return nil }}, "decrypts to something else"},
		{"no version", &fake{encrypt: func(context.Context, int32) (version, error) { return version{testKey, "x"}, nil }}, "does not know"},
		{"an error of gRPC", &fake{encrypt: func(context.Context, int32) (version, error) {
			return version{}, status.Error(codes.Unavailable, "gone")
		}}, "gone"},
		{"an error of the client", &fake{encrypt: func(context.Context, int32) (version, error) { return version{}, io.ErrUnexpectedEOF }}, "unexpected EOF"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newFake(t, row.kmsd)
			defer p.Shutdown(t.Context())
			if healthz, _ := healthOf(t, p); healthz == "ok" || !strings.Contains(healthz, row.says) {
				t.Errorf("healthz = %q, want one that says %q", healthz, row.says)
			}
		})
	}
}

// TestVersionThatComesBack: an encryption under a version that was left is not handed out.
func TestVersionThatComesBack(t *testing.T) {
	f := &fake{encrypt: func(_ context.Context, n int32) (version, error) {
		if n == 2 {
			return material("b"), nil
		}
		return material("a"), nil
	}}
	p := newFake(t, f)
	defer p.Shutdown(t.Context())
	for i, want := range []codes.Code{codes.OK, codes.OK, codes.Aborted} {
		if e, err := p.Encrypt(t.Context(), &kmsapi.EncryptRequest{Plaintext: []byte("seed")}); status.Code(err) != want {
			t.Errorf("encryption %d = under %q, %v, want %v", i, e.GetKeyId(), err, want)
		}
	}
	if got := p.versions.now(); got != material("b") {
		t.Errorf("the current version is %v, want b", got)
	}
}

// TestStatusAfterShutdown: nothing begins any more.
func TestStatusAfterShutdown(t *testing.T) {
	f := &fake{encrypt: func(context.Context, int32) (version, error) { return material("a"), nil }}
	p := newFake(t, f)
	p.Shutdown(t.Context())
	p.Shutdown(t.Context())
	if healthz, _ := healthOf(t, p); !strings.Contains(healthz, "stopping") || f.encrypts.Load() != 0 {
		t.Errorf("healthz = %q after %d encryptions, want that the plugin is stopping, and none", healthz, f.encrypts.Load())
	}
}
