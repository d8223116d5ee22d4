package difftest

import (
	"testing"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
)

var rsaSpecs = []crypto.Spec{crypto.SpecRSA2048, crypto.SpecRSA3072, crypto.SpecRSA4096}

// row is one algorithm, and how its cases are made.
type row struct {
	name string
	step func(*testing.T) step
}

func signing(a crypto.SigningAlgorithm, specs ...crypto.Spec) row {
	return row{string(a) + " " + string(specs[0]), func(t *testing.T) step { return signatures(t, a, specs...) }}
}

func run(t *testing.T, start func(*testing.T) peer, rows []row) {
	t.Helper()
	n := int(number(t, "KMSD_DIFFERENTIAL_CASES", 200))
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			compare(t, start(t), row.step(t), n)
		})
	}
}

// classic is what both Java and OpenSSL do.
func classic() []row {
	rows := []row{
		{"HMAC_SHA_224", func(t *testing.T) step { return macs(t, crypto.MACSHA224, crypto.SpecHMAC224) }},
		{"HMAC_SHA_256", func(t *testing.T) step { return macs(t, crypto.MACSHA256, crypto.SpecHMAC256) }},
		{"HMAC_SHA_384", func(t *testing.T) step { return macs(t, crypto.MACSHA384, crypto.SpecHMAC384) }},
		{"HMAC_SHA_512", func(t *testing.T) step { return macs(t, crypto.MACSHA512, crypto.SpecHMAC512) }},
		signing(crypto.SignECDSASHA256, crypto.SpecP256),
		signing(crypto.SignECDSASHA384, crypto.SpecP384),
		signing(crypto.SignECDSASHA512, crypto.SpecP521),
		signing(crypto.SignEd25519, crypto.SpecEd25519),
		{"ECDH P256", func(t *testing.T) step { return agreements(t, crypto.SpecP256) }},
		{"ECDH P384", func(t *testing.T) step { return agreements(t, crypto.SpecP384) }},
		{"ECDH P521", func(t *testing.T) step { return agreements(t, crypto.SpecP521) }},
		{"RSAES_OAEP_SHA_1", func(t *testing.T) step { return encryptions(t, crypto.EncryptOAEPSHA1, 20) }},
		{"RSAES_OAEP_SHA_256", func(t *testing.T) step { return encryptions(t, crypto.EncryptOAEPSHA256, 32) }},
	}
	for _, a := range crypto.SpecRSA2048.SigningAlgorithms() {
		rows = append(rows, signing(a, rsaSpecs...))
	}
	return rows
}

func TestAgainstOpenSSL(t *testing.T) {
	wrapping := func(a keywrap.Algorithm, spec keywrap.KeySpec) row {
		return row{"import " + string(a) + " " + string(spec), func(t *testing.T) step { return wraps(t, a, spec, "kmsd/import/v1") }}
	}
	run(t, newOpenSSL, append(classic(),
		signing(crypto.SignECDSASHA256, crypto.SpecP256K1),
		signing(crypto.SignMLDSA, crypto.SpecMLDSA44),
		signing(crypto.SignMLDSA, crypto.SpecMLDSA65),
		signing(crypto.SignMLDSA, crypto.SpecMLDSA87),
		row{"ML_KEM_768", func(t *testing.T) step { return encapsulations(t, crypto.SpecMLKEM768) }},
		row{"ML_KEM_1024", func(t *testing.T) step { return encapsulations(t, crypto.SpecMLKEM1024) }},
		row{"AES_256_GCM", seals},
		row{"AES_KWP", func(t *testing.T) step { return paddedWraps(t, 1) }},
		wrapping(keywrap.OAEPSHA1, keywrap.RSA3072),
		wrapping(keywrap.OAEPSHA256, keywrap.RSA4096),
		wrapping(keywrap.RSAAESSHA1, keywrap.RSA2048),
		wrapping(keywrap.RSAAESSHA256, keywrap.RSA2048),
		wrapping(keywrap.HPKEMLKEM768X25519, keywrap.MLKEM768X25519),
	))
}

// Ed25519ph is here because OpenSSL's is out of Python's reach.
func TestAgainstJava(t *testing.T) {
	run(t, newJava, append(classic(), signing(crypto.SignEd25519ph, crypto.SpecEd25519)))
}
