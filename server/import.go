package server

import (
	"regexp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keywrap"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// Limits of imports, from the AWS KMS model.
const (
	maxImportToken         = 6144
	maxWrapped             = 6144
	maxMaterialDescription = 256
)

// materialDescription is what describes imported material. It is never written.
var materialDescription = regexp.MustCompile(`^[a-zA-Z0-9:/_ .-]*$`)

// wrapping is the algorithm and the key spec of a request, as package keywrap calls them. They are empty if the request has none that exist.
func wrapping(a kmsv1.WrappingAlgorithmSpec, s kmsv1.WrappingKeySpec) (keywrap.Algorithm, keywrap.KeySpec) {
	algorithm := keywrap.Algorithm(wrappingAlgorithms.name(a))
	if a == kmsv1.WrappingAlgorithmSpec_WRAPPING_ALGORITHM_SPEC_HPKE_MLKEM768_X25519 {
		algorithm = keywrap.HPKEMLKEM768X25519
	}
	return algorithm, keywrap.KeySpec(wrappingKeySpecs.name(s))
}

func checkGetParametersForImport(v *violations, r *kmsv1.GetParametersForImportRequest) {
	v.given("key_id", r.GetKeyId())
	wrappingAlgorithms.check(v, "wrapping_algorithm", r.GetWrappingAlgorithm(), true)
	wrappingKeySpecs.check(v, "wrapping_key_spec", r.GetWrappingKeySpec(), true)
	algorithm, spec := wrapping(r.GetWrappingAlgorithm(), r.GetWrappingKeySpec())
	if algorithm != "" && spec != "" && !slices.Contains(spec.Algorithms(), algorithm) {
		v.add("wrapping_algorithm", "is not an algorithm of wrapping keys of the spec %s", wrappingKeySpecs.name(r.GetWrappingKeySpec()))
	}
}

func getParametersForImport(c *call, r *kmsv1.GetParametersForImportRequest) (*kmsv1.GetParametersForImportResponse, error) {
	algorithm, spec := wrapping(r.GetWrappingAlgorithm(), r.GetWrappingKeySpec())
	c.facts.Set(authz.CtxWrappingAlgorithm, wrappingAlgorithms.name(r.GetWrappingAlgorithm()))
	c.facts.Set(authz.CtxWrappingKeySpec, string(spec))
	c.param(audit.String("wrappingAlgorithm", wrappingAlgorithms.name(r.GetWrappingAlgorithm())))
	c.param(audit.String("wrappingKeySpec", string(spec)))
	var p keystore.ImportParameters
	k, err := c.changeKey(authz.KMSGetParametersForImport, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (_ *keystore.Key, err error) {
		if spec != keywrap.MLKEM768X25519 && !c.dry {
			leave, err := c.s.generating.enter(c.ctx)
			if err != nil {
				return nil, err
			}
			defer leave()
		}
		k, p, err = keys.ParametersForImport(g, k.ID, algorithm, spec)
		return k, err
	})
	if err != nil {
		return nil, err
	}
	return kmsv1.GetParametersForImportResponse_builder{
		KeyId: k.ARN, ImportToken: p.Token, PublicKey: p.PublicKey, ParametersValidTo: timestamp(p.ValidTo), PublicKeyCrc32C: proto.Uint32(crypto.CRC32C(p.PublicKey)),
	}.Build(), nil
}

func checkImportKeyMaterial(v *violations, r *kmsv1.ImportKeyMaterialRequest) {
	v.given("key_id", r.GetKeyId())
	v.bytes("import_token", r.GetImportToken(), 1, maxImportToken)
	v.bytes("encrypted_key_material", r.GetEncryptedKeyMaterial(), 1, maxWrapped)
	v.checksum("encrypted_key_material_crc32c", r.HasEncryptedKeyMaterialCrc32C(), r.GetEncryptedKeyMaterialCrc32C(), r.GetEncryptedKeyMaterial())
	expirationModels.check(v, "expiration_model", r.GetExpirationModel(), false)
	importTypes.check(v, "import_type", r.GetImportType(), false)
	v.validTo(r)
	v.text("key_material_description", r.GetKeyMaterialDescription(), 0, maxMaterialDescription)
	if !materialDescription.MatchString(r.GetKeyMaterialDescription()) {
		v.add("key_material_description", "must have characters of A-Z a-z 0-9 : / _ . - and spaces only")
	}
	if r.GetKeyMaterialId() != "" {
		v.materialID("key_material_id", r.GetKeyMaterialId())
		if r.GetImportType() == kmsv1.ImportType_IMPORT_TYPE_NEW_KEY_MATERIAL {
			v.add("key_material_id", "is for EXISTING_KEY_MATERIAL only")
		}
	}
}

// expires reports whether the material of an import is to expire: AWS's default.
func expires(r *kmsv1.ImportKeyMaterialRequest) bool {
	return r.GetExpirationModel() != kmsv1.ExpirationModel_EXPIRATION_MODEL_KEY_MATERIAL_DOES_NOT_EXPIRE
}

// validTo checks that an end is given if there is to be one, and only then.
func (v *violations) validTo(r *kmsv1.ImportKeyMaterialRequest) {
	switch {
	case expires(r) && !r.HasValidTo():
		v.add("valid_to", "is missing: give it, or the expiration model KEY_MATERIAL_DOES_NOT_EXPIRE")
	case !expires(r) && r.HasValidTo():
		v.add("valid_to", "is given beside the expiration model KEY_MATERIAL_DOES_NOT_EXPIRE")
	case r.HasValidTo() && !r.GetValidTo().IsValid():
		v.add("valid_to", "is not a time")
	}
}

// importOf is the import that a request, which has been checked, asks for.
func importOf(r *kmsv1.ImportKeyMaterialRequest) (keystore.Import, error) {
	in := keystore.Import{
		Token: r.GetImportToken(), Wrapped: r.GetEncryptedKeyMaterial(), Type: keystore.ImportType(importTypes.name(r.GetImportType())), Description: r.GetKeyMaterialDescription(),
	}
	if r.HasValidTo() {
		in.ValidTo = r.GetValidTo().AsTime()
	}
	if r.GetKeyMaterialId() == "" {
		return in, nil
	}
	var err error
	in.Material, err = crypto.ParseMaterialID(r.GetKeyMaterialId())
	return in, err
}

func importKeyMaterial(c *call, r *kmsv1.ImportKeyMaterialRequest) (*kmsv1.ImportKeyMaterialResponse, error) {
	in, err := importOf(r)
	if err != nil {
		return nil, err
	}
	model := expirationModels.name(expirationModelOf(in.ValidTo))
	c.facts.Set(authz.CtxExpirationModel, model)
	c.param(audit.String("expirationModel", model))
	if !in.ValidTo.IsZero() {
		c.facts.SetDate(authz.CtxValidTo, in.ValidTo)
		c.param(audit.String("validTo", in.ValidTo.Format(time.RFC3339)))
	}
	c.param(audit.String("importType", string(in.Type)))
	var material crypto.MaterialID
	k, err := c.changeKey(authz.KMSImportKeyMaterial, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (_ *keystore.Key, err error) {
		leave, err := c.turn(k.Spec) // to see whether the factors are primes takes as long as making some
		if err != nil {
			return nil, err
		}
		defer leave()
		k, material, err = keys.ImportMaterial(g, k.ID, in)
		return k, err
	})
	if err != nil {
		return nil, err
	}
	c.noteMaterial(k, material)
	return kmsv1.ImportKeyMaterialResponse_builder{KeyId: k.ARN, KeyMaterialId: material.String(), VerifiedEncryptedKeyMaterialCrc32C: r.HasEncryptedKeyMaterialCrc32C()}.Build(), nil
}

// noteMaterial writes into the event which version of the key was changed.
func (c *call) noteMaterial(k *keystore.Key, material crypto.MaterialID) {
	if v, ok := k.Version(material); ok {
		c.noteKey(k, v)
	}
}

func checkDeleteImportedKeyMaterial(v *violations, r *kmsv1.DeleteImportedKeyMaterialRequest) {
	v.given("key_id", r.GetKeyId())
	if r.GetKeyMaterialId() != "" {
		v.materialID("key_material_id", r.GetKeyMaterialId())
	}
}

func deleteImportedKeyMaterial(c *call, r *kmsv1.DeleteImportedKeyMaterialRequest) (*kmsv1.DeleteImportedKeyMaterialResponse, error) {
	var material crypto.MaterialID
	if r.GetKeyMaterialId() != "" {
		var err error
		if material, err = crypto.ParseMaterialID(r.GetKeyMaterialId()); err != nil {
			return nil, err
		}
	}
	k, err := c.changeKey(authz.KMSDeleteImportedKeyMaterial, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (_ *keystore.Key, err error) {
		k, material, err = keys.DeleteImportedMaterial(g, k.ID, material)
		return k, err
	})
	if err != nil {
		return nil, err
	}
	c.noteMaterial(k, material)
	out := kmsv1.DeleteImportedKeyMaterialResponse_builder{KeyId: k.ARN}
	if !material.IsZero() { // of a key that never had any
		out.KeyMaterialId = material.String()
	}
	return out.Build(), nil
}
