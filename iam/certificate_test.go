package iam

import (
	stdcrypto "crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kmsd/kmsd/authz"
)

func ecdsaKey(t testing.TB) stdcrypto.Signer {
	t.Helper()
	return ecdsaKeyOn(t, elliptic.P256())
}

func ecdsaKeyOn(t testing.TB, curve elliptic.Curve) stdcrypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t testing.TB, bits int) stdcrypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemCSR(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// newCSR asks for far more than it is to get.
func newCSR(t testing.TB, key stdcrypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "root", Organization: []string{"admins"}},
		DNSNames: []string{"kms.example.org"},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pemCSR(der)
}

func (w *world) createCertificate(name string, csr []byte, validity time.Duration) (ClientCertificate, error) {
	w.t.Helper()
	return w.CreateClientCertificate(w.on(authz.IAMCreateClientCertificate, name), testAccount, name, csr, validity)
}

func TestClientCertificate(t *testing.T) {
	w := newWorld(t)
	u, err := w.createUser("ann+x@y=z", "/div/")
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]stdcrypto.Signer{
		"P-256": ecdsaKey(t), "P-384": ecdsaKeyOn(t, elliptic.P384()), "RSA 2048": rsaKey(t, 2048), "Ed25519": ed25519Key(t),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := w.createCertificate(u.Name, newCSR(t, key), 0)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := x509.ParseCertificate(c.DER)
			if err != nil {
				t.Fatal(err)
			}
			if cert.Subject.String() != (pkix.Name{CommonName: u.Name}).String() || len(cert.DNSNames)+len(cert.EmailAddresses)+len(cert.IPAddresses) > 0 {
				t.Errorf("the certificate names %q %v, want the user only", cert.Subject, cert.DNSNames)
			}
			if len(cert.URIs) != 1 || cert.URIs[0].String() != u.ARN {
				t.Errorf("the certificate's URIs = %v, want %s", cert.URIs, u.ARN)
			}
			if got := time.Until(cert.NotAfter); got > DefaultCertificateValidity || got < DefaultCertificateValidity-time.Minute {
				t.Errorf("the certificate is valid for %v, want 90 days", got)
			}
			if cert.IsCA || cert.SerialNumber.BitLen() < 64 || cert.KeyUsage != x509.KeyUsageDigitalSignature {
				t.Errorf("IsCA %v, serial of %d bits, usage %v", cert.IsCA, cert.SerialNumber.BitLen(), cert.KeyUsage)
			}
			for usage, want := range map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageClientAuth: true, x509.ExtKeyUsageServerAuth: false, x509.ExtKeyUsageCodeSigning: false} {
				_, err := cert.Verify(x509.VerifyOptions{Roots: w.CAPool(), KeyUsages: []x509.ExtKeyUsage{usage}})
				if (err == nil) != want {
					t.Errorf("Verify for usage %v = %v, want success %v", usage, err, want)
				}
			}
			cred, ok := w.Snapshot().Certificate(c.Fingerprint)
			if !ok || cred.PrincipalID != u.ID || cred.Account != u.Account || cred.Method != ByCertificate || cred.Secret().Len() != 0 || cred.UserName != u.Name {
				t.Errorf("Certificate(…) = %+v, %v", cred, ok)
			}
			if err := errors.Join(cred.Usable(time.Now()), cred.Usable(c.NotAfter.Add(-1))); err != nil {
				t.Errorf("Usable = %v, want nil", err)
			}
			if err := cred.Usable(c.NotAfter); !errors.Is(err, ErrExpired) {
				t.Errorf("Usable at the end = %v, want %v", err, ErrExpired)
			}
			if cred.SigningKey("20261123", "local", Service).Date() != "" {
				t.Error("a certificate has a signing key")
			}
		})
	}
	w.reopen()
	if _, err := w.createCertificate(u.Name, newCSR(t, ecdsaKey(t)), MinCertificateValidity); err != nil {
		t.Fatal(err)
	}
	if _, err := w.createCertificate(u.Name, newCSR(t, ecdsaKey(t)), 0); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("a sixth certificate = %v, want %v", err, ErrLimitExceeded)
	}
	list, err := w.Snapshot().ListClientCertificates(w.on(authz.IAMListClientCertificates, u.Name), testAccount, u.Name)
	if err != nil || len(list) != MaxCertificatesPerUser {
		t.Fatalf("ListClientCertificates = %d, %v, want %d", len(list), err, MaxCertificatesPerUser)
	}
	remove := func() error {
		return w.DeleteClientCertificate(w.on(authz.IAMDeleteClientCertificate, u.Name), testAccount, u.Name, list[2].Fingerprint)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.Snapshot().Certificate(list[2].Fingerprint); ok {
		t.Error("a deleted certificate is still a credential")
	}
	if err := remove(); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("deleting it again = %v, want %v", err, ErrNoSuchEntity)
	}
	w.reopen()
}

func ed25519Key(t testing.TB) stdcrypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestCreateClientCertificateRefuses(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	good := newCSR(t, ecdsaKey(t))
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	block, _ := pem.Decode(good)
	forged := append([]byte(nil), block.Bytes...)
	forged[len(forged)-1] ^= 1
	otherName := append([]byte(nil), block.Bytes...)
	at := strings.Index(string(otherName), "kms.example.org")
	otherName[at] = 'x'
	rows := []struct {
		name     string
		user     string
		csr      []byte
		validity time.Duration
		want     error
	}{
		{"a good one", "ann", good, time.Hour, nil},
		{"the longest validity", "ann", good, MaxCertificateValidity, nil},
		{"too short a validity", "ann", good, time.Hour - time.Second, ErrValidation},
		{"a negative validity", "ann", good, -time.Hour, ErrValidation},
		{"too long a validity", "ann", good, MaxCertificateValidity + time.Second, ErrValidation},
		{"a broken signature", "ann", pemCSR(forged), 0, ErrValidation},
		{"a body that was changed after signing", "ann", pemCSR(otherName), 0, ErrValidation},
		{"trailing bytes in the request", "ann", pemCSR(append(block.Bytes[:len(block.Bytes):len(block.Bytes)], 0)), 0, ErrValidation},
		{"no PEM", "ann", block.Bytes, 0, ErrValidation},
		{"nothing", "ann", nil, 0, ErrValidation},
		{"a certificate instead", "ann", w.CACertificate(), 0, ErrValidation},
		{"two requests", "ann", append(good[:len(good):len(good)], good...), 0, ErrValidation},
		{"a large one", "ann", append(good[:len(good):len(good)], make([]byte, maxCSRBytes)...), 0, ErrValidation},
		{"RSA of 3072 bits by OpenSSL", "ann", read("rsa-3072.csr"), 0, nil},
		{"RSA of 1024 bits", "ann", read("rsa-1024.csr"), 0, ErrValidation},
		{"RSA with exponent 3", "ann", read("rsa-exponent-3.csr"), 0, ErrValidation},
		{"a signature over SHA-1", "ann", read("rsa-sha1.csr"), 0, ErrValidation},
		{"P-521", "ann", newCSR(t, ecdsaKeyOn(t, elliptic.P521())), 0, ErrValidation},
		{"P-224", "ann", newCSR(t, ecdsaKeyOn(t, elliptic.P224())), 0, ErrValidation},
		{"for the root user", RootName, good, 0, ErrValidation},
		{"for nobody", "nobody", good, 0, ErrNoSuchEntity},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if _, err := w.createCertificate(r.user, r.csr, r.validity); !errors.Is(err, r.want) {
				t.Errorf("CreateClientCertificate = %v, want %v", err, r.want)
			}
		})
	}
}

func TestAuthority(t *testing.T) {
	w := newWorld(t)
	ca := w.ca.certificate
	if !ca.IsCA || ca.MaxPathLen != 0 || !ca.MaxPathLenZero || ca.KeyUsage&x509.KeyUsageCertSign == 0 {
		t.Errorf("IsCA %v, path length %d %v, usage %v", ca.IsCA, ca.MaxPathLen, ca.MaxPathLenZero, ca.KeyUsage)
	}
	if years := ca.NotAfter.Sub(ca.NotBefore).Hours() / 24 / 365; years < 10 || years > 10.1 {
		t.Errorf("the authority is valid for %.2f years, want 10", years)
	}
	block, rest := pem.Decode(w.CACertificate())
	if block == nil || len(rest) > 0 || string(block.Bytes) != string(ca.Raw) {
		t.Error("CACertificate is not the authority's certificate in PEM")
	}
	der, err := w.ca.issue(&x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: ca.NotAfter.Add(time.Hour)}, ecdsaKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	if c, err := x509.ParseCertificate(der); err != nil || !c.NotAfter.Equal(ca.NotAfter) {
		t.Errorf("a certificate is good until %v, %v, want the authority's %v", c.NotAfter, err, ca.NotAfter)
	}
	w.reopen()
	if !w.ca.certificate.Equal(ca) {
		t.Error("opened again, the authority is another")
	}
}

func TestServerCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		issue := func(hosts ...string) ServerCertificate {
			t.Helper()
			c, err := w.IssueServerCertificate(hosts)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		same := func(a, b ServerCertificate) bool {
			return string(a.Chain[0]) == string(b.Chain[0]) && a.Key.Equal(b.Key)
		}
		first := issue("kms.example.org", "LOCALHOST", "127.0.0.1", "::1")
		cert, err := x509.ParseCertificate(first.Chain[0])
		if err != nil {
			t.Fatal(err)
		}
		for host, want := range map[string]bool{"kms.example.org": true, "localhost": true, "127.0.0.1": true, "[::1]": true, "other": false, "127.0.0.2": false} {
			_, err := cert.Verify(x509.VerifyOptions{Roots: w.CAPool(), DNSName: host})
			if (err == nil) != want {
				t.Errorf("Verify for %q = %v, want success %v", host, err, want)
			}
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: w.CAPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
			t.Error("the server's certificate passes for a client's")
		}
		w.reopen()
		if !same(first, issue("::1", "localhost", "kms.example.org", "127.0.0.1", "localhost")) {
			t.Error("the same hosts in another order give another certificate")
		}
		second := issue("kms.example.org")
		if same(first, second) {
			t.Error("other hosts give the same certificate")
		}
		time.Sleep(time.Until(second.NotAfter) - 30*24*time.Hour - time.Second)
		if !same(second, issue("kms.example.org")) {
			t.Error("a certificate of more than 30 days is not kept")
		}
		time.Sleep(2 * time.Second)
		third := issue("kms.example.org")
		if same(second, third) || time.Until(third.NotAfter) < 396*24*time.Hour {
			t.Error("a certificate of less than 30 days is not renewed")
		}
		for _, bad := range [][]string{nil, {""}, {"*.example.org"}, {"a b"}, {"-a"}, {"a..b"}, {"fe80::1%eth0"}, {"kms:443"}, {strings.Repeat("a", 64)}, make([]string, 65)} {
			if _, err := w.IssueServerCertificate(bad); !errors.Is(err, ErrValidation) {
				t.Errorf("IssueServerCertificate(%q) = %v, want %v", bad, err, ErrValidation)
			}
		}
	})
}

// A client and the server prove themselves to each other by certificates of the authority alone.
func TestMutualTLS(t *testing.T) {
	w := newWorld(t)
	w.mustUser("ann")
	key := ecdsaKey(t)
	c, err := w.createCertificate("ann", newCSR(t, key), 0)
	if err != nil {
		t.Fatal(err)
	}
	server, err := w.IssueServerCertificate([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	serverCert, err := server.TLS()
	if err != nil {
		t.Fatal(err)
	}
	client := tls.Certificate{Certificate: [][]byte{c.DER}, PrivateKey: key}
	if err := handshake(w, client, serverCert); err != nil {
		t.Errorf("handshake = %v, want nil", err)
	}
	if err := handshake(w, serverCert, serverCert); err == nil {
		t.Error("the server's certificate lets a client in")
	}
	if err := handshake(w, client, client); err == nil {
		t.Error("a client's certificate serves")
	}
	if err := handshake(newWorld(t), client, serverCert); err == nil {
		t.Error("another authority's certificates are accepted")
	}
}

func handshake(w *world, client, server tls.Certificate) error {
	a, b := net.Pipe()
	s := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: w.CAPool(), ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13})
	c := tls.Client(b, &tls.Config{Certificates: []tls.Certificate{client}, RootCAs: w.CAPool(), ServerName: "localhost", MinVersion: tls.VersionTLS13})
	done := make(chan error, 1)
	go func() { done <- s.Handshake(); a.Close() }()
	err := c.Handshake()
	b.Close()
	return errors.Join(err, <-done)
}

func FuzzParseCSR(f *testing.F) {
	f.Add(newCSR(f, ecdsaKey(f)))
	f.Add(newCSR(f, ed25519Key(f)))
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		public, err := parseCSR(data)
		if (err == nil) != (public != nil) {
			t.Errorf("parseCSR = %v, %v", public, err)
		}
		if err != nil && !errors.Is(err, ErrValidation) {
			t.Errorf("parseCSR = %v, want %v", err, ErrValidation)
		}
	})
}
