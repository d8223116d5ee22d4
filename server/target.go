package server

import (
	"errors"
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
		if errors.Is(err, keystore.ErrInvalidKeyID) && isWord(text) {
			f.message = "Invalid keyId '" + text + "'"
		}
		return target{}, f
	}
	return c.lookUp(ref, partOf(field)), nil
}

// isWord reports whether a name of no form can be repeated to the caller: it looks like an id, and is not an ARN, of which more is to be said.
func isWord(text string) bool {
	return len(text) > 0 && len(text) <= 64 && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
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
		c.event.Key = audit.Key{ID: k.Name, Algorithm: c.algorithm, Origin: string(k.Origin), State: k.State.String()}
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
	algorithm := c.algorithm
	if algorithm == "" && k.Spec == crypto.SpecSymmetricDefault {
		algorithm = symmetricDefault
	}
	c.event.Key = audit.Key{
		ID: k.Name, Version: v.Number, MaterialID: v.Name,
		Algorithm: algorithm, Origin: string(k.Origin), State: k.State.String(),
	}
}

// use is a use of a key by a call, which counts if the call succeeds.
type use struct {
	key *keystore.Key
	op  authz.Action
}

// held notes that a version of a key was handed out for an operation, or why not.
func (c *call) held(k *keystore.Key, op authz.Action, u keystore.Usable, err error) (keystore.Usable, error) {
	if err != nil {
		if !c.dry && (errors.Is(err, keystore.ErrDisabled) || errors.Is(err, keystore.ErrInvalidState)) {
			k.NoteRefused(op, c.event.ReceivedTime, c.event.EventID, c.event.RequestID)
		}
		return keystore.Usable{}, err
	}
	c.noteKey(k, u.Version)
	switch {
	case op == authz.KMSGetPublicKey: // does not use it
	case c.uses[0].key == nil:
		c.uses[0] = use{k, op}
	default:
		c.uses[1] = use{k, op}
	}
	return u, nil
}

// noteUses tells the keys that they were used.
func (c *call) noteUses() {
	for _, one := range c.uses {
		if one.key != nil {
			one.key.NoteUse(one.op, c.event.ReceivedTime, c.event.EventID, c.event.RequestID)
		}
	}
}

const (
	symmetricDefault = "SYMMETRIC_DEFAULT"
	originKMS        = "AWS_KMS"
	encryptDecrypt   = "ENCRYPT_DECRYPT"
)

// holder authorizes an operation and returns the key's current version for it.
func (c *call) holder(op authz.Action, field, text string) (*keystore.Key, keystore.Usable, error) {
	t, err := c.target(field, text)
	if err != nil {
		return nil, keystore.Usable{}, err
	}
	return c.hold(op, t)
}

func (c *call) hold(op authz.Action, t target) (*keystore.Key, keystore.Usable, error) {
	g, err := c.authorize(op, t)
	if err != nil {
		return nil, keystore.Usable{}, err
	}
	u, err := t.key.UseFor(g, op)
	u, err = c.held(t.key, op, u, err)
	return t.key, u, err
}
