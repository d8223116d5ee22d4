package client

import (
	"context"
	stdcrypto "crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// ErrNotSupported means that a key, or what is asked of it, has no form in Go's crypto packages that kmsd can serve. The error says what.
var ErrNotSupported = errors.New("not supported")

// privateKey is a key of kmsd as Go's packages want one.
type privateKey struct {
	ctx    context.Context // of the calls: the methods of a private key take none
	client *Client
	arn    string
	public stdcrypto.PublicKey
}

// privateKey reads the public key of a key with that usage.
func (c *Client) privateKey(ctx context.Context, keyID string, usage kmsv1.KeyUsage) (privateKey, error) {
	out, err := c.keys.GetPublicKey(ctx, kmsv1.GetPublicKeyRequest_builder{KeyId: keyID}.Build())
	if err != nil {
		return privateKey{}, fmt.Errorf("reading the public key: %w", err)
	}
	if out.GetKeyUsage() != usage {
		return privateKey{}, fmt.Errorf("%w: the key is for %v", ErrNotSupported, out.GetKeyUsage())
	}
	public, err := x509.ParsePKIXPublicKey(out.GetPublicKey())
	if err != nil {
		return privateKey{}, fmt.Errorf("%w: the standard library has no keys of %v", ErrNotSupported, out.GetKeySpec())
	}
	return privateKey{ctx, c, out.GetKeyId(), public}, nil
}

// Public returns the public key: *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey, always the same one.
func (k privateKey) Public() stdcrypto.PublicKey { return k.public }

// Signer signs with a key of kmsd wherever Go takes a private key: certificates (package x509), TLS, JWT. Make it with Client.Signer. It may be used
// by many goroutines at once.
type Signer struct{ privateKey }

var _ stdcrypto.Signer = (*Signer)(nil)

// Signer returns a crypto.Signer of the key keyID (id, ARN, alias or alias ARN), whose usage is SIGN_VERIFY. It stays with that key if the alias is pointed
// elsewhere. ctx is also that of all its later calls, each of which has the client's timeout besides. It needs kms:GetPublicKey, and
// kms:Sign then. ErrNotSupported: the key is for something else, or of a spec that the standard library does not have, ECC_SECG_P256K1 and ML_DSA.
func (c *Client) Signer(ctx context.Context, keyID string) (*Signer, error) {
	k, err := c.privateKey(ctx, keyID, kmsv1.KeyUsage_KEY_USAGE_SIGN_VERIFY)
	if err != nil {
		return nil, fmt.Errorf("making a signer: %w", err)
	}
	return &Signer{k}, nil
}

// Sign signs digest, which is a hash of the message by opts.HashFunc, or for Ed25519 the message itself of at most 4096 bytes with a HashFunc of 0. RSA keys
// sign with PSS if opts is a *rsa.PSSOptions, with a salt as long as the hash, and else with PKCS #1 v1.5. The first argument is not used.
// ErrNotSupported: kmsd has no such algorithm for the key. Other errors are those of calls.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts stdcrypto.SignerOpts) ([]byte, error) {
	if opts == nil {
		return nil, fmt.Errorf("signing: %w: no hash is named", ErrNotSupported)
	}
	algorithm, err := s.algorithm(opts)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	kind := kmsv1.MessageType_MESSAGE_TYPE_DIGEST
	if algorithm == kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_ED25519_SHA_512 {
		kind = kmsv1.MessageType_MESSAGE_TYPE_RAW
	}
	out, err := s.client.crypto.Sign(s.ctx, kmsv1.SignRequest_builder{KeyId: s.arn, Message: digest, MessageType: kind, SigningAlgorithm: algorithm}.Build())
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return out.GetSignature(), nil
}

// algorithm is kmsd's name of what is asked for.
func (s *Signer) algorithm(opts stdcrypto.SignerOpts) (kmsv1.SigningAlgorithmSpec, error) {
	hash := opts.HashFunc()
	var names map[stdcrypto.Hash]kmsv1.SigningAlgorithmSpec
	switch s.public.(type) {
	case *rsa.PublicKey:
		names = map[stdcrypto.Hash]kmsv1.SigningAlgorithmSpec{
			stdcrypto.SHA256: kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_RSASSA_PKCS1_V1_5_SHA_256,
			stdcrypto.SHA384: kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_RSASSA_PKCS1_V1_5_SHA_384,
			stdcrypto.SHA512: kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_RSASSA_PKCS1_V1_5_SHA_512,
		}
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			// "auto" asks for the longest salt, which whoever verifies so does not insist on.
			if n := pss.SaltLength; n != rsa.PSSSaltLengthAuto && n != rsa.PSSSaltLengthEqualsHash && n != hash.Size() {
				return 0, fmt.Errorf("%w: a salt of %d bytes, must be as long as the hash", ErrNotSupported, n)
			}
			names = map[stdcrypto.Hash]kmsv1.SigningAlgorithmSpec{
				stdcrypto.SHA256: kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_RSASSA_PSS_SHA_256,
				stdcrypto.SHA384: kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_RSASSA_PSS_SHA_384,
				stdcrypto.SHA512: kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_RSASSA_PSS_SHA_512,
			}
		}
	case *ecdsa.PublicKey:
		return s.ecdsaAlgorithm(hash)
	case ed25519.PublicKey:
		if o, ok := opts.(*ed25519.Options); !ok || o.Context == "" {
			// Ed25519ph is not here: kmsd, as AWS KMS, hashes the digest once more.
			names = map[stdcrypto.Hash]kmsv1.SigningAlgorithmSpec{0: kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_ED25519_SHA_512}
		}
	}
	a, ok := names[hash]
	if !ok {
		return 0, fmt.Errorf("%w: %T with %v", ErrNotSupported, s.public, hash)
	}
	return a, nil
}

// ecdsaAlgorithm: each curve has the one hash that is as strong.
func (s *Signer) ecdsaAlgorithm(hash stdcrypto.Hash) (kmsv1.SigningAlgorithmSpec, error) {
	curve := s.public.(*ecdsa.PublicKey).Curve.Params()
	switch {
	case curve.BitSize == 256 && hash == stdcrypto.SHA256:
		return kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_ECDSA_SHA_256, nil
	case curve.BitSize == 384 && hash == stdcrypto.SHA384:
		return kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_ECDSA_SHA_384, nil
	case curve.BitSize == 521 && hash == stdcrypto.SHA512:
		return kmsv1.SigningAlgorithmSpec_SIGNING_ALGORITHM_SPEC_ECDSA_SHA_512, nil
	}
	return 0, fmt.Errorf("%w: %s with %v", ErrNotSupported, curve.Name, hash)
}

// Decrypter decrypts with an RSA key of kmsd wherever Go takes a crypto.Decrypter. Make it with Client.Decrypter. It may be used by many
// goroutines at once.
type Decrypter struct{ privateKey }

var _ stdcrypto.Decrypter = (*Decrypter)(nil)

// Decrypter returns a crypto.Decrypter of the key keyID (id, ARN, alias or alias ARN), an RSA key whose usage is ENCRYPT_DECRYPT. What Signer says of ctx
// and of errors holds. It needs kms:GetPublicKey, and kms:Decrypt then.
func (c *Client) Decrypter(ctx context.Context, keyID string) (*Decrypter, error) {
	k, err := c.privateKey(ctx, keyID, kmsv1.KeyUsage_KEY_USAGE_ENCRYPT_DECRYPT)
	if err != nil {
		return nil, fmt.Errorf("making a decrypter: %w", err)
	}
	return &Decrypter{k}, nil
}

// Decrypt decrypts what rsa.EncryptOAEP made with an empty label, SHA-1 or SHA-256, and the same hash for MGF1. opts is the *rsa.OAEPOptions; anything
// else is ErrNotSupported. The first argument is not used. The plaintext is the caller's.
func (d *Decrypter) Decrypt(_ io.Reader, ciphertext []byte, opts stdcrypto.DecrypterOpts) ([]byte, error) {
	o, ok := opts.(*rsa.OAEPOptions)
	if !ok || len(o.Label) > 0 || o.MGFHash != 0 && o.MGFHash != o.Hash || o.Hash != stdcrypto.SHA1 && o.Hash != stdcrypto.SHA256 {
		return nil, fmt.Errorf("decrypting: %w: kmsd has OAEP with SHA-1 and SHA-256, without a label", ErrNotSupported)
	}
	algorithm := kmsv1.EncryptionAlgorithm_ENCRYPTION_ALGORITHM_RSAES_OAEP_SHA_256
	if o.Hash == stdcrypto.SHA1 {
		algorithm = kmsv1.EncryptionAlgorithm_ENCRYPTION_ALGORITHM_RSAES_OAEP_SHA_1
	}
	out, err := d.client.crypto.Decrypt(d.ctx, kmsv1.DecryptRequest_builder{KeyId: d.arn, CiphertextBlob: ciphertext, EncryptionAlgorithm: algorithm}.Build())
	if err != nil {
		return nil, fmt.Errorf("decrypting: %w", err)
	}
	return out.GetPlaintext(), nil
}
