package server

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// dataKeyPairSpecs is never written.
var dataKeyPairSpecs = awsNames[kmsv1.DataKeyPairSpec]()

// dataKeyPairRequest is what the two operations have in common.
type dataKeyPairRequest interface {
	GetKeyId() string
	GetEncryptionContext() map[string]string
	GetKeyPairSpec() kmsv1.DataKeyPairSpec
	GetGrantTokens() []string
}

// dataKeyPair is a key pair with its private half in clear and encrypted, and what that is encrypted under.
type dataKeyPair struct {
	private          crypto.Secret // PKCS #8, to be wiped
	public, blob     []byte
	keyARN, material string
}

func checkDataKeyPair(v *violations, r dataKeyPairRequest) {
	dataKeyPairSpecs.check(v, "key_pair_spec", r.GetKeyPairSpec(), true)
	v.grantTokens(r.GetGrantTokens())
}

// dataKeyPair makes one; for a dry run it is none.
func (c *call) dataKeyPair(op authz.Action, r dataKeyPairRequest) (d dataKeyPair, err error) {
	ec, err := c.context("encryption_context", r.GetEncryptionContext())
	if err != nil {
		return d, err
	}
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return d, err
	}
	c.encryptsWith(crypto.EncryptSymmetricDefault)
	spec := dataKeyPairSpecs.name(r.GetKeyPairSpec())
	c.facts.Set(authz.CtxDataKeyPairSpec, spec)
	c.param(audit.String("keyPairSpec", spec))
	k, u, err := c.holder(op, "key_id", r.GetKeyId())
	if err != nil || c.dry {
		return d, err
	}
	d = dataKeyPair{keyARN: k.ARN, material: u.Version.Name}
	if d.private, d.public, err = c.newPair(crypto.Spec(spec)); err != nil {
		return d, err
	}
	d.blob, err = u.Encrypt(make([]byte, 0, d.private.Len()+crypto.Overhead), d.private.Expose(), ec)
	if err != nil {
		d.private.Wipe()
	}
	return d, err
}

// newPair makes a key pair. RSA keys are made one at a time.
func (c *call) newPair(spec crypto.Spec) (private crypto.Secret, public []byte, err error) {
	switch spec {
	case crypto.SpecRSA2048, crypto.SpecRSA3072, crypto.SpecRSA4096:
		leave, err := c.s.generating.enter(c.ctx)
		if err != nil {
			return private, nil, err
		}
		defer leave()
	}
	material, err := keypair.Generate(spec)
	if err != nil {
		return private, nil, err
	}
	defer material.Wipe()
	pair, err := keypair.New(spec, material)
	if err != nil {
		return private, nil, err
	}
	private, err = keypair.PKCS8(spec, material)
	return private, pair.Public().DER(), err
}

func checkGenerateDataKeyPair(v *violations, r *kmsv1.GenerateDataKeyPairRequest) {
	checkDataKeyPair(v, r)
}

func generateDataKeyPair(c *call, r *kmsv1.GenerateDataKeyPairRequest) (*kmsv1.GenerateDataKeyPairResponse, error) {
	d, err := c.dataKeyPair(authz.KMSGenerateDataKeyPair, r)
	if err != nil || c.dry {
		return nil, err
	}
	defer d.private.Wipe()
	plaintext := bytes.Clone(d.private.Expose())
	return kmsv1.GenerateDataKeyPairResponse_builder{
		KeyId: d.keyARN, PrivateKeyCiphertextBlob: d.blob, PrivateKeyPlaintext: plaintext, PublicKey: d.public, KeyPairSpec: r.GetKeyPairSpec(), KeyMaterialId: d.material,
		PrivateKeyCiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(d.blob)), PrivateKeyPlaintextCrc32C: proto.Uint32(crypto.CRC32C(plaintext)),
		PublicKeyCrc32C: proto.Uint32(crypto.CRC32C(d.public)),
	}.Build(), nil
}

func checkGenerateDataKeyPairWithoutPlaintext(v *violations, r *kmsv1.GenerateDataKeyPairWithoutPlaintextRequest) {
	checkDataKeyPair(v, r)
}

func generateDataKeyPairWithoutPlaintext(c *call, r *kmsv1.GenerateDataKeyPairWithoutPlaintextRequest) (*kmsv1.GenerateDataKeyPairWithoutPlaintextResponse, error) {
	d, err := c.dataKeyPair(authz.KMSGenerateDataKeyPairWithoutPlaintext, r)
	if err != nil || c.dry {
		return nil, err
	}
	d.private.Wipe()
	return kmsv1.GenerateDataKeyPairWithoutPlaintextResponse_builder{
		KeyId: d.keyARN, PrivateKeyCiphertextBlob: d.blob, PublicKey: d.public, KeyPairSpec: r.GetKeyPairSpec(), KeyMaterialId: d.material,
		PrivateKeyCiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(d.blob)), PublicKeyCrc32C: proto.Uint32(crypto.CRC32C(d.public)),
	}.Build(), nil
}
