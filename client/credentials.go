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
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

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

// MaxSessionToken is the size of the largest session token, in bytes.
const MaxSessionToken = 4096

// Credentials say where kmsd is, by which CA it is known, and who calls: by an access key, by a client certificate, or as a role that is assumed. They
// are what a credentials file holds. They do not print their secrets.
type Credentials struct {
	Endpoint        string        // "host:port"
	Region          string        // 1 to 64 of a-z, 0-9 and hyphen; signatures are scoped to it
	AccessKeyID     string        // 16 to 128 of A-Z and 0-9; "" with a certificate
	SecretAccessKey crypto.Secret // 1 to 128 printable characters, no space
	SessionToken    crypto.Secret // with the access key of temporary credentials, 1 to MaxSessionToken printable characters
	Expiration      time.Time     // of temporary credentials; zero if they do not end, or that is not known
	Certificate     []byte        // PEM, the client's own first; nil with an access key
	Key             crypto.Secret // PEM, the certificate's private key
	CA              []byte        // PEM, one or more certificates
	Role            *Role         // nil with an access key or a certificate
}

func (c Credentials) isZero() bool {
	return c.Endpoint == "" && c.Region == "" && c.AccessKeyID == "" && c.SecretAccessKey.IsZero() && c.SessionToken.IsZero() && c.Expiration.IsZero() &&
		len(c.Certificate) == 0 && c.Key.IsZero() && len(c.CA) == 0 && c.Role == nil
}

// place is where kmsd is, without credentials.
func (c Credentials) place() Credentials {
	return Credentials{Endpoint: c.Endpoint, Region: c.Region, CA: c.CA}
}

// LoadEnvironment reads the credentials that the environment names, as Load does without names of profiles. It returns ErrNoCredentials
// if it names none.
func LoadEnvironment() (Credentials, error) {
	path := os.Getenv(EnvCredentials)
	if path == "" {
		return Credentials{}, ErrNoCredentials
	}
	c, err := Load(path, nil)
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
// the error matches ErrFileMode. A file that does not parse gives an error that matches ErrCredentials. The path of a web identity token is
// relative to the folder of the file. Of a role's source it reads only the name.
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
	if c.Role != nil && c.Role.WebIdentityTokenFile != "" && !filepath.IsAbs(c.Role.WebIdentityTokenFile) {
		c.Role.WebIdentityTokenFile = filepath.Join(filepath.Dir(path), c.Role.WebIdentityTokenFile)
	}
	return c, nil
}

// Marshal returns the content of a credentials file, which ParseCredentials reads. Keep it secret, write it with FileMode, and
// clear it after use. A role's Source and what no file can say of it are left out. The error matches ErrCredentials if c is not valid.
func (c Credentials) Marshal() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	// Room for everything, so that growing leaves no copies of the secrets behind.
	b := make([]byte, 0, 1024+2*(len(c.Certificate)+c.Key.Len()+len(c.CA)+c.SessionToken.Len()))
	b = append(b, "# Credentials for kmsd. Whoever can read this file can do what their owner can.\n"...)
	b = appendGiven(b, "endpoint", c.Endpoint)
	b = appendGiven(b, "region", c.Region)
	switch {
	case c.Role != nil:
		b = c.Role.append(b)
	case c.AccessKeyID != "":
		b = appendText(b, "access_key_id", []byte(c.AccessKeyID))
		b = appendText(b, "secret_access_key", c.SecretAccessKey.Expose())
		if !c.SessionToken.IsZero() {
			b = appendText(b, "session_token", c.SessionToken.Expose())
		}
		if !c.Expiration.IsZero() {
			b = appendText(b, "expiration", []byte(c.Expiration.UTC().Format(time.RFC3339Nano)))
		}
	default:
		b = appendBlock(b, "client_certificate", c.Certificate)
		b = appendBlock(b, "client_key", c.Key.Expose())
	}
	if len(c.CA) == 0 {
		return b, nil
	}
	return appendBlock(b, "ca", c.CA), nil
}

func (r *Role) append(b []byte) []byte {
	b = appendGiven(b, "role_arn", r.ARN)
	b = appendGiven(b, "source_profile", r.SourceProfile)
	b = appendGiven(b, "web_identity_token_file", r.WebIdentityTokenFile)
	b = appendGiven(b, "role_session_name", r.SessionName)
	if r.Duration != 0 {
		b = fmt.Appendf(b, "duration_seconds: %d\n", r.Duration/time.Second)
	}
	b = appendGiven(b, "external_id", r.ExternalID)
	b = appendGiven(b, "mfa_serial", r.MFASerial)
	return appendGiven(b, "source_identity", r.SourceIdentity)
}

// appendGiven appends a text unless it is empty.
func appendGiven(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendText(b, name, []byte(value))
}

// appendText appends a double-quoted scalar of UTF-8 without control characters.
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
	if c.Role != nil {
		return c.checkRole()
	}
	if err := checkEndpoint(c.Endpoint); err != nil {
		return err
	}
	byKey := c.AccessKeyID != "" || !c.SecretAccessKey.IsZero() || !c.SessionToken.IsZero() || !c.Expiration.IsZero()
	byCertificate := len(c.Certificate) > 0 || !c.Key.IsZero()
	switch {
	case byKey && byCertificate:
		return invalid("both an access key and a client certificate: keep one of them")
	case byKey && (len(c.AccessKeyID) < 16 || len(c.AccessKeyID) > 128 || !only(c.AccessKeyID, upperOrDigit)):
		return invalid("access_key_id must have 16 to 128 of A-Z and 0-9")
	case byKey && (c.SecretAccessKey.Len() == 0 || c.SecretAccessKey.Len() > 128 || bytes.ContainsFunc(c.SecretAccessKey.Expose(), notPrintable)):
		return invalid("secret_access_key must have 1 to 128 printable characters")
	case c.SessionToken.Len() > MaxSessionToken || bytes.ContainsFunc(c.SessionToken.Expose(), notPrintable):
		return invalid("session_token must have 1 to %d printable characters", MaxSessionToken)
	case !c.Expiration.IsZero() && (c.Expiration.Year() < 1970 || c.Expiration.Year() > 9999):
		return invalid("expiration must be a time such as 2026-11-23T15:04:05Z")
	case !byKey && !byCertificate:
		return invalid("neither access_key_id and secret_access_key, nor client_certificate and client_key, nor role_arn")
	}
	if err := checkRegion(c.Region); err != nil && (byKey || c.Region != "") {
		return err
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

// checkPlace is check for credentials that only say where kmsd is.
func (c Credentials) checkPlace() error {
	if err := checkEndpoint(c.Endpoint); err != nil {
		return err
	}
	if err := checkRegion(c.Region); err != nil {
		return err
	}
	if !allPEM(c.CA, "CERTIFICATE") {
		return errCA
	}
	return nil
}

func checkRegion(region string) error {
	switch {
	case region == "":
		return invalid("region is missing")
	case len(region) > 64 || !only(region, scopeByte):
		return invalid("region must have 1 to 64 of a-z, 0-9 and -")
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
