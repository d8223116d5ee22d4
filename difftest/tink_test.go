package difftest

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/hybrid"
	"github.com/tink-crypto/tink-go/v2/hybrid/hpke"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	tinkkey "github.com/tink-crypto/tink-go/v2/key"
	"github.com/tink-crypto/tink-go/v2/keyset"
	kwp "github.com/tink-crypto/tink-go/v2/kwp/subtle"
	macsubtle "github.com/tink-crypto/tink-go/v2/mac/subtle"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/signature"
	"github.com/tink-crypto/tink-go/v2/signature/mldsa"
	"github.com/tink-crypto/tink-go/v2/signature/rsassapkcs1"
	"github.com/tink-crypto/tink-go/v2/signature/rsassapss"
	"github.com/tink-crypto/tink-go/v2/signature/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
)

// tinkPeer is Tink. Its ML-DSA, HPKE and AES-KWP are its own; for the rest it calls the same standard library as we.
type tinkPeer struct {
	keys map[*key]*tinkKey
}

type tinkKey struct {
	signer    tink.Signer
	verifier  tink.Verifier
	mac       tink.MAC
	kwp       *kwp.KWP
	encrypter tink.HybridEncrypt
	decrypter tink.HybridDecrypt
}

func newTink(*testing.T) peer { return &tinkPeer{map[*key]*tinkKey{}} }

func (p *tinkPeer) do(calls []call) ([]answer, error) {
	answers := make([]answer, 0, len(calls))
	for _, c := range calls {
		k := p.keys[c.key]
		if k == nil {
			var err error
			if k, err = loadTink(c.key, c.algorithm); err != nil {
				return nil, fmt.Errorf("loading a key of %s: %w", c.key.spec, err)
			}
			p.keys[c.key] = k
		}
		a, err := k.do(c)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", c.op, c.algorithm, err)
		}
		answers = append(answers, a)
	}
	return answers, nil
}

// do runs a call. The operations that take what has been altered refuse by any error.
func (k *tinkKey) do(c call) (answer, error) {
	var out []byte
	var err error
	switch c.op {
	case "verify":
		if k.verifier.Verify(c.in[1], c.in[0]) != nil {
			return answer{refused: true}, nil
		}
		return answer{}, nil
	case "sign":
		out, err = k.signer.Sign(c.in[0])
	case "mac":
		out, err = k.mac.ComputeMAC(c.in[0])
	case "wrap":
		if k.kwp != nil {
			out, err = k.kwp.Wrap(c.in[1])
		} else {
			out, err = k.encrypter.Encrypt(c.in[1], c.in[0])
		}
	case "unwrap":
		if k.kwp != nil {
			out, err = k.kwp.Unwrap(c.in[1])
		} else {
			out, err = k.decrypter.Decrypt(c.in[1], c.in[0])
		}
		if err != nil {
			return answer{refused: true}, nil
		}
	default:
		err = fmt.Errorf("no such operation")
	}
	return answer{out: [][]byte{out}}, err
}

func secretBytes(b []byte) secretdata.Bytes {
	return secretdata.NewBytesFromData(b, insecuresecretdataaccess.Token{})
}

// loadTink makes what Tink needs to use a key with an algorithm.
func loadTink(k *key, algorithm string) (*tinkKey, error) {
	switch {
	case strings.HasPrefix(k.spec, "HMAC"):
		bits := k.spec[len("HMAC_"):]
		m, err := macsubtle.NewHMAC("SHA"+bits, k.pkcs8, uint32(len(k.pkcs8)))
		return &tinkKey{mac: m}, err
	case k.spec == "AES":
		w, err := kwp.NewKWP(k.pkcs8)
		return &tinkKey{kwp: w}, err
	case k.spec == "MLKEM768_X25519":
		return loadTinkHPKE(k)
	case strings.HasPrefix(k.spec, "ML_DSA"):
		return loadTinkMLDSA(k)
	}
	private, err := x509.ParsePKCS8PrivateKey(k.pkcs8)
	if err != nil {
		return nil, err
	}
	var t tinkKey
	switch private := private.(type) {
	case *rsa.PrivateKey:
		return loadTinkRSA(private, algorithm)
	case *ecdsa.PrivateKey:
		hash := "SHA" + algorithm[len(algorithm)-3:]
		if t.signer, err = subtle.NewECDSASignerFromPrivateKey(hash, "DER", private); err != nil {
			return nil, err
		}
		t.verifier, err = subtle.NewECDSAVerifierFromPublicKey(hash, "DER", &private.PublicKey)
	default:
		seed := k.pkcs8[len(k.pkcs8)-32:]
		if t.signer, err = subtle.NewED25519Signer(seed); err != nil {
			return nil, err
		}
		t.verifier, err = subtle.NewED25519Verifier(k.spki[len(k.spki)-32:])
	}
	return &t, err
}

// handles returns the keyset of a private key, and of its public half.
func handles(k tinkkey.Key) (private, public *keyset.Handle, err error) {
	m := keyset.NewManager()
	id, err := m.AddKey(k)
	if err != nil {
		return nil, nil, err
	}
	if err := m.SetPrimary(id); err != nil {
		return nil, nil, err
	}
	if private, err = m.Handle(); err != nil {
		return nil, nil, err
	}
	public, err = private.Public()
	return private, public, err
}

func signerAndVerifier(k tinkkey.Key, err error) (*tinkKey, error) {
	if err != nil {
		return nil, err
	}
	private, public, err := handles(k)
	if err != nil {
		return nil, err
	}
	var t tinkKey
	if t.signer, err = signature.NewSigner(private); err != nil {
		return nil, err
	}
	t.verifier, err = signature.NewVerifier(public)
	return &t, err
}

func loadTinkMLDSA(k *key) (*tinkKey, error) {
	instance := map[string]mldsa.Instance{"ML_DSA_44": mldsa.MLDSA44, "ML_DSA_65": mldsa.MLDSA65, "ML_DSA_87": mldsa.MLDSA87}[k.spec]
	parameters, err := mldsa.NewParameters(instance, mldsa.VariantNoPrefix)
	if err != nil {
		return nil, err
	}
	private, err := mldsa.NewPrivateKey(secretBytes(k.secret.Expose()), 0, parameters)
	if err != nil {
		return nil, err
	}
	return signerAndVerifier(private, nil)
}

func loadTinkRSA(k *rsa.PrivateKey, algorithm string) (*tinkKey, error) {
	bits, n := k.N.BitLen(), k.N.Bytes()
	p, q, d := secretBytes(k.Primes[0].Bytes()), secretBytes(k.Primes[1].Bytes()), secretBytes(k.D.FillBytes(make([]byte, bits/8)))
	if strings.HasPrefix(algorithm, "RSASSA_PSS") {
		hash := map[string]rsassapss.HashType{"256": rsassapss.SHA256, "384": rsassapss.SHA384, "512": rsassapss.SHA512}[algorithm[len(algorithm)-3:]]
		salt := map[rsassapss.HashType]int{rsassapss.SHA256: 32, rsassapss.SHA384: 48, rsassapss.SHA512: 64}[hash]
		values := rsassapss.ParametersValues{ModulusSizeBits: bits, SigHashType: hash, MGF1HashType: hash, PublicExponent: k.E, SaltLengthBytes: salt}
		parameters, err := rsassapss.NewParameters(values, rsassapss.VariantNoPrefix)
		if err != nil {
			return nil, err
		}
		public, err := rsassapss.NewPublicKey(n, 0, parameters)
		if err != nil {
			return nil, err
		}
		private, err := rsassapss.NewPrivateKey(public, rsassapss.PrivateKeyValues{P: p, Q: q, D: d})
		return signerAndVerifier(private, err)
	}
	hash := map[string]rsassapkcs1.HashType{"256": rsassapkcs1.SHA256, "384": rsassapkcs1.SHA384, "512": rsassapkcs1.SHA512}[algorithm[len(algorithm)-3:]]
	parameters, err := rsassapkcs1.NewParameters(bits, hash, k.E, rsassapkcs1.VariantNoPrefix)
	if err != nil {
		return nil, err
	}
	public, err := rsassapkcs1.NewPublicKey(n, 0, parameters)
	if err != nil {
		return nil, err
	}
	private, err := rsassapkcs1.NewPrivateKey(public, rsassapkcs1.PrivateKeyValues{P: p, Q: q, D: d})
	return signerAndVerifier(private, err)
}

func loadTinkHPKE(k *key) (*tinkKey, error) {
	parameters, err := hpke.NewParameters(hpke.ParametersOpts{
		KEMID: hpke.X_WING, KDFID: hpke.HKDFSHA256, AEADID: hpke.AES256GCM, Variant: hpke.VariantNoPrefix,
	})
	if err != nil {
		return nil, err
	}
	key, err := hpke.NewPrivateKey(secretBytes(k.pkcs8), 0, parameters)
	if err != nil {
		return nil, err
	}
	private, public, err := handles(key)
	if err != nil {
		return nil, err
	}
	var t tinkKey
	if t.encrypter, err = hybrid.NewHybridEncrypt(public); err != nil {
		return nil, err
	}
	t.decrypter, err = hybrid.NewHybridDecrypt(private)
	return &t, err
}

func TestAgainstTink(t *testing.T) {
	rows := []row{
		{"HMAC_SHA_224", func(t *testing.T) step { return macs(t, crypto.MACSHA224, crypto.SpecHMAC224) }},
		{"HMAC_SHA_256", func(t *testing.T) step { return macs(t, crypto.MACSHA256, crypto.SpecHMAC256) }},
		{"HMAC_SHA_384", func(t *testing.T) step { return macs(t, crypto.MACSHA384, crypto.SpecHMAC384) }},
		{"HMAC_SHA_512", func(t *testing.T) step { return macs(t, crypto.MACSHA512, crypto.SpecHMAC512) }},
		signing(crypto.SignECDSASHA256, crypto.SpecP256),
		signing(crypto.SignECDSASHA384, crypto.SpecP384),
		signing(crypto.SignECDSASHA512, crypto.SpecP521),
		signing(crypto.SignEd25519, crypto.SpecEd25519),
		signing(crypto.SignMLDSA, crypto.SpecMLDSA44),
		signing(crypto.SignMLDSA, crypto.SpecMLDSA65),
		signing(crypto.SignMLDSA, crypto.SpecMLDSA87),
		{"AES_KWP", func(t *testing.T) step { return paddedWraps(t, kwp.MinWrapSize) }},
		{string(keywrap.HPKEMLKEM768X25519), func(t *testing.T) step {
			return wraps(t, keywrap.HPKEMLKEM768X25519, keywrap.MLKEM768X25519, "kmsd/import/v1")
		}},
	}
	for _, a := range crypto.SpecRSA2048.SigningAlgorithms() {
		rows = append(rows, signing(a, rsaSpecs...))
	}
	run(t, newTink, rows)
}
