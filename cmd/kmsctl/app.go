package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kmsd/kmsd/client"
)

const defaultTimeout = client.DefaultTimeout

// app is one run of kmsctl: its streams, its global flags, and how far it has come.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	credentials, profile, output string
	mfa                          string // a code
	token                        string // --client-token of what has none of its own
	timeout                      time.Duration
	yes                          bool

	path    string // of the command that was called
	started bool   // arguments and flags are right, the command runs

	mu        sync.Mutex
	providers []*client.CredentialsProvider // to close; guarded by mu
}

// runs wraps what a command does: an error from here on is not one of usage.
func (a *app) runs(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		return do(cmd.Context(), args)
	}
}

// takes returns the rule for arguments with these names; those in brackets may be left out, and one that ends with … repeated.
func takes(names ...string) cobra.PositionalArgs {
	least, more := 0, false
	for _, n := range names {
		if !strings.HasPrefix(n, "[") {
			least++
		}
		more = strings.HasSuffix(n, "…")
	}
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return hintAt(fmt.Errorf("%s: %s is missing", cmd.CommandPath(), strings.TrimSuffix(names[len(args)], "…")), cmd.UseLine())
		case len(args) > len(names) && !more:
			return hintAt(fmt.Errorf("%s: unexpected argument %q", cmd.CommandPath(), args[len(names)]), cmd.UseLine())
		}
		for i, arg := range args {
			if arg == "" {
				return fmt.Errorf("%s: %s is empty", cmd.CommandPath(), strings.Trim(names[min(i, len(names)-1)], "[]…"))
			}
		}
		return nil
	}
}

// subcommand refuses arguments of a command that only has subcommands.
func (a *app) subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return hintAt(err, "did you mean: "+cmd.CommandPath()+" "+near[0])
	}
	return hintAt(err, cmd.CommandPath()+" --help")
}

// helpOnly is what a command does that only has subcommands.
func (a *app) helpOnly(cmd *cobra.Command, _ []string) error {
	if !cmd.HasParent() {
		return cmd.Help()
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return hintAt(fmt.Errorf("%s: a command is missing: %s", cmd.CommandPath(), strings.Join(names, ", ")), cmd.CommandPath()+" --help")
}

// group makes a command that only has subcommands.
func (a *app) group(c *cobra.Command, children ...*cobra.Command) *cobra.Command {
	c.Args, c.RunE = a.subcommand, a.helpOnly
	c.AddCommand(children...)
	return c
}

func (a *app) checkFlags(*cobra.Command, []string) error {
	switch {
	case a.output != formatTable && a.output != formatJSON && a.output != formatYAML:
		return fmt.Errorf("-o %s: the format must be table, json or yaml", a.output)
	case a.timeout <= 0:
		return fmt.Errorf("--timeout %v: must be more than 0", a.timeout)
	case a.credentials != "" && a.profile != "":
		return errors.New("--credentials and --profile both say who you are: give one of them")
	}
	return nil
}

// required names the first of the flags that is not given.
func required(cmd *cobra.Command, flags ...string) {
	before := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := before(cmd, args); err != nil {
			return err
		}
		for _, name := range flags {
			if f := cmd.Flags().Lookup(name); f.Value.String() == "" || f.Value.String() == "[]" {
				return hintAt(fmt.Errorf("%s: --%s is missing", cmd.CommandPath(), name), cmd.CommandPath()+" --help")
			}
		}
		return nil
	}
}

// credentialsPath says where the credentials are, and by what rule.
func (a *app) credentialsPath() (path, source string, err error) {
	if a.credentials != "" {
		return a.credentials, "--credentials", nil
	}
	env := os.Getenv(client.EnvCredentials)
	if a.profile == "" && env != "" {
		return env, client.EnvCredentials, nil
	}
	cfg, err := loadConfig()
	if err != nil {
		return "", "", err
	}
	name, source := a.profile, "--profile"
	if name == "" {
		name, source = cfg.CurrentContext, "the current context"
	}
	if name == "" {
		return "", "", hint(client.ErrNoCredentials, "kmsctl --credentials FILE …, or once: kmsctl config set-context NAME --credentials FILE")
	}
	path, ok := cfg.Contexts[name]
	if !ok {
		return "", "", noContext(name)
	}
	return path, source, nil
}

// calls wraps what a command does with a client.
func (a *app) calls(do func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return a.runs(func(ctx context.Context, args []string) error {
		c, _, err := a.connect(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		return do(ctx, c, args)
	})
}

// say writes a message for people.
func (a *app) say(format string, args ...any) {
	fmt.Fprintln(a.stderr, printable(fmt.Sprintf(format, args...)))
}

// isTerminal reports whether a stream is one.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// confirm asks before a destructive change, if there is somebody to ask.
func (a *app) confirm(format string, args ...any) error {
	if a.yes || !isTerminal(a.stdin) {
		return nil
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", printable(fmt.Sprintf(format, args...)))
	switch strings.ToLower(strings.TrimSpace(readLine(a.stdin, 16))) {
	case "y", "yes":
		return nil
	}
	return errors.New("not confirmed: nothing was changed")
}
