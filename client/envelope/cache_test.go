package envelope

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/kmsd/kmsd/crypto"
)

// seal encrypts size bytes by way of c and returns how often the KMS has been asked for a key.
func seal(t testing.TB, kms *fakeKMS, c *Cache, size int, o EncryptOptions) int {
	t.Helper()
	got, err := decryptBytes(t, kms, mustEncrypt(t, c, noise(size), o), DecryptOptions{})
	if err != nil || len(got) != size {
		t.Fatalf("a message of %d bytes by way of the cache decrypts to %d bytes, %v", size, len(got), err)
	}
	return kms.called("GenerateDataKey")
}

func TestCacheIsBoundByMessages(t *testing.T) {
	for _, bound := range []int64{1, 2, 7} {
		kms := &fakeKMS{}
		c := NewCache(kms, CacheConfig{MaxMessages: bound})
		for i := range 30 {
			want := i/int(bound) + 1
			if got := seal(t, kms, c, 10, EncryptOptions{}); got != want {
				t.Errorf("with MaxMessages %d, message %d is the KMS's %d. data key, want %d.", bound, i+1, got, want)
			}
		}
		c.Close()
	}
}

func TestCacheIsBoundByBytes(t *testing.T) {
	kms := &fakeKMS{}
	c := NewCache(kms, CacheConfig{MaxBytes: 1000})
	defer c.Close()
	for _, step := range []struct {
		size, want int
	}{
		{400, 1},
		{600, 1}, // exactly
		{1, 2},
		{999, 2},
		{1000, 3},
		{500, 4},
		{501, 5},
		{100, 5},
		{1001, 6}, // more than any key is for: one of its own, and the other is kept
		{399, 6},
		{0, 7},
	} {
		if got := seal(t, kms, c, step.size, EncryptOptions{}); got != step.want {
			t.Errorf("%d bytes more took the KMS's %d. data key, want %d.", step.size, got, step.want)
		}
	}
}

// A message of more than a frame has no known length, and gets a key of its own.
func TestCacheIsNotUsedForStreams(t *testing.T) {
	kms := &fakeKMS{}
	c := NewCache(kms, CacheConfig{})
	defer c.Close()
	for i := range 3 {
		if got := seal(t, kms, c, MinFrameLength+1, EncryptOptions{FrameLength: MinFrameLength}); got != i+1 {
			t.Errorf("stream %d is the KMS's %d. data key, want one of its own", i+1, got)
		}
	}
	for range 2 {
		if got := seal(t, kms, c, MinFrameLength, EncryptOptions{FrameLength: MinFrameLength}); got != 4 {
			t.Errorf("a message of a whole frame is the KMS's %d. data key, want 4., for both", got)
		}
	}
	k, err := c.GenerateDataKey(t.Context(), "alias/a", nil)
	if err != nil || k.Plaintext.IsZero() || kms.called("GenerateDataKey") != 5 {
		t.Errorf("GenerateDataKey = %v, %v, want a fresh key", k, err)
	}
}

func TestCacheTellsCallsApart(t *testing.T) {
	kms := &fakeKMS{}
	c := NewCache(kms, CacheConfig{})
	defer c.Close()
	options := []EncryptOptions{
		{KeyID: "alias/a"},
		{KeyID: "alias/b"},
		{KeyID: arnA},
		{KeyID: "alias/a", Context: map[string]string{"a": "bc"}},
		{KeyID: "alias/a", Context: map[string]string{"ab": "c"}},
		{KeyID: "alias/a", Context: map[string]string{"a": "b", "c": ""}},
		{KeyID: "alias/a", Context: map[string]string{"a": "b", "c": "d"}},
	}
	for round := range 2 {
		for i, o := range options {
			want := i + 1
			if round > 0 {
				want = len(options)
			}
			if got := seal(t, kms, c, 10, o); got != want {
				t.Errorf("round %d, %v: %d data keys, want %d", round+1, o, got, want)
			}
		}
	}
}

// Keys and values that would run into one another without their lengths.
func TestCacheIDsAreUnambiguous(t *testing.T) {
	nine := "\x00\x00\x00\x00\x00\x00\x00\x09"
	zero := strings.Repeat("\x00", 8)
	ids := map[cacheID]int{}
	for i, context := range []map[string]string{
		nil, {"": ""}, {"a": ""}, {"": "a"}, {"a": "b" + zero}, {"a" + nine + "b": ""}, {"ab": "", "c": ""}, {"a": "", "bc": ""},
	} {
		for j, ciphertext := range [][]byte{nil, []byte("a"), []byte(nine)} {
			for k, key := range []string{"", "a", nine} {
				id := makeCacheID("decrypt", key, ciphertext, context)
				if other, ok := ids[id]; ok {
					t.Errorf("calls %d and %d have the same id", other, 100*i+10*j+k)
				}
				ids[id] = 100*i + 10*j + k
			}
		}
	}
}

func TestCacheIsBoundByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kms := &fakeKMS{before: func(context.Context, string) error { time.Sleep(time.Second); return nil }}
		c := NewCache(kms, CacheConfig{MaxAge: time.Minute})
		message := mustEncrypt(t, c, noise(10), EncryptOptions{}) // asked for at 0 s, there at 1 s
		step := func(at time.Duration, call string, wantCalls int) {
			t.Helper()
			if call == "GenerateDataKey" {
				mustEncrypt(t, c, noise(10), EncryptOptions{})
			} else if _, err := decryptBytes(t, c, message, DecryptOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := kms.called(call); got != wantCalls {
				t.Errorf("after %v: %d calls of %s, want %d", at, got, call, wantCalls)
			}
		}
		time.Sleep(59*time.Second - time.Nanosecond)
		step(time.Minute-1, "GenerateDataKey", 1)
		time.Sleep(time.Nanosecond)
		step(time.Minute, "GenerateDataKey", 2)

		step(0, "DecryptDataKey", 1)
		time.Sleep(59*time.Second - time.Nanosecond)
		step(time.Minute-1, "DecryptDataKey", 1)
		time.Sleep(time.Nanosecond)
		step(time.Minute, "DecryptDataKey", 2)
		c.Close()
	})
}

// An expired key is wiped when it expires, without anyone asking.
func TestCacheWipesKeys(t *testing.T) {
	kept := func(c *Cache) (secrets []crypto.Secret) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, el := range c.entries {
			secrets = append(secrets, el.Value.(*entry).key.Plaintext)
		}
		return secrets
	}
	fill := func(t *testing.T, c *Cache) crypto.Secret {
		mustEncrypt(t, c, noise(10), EncryptOptions{})
		secrets := kept(c)
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(secrets) != 1 || secrets[0].IsZero() {
			t.Fatalf("the cache keeps %d keys, want 1", len(secrets))
		}
		return secrets[0]
	}
	for name, end := range map[string]func(*testing.T, *Cache){
		"by age":      func(*testing.T, *Cache) { time.Sleep(time.Minute); synctest.Wait() },
		"by messages": func(t *testing.T, c *Cache) { mustEncrypt(t, c, noise(10), EncryptOptions{}) },
		"by bytes":    func(t *testing.T, c *Cache) { mustEncrypt(t, c, noise(990), EncryptOptions{}) },
		"by capacity": func(t *testing.T, c *Cache) { mustEncrypt(t, c, noise(10), EncryptOptions{KeyID: "alias/b"}) },
		"by Close":    func(_ *testing.T, c *Cache) { c.Close(); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kms := &fakeKMS{}
				c := NewCache(kms, CacheConfig{MaxAge: time.Minute, MaxMessages: 2, MaxBytes: 1000, Capacity: 1})
				secret := fill(t, c)
				end(t, c)
				c.mu.Lock()
				if !secret.IsZero() {
					t.Errorf("the cache still holds the key")
				}
				c.mu.Unlock()
				for i, k := range kms.made {
					if !k.IsZero() {
						t.Errorf("data key %d that the KMS gave out is still there", i)
					}
				}
				c.Close()
				mustEncrypt(t, c, noise(10), EncryptOptions{})
				if n := len(kept(c)); n != 0 {
					t.Errorf("the cache keeps %d keys after Close, want 0", n)
				}
			})
		})
	}
}

func TestCacheDropsTheKeyNotUsedForLongest(t *testing.T) {
	kms := &fakeKMS{}
	c := NewCache(kms, CacheConfig{Capacity: 2})
	defer c.Close()
	with := func(v string) EncryptOptions { return EncryptOptions{Context: map[string]string{"v": v}} }
	for _, step := range []struct {
		value string
		want  int
	}{{"1", 1}, {"2", 2}, {"1", 2}, {"3", 3}, {"1", 3}, {"2", 4}, {"3", 5}} {
		if got := seal(t, kms, c, 1, with(step.value)); got != step.want {
			t.Errorf("context %s took the KMS's %d. data key, want %d.", step.value, got, step.want)
		}
	}
}

func TestCacheDecrypts(t *testing.T) {
	kms := &fakeKMS{}
	c := NewCache(kms, CacheConfig{MaxMessages: 2, MaxBytes: 1000})
	defer c.Close()
	message := mustEncrypt(t, kms, noise(10*MinFrameLength), EncryptOptions{FrameLength: MinFrameLength})
	for range 5 {
		if _, err := decryptBytes(t, c, message, DecryptOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := kms.called("DecryptDataKey"); got != 1 {
		t.Errorf("5 messages under one data key took %d calls, want 1", got)
	}
	other := mustEncrypt(t, kms, noise(10), EncryptOptions{})
	if _, err := decryptBytes(t, c, other, DecryptOptions{}); err != nil || kms.called("DecryptDataKey") != 2 {
		t.Errorf("a message under another data key: %v after %d calls, want 2", err, kms.called("DecryptDataKey"))
	}
	if _, err := c.DecryptDataKey(t.Context(), arnB, []byte("x"), nil); !errors.Is(err, errFakeCiphertext) {
		t.Errorf("DecryptDataKey of nonsense = %v, want %v", err, errFakeCiphertext)
	}
	if _, err := c.DecryptDataKey(t.Context(), arnB, []byte("x"), nil); err == nil || kms.called("DecryptDataKey") != 4 {
		t.Errorf("a refusal was kept: %d calls, want 4", kms.called("DecryptDataKey"))
	}
}

func TestCacheAsksOnceForConcurrentCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kms := &fakeKMS{before: func(context.Context, string) error { time.Sleep(time.Second); return nil }}
		c := NewCache(kms, CacheConfig{})
		defer c.Close()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { mustEncrypt(t, c, noise(10), EncryptOptions{}) })
		}
		all.Wait()
		if got := kms.called("GenerateDataKey"); got != 1 {
			t.Errorf("50 messages at once took %d data keys, want 1", got)
		}
	})
}

func TestCacheSharesARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kms := &fakeKMS{before: func(context.Context, string) error { time.Sleep(time.Second); return errFakeDenied }}
		c := NewCache(kms, CacheConfig{})
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				_, err := c.DecryptDataKey(t.Context(), arnA, []byte("x"), nil)
				if !errors.Is(err, errFakeDenied) {
					t.Errorf("DecryptDataKey = %v, want %v", err, errFakeDenied)
				}
			})
		}
		all.Wait()
		if got := kms.called("DecryptDataKey"); got != 1 {
			t.Errorf("10 calls at once asked the KMS %d times, want 1", got)
		}
	})
}

// A caller who goes away does not take those who wait for the same key along, and who waits can go away too.
func TestCacheOutlivesACallerWhoGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kms := &fakeKMS{before: func(ctx context.Context, _ string) error {
			select {
			case <-time.After(10 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		c := NewCache(kms, CacheConfig{})
		defer c.Close()
		encrypt := func(ctx context.Context) error {
			_, err := Encrypt(ctx, c, io.Discard, bytes.NewReader(noise(10)), EncryptOptions{KeyID: "alias/a"})
			return err
		}
		first, leave := context.WithTimeout(t.Context(), 2*time.Second)
		defer leave()
		third, leaveToo := context.WithTimeout(t.Context(), time.Second)
		defer leaveToo()
		var all sync.WaitGroup
		all.Go(func() {
			if err := encrypt(first); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the call that left = %v, want %v", err, context.DeadlineExceeded)
			}
		})
		synctest.Wait()
		all.Go(func() {
			if err := encrypt(t.Context()); err != nil {
				t.Errorf("the call that waited = %v, want nil", err)
			}
		})
		all.Go(func() {
			start := time.Now()
			if err := encrypt(third); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Second {
				t.Errorf("the call that left while it waited = %v after %v, want %v", err, time.Since(start), context.DeadlineExceeded)
			}
		})
		all.Wait()
		if got := kms.called("GenerateDataKey"); got != 2 {
			t.Errorf("the KMS was asked %d times, want 2", got)
		}
	})
}

// A KMS that panics does not leave those who wait behind.
func TestCacheSurvivesAPanicOfTheKMS(t *testing.T) {
	kms := &fakeKMS{before: func(_ context.Context, _ string) error { panic("the KMS") }}
	c := NewCache(kms, CacheConfig{})
	defer c.Close()
	func() {
		defer func() {
			if recover() == nil {
				t.Errorf("the panic of the KMS did not reach the caller")
			}
		}()
		_, _ = c.DecryptDataKey(t.Context(), arnA, []byte("x"), nil)
	}()
	kms.before = nil
	if _, err := c.DecryptDataKey(t.Context(), arnA, []byte("x"), nil); !errors.Is(err, errFakeCiphertext) {
		t.Errorf("the next call = %v, want the KMS's answer", err)
	}
}

// Whatever happens in whatever order, no data key encrypts more than its bounds, nor when it is too old.
func TestCacheBoundsHoldForAnyHistory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		config := CacheConfig{
			MaxAge:      time.Duration(rapid.IntRange(1, 20).Draw(rt, "age")) * time.Second,
			MaxMessages: rapid.Int64Range(1, 5).Draw(rt, "messages"),
			MaxBytes:    rapid.Int64Range(1, 100).Draw(rt, "bytes"),
			Capacity:    rapid.IntRange(1, 3).Draw(rt, "capacity"),
		}
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [3]int {
			return [3]int{rapid.IntRange(0, 5).Draw(t, "seconds"), rapid.IntRange(0, 3).Draw(t, "key"), rapid.IntRange(0, 60).Draw(t, "size")}
		}), 1, 60).Draw(rt, "steps")
		if fault := replay(t, config, steps); fault != "" {
			rt.Fatal(fault)
		}
	})
}

// replay encrypts by way of a cache and returns what went wrong, if anything.
func replay(t *testing.T, config CacheConfig, steps [][3]int) (fault string) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(&fakeKMS{}, config)
		defer c.Close()
		type use struct {
			first           time.Time
			messages, bytes int64
		}
		uses := map[string]*use{} // :: encrypted data key → what was done with it
		for _, s := range steps {
			time.Sleep(time.Duration(s[0]) * time.Second)
			k, err := c.generateFor(t.Context(), "alias/a", map[string]string{"k": fmt.Sprint(s[1])}, int64(s[2]))
			if err != nil {
				fault = err.Error()
				return
			}
			u := uses[string(k.Ciphertext)]
			if u == nil {
				u = &use{first: time.Now()}
				uses[string(k.Ciphertext)] = u
			}
			u.messages++
			u.bytes += int64(s[2])
			// A message beyond MaxBytes by itself is alone under its key.
			if u.messages > config.MaxMessages || (u.bytes > config.MaxBytes && u.messages > 1) || time.Since(u.first) >= config.MaxAge {
				fault = fmt.Sprintf("%d messages, %d bytes, %v old, with %+v", u.messages, u.bytes, time.Since(u.first), config)
				return
			}
			c.mu.Lock()
			if len(c.entries) > config.Capacity || len(c.entries) != c.recent.Len() {
				fault = fmt.Sprintf("%d keys kept, %d in order, with %+v", len(c.entries), c.recent.Len(), config)
			}
			c.mu.Unlock()
		}
	})
	return fault
}

func TestCacheIsSafeForConcurrentUse(t *testing.T) {
	kms := &fakeKMS{}
	c := NewCache(kms, CacheConfig{MaxMessages: 3, MaxBytes: 100, Capacity: 2, MaxAge: time.Millisecond})
	var all sync.WaitGroup
	var messages atomic.Int64
	for g := range 8 {
		all.Go(func() {
			for i := range 100 {
				o := EncryptOptions{KeyID: "alias/a", Context: map[string]string{"v": fmt.Sprint((i + g) % 4)}}
				var message, back bytes.Buffer
				if _, err := Encrypt(t.Context(), c, &message, bytes.NewReader(noise(i)), o); err != nil {
					t.Errorf("Encrypt = %v, want nil", err)
				}
				if _, err := Decrypt(t.Context(), c, &back, &message, DecryptOptions{}); err != nil || back.Len() != i {
					t.Errorf("Decrypt = %v and %d bytes, want %d", err, back.Len(), i)
				}
				messages.Add(1)
			}
		})
	}
	all.Wait()
	c.Close()
	if asked := int64(kms.called("GenerateDataKey")); asked < messages.Load()/3 {
		t.Errorf("%d messages took %d data keys, want at least a third", messages.Load(), asked)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
