package authz

// A KeyType is the type of the values of a condition key.
type KeyType uint8

// The types of condition keys.
const (
	StringKey KeyType = iota + 1
	ARNKey
	BoolKey
	NumericKey
	DateKey
	IPAddressKey
)

// ContextKeyInfo describes a condition key.
type ContextKeyInfo struct {
	Name  string // "aws:SourceIp"; of a family "kms:EncryptionContext:${k}"
	Type  KeyType
	Multi bool // it has several values, so that it needs a set operator
}
