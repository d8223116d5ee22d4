package iam

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kmsd/kmsd/authz"
)

// Tag is a name with a value on a user or role.
type Tag struct {
	Key   string // 1 to 128 characters; unique on its entity without regard to case
	Value string // up to 256 characters
}

const (
	maxTagKey   = 128
	maxTagValue = 256
)

// tagSet is the tags of one entity, by key. It is immutable.
type tagSet map[string]string

func (t tagSet) pairs() authz.Pairs { return authz.NewPairs(t) }

// list returns the tags in the order of their keys.
func (t tagSet) list() []Tag {
	list := make([]Tag, 0, len(t))
	for _, k := range slices.Sorted(maps.Keys(t)) {
		list = append(list, Tag{k, t[k]})
	}
	return list
}

// checkTag holds a tag to AWS's alphabet. "aws:" in any case is AWS's own.
func checkTag(t Tag) error {
	if err := checkTagKey(t.Key); err != nil {
		return err
	}
	if !tagText(t.Value) || utf8.RuneCountInString(t.Value) > maxTagValue {
		return invalid("Tags", "must have values of up to 256 letters, digits, spaces and _ . : / = + - @")
	}
	return nil
}

func checkTagKey(key string) error {
	if key == "" || !tagText(key) || utf8.RuneCountInString(key) > maxTagKey {
		return invalid("Tags", "must have keys of 1 to 128 letters, digits, spaces and _ . : / = + - @")
	}
	if strings.HasPrefix(foldTag(key), "aws:") {
		return invalid("Tags", "must have keys that do not begin with aws:")
	}
	return nil
}

// tagText reports whether s is of [\p{L}\p{Z}\p{N}_.:/=+\-@] in valid UTF-8.
func tagText(s string) bool {
	for _, c := range s {
		if c == utf8.RuneError || !unicode.In(c, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", c) {
			return false
		}
	}
	return true
}

// foldTag gives tag keys one form that differ in case only, be it by simple or by lower-case folding: both are used by
// those who compare keys.
func foldTag(key string) string {
	return strings.Map(func(c rune) rune {
		least := c
		for f := unicode.SimpleFold(c); f != c; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return unicode.ToLower(least)
	}, key)
}

// newTags returns the set of the tags in a list, each key of which must be there once, without regard to case.
func newTags(list []Tag) (tagSet, error) { return tagSet(nil).with(list) }

// with returns t with the tags of a list, in the place of those that have the same keys. A key that differs from another
// one in case only is refused.
func (t tagSet) with(list []Tag) (tagSet, error) {
	if len(list) == 0 {
		return t, nil
	}
	if len(list) > MaxTags {
		return nil, fmt.Errorf("%w: %d tags", ErrLimitExceeded, MaxTags)
	}
	next := tagSet{}
	maps.Copy(next, t)
	given := map[string]bool{}
	for _, tag := range list {
		if err := checkTag(tag); err != nil {
			return nil, err
		}
		if given[foldTag(tag.Key)] {
			return nil, invalid("Tags", "must not have a key twice, even in another case")
		}
		given[foldTag(tag.Key)] = true
		next[tag.Key] = tag.Value
	}
	if len(next) > MaxTags {
		return nil, fmt.Errorf("%w: %d tags", ErrLimitExceeded, MaxTags)
	}
	folded := map[string]bool{}
	for key := range next {
		if folded[foldTag(key)] {
			return nil, invalid("Tags", "must not have a key that differs from another one in case only")
		}
		folded[foldTag(key)] = true
	}
	return next, nil
}

// without returns t without some keys, which need not be there. A key that is there in another case only is refused, with the
// spelling that there is: policies compare aws:TagKeys to the letter, so that what they forbid must be what is taken away.
func (t tagSet) without(keys []string) (tagSet, error) {
	if len(keys) > MaxTags {
		return nil, invalid("TagKeys", "must be up to 50")
	}
	spelled := make(map[string]string, len(t)) // :: folded key → key
	for key := range t {
		spelled[foldTag(key)] = key
	}
	next := maps.Clone(t)
	for _, key := range keys {
		if err := checkTagKey(key); err != nil {
			return nil, err
		}
		if is, ok := spelled[foldTag(key)]; ok && is != key {
			return nil, invalid("TagKeys", fmt.Sprintf("must have the key of a tag as it is spelled there, which is %q", is))
		}
		delete(next, key)
	}
	if len(next) == 0 {
		return nil, nil
	}
	return next, nil
}

// UserTags returns the tags of a user by its unique id, in the order of their keys.
func (s *Snapshot) UserTags(id string) []Tag {
	if p, ok := s.principals.Load(id); ok {
		return p.tags.list()
	}
	return nil
}

// RoleTags returns the tags of a role by its unique id, in the order of their keys.
func (s *Snapshot) RoleTags(id string) []Tag {
	if r, ok := s.roles.Load(id); ok {
		return r.tags.list()
	}
	return nil
}
