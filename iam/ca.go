package iam

import (
	stdcrypto "crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

const (
	authorityYears = 10
	// clockAllowance is how long before its making a certificate becomes valid, for peers whose clocks are behind.
	clockAllowance = 5 * time.Minute
)

// authority is the certificate authority of one store: it signs client certificates, which count only while they
// are on record, and the server's own. Its private key is behind a closure and, at rest, in the sealed store only.
type authority struct {
	certificate *x509.Certificate
	issue       func(template *x509.Certificate, public any) (der []byte, err error)
}

// newAuthority makes an authority for 10 years and its record, which the caller clears after the transaction.
func newAuthority(account string) (record []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	start := present().Add(-clockAllowance)
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "kmsd CA of account " + account},
		NotBefore:             start,
		NotAfter:              start.AddDate(authorityYears, 0, 0),
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	secret, err := marshalKey(key)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	return encodeKeyPair(der, secret), nil
}

func marshalKey(key *ecdsa.PrivateKey) (crypto.Secret, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return crypto.Secret{}, errors.New("encoding a private key")
	}
	return crypto.NewSecret(der), nil
}

func loadAuthority(tx *storage.Tx) (*authority, error) {
	data, err := tx.Get(kindAuthority, authorityPath)
	if err != nil {
		return nil, fmt.Errorf("the certificate authority: %w", err)
	}
	defer clear(data)
	certificate, key, err := parseKeyPair(data)
	if err != nil {
		return nil, fmt.Errorf("the certificate authority: %w", err)
	}
	if !certificate.IsCA {
		return nil, errors.New("the certificate authority: its certificate is not an authority's")
	}
	return &authority{
		certificate: certificate,
		issue: func(template *x509.Certificate, public any) ([]byte, error) {
			if template.NotAfter.After(certificate.NotAfter) {
				template.NotAfter = certificate.NotAfter // no certificate is good for longer than its authority's
			}
			return x509.CreateCertificate(rand.Reader, template, certificate, public, key)
		},
	}, nil
}

// parseKeyPair reads a record of a certificate and the ECDSA key that belongs to it.
func parseKeyPair(record []byte) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	der, secret, err := decodeKeyPair(record)
	if err != nil {
		return nil, nil, err
	}
	defer secret.Wipe()
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, errors.New("the certificate does not parse")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(secret.Expose())
	if err != nil {
		return nil, nil, errors.New("the private key does not parse")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(stdcrypto.PublicKey(certificate.PublicKey)) {
		return nil, nil, errors.New("the private key is not the certificate's")
	}
	return certificate, key, nil
}

// newSerial returns 128 random bits, not all zero.
func newSerial() (*big.Int, error) {
	limit := new(big.Int).Lsh(big.NewInt(1), 128)
	n, err := rand.Int(rand.Reader, limit.Sub(limit, big.NewInt(1)))
	if err != nil {
		return nil, err
	}
	return n.Add(n, big.NewInt(1)), nil
}

// CAPool returns a pool that holds the certificate authority, for checking clients and for checking the server.
// The caller owns it.
func (i *IAM) CAPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.ca.certificate)
	return pool
}

// CACertificate returns the authority's certificate in PEM, for clients to check the server with. It is not secret.
func (i *IAM) CACertificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.ca.certificate.Raw})
}
