package server

import (
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/keystore"
)

// target is a key as a request names it, and what was found under that name.
type target struct {
	ref keystore.Ref
	key *keystore.Key // nil if there is none

	sealed bool // a ciphertext names it, not the caller
}

// target looks up a key by what a request calls it.
func (c *call) target(field, text string) (target, error) {
	ref, err := c.s.place.ParseRef(text, c.account())
	if err != nil {
		f := failureOf(err)
		f.fields = []violation{{field, f.message}}
		return target{}, f
	}
	return c.lookUp(ref, partOf(field)), nil
}

// partOf is the part of a key in the call, by the field that names it.
func partOf(field string) string {
	role, _ := strings.CutSuffix(field, "_key_id")
	if role == "source" || role == "destination" {
		return role
	}
	return ""
}

// lookUp finds a key and notes in the event what was asked for, and as what.
func (c *call) lookUp(ref keystore.Ref, role string) target {
	t := target{ref: ref}
	if k, ok := c.keys.Resolve(ref); ok && !c.people.Suspended(k.Account()) { // nobody uses the keys of a closed account
		t.key = k
		c.event.Key = audit.Key{ID: k.Name, Origin: originKMS, State: k.State.String()}
		c.touched("KEY", k.ARN, k.Account(), role)
	}
	if ref.Alias != "" {
		c.touched("ALIAS", c.s.place.AliasARN(ref.Account, ref.Alias), ref.Account, role)
	} else if t.key == nil {
		c.touched("KEY", c.s.place.KeyARN(ref.Account, ref.ID), ref.Account, role)
	}
	return t
}

// named is the key under the name that the caller gave it: what denials speak of.
func (c *call) named(t target) *authz.Resource {
	r := &authz.Resource{Kind: authz.Key, Account: t.ref.Account, ARN: c.s.place.KeyARN(t.ref.Account, t.ref.ID)}
	if t.ref.Alias != "" {
		r.ARN = c.s.place.AliasARN(t.ref.Account, t.ref.Alias)
	}
	return r
}

// byID is target for operations that AWS does not let name a key by an alias.
func (c *call) byID(field, text string) (target, error) {
	t, err := c.target(field, text)
	if err == nil && t.ref.Alias != "" {
		return target{}, &failure{
			code: codes.NotFound, reason: reasonNotFound, message: "Invalid keyId: this operation takes a key id or a key ARN, not an alias",
			class: "AliasNotAllowed", fields: []violation{{field, "names an alias"}},
		}
	}
	return t, err
}

// authorize asks for an action on the key. The decision comes before the key's existence: who may not do it is denied whether there is such a
// key or not; who may is told that there is none.
func (c *call) authorize(a authz.Action, t target) (authz.Grant, error) {
	c.noteAlias(t)
	if t.key != nil {
		r := c.keyResource(t.key.Resource)
		g, d := c.judge(a, r)
		if d.Verdict != authz.Allow {
			return authz.Grant{}, c.refuse(a, t, r, d)
		}
		return g, nil
	}
	r := c.keyResource(c.absent(t))
	if _, d := c.judge(a, r); d.Verdict != authz.Allow {
		return authz.Grant{}, c.refuse(a, t, r, d)
	}
	shown := c.named(t)
	what := "Key '" + shown.ARN + "' does not exist"
	if t.ref.Alias != "" {
		what = "Alias " + shown.ARN + " is not found."
	}
	return authz.Grant{}, &failure{code: codes.NotFound, reason: reasonNotFound, message: what, class: "NoSuchKey"}
}

// absent is the key as authz decides about it if there is none.
func (c *call) absent(t target) authz.Resource {
	return authz.Resource{Kind: authz.Key, Account: t.ref.Account, ARN: c.s.place.KeyARN(t.ref.Account, t.ref.ID)}
}

// refuse remembers a denial and returns what the caller is told. A key of another account is remembered as if it were not there; one that a ciphertext leads to
// is none that the caller has asked for.
func (c *call) refuse(a authz.Action, t target, r *authz.Resource, d authz.Decision) error {
	named := c.named(t)
	foreign := t.ref.Account != c.account()
	switch {
	case foreign && t.sealed:
	case foreign:
		absent := c.absent(t)
		c.s.denials.keep(c, a, &absent, named.ARN)
	case t.key != nil:
		c.s.denials.keep(c, a, r, r.ARN)
	default:
		c.s.denials.keep(c, a, r, named.ARN)
	}
	return c.denial(a, named, d)
}

// noteAlias tells conditions by which alias the request names the key.
func (c *call) noteAlias(t target) {
	if t.ref.Alias == "" {
		c.facts.SetList(authz.CtxRequestAlias, nil)
		return
	}
	c.facts.Set(authz.CtxRequestAlias, t.ref.Alias)
}

// noteKey writes the version that is used, or was made, into the event.
func (c *call) noteKey(k *keystore.Key, v *keystore.Version) {
	c.event.Key = audit.Key{
		ID: k.Name, Version: v.Number, MaterialID: v.Name,
		Algorithm: symmetricDefault, Origin: originKMS, State: k.State.String(),
	}
}

const (
	symmetricDefault = "SYMMETRIC_DEFAULT"
	originKMS        = "AWS_KMS"
	encryptDecrypt   = "ENCRYPT_DECRYPT"
)

// encrypter authorizes an operation that encrypts under a key and returns the key's current version.
func (c *call) encrypter(a authz.Action, field, text string) (*keystore.Key, keystore.Usable, error) {
	t, err := c.target(field, text)
	if err != nil {
		return nil, keystore.Usable{}, err
	}
	return c.encryptUnder(a, t)
}

func (c *call) encryptUnder(a authz.Action, t target) (*keystore.Key, keystore.Usable, error) {
	g, err := c.authorize(a, t)
	if err != nil {
		return nil, keystore.Usable{}, err
	}
	u, err := t.key.Use(g)
	if err != nil {
		return nil, keystore.Usable{}, err
	}
	c.noteKey(t.key, u.Version)
	return t.key, u, nil
}

// a sealed is a ciphertext with the key that it is to be decrypted with.
type sealed struct {
	header crypto.Header
	named  bool // the caller names the key too
	key    target
}

// sealed finds the key that a ciphertext names. text is the key that the caller says it is, or empty.
func (c *call) sealed(field, text string, blob []byte) (sealed, error) {
	h, err := crypto.ParseHeader(blob)
	if err != nil {
		return sealed{}, err
	}
	t, err := c.source(field, text, h)
	return sealed{h, text != "", t}, err
}

// decryptWith authorizes an operation that decrypts, and returns the version of the key that the ciphertext names.
func (c *call) decryptWith(a authz.Action, s sealed) (*keystore.Key, keystore.Usable, error) {
	t := s.key
	g, err := c.authorize(a, t)
	if err != nil && !s.named {
		err = c.unnamed(a, t, s.header, err)
	}
	if err != nil {
		return nil, keystore.Usable{}, err
	}
	if t.key.ID != s.header.Key {
		return nil, keystore.Usable{}, &failure{
			code: codes.InvalidArgument, reason: "IncorrectKeyException", class: "IncorrectKey",
			message: "The key ID in the request does not identify a CMK that can perform this operation.",
		}
	}
	u, err := t.key.UseVersion(g, s.header.Material)
	if err != nil {
		return nil, keystore.Usable{}, err
	}
	c.noteKey(t.key, u.Version)
	return t.key, u, nil
}

// mayDecrypt asks for a permission to decrypt without a ciphertext: what a dry run that ignores it does.
func (c *call) mayDecrypt(a authz.Action, t target) error {
	g, err := c.authorize(a, t)
	if err != nil {
		return err
	}
	_, err = t.key.Use(g)
	return err
}

// source is the key that the caller names, or else the one that the ciphertext names, of whatever account.
func (c *call) source(field, text string, h crypto.Header) (target, error) {
	if text != "" {
		return c.target(field, text)
	}
	ref := keystore.Ref{Account: c.account(), ID: h.Key}
	if k, ok := c.keys.Key(h.Key); ok && !c.people.Suspended(k.Account()) {
		ref.Account = k.Account()
	}
	t := c.lookUp(ref, partOf(field))
	t.sealed = true
	return t, nil
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
