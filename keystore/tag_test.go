package keystore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/authz"
)

func TestTags(t *testing.T) {
	f := newFixture(t)
	k := must[*Key](t)(f.create(NewKey{Tags: []Tag{{"team", "a"}, {"Cost Centre", "1"}}}))
	must[*Key](t)(f.TagKey(f.onKey(authz.KMSTagResource, k), k.ID, []Tag{{"team", "b"}, {"env", ""}, {"größe", "ein μ"}}))
	must[*Key](t)(f.UntagKey(f.onKey(authz.KMSUntagResource, k), k.ID, []string{"Cost Centre", "TEAM", "absent"}))
	want := []Tag{{"env", ""}, {"größe", "ein μ"}, {"team", "b"}}
	for range 2 {
		got := f.now(k)
		if !slices.Equal(got.Tags(), want) {
			t.Errorf("tags = %q, want %q", got.Tags(), want)
		}
		seen := map[string]string{}
		for name, value := range got.Resource.Tags.All {
			seen[name] = value
		}
		if len(seen) != 3 || seen["team"] != "b" {
			t.Errorf("authz sees the tags %q", seen)
		}
		f.reopen()
	}
	if old := k.Tags(); len(old) != 2 || old[1].Value != "a" {
		t.Errorf("the tags of the key as it was = %q", old)
	}
}

func TestTagRules(t *testing.T) {
	long := strings.Repeat("ä", 128)
	full := []Tag{}
	for i := range MaxTagsPerKey {
		full = append(full, Tag{fmt.Sprint("k", i), ""})
	}
	for name, tt := range map[string]struct {
		have, add []Tag
		field     string // "" if there is no error
	}{
		"the longest":                  {nil, []Tag{{long, long + long}}, ""},
		"all characters":               {nil, []Tag{{"aZ09_.:/=+-@ é中", "aZ09_.:/=+-@ é中"}}, ""},
		"as many as there may be":      {nil, full, ""},
		"a key too long":               {nil, []Tag{{"a", ""}, {long + "a", ""}}, "tags[1].tag_key"},
		"an empty key":                 {nil, []Tag{{"", ""}}, "tags[0].tag_key"},
		"a value too long":             {nil, []Tag{{"a", long + long + "a"}}, "tags[0].tag_value"},
		"a key with another character": {nil, []Tag{{"a*", ""}}, "tags[0].tag_key"},
		"a value with a line end":      {nil, []Tag{{"a", "\n"}}, "tags[0].tag_value"},
		"a key that is not UTF-8":      {nil, []Tag{{"a\xff", ""}}, "tags[0].tag_key"},
		"a value that is not UTF-8":    {nil, []Tag{{"a", "\xc3"}}, "tags[0].tag_value"},
		"a reserved key":               {nil, []Tag{{"aws:x", ""}}, "tags[0].tag_key"},
		"a reserved key in capitals":   {nil, []Tag{{"AwS:x", ""}}, "tags[0].tag_key"},
		"a key that is reserved alone": {nil, []Tag{{"aws", ""}}, ""},
		"the same key twice":           {nil, []Tag{{"a", "1"}, {"a", "2"}}, "tags[1].tag_key"},
		"keys that differ in case":     {nil, []Tag{{"a", "1"}, {"A", "2"}}, "tags[1].tag_key"},
		"one that differs from an old": {[]Tag{{"Team", "1"}}, []Tag{{"x", ""}, {"team", "2"}}, "tags[1].tag_key"},
		"the Kelvin sign for a k":      {[]Tag{{"k", "1"}}, []Tag{{"\u212a", "2"}}, "tags[0].tag_key"},
		"one over the quota":           {full, []Tag{{"x", ""}}, "tags"},
		"one in the place of another":  {full, []Tag{{"k7", "new"}}, ""},
		"too many in one request":      {nil, append(slices.Clone(full), Tag{"x", ""}), "tags"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			k := must[*Key](t)(f.create(NewKey{Tags: tt.have}))
			_, err := f.TagKey(f.onKey(authz.KMSTagResource, k), k.ID, tt.add)
			var wrong *TagError
			switch {
			case tt.field == "" && err != nil:
				t.Errorf("TagKey = %v", err)
			case tt.field != "" && (!errors.As(err, &wrong) || !errors.Is(err, ErrTag) || wrong.Field != tt.field):
				t.Errorf("TagKey = %v, want a TagError of %s", err, tt.field)
			case tt.field != "" && !slices.Equal(f.now(k).Tags(), tagsOf(tagMap(tt.have))):
				t.Errorf("tags = %q after an error, want %q", f.now(k).Tags(), tt.have)
			}
		})
	}
	f := newFixture(t)
	if _, err := f.create(NewKey{Tags: []Tag{{"aws:x", ""}}}); !errors.Is(err, ErrTag) {
		t.Errorf("CreateKey with a reserved tag = %v, want ErrTag", err)
	}
	k := f.mustCreate()
	for name, keys := range map[string][]string{"a reserved key": {"aws:x"}, "an empty key": {""}, "too many": make([]string, MaxTagsPerKey+1)} {
		if _, err := f.UntagKey(f.onKey(authz.KMSUntagResource, k), k.ID, keys); !errors.Is(err, ErrTag) {
			t.Errorf("UntagKey of %s = %v, want ErrTag", name, err)
		}
	}
}
