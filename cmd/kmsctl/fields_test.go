package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/client"
)

// TestErrorsNameFlags: what kmsd says of a field is said of the flag, or of the argument.
func TestErrorsNameFlags(t *testing.T) {
	fault := func(fields ...string) error {
		e := &client.Error{Code: codes.InvalidArgument, Reason: "ValidationException", RequestID: "r"}
		for i, f := range fields {
			if i > 0 {
				e.Message += "; "
			}
			e.Message += f + ": is wrong"
			e.Fields = append(e.Fields, client.Field{Name: f, Description: "is wrong"})
		}
		return e
	}
	for _, tt := range []struct {
		command []string
		err     error
		want    string
	}{
		{[]string{"key", "schedule-deletion"}, fault("pending_window_in_days"), "--days: is wrong (ValidationException, request r)"},
		{[]string{"key", "schedule-deletion"}, fault("key_id"), "KEY: is wrong (ValidationException, request r)"},
		{[]string{"key", "rotation", "enable"}, fault("rotation_period_in_days"), "--period: is wrong (ValidationException, request r)"},
		{[]string{"key", "create"}, fault("key_spec", "key_usage", "tags[0].tag_key"), "--spec: is wrong; --usage: is wrong; --tag: is wrong (ValidationException, request r)"},
		{[]string{"key", "create"}, fault("client_token"), "--client-token: is wrong (ValidationException, request r)"},
		{[]string{"encrypt"}, fault("key_id", "plaintext"), "--key: is wrong; --in: is wrong (ValidationException, request r)"},
		{[]string{"sign"}, fault("signing_algorithm", "message_type"), "--algorithm: is wrong; --message-type: is wrong (ValidationException, request r)"},
		{[]string{"key", "import"}, fault("valid_to", "import_token", "encrypted_key_material"), "--valid-to: is wrong; --token: is wrong; --material: is wrong (ValidationException, request r)"},
		{[]string{"key", "update-description"}, fault("description"), "TEXT: is wrong (ValidationException, request r)"},
		{[]string{"data-key-pair"}, fault("key_pair_spec"), "--spec: is wrong (ValidationException, request r)"},
		{[]string{"key", "list"}, fault("marker"), "marker: is wrong (ValidationException, request r)"},
		{[]string{"key", "describe"}, fmt.Errorf("x: %w", fault("key_id")), "x: KEY: is wrong (ValidationException, request r)"},
		{[]string{"key", "describe"}, errors.New("key_id: x"), "key_id: x"},
	} {
		cmd, _, err := (&app{}).root().Find(tt.command)
		if err != nil {
			t.Fatal(err)
		}
		got := inFlags(cmd, tt.err)
		if got.Error() != tt.want || !errors.Is(got, tt.err) {
			t.Errorf("%s: %q, want %q", tt.command, got, tt.want)
		}
	}
	if err := inFlags(nil, fault("key_id")); err.Error() != "key_id: is wrong (ValidationException, request r)" {
		t.Errorf("without a command: %q", err)
	}
}

// TestFlagsOfFieldsExist: the table names no flag that no command has.
func TestFlagsOfFieldsExist(t *testing.T) {
	has := map[string]bool{}
	every((&app{}).root(), func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) { has[f.Name] = true })
	})
	for field, flags := range flagsOf {
		for _, flag := range flags {
			if !has[flag] {
				t.Errorf("no command has --%s, which is named for %s", flag, field)
			}
		}
	}
}
