package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// kubernetes is the plugin and where it is reached.
type kubernetes struct {
	plugin   *k8s.Plugin
	listener net.Listener
}

// listenK8s opens the socket of the plugin, nil if none is configured. The plugin calls kmsd in process, as the user whose access key it has: no
// name, certificate or port of kmsd's has to be right for that, and the audit log tells the calls from those over the network.
func (d *Daemon) listenK8s() (*kubernetes, error) {
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
	return &kubernetes{plugin, l}, nil
}

// serve answers the API server.
func (k *kubernetes) serve(d *Daemon) {
	if k == nil {
		return
	}
	d.done.Go(func() {
		if err := k.plugin.Serve(k.listener); err != nil {
			d.fatal(err)
		}
	})
	d.log.Info("serving Kubernetes", "socket", k.listener.Addr().String(), "key", d.cfg.K8s.KeyID)
}

// shutdown takes no more calls, and finishes those under way until ctx ends.
func (k *kubernetes) shutdown(ctx context.Context) {
	if k != nil {
		k.plugin.Shutdown(ctx)
	}
}

// close closes the socket of a plugin that was never served.
func (k *kubernetes) close() {
	if k != nil {
		k.listener.Close() // closed already unless the start failed
	}
}
