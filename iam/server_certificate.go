package iam

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

const (
	serverValidity = 397 * 24 * time.Hour
	serverRenewal  = 30 * 24 * time.Hour // before the end
	maxHosts       = 64
)

// ServerCertificate is what the server shows to its clients. It prints without its key.
type ServerCertificate struct {
	Chain    [][]byte      // DER: the server's certificate, then the authority's
	Key      crypto.Secret // PKCS #8, DER
	NotAfter time.Time
}

// TLS returns the certificate in the form that crypto/tls takes, which holds the private key in the clear: not to
// be printed.
func (c ServerCertificate) TLS() (tls.Certificate, error) {
	key, err := x509.ParsePKCS8PrivateKey(c.Key.Expose())
	if err != nil {
		return tls.Certificate{}, errors.New("the server's private key does not parse")
	}
	return tls.Certificate{Certificate: c.Chain, PrivateKey: key}, nil
}

// IssueServerCertificate returns a certificate for the server under hosts: DNS names and IP addresses, 1 to 64 of
// them, without regard to order and case. The one on record is returned again while it is for the same hosts, by
// the same authority, and valid for more than 30 days; otherwise one is made for 397 days with an ECDSA P-256 key
// and is durable on return. What is wrong with a host matches ErrValidation.
func (i *IAM) IssueServerCertificate(hosts []string) (ServerCertificate, error) {
	names, addresses, err := parseHosts(hosts)
	if err != nil {
		return ServerCertificate{}, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	record, err := i.storedServerCertificate()
	if err != nil {
		return ServerCertificate{}, fmt.Errorf("loading the server certificate: %w", err)
	}
	defer clear(record)
	if record != nil {
		c, hosts, err := i.readServerCertificate(record)
		if err != nil {
			return ServerCertificate{}, fmt.Errorf("loading the server certificate: %w", err)
		}
		if slices.Equal(hosts, append(names, addressStrings(addresses)...)) && time.Until(c.NotAfter) > serverRenewal {
			return c, nil
		}
	}
	fresh, err := i.newServerCertificate(names, addresses)
	if err != nil {
		return ServerCertificate{}, fmt.Errorf("issuing a server certificate: %w", err)
	}
	defer clear(fresh)
	err = i.cfg.Store.Update(func(tx *storage.Tx) error { return tx.Put(kindServer, serverPath, fresh) })
	if err != nil {
		return ServerCertificate{}, fmt.Errorf("storing the server certificate: %w", err)
	}
	c, _, err := i.readServerCertificate(fresh)
	return c, err
}

func (i *IAM) storedServerCertificate() (record []byte, err error) {
	err = i.cfg.Store.View(func(tx *storage.Tx) error {
		record, err = tx.Get(kindServer, serverPath)
		return err
	})
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	return record, err
}

// readServerCertificate also returns the hosts in the form of parseHosts; none if another authority has signed.
func (i *IAM) readServerCertificate(record []byte) (ServerCertificate, []string, error) {
	certificate, _, err := parseKeyPair(record)
	if err != nil {
		return ServerCertificate{}, nil, err
	}
	_, key, err := decodeKeyPair(record)
	if err != nil {
		return ServerCertificate{}, nil, err
	}
	c := ServerCertificate{
		Chain:    [][]byte{certificate.Raw, i.ca.certificate.Raw},
		Key:      key,
		NotAfter: certificate.NotAfter,
	}
	if certificate.CheckSignatureFrom(i.ca.certificate) != nil {
		return c, nil, nil
	}
	hosts := slices.Clone(certificate.DNSNames)
	for _, ip := range certificate.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			hosts = append(hosts, a.Unmap().String())
		}
	}
	return c, hosts, nil
}

func (i *IAM) newServerCertificate(names []string, addresses []netip.Addr) (record []byte, err error) {
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
		Subject:               pkix.Name{CommonName: "kmsd"},
		NotBefore:             start,
		NotAfter:              start.Add(serverValidity),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:              names,
	}
	for _, a := range addresses {
		template.IPAddresses = append(template.IPAddresses, a.AsSlice())
	}
	der, err := i.ca.issue(template, key.Public())
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

// A DNS name of letters, digits, hyphens and dots in lower case; no wildcard.
var dnsName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$`)

// parseHosts returns the DNS names and the addresses among hosts, each list sorted and unique.
func parseHosts(hosts []string) (names []string, addresses []netip.Addr, err error) {
	if len(hosts) == 0 || len(hosts) > maxHosts {
		return nil, nil, invalid("Hosts", "must be 1 to 64 DNS names and IP addresses")
	}
	for _, h := range hosts {
		if a, err := netip.ParseAddr(h); err == nil && a.Zone() == "" {
			addresses = append(addresses, a.Unmap())
			continue
		}
		h = strings.ToLower(h)
		if len(h) > 253 || !dnsName.MatchString(h) {
			return nil, nil, invalid("Hosts", "must be DNS names without wildcards and IP addresses without zones")
		}
		names = append(names, h)
	}
	slices.Sort(names)
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(names), slices.Compact(addresses), nil
}

func addressStrings(addresses []netip.Addr) []string {
	var s []string
	for _, a := range addresses {
		s = append(s, a.String())
	}
	return s
}
