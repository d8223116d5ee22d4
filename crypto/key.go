package crypto

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"slices"
	"sync"
)

// Labels of the derivations from key material. A label names a purpose for ever.
const (
	labelMessage = "kmsd/enc/v1" // message key and commitment
	labelContext = "kmsd/ctx/v1" // key of the context tags
)

// Key is one version of a symmetric master key. It encrypts, decrypts and does not tell its material. Make it with
// NewKey. It may be used by many goroutines at once.
//
// Every message is encrypted under a key of its own, derived from the material and a random salt of 128 bits, so
// the number of messages is not limited in practice, and the blob commits to that key (docs/formats/ciphertext.md).
type Key struct {
	id       KeyID
	material MaterialID
	take     func() *worker // closures, so that no formatting verb reaches the pool of keyed states
	put      func(*worker)
}

// worker is what one encryption or decryption needs: keyed states and buffers, used by one call at a time.
type worker struct {
	message hash.Hash // HMAC under the material
	context hash.Hash // HMAC under the key of the context tags
	aad     []byte    // header before the iv, then the canonical context
	input   []byte    // input of the derivation
	derived [64]byte  // message key, then commitment
	tag     [32]byte  // context tag before truncation
}

// NewKey returns the Key with this id and material. secret has KeySize bytes and is copied: the caller may wipe it.
// A zero id is an error.
func NewKey(id KeyID, material MaterialID, secret Secret) (*Key, error) {
	if secret.Len() != KeySize {
		return nil, fmt.Errorf("making a key: material has %d bytes, want %d", secret.Len(), KeySize)
	}
	if id.IsZero() || material.IsZero() {
		return nil, errors.New("making a key: key id or material id is zero")
	}
	secret = cloneSecret(secret)
	short := material.Short()
	contextKey := Derive(secret, labelContext, slices.Concat(id[:], short[:]), KeySize)
	pool := sync.Pool{New: func() any {
		return &worker{message: newHMAC(secret), context: newHMAC(contextKey)}
	}}
	k := &Key{
		id:       id,
		material: material,
		take:     func() *worker { return pool.Get().(*worker) },
		put:      func(w *worker) { pool.Put(w) },
	}
	k.put(k.take())
	return k, nil
}

// ID returns the id of the key.
func (k *Key) ID() KeyID { return k.id }

// Material returns the id of the material.
func (k *Key) Material() MaterialID { return k.material }

// Encrypt appends the blob of plaintext, bound to c, to dst and returns the extended slice, Overhead bytes and
// len(plaintext) longer. It fails, with nil, only if plaintext is empty or longer than MaxPlaintext. plaintext is
// not modified and not kept; if it lies in the spare capacity of dst, that capacity is not used.
func (k *Key) Encrypt(dst, plaintext []byte, c Context) ([]byte, error) {
	if n := len(plaintext); n == 0 || n > MaxPlaintext {
		return nil, fmt.Errorf("encrypting: plaintext has %d bytes, want 1 to %d", n, MaxPlaintext)
	}
	w := k.take()
	defer k.release(w)

	header := slices.Grow(w.aad[:0], atIV)[:atIV]
	header[0], header[1] = version1, suite1
	copy(header[atKey:], k.id[:])
	copy(header[atMaterial:], k.material[:16])
	rand.Read(header[atSalt:atTag])
	w.aad = c.appendTo(header)
	w.computeTag()
	copy(w.aad[atTag:atCommitment], w.tag[:16])
	w.deriveMessage()
	copy(w.aad[atCommitment:atIV], w.derived[32:])

	dst = slices.Grow(unshared(dst, plaintext), Overhead+len(plaintext))
	dst = append(dst, w.aad[:atIV]...)
	return newGCM(w.derived[:32]).Seal(dst, nil, plaintext, w.aad), nil
}

// Decrypt appends the plaintext of blob to dst and returns the extended slice. On failure it returns nil and an
// error that matches ErrCiphertext, and the spare capacity of dst is cleared. blob is not modified and not kept; if
// it lies in the spare capacity of dst, that capacity is neither used nor cleared.
//
// The checks come in this order: form, key and material named in the header, commitment, context tag, GCM. The
// commitment covers the context tag, so a tag that differs under a right commitment means another context and not
// an altered blob. Commitment and context tag are both computed before either is looked at.
func (k *Key) Decrypt(dst, blob []byte, c Context) ([]byte, error) {
	dst = unshared(dst, blob)
	plaintext, err := k.open(dst, blob, c)
	if err != nil {
		clear(dst[len(dst):cap(dst)])
		return nil, err
	}
	return plaintext, nil
}

func (k *Key) open(dst, blob []byte, c Context) ([]byte, error) {
	h, err := ParseHeader(blob)
	if err != nil {
		return nil, err
	}
	if h.Key != k.id || h.Material != k.material.Short() {
		return nil, ErrWrongKey
	}
	w := k.take()
	defer k.release(w)

	w.aad = c.appendTo(append(w.aad[:0], blob[:atIV]...))
	w.deriveMessage()
	w.computeTag()
	committed := subtle.ConstantTimeCompare(w.derived[32:], w.aad[atCommitment:atIV])
	sameContext := subtle.ConstantTimeCompare(w.tag[:16], w.aad[atTag:atCommitment])
	if committed != 1 {
		return nil, ErrCommitment
	}
	if sameContext != 1 {
		return nil, ErrWrongContext
	}
	plaintext, err := newGCM(w.derived[:32]).Open(dst, nil, blob[atIV:], w.aad)
	if err != nil {
		return nil, ErrTampered
	}
	return plaintext, nil
}

// release erases what w derived and gives it back.
func (k *Key) release(w *worker) {
	clear(w.derived[:])
	k.put(w)
}

// computeTag sets w.tag to HMAC(context key, salt || canonical context), both read from w.aad.
func (w *worker) computeTag() {
	w.context.Reset()
	w.context.Write(w.aad[atSalt:atTag])
	w.context.Write(w.aad[atIV:])
	w.context.Sum(w.tag[:0])
}

// deriveMessage sets w.derived to the message key and the commitment, from the header before the commitment in w.aad.
func (w *worker) deriveMessage() {
	w.input = fixedInput(w.input[:0], labelMessage, w.aad[:atCommitment], len(w.derived))
	appendDerived(w.derived[:0], w.message, w.input, len(w.derived))
}
