package server_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// kindOfKey is a key of a spec and usage.
type kindOfKey struct {
	spec, usage, arn string
}

// algorithmsOf :: spec → what AWS says its keys sign with, or make MACs with, or encrypt with.
var algorithmsOf = map[string][]string{
	"SYMMETRIC_DEFAULT": {"SYMMETRIC_DEFAULT"},
	"HMAC_224":          {"HMAC_SHA_224"}, "HMAC_256": {"HMAC_SHA_256"}, "HMAC_384": {"HMAC_SHA_384"}, "HMAC_512": {"HMAC_SHA_512"},
	"RSA_2048": ofRSA, "RSA_3072": ofRSA, "RSA_4096": ofRSA,
	"ECC_NIST_P256": {"ECDSA_SHA_256", "ECDH"}, "ECC_NIST_P384": {"ECDSA_SHA_384", "ECDH"}, "ECC_NIST_P521": {"ECDSA_SHA_512", "ECDH"},
	"ECC_SECG_P256K1": {"ECDSA_SHA_256"}, "ECC_NIST_EDWARDS25519": {"ED25519_SHA_512", "ED25519_PH_SHA_512"},
	"ML_DSA_44": {"ML_DSA_SHAKE_256"}, "ML_DSA_65": {"ML_DSA_SHAKE_256"}, "ML_DSA_87": {"ML_DSA_SHAKE_256"},
	"ML_KEM_768": {"ML_KEM"}, "ML_KEM_1024": {"ML_KEM"},
}

var ofRSA = []string{
	"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
	"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
}

// keysOfAllKinds makes a key of every spec and usage. Those of RSA have published material, which takes no time to make.
func keysOfAllKinds(p *props) (all []kindOfKey) {
	p.t.Helper()
	for _, spec := range crypto.Specs() {
		for _, usage := range spec.Usages() {
			in := kmsv1.CreateKeyRequest_builder{
				KeySpec: kmsv1.KeySpec(kmsv1.KeySpec_value["KEY_SPEC_"+string(spec)]), KeyUsage: kmsv1.KeyUsage(kmsv1.KeyUsage_value["KEY_USAGE_"+string(usage)]),
			}
			published := publishedRSA[spec] != ""
			if published {
				in.Origin = kmsv1.KeyMaterialOrigin_KEY_MATERIAL_ORIGIN_EXTERNAL
			}
			arn := must[*kmsv1.CreateKeyResponse](p)(p.Root().Keys().CreateKey(p.t.Context(), in.Build())).GetKeyMetadata().GetArn()
			if published {
				p.bring(arn, materialOf(p.t, spec))
			}
			all = append(all, kindOfKey{string(spec), string(usage), arn})
		}
	}
	return all
}

// numbersOf are the numbers of an enum, and two that it does not have.
func numbersOf(names map[int32]string) []int32 { return append(sortedNumbers(names), 99, -1) }

func sortedNumbers(names map[int32]string) (all []int32) {
	for n := range names {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// nameOf is AWS's name of a number, empty of 0 and of numbers without one.
func nameOf(names map[int32]string, prefix string, n int32) string {
	if n == 0 {
		return ""
	}
	return strings.TrimPrefix(names[n], prefix)
}

const (
	refusedField = "InvalidArgument ValidationException: "
	wrongUsage   = "FailedPrecondition InvalidKeyUsageException: "
)

// one is an item and what must become of it: "OK", or what said says, as far as it is told.
type one struct {
	what string
	item kmsv1.BatchItem_builder
	want string
}

// walk sends items in batches and compares.
func walk(p *props, all []one) {
	p.t.Helper()
	batches := kmsv1.NewBatchServiceClient(p.Root().Conn())
	count := map[string]int{}
	for some := range slices.Chunk(all, 512) {
		in := make([]*kmsv1.BatchItem, len(some))
		for i := range some {
			in[i] = some[i].item.Build()
		}
		out, err := batches.BatchCrypto(p.t.Context(), batchOf(in...))
		if err != nil {
			p.t.Fatal(err)
		}
		for i, r := range out.GetResults() {
			got := said(p.t.(*testing.T), r)
			if got != some[i].want && (some[i].want == "OK" || !strings.HasPrefix(got, some[i].want)) {
				p.t.Errorf("%s: %s, want %s", some[i].what, got, some[i].want)
			}
			count[strings.SplitN(some[i].want, ":", 2)[0]]++
		}
	}
	p.t.Logf("%d requests: %v", len(all), count)
	if len(count) < 3 || count["OK"] < 20 {
		p.t.Errorf("%d requests, of which %v: too few to have tested anything", len(all), count)
	}
}

// suits is how a request of an operation ends because of the key's usage, or of the algorithm, or "".
func (k kindOfKey) suits(operation, usage, algorithm string) string {
	if k.usage != usage {
		return wrongUsage + k.arn + " key usage is " + k.usage + " which is not valid for " + operation + "."
	}
	if !slices.Contains(algorithmsOf[k.spec], algorithm) {
		return wrongUsage + "Algorithm " + algorithm + " is incompatible with key spec " + k.spec + "."
	}
	return ""
}

// signs is how Sign ends for a message of so many bytes: "OK" if it is signed.
func (k kindOfKey) signs(operation, algorithm, kind string, n int) string {
	if algorithm == "" || kind == "?" {
		return refusedField
	}
	if refused := k.suits(operation, "SIGN_VERIFY", algorithm); refused != "" {
		return refused
	}
	takes := map[string]int{"RAW": n} // :: message type → bytes
	for suffix, size := range map[string]int{"SHA_256": 32, "SHA_384": 48, "SHA_512": 64} {
		if strings.HasSuffix(algorithm, suffix) {
			takes["DIGEST"] = size
		}
	}
	switch algorithm {
	case "ED25519_SHA_512":
		delete(takes, "DIGEST")
	case "ED25519_PH_SHA_512":
		delete(takes, "RAW")
	case "ML_DSA_SHAKE_256":
		takes = map[string]int{"RAW": n, "EXTERNAL_MU": 64}
	}
	if takes[kind] != n {
		return refusedField
	}
	return "OK"
}

// messageTypeOf is AWS's name of a message type, RAW of none, and "?" of one that does not exist.
func messageTypeOf(n int32) string {
	if n == 0 {
		return "RAW"
	}
	if name := nameOf(kmsv1.MessageType_name, "MESSAGE_TYPE_", n); name != "" {
		return name
	}
	return "?"
}

// Every algorithm, message type and usual length with every key, dry and not: a signature, or the one right error.
func TestProductOfSign(t *testing.T) {
	notWhenShort(t)
	p := newProps(newDoor(t, nil))
	var all []one
	for _, k := range keysOfAllKinds(p) {
		for _, a := range numbersOf(kmsv1.SigningAlgorithmSpec_name) {
			for _, mt := range numbersOf(kmsv1.MessageType_name) {
				for _, n := range []int{1, 32, 48, 64} {
					name, kind := nameOf(kmsv1.SigningAlgorithmSpec_name, "SIGNING_ALGORITHM_SPEC_", a), messageTypeOf(mt)
					for _, dry := range []bool{false, true} {
						what := fmt.Sprintf("%s %s %d %d of %d bytes, dry %v", k.spec, k.usage, a, mt, n, dry)
						want := k.signs("Sign", name, kind, n)
						all = append(all, one{"Sign " + what, kmsv1.BatchItem_builder{Sign: kmsv1.SignRequest_builder{
							KeyId: k.arn, Message: make([]byte, n), MessageType: kmsv1.MessageType(mt), SigningAlgorithm: kmsv1.SigningAlgorithmSpec(a), DryRun: dry,
						}.Build()}, want})
						if n != 1 && n != 64 {
							continue
						}
						if want = k.signs("Verify", name, kind, n); want == "OK" && !dry {
							want = "InvalidArgument KMSInvalidSignatureException: "
						}
						all = append(all, one{"Verify " + what, kmsv1.BatchItem_builder{Verify: kmsv1.VerifyRequest_builder{
							KeyId: k.arn, Message: make([]byte, n), Signature: []byte("no signature"), MessageType: kmsv1.MessageType(mt), SigningAlgorithm: kmsv1.SigningAlgorithmSpec(a), DryRun: dry,
						}.Build()}, want})
					}
				}
			}
		}
	}
	walk(p, all)
}

// Every encryption algorithm with every key, in Encrypt, Decrypt and on either side of ReEncrypt; every kind of data key and of pair.
func TestProductOfEncrypt(t *testing.T) {
	notWhenShort(t)
	p := newProps(newDoor(t, nil))
	var all []one
	const prefix = "ENCRYPTION_ALGORITHM_"
	name := func(n int32) string {
		if n == 0 {
			return "SYMMETRIC_DEFAULT"
		}
		return nameOf(kmsv1.EncryptionAlgorithm_name, prefix, n)
	}
	keys := keysOfAllKinds(p)
	rsa := keys[slices.IndexFunc(keys, func(k kindOfKey) bool { return k.spec == "RSA_3072" && k.usage == "ENCRYPT_DECRYPT" })]
	for _, k := range keys {
		for _, a := range numbersOf(kmsv1.EncryptionAlgorithm_name) {
			for _, dry := range []bool{false, true} {
				what := fmt.Sprintf("%s %s %d, dry %v", k.spec, k.usage, a, dry)
				algorithm := kmsv1.EncryptionAlgorithm(a)
				want := func(operation string) string {
					if name(a) == "" {
						return refusedField
					}
					if refused := k.suits(operation, "ENCRYPT_DECRYPT", name(a)); refused != "" {
						return refused
					}
					return "OK"
				}
				all = append(all, one{"Encrypt " + what, kmsv1.BatchItem_builder{Encrypt: kmsv1.EncryptRequest_builder{
					KeyId: k.arn, Plaintext: []byte("plaintext"), EncryptionAlgorithm: algorithm, DryRun: dry,
				}.Build()}, want("Encrypt")})
				all = append(all, one{"ReEncrypt to " + what, kmsv1.BatchItem_builder{ReEncrypt: kmsv1.ReEncryptRequest_builder{
					CiphertextBlob: p.blob, DestinationKeyId: k.arn, DestinationEncryptionAlgorithm: algorithm, DryRun: dry,
				}.Build()}, want("ReEncrypt")})
				opened := want("Decrypt") // of what is no ciphertext
				if opened == "OK" {
					opened = "InvalidArgument InvalidCiphertextException: "
				}
				all = append(all, one{"Decrypt " + what, kmsv1.BatchItem_builder{Decrypt: kmsv1.DecryptRequest_builder{
					KeyId: k.arn, CiphertextBlob: bytes.Repeat([]byte{7}, 256), EncryptionAlgorithm: algorithm, DryRun: dry,
				}.Build()}, opened})
				from := want("ReEncrypt")
				if from == "OK" {
					from = "InvalidArgument InvalidCiphertextException: "
				}
				all = append(all, one{"ReEncrypt from " + what, kmsv1.BatchItem_builder{ReEncrypt: kmsv1.ReEncryptRequest_builder{
					SourceKeyId: k.arn, CiphertextBlob: bytes.Repeat([]byte{7}, 256), SourceEncryptionAlgorithm: algorithm, DestinationKeyId: p.keyID, DryRun: dry,
				}.Build()}, from})
				if want("Encrypt") == "OK" && name(a) != "SYMMETRIC_DEFAULT" {
					all = append(all, one{"Encrypt with a context " + what, kmsv1.BatchItem_builder{Encrypt: kmsv1.EncryptRequest_builder{
						KeyId: k.arn, Plaintext: []byte("plaintext"), EncryptionAlgorithm: algorithm, DryRun: dry, EncryptionContext: map[string]string{"a": "b"},
					}.Build()}, refusedField + "encryption_context: "}, one{"Decrypt without a key " + what, kmsv1.BatchItem_builder{Decrypt: kmsv1.DecryptRequest_builder{
						CiphertextBlob: p.blob, EncryptionAlgorithm: algorithm, DryRun: dry,
					}.Build()}, refusedField + "key_id: "})
				}
			}
		}
		all = append(all, dataKeys(k)...)
		// What is sealed under another key is none of this one.
		want := k.suits("Decrypt", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT")
		if want == "" {
			want = "InvalidArgument IncorrectKeyException: "
		}
		all = append(all, one{"Decrypt of another's " + k.spec + k.usage, kmsv1.BatchItem_builder{Decrypt: kmsv1.DecryptRequest_builder{KeyId: k.arn, CiphertextBlob: p.blob}.Build()}, want})
	}
	all = append(all, limitsOfRSA(keys)...)
	all = append(all, one{"ReEncrypt with a context to " + rsa.spec, kmsv1.BatchItem_builder{ReEncrypt: kmsv1.ReEncryptRequest_builder{
		CiphertextBlob: p.blob, DestinationKeyId: rsa.arn, DestinationEncryptionAlgorithm: 3, DestinationEncryptionContext: map[string]string{"a": "b"},
	}.Build()}, refusedField + "destination_encryption_context: "})
	walk(p, all)
}

// dataKeys are all kinds of data keys and pairs under a key. Pairs of RSA, which take long, are made dry only.
func dataKeys(k kindOfKey) (all []one) {
	end := func(operation, bad string) string {
		switch {
		case bad != "":
			return bad
		case k.usage != "ENCRYPT_DECRYPT":
			return k.suits(operation, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT")
		case k.spec != "SYMMETRIC_DEFAULT":
			return wrongUsage + k.arn + " key spec is " + k.spec + " which is not valid for " + operation + "."
		}
		return "OK"
	}
	for _, dry := range []bool{false, true} {
		for _, n := range numbersOf(kmsv1.DataKeySpec_name) {
			bad := ""
			if n != 1 && n != 2 {
				bad = refusedField
			}
			what, spec := fmt.Sprintf(" %d under %s %s, dry %v", n, k.spec, k.usage, dry), kmsv1.DataKeySpec(n)
			all = append(all,
				one{"GenerateDataKey" + what, kmsv1.BatchItem_builder{GenerateDataKey: kmsv1.GenerateDataKeyRequest_builder{KeyId: k.arn, KeySpec: spec, DryRun: dry}.Build()}, end("GenerateDataKey", bad)},
				one{"GenerateDataKeyWithoutPlaintext" + what, kmsv1.BatchItem_builder{GenerateDataKeyWithoutPlaintext: kmsv1.GenerateDataKeyWithoutPlaintextRequest_builder{KeyId: k.arn, KeySpec: spec, DryRun: dry}.Build()}, end("GenerateDataKeyWithoutPlaintext", bad)})
		}
		for _, n := range numbersOf(kmsv1.DataKeyPairSpec_name) {
			bad, name := "", nameOf(kmsv1.DataKeyPairSpec_name, "DATA_KEY_PAIR_SPEC_", n)
			if name == "" {
				bad = refusedField
			}
			if strings.HasPrefix(name, "RSA") && !dry {
				continue
			}
			what, spec := fmt.Sprintf(" %d under %s %s, dry %v", n, k.spec, k.usage, dry), kmsv1.DataKeyPairSpec(n)
			all = append(all,
				one{"GenerateDataKeyPair" + what, kmsv1.BatchItem_builder{GenerateDataKeyPair: kmsv1.GenerateDataKeyPairRequest_builder{KeyId: k.arn, KeyPairSpec: spec, DryRun: dry}.Build()}, end("GenerateDataKeyPair", bad)},
				one{"GenerateDataKeyPairWithoutPlaintext" + what, kmsv1.BatchItem_builder{GenerateDataKeyPairWithoutPlaintext: kmsv1.GenerateDataKeyPairWithoutPlaintextRequest_builder{KeyId: k.arn, KeyPairSpec: spec, DryRun: dry}.Build()}, end("GenerateDataKeyPairWithoutPlaintext", bad)})
		}
	}
	return all
}

// limitsOfRSA are plaintexts of the most bytes that RSA-OAEP takes, and of one more.
func limitsOfRSA(keys []kindOfKey) (all []one) {
	most := map[string][2]int{"RSA_2048": {214, 190}, "RSA_3072": {342, 318}, "RSA_4096": {470, 446}} // :: spec → bytes with SHA-1, with SHA-256
	for _, k := range keys {
		if k.usage != "ENCRYPT_DECRYPT" || k.spec == "SYMMETRIC_DEFAULT" {
			continue
		}
		for i, n := range most[k.spec] {
			for _, more := range []int{0, 1} {
				want := "OK"
				if more > 0 {
					want = refusedField
				}
				all = append(all, one{fmt.Sprintf("Encrypt %d bytes under %s", n+more, k.spec), kmsv1.BatchItem_builder{Encrypt: kmsv1.EncryptRequest_builder{
					KeyId: k.arn, Plaintext: make([]byte, n+more), EncryptionAlgorithm: kmsv1.EncryptionAlgorithm(2 + i),
				}.Build()}, want})
			}
		}
	}
	return all
}

// Every MAC algorithm, agreement and encapsulation with every key.
func TestProductOfMacsAndSecrets(t *testing.T) {
	notWhenShort(t)
	p := newProps(newDoor(t, nil))
	var all []one
	other := peer(t)
	for _, k := range keysOfAllKinds(p) {
		for _, dry := range []bool{false, true} {
			for _, n := range numbersOf(kmsv1.MacAlgorithmSpec_name) {
				what, a := fmt.Sprintf(" %d with %s %s, dry %v", n, k.spec, k.usage, dry), kmsv1.MacAlgorithmSpec(n)
				name := nameOf(kmsv1.MacAlgorithmSpec_name, "MAC_ALGORITHM_SPEC_", n)
				end := func(operation, good string) string {
					if name == "" {
						return refusedField
					}
					if refused := k.suits(operation, "GENERATE_VERIFY_MAC", name); refused != "" {
						return refused
					}
					return good
				}
				wrong := "InvalidArgument KMSInvalidMacException: "
				if dry {
					wrong = "OK"
				}
				sum := sha256.Sum256(nil)
				all = append(all,
					one{"GenerateMac" + what, kmsv1.BatchItem_builder{GenerateMac: kmsv1.GenerateMacRequest_builder{KeyId: k.arn, Message: []byte("m"), MacAlgorithm: a, DryRun: dry}.Build()}, end("GenerateMac", "OK")},
					one{"VerifyMac" + what, kmsv1.BatchItem_builder{VerifyMac: kmsv1.VerifyMacRequest_builder{KeyId: k.arn, Message: []byte("m"), Mac: sum[:], MacAlgorithm: a, DryRun: dry}.Build()}, end("VerifyMac", wrong)})
			}
			for _, n := range []int32{0, 1, 99, -1} {
				what := fmt.Sprintf(" %d with %s %s, dry %v", n, k.spec, k.usage, dry)
				end := func(operation, usage, algorithm, good string) string {
					if n != 0 && n != 1 {
						return refusedField
					}
					if refused := k.suits(operation, usage, algorithm); refused != "" {
						return refused
					}
					return good
				}
				derived := "OK"
				if k.spec != "ECC_NIST_P256" { // whose curve the other's key is on
					derived = refusedField
				}
				all = append(all,
					one{"DeriveSharedSecret" + what, kmsv1.BatchItem_builder{DeriveSharedSecret: kmsv1.DeriveSharedSecretRequest_builder{
						KeyId: k.arn, PublicKey: other, KeyAgreementAlgorithm: kmsv1.KeyAgreementAlgorithmSpec(n), DryRun: dry,
					}.Build()}, end("DeriveSharedSecret", "KEY_AGREEMENT", "ECDH", derived)},
					one{"Encapsulate" + what, kmsv1.BatchItem_builder{Encapsulate: kmsv1.EncapsulateRequest_builder{
						KeyId: k.arn, EncapsulationAlgorithm: kmsv1.EncapsulationAlgorithmSpec(n), DryRun: dry,
					}.Build()}, end("Encapsulate", "ENCAPSULATE_DECAPSULATE", "ML_KEM", "OK")},
					one{"Decapsulate" + what, kmsv1.BatchItem_builder{Decapsulate: kmsv1.DecapsulateRequest_builder{
						KeyId: k.arn, SharedSecretCiphertextBlob: []byte("short"), EncapsulationAlgorithm: kmsv1.EncapsulationAlgorithmSpec(n), DryRun: dry,
					}.Build()}, end("Decapsulate", "ENCAPSULATE_DECAPSULATE", "ML_KEM", "InvalidArgument InvalidCiphertextException: ")})
			}
		}
	}
	walk(p, all)
}

// A checksum that does not fit is refused, whatever it is of; one that does is said to have been verified.
func TestChecksumsOfEveryRequest(t *testing.T) {
	p := newProps(newDoor(t, nil))
	tested := 0
	for method, row := range specimensOf(t) {
		valid := row.valid
		if !strings.Contains(method, ".CryptoService/") {
			continue
		}
		m := valid(p)
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			of, found := strings.CutSuffix(string(fields.Get(i).Name()), "_crc32c")
			if !found {
				continue
			}
			tested++
			sum := crypto.CRC32C(m.ProtoReflect().Get(fields.ByName(protoreflect.Name(of))).Bytes())
			for _, wrong := range []uint32{0, 1} {
				with := proto.Clone(m)
				with.ProtoReflect().Set(fields.Get(i), protoreflect.ValueOfUint32(sum+wrong))
				got := p.ask(p.door.root, method, with)
				out := newMessage(t, descriptor(t, method).Output())
				if wrong == 1 {
					refuses(t, method+" with a wrong "+of+"_crc32c", got, codes.InvalidArgument, "ValidationException", "")
					continue
				}
				unmarshal(t, got.body, out)
				verified := out.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name("verified_" + of + "_crc32c"))
				if verified == nil || !out.ProtoReflect().Get(verified).Bool() {
					t.Errorf("%s with the right %s_crc32c: %v, which does not say that it was verified", method, of, got)
				}
			}
		}
	}
	if tested < 9 {
		t.Errorf("%d checksums: too few", tested)
	}
}
