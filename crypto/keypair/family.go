package keypair

import (
	"crypto/fips140"
	"fmt"

	"github.com/kmsd/kmsd/crypto"
)

// family is a kind of key pairs; its specs differ in sizes only.
type family int

const (
	familyNone family = iota
	familyRSA
	familyNIST
	familyP256K1
	familyEd25519
	familyMLDSA
	familyMLKEM
)

func familyOf(spec crypto.Spec) family {
	switch spec {
	case crypto.SpecRSA2048, crypto.SpecRSA3072, crypto.SpecRSA4096:
		return familyRSA
	case crypto.SpecP256, crypto.SpecP384, crypto.SpecP521:
		return familyNIST
	case crypto.SpecP256K1:
		return familyP256K1
	case crypto.SpecEd25519:
		return familyEd25519
	case crypto.SpecMLDSA44, crypto.SpecMLDSA65, crypto.SpecMLDSA87:
		return familyMLDSA
	case crypto.SpecMLKEM768, crypto.SpecMLKEM1024:
		return familyMLKEM
	}
	return familyNone
}

// available refuses, under GODEBUG=fips140=only, the specs whose implementation is not in the Go Cryptographic Module.
func available(spec crypto.Spec) error {
	if f := familyOf(spec); (f == familyP256K1 || f == familyMLDSA) && fips140.Enforced() {
		return specError(spec, crypto.ErrFIPS)
	}
	return nil
}

// specError is err about spec, which is quoted only if it exists: else it is whatever the caller chose.
func specError(spec crypto.Spec, err error) error {
	if !spec.Valid() {
		return fmt.Errorf("an unknown spec: %w", err)
	}
	return fmt.Errorf("%s: %w", spec, err)
}

// malformed is ErrMaterial about spec, and says what is wrong without quoting any of it.
func malformed(spec crypto.Spec, format string, args ...any) error {
	return fmt.Errorf("%w: %s", specError(spec, crypto.ErrMaterial), fmt.Sprintf(format, args...))
}
