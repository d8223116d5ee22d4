package envelope

import (
	"bytes"
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kmsd/kmsd/crypto"
)

// CacheConfig bounds how long and for how much a Cache uses a data key again.
type CacheConfig struct {
	// MaxAge is how long a data key is used, counted from the moment it was asked for. Zero or less means 5 minutes.
	MaxAge time.Duration
	// MaxMessages is how many messages are encrypted under a data key. Zero or less means 100.
	MaxMessages int64
	// MaxBytes is how many bytes of plaintext are encrypted under a data key. Zero or less means 64 MiB.
	MaxBytes int64
	// Capacity is how many data keys are kept; the one not used for longest goes first. Zero or less means 100.
	Capacity int
}

// Cache is a KMS that asks another one less often: it uses a data key for several messages, and keeps data keys it
// decrypted. It is safe for concurrent use; calls for one and the same data key ask the KMS once. Nothing is cached unless
// a program makes a Cache and passes it to Encrypt or Decrypt.
//
// The price: while a data key is kept, the KMS is not asked, so it neither refuses nor records. A key disabled, a
// permission withdrawn or an alias moved takes effect after at most MaxAge. More messages share the fate of one data key.
//
// Encryption: Encrypt takes a kept key, by key id as it was given and encryption context, for messages of one frame,
// whose length is known before they are begun; so MaxMessages and MaxBytes are never exceeded. Longer messages get a data
// key of their own. Decryption: by key ARN, ciphertext and encryption context; MaxAge and Capacity bound it.
//
// Every caller gets a copy of the key. The Cache wipes its own at the moment a bound is reached.
type Cache struct {
	kms    KMS
	config CacheConfig

	mu      sync.Mutex // guards what follows
	entries map[cacheID]*list.Element
	flights map[cacheID]*flight
	recent  list.List // of *entry, the one used last in front
	closed  bool
}

var _ KMS = (*Cache)(nil)

// cacheID is a digest of everything that makes two calls the same.
type cacheID [sha256.Size]byte

// entry is a data key that is kept.
type entry struct {
	id              cacheID
	key             DataKey
	expires         time.Time
	expiry          *time.Timer
	messages, bytes int64 // encrypted under it
}

// flight is a call of the KMS that others wait for.
type flight struct {
	done chan struct{} // closed at its end
	err  error         // the KMS's refusal; nil too if the caller went away: then those who wait ask themselves
}

// NewCache returns a Cache before kms. Close it to wipe its keys.
func NewCache(kms KMS, config CacheConfig) *Cache {
	if config.MaxAge <= 0 {
		config.MaxAge = 5 * time.Minute
	}
	if config.MaxMessages <= 0 {
		config.MaxMessages = 100
	}
	if config.MaxBytes <= 0 {
		config.MaxBytes = 64 << 20
	}
	if config.Capacity <= 0 {
		config.Capacity = 100
	}
	return &Cache{kms: kms, config: config, entries: map[cacheID]*list.Element{}, flights: map[cacheID]*flight{}}
}

// Close wipes all keys. Calls afterwards go to the KMS, and nothing is kept any more. It may be called more than once.
func (c *Cache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, el := range c.entries {
		c.removeLocked(el)
	}
}

// GenerateDataKey asks the KMS: how much its caller will encrypt is not known, so the bounds could not be kept.
func (c *Cache) GenerateDataKey(ctx context.Context, keyID string, encryptionContext map[string]string) (DataKey, error) {
	return c.kms.GenerateDataKey(ctx, keyID, encryptionContext)
}

// generateFor returns a data key for one message of size bytes.
func (c *Cache) generateFor(ctx context.Context, keyID string, encryptionContext map[string]string, size int64) (DataKey, error) {
	ask := func() (DataKey, error) { return c.kms.GenerateDataKey(ctx, keyID, encryptionContext) }
	if size > c.config.MaxBytes || c.config.MaxMessages == 1 {
		return ask()
	}
	return c.key(ctx, makeCacheID("generate", keyID, nil, encryptionContext), size, ask)
}

// DecryptDataKey returns the data key that ciphertext holds, from the cache or the KMS.
func (c *Cache) DecryptDataKey(ctx context.Context, keyARN string, ciphertext []byte, encryptionContext map[string]string) (DataKey, error) {
	return c.key(ctx, makeCacheID("decrypt", keyARN, ciphertext, encryptionContext), noMessage, func() (DataKey, error) {
		return c.kms.DecryptDataKey(ctx, keyARN, ciphertext, encryptionContext)
	})
}

// noMessage is the size of what is not encrypted under a key.
const noMessage = -1

// key returns the data key id, with size bytes charged to it, from the cache or by asking.
func (c *Cache) key(ctx context.Context, id cacheID, size int64, ask func() (DataKey, error)) (DataKey, error) {
	for {
		c.mu.Lock()
		if k, ok := c.useLocked(id, size); ok {
			c.mu.Unlock()
			return k, nil
		}
		other := c.flights[id]
		if other == nil {
			own := &flight{done: make(chan struct{})}
			c.flights[id] = own
			c.mu.Unlock()
			return c.fetch(ctx, id, size, own, ask)
		}
		c.mu.Unlock()
		select {
		case <-other.done:
		case <-ctx.Done():
			return DataKey{}, ctx.Err()
		}
		if other.err != nil {
			return DataKey{}, other.err
		}
	}
}

// useLocked returns a copy of a kept key, if it is within its bounds with one more message of size bytes. A key that is
// not, or no longer after that message, is wiped.
func (c *Cache) useLocked(id cacheID, size int64) (DataKey, bool) {
	el, ok := c.entries[id]
	if !ok {
		return DataKey{}, false
	}
	e := el.Value.(*entry)
	if !time.Now().Before(e.expires) || !c.charge(e, size) {
		c.removeLocked(el)
		return DataKey{}, false
	}
	k := e.key.clone()
	c.recent.MoveToFront(el)
	if c.spent(e) {
		c.removeLocked(el)
	}
	return k, true
}

// charge adds a message of size bytes to what was encrypted under e, unless that is beyond its bounds.
func (c *Cache) charge(e *entry, size int64) bool {
	if size == noMessage {
		return true
	}
	if e.messages >= c.config.MaxMessages || size > c.config.MaxBytes-e.bytes {
		return false
	}
	e.messages++
	e.bytes += size
	return true
}

func (c *Cache) spent(e *entry) bool {
	return e.messages >= c.config.MaxMessages || e.bytes >= c.config.MaxBytes
}

// fetch asks the KMS, keeps a copy of the answer, and ends the flight.
func (c *Cache) fetch(ctx context.Context, id cacheID, size int64, own *flight, ask func() (DataKey, error)) (k DataKey, err error) {
	defer func() { // even if ask panics
		c.mu.Lock()
		delete(c.flights, id)
		c.mu.Unlock()
		close(own.done)
	}()
	asked := time.Now()
	k, err = ask()
	if err != nil {
		if ctx.Err() == nil {
			own.err = err
		}
		return DataKey{}, err
	}
	c.keep(&entry{id: id, key: k.clone(), expires: asked.Add(c.config.MaxAge)}, size)
	return k, nil
}

// keep stores e, of which size bytes are used already.
func (c *Cache) keep(e *entry, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.charge(e, size) || c.spent(e) || !time.Now().Before(e.expires) {
		e.key.Plaintext.Wipe()
		return
	}
	for len(c.entries) >= c.config.Capacity {
		c.removeLocked(c.recent.Back())
	}
	el := c.recent.PushFront(e)
	c.entries[e.id] = el
	e.expiry = time.AfterFunc(time.Until(e.expires), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.entries[e.id] == el {
			c.removeLocked(el)
		}
	})
}

func (c *Cache) removeLocked(el *list.Element) {
	e := c.recent.Remove(el).(*entry)
	delete(c.entries, e.id)
	e.expiry.Stop()
	e.key.Plaintext.Wipe()
}

// clone returns a copy that shares no key material with k.
func (k DataKey) clone() DataKey {
	k.Plaintext = crypto.NewSecret(bytes.Clone(k.Plaintext.Expose()))
	return k
}

// makeCacheID digests the arguments of a call, each with its length before it.
func makeCacheID(call, key string, ciphertext []byte, encryptionContext map[string]string) cacheID {
	h := sha256.New()
	field := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	field([]byte(call))
	field([]byte(key))
	field(ciphertext)
	for _, k := range slices.Sorted(maps.Keys(encryptionContext)) {
		field([]byte(k))
		field([]byte(encryptionContext[k]))
	}
	return cacheID(h.Sum(nil))
}
