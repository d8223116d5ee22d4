package iam

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/kmsd/kmsd/authz"
)

// variants of a name that a reader, a file system or a normalisation could take for it.
func variants(r *rand.Rand, name string) string {
	replacements := map[byte][]string{
		'k': {"K", "\u212a", "\uff4b", "ķ"}, 's': {"S", "\u017f", "ß", "ş"}, 'i': {"I", "\u0130", "\u0131", "і"}, 'a': {"A", "\uff41", "а", "a\u0301"},
		'o': {"O", "0", "о", "\u00ba"}, 'p': {"P", "р", "\uff50"}, 'n': {"N", "n\u200b", "\u207f"},
	}
	b := []byte(name)
	at := r.IntN(len(b))
	if list := replacements[b[at]]; list != nil && r.IntN(2) == 0 {
		return name[:at] + list[r.IntN(len(list))] + name[at+1:]
	}
	extra := []string{
		" ", "\t", "\n", "\r", "\x00", "\u00a0", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u2028", "/", "\\", "%20", "%", ":", "*", "?", "\u0301",
		"\u202e", "\xff", "\xc0\x80", "..", "/..", ";", "'", "\"", "<", "${", "\u3000",
	}[r.IntN(30)]
	if r.IntN(2) == 0 {
		return extra + name
	}
	return name + extra
}

// Whatever variant of a name is asked for, it is refused, or it is another name, or taken: nobody is reached by two spellings.
func TestNoVariantsOfNames(t *testing.T) {
	w := newWorld(t)
	w.mustUser("kiosk")
	w.mustGroup("kiosk")
	w.mustRole("kiosk", testAccount)
	p := w.mustPolicy("kiosk", testPolicy)
	s := w.Snapshot()
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	d := s.directory(testAccount)
	refused, taken, free := 0, 0, 0
	for range 100_000 {
		name := variants(r, "kiosk")
		for n := r.IntN(2); n > 0; n-- {
			name = variants(r, name)
		}
		if name == "kiosk" {
			continue
		}
		arn := strings.TrimSuffix(p.ARN, "kiosk") + name
		if _, ok := s.User(testAccount, name); ok {
			t.Fatalf("User(%q) is kiosk", name)
		}
		if _, ok := s.Group(testAccount, name); ok {
			t.Fatalf("Group(%q) is kiosk", name)
		}
		if _, ok := s.Role(testAccount, name); ok {
			t.Fatalf("Role(%q) is kiosk", name)
		}
		if _, ok := s.Policy(arn); ok {
			t.Fatalf("Policy(%q) is kiosk", arn)
		}
		if _, ok := s.PrincipalID(strings.Replace(arn, ":policy/", ":user/", 1)); ok {
			t.Fatalf("PrincipalID of user %q is kiosk's", name)
		}
		if checkName("Name", name, maxUserName) != nil {
			refused++
			continue
		}
		if !utf8.ValidString(name) || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			t.Fatalf("the name %q is accepted", name)
		}
		for kind, list := range map[string]names{"user": d.users, "group": d.groups, "role": d.roles, "policy": d.policies} {
			err := s.mayAdd(testAccount, kind, name, list, 5000)
			if want := strings.EqualFold(name, "kiosk"); errors.Is(err, ErrEntityExists) != want {
				t.Fatalf("a %s named %q = %v, want taken %v", kind, name, err, want)
			}
		}
		if strings.EqualFold(name, "kiosk") {
			taken++
		} else {
			free++
		}
	}
	if refused == 0 || taken == 0 || free == 0 {
		t.Fatalf("%d names refused, %d taken, %d free: the test shows nothing", refused, taken, free)
	}
}

func TestTags(t *testing.T) {
	w := newWorld(t)
	ann := w.mustUser("ann")
	long := strings.Repeat("é", maxTagKey)
	rows := []struct {
		name string
		tags []Tag
		want error
	}{
		{"a tag", []Tag{{"Team", "blue"}}, nil},
		{"an empty value", []Tag{{"Team", ""}}, nil},
		{"all that is allowed", []Tag{{"Ünï 1_.:/=+-@", "Ünï 1_.:/=+-@"}}, nil},
		{"a key of 128 characters and a value of 256", []Tag{{long, long + long}}, nil},
		{"no tags", nil, nil},
		{"an empty key", []Tag{{"", "x"}}, ErrValidation},
		{"a key of 129 characters", []Tag{{long + "e", ""}}, ErrValidation},
		{"a value of 257 characters", []Tag{{"k", long + long + "e"}}, ErrValidation},
		{"a reserved key", []Tag{{"aws:x", ""}}, ErrValidation},
		{"a reserved key in another case", []Tag{{"AwS:x", ""}}, ErrValidation},
		{"a reserved key with a long s", []Tag{{"aw\u017f:x", ""}}, ErrValidation},
		{"a key twice", []Tag{{"k", "a"}, {"k", "a"}}, ErrValidation},
		{"a key in two cases", []Tag{{"k", "a"}, {"K", "a"}}, ErrValidation},
		{"a key with a Kelvin sign", []Tag{{"k", "a"}, {"\u212a", "a"}}, ErrValidation},
		{"a key that is there in another case", []Tag{{"TEAM", "a"}}, ErrValidation},
		{"a control character", []Tag{{"k\n", ""}}, ErrValidation},
		{"a star", []Tag{{"*", ""}}, ErrValidation},
		{"a variable", []Tag{{"k", "${aws:username}"}}, ErrValidation},
		{"what is not UTF-8", []Tag{{"k\xff", ""}}, ErrValidation},
		{"what replaces what is not UTF-8", []Tag{{"k\ufffd", ""}}, ErrValidation},
	}
	for _, r := range rows {
		if err := w.tagUser("ann", r.tags...); !errors.Is(err, r.want) {
			t.Errorf("TagUser with %s = %v, want %v", r.name, err, r.want)
		}
	}
	w.reopen()
	untag := func(keys ...string) error {
		return w.UntagUser(w.on(authz.IAMUntagUser, "ann"), testAccount, "ann", keys)
	}
	var bad *ValidationError
	if err := untag("none", "TEAM", long); !errors.As(err, &bad) || bad.Field != "TagKeys" || !strings.Contains(bad.Description, `which is "Team"`) {
		t.Errorf("UntagUser with another case = %v, want a ValidationError with the key that there is", err)
	}
	if n := len(w.Snapshot().UserTags(ann.ID)); n != 3 {
		t.Errorf("after that there are %d tags, want 3", n)
	}
	w.must(untag("Team", "none", long))
	tags, err := w.Snapshot().ListUserTags(w.on(authz.IAMListUserTags, "ann"), testAccount, "ann")
	if err != nil || fmt.Sprint(tags) != "[{Ünï 1_.:/=+-@ Ünï 1_.:/=+-@}]" {
		t.Errorf("ListUserTags = %v, %v", tags, err)
	}
	for _, keys := range [][]string{{""}, {"aws:x"}, {"*"}, make([]string, MaxTags+1)} {
		if err := untag(keys...); !errors.Is(err, ErrValidation) {
			t.Errorf("UntagUser(%.20q) = %v, want %v", keys, err, ErrValidation)
		}
	}
	r := w.Snapshot().UserResource(testAccount, "ann")
	if r.Kind != authz.IAMEntity || r.Tags.Len() != 1 || r.ARN != "arn:aws:iam::111122223333:user/ann" {
		t.Errorf("UserResource = %+v", r)
	}
}

// What is accepted as a name or path is ASCII, makes an ARN of six parts, and is found again by it.
func FuzzNameAndPath(f *testing.F) {
	for _, seed := range [][2]string{{"ann", "/"}, {"Ann+x", "/a/b/"}, {"", ""}, {"..", "/../"}, {"a\u212a", "/\u017f/"}, {"a:b", "/a:b/"}, {"x", "//"}, {"<root_account>", "/"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, path string) {
		if checkName("Name", name, maxUserName) != nil || checkPath(path) != nil {
			return
		}
		arn := userARN("aws", testAccount, path, name)
		account, kind, again, ok := parseEntityARN(arn)
		if !ok || account != testAccount || kind != "user" || again != name || strings.Count(arn, ":") != 5 || len(name) > maxUserName || len(path) > maxPath {
			t.Errorf("%q and %q make %q, which is %q, %q, %q, %v", path, name, arn, account, kind, again, ok)
		}
		if strings.ContainsFunc(arn, func(c rune) bool { return c <= ' ' || c >= 0x7f }) || strings.ContainsAny(arn, "*?$\\%<>") {
			t.Errorf("%q and %q are accepted", path, name)
		}
	})
}

// What is accepted as tags has no two keys that are the same in any case, and untagging takes away what tagging gave.
func FuzzTags(f *testing.F) {
	f.Add("Team", "team", "x")
	f.Add("k", "\u212a", "")
	f.Add("aws:x", "AWS:", "${x}")
	f.Add("\u0130", "i", "\u0131")
	f.Add("ſ", "S", "s")
	f.Fuzz(func(t *testing.T, a, b, value string) {
		set, err := newTags([]Tag{{a, value}, {b, value}})
		if err != nil {
			if set != nil {
				t.Errorf("tags %v beside an error", set)
			}
			return
		}
		lower := []string{strings.ToLower(a), strings.ToLower(b)} // as authz compares them
		if strings.EqualFold(a, b) || lower[0] == lower[1] || len(set) != 2 {
			t.Errorf("the keys %q and %q are told apart", a, b)
		}
		if pairs := set.pairs(); pairs.Len() != 2 {
			t.Errorf("%q and %q are %d pairs", a, b, pairs.Len())
		}
		rest, err := set.without([]string{a, b})
		if err != nil || len(rest) != 0 {
			t.Errorf("without %q and %q there is %v, %v", a, b, rest, err)
		}
		for _, other := range []string{lower[0], strings.ToUpper(a), strings.ToTitle(a)} {
			rest, err := set.without([]string{other})
			_, there := set[other]
			_, left := rest[a]
			if (err == nil) != (there || len(rest) == 2) || err == nil && left == (other == a) {
				t.Errorf("without %q, of %q and %q there is %v, %v", other, a, b, rest, err)
			}
		}
	})
}
