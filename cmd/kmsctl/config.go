package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/durable"
)

// config is kmsctl's own configuration: names for credentials files. It holds no secret.
type config struct {
	CurrentContext string            `yaml:"current_context,omitempty"`
	Contexts       map[string]string `yaml:"contexts,omitempty"` // :: name → absolute path of a credentials file
}

const maxConfig = 1 << 20 // bytes

var contextName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// configPath is where the configuration is, by the XDG Base Directory Specification.
func configPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding the configuration: %w", err)
	}
	return filepath.Join(dir, "kmsctl", "config.yaml"), nil
}

// loadConfig reads the configuration; it is empty if there is none.
func loadConfig() (config, error) {
	path, err := configPath()
	if err != nil {
		return config{}, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return config{}, nil
	}
	if err != nil {
		return config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxConfig {
		return config{}, fmt.Errorf("reading the configuration: %s is not a file of at most %d bytes", path, maxConfig)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := parseConfig(b)
	if err != nil {
		return config{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return c, nil
}

func parseConfig(b []byte) (config, error) {
	var c config
	if err := yaml.UnmarshalWithOptions(b, &c, yaml.Strict()); err != nil {
		return config{}, errors.New(yaml.FormatError(err, false, false))
	}
	for name, path := range c.Contexts {
		if !contextName.MatchString(name) || !filepath.IsAbs(path) {
			return config{}, fmt.Errorf("the context %q must have a name of A-Z a-z 0-9 . _ - and an absolute path", shorten(name, 80))
		}
	}
	if _, ok := c.Contexts[c.CurrentContext]; c.CurrentContext != "" && !ok {
		return config{}, fmt.Errorf("the current context %q does not exist", shorten(c.CurrentContext, 80))
	}
	return c, nil
}

func (c config) save() error {
	path, err := configPath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	b, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return durable.WriteFile(path, b, 0o600)
}

func (a *app) configCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "config", Short: "name credentials files, choose one of them, and set up AWS's clients",
		Long: `A context is a name for a credentials file. The current one is used where neither --credentials, --profile nor KMSD_CREDENTIALS says otherwise. The
names are kept in kmsctl/config.yaml below XDG_CONFIG_HOME, or else ~/.config; the credentials stay where they are. A credentials file can be the profile of a role,
which kmsctl then assumes (set-profile); its sessions are kept in kmsctl below XDG_CACHE_HOME, or else ~/.cache.`,
		Example: "  kmsctl config set-context production --credentials ~/prod.yaml\n  kmsctl config use-context production",
	}, a.setContextCommand(), a.setProfileCommand(), a.useContextCommand(), a.getContextsCommand(), a.currentContextCommand(), a.deleteContextCommand(), a.configAWSCommand())
}

func noContext(name string) error {
	return &codedError{fmt.Errorf("there is no context %q", name), "kmsctl config get-contexts", exitNotFound}
}

func (a *app) setContextCommand() *cobra.Command {
	return &cobra.Command{
		Use: "set-context NAME --credentials FILE", Short: "name a credentials file", Args: takes("NAME"),
		Long:    "set-context gives a credentials file a name, or changes which file a name stands for. The first context that is made is the current one.",
		Example: "  kmsctl config set-context production --credentials ~/prod.yaml",
		RunE: a.runs(func(_ context.Context, args []string) error {
			if !contextName.MatchString(args[0]) {
				return usage("%q: a context's name has 1 to 64 of A-Z a-z 0-9 . _ -, and begins with a letter or digit", args[0])
			}
			if a.credentials == "" {
				return usage("--credentials is missing: the file that the context stands for")
			}
			if _, err := client.LoadFile(a.credentials); err != nil {
				return err
			}
			path, err := filepath.Abs(a.credentials)
			if err != nil {
				return err
			}
			cfg, err := loadConfig()
			if err != nil {
				return err
			}
			if cfg.Contexts == nil {
				cfg.Contexts = map[string]string{}
			}
			cfg.Contexts[args[0]] = path
			if cfg.CurrentContext == "" {
				cfg.CurrentContext = args[0]
			}
			if err := cfg.save(); err != nil {
				return err
			}
			return a.done(contextView{args[0], path, cfg.CurrentContext == args[0]}, "the context %s stands for %s; the current context is %s", args[0], path, cfg.CurrentContext)
		}),
	}
}

// contextView is a context as JSON shows it.
type contextView struct {
	Name        string `json:"name"`
	Credentials string `json:"credentials"`
	Current     bool   `json:"current"`
}

func (a *app) useContextCommand() *cobra.Command {
	return &cobra.Command{
		Use: "use-context NAME", Short: "choose the current context", Args: takes("NAME"),
		Long:    "use-context makes a context the one that is used unless something else is said.",
		Example: "  kmsctl config use-context production",
		RunE: a.runs(func(_ context.Context, args []string) error {
			cfg, err := loadConfig()
			if err != nil {
				return err
			}
			path, ok := cfg.Contexts[args[0]]
			if !ok {
				return noContext(args[0])
			}
			cfg.CurrentContext = args[0]
			if err := cfg.save(); err != nil {
				return err
			}
			return a.done(contextView{args[0], path, true}, "the current context is %s", args[0])
		}),
	}
}

func (a *app) getContextsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get-contexts", Short: "list the contexts", Args: takes(),
		Long:    "get-contexts lists the contexts and the credentials files that they stand for.",
		Example: "  kmsctl config get-contexts",
		RunE: a.runs(func(context.Context, []string) error {
			cfg, err := loadConfig()
			if err != nil {
				return err
			}
			all := []contextView{}
			v := view{header: []string{"CURRENT", "NAME", "CREDENTIALS"}, empty: "there are no contexts"}
			for _, name := range slices.Sorted(maps.Keys(cfg.Contexts)) {
				one := contextView{name, cfg.Contexts[name], name == cfg.CurrentContext}
				mark := ""
				if one.Current {
					mark = "*"
				}
				all = append(all, one)
				v.rows = append(v.rows, []string{mark, name, one.Credentials})
			}
			return a.emit(all, func() view { return v })
		}),
	}
}

func (a *app) currentContextCommand() *cobra.Command {
	return &cobra.Command{
		Use: "current-context", Short: "print the current context", Args: takes(),
		Long:    "current-context prints the name of the current context.",
		Example: "  kmsctl config current-context",
		RunE: a.runs(func(context.Context, []string) error {
			cfg, err := loadConfig()
			if err != nil {
				return err
			}
			if cfg.CurrentContext == "" {
				return &codedError{errors.New("there is no current context"), "kmsctl config use-context NAME", exitNotFound}
			}
			if a.output == formatTable {
				_, err := fmt.Fprintln(a.stdout, cfg.CurrentContext)
				return err
			}
			return a.emit(contextView{cfg.CurrentContext, cfg.Contexts[cfg.CurrentContext], true}, nil)
		}),
	}
}

func (a *app) deleteContextCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete-context NAME", Short: "remove a context; its credentials file stays", Args: takes("NAME"),
		Long:    "delete-context forgets a name. The credentials file stays as it is.",
		Example: "  kmsctl config delete-context production",
		RunE: a.runs(func(_ context.Context, args []string) error {
			cfg, err := loadConfig()
			if err != nil {
				return err
			}
			path, ok := cfg.Contexts[args[0]]
			if !ok {
				return noContext(args[0])
			}
			delete(cfg.Contexts, args[0])
			if cfg.CurrentContext == args[0] {
				cfg.CurrentContext = ""
			}
			if err := cfg.save(); err != nil {
				return err
			}
			return a.done(contextView{Name: args[0], Credentials: path}, "deleted the context %s; %s is still there", args[0], path)
		}),
	}
}
