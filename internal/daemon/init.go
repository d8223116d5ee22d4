package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"golang.org/x/sys/unix"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/iam"
	"github.com/kmsd/kmsd/internal/durable"
	"github.com/kmsd/kmsd/keystore"
	"github.com/kmsd/kmsd/seal"
	"github.com/kmsd/kmsd/storage"
)

// The files of a data folder.
const (
	sealFile            = "seal.kmsd"
	storeFile           = "store.db"
	keyFile             = "root.key"
	caFile              = "ca.crt"
	RootCredentialsFile = "root-credentials.yaml"
)

// InitOptions is what a new data folder is made with. Only Config.Data is required.
type InitOptions struct {
	Config    Config // is written to the folder; where it names no seal, the root key is made beside it
	AccountID string // 12 digits; random if empty
	Partition string // of ARNs; "aws" if empty
	Region    string // of ARNs and signatures; "local" if empty
	// Passphrase reads the passphrase where the configuration has "-" for it.
	Passphrase func() (crypto.Secret, error)
}

// InitResult says what was made.
type InitResult struct {
	AccountID       string
	RootCredentials string // path of the root user's credentials, told once
	KeyFile         string // path of the root key, if Init made one
}

// identity is the record of what a store was made for and never changes.
type identity struct {
	V         int    `json:"v"`
	Partition string `json:"partition"`
	Region    string `json:"region"`
	Node      string `json:"node"`
}

const (
	kindIdentity = storage.Kind("identity")
	identityPath = "kmsd"
)

var word = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// Init makes a data folder: seal, store with management account, root user and certificate authority, audit log, configuration and the root user's
// credentials. The folder must not exist or be empty. It appears whole or not at all: it is made beside its place and renamed.
func Init(o InitOptions) (r InitResult, err error) {
	orDefault(&o.Partition, "aws")
	orDefault(&o.Region, "local")
	if !word.MatchString(o.Partition) || !word.MatchString(o.Region) {
		return r, errors.New("partition and region have 1 to 32 characters of a-z, 0-9 and -")
	}
	final := filepath.Clean(o.Config.Data)
	if err := refuseUsed(final); err != nil {
		return r, err
	}
	if err := makeFolder(filepath.Dir(final)); err != nil {
		return r, err
	}
	work, err := os.MkdirTemp(filepath.Dir(final), "."+filepath.Base(final)+".init-*")
	if err != nil {
		return r, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(work))
		}
	}()
	o.Config.Data = work
	if r, err = o.fill(); err != nil {
		return r, err
	}
	if err := durable.SyncDir(work); err != nil {
		return r, err
	}
	if err := moveIntoPlace(work, final); err != nil {
		return r, err
	}
	r.RootCredentials = filepath.Join(final, RootCredentialsFile)
	if r.KeyFile != "" {
		r.KeyFile = filepath.Join(final, keyFile)
	}
	return r, durable.SyncDir(filepath.Dir(final))
}

func refuseUsed(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("the folder %s is not empty (%w): kmsd init makes a folder and never touches an old one; to start it: kmsd serve --data %s", dir, fs.ErrExist, dir)
	}
	return nil
}

// makeFolder makes the folder dir, and those above it that are missing. Those that it made are durable.
func makeFolder(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if above := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && above != dir {
		if err := makeFolder(above); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o755)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil // if it is no folder, the next step says so
	}
	if err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(dir))
}

// moveIntoPlace renames; an empty folder at the place gives way, anything else does not.
func moveIntoPlace(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		err = unix.Rename(from, to) // fails unless to is an empty folder
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// fill makes everything in the folder o.Config.Data.
func (o InitOptions) fill() (r InitResult, err error) {
	cfg := o.Config
	if cfg.Seal == (SealConfig{}) {
		cfg.Seal.KeyFile, r.KeyFile = keyFile, cfg.path(keyFile)
		if err := seal.CreateKeyFile(r.KeyFile); err != nil {
			return r, err
		}
	}
	written := cfg
	if err := cfg.Check(); err != nil {
		return r, err
	}
	if strings.HasSuffix(cfg.Listen, ":0") {
		return r, errors.New("listen: give a port: clients find it in their credentials")
	}
	if strings.HasSuffix(cfg.AWS.Listen, ":0") {
		return r, errors.New("aws.listen: give a port: clients are told it")
	}
	source, err := cfg.source(o.Passphrase)
	if err != nil {
		return r, err
	}
	domain, err := seal.Create(cfg.path(sealFile), source)
	if err != nil {
		return r, err
	}
	defer domain.Wipe()
	at := storage.Config{Path: cfg.path(storeFile), Domain: domain}
	if err := storage.Create(at); err != nil {
		return r, err
	}
	store, err := storage.Open(at)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	node := audit.NewID().String()
	var root iam.AccessKey
	err = store.Update(func(tx *storage.Tx) error {
		var err error
		if root, err = iam.Bootstrap(tx, o.AccountID); err != nil {
			return err
		}
		b, err := json.Marshal(identity{1, o.Partition, o.Region, node})
		if err != nil {
			return err
		}
		return tx.Put(kindIdentity, identityPath, b)
	})
	if err != nil {
		return r, err
	}
	people, err := iam.Open(iam.Config{Store: store, Partition: o.Partition, Region: o.Region})
	if err != nil {
		return r, err
	}
	r.AccountID = people.Snapshot().ManagementAccount()
	if err := o.writeFiles(cfg, written, people, root); err != nil {
		return r, err
	}
	log, err := audit.Create(audit.Config{Dir: cfg.path(cfg.Audit.Dir), Node: audit.Node{ID: node, BootID: audit.NewID()}})
	if err != nil {
		return r, err
	}
	return r, log.Close()
}

const configHeader = `# kmsd's configuration. docs/operations.md explains every key; unknown keys are refused.
# KMSD_<KEY> in the environment overrides a key of the top level, a flag overrides both.
`

func (o InitOptions) writeFiles(cfg, written Config, people *iam.IAM, root iam.AccessKey) error {
	text, err := yaml.Marshal(written)
	if err != nil {
		return err
	}
	if err := durable.CreateFile(cfg.path(ConfigFile), append([]byte(configHeader), text...), 0o600); err != nil {
		return err
	}
	ca := people.CACertificate()
	if err := durable.CreateFile(cfg.path(caFile), ca, 0o644); err != nil {
		return err
	}
	credentials, err := client.Credentials{
		Endpoint: reachable(cfg.Listen), Region: o.Region, AccessKeyID: root.ID, SecretAccessKey: root.Secret, CA: ca,
	}.Marshal()
	if err != nil {
		return err
	}
	defer clear(credentials)
	return durable.CreateFile(cfg.path(RootCredentialsFile), credentials, client.FileMode)
}

// reachable is an address that a client on this machine can use for one that the server listens on.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func readIdentity(store *storage.Store) (identity, keystore.Place, error) {
	var id identity
	err := store.View(func(tx *storage.Tx) error {
		b, err := tx.Get(kindIdentity, identityPath)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &id)
	})
	if err == nil && (id.V != 1 || !word.MatchString(id.Partition) || !word.MatchString(id.Region)) {
		err = errors.New("unknown version or content")
	}
	if err != nil {
		return identity{}, keystore.Place{}, fmt.Errorf("reading the store's identity: %w", err)
	}
	return id, keystore.Place{Partition: id.Partition, Region: id.Region}, nil
}
