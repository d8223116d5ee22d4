package keystore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/crypto/keypair"
)

// prepared is material that is ready to be used: one of these, as the key's spec has it.
type prepared struct {
	key  *crypto.Key
	mac  *crypto.HMACKey
	pair *keypair.Private
}

// prepare returns the version ready to be used.
func (v *Version) prepare() (*prepared, error) {
	if p := v.held.ready.Load(); p != nil {
		return p, nil
	}
	v.held.mu.Lock()
	defer v.held.mu.Unlock()
	if p := v.held.ready.Load(); p != nil {
		return p, nil
	}
	p, err := v.makeReady()
	if err != nil {
		return nil, fmt.Errorf("preparing version %d of key %s: %w", v.Number, v.id, err)
	}
	v.held.ready.Store(p)
	return p, nil
}

// errNoMaterial is what preparing gives in a dry run, and for whoever took a snapshot just before the material was deleted.
var errNoMaterial = refuse(ErrNotFound, "the key material is not there")

func (v *Version) makeReady() (p *prepared, err error) {
	p = &prepared{}
	secret := v.held.secret
	switch {
	case secret.IsZero():
		return nil, errNoMaterial
	case v.spec == crypto.SpecSymmetricDefault:
		p.key, err = crypto.NewKey(v.id, v.Material, secret)
	case v.spec.Asymmetric():
		p.pair, err = keypair.New(v.spec, secret)
	default:
		p.mac, err = crypto.NewHMACKey(v.spec, secret)
	}
	return p, err
}

// Usable is a version of a key in the hands of somebody whom authz let have it. It can do what the grant allows and
// nothing else. The zero value can do nothing.
type Usable struct {
	Version *Version
	arn     string
	grant   authz.Grant
	ready   *prepared
}

// Use is UseFor with kms:Encrypt.
func (key *Key) Use(g authz.Grant) (Usable, error) { return key.UseFor(g, authz.KMSEncrypt) }

// UseVersion is UseVersionFor with kms:Decrypt.
func (key *Key) UseVersion(g authz.Grant, material [16]byte) (Usable, error) {
	return key.UseVersionFor(g, authz.KMSDecrypt, material)
}

// UseFor returns the current version of key, for the operation op, which the grant g is for: a cryptographic operation or kms:GetPublicKey. Errors
// match ErrDisabled, ErrInvalidState, ErrInvalidKeyUsage, or ErrUnsupported (GetPublicKey of a key that is no pair).
func (key *Key) UseFor(g authz.Grant, op authz.Action) (Usable, error) {
	if err := key.fit(op); err != nil {
		return Usable{}, err
	}
	return key.hand(g, key.current)
}

// UseVersionFor returns the version that a ciphertext of a symmetric key names by the short id of its material. Errors are those of UseFor, and
// match ErrMaterialMissing, or ErrDisabled of a version that DisableMaterial stopped.
func (key *Key) UseVersionFor(g authz.Grant, op authz.Action, material [16]byte) (Usable, error) {
	if err := key.fit(op); err != nil {
		return Usable{}, err
	}
	v, err := key.version(material)
	if err != nil {
		return Usable{}, err
	}
	if v.Disabled {
		return Usable{}, refuse(ErrDisabled, "%s key material %s is disabled.", key.ARN, v.Name)
	}
	if v.Imported != nil && v.missing(key.use.now()) { // of a key that is enabled only a version that waits for its rotation
		return Usable{}, &StateError{ARN: key.ARN, State: PendingImport}
	}
	return key.hand(g, v)
}

func (key *Key) hand(g authz.Grant, v *Version) (Usable, error) {
	ready := v.held.ready.Load()
	if ready == nil {
		var err error
		if ready, err = v.prepare(); err != nil {
			return Usable{}, err
		}
		if ready.pair != nil {
			key.use.log.pairs.add(v.held)
		}
	}
	return Usable{v, key.ARN, g, ready}, nil
}

// fit returns an error unless the key is in the state, and is of the usage and spec, for an operation.
func (key *Key) fit(op authz.Action) error {
	if key.State != Enabled || key.expires != 0 {
		if err := key.enabled(key.use.now()); err != nil {
			return err
		}
	}
	return key.suits(op)
}

// suits returns an error unless keys of this usage and spec do the operation. It is the one place that knows.
func (key *Key) suits(op authz.Action) error {
	var usage crypto.Usage
	switch op {
	case authz.KMSEncrypt, authz.KMSDecrypt, authz.KMSReEncryptFrom, authz.KMSReEncryptTo:
		usage = crypto.UsageEncryptDecrypt
	case authz.KMSGenerateDataKey, authz.KMSGenerateDataKeyWithoutPlaintext, authz.KMSGenerateDataKeyPair, authz.KMSGenerateDataKeyPairWithoutPlaintext:
		usage = crypto.UsageEncryptDecrypt
		if key.Usage == usage && key.Spec != crypto.SpecSymmetricDefault {
			return refuse(ErrInvalidKeyUsage, "%s key spec is %s which is not valid for %s.", key.ARN, key.Spec, operationOf(op))
		}
	case authz.KMSSign, authz.KMSVerify:
		usage = crypto.UsageSignVerify
	case authz.KMSGenerateMac, authz.KMSVerifyMac:
		usage = crypto.UsageGenerateVerifyMAC
	case authz.KMSDeriveSharedSecret:
		usage = crypto.UsageKeyAgreement
	case authz.KMSEncapsulate, authz.KMSDecapsulate:
		usage = crypto.UsageEncapsulateDecapsulate
	case authz.KMSGetPublicKey:
		if key.Spec.Asymmetric() {
			return nil
		}
		return refuse(ErrUnsupported, "%s key spec is %s which is not valid for %s.", key.ARN, key.Spec, operationOf(op))
	default:
		return ErrNotPermitted
	}
	if key.Usage == usage {
		return nil
	}
	return refuse(ErrInvalidKeyUsage, "%s key usage is %s which is not valid for %s.", key.ARN, key.Usage, operationOf(op))
}

// operationOf is the name of the call that asks for an action.
func operationOf(op authz.Action) string {
	switch op {
	case authz.KMSReEncryptFrom, authz.KMSReEncryptTo:
		return "ReEncrypt"
	}
	return strings.TrimPrefix(op.String(), operationPrefix)
}

// incompatible is how an algorithm is refused that keys of this spec do not know.
func incompatible(algorithm string, spec crypto.Spec) error {
	return refuse(ErrInvalidKeyUsage, "Algorithm %s is incompatible with key spec %s.", algorithm, spec)
}

// checkAlgorithm looks for an algorithm among those of the spec.
func checkAlgorithm[A ~string](u Usable, algorithm A, known []A) error {
	if slices.Contains(known, algorithm) {
		return nil
	}
	return incompatible(string(algorithm), u.Version.spec)
}

func (u Usable) permits(actions ...authz.Action) error {
	for _, a := range actions {
		if u.grant.Permits(a, u.arn) {
			return nil
		}
	}
	return ErrNotPermitted
}

// symmetric returns the symmetric key, or why there is none.
func (u Usable) symmetric() (*crypto.Key, error) {
	if u.ready.key == nil {
		return nil, incompatible(string(crypto.EncryptSymmetricDefault), u.Version.spec)
	}
	return u.ready.key, nil
}

// Encrypt appends the ciphertext of plaintext to dst. The grant must be for an operation that encrypts, and the key be symmetric, else
// ErrInvalidKeyUsage.
func (u Usable) Encrypt(dst, plaintext []byte, c crypto.Context) ([]byte, error) {
	err := u.permits(
		authz.KMSEncrypt, authz.KMSGenerateDataKey, authz.KMSGenerateDataKeyWithoutPlaintext, authz.KMSReEncryptTo,
		authz.KMSGenerateDataKeyPair, authz.KMSGenerateDataKeyPairWithoutPlaintext,
	)
	if err != nil {
		return nil, err
	}
	key, err := u.symmetric()
	if err != nil {
		return nil, err
	}
	return key.Encrypt(dst, plaintext, c)
}

// Decrypt appends the plaintext of blob to dst. The grant must be for an operation that decrypts, and the key be symmetric, else
// ErrInvalidKeyUsage. Errors match crypto.ErrCiphertext.
func (u Usable) Decrypt(dst, blob []byte, c crypto.Context) ([]byte, error) {
	if err := u.permits(authz.KMSDecrypt, authz.KMSReEncryptFrom); err != nil {
		return nil, err
	}
	key, err := u.symmetric()
	if err != nil {
		return nil, err
	}
	return key.Decrypt(dst, blob, c)
}

// now is the time of day for what expires.
func (u *usage) now() time.Time { return u.log.clock.Wall() }
