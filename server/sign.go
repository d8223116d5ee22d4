package server

import (
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// messageTypes is never written.
var messageTypes = awsNames[kmsv1.MessageType]()

// signsWith tells conditions and the event the algorithm, and what is signed.
func (c *call) signsWith(a kmsv1.SigningAlgorithmSpec, mt kmsv1.MessageType) (crypto.SigningAlgorithm, crypto.MessageType) {
	if mt == kmsv1.MessageType_MESSAGE_TYPE_UNSPECIFIED {
		mt = kmsv1.MessageType_MESSAGE_TYPE_RAW
	}
	c.algorithm = signingAlgorithms.name(a)
	c.facts.Set(authz.CtxSigningAlgorithm, c.algorithm)
	c.facts.Set(authz.CtxMessageType, messageTypes.name(mt))
	c.param(audit.String("messageType", messageTypes.name(mt)))
	return crypto.SigningAlgorithm(c.algorithm), crypto.MessageType(messageTypes.name(mt))
}

func checkSign(v *violations, r *kmsv1.SignRequest) {
	v.bytes("message", r.GetMessage(), 1, crypto.MaxMessage)
	messageTypes.check(v, "message_type", r.GetMessageType(), false)
	signingAlgorithms.check(v, "signing_algorithm", r.GetSigningAlgorithm(), true)
	v.checksum("message_crc32c", r.HasMessageCrc32C(), r.GetMessageCrc32C(), r.GetMessage())
	v.grantTokens(r.GetGrantTokens())
}

func sign(c *call, r *kmsv1.SignRequest) (*kmsv1.SignResponse, error) {
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return nil, err
	}
	a, mt := c.signsWith(r.GetSigningAlgorithm(), r.GetMessageType())
	k, u, err := c.holder(authz.KMSSign, "key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	signature, err := u.Sign(a, mt, r.GetMessage())
	if err != nil {
		return nil, err
	}
	return kmsv1.SignResponse_builder{
		KeyId: k.ARN, Signature: signature, SigningAlgorithm: r.GetSigningAlgorithm(), KeyMaterialId: u.Version.Name,
		VerifiedMessageCrc32C: r.HasMessageCrc32C(), SignatureCrc32C: proto.Uint32(crypto.CRC32C(signature)),
	}.Build(), nil
}

func checkVerify(v *violations, r *kmsv1.VerifyRequest) {
	v.bytes("message", r.GetMessage(), 1, crypto.MaxMessage)
	v.bytes("signature", r.GetSignature(), 1, maxSigned)
	messageTypes.check(v, "message_type", r.GetMessageType(), false)
	signingAlgorithms.check(v, "signing_algorithm", r.GetSigningAlgorithm(), true)
	v.checksum("message_crc32c", r.HasMessageCrc32C(), r.GetMessageCrc32C(), r.GetMessage())
	v.checksum("signature_crc32c", r.HasSignatureCrc32C(), r.GetSignatureCrc32C(), r.GetSignature())
	v.grantTokens(r.GetGrantTokens())
}

func verify(c *call, r *kmsv1.VerifyRequest) (*kmsv1.VerifyResponse, error) {
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return nil, err
	}
	a, mt := c.signsWith(r.GetSigningAlgorithm(), r.GetMessageType())
	k, u, err := c.holder(authz.KMSVerify, "key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	err = u.Verify(a, mt, r.GetMessage(), r.GetSignature())
	if err != nil && !(c.dry && errors.Is(err, keypair.ErrSignature)) { // a dry run does not tell whether it is right
		return nil, err
	}
	return kmsv1.VerifyResponse_builder{
		KeyId: k.ARN, SignatureValid: true, SigningAlgorithm: r.GetSigningAlgorithm(), KeyMaterialId: u.Version.Name,
		VerifiedMessageCrc32C: r.HasMessageCrc32C(), VerifiedSignatureCrc32C: r.HasSignatureCrc32C(),
	}.Build(), nil
}
