package clients

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"gocloud.dev/secrets"
)

// TestDefaultRegion runs the clients that take ARNs apart against a kmsd as kmsd init makes it, whose region is none of AWS's.
func TestDefaultRegion(t *testing.T) {
	k, err := startKmsd("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.close(); err != nil {
			t.Error(err)
		}
	})
	c := newClient(t, "in kmsd's default region: ARNs", k.region)
	k.setenv(t)
	arn := k.madeKey(t, "alias/local")
	want(t, "region", k.region, "local")
	c.run(t, "sops", func(t *testing.T) {
		f := &sopsFolder{k: k, dir: t.TempDir()}
		f.write(t, "secrets.yaml", plainYAML, 0o600)
		f.sops(t, "encrypt", "--in-place", "--kms", arn, "secrets.yaml")
		want(t, "what decrypt prints", f.sops(t, "decrypt", "secrets.yaml"), plainYAML)
	})
	c.run(t, "Tink", func(t *testing.T) {
		kms, err := awskms.NewClientWithOptions(t.Context(), "aws-kms://"+arn)
		if err != nil {
			t.Fatal(err)
		}
		remote, err := kms.GetAEAD("aws-kms://" + arn)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := remote.Decrypt(must(remote.Encrypt([]byte("plaintext"), []byte("data")))(t), []byte("data"))
		if err != nil || string(opened) != "plaintext" {
			t.Errorf("Decrypt = %q, %v", opened, err)
		}
	})
	c.run(t, "gocloud.dev", func(t *testing.T) {
		keeper, err := secrets.OpenKeeper(t.Context(), "awskms:///"+arn)
		if err != nil {
			t.Fatal(err)
		}
		defer keeper.Close()
		opened, err := keeper.Decrypt(t.Context(), must(keeper.Encrypt(t.Context(), []byte("plaintext")))(t))
		if err != nil || string(opened) != "plaintext" {
			t.Errorf("Decrypt = %q, %v", opened, err)
		}
	})
	if _, err := exec.LookPath("node"); err != nil {
		c.run(t, "Encryption SDK", func(t *testing.T) { c.skip(t, "node is not installed") })
		return
	}
	nodeCases(t, c, environment(k.env()...), "esdk.mjs", arn, k.madeKey(t, "alias/local-other"),
		filepath.Join(k.bin, "kmsctl"), filepath.Join(k.data, "root-credentials.yaml"), t.TempDir())
}
