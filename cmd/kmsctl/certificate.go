package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// certificateView is a client certificate as JSON shows it.
type certificateView struct {
	UserName      string    `json:"user_name"`
	CertificateID string    `json:"certificate_id"`
	Status        string    `json:"status"`
	Uploaded      time.Time `json:"upload_date"`
	Expiration    time.Time `json:"expiration"`
}

func viewOfCertificate(c *iamv1.ClientCertificate) certificateView {
	return certificateView{c.GetUserName(), c.GetCertificateId(), statusOf(c.GetStatus()), c.GetUploadDate().AsTime(), c.GetExpiration().AsTime()}
}

// keyAndRequest makes a key and a request to sign a certificate for it, both PEM.
func keyAndRequest(name string) (crypto.Secret, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return crypto.Secret{}, "", fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return crypto.Secret{}, "", fmt.Errorf("making a key: %w", err)
	}
	defer clear(der)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		return crypto.Secret{}, "", fmt.Errorf("making a certificate request: %w", err)
	}
	secret := crypto.NewSecret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return secret, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), nil
}

func (a *app) createCertificateCommand() *cobra.Command {
	var out, lasts string
	cmd := &cobra.Command{
		Use: "create-certificate NAME --out FILE", Short: "make a client certificate of a user, into a credentials file", Args: takes("NAME"),
		Long: `create-certificate makes an ECDSA P-256 key on this machine, lets kmsd sign a certificate for it, and writes a credentials file (mode 0600) with both,
the endpoint and the CA of the current ones. The key never leaves this machine. A user can have five certificates.`,
		Example: "  kmsctl user create-certificate alice --out alice.yaml --duration 30d\n  kmsctl --credentials alice.yaml whoami",
	}
	cmd.Flags().StringVar(&out, "out", "", "credentials `FILE` to make; it must not exist")
	cmd.Flags().StringVar(&lasts, "duration", "90d", "how long the certificate is good, 1h to 825d")
	required(cmd, "out")
	cmd.RunE = a.runs(func(ctx context.Context, args []string) error {
		d, err := duration("duration", lasts)
		if err != nil {
			return err
		}
		if out == standard {
			return usage("--out takes a file")
		}
		if err := absent(out, "choose another name"); err != nil {
			return err
		}
		c, creds, err := a.connect(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		return a.createCertificate(ctx, c, creds, args[0], out, d)
	})
	return cmd
}

func (a *app) createCertificate(ctx context.Context, c *client.Client, creds client.Credentials, name, out string, lasts time.Duration) error {
	key, csr, err := keyAndRequest(name)
	if err != nil {
		return err
	}
	defer key.Wipe()
	r, err := c.IAM().CreateClientCertificate(ctx, iamv1.CreateClientCertificateRequest_builder{
		UserName: name, CertificateSigningRequest: csr, DurationSeconds: int64(lasts / time.Second),
	}.Build())
	if err != nil {
		return err
	}
	v := viewOfCertificate(r.GetCertificate())
	err = writeCredentials(out, client.Credentials{
		Endpoint: creds.Endpoint, Region: creds.Region, CA: creds.CA, Certificate: []byte(r.GetCertificate().GetCertificateBody()), Key: key,
	})
	if err != nil {
		return undo(err, "the certificate "+v.CertificateID, func(ctx context.Context) error {
			_, err := c.IAM().DeleteClientCertificate(ctx, iamv1.DeleteClientCertificateRequest_builder{UserName: name, CertificateId: v.CertificateID}.Build())
			return err
		})
	}
	return a.done(v, "wrote the certificate of %s, good until %s, to %s", v.UserName, stamp(v.Expiration), out)
}

func (a *app) certificatesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "certificates NAME", Short: "list a user's client certificates", Args: takes("NAME"),
		Long:    "certificates lists a user's client certificates. A certificate's id is its SHA-256.",
		Example: "  kmsctl user certificates alice",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.IAM().ListClientCertificates(ctx, iamv1.ListClientCertificatesRequest_builder{UserName: args[0]}.Build())
			if err != nil {
				return err
			}
			all := []certificateView{}
			v := view{header: []string{"CERTIFICATE ID", "STATUS", "SIGNED", "EXPIRES"}, empty: args[0] + " has no client certificates"}
			for _, cert := range out.GetCertificates() {
				one := viewOfCertificate(cert)
				all = append(all, one)
				v.rows = append(v.rows, []string{one.CertificateID, one.Status, stamp(one.Uploaded), stamp(one.Expiration)})
			}
			return a.emit(all, func() view { return v })
		}),
	}
}

func (a *app) deleteCertificateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete-certificate NAME CERTIFICATE-ID", Short: "end a client certificate, at once", Args: takes("NAME", "CERTIFICATE-ID"),
		Long:    "delete-certificate removes a client certificate: whoever holds it can sign in no more, at once.",
		Example: "  kmsctl user delete-certificate alice 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Delete the certificate %s of %s?", args[1], args[0]); err != nil {
				return err
			}
			_, err := c.IAM().DeleteClientCertificate(ctx, iamv1.DeleteClientCertificateRequest_builder{UserName: args[0], CertificateId: args[1]}.Build())
			if err != nil {
				return err
			}
			return a.done(removed{UserName: args[0], CertificateID: args[1]}, "deleted the certificate %s of %s", args[1], args[0])
		}),
	}
}
