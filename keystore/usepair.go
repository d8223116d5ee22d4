package keystore

import (
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
)

// pair returns the key pair if the grant is for one of these actions, and the algorithm is one of those that keys of the spec know.
func pair[A ~string](u Usable, algorithm A, known func(crypto.Spec) []A, actions ...authz.Action) (*keypair.Private, error) {
	if err := u.permits(actions...); err != nil {
		return nil, err
	}
	if err := checkAlgorithm(u, algorithm, known(u.Version.spec)); err != nil {
		return nil, err
	}
	if u.ready.pair == nil {
		return nil, incompatible(string(algorithm), u.Version.spec)
	}
	return u.ready.pair, nil
}

// mac returns the HMAC key likewise.
func (u Usable) mac(a crypto.MACAlgorithm, action authz.Action) (*crypto.HMACKey, error) {
	if err := u.permits(action); err != nil {
		return nil, err
	}
	if err := checkAlgorithm(u, a, u.Version.spec.MACAlgorithms()); err != nil {
		return nil, err
	}
	return u.ready.mac, nil
}

// GenerateMAC returns the MAC of message, as crypto.HMACKey has it. The grant is for kms:GenerateMac. Errors match
// ErrInvalidKeyUsage (the algorithm is not one of the key's spec; so with all that follow) or crypto.ErrLength.
func (u Usable) GenerateMAC(a crypto.MACAlgorithm, message []byte) ([]byte, error) {
	key, err := u.mac(a, authz.KMSGenerateMac)
	if err != nil {
		return nil, err
	}
	return key.Generate(a, message)
}

// VerifyMAC returns nil if mac is the MAC of message, else an error that matches crypto.ErrMAC. The grant is for kms:VerifyMac.
func (u Usable) VerifyMAC(a crypto.MACAlgorithm, message, mac []byte) error {
	key, err := u.mac(a, authz.KMSVerifyMac)
	if err != nil {
		return err
	}
	return key.Verify(a, message, mac)
}

// Sign returns a signature of message, as keypair.Private has it, with its errors. The grant is for kms:Sign.
func (u Usable) Sign(a crypto.SigningAlgorithm, mt crypto.MessageType, message []byte) ([]byte, error) {
	key, err := pair(u, a, crypto.Spec.SigningAlgorithms, authz.KMSSign)
	if err != nil {
		return nil, err
	}
	return key.Sign(a, mt, message)
}

// Verify returns nil if signature is one of message, else an error that matches keypair.ErrSignature. The grant is for kms:Verify.
func (u Usable) Verify(a crypto.SigningAlgorithm, mt crypto.MessageType, message, signature []byte) error {
	key, err := pair(u, a, crypto.Spec.SigningAlgorithms, authz.KMSVerify)
	if err != nil {
		return err
	}
	return key.Public().Verify(a, mt, message, signature)
}

// PublicKey returns the SubjectPublicKeyInfo of the key pair, which the caller must not change. The grant is for kms:GetPublicKey.
func (u Usable) PublicKey() ([]byte, error) {
	if err := u.permits(authz.KMSGetPublicKey); err != nil {
		return nil, err
	}
	if u.ready.pair == nil {
		return nil, refuse(ErrUnsupported, "%s key spec is %s which is not valid for GetPublicKey.", u.arn, u.Version.spec)
	}
	return u.ready.pair.Public().DER(), nil
}

// DeriveSharedSecret returns the secret that the key shares with the public key whose SubjectPublicKeyInfo peer is, as keypair.Private has it. The
// grant is for kms:DeriveSharedSecret.
func (u Usable) DeriveSharedSecret(a crypto.KeyAgreementAlgorithm, peer []byte) ([]byte, error) {
	key, err := pair(u, a, crypto.Spec.KeyAgreementAlgorithms, authz.KMSDeriveSharedSecret)
	if err != nil {
		return nil, err
	}
	return key.DeriveSharedSecret(peer)
}

// Encapsulate returns a secret and what Decapsulate recovers it from. The grant is for kms:Encapsulate.
func (u Usable) Encapsulate(a crypto.EncapsulationAlgorithm) (ciphertext, sharedSecret []byte, err error) {
	key, err := pair(u, a, crypto.Spec.EncapsulationAlgorithms, authz.KMSEncapsulate)
	if err != nil {
		return nil, nil, err
	}
	return key.Public().Encapsulate()
}

// Decapsulate returns the secret that ciphertext was made with, as keypair.Private has it. The grant is for kms:Decapsulate. Errors match
// crypto.ErrCiphertext.
func (u Usable) Decapsulate(a crypto.EncapsulationAlgorithm, ciphertext []byte) ([]byte, error) {
	key, err := pair(u, a, crypto.Spec.EncapsulationAlgorithms, authz.KMSDecapsulate)
	if err != nil {
		return nil, err
	}
	return key.Decapsulate(ciphertext)
}

// EncryptRSA returns plaintext encrypted with the public half of an RSA key. The grant is for kms:Encrypt or kms:ReEncryptTo. Errors match
// crypto.ErrLength.
func (u Usable) EncryptRSA(a crypto.EncryptionAlgorithm, plaintext []byte) ([]byte, error) {
	key, err := pair(u, a, crypto.Spec.EncryptionAlgorithms, authz.KMSEncrypt, authz.KMSReEncryptTo)
	if err != nil {
		return nil, err
	}
	return key.Public().Encrypt(a, plaintext)
}

// DecryptRSA returns the plaintext of what was encrypted with the public half of an RSA key. The grant is for kms:Decrypt or kms:ReEncryptFrom.
// Errors match crypto.ErrCiphertext.
func (u Usable) DecryptRSA(a crypto.EncryptionAlgorithm, ciphertext []byte) ([]byte, error) {
	key, err := pair(u, a, crypto.Spec.EncryptionAlgorithms, authz.KMSDecrypt, authz.KMSReEncryptFrom)
	if err != nil {
		return nil, err
	}
	return key.Decrypt(a, ciphertext)
}
