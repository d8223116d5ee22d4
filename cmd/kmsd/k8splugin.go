package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/gateway/k8s"
	"github.com/kmsd/kmsd/internal/daemon"
	"github.com/kmsd/kmsd/internal/unixsocket"
)

// k8sPluginFlags are the flags of kmsd k8s-plugin.
type k8sPluginFlags struct{ socket, keyID, credentials, endpoint, logLevel string }

func k8sPluginCommand(stderr io.Writer) *cobra.Command {
	var flags k8sPluginFlags
	cmd := &cobra.Command{
		Use: "k8s-plugin", Short: "be the KMS v2 plugin of a Kubernetes API server", Args: noArgs,
		Long: `k8s-plugin answers a Kubernetes API server on a unix socket, which only its own user can open, and has kmsd, wherever it runs, encrypt and
decrypt for it. It holds no key: it calls kmsd as the user of the credentials file, who needs kms:Encrypt and kms:Decrypt on the key.
It starts, and goes on, while kmsd cannot be reached, and says so to the API server. It stops at SIGTERM or SIGINT. Its log is
JSON on standard error. A kmsd on the same machine needs no k8s-plugin: see k8s in its configuration.`,
		Example: `  kmsd k8s-plugin --socket /run/kmsd/k8s.sock --key-id alias/kubernetes --credentials-file /etc/kmsd/kubernetes.yaml`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return k8sPlugin(cmd.Context(), flags, stderr) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.socket, "socket", "", "path of the unix socket to open; its folder must exist (required)")
	f.StringVar(&flags.keyID, "key-id", "", "the key: id, ARN or alias, which must stay with its key (required)")
	f.StringVar(&flags.credentials, "credentials-file", "", "credentials of the user to call kmsd as, mode 0600 (required)")
	f.StringVar(&flags.endpoint, "endpoint", "", `"host:port" of kmsd, instead of the credentials'`)
	f.StringVar(&flags.logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// check says what is missing.
func (f k8sPluginFlags) check() error {
	for _, one := range []struct{ flag, value string }{{"socket", f.socket}, {"key-id", f.keyID}, {"credentials-file", f.credentials}} {
		if one.value == "" {
			return usageError{fmt.Errorf("--%s is missing", one.flag)}
		}
	}
	return nil
}

func k8sPlugin(ctx context.Context, flags k8sPluginFlags, stderr io.Writer) error {
	if err := flags.check(); err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(flags.logLevel)); err != nil {
		return usageError{fmt.Errorf("--log-level: %q is none of debug, info, warn and error", flags.logLevel)}
	}
	if err := daemon.Harden(); err != nil {
		return err
	}
	credentials, err := client.Load(flags.credentials, nil)
	if err != nil {
		return err
	}
	kms, err := client.New(client.Config{Credentials: credentials, Endpoint: flags.endpoint, Timeout: k8s.CallTimeout, UserAgent: k8s.UserAgent + "/" + release})
	if err != nil {
		return err
	}
	defer kms.Close()
	log := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level}))
	plugin, err := k8s.New(k8s.Config{Crypto: kms.Crypto(), KeyID: flags.keyID, Log: log})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return servePlugin(ctx, stop, plugin, flags.socket, log)
}

// servePlugin serves until ctx ends, and then finishes the calls under way.
func servePlugin(ctx context.Context, stop func(), plugin *k8s.Plugin, socket string, log *slog.Logger) error {
	l, err := unixsocket.Listen(socket)
	if errors.Is(err, unixsocket.ErrInUse) {
		return fmt.Errorf("%w: stop that process, or choose another --socket", err)
	}
	if err != nil {
		return err
	}
	log.Info("serving Kubernetes", "socket", l.Addr().String(), "version", release+" "+commit)
	served := make(chan error, 1)
	go func() { served <- plugin.Serve(l) }()
	select {
	case err := <-served:
		plugin.Shutdown(context.WithoutCancel(ctx))
		return err
	case <-ctx.Done():
	}
	stop() // from here on a signal ends the process
	log.Info("shutting down")
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	plugin.Shutdown(end)
	return <-served
}
