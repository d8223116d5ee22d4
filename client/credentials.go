package client

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/kmsd/kmsd/crypto"
)

// The environment that LoadEnvironment reads.
const (
	// EnvCredentials is the path of the credentials file.
	EnvCredentials = "KMSD_CREDENTIALS"
	// EnvEndpoint, if set, replaces the file's endpoint.
	EnvEndpoint = "KMSD_ENDPOINT"
)

// FileMode is the mode that a credentials file must have at most.
const FileMode fs.FileMode = 0o600

// MaxFileSize is the size of the largest credentials file, in bytes.
const MaxFileSize = 64 << 10

// Errors that callers branch on.
var (
	// ErrNoCredentials means that the environment names no credentials file.
	ErrNoCredentials = errors.New("no credentials: " + EnvCredentials + " is not set")
	// ErrFileMode means that others than its owner can read or write a credentials file. The error says how to change that.
	ErrFileMode = errors.New("credentials file is open to others")
	// ErrCredentials means that credentials are malformed or incomplete. The error says where, and quotes no value.
	ErrCredentials = errors.New("invalid credentials")
)

var (
	errCA      = fmt.Errorf("%w: ca is not one or more certificates in PEM", ErrCredentials)
	errKeyPair = fmt.Errorf("%w: client_certificate and client_key are not a certificate and its key in PEM", ErrCredentials)
)

// Credentials say where kmsd is, by which CA it is known, and who calls: by an access key, or else by a client certificate. They
// are what a credentials file holds. They do not print their secrets.
type Credentials struct {
	Endpoint        string        // "host:port"
	Region          string        // 1 to 64 of a-z, 0-9 and hyphen; signatures are scoped to it
	AccessKeyID     string        // 16 to 128 of A-Z and 0-9; "" with a certificate
	SecretAccessKey crypto.Secret // 1 to 128 printable characters, no space
	Certificate     []byte        // PEM, the client's own first; nil with an access key
	Key             crypto.Secret // PEM, the certificate's private key
	CA              []byte        // PEM, one or more certificates
}

// LoadEnvironment reads the credentials that the environment names. It returns ErrNoCredentials if it names none.
func LoadEnvironment() (Credentials, error) {
	path := os.Getenv(EnvCredentials)
	if path == "" {
		return Credentials{}, ErrNoCredentials
	}
	c, err := LoadFile(path)
	if err != nil {
		return Credentials{}, err
	}
	if endpoint := os.Getenv(EnvEndpoint); endpoint != "" {
		c.Endpoint = endpoint
		if err := c.check(); err != nil {
			return Credentials{}, fmt.Errorf("reading %s: %w", EnvEndpoint, err)
		}
	}
	return c, nil
}

// LoadFile reads a credentials file. It must be a regular file of at most MaxFileSize bytes that only its owner can read and write; otherwise
// the error matches ErrFileMode. A file that does not parse gives an error that matches ErrCredentials.
func LoadFile(path string) (c Credentials, err error) {
	// Not to wait for a writer if path is a pipe.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Credentials{}, fmt.Errorf("reading credentials: %w", err)
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil {
		return Credentials{}, fmt.Errorf("reading credentials: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Credentials{}, fmt.Errorf("reading credentials: %s is not a regular file", path)
	}
	if info.Mode().Perm()&^FileMode != 0 {
		return Credentials{}, fmt.Errorf("%w: %s has mode %04o, run: chmod 600 %s", ErrFileMode, path, info.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	defer clear(b)
	if err != nil {
		return Credentials{}, fmt.Errorf("reading credentials: %w", err)
	}
	if c, err = ParseCredentials(b); err != nil {
		return Credentials{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return c, nil
}

// Marshal returns the content of a credentials file, which ParseCredentials reads. Keep it secret, write it with FileMode, and
// clear it after use. The error matches ErrCredentials if c is not valid.
func (c Credentials) Marshal() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	// Room for everything, so that growing leaves no copies of the secrets behind.
	b := make([]byte, 0, 1024+2*(len(c.Certificate)+c.Key.Len()+len(c.CA)))
	b = append(b, "# Credentials for kmsd. Whoever can read this file can do what their owner can.\n"...)
	b = appendText(b, "endpoint", []byte(c.Endpoint))
	if c.Region != "" {
		b = appendText(b, "region", []byte(c.Region))
	}
	if c.AccessKeyID != "" {
		b = appendText(b, "access_key_id", []byte(c.AccessKeyID))
		b = appendText(b, "secret_access_key", c.SecretAccessKey.Expose())
	} else {
		b = appendBlock(b, "client_certificate", c.Certificate)
		b = appendBlock(b, "client_key", c.Key.Expose())
	}
	return appendBlock(b, "ca", c.CA), nil
}

// appendText appends a double-quoted scalar of printable ASCII.
func appendText(b []byte, name string, value []byte) []byte {
	b = append(append(b, name...), `: "`...)
	for _, ch := range value {
		if ch == '"' || ch == '\\' {
			b = append(b, '\\')
		}
		b = append(b, ch)
	}
	return append(b, "\"\n"...)
}

// appendBlock appends a literal block.
func appendBlock(b []byte, name string, value []byte) []byte {
	b = append(append(b, name...), ": |\n"...)
	for line := range bytes.Lines(value) {
		b = append(b, "  "...)
		b = append(b, bytes.TrimRight(line, "\r\n")...)
		b = append(b, '\n')
	}
	return b
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCredentials, fmt.Sprintf(format, args...))
}

// check says what is wrong with c, in words that hold no value of it.
func (c Credentials) check() error {
	if err := checkEndpoint(c.Endpoint); err != nil {
		return err
	}
	byKey := c.AccessKeyID != "" || !c.SecretAccessKey.IsZero()
	byCertificate := len(c.Certificate) > 0 || !c.Key.IsZero()
	switch {
	case byKey && byCertificate:
		return invalid("both an access key and a client certificate: keep one of them")
	case byKey && (len(c.AccessKeyID) < 16 || len(c.AccessKeyID) > 128 || !only(c.AccessKeyID, upperOrDigit)):
		return invalid("access_key_id must have 16 to 128 of A-Z and 0-9")
	case byKey && (c.SecretAccessKey.Len() == 0 || c.SecretAccessKey.Len() > 128 || bytes.ContainsFunc(c.SecretAccessKey.Expose(), notPrintable)):
		return invalid("secret_access_key must have 1 to 128 printable characters")
	case byKey && c.Region == "":
		return invalid("region is missing")
	case c.Region != "" && (len(c.Region) > 64 || !only(c.Region, scopeByte)):
		return invalid("region must have 1 to 64 of a-z, 0-9 and -")
	case !byKey && !byCertificate:
		return invalid("neither access_key_id and secret_access_key, nor client_certificate and client_key")
	}
	if !allPEM(c.CA, "CERTIFICATE") {
		return errCA
	}
	if byCertificate {
		if !allPEM(c.Certificate, "CERTIFICATE") || !allPEM(c.Key.Expose(), "PRIVATE KEY") {
			return errKeyPair
		}
		if _, err := tls.X509KeyPair(c.Certificate, c.Key.Expose()); err != nil {
			return errKeyPair
		}
	}
	return nil
}

func checkEndpoint(endpoint string) error {
	host, port, err := net.SplitHostPort(endpoint)
	n, numErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numErr != nil || n == 0 || host == "" || len(host) > 255 || strings.ContainsFunc(host, notHost) {
		return invalid("endpoint must be host:port, such as localhost:7443")
	}
	return nil
}

// allPEM reports whether b is one or more PEM blocks, whose type ends with kind, and nothing else but what is allowed between them: nothing.
func allPEM(b []byte, kind string) bool {
	for n := 0; ; n++ {
		if len(bytes.TrimSpace(b)) == 0 {
			return n > 0
		}
		if !bytes.HasPrefix(b, []byte("-----BEGIN ")) {
			return false
		}
		block, rest := pem.Decode(b)
		if block == nil || !strings.HasSuffix(block.Type, kind) || len(block.Headers) > 0 {
			return false
		}
		// pem.Decode passes over what it cannot read: between the two there must be nothing of that.
		if bytes.Count(b[:len(b)-len(rest)], []byte("-----BEGIN ")) != 1 {
			return false
		}
		b = rest
	}
}

func only(s string, is func(rune) bool) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !is(r) })
}

func digit(r rune) bool        { return '0' <= r && r <= '9' }
func lower(r rune) bool        { return 'a' <= r && r <= 'z' }
func upperOrDigit(r rune) bool { return digit(r) || 'A' <= r && r <= 'Z' }
func scopeByte(r rune) bool    { return digit(r) || lower(r) || r == '-' }
func notPrintable(r rune) bool { return r <= ' ' || r > '~' }
func notHost(r rune) bool {
	return !upperOrDigit(r) && !lower(r) && !strings.ContainsRune("-._:", r)
}
