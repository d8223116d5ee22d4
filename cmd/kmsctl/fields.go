package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
)

// flagsOf are the flags for fields of the API that are not called like them. Which of them it is depends on the command: the first that it
// has. :: field → flags
var flagsOf = map[string][]string{
	"pending_window_in_days":           {"days"},
	"rotation_period_in_days":          {"period"},
	"key_spec":                         {"spec"},
	"key_usage":                        {"usage"},
	"key_pair_spec":                    {"spec"},
	"key_id":                           {"key"},
	"target_key_id":                    {"key"},
	"source_key_id":                    {"source-key"},
	"destination_key_id":               {"key"},
	"plaintext":                        {"in"},
	"message":                          {"in"},
	"mac":                              {"mac"},
	"signature":                        {"signature"},
	"ciphertext_blob":                  {"ciphertext-file"},
	"shared_secret_ciphertext_blob":    {"ciphertext-file"},
	"public_key":                       {"public-key"},
	"encryption_context":               {"context"},
	"source_encryption_context":        {"source-context"},
	"destination_encryption_context":   {"context"},
	"encryption_algorithm":             {"algorithm"},
	"source_encryption_algorithm":      {"source-algorithm"},
	"destination_encryption_algorithm": {"algorithm"},
	"signing_algorithm":                {"algorithm"},
	"mac_algorithm":                    {"algorithm"},
	"number_of_bytes":                  {"bytes"},
	"grant_tokens":                     {"grant-token"},
	"tags":                             {"tag"},
	"alias_name":                       {"alias"},
	"key_material_description":         {"description"},
	"encrypted_key_material":           {"material", "wrapped"},
	"import_token":                     {"token"},
	"expiration_model":                 {"valid-to"},
	"deletion_protection_enabled":      {"deletion-protection"},
	"grantee_principal":                {"grantee"},
	"operations":                       {"operation"},
	"expires_at":                       {"expires"},
	"max_session_duration":             {"max-session-duration"},
	"duration_seconds":                 {"duration"},
	"policy_document":                  {"policy"},
	"constraints":                      {"context-subset", "context-equals"},
}

// argumentsOf are the arguments for fields. :: field → argument in a command's use
var argumentsOf = map[string]string{
	"key_id": "KEY", "alias_name": "NAME", "key_material_id": "MATERIAL", "description": "TEXT", "grant_id": "GRANT-ID", "number_of_bytes": "N",
	"tags": "TAG=VALUE…", "tag_keys": "TAG…", "policy": "FILE", "user_name": "NAME", "role_name": "NAME", "group_name": "NAME",
}

// inFlags puts flags and arguments of the command in the place of the fields that kmsd complains of: who wrote the command line knows no
// fields. An error without fields stays as it is.
func inFlags(cmd *cobra.Command, err error) error {
	var e *client.Error
	if cmd == nil || !errors.As(err, &e) || len(e.Fields) == 0 {
		return err
	}
	said := *e
	for _, f := range e.Fields {
		said.Message = strings.Replace(said.Message, f.Name+": ", flagOf(cmd, f.Name)+": ", 1)
	}
	if said.Message == e.Message {
		return err
	}
	return &renamedError{err, strings.Replace(err.Error(), e.Message, said.Message, 1)}
}

// flagOf is the flag or the argument for a field of a request, or the field itself if there is neither.
func flagOf(cmd *cobra.Command, field string) string {
	name, _, _ := strings.Cut(field, "[") // of an element of a list
	name, _, _ = strings.Cut(name, ".")
	for _, flag := range slices.Concat(flagsOf[name], []string{strings.ReplaceAll(name, "_", "-")}) {
		if cmd.Flags().Lookup(flag) != nil {
			return "--" + flag
		}
	}
	if arg := argumentsOf[name]; arg != "" && strings.Contains(" "+cmd.Use+" ", " "+arg+" ") {
		return arg
	}
	return field
}

// renamedError is an error in other words.
type renamedError struct {
	error
	text string
}

// Error is the error in the words of the command line.
func (e *renamedError) Error() string { return e.text }

// Unwrap gives the error itself.
func (e *renamedError) Unwrap() error { return e.error }
