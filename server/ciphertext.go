package server

import (
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/keystore"
)

// sealed is a ciphertext with the key that it is to be decrypted with.
type sealed struct {
	algorithm crypto.EncryptionAlgorithm
	header    crypto.Header // of a symmetric algorithm
	malformed error         // there is no header
	named     bool          // the caller names the key too
	key       target
}

// sealed finds the key of a ciphertext: the one that the caller says it is, text, or else the one that the ciphertext names. Only with the first can the
// algorithm be asymmetric.
func (c *call) sealed(a crypto.EncryptionAlgorithm, field, text string, blob []byte) (s sealed, err error) {
	s.algorithm, s.named = a, text != ""
	if symmetric(a) {
		s.header, s.malformed = crypto.ParseHeader(blob)
	}
	if s.named {
		s.key, err = c.target(field, text)
		return s, err
	}
	if s.malformed != nil {
		return s, s.malformed
	}
	s.key = c.source(field, s.header)
	return s, nil
}

// decryptWith authorizes an operation that decrypts, and returns the version of the key that the ciphertext names.
func (c *call) decryptWith(op authz.Action, s sealed) (*keystore.Key, keystore.Usable, error) {
	t := s.key
	g, err := c.authorize(op, t)
	if err != nil && !s.named {
		err = c.unnamed(op, t, s.header, err)
	}
	if err != nil {
		return nil, keystore.Usable{}, err
	}
	var u keystore.Usable
	if symmetric(s.algorithm) && s.malformed == nil && s.header.Key == t.key.ID {
		u, err = t.key.UseVersionFor(g, op, s.header.Material)
	} else if u, err = t.key.UseFor(g, op); err == nil {
		err = s.fits(t.key)
	}
	u, err = c.held(t.key, op, u, err)
	return t.key, u, err
}

// fits returns why a ciphertext that does not name the key is none of it.
func (s sealed) fits(k *keystore.Key) error {
	if err := compatible(s.algorithm, k); err != nil || !symmetric(s.algorithm) {
		return err
	}
	if s.malformed != nil {
		return s.malformed
	}
	return &failure{
		code: codes.InvalidArgument, reason: "IncorrectKeyException", class: "IncorrectKey",
		message: "The key ID in the request does not identify a CMK that can perform this operation.",
	}
}

func symmetric(a crypto.EncryptionAlgorithm) bool { return a == crypto.EncryptSymmetricDefault }

// compatible refuses an algorithm that the key does not know.
func compatible(a crypto.EncryptionAlgorithm, k *keystore.Key) error {
	if slices.Contains(k.Spec.EncryptionAlgorithms(), a) {
		return nil
	}
	return &failure{
		code: codes.FailedPrecondition, reason: "InvalidKeyUsageException", class: "IncompatibleAlgorithm",
		message: fmt.Sprintf("Algorithm %s is incompatible with key spec %s.", a, k.Spec),
	}
}

// mayUse asks for a permission to decrypt or encrypt without a ciphertext: what a dry run that ignores it does.
func (c *call) mayUse(op authz.Action, a crypto.EncryptionAlgorithm, t target) error {
	k, _, err := c.hold(op, t)
	if err != nil {
		return err
	}
	return compatible(a, k)
}

// open decrypts a ciphertext.
func (s sealed) open(u keystore.Usable, blob []byte, ec crypto.Context) ([]byte, error) {
	if symmetric(s.algorithm) {
		return u.Decrypt(nil, blob, ec)
	}
	return u.DecryptRSA(s.algorithm, blob)
}

// seal encrypts.
func seal(u keystore.Usable, a crypto.EncryptionAlgorithm, plaintext []byte, ec crypto.Context) ([]byte, error) {
	if symmetric(a) {
		return u.Encrypt(make([]byte, 0, len(plaintext)+crypto.Overhead), plaintext, ec)
	}
	return u.EncryptRSA(a, plaintext)
}

// source is the key that a ciphertext names, of whatever account.
func (c *call) source(field string, h crypto.Header) target {
	ref := keystore.Ref{Account: c.account(), ID: h.Key}
	if k, ok := c.keys.Key(h.Key); ok && !c.people.Suspended(k.Account()) {
		ref.Account = k.Account()
	}
	t := c.lookUp(ref, partOf(field))
	t.sealed = true
	return t
}

// unnamed is how a call fails that names its key by a ciphertext only, and was refused with err. What the ciphertext leads to that is not there
// makes it invalid. A key of another account that the caller may not use must look no different from one that is not there.
func (c *call) unnamed(a authz.Action, t target, h crypto.Header, err error) error {
	if t.key != nil && t.key.Account() != c.account() {
		decided := c.event.Decision
		if a == authz.KMSReEncryptFrom {
			c.facts.SetBool(authz.CtxReEncryptOnSameKey, false)
		}
		_, err = c.authorize(a, target{ref: keystore.Ref{Account: c.account(), ID: h.Key}})
		c.event.Decision = decided
	}
	if failureOf(err).code == codes.NotFound {
		return &failure{code: codes.InvalidArgument, reason: reasonInvalidCiphertext, message: invalidCiphertext, class: "UnknownKey"}
	}
	return err
}

// encryptsWith tells conditions and the event the algorithm.
func (c *call) encryptsWith(a crypto.EncryptionAlgorithm) {
	c.algorithm = string(a)
	c.facts.Set(authz.CtxEncryptionAlgorithm, string(a))
}

// context reads an encryption context and notes it in the event.
func (c *call) context(field string, pairs map[string]string) (crypto.Context, error) {
	var v violations
	ec := v.context(field, pairs)
	if err := v.err(); err != nil {
		return crypto.Context{}, err
	}
	c.event.EncryptionContext = pairs
	c.facts.EncryptionContext.Set(pairs)
	return ec, nil
}

// secondContext reads the encryption context of the destination, and notes it beside the source's.
func (c *call) secondContext(field string, pairs map[string]string) (crypto.Context, error) {
	var v violations
	ec := v.context(field, pairs)
	if err := v.err(); err != nil {
		return crypto.Context{}, err
	}
	c.param(audit.Context("destinationEncryptionContext", pairs))
	return ec, nil
}
