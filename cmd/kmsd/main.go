// Command kmsd is the key management service: it makes a data folder (kmsd init), serves it (kmsd serve), checks its configuration, and is the plugin of
// a Kubernetes API server (kmsd k8s-plugin).
//
// Trust: flags and the environment come from whoever starts the process, who can do everything that it can. Secrets come by file, never by
// flag or variable.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/daemon"
)

// commit is set when the binary is built.
var commit = "unknown"

const release = "0.1.0"

func version() string {
	return fmt.Sprintf("kmsd %s (commit %s, %s %s/%s, %s)", release, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH, crypto.FIPS())
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// The exit codes of kmsd.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// usageError is a mistake in the command line.
type usageError struct{ error }

func run(ctx context.Context, args []string, stdin *os.File, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use: "kmsd", Short: "kmsd is a key management service",
		Long:         "kmsd keeps master keys that never leave it, and encrypts, decrypts and makes data keys under them for callers whom policies allow, with an audit record of every call.",
		Example:      "  kmsd init --data ./kmsd-data\n  kmsd serve --data ./kmsd-data",
		SilenceUsage: true, SilenceErrors: true, Version: version(), Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(initCommand(stdin, stderr), serveCommand(stdin, stderr), k8sPluginCommand(stderr), checkConfigCommand(), &cobra.Command{
		Use: "version", Short: "print version, commit, Go version and FIPS state", Args: noArgs,
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), version()) },
	})
	called, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "error: %v\nhint: %s --help\n", err, called.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(stderr, "error: %v\n", err)
	return exitError
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		if cmd.HasSubCommands() {
			return usageError{fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0])}
		}
		return usageError{fmt.Errorf("%s takes no argument, got %q", cmd.CommandPath(), args[0])}
	}
	return nil
}

func initCommand(stdin *os.File, stderr io.Writer) *cobra.Command {
	var o daemon.InitOptions
	cmd := &cobra.Command{
		Use: "init", Short: "make a data folder", Args: noArgs,
		Long: `init makes a data folder: the store with its management account and root user, the certificate authority, the audit log, the
configuration kmsd.yaml, and root-credentials.yaml, the only copy of the root user's access key.

The root key, which everything is sealed under, is made as the file root.key in the data folder, unless --key-file or --passphrase-file
names another place. Keep it elsewhere than the data folder's backups: who has both has everything.`,
		Example: `  kmsd init --data ./kmsd-data
  kmsd init --data /var/lib/kmsd --listen 0.0.0.0:7443 --host kms.example.com --account-id 111122223333 --region eu-central-1
  kmsd init --data ./kmsd-data --passphrase-file -`,
		RunE: func(cmd *cobra.Command, _ []string) error { return initialize(cmd, &o, stdin, stderr) },
	}
	f := cmd.Flags()
	f.StringVar(&o.Config.Data, "data", "./kmsd-data", "the folder to make; it must not exist or be empty")
	f.StringVar(&o.Config.Listen, "listen", "127.0.0.1:7443", "where to serve gRPC")
	f.StringVar(&o.Config.AdminListen, "admin-listen", "127.0.0.1:7444", `where to serve metrics and health, loopback only, or "off"`)
	f.StringVar(&o.Config.AWS.Listen, "aws-listen", "", `where to serve clients that were written for AWS, "host:port" or "unix:/path" (default: they are not served)`)
	f.StringSliceVar(&o.Config.Hosts, "host", nil, "DNS name or IP address that clients know the server by (repeatable; default localhost, 127.0.0.1, ::1)")
	f.StringVar(&o.AccountID, "account-id", "", "id of the management account, 12 digits (default random)")
	f.StringVar(&o.Partition, "partition", "aws", "partition in ARNs")
	f.StringVar(&o.Region, "region", "local", "region in ARNs and signatures")
	f.StringVar(&o.Config.Seal.KeyFile, "key-file", "", "existing root key: 32 random bytes, mode 0600")
	f.StringVar(&o.Config.Seal.PassphraseFile, "passphrase-file", "", `file with the passphrase to make the root key of, mode 0600, or "-" to be asked`)
	return cmd
}

func initialize(cmd *cobra.Command, o *daemon.InitOptions, stdin *os.File, stderr io.Writer) error {
	if s := o.Config.Seal; s.KeyFile != "" && s.PassphraseFile != "" {
		return usageError{errors.New("give one of --key-file and --passphrase-file")}
	}
	o.Passphrase = func() (crypto.Secret, error) { return daemon.AskPassphrase(stdin, stderr, true) }
	if err := daemon.AbsoluteSeal(&o.Config.Seal); err != nil {
		return err
	}
	r, err := daemon.Init(*o)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "data folder       %s\naccount           %s\nroot credentials  %s   (the only copy: keep it safe)\n", o.Config.Data, r.AccountID, r.RootCredentials)
	if r.KeyFile != "" {
		fmt.Fprintf(out, "root key          %s   (keep a copy elsewhere: without it nothing can be opened)\n", r.KeyFile)
	}
	fmt.Fprintf(out, "\nStart it with:  kmsd serve --data %s\n", o.Config.Data)
	return nil
}

// configFlags are the flags that override the configuration file.
type configFlags struct{ data, listen, adminListen, awsListen, logLevel string }

func (c *configFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.data, "data", "./kmsd-data", "the data folder (also KMSD_DATA)")
	f.StringVar(&c.listen, "listen", "", "where to serve gRPC, instead of the configuration's")
	f.StringVar(&c.adminListen, "admin-listen", "", `where to serve metrics and health, or "off"`)
	f.StringVar(&c.awsListen, "aws-listen", "", `where to serve clients that were written for AWS, "host:port" or "unix:/path"`)
	f.StringVar(&c.logLevel, "log-level", "", "debug, info, warn or error")
}

func (c *configFlags) load(cmd *cobra.Command) (daemon.Config, error) {
	if env, ok := os.LookupEnv("KMSD_DATA"); ok && !cmd.Flags().Changed("data") {
		c.data = env
	}
	for _, name := range daemon.UnknownVariables(os.Environ()) {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s is no key of the configuration, and is not read\n", name)
	}
	cfg, err := daemon.Load(c.data, os.Environ())
	if err != nil {
		return cfg, err
	}
	for _, o := range []struct {
		flag, value string
		to          *string
	}{
		{"listen", c.listen, &cfg.Listen}, {"admin-listen", c.adminListen, &cfg.AdminListen}, {"aws-listen", c.awsListen, &cfg.AWS.Listen}, {"log-level", c.logLevel, &cfg.LogLevel},
	} {
		if cmd.Flags().Changed(o.flag) {
			*o.to = o.value
		}
	}
	return cfg, cfg.Check()
}

func checkConfigCommand() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use: "check-config", Short: "say whether the configuration is valid", Args: noArgs,
		Long:    "check-config reads the configuration as serve would, with environment and flags, and says what is wrong with it. It opens no key, certificate, store or port.",
		Example: "  kmsd check-config --data /var/lib/kmsd",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := flags.load(cmd)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the configuration of %s is good: gRPC on %s, clients of AWS on %s, metrics and health on %s\n", cfg.Data, cfg.Listen, cmp.Or(cfg.AWS.Listen, "nothing"), cfg.AdminListen)
			return nil
		},
	}
	flags.add(cmd)
	return cmd
}

func serveCommand(stdin *os.File, stderr io.Writer) *cobra.Command {
	var flags configFlags
	trustClock := false
	cmd := &cobra.Command{
		Use: "serve", Short: "serve a data folder", Args: noArgs,
		Long: `serve opens a data folder that init made and answers calls until it gets SIGTERM or SIGINT; then it finishes the calls under way
and stops. A second signal stops it at once. Its log is JSON on standard error.`,
		Example: "  kmsd serve --data ./kmsd-data\n  KMSD_LISTEN=127.0.0.1:9443 kmsd serve --data ./kmsd-data --log-level debug",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := flags.load(cmd)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, trustClock, stdin, stderr)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&trustClock, "trust-clock", false, "let the time since kmsd was last stopped count towards the waiting periods of key deletions, as the clock of the machine has it; only time in which kmsd ran does otherwise")
	return cmd
}

// wait returns when the daemon is to stop, with what it cannot go on after. Until then SIGHUP loads the certificate again.
func wait(ctx context.Context, d *daemon.Daemon, hangup <-chan os.Signal) error {
	for {
		select {
		case err := <-d.Failed():
			return err
		case <-ctx.Done():
			return nil
		case <-hangup:
			d.Reload()
		}
	}
}

// drain is how long calls under way may take when kmsd stops.
const drain = 15 * time.Second

func serve(ctx context.Context, cfg daemon.Config, trustClock bool, stdin *os.File, stderr io.Writer) error {
	if err := daemon.Harden(); err != nil {
		return err
	}
	daemon.Tune()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hangup := make(chan os.Signal, 1) // from before the start on: a signal that comes during it would end the process
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	d, err := daemon.Start(cfg, daemon.Options{
		Version: release + " " + commit, LogTo: stderr, TrustClock: trustClock,
		Passphrase: func() (crypto.Secret, error) { return daemon.AskPassphrase(stdin, stderr, false) },
	})
	if err != nil {
		return err
	}
	failed := wait(ctx, d, hangup)
	stop() // from here on a signal ends the process
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	return errors.Join(failed, d.Shutdown(ctx))
}
