// Package seal opens the domain key, under which storage keeps everything, with the root key that somebody brings.
//
// The seal file holds the domain key wrapped under the root key. The root key is in a key file or is made from a
// passphrase; it is never stored by kmsd and is wiped as soon as the domain key is open. The format is described in
// docs/formats/seal.md. The package keeps no root key, does not split it into shares, and does not encrypt anything else.
//
// Trust: who can read the seal file learns nothing without the root key; from a seal under a passphrase they can try
// passphrases at the cost of one Argon2id each. Who can write it can make kmsd refuse to start, make it spend up to the
// largest cost of Argon2id that is allowed, or put back an older seal of the same root key, but cannot choose the domain key.
package seal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/durable"
	"golang.org/x/sys/unix"
)

var (
	// ErrWrongRootKey says that the seal is whole but is under another root key.
	ErrWrongRootKey = errors.New("the key file or passphrase does not open this seal")

	// ErrCorrupt says that the file is not a seal, or was damaged.
	ErrCorrupt = errors.New("the seal file is damaged or is not a seal file")

	// ErrNotLocked is the cause given to Warn, or returned if RequireLocked is set, when the kernel does not let the process
	// lock memory.
	ErrNotLocked = errors.New("the domain key cannot be kept out of swap space")
)

// Options says how the domain key is held in memory. The zero value falls back silently.
type Options struct {
	// RequireLocked makes Create and Open fail with ErrNotLocked rather than hold the domain key in memory that may be
	// written to swap space.
	RequireLocked bool

	// Warn is told, before the call returns, when memory could not be locked and RequireLocked is not set: an error that
	// matches ErrNotLocked and says what to do. nil means nobody is told.
	Warn func(error)
}

// Create makes a random domain key and the seal file at path, which holds it under the root key of src. When it returns
// nil the file is durable. It never replaces a file: then the error matches fs.ErrExist. The caller wipes the domain key.
//
// The domain key, 32 bytes, is held outside of the Go heap in memory that is locked, not in core dumps and not inherited by
// forked processes. Work with it (package crypto) leaves copies of what is derived from it in the heap.
func Create(path string, src Source) (domain crypto.Secret, err error) {
	return Options{}.Create(path, src)
}

// Open returns the domain key of the seal file at path, as Create does. The error matches fs.ErrNotExist, ErrCorrupt or
// ErrWrongRootKey, or is about src and says what to do.
func Open(path string, src Source) (domain crypto.Secret, err error) {
	return Options{}.Open(path, src)
}

// Create is the function Create with options.
func (o Options) Create(path string, src Source) (domain crypto.Secret, err error) {
	if _, err := os.Lstat(path); err == nil {
		return crypto.Secret{}, fmt.Errorf("creating a seal: %s: %w", path, fs.ErrExist)
	}
	domain, err = o.create(path, src)
	if err != nil {
		return crypto.Secret{}, fmt.Errorf("creating a seal: %w", err)
	}
	return domain, nil
}

func (o Options) create(path string, src Source) (domain crypto.Secret, err error) {
	f := file{method: src.method, cost: src.cost}
	if src.method == methodPassphrase {
		f.salt = newSalt()
	}
	sealer, err := src.sealer(&f, true)
	if err != nil {
		return crypto.Secret{}, err
	}
	random := crypto.RandomSecret(crypto.KeySize)
	defer random.Wipe()
	domain, err = o.hold(random.Expose())
	if err != nil {
		return crypto.Secret{}, err
	}
	f.wrapped = sealer.Seal(nil, domain.Expose(), f.header())
	if err := durable.CreateFile(path, f.marshal(), 0o600); err != nil {
		domain.Wipe()
		return crypto.Secret{}, err
	}
	return domain, nil
}

// Open is the function Open with options.
func (o Options) Open(path string, src Source) (domain crypto.Secret, err error) {
	domain, err = o.open(path, src)
	if err != nil {
		return crypto.Secret{}, fmt.Errorf("opening the seal: %w", err)
	}
	return domain, nil
}

func (o Options) open(path string, src Source) (domain crypto.Secret, err error) {
	b, err := readSmall(path, fileLen+1)
	if err != nil {
		return crypto.Secret{}, err
	}
	f, err := parse(b)
	if err != nil {
		return crypto.Secret{}, err
	}
	if f.method != src.method {
		return crypto.Secret{}, fmt.Errorf("this seal is opened with %s, not with %s", f.method, src.method)
	}
	sealer, err := src.sealer(f, false)
	if err != nil {
		return crypto.Secret{}, err
	}
	plain, err := sealer.Open(make([]byte, 0, len(f.wrapped)), f.wrapped, f.header())
	if err != nil {
		return crypto.Secret{}, ErrWrongRootKey
	}
	defer clear(plain)
	return o.hold(plain)
}

// hold returns a copy of key in locked memory.
func (o Options) hold(key []byte) (crypto.Secret, error) {
	m, err := newMemory(len(key))
	if err != nil {
		return crypto.Secret{}, err
	}
	if m.unlocked != nil {
		err := fmt.Errorf("%w: %w: raise RLIMIT_MEMLOCK (LimitMEMLOCK= in systemd), or turn swap off", ErrNotLocked, m.unlocked)
		if o.RequireLocked {
			return crypto.Secret{}, errors.Join(err, m.free())
		}
		if o.Warn != nil {
			o.Warn(err)
		}
	}
	copy(m.bytes, key)
	return crypto.NewSecret(m.bytes), nil
}

// readSmall reads at most limit bytes of the regular file at path.
func readSmall(path string, limit int) (b []byte, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a named pipe must not block
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, ErrCorrupt
	}
	return io.ReadAll(io.LimitReader(f, int64(limit)))
}
