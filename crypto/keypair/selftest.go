package keypair

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/kmsd/kmsd/crypto"
)

// SelfTest runs a test with a known answer, or of one half of a pair against the other, for every kind of key pair that
// is available, in some milliseconds, and returns an error that names the test that failed. Start no service if it fails:
// the machine or the build computes wrongly. Concurrent calls are fine.
func SelfTest() error {
	for _, test := range []struct {
		name string
		spec crypto.Spec
		ok   func() bool
	}{
		{"RSA", crypto.SpecRSA2048, selfTestRSA},
		{"ECDSA and ECDH on P-256", crypto.SpecP256, selfTestP256},
		{"ECDSA on secp256k1", crypto.SpecP256K1, selfTestP256K1},
		{"Ed25519", crypto.SpecEd25519, selfTestEd25519},
		{"ML-DSA", crypto.SpecMLDSA44, selfTestMLDSA},
		{"ML-KEM", crypto.SpecMLKEM768, selfTestMLKEM},
	} {
		if available(test.spec) == nil && !test.ok() {
			return fmt.Errorf("self-test failed: %s", test.name)
		}
	}
	return nil
}

// fromHex decodes the constants of this file.
func fromHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("keypair: internal error: constant is not hexadecimal")
	}
	return b
}

func hashIs(b []byte, want string) bool {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]) == want
}

// signs reports whether signatures of p are right, and those of another message are not.
func signs(p *Private, a crypto.SigningAlgorithm, mt crypto.MessageType, message []byte) bool {
	signature, err := p.Sign(a, mt, message)
	if err != nil || p.public.Verify(a, mt, message, signature) != nil {
		return false
	}
	other := bytes.Clone(message)
	other[0] ^= 1
	return errors.Is(p.public.Verify(a, mt, other, signature), ErrSignature)
}

// selfTestRSAKey is a key that is used for nothing else, made with openssl genpkey, as its signature below is with
// openssl dgst.
const selfTestRSAKey = "" +
	"MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCfAkz+wmQd43R1ac8momeVFXjCraC3k+2SQ1A19m6RYmQP8+Tpicc5amftP9" +
	"a5nmVPnulvVtj8ZToRInU8DzpME/qu6KVF7iVM3jMCTtunzwyu/LduATiNzt4JuhHpt6NcvyKmkVS+xa3CJovb4hVbQ/rkUM/78uq1jRUdvtqc" +
	"eB+fd9e/4ylZDg1/1+0X1T8Q1/QvDTAyz3/Z3/fDp9X0+4bfJJvyVpc6oDyYeFIGM11dvF2B8esB/NOZSpVzNSGiXdwCT/lIYEArakaL/OKfFH" +
	"oFk2xiOWRkOTZCu6CRDLZzSuCAaz9wTnj3Dud3roIEpL5FtuYIKTfcuUOJtrHxAgMBAAECggEABn8MET5046m2yNM9VNk+vR8G84Evd0CSbK7W" +
	"WJYMV2E7MFGpEQeBfa2EuHMqvSOlBPc7l0JnlAw4rpmHS6Bdo90PGVVE51H+8SCE2fvJypXRcVa+0b44BsckWCZjc/Z+NJxUeJSobzDZU/zKKv" +
	"4WHEfvOKO6k5MNlsRAUBpLiSfosU+38SH5Jg9a78PqyUgIQBwRiKJmsYwnvJsywFarvZhQuU0/j6OJ51ctn1FCE53S4xE7F89T+cToc53B2UAB" +
	"dmTczrzn8q/6mVAhZFgIB+vUd3WsUqNM/qyMKGI3/Znk7P10vCOOMZWX87ILXtMwuSlSlOb95AbbKo+7PdycaQKBgQDXfgdK5TlQeDg6Ii2/dN" +
	"C169ED6Gwf+ARDty00CZBFvMIxbNXdiykjSrVpcJQV4t6GwNuNOGNICj0frbYwgK9mbLYc8abFioRlI6JAxQus+Mo1KQU587BIXx7jqvzohm7w" +
	"ZuM2/5z6FtacL9XgxbPi2CDwX+wklgJ4T4aZIBGM1QKBgQC85itBYg69ARqSGXW6+sI53nuqprmarh2sNxHdJ/UKPg0I/m3UpL3q/DIPGs3fNy" +
	"4pweqZNg9ZrBVZhGUR6HME1xB4NRGLXFeMslSZjBnCxtvxptsvY+kvt+R2KrY4tD4EHIbbmDPsCO+QjFONVC2gPWLLiJyMF8Zacz/IhXturQKB" +
	"gQCFsN+vXITxYpRnpJrDRCLUKqgzB3hFYSasKDG4LhK+4TuNVFteph5wkcH412pYJbcu3OmZNJmLsSZ4x9nXP48SOXHGhTmVJrm60Z+xFU6IEp" +
	"XI41klugTs8W6Fiqh7TiP3q61diroGAjNFFPxZBe7zVmkhGDG2BQclQxlbWKTqvQKBgQC1pO97U/uwK9uNGgZn4rHaS+LHWsOnxj6qV9pJvB6Z" +
	"1slaGK8sh65IxHKuq6vENZ+ib+JTqfRg2mU9S16VNd1Ejjo8HWvdgtJ9bQ6FCH/NGMRvP3ANxhl51W9PYgsPw+LOuU/E4jsrgfw8F3RQtt2Y9O" +
	"6HobpHzKTkXWa8P/9NkQKBgHRZsfb0cERjwGPu8PRopi209uA6SRR4nHFZw5jgY4og9yP3zssBNA6WcPGkex2ugyfsQnLMC7M6GMla8rj/gQUd" +
	"TdwDY5v9Q0J8y5h8jIidry2/jgx3LXtlO4JmbBvEOIkmGgBRbU6a1FyrqLXO3sH4e+WeTbHdyLxoUvmi3CTZ"

func selfTestRSA() bool {
	der, err := base64.StdEncoding.DecodeString(selfTestRSAKey)
	if err != nil {
		return false
	}
	p, err := newPrivate(crypto.SpecRSA2048, der)
	if err != nil {
		return false
	}
	signature, err := p.Sign(crypto.SignPKCS1SHA256, crypto.MessageRaw, []byte("abc"))
	if err != nil || !hashIs(signature, "ba8d6338b791d187f7613e49da290ab839028eda4fe6fc19155c79f0a4bb5b7b") {
		return false
	}
	if p.public.Verify(crypto.SignPKCS1SHA256, crypto.MessageRaw, []byte("abc"), signature) != nil {
		return false
	}
	ciphertext, err := p.public.Encrypt(crypto.EncryptOAEPSHA256, []byte("abc"))
	if err != nil {
		return false
	}
	plaintext, err := p.Decrypt(crypto.EncryptOAEPSHA256, ciphertext)
	return err == nil && string(plaintext) == "abc"
}

// The key and the shared secret of RFC 5903, section 8.1.
func selfTestP256() bool {
	scalar := fromHex("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433")
	point := fromHex("04dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180" +
		"5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3")
	p, err := newPrivate(crypto.SpecP256, marshalEC(crypto.SpecP256, scalar, point))
	if err != nil {
		return false
	}
	secret, err := p.DeriveSharedSecret(marshalSPKI(crypto.SpecP256, fromHex("04"+
		"d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"+
		"56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab")))
	return err == nil && bytes.Equal(secret, fromHex("d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de")) &&
		signs(p, crypto.SignECDSASHA256, crypto.MessageRaw, []byte("abc"))
}

// The signature of a hash under the private key 1 with the nonce of RFC 6979, as dcrd and libsecp256k1 make it.
func selfTestP256K1() bool {
	scalar := make([]byte, 32)
	scalar[31] = 1
	k, ok := parseScalar(scalar)
	if !ok {
		return false
	}
	hash := sha256.Sum256([]byte("Satoshi Nakamoto"))
	signature := k.sign(hash[:], nil)
	if !bytes.Equal(signature, fromHex("3045022100934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8"+
		"02202442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5")) {
		return false
	}
	public := publicP256K1(crypto.SpecP256K1, k.public)
	return public.Verify(crypto.SignECDSASHA256, crypto.MessageDigest, hash[:], signature) == nil
}

// RFC 8032, section 7.1, test 2.
func selfTestEd25519() bool {
	seed := fromHex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
	p, err := newPrivate(crypto.SpecEd25519, marshalEd25519(crypto.SpecEd25519, seed))
	if err != nil {
		return false
	}
	signature, err := p.Sign(crypto.SignEd25519, crypto.MessageRaw, []byte("\x72"))
	return err == nil && bytes.Equal(signature, fromHex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"+
		"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")) &&
		signs(p, crypto.SignEd25519, crypto.MessageRaw, []byte("\x72"))
}

// selfTestSeed is the seed of the examples of RFC 9881 and RFC 9935.
func selfTestSeed(n int) []byte {
	seed := make([]byte, n)
	for i := range seed {
		seed[i] = byte(i)
	}
	return seed
}

func selfTestMLDSA() bool {
	p, err := newPrivate(crypto.SpecMLDSA44, selfTestSeed(32))
	if err != nil || !hashIs(p.public.der, "837832708c5236d951581f1fddf2b79991b3424a0486d16da1ddad0fd69701be") {
		return false
	}
	return signs(p, crypto.SignMLDSA, crypto.MessageRaw, []byte("abc")) &&
		signs(p, crypto.SignMLDSA, crypto.MessageExternalMu, make([]byte, crypto.MuSize))
}

func selfTestMLKEM() bool {
	p, err := newPrivate(crypto.SpecMLKEM768, selfTestSeed(64))
	if err != nil || !hashIs(p.public.der, "c23e23dd3d485a9256cda09358a4a286e00b373db10761eadf99f710649ca31c") {
		return false
	}
	ciphertext, secret := p.public.encapsulate()
	got, err := p.Decapsulate(ciphertext)
	if err != nil || !bytes.Equal(got, secret) {
		return false
	}
	ciphertext[0] ^= 1
	got, err = p.Decapsulate(ciphertext)
	return err == nil && !bytes.Equal(got, secret)
}
