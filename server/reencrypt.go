package server

import (
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

func checkReEncrypt(v *violations, r *kmsv1.ReEncryptRequest) {
	v.ciphertext(r, r.GetSourceKeyId(), "source_key_id", r.GetSourceEncryptionAlgorithm())
	v.algorithm("source_encryption_algorithm", r.GetSourceEncryptionAlgorithm(), "source_encryption_context", r.GetSourceEncryptionContext())
	v.algorithm("destination_encryption_algorithm", r.GetDestinationEncryptionAlgorithm(), "destination_encryption_context", r.GetDestinationEncryptionContext())
	v.checksum("ciphertext_blob_crc32c", r.HasCiphertextBlobCrc32C(), r.GetCiphertextBlobCrc32C(), r.GetCiphertextBlob())
	v.grantTokens(r.GetGrantTokens())
}

// reEncryption is the two sides of a ReEncrypt, resolved and not yet authorized.
type reEncryption struct {
	sourceContext, destinationContext crypto.Context
	source                            sealed
	destination                       target
	algorithm                         crypto.EncryptionAlgorithm // of the destination
}

func (c *call) reEncryption(r *kmsv1.ReEncryptRequest) (e reEncryption, err error) {
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return e, err
	}
	if e.sourceContext, err = c.context("source_encryption_context", r.GetSourceEncryptionContext()); err != nil {
		return e, err
	}
	if e.destinationContext, err = c.secondContext("destination_encryption_context", r.GetDestinationEncryptionContext()); err != nil {
		return e, err
	}
	from := algorithmOf(r.GetSourceEncryptionAlgorithm())
	e.algorithm = algorithmOf(r.GetDestinationEncryptionAlgorithm())
	c.param(audit.String("sourceEncryptionAlgorithm", string(from)))
	c.param(audit.String("destinationEncryptionAlgorithm", string(e.algorithm)))
	c.encryptsWith(from)
	if ignoresCiphertext(r) {
		e.source.algorithm = from
		e.source.key, err = c.target("source_key_id", r.GetSourceKeyId())
	} else {
		e.source, err = c.sealed(from, "source_key_id", r.GetSourceKeyId(), r.GetCiphertextBlob())
	}
	if err != nil {
		return e, err
	}
	sourceKey := c.event.Key
	if e.destination, err = c.target("destination_key_id", r.GetDestinationKeyId()); err != nil {
		return e, err
	}
	c.event.Key = sourceKey // until the destination is used
	same := e.source.key.key != nil && e.destination.key != nil && e.source.key.key.ID == e.destination.key.ID
	c.facts.SetBool(authz.CtxReEncryptOnSameKey, same)
	return e, nil
}

// toDestination tells conditions about the other side.
func (c *call) toDestination(e reEncryption, pairs map[string]string) {
	c.facts.EncryptionContext.Set(pairs)
	c.encryptsWith(e.algorithm)
}

func reEncrypt(c *call, r *kmsv1.ReEncryptRequest) (*kmsv1.ReEncryptResponse, error) {
	e, err := c.reEncryption(r)
	if err != nil {
		return nil, err
	}
	if ignoresCiphertext(r) {
		if err := c.mayUse(authz.KMSReEncryptFrom, e.source.algorithm, e.source.key); err != nil {
			return nil, err
		}
		c.toDestination(e, r.GetDestinationEncryptionContext())
		return nil, c.mayUse(authz.KMSReEncryptTo, e.algorithm, e.destination)
	}
	source, from, err := c.decryptWith(authz.KMSReEncryptFrom, e.source)
	if err != nil {
		return nil, err
	}
	c.toDestination(e, r.GetDestinationEncryptionContext())
	destination, to, err := c.hold(authz.KMSReEncryptTo, e.destination)
	if err != nil {
		return nil, err
	}
	c.param(audit.String("sourceKeyMaterialId", from.Version.Name))
	plaintext, err := e.source.open(from, r.GetCiphertextBlob(), e.sourceContext)
	if err != nil {
		return nil, err
	}
	defer clear(plaintext)
	blob, err := seal(to, e.algorithm, plaintext, e.destinationContext)
	if err != nil {
		return nil, err
	}
	return kmsv1.ReEncryptResponse_builder{
		CiphertextBlob: blob, SourceKeyId: source.ARN, KeyId: destination.ARN,
		SourceKeyMaterialId: from.Version.Name, DestinationKeyMaterialId: to.Version.Name,
		SourceEncryptionAlgorithm: chosen(r.GetSourceEncryptionAlgorithm()), DestinationEncryptionAlgorithm: chosen(r.GetDestinationEncryptionAlgorithm()),
		VerifiedCiphertextBlobCrc32C: r.HasCiphertextBlobCrc32C(), CiphertextBlobCrc32C: proto.Uint32(crypto.CRC32C(blob)),
	}.Build(), nil
}
