package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// The files that setup makes in its folder.
const (
	accessKeyFile   = "access-key.yaml"
	certificateFile = "certificate.yaml"
	answersFile     = "answers.json"
)

// userName is who calls in the benchmarks.
const userName = "bench"

// setupTime is how long setup may take, the start of kmsd included.
const setupTime = 30 * time.Second

// sizes are the lengths of the plaintexts that answers are recorded for.
func sizes() []int { return []int{64, 1024, 4096} }

func setupCommand(ctx context.Context, args []string, stderr io.Writer) error {
	f := flag.NewFlagSet("load setup", flag.ContinueOnError)
	root := f.String("credentials", "", "the root user's credentials file of a fresh kmsd (required)")
	dir := f.String("dir", "", "the folder to write "+accessKeyFile+", "+certificateFile+" and "+answersFile+" to (required)")
	if err := parse(f, args, stderr); err != nil {
		return err
	}
	if *root == "" || *dir == "" {
		return errors.New("--credentials and --dir are required")
	}
	ctx, cancel := context.WithTimeout(ctx, setupTime)
	defer cancel()
	credentials, err := client.LoadFile(*root)
	if err != nil {
		return err
	}
	c, err := client.New(client.Config{Credentials: credentials, Timeout: setupTime})
	if err != nil {
		return err
	}
	defer c.Close() // everything was answered
	if _, err := c.STS().GetCallerIdentity(ctx, &stsv1.GetCallerIdentityRequest{}, grpc.WaitForReady(true)); err != nil {
		return fmt.Errorf("waiting for kmsd: %w", err)
	}
	if err := makeUser(ctx, c); err != nil {
		return err
	}
	if err := makeCredentials(ctx, c, credentials, *dir); err != nil {
		return err
	}
	return record(ctx, filepath.Join(*dir, accessKeyFile), filepath.Join(*dir, answersFile))
}

// makeUser makes the key, its alias, and the user with a policy of one statement that allows what is measured on that key.
func makeUser(ctx context.Context, c *client.Client) error {
	key, err := c.Keys().CreateKey(ctx, &kmsv1.CreateKeyRequest{})
	if err != nil {
		return fmt.Errorf("making the key: %w", err)
	}
	arn := key.GetKeyMetadata().GetArn()
	if _, err := c.Keys().CreateAlias(ctx, kmsv1.CreateAliasRequest_builder{AliasName: keyName, TargetKeyId: key.GetKeyMetadata().GetKeyId()}.Build()); err != nil {
		return fmt.Errorf("making the alias: %w", err)
	}
	if _, err := c.IAM().CreateUser(ctx, iamv1.CreateUserRequest_builder{UserName: userName}.Build()); err != nil {
		return fmt.Errorf("making the user: %w", err)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt","kms:GenerateDataKey","kms:DescribeKey"],"Resource":"` + arn + `"}]}`
	_, err = c.IAM().PutUserPolicy(ctx, iamv1.PutUserPolicyRequest_builder{UserName: userName, PolicyName: "bench", PolicyDocument: policy}.Build())
	if err != nil {
		return fmt.Errorf("giving the user a policy: %w", err)
	}
	return nil
}

// makeCredentials gives the user an access key and a client certificate, each in a credentials file.
func makeCredentials(ctx context.Context, c *client.Client, root client.Credentials, dir string) error {
	made, err := c.IAM().CreateAccessKey(ctx, iamv1.CreateAccessKeyRequest_builder{UserName: userName}.Build())
	if err != nil {
		return fmt.Errorf("making the access key: %w", err)
	}
	err = write(filepath.Join(dir, accessKeyFile), client.Credentials{
		Endpoint: root.Endpoint, Region: root.Region, CA: root.CA,
		AccessKeyID: made.GetAccessKey().GetAccessKeyId(), SecretAccessKey: crypto.NewSecret([]byte(made.GetAccessKey().GetSecretAccessKey())),
	})
	if err != nil {
		return err
	}
	csr, key, err := newRequest()
	if err != nil {
		return err
	}
	signed, err := c.IAM().CreateClientCertificate(ctx, iamv1.CreateClientCertificateRequest_builder{UserName: userName, CertificateSigningRequest: csr}.Build())
	if err != nil {
		return fmt.Errorf("making the client certificate: %w", err)
	}
	return write(filepath.Join(dir, certificateFile), client.Credentials{
		Endpoint: root.Endpoint, Region: root.Region, CA: root.CA, Certificate: []byte(signed.GetCertificate().GetCertificateBody()), Key: key,
	})
}

// newRequest makes a private key and a certificate signing request for it, both PEM.
func newRequest() (csr string, key crypto.Secret, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", crypto.Secret{}, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
	if err != nil {
		return "", crypto.Secret{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", crypto.Secret{}, err
	}
	csr = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))
	return csr, crypto.NewSecret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

func write(path string, c client.Credentials) error {
	b, err := c.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, client.FileMode)
}
