package aws

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kmsd/kmsd/internal/front"
)

// Bounds of a form. The largest request that kmsd can carry out, a simulation, has some
// 2000 pairs; the deepest name has six parts.
const (
	maxPairs     = 4096 // of a form
	maxPairName  = 256  // bytes of a pair's name, decoded
	maxNameParts = 8    // of a name: "Tags.member.1.Key" has four
	maxListIndex = 9    // digits of the number of a list's member
)

// The errors of forms, in the words of AWS's own services where they have any. They are never written.
var (
	errFormSyntax    = &front.Error{Reason: reasonSerialization, Message: "The request body is not a well-formed application/x-www-form-urlencoded document"}
	errFormUTF8      = &front.Error{Reason: reasonSerialization, Message: "The request body is not valid UTF-8"}
	errFormPairs     = &front.Error{Reason: reasonSerialization, Message: "The request has too many members"}
	errFormDeep      = &front.Error{Reason: reasonSerialization, Message: "The name of a member is too long"}
	errFormTwice     = &front.Error{Reason: reasonSerialization, Message: "A member of the request is there twice"}
	errFormBoth      = &front.Error{Reason: reasonSerialization, Message: "A member of the request has a value and members of its own"}
	errFormIndex     = &front.Error{Reason: reasonSerialization, Message: "The members of a list are named member.1, member.2 and so on"}
	errFormNotScalar = &front.Error{Reason: reasonSerialization, Message: "Start of structure or map found where not expected"}
	errFormNotList   = &front.Error{Reason: reasonSerialization, Message: "Start of list found where not expected"}
	errFormScalar    = &front.Error{Reason: reasonSerialization, Message: "Unexpected complex element termination"}
	errFormListValue = &front.Error{Reason: reasonSerialization, Message: "Unexpected list element termination"}
)

// queryAction finds which operation of which version a form asks for, without reading the rest of it. They are empty where the form does not say, or says
// it twice.
func queryAction(body []byte) (action, version string) {
	var n, v int
	for rest := body; len(rest) > 0; {
		var one []byte
		one, rest, _ = bytes.Cut(rest, []byte("&"))
		if value, ok := bytes.CutPrefix(one, []byte("Action=")); ok {
			action, n = queryName(value), n+1
		}
		if value, ok := bytes.CutPrefix(one, []byte("Version=")); ok {
			version, v = queryName(value), v+1
		}
	}
	if n > 1 || v > 1 {
		return "", ""
	}
	return action, version
}

// queryName is the name of an operation or version, or empty if it is none.
func queryName(value []byte) string {
	if len(value) > maxPairName {
		return ""
	}
	name, err := unescape(string(value))
	if err != nil {
		return ""
	}
	return name
}

// node is a member of a request: a value, or members of its own.
type node struct {
	value   string
	given   bool             // has a value, which may be empty
	members map[string]*node // by name
}

// readForm makes the tree of a form, whose names are paths: "Tags.member.1.Key". It leaves out what is not below a name that known reports. The tree takes
// at most some 10 MiB.
func readForm(body []byte, known func(name string) bool) (*node, error) {
	root := &node{}
	rest := string(body)
	for n := 0; rest != ""; n++ {
		if n == maxPairs {
			return nil, errFormPairs
		}
		var one string
		if one, rest, _ = strings.Cut(rest, "&"); one == "" {
			continue
		}
		name, value, err := readPair(one)
		if err != nil {
			return nil, err
		}
		if top, _, _ := strings.Cut(name, "."); !known(top) {
			continue
		}
		if err := root.put(name, value); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// readPair decodes name=value; a pair without a "=" has the empty value.
func readPair(s string) (name, value string, err error) {
	name, value, _ = strings.Cut(s, "=")
	if len(name) > 3*maxPairName {
		return "", "", errFormDeep
	}
	if name, err = unescape(name); err != nil {
		return "", "", err
	}
	if len(name) > maxPairName {
		return "", "", errFormDeep
	}
	if value, err = unescape(value); err != nil {
		return "", "", err
	}
	return name, value, nil
}

// unescape undoes the encoding of a name or value: "+" is a space, "%XX" a byte. What comes out is UTF-8.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') >= 0 || strings.IndexByte(s, '+') >= 0 {
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			switch c := s[i]; c {
			case '+':
				b = append(b, ' ')
			case '%':
				if i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
					return "", errFormSyntax
				}
				b = append(b, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
				i += 2
			default:
				b = append(b, c)
			}
		}
		s = string(b)
	}
	if !utf8.ValidString(s) {
		return "", errFormUTF8
	}
	return s, nil
}

// unhex is the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// put puts a value where its name says.
func (n *node) put(name, value string) error {
	for parts := 0; name != ""; parts++ {
		if parts == maxNameParts {
			return errFormDeep
		}
		var part string
		part, name, _ = strings.Cut(name, ".")
		next := n.members[part]
		if next == nil {
			if n.members == nil {
				n.members = map[string]*node{}
			}
			next = &node{}
			n.members[part] = next
		}
		n = next
	}
	if n.given {
		return errFormTwice
	}
	n.value, n.given = value, true
	return nil
}

// scalar is the value of a member that must have one.
func (n *node) scalar() (string, error) {
	switch {
	case n.members["member"] != nil:
		return "", errFormNotList
	case n.members != nil:
		return "", errFormNotScalar
	}
	return n.value, nil
}

// structure is nil if n may be read as a structure.
func (n *node) structure() error {
	switch {
	case n.members["member"] != nil:
		return errFormNotList
	case n.given && n.value != "":
		return errFormScalar
	case n.given && n.members != nil:
		return errFormBoth
	}
	return nil
}

// list is the members of a list in the order of their numbers, which may have gaps. "Tags=" is an empty one.
func (n *node) list() ([]*node, error) {
	switch {
	case n.given && n.members != nil:
		return nil, errFormBoth
	case n.given && n.value == "":
		return nil, nil
	case n.given:
		return nil, errFormListValue
	}
	items := n.members["member"]
	if items == nil || len(n.members) > 1 || items.given {
		return nil, errFormIndex
	}
	numbers := make([]int, 0, len(items.members))
	for name := range items.members {
		number, err := strconv.Atoi(name)
		if err != nil || number < 1 || len(name) > maxListIndex || name[0] < '1' || name[0] > '9' {
			return nil, errFormIndex
		}
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	all := make([]*node, len(numbers))
	for i, number := range numbers {
		all[i] = items.members[strconv.Itoa(number)]
	}
	return all, nil
}
