package crypto

import (
	"errors"
	"slices"
)

// Spec is a key spec: what kind of material a key has. Its values are AWS's names.
type Spec string

// The key specs.
const (
	SpecSymmetricDefault Spec = "SYMMETRIC_DEFAULT"
	SpecHMAC224          Spec = "HMAC_224"
	SpecHMAC256          Spec = "HMAC_256"
	SpecHMAC384          Spec = "HMAC_384"
	SpecHMAC512          Spec = "HMAC_512"
	SpecRSA2048          Spec = "RSA_2048"
	SpecRSA3072          Spec = "RSA_3072"
	SpecRSA4096          Spec = "RSA_4096"
	SpecP256             Spec = "ECC_NIST_P256"
	SpecP384             Spec = "ECC_NIST_P384"
	SpecP521             Spec = "ECC_NIST_P521"
	SpecEd25519          Spec = "ECC_NIST_EDWARDS25519"
	SpecP256K1           Spec = "ECC_SECG_P256K1"
	SpecMLDSA44          Spec = "ML_DSA_44"
	SpecMLDSA65          Spec = "ML_DSA_65"
	SpecMLDSA87          Spec = "ML_DSA_87"
	SpecMLKEM768         Spec = "ML_KEM_768"
	SpecMLKEM1024        Spec = "ML_KEM_1024"
)

// Usage is what a key is for. Its values are AWS's names.
type Usage string

// The usages. A key has one of them, for ever.
const (
	UsageEncryptDecrypt         Usage = "ENCRYPT_DECRYPT"
	UsageSignVerify             Usage = "SIGN_VERIFY"
	UsageGenerateVerifyMAC      Usage = "GENERATE_VERIFY_MAC"
	UsageKeyAgreement           Usage = "KEY_AGREEMENT"
	UsageEncapsulateDecapsulate Usage = "ENCAPSULATE_DECAPSULATE"
)

// SigningAlgorithm is how Sign signs. Its values are AWS's names.
type SigningAlgorithm string

// The signing algorithms.
const (
	SignPSSSHA256   SigningAlgorithm = "RSASSA_PSS_SHA_256" // RFC 8017; MGF1 with the same hash, salt as long as the hash
	SignPSSSHA384   SigningAlgorithm = "RSASSA_PSS_SHA_384"
	SignPSSSHA512   SigningAlgorithm = "RSASSA_PSS_SHA_512"
	SignPKCS1SHA256 SigningAlgorithm = "RSASSA_PKCS1_V1_5_SHA_256" // RFC 8017
	SignPKCS1SHA384 SigningAlgorithm = "RSASSA_PKCS1_V1_5_SHA_384"
	SignPKCS1SHA512 SigningAlgorithm = "RSASSA_PKCS1_V1_5_SHA_512"
	SignECDSASHA256 SigningAlgorithm = "ECDSA_SHA_256" // FIPS 186-5; signatures in DER, as RFC 3279 has them
	SignECDSASHA384 SigningAlgorithm = "ECDSA_SHA_384"
	SignECDSASHA512 SigningAlgorithm = "ECDSA_SHA_512"
	SignEd25519     SigningAlgorithm = "ED25519_SHA_512"    // Ed25519 of RFC 8032
	SignEd25519ph   SigningAlgorithm = "ED25519_PH_SHA_512" // Ed25519ph of RFC 8032, empty context
	SignMLDSA       SigningAlgorithm = "ML_DSA_SHAKE_256"   // FIPS 204, empty context
)

// EncryptionAlgorithm is how Encrypt encrypts. Its values are AWS's names.
type EncryptionAlgorithm string

// The encryption algorithms.
const (
	EncryptSymmetricDefault EncryptionAlgorithm = "SYMMETRIC_DEFAULT"  // that of Key
	EncryptOAEPSHA1         EncryptionAlgorithm = "RSAES_OAEP_SHA_1"   // RFC 8017; MGF1 with the same hash, empty label
	EncryptOAEPSHA256       EncryptionAlgorithm = "RSAES_OAEP_SHA_256" // RFC 8017; MGF1 with the same hash, empty label
)

// MACAlgorithm is how GenerateMac authenticates. Its values are AWS's names.
type MACAlgorithm string

// The MAC algorithms: HMAC of FIPS 198-1, not truncated.
const (
	MACSHA224 MACAlgorithm = "HMAC_SHA_224"
	MACSHA256 MACAlgorithm = "HMAC_SHA_256"
	MACSHA384 MACAlgorithm = "HMAC_SHA_384"
	MACSHA512 MACAlgorithm = "HMAC_SHA_512"
)

// KeyAgreementAlgorithm is how DeriveSharedSecret agrees. Its values are AWS's names.
type KeyAgreementAlgorithm string

// AgreeECDH is ECDH of NIST SP 800-56A: the secret is the x-coordinate of the shared point.
const AgreeECDH KeyAgreementAlgorithm = "ECDH"

// EncapsulationAlgorithm is how Encapsulate encapsulates. Its values are AWS's names.
type EncapsulationAlgorithm string

// EncapsulateMLKEM is ML-KEM of FIPS 203; the key spec says which parameters.
const EncapsulateMLKEM EncapsulationAlgorithm = "ML_KEM"

// MessageType says what the message of Sign and Verify is. Its values are AWS's names.
type MessageType string

// The message types.
const (
	MessageRaw        MessageType = "RAW"         // the message itself, at most MaxMessage bytes
	MessageDigest     MessageType = "DIGEST"      // its hash, by the hash of the algorithm
	MessageExternalMu MessageType = "EXTERNAL_MU" // the representative mu of FIPS 204, section 6.2: MuSize bytes
)

// Limits of what is signed and authenticated.
const (
	MaxMessage = 4096 // bytes of a message that is hashed here; an empty message is fine
	MuSize     = 64   // bytes of the representative mu of ML-DSA
)

// What is wrong with the use of a key.
var (
	// ErrSpec: there is no such key spec, or keys of this spec cannot do what is asked for.
	ErrSpec = errors.New("unsupported key spec")
	// ErrAlgorithm: the algorithm is not one for keys of this spec.
	ErrAlgorithm = errors.New("algorithm is incompatible with the key spec")
	// ErrLength: a message, plaintext or digest has a length that the algorithm does not take.
	ErrLength = errors.New("invalid length")
	// ErrMaterial: bytes are not the material of a key of this spec.
	ErrMaterial = errors.New("invalid key material")
	// ErrMAC: the MAC is not that of the message under this key.
	ErrMAC = errors.New("invalid MAC")
	// ErrFIPS: the algorithm is not in the Go Cryptographic Module, or not approved, and the program runs under
	// GODEBUG=fips140=only.
	ErrFIPS = errors.New("not available in FIPS 140-3 mode")
)

// profile is what a key of a spec may do. Its slices are shared and never changed.
type profile struct {
	spec         Spec
	usages       []Usage
	signing      []SigningAlgorithm
	encryption   []EncryptionAlgorithm
	mac          []MACAlgorithm
	agreement    []KeyAgreementAlgorithm
	encapsulate  []EncapsulationAlgorithm
	messageTypes []MessageType
	pair         bool // may be the spec of a data key pair
}

func rsaProfile(s Spec) profile {
	return profile{
		spec:         s,
		usages:       []Usage{UsageEncryptDecrypt, UsageSignVerify},
		encryption:   []EncryptionAlgorithm{EncryptOAEPSHA1, EncryptOAEPSHA256},
		signing:      []SigningAlgorithm{SignPSSSHA256, SignPSSSHA384, SignPSSSHA512, SignPKCS1SHA256, SignPKCS1SHA384, SignPKCS1SHA512},
		messageTypes: []MessageType{MessageRaw, MessageDigest},
		pair:         true,
	}
}

func hmacProfile(s Spec, a MACAlgorithm) profile {
	return profile{spec: s, usages: []Usage{UsageGenerateVerifyMAC}, mac: []MACAlgorithm{a}}
}

func nistProfile(s Spec, a SigningAlgorithm) profile {
	return profile{
		spec:         s,
		usages:       []Usage{UsageSignVerify, UsageKeyAgreement},
		signing:      []SigningAlgorithm{a},
		agreement:    []KeyAgreementAlgorithm{AgreeECDH},
		messageTypes: []MessageType{MessageRaw, MessageDigest},
		pair:         true,
	}
}

func signingProfile(s Spec, pair bool, other MessageType, algorithms ...SigningAlgorithm) profile {
	return profile{
		spec:         s,
		usages:       []Usage{UsageSignVerify},
		signing:      algorithms,
		messageTypes: []MessageType{MessageRaw, other},
		pair:         pair,
	}
}

func kemProfile(s Spec) profile {
	return profile{
		spec:        s,
		usages:      []Usage{UsageEncapsulateDecapsulate},
		encapsulate: []EncapsulationAlgorithm{EncapsulateMLKEM},
		pair:        true,
	}
}

// profiles has one entry per spec, in AWS's order.
var profiles = []profile{
	{spec: SpecSymmetricDefault, usages: []Usage{UsageEncryptDecrypt}, encryption: []EncryptionAlgorithm{EncryptSymmetricDefault}},
	hmacProfile(SpecHMAC224, MACSHA224),
	hmacProfile(SpecHMAC256, MACSHA256),
	hmacProfile(SpecHMAC384, MACSHA384),
	hmacProfile(SpecHMAC512, MACSHA512),
	rsaProfile(SpecRSA2048),
	rsaProfile(SpecRSA3072),
	rsaProfile(SpecRSA4096),
	nistProfile(SpecP256, SignECDSASHA256),
	nistProfile(SpecP384, SignECDSASHA384),
	nistProfile(SpecP521, SignECDSASHA512),
	signingProfile(SpecEd25519, true, MessageDigest, SignEd25519, SignEd25519ph),
	signingProfile(SpecP256K1, true, MessageDigest, SignECDSASHA256),
	signingProfile(SpecMLDSA44, false, MessageExternalMu, SignMLDSA),
	signingProfile(SpecMLDSA65, false, MessageExternalMu, SignMLDSA),
	signingProfile(SpecMLDSA87, false, MessageExternalMu, SignMLDSA),
	kemProfile(SpecMLKEM768),
	kemProfile(SpecMLKEM1024),
}

// Specs returns every key spec, in a new slice.
func Specs() []Spec {
	specs := make([]Spec, 0, len(profiles))
	for _, p := range profiles {
		specs = append(specs, p.spec)
	}
	return specs
}

// profile returns what a key of spec s may do: nothing if there is no such spec.
func (s Spec) profile() *profile {
	for i := range profiles {
		if profiles[i].spec == s {
			return &profiles[i]
		}
	}
	return &profile{}
}

// Valid reports whether there is such a key spec.
func (s Spec) Valid() bool { return s.profile().spec != "" }

// Asymmetric reports whether keys of this spec are pairs of a private and a public key.
func (s Spec) Asymmetric() bool {
	p := s.profile()
	return p.spec != "" && p.spec != SpecSymmetricDefault && p.mac == nil
}

// DataKeyPair reports whether GenerateDataKeyPair makes pairs of this spec: all that are asymmetric but ML-DSA, as
// with AWS.
func (s Spec) DataKeyPair() bool { return s.profile().pair }

// Usages returns what a key of this spec may be for. This slice and those of the other methods of Spec are shared:
// the caller must not change them. They are empty if there is no such spec.
func (s Spec) Usages() []Usage { return s.profile().usages }

// Allows reports whether a key of this spec may be for u.
func (s Spec) Allows(u Usage) bool { return slices.Contains(s.Usages(), u) }

// SigningAlgorithms returns those that a key of this spec signs with.
func (s Spec) SigningAlgorithms() []SigningAlgorithm { return s.profile().signing }

// EncryptionAlgorithms returns those that a key of this spec encrypts with.
func (s Spec) EncryptionAlgorithms() []EncryptionAlgorithm { return s.profile().encryption }

// MACAlgorithms returns those that a key of this spec authenticates with.
func (s Spec) MACAlgorithms() []MACAlgorithm { return s.profile().mac }

// KeyAgreementAlgorithms returns those that a key of this spec agrees with.
func (s Spec) KeyAgreementAlgorithms() []KeyAgreementAlgorithm { return s.profile().agreement }

// EncapsulationAlgorithms returns those that a key of this spec encapsulates with.
func (s Spec) EncapsulationAlgorithms() []EncapsulationAlgorithm { return s.profile().encapsulate }

// MessageTypes returns those that a key of this spec signs, with one of its algorithms or another.
func (s Spec) MessageTypes() []MessageType { return s.profile().messageTypes }
