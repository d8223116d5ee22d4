package keystore

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
)

// Limits of tags, in characters.
const (
	maxTagKey   = 128
	maxTagValue = 256
)

// Tag is a pair that is attached to a key.
type Tag struct{ Key, Value string }

// Tags returns the key's tags in the order of their keys. The caller must not change the slice.
func (k *Key) Tags() []Tag { return k.tags }

// setTags gives a key that nobody else sees yet its tags, which are in order.
func (k *Key) setTags(tags []Tag) {
	k.tags = tags
	k.Resource.Tags = authz.NewPairs(tagMap(tags))
}

func tagMap(tags []Tag) map[string]string {
	m := make(map[string]string, len(tags)) // :: key → value
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

func tagsOf(m map[string]string) []Tag {
	var tags []Tag
	for k, v := range m {
		tags = append(tags, Tag{k, v})
	}
	slices.SortFunc(tags, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	return tags
}

// TagKey gives a key tags, in the place of those of the same keys. The grant is for kms:TagResource on the key. Errors match
// ErrTag, then no tag is changed; or ErrInvalidState of a key that is pending deletion.
//
// A key of a tag has 1 to 128 characters and a value 0 to 256, of letters, digits, spaces and _.:/=+-@. Keys that begin with "aws:" in
// whatever case are reserved, and two tags of a key do not differ in the case of their keys only, because policies would not tell them apart.
func (ks *Keystore) TagKey(g authz.Grant, id crypto.KeyID, tags []Tag) (*Key, error) {
	return ks.change(g, authz.KMSTagResource, id, func(e *edit) error {
		merged, err := mergeTags(e.key.tags, tags)
		if err != nil {
			return err
		}
		e.key.setTags(merged)
		return e.alive()
	})
}

// UntagKey removes the tags with these keys. A tag that the key does not have is no error. The grant is for kms:UntagResource
// on the key. Errors match ErrTag or ErrInvalidState.
func (ks *Keystore) UntagKey(g authz.Grant, id crypto.KeyID, keys []string) (*Key, error) {
	if len(keys) > MaxTagsPerKey {
		return nil, &TagError{"tag_keys", fmt.Sprintf("has more than %d keys", MaxTagsPerKey)}
	}
	for i, key := range keys {
		if wrong := checkTagKey(key); wrong != "" {
			return nil, &TagError{fmt.Sprintf("tag_keys[%d]", i), wrong}
		}
	}
	return ks.change(g, authz.KMSUntagResource, id, func(e *edit) error {
		e.key.setTags(slices.DeleteFunc(slices.Clone(e.key.tags), func(t Tag) bool { return slices.Contains(keys, t.Key) }))
		return e.alive()
	})
}

// mergeTags returns the tags of old and add, where add has the last word.
func mergeTags(old, add []Tag) ([]Tag, error) {
	if len(add) > MaxTagsPerKey {
		return nil, &TagError{"tags", fmt.Sprintf("has more than %d tags", MaxTagsPerKey)}
	}
	merged := tagMap(old)
	folded := make(map[string]string, len(old)) // :: folded key → key
	for _, t := range old {
		folded[foldTagKey(t.Key)] = t.Key
	}
	given := map[string]struct{}{}
	for i, t := range add {
		key := fmt.Sprintf("tags[%d].tag_key", i)
		if wrong := checkTagKey(t.Key); wrong != "" {
			return nil, &TagError{key, wrong}
		}
		if utf8.RuneCountInString(t.Value) > maxTagValue || !isTagText(t.Value) {
			return nil, &TagError{fmt.Sprintf("tags[%d].tag_value", i), fmt.Sprintf("is not 0 to %d characters of letters, digits, spaces and _.:/=+-@", maxTagValue)}
		}
		if _, again := given[t.Key]; again {
			return nil, &TagError{key, "stands twice"}
		}
		if other, ok := folded[foldTagKey(t.Key)]; ok && other != t.Key {
			return nil, &TagError{key, "differs from the key of another tag in upper and lower case only"}
		}
		given[t.Key] = struct{}{}
		folded[foldTagKey(t.Key)] = t.Key
		merged[t.Key] = t.Value
	}
	if len(merged) > MaxTagsPerKey {
		return nil, &TagError{"tags", fmt.Sprintf("would give the key more than %d tags", MaxTagsPerKey)}
	}
	return tagsOf(merged), nil
}

// foldTagKey gives the same for two keys that authz takes for one, and for some more: it folds all of Unicode.
func foldTagKey(s string) string { return strings.ToLower(s) }

// checkTagKey returns what is wrong with the key of a tag, "" if nothing is.
func checkTagKey(s string) string {
	switch n := utf8.RuneCountInString(s); {
	case n == 0 || n > maxTagKey || !isTagText(s):
		return fmt.Sprintf("is not 1 to %d characters of letters, digits, spaces and _.:/=+-@", maxTagKey)
	case strings.HasPrefix(foldTagKey(s), "aws:"):
		return `begins with "aws:", which is reserved`
	}
	return ""
}

func isTagText(s string) bool {
	for _, r := range s {
		if !unicode.In(r, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", r) {
			return false
		}
	}
	return true // U+FFFD, which invalid UTF-8 gives, is none of these
}
