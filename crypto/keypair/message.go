package keypair

import (
	stdcrypto "crypto"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"slices"

	"github.com/kmsd/kmsd/crypto"
)

// input is what a primitive signs or verifies.
type input struct {
	hash  stdcrypto.Hash // that made bytes; zero for Ed25519 and ML-DSA, which take the message
	pss   bool           // RSA only
	mu    bool           // ML-DSA only: bytes is mu
	bytes []byte
}

// hashOf returns the hash of the algorithms that sign a hash, else zero.
func hashOf(a crypto.SigningAlgorithm) stdcrypto.Hash {
	switch a {
	case crypto.SignPSSSHA256, crypto.SignPKCS1SHA256, crypto.SignECDSASHA256:
		return stdcrypto.SHA256
	case crypto.SignPSSSHA384, crypto.SignPKCS1SHA384, crypto.SignECDSASHA384:
		return stdcrypto.SHA384
	case crypto.SignPSSSHA512, crypto.SignPKCS1SHA512, crypto.SignECDSASHA512, crypto.SignEd25519ph:
		return stdcrypto.SHA512
	}
	return 0
}

func sum(h stdcrypto.Hash, message []byte) []byte {
	switch h {
	case stdcrypto.SHA256:
		s := sha256.Sum256(message)
		return s[:]
	case stdcrypto.SHA384:
		s := sha512.Sum384(message)
		return s[:]
	case stdcrypto.SHA512:
		s := sha512.Sum512(message)
		return s[:]
	}
	panic("keypair: internal error: hash of no algorithm")
}

// prepare checks algorithm, type and length of a message, and hashes it where that is to be done.
func prepare(spec crypto.Spec, a crypto.SigningAlgorithm, mt crypto.MessageType, message []byte) (input, error) {
	if !slices.Contains(spec.SigningAlgorithms(), a) {
		return input{}, crypto.ErrAlgorithm
	}
	if err := checkMessage(a, mt, len(message)); err != nil {
		return input{}, err
	}
	in := input{hash: hashOf(a), bytes: message, mu: mt == crypto.MessageExternalMu}
	switch a {
	case crypto.SignPSSSHA256, crypto.SignPSSSHA384, crypto.SignPSSSHA512:
		in.pss = true
	}
	// Ed25519ph hashes what it is given, and what it is given is a digest (AWS, Sign, MessageType).
	if in.hash != 0 && (mt == crypto.MessageRaw || a == crypto.SignEd25519ph) {
		in.bytes = sum(in.hash, message)
	}
	return in, nil
}

// checkMessage refuses a type that a does not take, and a message of n bytes that is not of its type.
func checkMessage(a crypto.SigningAlgorithm, mt crypto.MessageType, n int) error {
	takes := [2]crypto.MessageType{crypto.MessageRaw, crypto.MessageDigest}
	switch a {
	case crypto.SignEd25519:
		takes[1] = crypto.MessageRaw
	case crypto.SignEd25519ph:
		takes[0] = crypto.MessageDigest
	case crypto.SignMLDSA:
		takes[1] = crypto.MessageExternalMu
	}
	switch {
	case mt != takes[0] && mt != takes[1] && takes[0] == takes[1]:
		return fmt.Errorf("%w: %s takes %s only", ErrMessageType, a, takes[0])
	case mt != takes[0] && mt != takes[1]:
		return fmt.Errorf("%w: %s takes %s and %s", ErrMessageType, a, takes[0], takes[1])
	case mt == crypto.MessageRaw && n > crypto.MaxMessage:
		return fmt.Errorf("%w: the message has %d bytes, at most %d are allowed", crypto.ErrLength, n, crypto.MaxMessage)
	case mt == crypto.MessageDigest && n != hashOf(a).Size():
		return fmt.Errorf("%w: the digest has %d bytes, %s wants %d", crypto.ErrLength, n, a, hashOf(a).Size())
	case mt == crypto.MessageExternalMu && n != crypto.MuSize:
		return fmt.Errorf("%w: mu has %d bytes, want %d", crypto.ErrLength, n, crypto.MuSize)
	}
	return nil
}
