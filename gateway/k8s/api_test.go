package k8s_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	kmsapi "k8s.io/kms/apis/v2"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/internal/kmstest"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// TestSeeds: what the API server does with a plugin, on kmsd k8s-plugin and inside kmsd.
func TestSeeds(t *testing.T) {
	for _, row := range []struct {
		name   string
		inside bool
		start  func(t *testing.T) *cluster
	}{
		{"beside kmsd", false, func(t *testing.T) *cluster {
			c := newCluster(t, nil)
			c.plugin(keyAlias)
			return c
		}},
		{"inside kmsd", true, func(t *testing.T) *cluster {
			var socket, credentials string
			c := newCluster(t, inside(&socket, &credentials))
			socket, credentials = c.socket, c.kms.CredentialsFile(c.user)
			c.kms.Restart()
			c.api = connect(t, c.socket)
			return c
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := row.start(t)
			id := c.healthy()
			if want := c.key.GetArn() + "/"; !strings.HasPrefix(id, want) || len(id) != len(want)+64 {
				t.Errorf("key_id = %q, want %q and the id of the material", id, want)
			}
			e := c.mustEncrypt("seed")
			if e.GetKeyId() != id || len(e.GetCiphertext()) == 0 || len(e.GetCiphertext()) >= 1024 || len(e.GetAnnotations()) != 0 {
				t.Errorf("Encrypt = %d bytes under %q with %d annotations, want 1 to 1023 bytes under %q and none", len(e.GetCiphertext()), e.GetKeyId(), len(e.GetAnnotations()), id)
			}
			c.opens(e, "seed")
			c.rotate()
			next := c.mustEncrypt("another")
			if next.GetKeyId() == id || c.healthy() != next.GetKeyId() {
				t.Errorf("key_id after a rotation: Encrypt has %q, Status %q, before it was %q", next.GetKeyId(), c.healthy(), id)
			}
			c.opens(e, "seed")
			c.opens(next, "another")
			recorded(t, c, row.inside)
		})
	}
}

// recorded wants the calls in the audit log, as the user's, with the front if the plugin is inside kmsd, and with the encryption context.
func recorded(t *testing.T, c *cluster, inside bool) {
	t.Helper()
	for _, name := range []string{"Encrypt", "Decrypt"} {
		events := c.kms.Events(audit.Filter{})
		events = slices.DeleteFunc(events, func(r audit.Record) bool { return r.EventName != name })
		if len(events) == 0 {
			t.Fatalf("no %s in the audit log", name)
		}
		for _, r := range events {
			raw := string(r.Raw)
			if through := strings.Contains(raw, `"front":"k8s"`); r.Actor.UserName != "apiserver" || through != inside || !strings.Contains(raw, `"kubernetes.io/kms-plugin":"kmsd"`) {
				t.Errorf("%s by %q, through the front k8s: %v, want by apiserver, %v, with the encryption context: %s", name, r.Actor.UserName, through, inside, raw)
			}
		}
	}
}

func TestDisabledKey(t *testing.T) {
	c := newCluster(t, nil)
	c.plugin(c.key.GetKeyId())
	e := c.mustEncrypt("seed")
	if _, err := c.kms.Root().Keys().DisableKey(t.Context(), kmsv1.DisableKeyRequest_builder{KeyId: c.key.GetKeyId()}.Build()); err != nil {
		t.Fatal(err)
	}
	c.sick("kmsctl key enable")
	if _, err := c.encrypt("another"); err == nil || !strings.Contains(err.Error(), "DisabledException") {
		t.Errorf("Encrypt with a disabled key = %v, want DisabledException", err)
	}
	if got, err := c.decrypt(e); err == nil || got != "" {
		t.Errorf("Decrypt with a disabled key = %q, %v", got, err)
	}
	if _, err := c.kms.Root().Keys().EnableKey(t.Context(), kmsv1.EnableKeyRequest_builder{KeyId: c.key.GetKeyId()}.Build()); err != nil {
		t.Fatal(err)
	}
	if id := c.healthy(); id != e.GetKeyId() {
		t.Errorf("key_id = %q after the key was enabled, want %q as before", id, e.GetKeyId())
	}
	c.opens(e, "seed")
}

// TestPermission: healthy only with both permissions, of the plugin's own encryption context.
func TestPermission(t *testing.T) {
	c := newCluster(t, nil)
	only := func(action, context string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` + action + `,"Resource":"` + c.key.GetArn() +
			`","Condition":{"StringEquals":{"kms:EncryptionContext:kubernetes.io/kms-plugin":"` + context + `"}}}]}`
	}
	both := `["kms:Encrypt","kms:Decrypt"]`
	for _, row := range []struct{ name, policy, says string }{
		{"may nothing", "", "allow kms:Encrypt and kms:Decrypt"},
		{"may only encrypt", only(`"kms:Encrypt"`, "kmsd"), "decrypting: "},
		{"may only decrypt", only(`"kms:Decrypt"`, "kmsd"), "encrypting: "},
		{"may both with another context", only(both, "other"), "AccessDeniedException"},
		{"may both with the context of the plugin", only(both, "kmsd"), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			policies := []string{}
			if row.policy != "" {
				policies = append(policies, row.policy)
			}
			one := *c
			one.t, one.user, one.socket = t, c.kms.User(strings.ReplaceAll(row.name, " ", "-"), policies...), t.TempDir()+"/s"
			one.plugin(keyAlias)
			if row.says == "" {
				one.opens(one.mustEncrypt("seed"), "seed")
				one.healthy()
				return
			}
			one.sick(row.says)
		})
	}
}

// TestOtherKeys: an alias that is pointed elsewhere makes the plugin unhealthy and changes nothing else; ciphertexts of other keys, and of other uses of the key,
// are refused although the user may decrypt them.
func TestOtherKeys(t *testing.T) {
	c := newCluster(t, nil)
	other := c.kms.Key()
	c.user = c.kms.User("both", kmstest.Allow([]string{"kms:Encrypt", "kms:Decrypt"}, c.key.GetArn(), other.GetArn()))
	c.plugin(keyAlias)
	e := c.mustEncrypt("seed")
	c.refusesForeign(e, other)
	c.movesAlias(e, other)
}

func (c *cluster) refusesForeign(e *kmsapi.EncryptResponse, other *kmsv1.KeyMetadata) {
	c.t.Helper()
	root := c.kms.Root().Crypto()
	seal := func(key string, context map[string]string) (blob []byte, keyID string) {
		out, err := root.Encrypt(c.t.Context(), kmsv1.EncryptRequest_builder{KeyId: key, Plaintext: []byte("secret"), EncryptionContext: context}.Build())
		if err != nil {
			c.t.Fatal(err)
		}
		return out.GetCiphertextBlob(), out.GetKeyId() + "/" + out.GetKeyMaterialId()
	}
	context := map[string]string{"kubernetes.io/kms-plugin": "kmsd"}
	foreign, foreignID := seal(other.GetKeyId(), context)
	unbound, _ := seal(c.key.GetKeyId(), nil)
	for _, row := range []struct {
		name, keyID string
		ciphertext  []byte
		says        string
	}{
		{"another key's, and its key_id", foreignID, foreign, "another key than the plugin's"},
		{"another key's, with our key_id", e.GetKeyId(), foreign, "IncorrectKeyException"},
		{"ours, with another key's key_id", foreignID, e.GetCiphertext(), "another key than the plugin's"},
		{"ours, made for something else", e.GetKeyId(), unbound, "InvalidCiphertextException"},
		{"ours, under a version that is not its own", c.key.GetArn() + "/" + strings.Repeat("0", 64), e.GetCiphertext(), "not made under the key_id"},
	} {
		got, err := c.decrypt(&kmsapi.EncryptResponse{Ciphertext: row.ciphertext, KeyId: row.keyID})
		if err == nil || got != "" || !strings.Contains(err.Error(), "InvalidArgument") || !strings.Contains(err.Error(), row.says) {
			c.t.Errorf("%s: Decrypt = %q, %v, want InvalidArgument and %q", row.name, got, err, row.says)
		}
	}
}

func (c *cluster) movesAlias(e *kmsapi.EncryptResponse, other *kmsv1.KeyMetadata) {
	c.t.Helper()
	point := func(to *kmsv1.KeyMetadata) {
		if _, err := c.kms.Root().Keys().UpdateAlias(c.t.Context(), kmsv1.UpdateAliasRequest_builder{AliasName: keyAlias, TargetKeyId: to.GetKeyId()}.Build()); err != nil {
			c.t.Fatal(err)
		}
	}
	point(other)
	c.sick("points to another key")
	if _, err := c.encrypt("another"); err == nil || !strings.Contains(err.Error(), "points to another key") {
		c.t.Errorf("Encrypt after the alias was moved = %v, want that said", err)
	}
	c.opens(e, "seed")
	if id := c.status().GetKeyId(); id != e.GetKeyId() {
		c.t.Errorf("key_id after the alias was moved = %q, want %q", id, e.GetKeyId())
	}
	point(c.key)
	if id := c.healthy(); id != e.GetKeyId() {
		c.t.Errorf("key_id after the alias was moved back = %q, want %q", id, e.GetKeyId())
	}
}

// TestAway: kmsd goes and comes back, beside the plugin.
func TestAway(t *testing.T) {
	var address string
	c := newCluster(t, pinned(&address))
	address = c.kms.Address()
	c.user.Endpoint = address
	c.plugin(keyAlias)
	e := c.mustEncrypt("seed")
	c.kms.Stop()
	began := time.Now()
	c.sick("kmsd cannot be reached")
	if took := time.Since(began); took > patience-500*time.Millisecond {
		t.Errorf("Status took %v while kmsd is away, which the API server does not wait for", took)
	}
	if got, err := c.decrypt(e); err == nil || got != "" {
		t.Errorf("Decrypt while kmsd is away = %q, %v", got, err)
	}
	if id := c.status().GetKeyId(); id != e.GetKeyId() {
		t.Errorf("key_id while kmsd is away = %q, want %q", id, e.GetKeyId())
	}
	c.kms.Start()
	eventually(t, "healthy again", func() bool { return c.status().GetHealthz() == "ok" })
	c.opens(e, "seed")
	if id := c.healthy(); id != e.GetKeyId() {
		t.Errorf("key_id after kmsd came back = %q, want %q", id, e.GetKeyId())
	}
	quiet(t, c)
}

// quiet wants no plaintext in a log.
func quiet(t *testing.T, c *cluster) {
	t.Helper()
	log := strings.ReplaceAll(c.log.String(), "uid-seed", "")
	if log == "" || !strings.Contains(log, `"request_id":"`) {
		t.Errorf("the log names no request: %s", log)
	}
	for _, s := range []string{"seed", "c2VlZA", "73656564"} {
		if strings.Contains(log, s) || strings.Contains(c.kms.Log(), s) {
			t.Errorf("a log has %q, the plaintext:\n%s", s, log)
		}
	}
}

// TestRotationUnderLoad: what Encrypt returns is never older than what anybody saw before, Status is never behind Encrypt, and all of it decrypts.
func TestRotationUnderLoad(t *testing.T) {
	const rotations, writers = 4, 4
	c := newCluster(t, nil)
	c.plugin(keyAlias)
	log := &sightings{order: map[string]int{}}
	done := make(chan struct{})
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				before := log.latest()
				e, err := c.encrypt("seed")
				if err != nil {
					t.Errorf("Encrypt = %v", err)
					return
				}
				log.see(t, "Encrypt", e.GetKeyId(), before)
				before = log.latest()
				log.see(t, "Status", c.status().GetKeyId(), before)
				if i%4 == 0 {
					c.opens(e, "seed")
				}
			}
		})
	}
	first := c.healthy()
	for range rotations {
		c.rotate()
		time.Sleep(100 * time.Millisecond)
	}
	close(done)
	writing.Wait()
	if log.distinct() != rotations+1 || c.healthy() == first {
		t.Errorf("%d key_ids after %d rotations, the last %q, the first %q", log.distinct(), rotations, c.healthy(), first)
	}
}

// sightings are the key_ids in the order in which they were first seen.
type sightings struct {
	mu    sync.Mutex
	order map[string]int
	last  int
}

func (s *sightings) latest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *sightings) distinct() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.order)
}

// see wants id to be no older than the latest that was known before the call began.
func (s *sightings) see(t *testing.T, call, id string, before int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, known := s.order[id]
	if !known {
		n = s.last + 1
		s.order[id], s.last = n, n
	}
	if n < before {
		t.Errorf("%s = version %d after version %d was known", call, n, before)
	}
}
