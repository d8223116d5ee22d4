package main

import (
	"errors"

	"github.com/spf13/cobra"
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

func (f *changeFlags) add(cmd *cobra.Command) {
	f.dryRun.add(cmd)
	cmd.Flags().StringVar(&f.token, "client-token", "", "`TOKEN` of this request: with the same one it is done once only (for 24 hours)")
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
