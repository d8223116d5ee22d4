// Command echo is the server that kmsd is compared with: grpc-go as it comes, over TLS 1.3, that answers Encrypt, Decrypt, GenerateDataKey and
// DescribeKey with what kmsd once answered to a request as long (load setup records it). It decodes the request, looks up the answer by the
// request's length, and encodes that. It does not authenticate, authorize, encrypt or record anything.
//
// Trust: none is asked for. It serves on loopback, with a certificate that it makes for itself, what is in its file of answers.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stderr io.Writer) int {
	f := flag.NewFlagSet("echo", flag.ContinueOnError)
	f.SetOutput(stderr)
	answers := f.String("answers", "", "the file of answers that load setup made (required)")
	from := f.String("from", "", "credentials files for kmsd, comma-separated (required)")
	to := f.String("to", "", "the same for this server, to be written once it serves, comma-separated (required)")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if err := serve(ctx, *answers, strings.Split(*from, ","), strings.Split(*to, ",")); err != nil {
		fmt.Fprintf(stderr, "error: echo: %v\n", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, answers string, from, to []string) error {
	if len(from) != len(to) {
		return errors.New("--from and --to name different numbers of files")
	}
	recorded, err := load(answers)
	if err != nil {
		return err
	}
	certificate, ca, err := issue()
	if err != nil {
		return fmt.Errorf("making a certificate: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	// Stock options: whatever kmsd gains over them is its own. Like kmsd it asks for a client certificate, and does not look at it.
	config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	kmsv1.RegisterCryptoServiceServer(server, cryptoService{answers: recorded})
	kmsv1.RegisterKeyServiceServer(server, keyService{answers: recorded})
	context.AfterFunc(ctx, server.Stop)
	for i := range from {
		if err := rewrite(from[i], to[i], l.Addr().String(), ca); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	return server.Serve(l)
}

// issue makes a certificate for 127.0.0.1 with a key of the kind that kmsd's own certificate has, and returns it as PEM too.
func issue() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// rewrite makes credentials for this server of credentials for kmsd, so that requests to both carry the same metadata.
func rewrite(from, to, endpoint string, ca []byte) error {
	c, err := client.LoadFile(from)
	if err != nil {
		return err
	}
	c.Endpoint, c.CA = endpoint, ca
	b, err := c.Marshal()
	if err != nil {
		return err
	}
	// Whole or not at all: who waits for the file finds it complete.
	if err := os.WriteFile(to+".tmp", b, client.FileMode); err != nil {
		return err
	}
	return os.Rename(to+".tmp", to)
}
