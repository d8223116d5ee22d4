package keystore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
	"github.com/kmsd/kmsd/storage"
)

const (
	// ImportTokenSize is the size of an import token in bytes.
	ImportTokenSize = 1 + 16 + 8 + 32

	// MaxImportParameters is how many import parameters a key has at a time.
	MaxImportParameters = 10

	importLife = 24 * time.Hour // of import parameters, from AWS KMS
)

// ImportParameters is what material is wrapped with, for one ImportMaterial.
type ImportParameters struct {
	Token     []byte // ImportTokenSize bytes; with keywrap it is the info that what is wrapped is bound to
	PublicKey []byte // of the wrapping key, as keywrap has it
	ValidTo   time.Time
}

// parameters are those of an import in the store, at <account>/<key id>/<hash of the token>.
type parameters struct {
	algorithm keywrap.Algorithm
	expires   time.Time
	private   crypto.Secret // of the wrapping key
}

func (p *parameters) encode() []byte {
	b := appendTime([]byte{recordVersion}, p.expires)
	b = appendString(b, string(p.algorithm))
	return append(b, p.private.Expose()...)
}

// decodeParameters takes over value, whose tail becomes the private key.
func decodeParameters(value []byte) (parameters, error) {
	r := &reader{b: value}
	if v := r.byte(); v != recordVersion {
		r.fail(fmt.Sprintf("version %d of import parameters", v))
	}
	p := parameters{expires: r.time(), algorithm: keywrap.Algorithm(r.bytes())}
	if r.err == nil && (len(r.b) == 0 || p.expires.IsZero()) {
		r.fail("import parameters without a key or an end")
	}
	if r.err != nil {
		return parameters{}, r.err
	}
	p.private = crypto.NewSecret(r.b)
	return p, nil
}

// newImportToken returns a token: version (1), key id (16), end in nanoseconds since 1970 (8), random (32).
func newImportToken(id crypto.KeyID, expires time.Time) []byte {
	t := append([]byte{recordVersion}, id[:]...)
	t = appendTime(t, expires)
	t = append(t, make([]byte, 32)...)
	rand.Read(t[len(t)-32:])
	return t
}

// importTokenEnd says whether t has the form of a token for the key, and when it ends, which is not authentic.
func importTokenEnd(t []byte, id crypto.KeyID) (time.Time, bool) {
	r := &reader{b: t}
	if len(t) != ImportTokenSize || r.byte() != recordVersion || string(r.next(16)) != string(id[:]) {
		return time.Time{}, false
	}
	return r.time(), true
}

// parametersPath is where the parameters of a token are. The token itself is not in the store.
func (k *Key) parametersPath(token []byte) string {
	hash := sha256.Sum256(token)
	return keyPath(k.Account(), k.ID) + "/" + hex.EncodeToString(hash[:16])
}

// ParametersForImport makes a wrapping key and a token, with which ImportMaterial takes material once within 24 hours. An RSA wrapping key takes up to a
// few seconds to make, in which other changes go on. The grant is for kms:GetParametersForImport on the key. A key has at most ten of them at a
// time. Errors match keywrap.ErrAlgorithm, ErrUnsupported, ErrInvalidState, ErrLimitExceeded or crypto.ErrFIPS.
func (ks *Keystore) ParametersForImport(g authz.Grant, id crypto.KeyID, a keywrap.Algorithm, spec keywrap.KeySpec) (*Key, ImportParameters, error) {
	if !slices.Contains(spec.Algorithms(), a) {
		return nil, ImportParameters{}, fmt.Errorf("%w: %s with %s", keywrap.ErrAlgorithm, a, spec)
	}
	k, err := ks.Snapshot().permitted(g, authz.KMSGetParametersForImport, id)
	if err != nil {
		return nil, ImportParameters{}, err
	}
	private, public, err := ks.wrappingKey(k, spec)
	if err != nil {
		return nil, ImportParameters{}, err
	}
	defer private.Wipe()
	var made ImportParameters
	var expired expiryQueue
	k, out, err := ks.editWith(g, authz.KMSGetParametersForImport, id, func(e *edit) error {
		if err := e.key.takesParameters(e.now); err != nil {
			return err
		}
		if public == nil && !ks.dry {
			return refuse(ErrConflict, "the client token has expired just now")
		}
		made = ImportParameters{PublicKey: public, ValidTo: e.now.Add(importLife)}
		made.Token = newImportToken(id, made.ValidTo)
		var err error
		if expired, err = e.roomForParameters(); err != nil {
			return err
		}
		e.out.result = slices.Concat(made.Token, made.PublicKey)
		record := (&parameters{a, made.ValidTo, private}).encode()
		defer clear(record)
		return e.tx.Put(kindParams, e.key.parametersPath(made.Token), record)
	}, func() {
		ks.params = append(ks.params.without(expired), expiringRecord{k.parametersPath(made.Token), made.ValidTo})
		if len(expired) > 0 {
			ks.toErase++
		}
	})
	if err != nil {
		return k, ImportParameters{}, err
	}
	if out.repeated {
		end, ok := importTokenEnd(out.result[:min(len(out.result), ImportTokenSize)], id)
		if !ok {
			return nil, ImportParameters{}, fmt.Errorf("%w: client token of no import parameters", ErrCorrupt)
		}
		made = ImportParameters{out.result[:ImportTokenSize:ImportTokenSize], out.result[ImportTokenSize:], end}
	}
	return k, made, nil
}

// wrappingKey makes one, unless it will not be needed as far as that is known.
func (ks *Keystore) wrappingKey(k *Key, spec keywrap.KeySpec) (private crypto.Secret, public []byte, err error) {
	_, repeated, err := ks.before(k.Account())
	if err != nil || repeated || ks.dry {
		return crypto.Secret{}, nil, err
	}
	if err := k.takesParameters(ks.clock.Wall()); err != nil {
		return crypto.Secret{}, nil, err
	}
	return keywrap.Generate(spec)
}

func (k *Key) takesParameters(now time.Time) error {
	if err := k.hasOrigin(OriginExternal); err != nil {
		return err
	}
	return k.in(now, Enabled, Disabled, PendingImport)
}

// roomForParameters removes those of the key that have expired, and refuses more than there may be.
func (e *edit) roomForParameters() (expired expiryQueue, err error) {
	n := 0
	err = e.tx.Walk(kindParams, keyPath(e.key.Account(), e.key.ID)+"/", func(path string, value []byte) error {
		p, err := decodeParameters(value)
		if err != nil {
			return err
		}
		p.private.Wipe()
		if e.now.Before(p.expires) {
			n++
			return nil
		}
		expired = append(expired, expiringRecord{path, p.expires})
		return e.tx.Delete(kindParams, path)
	})
	switch {
	case err != nil:
		return nil, err
	case n >= MaxImportParameters:
		return nil, fmt.Errorf("%w: a key has at most %d import parameters at a time", ErrLimitExceeded, MaxImportParameters)
	case len(expired) > 0:
		err = putErase(e.tx)
	}
	return expired, err
}

// without returns the queue without some records.
func (q expiryQueue) without(some expiryQueue) expiryQueue {
	if len(some) == 0 {
		return q
	}
	return slices.DeleteFunc(slices.Clone(q), func(r expiringRecord) bool { return slices.Contains(some, r) })
}

// removeParameters deletes all of a key, which are few.
func (k *Key) removeParameters(tx *storage.Tx) error {
	var paths []string
	err := tx.Walk(kindParams, keyPath(k.Account(), k.ID)+"/", func(path string, value []byte) error {
		clear(value)
		paths = append(paths, path)
		return nil
	})
	for _, path := range paths {
		err = errors.Join(err, tx.Delete(kindParams, path))
	}
	return err
}

func deleteIfThere(tx *storage.Tx, kind storage.Kind, path string) error {
	if err := tx.Delete(kind, path); err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	return nil
}

// paramsAtOnce bounds how many import parameters one tick removes.
const paramsAtOnce = 256

// removeExpiredParameters removes from the store what ImportMaterial takes no more.
func (ks *Keystore) removeExpiredParameters() error {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	now, n := ks.clock.Wall(), 0
	for n < len(ks.params) && n < paramsAtOnce && !now.Before(ks.params[n].expires) {
		n++
	}
	if n == 0 {
		return nil
	}
	err := ks.transact(func(tx *storage.Tx) error {
		for _, old := range ks.params[:n] {
			if err := deleteIfThere(tx, kindParams, old.path); err != nil {
				return err
			}
		}
		return putErase(tx)
	})
	if err == nil {
		ks.params = slices.Clone(ks.params[n:])
		ks.toErase++
	}
	return err
}
