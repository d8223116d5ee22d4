package iam

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// How long a client certificate may be valid.
const (
	MinCertificateValidity     = time.Hour
	MaxCertificateValidity     = 825 * 24 * time.Hour
	DefaultCertificateValidity = 90 * 24 * time.Hour
)

const (
	maxCSRBytes = 16 << 10
	minRSABits  = 2048
	maxRSABits  = 8192
)

// ClientCertificate is a certificate that lets its key's holder act as one user.
type ClientCertificate struct {
	Fingerprint [32]byte  // SHA-256 of DER; what the certificate is known by
	Serial      string    // lower-case hex
	DER         []byte    // not to be modified
	Created     time.Time // whole seconds, UTC
	NotBefore   time.Time
	NotAfter    time.Time
}

func (c ClientCertificate) fingerprintHex() string { return hex.EncodeToString(c.Fingerprint[:]) }

// PEM returns the certificate in PEM.
func (c ClientCertificate) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.DER})
}

// parseCertificate reads a certificate that the authority has issued. The name in it is the one that its user had then.
func parseCertificate(der []byte, created time.Time) (ClientCertificate, error) {
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return ClientCertificate{}, errors.New("the certificate does not parse")
	}
	return ClientCertificate{
		Fingerprint: sha256.Sum256(der), Serial: parsed.SerialNumber.Text(16), DER: parsed.Raw,
		Created: created, NotBefore: parsed.NotBefore, NotAfter: parsed.NotAfter,
	}, nil
}

// CreateClientCertificate issues a certificate for the key of csr, a PKCS #10 request in PEM of at most 16 KiB.
// The request must be signed with its key, which is ECDSA on P-256 or P-384, Ed25519, or RSA of 2,048 to 8,192
// bits. Whatever else the request says is ignored: the certificate names the user (common name) and its ARN (URI),
// and is good for authenticating clients only. It is valid for validity, MinCertificateValidity to
// MaxCertificateValidity, zero meaning DefaultCertificateValidity, and from five minutes before, for clocks that
// are behind. A user may have MaxCertificatesPerUser, expired ones counted (ErrLimitExceeded). The root user takes
// none. The grant must permit authz.IAMCreateClientCertificate on the user's ARN.
func (i *IAM) CreateClientCertificate(g authz.Grant, account, name string, csr []byte, validity time.Duration) (ClientCertificate, error) {
	if validity == 0 {
		validity = DefaultCertificateValidity
	}
	if validity < MinCertificateValidity || validity > MaxCertificateValidity {
		return ClientCertificate{}, invalid("Validity", "must be 1 hour to 825 days")
	}
	public, err := parseCSR(csr)
	if err != nil {
		return ClientCertificate{}, err
	}
	var c ClientCertificate
	err = i.update("creating a client certificate", &c, func(next *Snapshot, tx *storage.Tx) error {
		p, err := next.notRoot(g, authz.IAMCreateClientCertificate, account, name)
		if err != nil {
			return err
		}
		if len(p.certificates) >= MaxCertificatesPerUser {
			return fmt.Errorf("%w: %d client certificates for a user", ErrLimitExceeded, MaxCertificatesPerUser)
		}
		if c, err = i.issueClient(p.User, public, validity); err != nil {
			return fmt.Errorf("issuing a client certificate: %w", err)
		}
		changed := p.clone()
		changed.certificates = append(slices.Clone(p.certificates), c)
		next.setUser(p, changed)
		record := certificateRecord{Version: recordVersion, Created: c.Created, Certificate: c.DER}
		return tx.Put(kindCertificate, join(account, p.ID, c.fingerprintHex()), encodeJSON(record))
	})
	if err != nil {
		return ClientCertificate{}, err
	}
	return c, nil
}

// parseCSR returns the public key of a request after checking that the request is signed with it.
func parseCSR(data []byte) (public any, err error) {
	bad := func(what string) (any, error) { return nil, invalid("CertificateSigningRequest", what) }
	if len(data) > maxCSRBytes {
		return bad("must not be longer than 16 KiB")
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return bad("must be one PEM block of type CERTIFICATE REQUEST")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return bad("is not a PKCS #10 request")
	}
	if !acceptableKey(request.PublicKey) {
		return bad("must have a key of ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits")
	}
	if slices.Contains([]x509.SignatureAlgorithm{x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.MD5WithRSA}, request.SignatureAlgorithm) {
		return bad("must be signed with SHA-256 or better")
	}
	if request.CheckSignature() != nil {
		return bad("is not signed with its own key")
	}
	return request.PublicKey, nil
}

func acceptableKey(public any) bool {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384()
	case ed25519.PublicKey:
		return true
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSABits && k.N.BitLen() <= maxRSABits && k.E >= 65537
	}
	return false
}

func (i *IAM) issueClient(u User, public any, validity time.Duration) (ClientCertificate, error) {
	serial, err := newSerial()
	if err != nil {
		return ClientCertificate{}, err
	}
	created := present()
	der, err := i.ca.issue(&x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: u.Name},
		NotBefore:             created.Add(-clockAllowance),
		NotAfter:              created.Add(validity),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs:                  []*url.URL{{Scheme: "arn", Opaque: strings.TrimPrefix(u.ARN, "arn:")}},
	}, public)
	if err != nil {
		return ClientCertificate{}, err
	}
	return parseCertificate(der, created)
}

// DeleteClientCertificate revokes a certificate: it is no credential for whoever reads the snapshot after it
// returns, on connections that are open too. The grant must permit authz.IAMDeleteClientCertificate on the user's
// ARN.
func (i *IAM) DeleteClientCertificate(g authz.Grant, account, name string, fingerprint [32]byte) error {
	return i.update("deleting a client certificate", nil, func(next *Snapshot, tx *storage.Tx) error {
		p, err := next.target(g, authz.IAMDeleteClientCertificate, account, name)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(p.certificates, func(c ClientCertificate) bool { return c.Fingerprint == fingerprint })
		if at < 0 {
			return fmt.Errorf("%w: the user has no such client certificate", ErrNoSuchEntity)
		}
		changed := p.clone()
		changed.certificates = slices.Delete(slices.Clone(p.certificates), at, at+1)
		next.setUser(p, changed)
		return tx.Delete(kindCertificate, join(account, p.ID, hex.EncodeToString(fingerprint[:])))
	})
}

// ListClientCertificates returns a user's certificates in the order they were made, expired ones among them. The
// grant must permit authz.IAMListClientCertificates on the user's ARN.
func (s *Snapshot) ListClientCertificates(g authz.Grant, account, name string) ([]ClientCertificate, error) {
	p, err := s.target(g, authz.IAMListClientCertificates, account, name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(p.certificates), nil
}
