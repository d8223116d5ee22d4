package server

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// An awsEnum is an enum of the API with AWS's names of its values: those of the .proto file without their prefix. It is never written.
type awsEnum[E protoreflect.Enum] struct {
	names  []string     // :: number → name; that of 0 is empty
	values map[string]E // :: name → value, without 0
}

// awsNames makes the table of an enum whose first value is <PREFIX>_UNSPECIFIED = 0 and whose numbers follow each other.
func awsNames[E interface {
	~int32
	protoreflect.Enum
}]() awsEnum[E] {
	var zero E
	all := zero.Descriptor().Values()
	prefix := strings.TrimSuffix(string(all.ByNumber(0).Name()), "UNSPECIFIED")
	e := awsEnum[E]{names: make([]string, all.Len()), values: make(map[string]E, all.Len())}
	for n := 1; n < all.Len(); n++ {
		e.names[n] = strings.TrimPrefix(string(all.ByNumber(protoreflect.EnumNumber(n)).Name()), prefix)
		e.values[e.names[n]] = E(n)
	}
	return e
}

// name is AWS's name of a value, or empty if it has none. It does not allocate.
func (e awsEnum[E]) name(v E) string {
	if n := int(v.Number()); n > 0 && n < len(e.names) {
		return e.names[n]
	}
	return ""
}

// value is the value of AWS's name, or 0.
func (e awsEnum[E]) value(name string) E { return e.values[name] }

// listOf is the values of AWS's names, in their order. It is nil if there are none.
func listOf[E protoreflect.Enum, N ~string](e awsEnum[E], names []N) (all []E) {
	for _, n := range names {
		all = append(all, e.value(string(n)))
	}
	return all
}

// check refuses a number that the enum does not have, and one that says nothing where something must be said.
func (e awsEnum[E]) check(v *violations, field string, value E, required bool) {
	switch n := int(value.Number()); {
	case n < 0 || n >= len(e.names):
		v.add(field, "has the unknown value %d", n)
	case n == 0 && required:
		v.add(field, "is missing")
	}
}

// The enums of the API. They are never written.
var (
	keySpecs             = awsNames[kmsv1.KeySpec]()
	keyUsages            = awsNames[kmsv1.KeyUsage]()
	origins              = awsNames[kmsv1.KeyMaterialOrigin]()
	encryptionAlgorithms = awsNames[kmsv1.EncryptionAlgorithm]()
	signingAlgorithms    = awsNames[kmsv1.SigningAlgorithmSpec]()
	macAlgorithms        = awsNames[kmsv1.MacAlgorithmSpec]()
	agreementAlgorithms  = awsNames[kmsv1.KeyAgreementAlgorithmSpec]()
	encapsulations       = awsNames[kmsv1.EncapsulationAlgorithmSpec]()
	wrappingAlgorithms   = awsNames[kmsv1.WrappingAlgorithmSpec]()
	wrappingKeySpecs     = awsNames[kmsv1.WrappingKeySpec]()
	expirationModels     = awsNames[kmsv1.ExpirationModel]()
	importTypes          = awsNames[kmsv1.ImportType]()
	includedKeyMaterials = awsNames[kmsv1.IncludeKeyMaterial]()
)

var keyStates = map[keystore.State]kmsv1.KeyState{
	keystore.Enabled:         kmsv1.KeyState_KEY_STATE_ENABLED,
	keystore.Disabled:        kmsv1.KeyState_KEY_STATE_DISABLED,
	keystore.PendingDeletion: kmsv1.KeyState_KEY_STATE_PENDING_DELETION,
	keystore.PendingImport:   kmsv1.KeyState_KEY_STATE_PENDING_IMPORT,
}
