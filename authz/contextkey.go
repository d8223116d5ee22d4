package authz

import (
	"iter"
	"slices"
	"strings"
)

// A KeyType is the type of the values of a condition key.
type KeyType uint8

// The types of condition keys.
const (
	StringKey KeyType = iota + 1
	ARNKey
	BoolKey
	NumericKey
	DateKey
	IPAddressKey
	keyTypeEnd
)

// keyTypeNames :: KeyType → AWS's name for it. It is never written.
var keyTypeNames = [keyTypeEnd]string{
	StringKey: "String", ARNKey: "ARN", BoolKey: "Bool", NumericKey: "Numeric", DateKey: "Date", IPAddressKey: "IPAddress",
}

// String returns AWS's name for the type, such as "String", or "" for none.
func (t KeyType) String() string {
	if t >= keyTypeEnd {
		return ""
	}
	return keyTypeNames[t]
}

// A KeyClass says what the value of a condition key depends on.
type KeyClass uint8

// The classes of condition keys.
const (
	PrincipalClass KeyClass = iota + 1 // the caller, or its session
	ResourceClass                      // what the action is asked for
	RequestClass                       // the request
	TimeClass                          // the time
)

// ContextKeyInfo describes a condition key.
type ContextKeyInfo struct {
	Name  string // "aws:SourceIp"; of a family "kms:EncryptionContext:${k}", where any name may stand for ${k}
	Type  KeyType
	Multi bool // it may have several values, so that it needs a set operator
	Class KeyClass
	From  string // where the value comes from and when it is present, in words

	// Never says that AWS has the key and no request to kmsd does: it is always absent.
	Never bool
}

// ContextKeys returns the condition keys that requests for the action can have, in the order of the table: those of
// the caller and of the connection, which all have, those of its kind of resource, and its own. It is nil for an
// unknown action.
func ContextKeys(a Action) []ContextKeyInfo {
	if !a.known() {
		return nil
	}
	var list []ContextKeyInfo
	for k := keyID(1); k < keyEnd; k++ {
		if k.populatedFor(a) {
			list = append(list, k.describe())
		}
	}
	return list
}

// ConditionKeys yields every condition key that policies may have, but for the claims of web identities.
func ConditionKeys() iter.Seq[ContextKeyInfo] {
	return func(yield func(ContextKeyInfo) bool) {
		for k := keyID(1); k < keyEnd; k++ {
			if k != keyClaim && k != keyEpochDate && !yield(k.describe()) {
				return
			}
		}
	}
}

// ConditionKey describes the key that a policy writes as name, in any case; a member of a family as the family.
func ConditionKey(name string) (ContextKeyInfo, bool) {
	k, _, ok := findKey(name)
	if !ok {
		return ContextKeyInfo{}, false
	}
	return k.describe(), true
}

func (k keyID) describe() ContextKeyInfo {
	i := &keyTable[k]
	name := i.name
	if i.family {
		name += "${k}"
	}
	return ContextKeyInfo{Name: name, Type: i.kind, Multi: i.multi, Class: i.class, From: i.from, Never: i.scope == never}
}

// populatedFor reports whether requests for the action can have the key.
func (k keyID) populatedFor(a Action) bool {
	kinds := actionTable[a].kinds
	if kinds == onEntity|onNone {
		kinds = onNone // lists of entities are asked for without a resource
	}
	switch keyTable[k].scope {
	case always:
		return true
	case onAnyResource:
		return kinds != onNone
	case onKeys:
		return kinds&onKey != 0 || slices.Contains(actionKeys[a], k)
	case onTagged:
		return kinds&onKey != 0 || a.onTaggedEntity()
	case onTaggedEntities:
		return a.onTaggedEntity()
	case byAction:
		return slices.Contains(actionKeys[a], k)
	}
	return false
}

// findKey returns the key of a name in any case, and what stands for ${k}, folded, if it is one of a family.
func findKey(name string) (k keyID, member string, ok bool) {
	for k := keyID(1); k < keyEnd; k++ {
		i := &keyTable[k]
		switch {
		case i.name == "" || k == keyEpochDate:
		case !i.family && foldEqual(i.name, name):
			return k, "", true
		case i.family && len(name) > len(i.name) && foldEqual(i.name, name[:len(i.name)]):
			return k, foldName(name[len(i.name):]), true
		}
	}
	return 0, "", false
}

// servicePrefixes are those of keys that are all in the table. It is never written.
var servicePrefixes = [...]string{"aws", "kms", "sts", "iam", "organizations", "authz"}

// parseKey finds the key that a policy names. claims says that claims of web identities are keys too. The last result is
// what is wrong with the name, "" if nothing.
func parseKey(name string, claims bool) (k keyID, member, wrong string) {
	k, member, ok := findKey(name)
	if ok {
		return k, member, ""
	}
	prefix, _, colon := strings.Cut(name, ":")
	ours := slices.ContainsFunc(servicePrefixes[:], func(p string) bool { return foldEqual(p, prefix) })
	if claims && !ours && isClaim(name) {
		return keyClaim, foldName(name), ""
	}
	switch near := nearestKey(name); {
	case near != "":
		return 0, "", "is not a condition key; did you mean " + quote(near) + "?"
	case !colon:
		return 0, "", `is not a condition key; write it with its service, such as "aws:SourceIp"`
	case ours:
		return 0, "", "is not a condition key of the service " + quote(prefix) + ", and would match nothing; see docs/policies.md for the list"
	}
	return 0, "", "is not a condition key of any service that kmsd has, and would match nothing; remove it"
}

// nearestKey returns the condition key that may have been meant, or "".
func nearestKey(name string) string {
	family := ""
	if at := strings.IndexByte(name, '/'); at >= 0 {
		name, family = name[:at+1], name[at+1:]
	} else if at := strings.LastIndexByte(name, ':'); strings.IndexByte(name, ':') < at {
		name, family = name[:at+1], name[at+1:]
	}
	var names []string
	for k := keyID(1); k < keyEnd; k++ {
		if i := &keyTable[k]; i.name != "" && i.family == (family != "") {
			names = append(names, i.name)
		}
	}
	if near := nearest(name, names); near != "" {
		return near + family
	}
	return ""
}

// isClaim reports whether name is that of a claim of a web identity: the issuer without "https://", a colon, and the
// claim. An issuer has a dot, a path or a port, by which it is told from a service.
func isClaim(name string) bool {
	at := strings.LastIndexByte(name, ':')
	if at <= 0 || at == len(name)-1 {
		return false
	}
	issuer := name[:at]
	return (strings.ContainsAny(issuer, "./:") || foldEqual(issuer, "localhost")) && isIssuer(issuer) &&
		onlyBytes(name[at+1:], func(b byte) bool { return b > ' ' && b < 0x7f })
}

// isIssuer reports whether s is a host with or without a port and a path.
func isIssuer(s string) bool {
	return s != "" && isAlphanumeric(s[0]) && onlyBytes(s, func(b byte) bool {
		return isAlphanumeric(b) || strings.IndexByte("-._~:/%", b) >= 0
	})
}
