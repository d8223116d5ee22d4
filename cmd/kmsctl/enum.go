package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// enum is an enum of the API, whose values kmsctl calls as AWS does: without the prefix.
type enum struct {
	prefix string
	values map[string]int32 // :: name with its prefix → number
}

// The enums that flags take.
var (
	keySpecs             = enum{"KEY_SPEC_", kmsv1.KeySpec_value}
	keyUsages            = enum{"KEY_USAGE_", kmsv1.KeyUsage_value}
	keyOrigins           = enum{"KEY_MATERIAL_ORIGIN_", kmsv1.KeyMaterialOrigin_value}
	encryptionAlgorithms = enum{"ENCRYPTION_ALGORITHM_", kmsv1.EncryptionAlgorithm_value}
	signingAlgorithms    = enum{"SIGNING_ALGORITHM_SPEC_", kmsv1.SigningAlgorithmSpec_value}
	macAlgorithms        = enum{"MAC_ALGORITHM_SPEC_", kmsv1.MacAlgorithmSpec_value}
	messageTypes         = enum{"MESSAGE_TYPE_", kmsv1.MessageType_value}
	keyPairSpecs         = enum{"DATA_KEY_PAIR_SPEC_", kmsv1.DataKeyPairSpec_value}
	wrappingAlgorithms   = enum{"WRAPPING_ALGORITHM_SPEC_", kmsv1.WrappingAlgorithmSpec_value}
	wrappingKeySpecs     = enum{"WRAPPING_KEY_SPEC_", kmsv1.WrappingKeySpec_value}
)

// names returns the values without their prefix, in the order of their numbers.
func (e enum) names() []string {
	all := slices.SortedFunc(maps.Keys(e.values), func(a, b string) int { return cmp.Compare(e.values[a], e.values[b]) })
	var names []string
	for _, n := range all {
		if e.values[n] != 0 {
			names = append(names, strings.TrimPrefix(n, e.prefix))
		}
	}
	return names
}

// parse returns the number of a value that a flag names, in upper or lower case; 0, which is unspecified, of "".
func (e enum) parse(flag, given string) (int32, error) {
	if given == "" {
		return 0, nil
	}
	n, ok := e.values[e.prefix+strings.ToUpper(given)]
	if !ok || n == 0 {
		return 0, usage("--%s %s: must be %s", flag, shorten(given, 60), orOf(e.names()))
	}
	return n, nil
}

// orOf is a list in words: "a, b or c".
func orOf(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// enumFlag is a flag that takes a value of an enum.
type enumFlag struct {
	enum  enum
	name  string
	given string
}

// add adds the flag, which completes. what has the name of the value in back quotes.
func (f *enumFlag) add(cmd *cobra.Command, e enum, name, what string) {
	f.enum, f.name = e, name
	cmd.Flags().StringVar(&f.given, name, "", what)
	if err := cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(e.names(), cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic("kmsctl: internal error: " + err.Error()) // there is no such flag
	}
}

func (f *enumFlag) parse() (int32, error) { return f.enum.parse(f.name, f.given) }

// namesOf returns values as AWS writes them, without their prefix.
func namesOf[E fmt.Stringer](prefix string, values []E) []string {
	var names []string
	for _, v := range values {
		names = append(names, trimEnum(v, prefix))
	}
	return names
}
