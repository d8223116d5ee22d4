package server

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// state is where a key is in its life, at the time of the call.
func (c *call) state(k *keystore.Key) keystore.State { return k.StateAt(c.s.keys.Now()) }

// aliases are the aliases of a key, for callers of its account: to others they are nobody's business.
func (c *call) aliases(k *keystore.Key) []string {
	if k.Account() != c.account() {
		return nil
	}
	return k.Aliases()
}

// metadata is what DescribeKey tells of a key.
func (c *call) metadata(k *keystore.Key) *kmsv1.KeyMetadata {
	state := c.state(k)
	m := kmsv1.KeyMetadata_builder{
		AwsAccountId: k.Account(), KeyId: k.Name, Arn: k.ARN, CreationDate: timestamp(k.Created), Enabled: state == keystore.Enabled, Description: k.Description,
		KeyUsage: keyUsages.value(string(k.Usage)), KeyState: keyStates[state], Origin: origins.value(string(k.Origin)), KeySpec: keySpecs.value(string(k.Spec)),
		CurrentKeyMaterialId: k.Current().Name, DeletionProtectionEnabled: k.DeletionProtection, VersionCount: int32(k.VersionCount()), Aliases: c.aliases(k),
	}
	deletion, window := k.DeletionDate()
	m.DeletionDate, m.PendingDeletionWindowInDays = timestamp(deletion), int32(window)
	rotation, _ := k.RotationStatus() // a key that is never rotated is not an error here
	m.KeyRotationEnabled, m.RotationPeriodInDays, m.NextRotationDate = rotation.Automatic, int32(rotation.PeriodDays), timestamp(rotation.Next)
	if k.Origin == keystore.OriginExternal {
		m.ValidTo, m.ExpirationModel = timestamp(k.ValidTo()), expirationModelOf(k.ValidTo())
	}
	if last, ok := k.LastUse(); ok && c.may(authz.KMSGetKeyLastUsage, k) {
		m.LastUsage = kmsv1.KeyLastUsageSummary_builder{Operation: last.Operation, Timestamp: timestamp(last.Time)}.Build()
	}
	switch k.Usage {
	case crypto.UsageEncryptDecrypt:
		m.EncryptionAlgorithms = listOf(encryptionAlgorithms, k.Spec.EncryptionAlgorithms())
	case crypto.UsageSignVerify:
		m.SigningAlgorithms = listOf(signingAlgorithms, k.Spec.SigningAlgorithms())
	case crypto.UsageGenerateVerifyMAC:
		m.MacAlgorithms = listOf(macAlgorithms, k.Spec.MACAlgorithms())
	case crypto.UsageKeyAgreement:
		m.KeyAgreementAlgorithms = listOf(agreementAlgorithms, k.Spec.KeyAgreementAlgorithms())
	case crypto.UsageEncapsulateDecapsulate:
		m.EncapsulationAlgorithms = listOf(encapsulations, k.Spec.EncapsulationAlgorithms())
	}
	return m.Build()
}

// expirationModelOf is whether imported material expires, by when it does.
func expirationModelOf(validTo time.Time) kmsv1.ExpirationModel {
	if validTo.IsZero() {
		return kmsv1.ExpirationModel_EXPIRATION_MODEL_KEY_MATERIAL_DOES_NOT_EXPIRE
	}
	return kmsv1.ExpirationModel_EXPIRATION_MODEL_KEY_MATERIAL_EXPIRES
}

// timestamp is a time in the API; that of the zero time is unset.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
