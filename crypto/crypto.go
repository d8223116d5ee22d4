// Package crypto holds keys that work and do not tell, and the format of what they encrypt.
//
// A Key encrypts and decrypts under one version of a master key, a Sealer seals records, a MAC authenticates
// them, a Secret carries bytes that no formatting verb prints. The package reads no file, keeps no state between
// calls, knows no caller and decides nothing about who may use a key. It counts nothing either: the salt of each
// message makes the 2^32-message limit of GCM irrelevant for a Key, and a Sealer states its limit.
// All of it is made from approved algorithms of the standard library's FIPS 140-3 module and works under
// GODEBUG=fips140=only. Ciphertexts are described byte by byte in docs/formats/ciphertext.md.
//
// Trust: who chooses ciphertexts and encryption contexts learns from Decrypt one bit, and can neither make one
// blob open under two keys, nor alter a byte of it, nor move it to another context. Who reads the memory of the
// process can read everything: secrets are contained, so that they are not printed, logged or encoded by mistake,
// and only Secret.Wipe erases; the key schedules that the standard library makes are left to the garbage collector.
package crypto

import (
	"crypto/fips140"
	"hash/crc32"
	"unsafe"
)

// CRC32C returns the CRC-32 of b with the Castagnoli polynomial (RFC 3720, appendix B.4). It detects accidents,
// not attackers.
func CRC32C(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// FIPS names the state of the FIPS 140-3 mode (off, on or only) and the version of the Go Cryptographic Module in
// use, for people to read: "FIPS 140-3 mode on, Go Cryptographic Module v1.0.0".
func FIPS() string {
	mode := "off"
	switch {
	case fips140.Enforced():
		mode = "only"
	case fips140.Enabled():
		mode = "on"
	}
	return "FIPS 140-3 mode " + mode + ", Go Cryptographic Module " + fips140.Version()
}

// unshared returns dst, without its spare capacity if input lies in it, so that what is appended to dst does not
// overwrite input while it is read.
func unshared(dst, input []byte) []byte {
	spare := dst[len(dst):cap(dst)]
	if len(spare) == 0 || len(input) == 0 {
		return dst
	}
	s, i := uintptr(unsafe.Pointer(unsafe.SliceData(spare))), uintptr(unsafe.Pointer(unsafe.SliceData(input)))
	if s < i+uintptr(len(input)) && i < s+uintptr(len(spare)) {
		return dst[:len(dst):len(dst)]
	}
	return dst
}
