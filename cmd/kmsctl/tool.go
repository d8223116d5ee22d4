package main

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/kmsd/kmsd/crypto"
)

// versionView is what this kmsctl is.
type versionView struct {
	Version   string `json:"version"`
	Commit    string `json:"commit"`
	GoVersion string `json:"go_version"`
	Platform  string `json:"platform"`
	FIPS      string `json:"fips_140_3"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print version, commit, Go version and FIPS state", Args: takes(),
		Long:    "version prints what this kmsctl was built of.",
		Example: "  kmsctl version -o json",
		RunE: a.runs(func(context.Context, []string) error {
			if a.output == formatTable {
				_, err := fmt.Fprintln(a.stdout, version())
				return err
			}
			return a.emit(versionView{release, commit, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, crypto.FIPS()}, nil)
		}),
	}
}

func (a *app) completionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "completion SHELL", Short: "print the completion script of a shell", Args: takes("SHELL"),
		Long:      "completion prints a script that makes a shell complete kmsctl's commands and flags: bash, zsh or fish.",
		Example:   "  source <(kmsctl completion bash)\n  kmsctl completion zsh > \"${fpath[1]}/_kmsctl\"\n  kmsctl completion fish > ~/.config/fish/completions/kmsctl.fish",
		ValidArgs: []string{"bash", "zsh", "fish"},
	}
	cmd.RunE = a.runs(func(_ context.Context, args []string) error {
		root := cmd.Root()
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(a.stdout, true)
		case "zsh":
			return root.GenZshCompletion(a.stdout)
		case "fish":
			return root.GenFishCompletion(a.stdout, true)
		}
		return usage("%q: the shell must be bash, zsh or fish", args[0])
	})
	return cmd
}

func (a *app) manCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "man DIR", Short: "write the manual pages into a folder", Args: takes("DIR"), Hidden: true,
		Long:    "man writes a manual page for each command into the folder DIR, which it makes if it must.",
		Example: "  kmsctl man /usr/local/share/man/man1",
	}
	cmd.RunE = a.runs(func(_ context.Context, args []string) error {
		if err := os.MkdirAll(args[0], 0o755); err != nil {
			return fmt.Errorf("making the folder: %w", err)
		}
		root := cmd.Root()
		root.DisableAutoGenTag = true
		return doc.GenManTree(root, &doc.GenManHeader{Title: "KMSCTL", Section: "1", Source: "kmsctl " + release, Manual: "kmsctl manual"}, args[0])
	})
	return cmd
}
