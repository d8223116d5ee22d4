package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// dryRun is --dry-run.
type dryRun struct{ on bool }

func (d *dryRun) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&d.on, "dry-run", false, "only check if kmsd would do it: nothing is made, changed or returned")
}

// changeFlags are --dry-run and --client-token, of what changes something.
type changeFlags struct {
	dryRun
	token string
}

// ciphertextFlags are --ciphertext-file and what a dry run leaves out of it.
type ciphertextFlags struct {
	path   string
	ignore bool
}

func (f *ciphertextFlags) add(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&f.path, "ciphertext-file", "", what)
	cmd.Flags().BoolVar(&f.ignore, "ignore-ciphertext", false, "with --dry-run: only ask whether the caller may, without a ciphertext; the key must be named")
	before := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := before(cmd, args); err != nil {
			return err
		}
		if f.path == "" && !f.ignore {
			return hintAt(fmt.Errorf("%s: --ciphertext-file is missing", cmd.CommandPath()), cmd.CommandPath()+" --help")
		}
		return nil
	}
}

// read returns the ciphertext, and what the dry run leaves out: the one or the other.
func (f *ciphertextFlags) read(ctx context.Context, a *app, key string, dry bool) ([]byte, []kmsv1.DryRunModifier, error) {
	switch {
	case !f.ignore:
		b, err := a.readOr(ctx, f.path, maxCiphertext, "kmsctl file decrypt takes what kmsctl file encrypt made")
		return b, nil, err
	case !dry:
		return nil, nil, usage("--ignore-ciphertext goes with --dry-run")
	case key == "":
		return nil, nil, usage("--ignore-ciphertext: the key of the ciphertext must be named")
	}
	return nil, []kmsv1.DryRunModifier{kmsv1.DryRunModifier_DRY_RUN_MODIFIER_IGNORE_CIPHERTEXT}, nil
}

const tokenUsage = "`TOKEN` of this request: with the same one it is done once only (for 24 hours)"

func (f *changeFlags) add(cmd *cobra.Command) {
	f.dryRun.add(cmd)
	cmd.Flags().StringVar(&f.token, "client-token", "", tokenUsage)
}

// changingVerbs are what the names of commands begin with that change users, groups, roles, policies, or the organization.
var changingVerbs = []string{
	"add", "attach", "close", "create", "deactivate", "delete", "detach", "move", "put", "remove", "rename", "set", "tag", "untag", "update",
}

// addTokens adds --client-token to all commands of people and of the organization that make one change. Those of keys have it by themselves. A certificate
// is not among them, whose key is another one each time, nor are the codes of a device.
func (a *app) addTokens(root *cobra.Command) {
	for _, noun := range root.Commands() {
		if noun.GroupID != groupPeople && noun.GroupID != groupOrg {
			continue
		}
		for _, c := range noun.Commands() {
			verb, _, _ := strings.Cut(c.Name(), "-")
			if slices.Contains(changingVerbs, verb) && c.Name() != "create-certificate" {
				c.Flags().StringVar(&a.token, "client-token", "", tokenUsage)
			}
		}
	}
}

// rehearsal is what a dry run is answered with.
type rehearsal struct {
	DryRun bool `json:"dry_run"`
}

// rehearsed tells of a dry run. kmsd says that it was one: what does not may have been carried out.
func (a *app) rehearsed(err error, was bool) error {
	switch {
	case err != nil:
		return err
	case !was:
		return hintAt(errors.New("kmsd did not take this as a dry run, and may have done it"), "kmsctl and kmsd may be of different versions: compare kmsctl version and kmsd version")
	}
	return a.done(rehearsal{true}, "dry run: kmsd would do it; nothing was changed")
}

// addGrantTokens is --grant-token.
func addGrantTokens(cmd *cobra.Command, to *[]string) {
	cmd.Flags().StringArrayVar(to, "grant-token", nil, "`TOKEN` of a grant to consider; it is no secret (repeatable)")
}
