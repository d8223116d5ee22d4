package crypto

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// SelfTest runs a test with a known answer for every primitive and for the blob format, in less than a millisecond,
// and returns an error that names the test that failed. Start no service if it fails: the machine or the build
// computes wrongly. Concurrent calls are fine.
func SelfTest() error {
	for _, test := range []struct {
		name string
		ok   func() bool
	}{
		{"SHA-256", selfTestSHA256},
		{"HMAC-SHA256", selfTestHMAC},
		{"HMAC keys", selfTestHMACKeys},
		{"key derivation", selfTestDerive},
		{"AES-256-GCM", selfTestGCM},
		{"CRC-32C", func() bool { return CRC32C([]byte("123456789")) == 0xe3069283 }},
		{"decryption of a known blob", selfTestKnownBlob},
		{"encryption and decryption", selfTestRoundTrip},
	} {
		if !test.ok() {
			return fmt.Errorf("self-test failed: %s", test.name)
		}
	}
	return nil
}

// fromHex decodes the constants of this file.
func fromHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("crypto: internal error: constant is not hexadecimal")
	}
	return b
}

// FIPS 180-4, the example "abc".
func selfTestSHA256() bool {
	sum := sha256.Sum256([]byte("abc"))
	return bytes.Equal(sum[:], fromHex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
}

// RFC 4231, test case 1.
func selfTestHMAC() bool {
	sum := NewMAC(NewSecret(bytes.Repeat([]byte{0x0b}, 20))).Sum([]byte("Hi There"))
	return bytes.Equal(sum[:], fromHex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"))
}

// The MACs of "abc" under keys of the bytes 0, 1, 2 and on, as Python's hmac makes them.
func selfTestHMACKeys() bool {
	for _, test := range []struct {
		spec Spec
		mac  string
	}{
		{SpecHMAC224, "6d011b70dbd3574c1409e472504a7e8646e6abf54bb6a5d093bee7d9"},
		{SpecHMAC256, "f0133729c4163dede81e21cd47839256da58171238c8a0d874397c73b14e1e47"},
		{SpecHMAC384, "6e3f05b6b71b7ac830e8413ff335e733944f0dd08b9fd4bad0ac1564f01b3784" +
			"64d9c97f619313c7ebf68155d99498ea"},
		{SpecHMAC512, "6676a206912b5136ef92d5345fb1d39848bdce03485cc2ec0761505d0659ba2f" +
			"32445f2e2783096f004e4960e4ab9b35faf57d6041f7604526d5f94cf75021bd"},
	} {
		mac := fromHex(test.mac)
		material := make([]byte, len(mac))
		for i := range material {
			material[i] = byte(i)
		}
		k, err := NewHMACKey(test.spec, NewSecret(material))
		if err != nil {
			return false
		}
		algorithm := test.spec.MACAlgorithms()[0]
		got, err := k.Generate(algorithm, []byte("abc"))
		if err != nil || !bytes.Equal(got, mac) || k.Verify(algorithm, []byte("abc"), mac) != nil {
			return false
		}
		mac[0] ^= 1
		if !errors.Is(k.Verify(algorithm, []byte("abc"), mac), ErrMAC) {
			return false
		}
	}
	return true
}

// From testdata/vectors.json; OpenSSL's KBKDF gives the same.
func selfTestDerive() bool {
	key := NewSecret(fromHex("c6962f060d9449e4944117f1a14a4f73af56fa9aa44eed532bc5372472e2e760"))
	context := fromHex("5c71c3360ff5b283d4b869d06001111c8d4d51229fff9cb9273b6653e5d29ab7ecae5116842fbabd4e3d84f9afd79cec" +
		"21480a57d753cf92b5c9a748ab1982b22128")
	return bytes.Equal(Derive(key, "kmsd/enc/v1", context, 64).Expose(), fromHex(
		"19c4873392a36f0ed9568de99d99f5c76a9397ffdce05f7383f901ba25836a5912df35e778eb1fc4340b9be124f2dc16"+
			"1c51ee86c05cfa1963f42d084ac9241d"))
}

// McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B, test case 16.
func selfTestGCM() bool {
	s, err := NewSealer(NewSecret(fromHex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")))
	if err != nil {
		return false
	}
	aad := fromHex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
	sealed := fromHex("cafebabefacedbaddecaf888" +
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" +
		"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" + "76fc6ece0f4e1768cddf8853bb2d551b")
	plaintext, err := s.Open(nil, sealed, aad)
	if err != nil || !bytes.Equal(plaintext, fromHex(
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"+
			"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")) {
		return false
	}
	sealed[len(sealed)-1] ^= 1
	_, err = s.Open(nil, sealed, aad)
	return errors.Is(err, ErrSealed)
}

// selfTestKey returns the key and the context of the vector "a data key of 64 bytes, two pairs" of
// testdata/vectors.json.
func selfTestKey() (*Key, Context, error) {
	id, err := ParseKeyID("99ed7f50-8281-45d3-bc92-15c872c270f0")
	if err != nil {
		return nil, Context{}, err
	}
	material, err := ParseMaterialID("10f0dbcdbc096043204c3030d958018866fe48b2d90f693c8a68daf4cde4eb89")
	if err != nil {
		return nil, Context{}, err
	}
	c, err := NewContext(map[string]string{"tenant": "42", "purpose": "backup"})
	if err != nil {
		return nil, Context{}, err
	}
	k, err := NewKey(id, material, NewSecret(fromHex("845a6aa4a73b88c752a1a8ff1ac2bcc996e952aa0c0224920755e26d47df7bd8")))
	return k, c, err
}

func selfTestKnownBlob() bool {
	k, c, err := selfTestKey()
	if err != nil {
		return false
	}
	blob := fromHex(
		"010199ed7f50828145d3bc9215c872c270f010f0dbcdbc096043204c3030d95801880e42d4cae8864908e0b8c7520e36" +
			"0aa4ab36594092e98562797c58ec39e17b73734794dc7e368ce603d5e7be49a10fc7a2f02eebcf70c7c6b547c47b5d70" +
			"e5d704427c9053d9a667be544c14695ca41964e3666cd41f8765711ad9a9891a01177d208d181006441aaef937a8ad93" +
			"d317a1be758256b22a55e6283399dfb16bc22fe48b12770e013dc06e2c3c4d39a079c94be40e69b3a83fd26ac85c")
	plaintext, err := k.Decrypt(nil, blob, c)
	if err != nil || len(plaintext) != 64 {
		return false
	}
	for i, b := range plaintext {
		if b != byte(7*i+3) {
			return false
		}
	}
	if _, err := k.Decrypt(nil, blob, Context{}); !errors.Is(err, ErrWrongContext) {
		return false
	}
	blob[len(blob)-1] ^= 1
	_, err = k.Decrypt(nil, blob, c)
	return errors.Is(err, ErrTampered)
}

func selfTestRoundTrip() bool {
	k, c, err := selfTestKey()
	if err != nil {
		return false
	}
	message := []byte("self-test")
	blob, err := k.Encrypt(nil, message, c)
	if err != nil {
		return false
	}
	plaintext, err := k.Decrypt(nil, blob, c)
	return err == nil && bytes.Equal(plaintext, message)
}
