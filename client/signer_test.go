package client

import (
	"bytes"
	"context"
	stdcrypto "crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// signingConn is a kmsd with one key of the standard library.
type signingConn struct {
	grpc.ClientConnInterface
	key   stdcrypto.Signer
	usage kmsv1.KeyUsage
	der   []byte // of another public key, if not nil

	mu   sync.Mutex
	last *kmsv1.SignRequest
}

func (c *signingConn) Invoke(_ context.Context, _ string, args, reply any, _ ...grpc.CallOption) error {
	honest(args.(proto.Message).ProtoReflect(), reply.(proto.Message).ProtoReflect())
	switch out := reply.(type) {
	case *kmsv1.GetPublicKeyResponse:
		der := c.der
		if der == nil {
			der, _ = x509.MarshalPKIXPublicKey(c.key.Public())
		}
		out.SetKeyId(testARN)
		out.SetKeyUsage(c.usage)
		out.SetPublicKey(der)
		out.SetPublicKeyCrc32C(*sumOf(der))
	case *kmsv1.SignResponse:
		r := args.(*kmsv1.SignRequest)
		c.mu.Lock()
		c.last = r
		c.mu.Unlock()
		signature, err := c.key.Sign(rand.Reader, r.GetMessage(), optionsOf(r.GetSigningAlgorithm()))
		if err != nil {
			return err
		}
		out.SetSignature(signature)
		out.SetSignatureCrc32C(*sumOf(signature))
	case *kmsv1.DecryptResponse:
		hash := stdcrypto.SHA256
		if args.(*kmsv1.DecryptRequest).GetEncryptionAlgorithm() == kmsv1.EncryptionAlgorithm_ENCRYPTION_ALGORITHM_RSAES_OAEP_SHA_1 {
			hash = stdcrypto.SHA1
		}
		plaintext, err := c.key.(*rsa.PrivateKey).Decrypt(nil, args.(*kmsv1.DecryptRequest).GetCiphertextBlob(), &rsa.OAEPOptions{Hash: hash})
		if err != nil {
			return err
		}
		out.SetPlaintext(plaintext)
		out.SetPlaintextCrc32C(*sumOf(plaintext))
	}
	return nil
}

// optionsOf says in Go's terms what kmsd's name of an algorithm says.
func optionsOf(a kmsv1.SigningAlgorithmSpec) stdcrypto.SignerOpts {
	name := a.String()
	hash := stdcrypto.SHA512
	switch {
	case strings.Contains(name, "ED25519_SHA"):
		return stdcrypto.Hash(0)
	case strings.HasSuffix(name, "256"):
		hash = stdcrypto.SHA256
	case strings.HasSuffix(name, "384"):
		hash = stdcrypto.SHA384
	}
	if strings.Contains(name, "PSS") {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	return hash
}

func (c *signingConn) client() *Client {
	cc := checked{c, ""}
	return &Client{crypto: kmsv1.NewCryptoServiceClient(cc), keys: kmsv1.NewKeyServiceClient(cc)}
}

func ecKey(t *testing.T, curve elliptic.Curve) stdcrypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ed25519Key(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSignersMakeCertificates that the standard library verifies, in every algorithm that it has, and serve TLS with them.
func TestSignersMakeCertificates(t *testing.T) {
	rsaKey := rsaKey(t)
	for _, tt := range []struct {
		algorithm x509.SignatureAlgorithm
		key       stdcrypto.Signer
	}{
		{x509.SHA256WithRSA, rsaKey},
		{x509.SHA384WithRSA, rsaKey},
		{x509.SHA512WithRSA, rsaKey},
		{x509.SHA256WithRSAPSS, rsaKey},
		{x509.SHA384WithRSAPSS, rsaKey},
		{x509.SHA512WithRSAPSS, rsaKey},
		{x509.ECDSAWithSHA256, ecKey(t, elliptic.P256())},
		{x509.ECDSAWithSHA384, ecKey(t, elliptic.P384())},
		{x509.ECDSAWithSHA512, ecKey(t, elliptic.P521())},
		{x509.PureEd25519, ed25519Key(t)},
	} {
		t.Run(tt.algorithm.String(), func(t *testing.T) {
			conn := &signingConn{key: tt.key, usage: kmsv1.KeyUsage_KEY_USAGE_SIGN_VERIFY}
			signer, err := conn.client().Signer(t.Context(), "alias/ca")
			if err != nil {
				t.Fatal(err)
			}
			der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
				SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, SignatureAlgorithm: tt.algorithm,
				NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
			}, &x509.Certificate{Subject: pkix.Name{CommonName: "localhost"}}, signer.Public(), signer)
			if err != nil {
				t.Fatalf("CreateCertificate = %v, want nil", err)
			}
			if conn.last.GetKeyId() != testARN {
				t.Errorf("signed with %q, want the key's ARN", conn.last.GetKeyId())
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := cert.CheckSignature(tt.algorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
				t.Errorf("CheckSignature = %v, want nil", err)
			}
			handshake(t, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer, Leaf: cert}, cert)
		})
	}
}

// handshake makes a TLS connection whose server has that certificate.
func handshake(t *testing.T, own tls.Certificate, root *x509.Certificate) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(root)
	a, b := net.Pipe()
	server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{own}})
	client := tls.Client(b, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	served := make(chan error, 1)
	go func() { served <- server.Handshake() }()
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Errorf("the handshake of the client = %v, want nil", err)
	}
	b.Close()
	if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "closed") {
		t.Errorf("the handshake of the server = %v, want nil", err)
	}
	a.Close()
}

// TestSignersRefuseWhatKmsdHasNot, before they call.
func TestSignersRefuseWhatKmsdHasNot(t *testing.T) {
	digest := sha256.Sum256([]byte("x"))
	rsaKey, p256, ed := rsaKey(t), ecKey(t, elliptic.P256()), ed25519Key(t)
	for _, tt := range []struct {
		name string
		key  stdcrypto.Signer
		opts stdcrypto.SignerOpts
	}{
		{"no hash", rsaKey, nil},
		{"RSA without a hash", rsaKey, stdcrypto.Hash(0)},
		{"RSA with SHA-1", rsaKey, stdcrypto.SHA1},
		{"PSS with another salt", rsaKey, &rsa.PSSOptions{SaltLength: 20, Hash: stdcrypto.SHA256}},
		{"P-256 with SHA-384", p256, stdcrypto.SHA384},
		{"P-384 with SHA-256", ecKey(t, elliptic.P384()), stdcrypto.SHA256},
		{"P-521 with SHA-256", ecKey(t, elliptic.P521()), stdcrypto.SHA256},
		{"P-224", ecKey(t, elliptic.P224()), stdcrypto.SHA256},
		{"Ed25519ph", ed, &ed25519.Options{Hash: stdcrypto.SHA512}},
		{"Ed25519ctx", ed, &ed25519.Options{Context: "c"}},
	} {
		conn := &signingConn{key: tt.key, usage: kmsv1.KeyUsage_KEY_USAGE_SIGN_VERIFY}
		signer, err := conn.client().Signer(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := signer.Sign(nil, digest[:], tt.opts); !errors.Is(err, ErrNotSupported) || got != nil || conn.last != nil {
			t.Errorf("%s: Sign = %x, %v, want ErrNotSupported and no call", tt.name, got, err)
		}
	}
	agreement := &signingConn{key: p256, usage: kmsv1.KeyUsage_KEY_USAGE_KEY_AGREEMENT}
	if _, err := agreement.client().Signer(t.Context(), "k"); !errors.Is(err, ErrNotSupported) {
		t.Errorf("Signer of a key for agreement = %v, want ErrNotSupported", err)
	}
	other := &signingConn{key: p256, usage: kmsv1.KeyUsage_KEY_USAGE_SIGN_VERIFY, der: []byte("0")}
	if _, err := other.client().Signer(t.Context(), "k"); !errors.Is(err, ErrNotSupported) {
		t.Errorf("Signer of a key that is not the standard library's = %v, want ErrNotSupported", err)
	}
}

func TestDecrypters(t *testing.T) {
	key := rsaKey(t)
	conn := &signingConn{key: key, usage: kmsv1.KeyUsage_KEY_USAGE_ENCRYPT_DECRYPT}
	d, err := conn.client().Decrypter(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []stdcrypto.Hash{stdcrypto.SHA1, stdcrypto.SHA256} {
		ciphertext, err := rsa.EncryptOAEP(hash.New(), rand.Reader, d.Public().(*rsa.PublicKey), []byte("attack"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.Decrypt(nil, ciphertext, &rsa.OAEPOptions{Hash: hash}); err != nil || !bytes.Equal(got, []byte("attack")) {
			t.Errorf("Decrypt with %v = %q, %v, want attack", hash, got, err)
		}
		for name, opts := range map[string]stdcrypto.DecrypterOpts{
			"nothing": nil, "a label": &rsa.OAEPOptions{Hash: hash, Label: []byte("l")},
			"SHA-512": &rsa.OAEPOptions{Hash: stdcrypto.SHA512}, "another MGF": &rsa.OAEPOptions{Hash: hash, MGFHash: stdcrypto.SHA512},
		} {
			if got, err := d.Decrypt(nil, ciphertext, opts); !errors.Is(err, ErrNotSupported) || got != nil {
				t.Errorf("Decrypt with %s = %q, %v, want ErrNotSupported", name, got, err)
			}
		}
	}
	if _, err := conn.client().Signer(t.Context(), "k"); !errors.Is(err, ErrNotSupported) {
		t.Errorf("Signer of a key for encryption = %v, want ErrNotSupported", err)
	}
}
