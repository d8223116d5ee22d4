package client

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	grpccredentials "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

const (
	testKeyID  = "AKIAIOSFODNN7EXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	testRole   = "arn:aws:iam::111122223333:role/night"
	testARN    = "arn:aws:kms:local:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

// authority is a certificate authority of one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key, a.pem = a.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// sign makes a certificate, by itself if there is no authority yet.
func (a *authority) sign(t testing.TB, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// client makes a client certificate and its key in PEM.
func (a *authority) client(t testing.TB) (certificate, key []byte) {
	t.Helper()
	_, k, certificate := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "alice"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// seen is what a server saw of a call.
type seen struct {
	method   string
	md       metadata.MD
	deadline time.Duration // left
	client   string        // common name of the certificate
	remote   string
	request  proto.Message
}

// fakeServer is a kmsd that encrypts by turning bits around. before, unless nil, may refuse a call; after may spoil an answer.
type fakeServer struct {
	endpoint string
	ca       *authority
	grpc     *grpc.Server
	sessions sessions

	mu     sync.Mutex
	calls  []seen
	before func(seen) error
	after  func(proto.Message)
}

func newFakeServer(t testing.TB) *fakeServer {
	t.Helper()
	ca := newAuthority(t)
	cert, key, _ := ca.sign(t, &x509.Certificate{DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{endpoint: "localhost:" + port, ca: ca}
	s.grpc = grpc.NewServer(
		grpc.Creds(grpccredentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool,
		})),
		grpc.UnaryInterceptor(s.intercept),
	)
	kmsv1.RegisterCryptoServiceServer(s.grpc, turner{})
	kmsv1.RegisterKeyServiceServer(s.grpc, keyRing{})
	stsv1.RegisterSTSServiceServer(s.grpc, &s.sessions)
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(l) }()
	t.Cleanup(func() {
		s.grpc.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("Serve = %v", err)
		}
	})
	return s
}

func (s *fakeServer) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	call := seen{method: info.FullMethod, request: req.(proto.Message)}
	call.md, _ = metadata.FromIncomingContext(ctx)
	if until, ok := ctx.Deadline(); ok {
		call.deadline = time.Until(until)
	}
	if p, ok := peer.FromContext(ctx); ok {
		call.remote = p.Addr.String()
		if info, ok := p.AuthInfo.(grpccredentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
			call.client = info.State.PeerCertificates[0].Subject.CommonName
		}
	}
	s.mu.Lock()
	s.calls = append(s.calls, call)
	before, after := s.before, s.after
	s.mu.Unlock()
	if before != nil {
		if err := before(call); err != nil {
			return nil, err
		}
	}
	out, err := handler(ctx, req)
	if err == nil && after != nil {
		after(out.(proto.Message))
	}
	return out, err
}

func (s *fakeServer) set(before func(seen) error, after func(proto.Message)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = before, after
}

func (s *fakeServer) seen() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *fakeServer) credentials() Credentials {
	return Credentials{Endpoint: s.endpoint, Region: "local", AccessKeyID: testKeyID, SecretAccessKey: crypto.NewSecret([]byte(testSecret)), CA: s.ca.pem}
}

// client returns a Client of s, whose configuration change may change.
func (s *fakeServer) client(t testing.TB, change func(*Config)) *Client {
	t.Helper()
	cfg := Config{Credentials: s.credentials()}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// turner turns all bits around.
type turner struct {
	kmsv1.UnimplementedCryptoServiceServer
}

func turn(b []byte) []byte {
	out := bytes.Clone(b)
	for i := range out {
		out[i] ^= 0xFF
	}
	return out
}

func sumOf(b []byte) *uint32 { return proto.Uint32(crypto.CRC32C(b)) }

func (turner) Encrypt(_ context.Context, r *kmsv1.EncryptRequest) (*kmsv1.EncryptResponse, error) {
	out := turn(r.GetPlaintext())
	ok := r.HasPlaintextCrc32C() && r.GetPlaintextCrc32C() == crypto.CRC32C(r.GetPlaintext())
	return kmsv1.EncryptResponse_builder{CiphertextBlob: out, KeyId: testARN, VerifiedPlaintextCrc32C: ok, CiphertextBlobCrc32C: sumOf(out)}.Build(), nil
}

func (turner) Decrypt(_ context.Context, r *kmsv1.DecryptRequest) (*kmsv1.DecryptResponse, error) {
	out := turn(r.GetCiphertextBlob())
	ok := r.HasCiphertextBlobCrc32C() && r.GetCiphertextBlobCrc32C() == crypto.CRC32C(r.GetCiphertextBlob())
	return kmsv1.DecryptResponse_builder{Plaintext: out, KeyId: testARN, VerifiedCiphertextBlobCrc32C: ok, PlaintextCrc32C: sumOf(out)}.Build(), nil
}

func (turner) ReEncrypt(_ context.Context, r *kmsv1.ReEncryptRequest) (*kmsv1.ReEncryptResponse, error) {
	out := turn(r.GetCiphertextBlob())
	ok := r.HasCiphertextBlobCrc32C() && r.GetCiphertextBlobCrc32C() == crypto.CRC32C(r.GetCiphertextBlob())
	return kmsv1.ReEncryptResponse_builder{CiphertextBlob: out, KeyId: testARN, VerifiedCiphertextBlobCrc32C: ok, CiphertextBlobCrc32C: sumOf(out)}.Build(), nil
}

func (turner) GenerateDataKey(context.Context, *kmsv1.GenerateDataKeyRequest) (*kmsv1.GenerateDataKeyResponse, error) {
	k := make([]byte, 32)
	rand.Read(k)
	return kmsv1.GenerateDataKeyResponse_builder{
		Plaintext: k, CiphertextBlob: turn(k), KeyId: testARN, PlaintextCrc32C: sumOf(k), CiphertextBlobCrc32C: sumOf(turn(k)),
	}.Build(), nil
}

func (turner) GenerateDataKeyWithoutPlaintext(context.Context, *kmsv1.GenerateDataKeyWithoutPlaintextRequest) (*kmsv1.GenerateDataKeyWithoutPlaintextResponse, error) {
	k := make([]byte, 32)
	rand.Read(k)
	return kmsv1.GenerateDataKeyWithoutPlaintextResponse_builder{CiphertextBlob: turn(k), KeyId: testARN, CiphertextBlobCrc32C: sumOf(turn(k))}.Build(), nil
}

func (turner) GenerateRandom(_ context.Context, r *kmsv1.GenerateRandomRequest) (*kmsv1.GenerateRandomResponse, error) {
	k := make([]byte, r.GetNumberOfBytes())
	rand.Read(k)
	return kmsv1.GenerateRandomResponse_builder{Plaintext: k, PlaintextCrc32C: sumOf(k)}.Build(), nil
}

// keyRing answers everything that a test asks of keys.
type keyRing struct {
	kmsv1.UnimplementedKeyServiceServer
}

func (keyRing) CreateKey(context.Context, *kmsv1.CreateKeyRequest) (*kmsv1.CreateKeyResponse, error) {
	return kmsv1.CreateKeyResponse_builder{}.Build(), nil
}

func (keyRing) RotateKeyOnDemand(context.Context, *kmsv1.RotateKeyOnDemandRequest) (*kmsv1.RotateKeyOnDemandResponse, error) {
	return kmsv1.RotateKeyOnDemandResponse_builder{}.Build(), nil
}

func (keyRing) EnableKey(context.Context, *kmsv1.EnableKeyRequest) (*kmsv1.EnableKeyResponse, error) {
	return kmsv1.EnableKeyResponse_builder{}.Build(), nil
}

// sessions opens sessions of every role, numbered: ASIA…1, ASIA…2 and so on, good for an hour.
type sessions struct {
	stsv1.UnimplementedSTSServiceServer
	n atomic.Int64
}

func (s *sessions) next() *stsv1.Credentials {
	n := s.n.Add(1)
	return stsv1.Credentials_builder{
		AccessKeyId: fmt.Sprintf("ASIAIOSFODNN7EXA%04d", n), SecretAccessKey: fmt.Sprintf("secret-of-%d", n), SessionToken: fmt.Sprintf("token-of-%d", n),
		Expiration: timestamppb.New(time.Now().Add(time.Hour)),
	}.Build()
}

func (s *sessions) AssumeRole(context.Context, *stsv1.AssumeRoleRequest) (*stsv1.AssumeRoleResponse, error) {
	return stsv1.AssumeRoleResponse_builder{Credentials: s.next()}.Build(), nil
}

func (s *sessions) AssumeRoleWithWebIdentity(context.Context, *stsv1.AssumeRoleWithWebIdentityRequest) (*stsv1.AssumeRoleWithWebIdentityResponse, error) {
	return stsv1.AssumeRoleWithWebIdentityResponse_builder{Credentials: s.next()}.Build(), nil
}

func (s *sessions) GetCallerIdentity(context.Context, *stsv1.GetCallerIdentityRequest) (*stsv1.GetCallerIdentityResponse, error) {
	return &stsv1.GetCallerIdentityResponse{}, nil
}
