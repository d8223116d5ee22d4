package kmstest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kmsd/kmsd/client"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// world is what one kmsd has acknowledged to its writers. Each writer has things of its own, so that it knows what state they must be in,
// but for the one call that was cut off.
type world struct {
	writers []*writer
	old     map[string]bool // :: request id → its intent was without an outcome at an earlier check
}

type writer struct {
	name    string
	rng     *mathrand.Rand
	keys    []*keyModel
	aliases map[string]*keyModel // :: name → what it points to; nil is no such alias
	users   []*userModel
	blobs   []blobModel
	touched map[string]bool // :: fact → it was changed since the last check
	events  map[string]int  // :: fingerprint → how many events there must be

	acknowledged int
	cut          *cutCall // what kmsd was killed under
}

type keyModel struct {
	id, arn  string
	versions []string // material ids, the oldest first
	disabled bool
	policy   string
}

type userModel struct{ name, policy string }

type blobModel struct {
	key       *keyModel
	plaintext []byte
	blob      []byte
	call      string
}

// cutCall is a call without an answer.
type cutCall struct {
	fingerprint string
	intent      string                                                              // the fingerprint of its intent, if that knows less
	took        bool                                                                // it took effect
	settle      func(ctx context.Context, cl *client.Client) (took bool, err error) // finds out whether it took effect
}

func newWorld(seed uint64) *world {
	w := &world{old: map[string]bool{}}
	for i := range writers {
		w.writers = append(w.writers, &writer{
			name: fmt.Sprintf("w%d", i), rng: mathrand.New(mathrand.NewPCG(seed, uint64(i))),
			aliases: map[string]*keyModel{}, touched: map[string]bool{}, events: map[string]int{},
		})
	}
	return w
}

// call makes one call. If it is acknowledged, apply changes the model; if not, settle finds out later, by comparing what is there with the
// state before and the state after.
func (w *writer) call(fingerprint, fact string, do func() error, apply func(), is func(context.Context, *client.Client) (before, after bool, err error)) error {
	err := do()
	if err == nil {
		apply()
		w.acknowledged++
		w.events[fingerprint]++
		w.touched[fact] = true
		return nil
	}
	w.cut = &cutCall{fingerprint: fingerprint, intent: fingerprint, settle: func(ctx context.Context, cl *client.Client) (bool, error) {
		if is == nil {
			return false, nil
		}
		before, after, err := is(ctx, cl)
		switch {
		case err != nil:
			return false, err
		case after:
			apply()
		case !before:
			return false, fmt.Errorf("%s is neither as before nor as after", fingerprint)
		}
		w.touched[fact] = true
		return after && !before, nil // a change to the same shows nothing
	}}
	return err
}

// act makes one call, or a pair of them, of a random kind.
func (w *writer) act(ctx context.Context, cl *client.Client) error {
	if len(w.keys) == 0 {
		return w.createKey(ctx, cl)
	}
	k := w.keys[w.rng.IntN(len(w.keys))]
	switch n := w.rng.IntN(16); {
	case n < 1:
		return w.createKey(ctx, cl)
	case n < 3 && !k.disabled && len(k.versions) < 20:
		return w.rotate(ctx, cl, k)
	case n < 6:
		return w.alias(ctx, cl, k)
	case n < 8:
		return w.putKeyPolicy(ctx, cl, k)
	case n < 10:
		return w.enableOrDisable(ctx, cl, k)
	case n < 11 || len(w.users) == 0:
		return w.createUser(ctx, cl)
	case n < 13:
		return w.putUserPolicy(ctx, cl, w.users[w.rng.IntN(len(w.users))])
	case !k.disabled:
		return w.encrypt(ctx, cl, k)
	}
	return nil
}

func (w *writer) createKey(ctx context.Context, cl *client.Client) error {
	r := kmsv1.CreateKeyRequest_builder{Description: w.name, ClientToken: rand.Text()}.Build()
	made, err := cl.Keys().CreateKey(ctx, r)
	add := func(m *kmsv1.CreateKeyResponse) {
		k := &keyModel{id: m.GetKeyMetadata().GetKeyId(), arn: m.GetKeyMetadata().GetArn(), versions: []string{m.GetKeyMaterialId()}}
		w.keys = append(w.keys, k)
		w.touched["key "+k.id] = true
		w.events["CreateKey|"+k.arn]++
	}
	if err == nil {
		w.acknowledged++
		add(made)
		return nil
	}
	w.cut = &cutCall{intent: "CreateKey|", settle: func(ctx context.Context, cl *client.Client) (bool, error) {
		before, err := allKeys(ctx, cl)
		if err != nil {
			return false, err
		}
		made, err := cl.Keys().CreateKey(ctx, r) // the same token: the same key
		if err != nil {
			return false, err
		}
		add(made)
		w.cut.fingerprint = "CreateKey|" + made.GetKeyMetadata().GetArn()
		return slices.Contains(before, made.GetKeyMetadata().GetKeyId()), nil
	}}
	return err
}

func (w *writer) rotate(ctx context.Context, cl *client.Client, k *keyModel) error {
	r := kmsv1.RotateKeyOnDemandRequest_builder{KeyId: k.id, ClientToken: rand.Text()}.Build()
	made, err := cl.Keys().RotateKeyOnDemand(ctx, r)
	add := func(m *kmsv1.RotateKeyOnDemandResponse) {
		k.versions = append(k.versions, m.GetKeyMaterialId())
		w.touched["key "+k.id] = true
		w.events["RotateKeyOnDemand|"+m.GetKeyMaterialId()]++
	}
	if err == nil {
		w.acknowledged++
		add(made)
		return nil
	}
	w.cut = &cutCall{intent: "RotateKeyOnDemand|" + k.arn, settle: func(ctx context.Context, cl *client.Client) (bool, error) {
		have, err := rotations(ctx, cl, k)
		if err != nil {
			return false, err
		}
		made, err := cl.Keys().RotateKeyOnDemand(ctx, r) // the same token: not again
		if err != nil {
			return false, err
		}
		add(made)
		w.cut.fingerprint = "RotateKeyOnDemand|" + made.GetKeyMaterialId()
		return slices.Contains(have, made.GetKeyMaterialId()), nil
	}}
	return err
}

// alias creates an alias, points it to another key, or deletes it.
func (w *writer) alias(ctx context.Context, cl *client.Client, k *keyModel) error {
	name := fmt.Sprintf("alias/%s/%d", w.name, w.rng.IntN(6))
	old, next, operation := w.aliases[name], k, "UpdateAlias"
	var do func() error
	switch {
	case old == nil:
		operation = "CreateAlias"
		do = func() error {
			_, err := cl.Keys().CreateAlias(ctx, kmsv1.CreateAliasRequest_builder{AliasName: name, TargetKeyId: k.id}.Build())
			return err
		}
	case w.rng.IntN(3) == 0:
		operation, next = "DeleteAlias", nil
		do = func() error {
			_, err := cl.Keys().DeleteAlias(ctx, kmsv1.DeleteAliasRequest_builder{AliasName: name}.Build())
			return err
		}
	default:
		do = func() error {
			_, err := cl.Keys().UpdateAlias(ctx, kmsv1.UpdateAliasRequest_builder{AliasName: name, TargetKeyId: k.id}.Build())
			return err
		}
	}
	return w.call(operation+"|arn:aws:kms:local:"+Account+":"+name, "alias "+name, do, func() { w.aliases[name] = next },
		func(ctx context.Context, cl *client.Client) (before, after bool, err error) {
			to, err := aliasTarget(ctx, cl, name)
			return to == old.name(), to == next.name(), err
		})
}

func (k *keyModel) name() string {
	if k == nil {
		return ""
	}
	return k.id
}

func (w *writer) putKeyPolicy(ctx context.Context, cl *client.Client, k *keyModel) error {
	old := k.policy
	next := `{"Version":"2012-10-17","Statement":[{"Sid":"` + rand.Text() + `","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + Account + `:root"},"Action":"kms:*","Resource":"*"}]}`
	return w.call("PutKeyPolicy|"+k.arn, "key "+k.id, func() error {
		_, err := cl.Keys().PutKeyPolicy(ctx, kmsv1.PutKeyPolicyRequest_builder{KeyId: k.id, Policy: next}.Build())
		return err
	}, func() { k.policy = next }, func(ctx context.Context, cl *client.Client) (before, after bool, err error) {
		have, err := cl.Keys().GetKeyPolicy(ctx, kmsv1.GetKeyPolicyRequest_builder{KeyId: k.id}.Build())
		return have.GetPolicy() == old || old == "", have.GetPolicy() == next, err
	})
}

func (w *writer) enableOrDisable(ctx context.Context, cl *client.Client, k *keyModel) error {
	next, operation := !k.disabled, "EnableKey"
	if next {
		operation = "DisableKey"
	}
	return w.call(operation+"|"+k.arn, "key "+k.id, func() (err error) {
		if next {
			_, err = cl.Keys().DisableKey(ctx, kmsv1.DisableKeyRequest_builder{KeyId: k.id}.Build())
		} else {
			_, err = cl.Keys().EnableKey(ctx, kmsv1.EnableKeyRequest_builder{KeyId: k.id}.Build())
		}
		return err
	}, func() { k.disabled = next }, func(ctx context.Context, cl *client.Client) (before, after bool, err error) {
		have, err := cl.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: k.id}.Build())
		disabled := have.GetKeyMetadata().GetKeyState() == kmsv1.KeyState_KEY_STATE_DISABLED
		return disabled != next, disabled == next, err
	})
}

func (w *writer) createUser(ctx context.Context, cl *client.Client) error {
	u := &userModel{name: w.name + "-" + rand.Text()[:12]}
	return w.call("CreateUser|"+userARN(u.name), "user "+u.name, func() error {
		_, err := cl.IAM().CreateUser(ctx, iamv1.CreateUserRequest_builder{UserName: u.name}.Build())
		return err
	}, func() { w.users = append(w.users, u) }, func(ctx context.Context, cl *client.Client) (before, after bool, err error) {
		_, err = cl.IAM().GetUser(ctx, iamv1.GetUserRequest_builder{UserName: u.name}.Build())
		if status.Code(err) == codes.NotFound {
			return true, false, nil
		}
		return false, err == nil, err
	})
}

func (w *writer) putUserPolicy(ctx context.Context, cl *client.Client, u *userModel) error {
	old, next := u.policy, `{"Version":"2012-10-17","Statement":[{"Sid":"`+rand.Text()+`","Effect":"Allow","Action":"kms:*","Resource":"*"}]}`
	return w.call("PutUserPolicy|"+userARN(u.name), "user "+u.name, func() error {
		_, err := cl.IAM().PutUserPolicy(ctx, iamv1.PutUserPolicyRequest_builder{UserName: u.name, PolicyName: "p", PolicyDocument: next}.Build())
		return err
	}, func() { u.policy = next }, func(ctx context.Context, cl *client.Client) (before, after bool, err error) {
		have, err := userPolicy(ctx, cl, u)
		return have == old, have == next, err
	})
}

// encrypt encrypts and decrypts. The ciphertext must decrypt after every later start, too.
func (w *writer) encrypt(ctx context.Context, cl *client.Client, k *keyModel) error {
	b := blobModel{key: k, plaintext: []byte(rand.Text()), call: rand.Text()}
	err := w.call("Encrypt|"+b.call, "blob", func() error {
		out, err := cl.Crypto().Encrypt(ctx, kmsv1.EncryptRequest_builder{KeyId: k.id, Plaintext: b.plaintext, EncryptionContext: map[string]string{"call": b.call}}.Build())
		b.blob = out.GetCiphertextBlob()
		return err
	}, func() { w.blobs = append(w.blobs[max(0, len(w.blobs)-3):], b) }, nil)
	if err != nil {
		return err
	}
	return w.call("Decrypt|"+b.call, "blob", func() error { return decrypts(ctx, cl, b) }, func() {}, nil)
}

func decrypts(ctx context.Context, cl *client.Client, b blobModel) error {
	out, err := cl.Crypto().Decrypt(ctx, kmsv1.DecryptRequest_builder{CiphertextBlob: b.blob, EncryptionContext: map[string]string{"call": b.call}}.Build())
	if err == nil && !bytes.Equal(out.GetPlaintext(), b.plaintext) {
		return fmt.Errorf("Decrypt returned another plaintext")
	}
	return err
}

func userARN(name string) string { return "arn:aws:iam::" + Account + ":user/" + name }

func allKeys(ctx context.Context, cl *client.Client) (ids []string, err error) {
	for marker := ""; ; {
		page, err := cl.Keys().ListKeys(ctx, kmsv1.ListKeysRequest_builder{Limit: 1000, Marker: marker}.Build())
		if err != nil {
			return nil, err
		}
		for _, k := range page.GetKeys() {
			ids = append(ids, k.GetKeyId())
		}
		if !page.GetTruncated() {
			return ids, nil
		}
		marker = page.GetNextMarker()
	}
}

// rotations are the material ids of a key, the oldest first.
func rotations(ctx context.Context, cl *client.Client, k *keyModel) (materials []string, err error) {
	page, err := cl.Keys().ListKeyRotations(ctx, kmsv1.ListKeyRotationsRequest_builder{KeyId: k.id}.Build())
	for _, r := range page.GetRotations() {
		materials = append(materials, r.GetKeyMaterialId())
	}
	slices.Reverse(materials)
	return materials, err
}

// aliasTarget is the id of the key that an alias points to, or "".
func aliasTarget(ctx context.Context, cl *client.Client, name string) (string, error) {
	have, err := cl.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: name}.Build())
	if status.Code(err) == codes.NotFound {
		return "", nil
	}
	return have.GetKeyMetadata().GetKeyId(), err
}

// userPolicy is a user's policy, or "".
func userPolicy(ctx context.Context, cl *client.Client, u *userModel) (string, error) {
	have, err := cl.IAM().GetUserPolicy(ctx, iamv1.GetUserPolicyRequest_builder{UserName: u.name, PolicyName: "p"}.Build())
	if client.Is(err, "NoSuchEntityException") {
		if _, err := cl.IAM().GetUser(ctx, iamv1.GetUserRequest_builder{UserName: u.name}.Build()); err != nil {
			return "", err
		}
		return "", nil
	}
	return have.GetPolicyDocument(), err
}
