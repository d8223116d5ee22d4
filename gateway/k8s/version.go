package k8s

import (
	"errors"
	"regexp"
	"sync"
)

// maxStored is the size that the API server wants a ciphertext and a key_id to be below, in bytes.
const maxStored = 1 << 10

// version is the key_id of KMS v2: a key and one version of its material. kmsd gives no material id twice, and a key does not return to a version that
// it has left, so that neither does a key_id.
type version struct {
	key      string // ARN
	material string // 64 lower-case hexadecimal digits
}

// versionText is ARN "/" material id.
var versionText = regexp.MustCompile(`^(arn:[a-z0-9-]{1,64}:kms:[a-z0-9-]{1,64}:[0-9]{12}:key/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/([0-9a-f]{64})$`)

var errVersion = errors.New("is not of this plugin: it must be the ARN of a key and the id of its material")

// parseVersion parses what String returns, and nothing else, in time proportional to the length.
func parseVersion(s string) (version, error) {
	if len(s) >= maxStored {
		return version{}, errVersion
	}
	m := versionText.FindStringSubmatch(s)
	if m == nil {
		return version{}, errVersion
	}
	return version{m[1], m[2]}, nil
}

// String is the key_id, less than maxStored bytes.
func (v version) String() string {
	if v == (version{}) {
		return ""
	}
	return v.key + "/" + v.material
}

// errMoved means that the name of the key stands for another key than it did.
var errMoved = errors.New("the alias points to another key than it did: point it back; for another key run a plugin of its own, as another provider")

// versions knows which version is the current one, from the answers of kmsd, whose order is not that of the calls. The zero value knows none.
type versions struct {
	mu      sync.Mutex
	key     string // ARN that the configured name stands for; "" until kmsd has said it
	current version
	left    map[version]bool // versions that were current before
	changes int              // of current
}

// begin is called before an encryption: its result is passed to saw with what the encryption was made under.
func (v *versions) begin() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changes
}

// saw tells that an encryption that began at begin was made under a version, and reports whether that is the current one. A version that is not known
// yet becomes it, unless another one has since the encryption began: then nobody knows which of the two came later, and the
// encryption is to be made again. So is one under a version that was left.
func (v *versions) saw(under version, begin int) (current bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.holds(under.key); err != nil {
		return false, err
	}
	switch {
	case under == v.current:
		return true, nil
	case v.left[under] || v.changes != begin:
		return false, nil
	}
	if v.left == nil {
		v.left = map[version]bool{}
	}
	v.left[v.current] = true
	v.current = under
	v.changes++
	return true, nil
}

// opened tells that a ciphertext of a key was decrypted under the configured name.
func (v *versions) opened(key string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.holds(key)
}

// holds compares an answer's key with those of earlier answers. v.mu is locked.
func (v *versions) holds(key string) error {
	if v.key == "" {
		v.key = key
	}
	if v.key != key {
		return errMoved
	}
	return nil
}

// now returns the current version, zero if none is known.
func (v *versions) now() version {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.current
}

// name returns what the key is to be called in a Decrypt: its ARN as soon as that is known.
func (v *versions) name(configured string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.key != "" {
		return v.key
	}
	return configured
}
