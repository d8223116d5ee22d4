package seal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"unicode/utf8"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/durable"
	"golang.org/x/crypto/argon2"
	"golang.org/x/sys/unix"
)

// A Source is a way to have the root key. Make it with KeyFile or Passphrase. It holds no secret, and may be used for
// many seals and by many goroutines.
type Source struct {
	method method
	cost   Cost

	// root writes the root key into key, which has crypto.KeySize bytes. fresh says that a seal is being created.
	root func(key []byte, cost Cost, salt []byte, fresh bool) error
}

// sealer returns what wraps domain keys under the root key for the seal f. The root key itself is erased
// before it returns; the key schedule in the Sealer lasts as long as that.
func (s Source) sealer(f *file, fresh bool) (sealer *crypto.Sealer, err error) {
	if s.root == nil {
		return nil, errors.New("no source of the root key")
	}
	m, err := newMemory(crypto.KeySize)
	if err != nil {
		return nil, err
	}
	root := crypto.NewSecret(m.bytes)
	defer func() {
		root.Wipe()
		err = errors.Join(err, m.free())
	}()
	if err := s.root(m.bytes, f.cost, f.salt[:], fresh); err != nil {
		return nil, err
	}
	return crypto.NewSealer(root)
}

// KeyFile is the source of a root key that is the content of the file at path: 32 random bytes, a regular file that
// belongs to the user of the process and that nobody else may read (mode 0600 or 0400). The file is read on each use.
func KeyFile(path string) Source {
	return Source{method: methodKeyFile, root: func(key []byte, _ Cost, _ []byte, _ bool) error {
		return readKeyFile(path, key)
	}}
}

func readKeyFile(path string, key []byte) (err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a named pipe must not block
	if err != nil {
		return fmt.Errorf("reading the key file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("reading the key file: %w", err)
	}
	owner := st.Sys().(*syscall.Stat_t).Uid
	switch {
	case !st.Mode().IsRegular():
		return fmt.Errorf("the key file %s is not a regular file", path)
	case int(owner) != os.Geteuid():
		return fmt.Errorf("the key file %s belongs to user %d, not to the user %d that runs this: chown %d %s", path, owner, os.Geteuid(), os.Geteuid(), path)
	case st.Mode().Perm()&^0o600 != 0:
		return fmt.Errorf("the key file %s has mode %04o, so others may use it: chmod 600 %s", path, st.Mode().Perm(), path)
	case st.Size() != int64(len(key)):
		return fmt.Errorf("the key file %s has %d bytes, not %d: it is not a key file, or was cut", path, st.Size(), len(key))
	}
	if _, err := io.ReadFull(f, key); err != nil {
		return fmt.Errorf("reading the key file: %w", err)
	}
	return nil
}

// CreateKeyFile makes the key file at path with a random root key. When it returns nil the file is durable. It never
// replaces a file: then the error matches fs.ErrExist. Whoever loses this file loses everything under its seals.
func CreateKeyFile(path string) error {
	key := crypto.RandomSecret(crypto.KeySize)
	defer key.Wipe()
	if err := durable.CreateFile(path, key.Expose(), 0o600); err != nil {
		return fmt.Errorf("creating a key file: %w", err)
	}
	return nil
}

// MinPassphrase is how many characters a passphrase has at least when a seal is created.
const MinPassphrase = 12

// Cost is what one try of a passphrase costs: the parameters of Argon2id (RFC 9106).
type Cost struct {
	MemoryKiB uint32 // memory in KiB, from 8 per lane to 4 GiB
	Passes    uint32 // over the memory, 1 to 100
	Lanes     uint8  // threads, at least 1
}

// DefaultCost is 256 MiB, 3 passes, 2 lanes: about a second on two cores, four times the memory of the second recommendation of
// RFC 9106, section 4.
func DefaultCost() Cost { return Cost{MemoryKiB: 256 << 10, Passes: 3, Lanes: 2} }

const (
	maxMemoryKiB = 4 << 20
	maxPasses    = 100
)

// check refuses what RFC 9106 refuses, and what would keep a process busy for ever.
func (c Cost) check() error {
	if c.Lanes < 1 || c.Passes < 1 || c.Passes > maxPasses || c.MemoryKiB < 8*uint32(c.Lanes) || c.MemoryKiB > maxMemoryKiB {
		return fmt.Errorf("a cost of %d KiB, %d passes and %d lanes is out of range", c.MemoryKiB, c.Passes, c.Lanes)
	}
	return nil
}

// Passphrase is the source of a root key that Argon2id makes of a passphrase, at DefaultCost when a seal is created and at
// the cost in the seal when it is opened. read returns the passphrase and is called once per use; the passphrase is wiped
// afterwards. A passphrase under MinPassphrase characters is refused by Create.
func Passphrase(read func() (crypto.Secret, error)) Source {
	return PassphraseWithCost(read, DefaultCost())
}

// PassphraseWithCost is Passphrase where a new seal gets this cost.
func PassphraseWithCost(read func() (crypto.Secret, error), cost Cost) Source {
	return Source{method: methodPassphrase, cost: cost, root: func(key []byte, cost Cost, salt []byte, fresh bool) error {
		if err := cost.check(); err != nil {
			return err
		}
		passphrase, err := read()
		if err != nil {
			return fmt.Errorf("reading the passphrase: %w", err)
		}
		defer passphrase.Wipe()
		if fresh && utf8.RuneCount(passphrase.Expose()) < MinPassphrase {
			return fmt.Errorf("the passphrase is too short: it needs %d characters, better six random words", MinPassphrase)
		}
		derived := argon2.IDKey(passphrase.Expose(), salt, cost.Passes, cost.MemoryKiB, cost.Lanes, uint32(len(key)))
		copy(key, derived)
		clear(derived)
		return nil
	}}
}
