package daemon

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/gateway/k8s"
	"github.com/kmsd/kmsd/internal/unixsocket"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// K8sConfig says how a Kubernetes API server on the same machine reaches its KMS v2 plugin. All or none.
type K8sConfig struct {
	// Socket is the path of the unix socket, mode 0600, in a folder that exists; as absolute in the API server's configuration.
	Socket string `yaml:"socket,omitempty"`
	// KeyID is the key: id, ARN or alias.
	KeyID string `yaml:"key_id,omitempty"`
	// CredentialsFile holds the access key of the user who the plugin calls as, who may kms:Encrypt and kms:Decrypt with the key.
	CredentialsFile string `yaml:"credentials_file,omitempty"`
}

func (k K8sConfig) check() error {
	if k == (K8sConfig{}) || k.Socket != "" && k.KeyID != "" && k.CredentialsFile != "" {
		return nil
	}
	return errors.New("k8s: socket, key_id and credentials_file go together")
}

// listenK8s opens the socket of the plugin, nil if none is configured. The plugin calls kmsd in process, as the user whose access key it has: no
// name, certificate or port of kmsd's has to be right for that, and the audit log tells the calls from those over the network.
func (d *Daemon) listenK8s() (*door, error) {
	cfg := d.cfg.K8s
	if cfg == (K8sConfig{}) {
		return nil, nil
	}
	credentials, err := client.LoadFile(d.cfg.path(cfg.CredentialsFile))
	if err != nil {
		return nil, fmt.Errorf("k8s.credentials_file: %w", err)
	}
	socket, err := filepath.Abs(d.cfg.path(cfg.Socket))
	if err != nil {
		return nil, fmt.Errorf("k8s.socket: %w", err)
	}
	conn, err := credentials.InProcess(k8s.InProcess(d.server.InProcess(), socket))
	if err != nil {
		return nil, fmt.Errorf("k8s.credentials_file: %w", err)
	}
	plugin, err := k8s.New(k8s.Config{Crypto: kmsv1.NewCryptoServiceClient(conn), KeyID: cfg.KeyID, Log: d.log})
	if err != nil {
		return nil, fmt.Errorf("k8s: %w", err)
	}
	l, err := unixsocket.Listen(socket)
	if err != nil {
		return nil, fmt.Errorf("k8s.socket: %w", err)
	}
	return &door{plugin, l}, nil
}
