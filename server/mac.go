package server

import (
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// Limits of what is signed, verified and decapsulated, from the AWS KMS model.
const (
	maxSigned    = 6144 // of a signature or MAC
	maxPublicKey = 8192
)

// macWith tells conditions and the event the algorithm.
func (c *call) macWith(a kmsv1.MacAlgorithmSpec) crypto.MACAlgorithm {
	c.algorithm = macAlgorithms.name(a)
	c.facts.Set(authz.CtxMacAlgorithm, c.algorithm)
	return crypto.MACAlgorithm(c.algorithm)
}

func checkGenerateMac(v *violations, r *kmsv1.GenerateMacRequest) {
	v.bytes("message", r.GetMessage(), 1, crypto.MaxMessage)
	macAlgorithms.check(v, "mac_algorithm", r.GetMacAlgorithm(), true)
	v.checksum("message_crc32c", r.HasMessageCrc32C(), r.GetMessageCrc32C(), r.GetMessage())
	v.grantTokens(r.GetGrantTokens())
}

func generateMac(c *call, r *kmsv1.GenerateMacRequest) (*kmsv1.GenerateMacResponse, error) {
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return nil, err
	}
	a := c.macWith(r.GetMacAlgorithm())
	k, u, err := c.holder(authz.KMSGenerateMac, "key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	mac, err := u.GenerateMAC(a, r.GetMessage())
	if err != nil {
		return nil, err
	}
	return kmsv1.GenerateMacResponse_builder{
		KeyId: k.ARN, Mac: mac, MacAlgorithm: r.GetMacAlgorithm(), KeyMaterialId: u.Version.Name,
		VerifiedMessageCrc32C: r.HasMessageCrc32C(), MacCrc32C: proto.Uint32(crypto.CRC32C(mac)),
	}.Build(), nil
}

func checkVerifyMac(v *violations, r *kmsv1.VerifyMacRequest) {
	v.bytes("message", r.GetMessage(), 1, crypto.MaxMessage)
	v.bytes("mac", r.GetMac(), 1, maxSigned)
	macAlgorithms.check(v, "mac_algorithm", r.GetMacAlgorithm(), true)
	v.checksum("message_crc32c", r.HasMessageCrc32C(), r.GetMessageCrc32C(), r.GetMessage())
	v.checksum("mac_crc32c", r.HasMacCrc32C(), r.GetMacCrc32C(), r.GetMac())
	v.grantTokens(r.GetGrantTokens())
}

func verifyMac(c *call, r *kmsv1.VerifyMacRequest) (*kmsv1.VerifyMacResponse, error) {
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return nil, err
	}
	a := c.macWith(r.GetMacAlgorithm())
	k, u, err := c.holder(authz.KMSVerifyMac, "key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	err = u.VerifyMAC(a, r.GetMessage(), r.GetMac())
	if err != nil && !(c.dry && errors.Is(err, crypto.ErrMAC)) { // a dry run does not tell whether it is right
		return nil, err
	}
	return kmsv1.VerifyMacResponse_builder{
		KeyId: k.ARN, MacValid: true, MacAlgorithm: r.GetMacAlgorithm(), KeyMaterialId: u.Version.Name,
		VerifiedMessageCrc32C: r.HasMessageCrc32C(), VerifiedMacCrc32C: r.HasMacCrc32C(),
	}.Build(), nil
}
