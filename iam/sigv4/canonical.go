package sigv4

import (
	"slices"
	"strings"
)

// The canonical forms of HTTP, as AWS has them for all services but S3.

const (
	maxParameters = 128
	hexDigits     = "0123456789ABCDEF"
)

// normalizedPath is a path without empty segments and dot segments (RFC 3986, 5.2.4). It ends with a slash if path does.
func normalizedPath(path string) string {
	if path == "/" {
		return path
	}
	kept := make([]string, 0, 8)
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, segment)
		}
	}
	if len(kept) == 0 {
		return "/"
	}
	n := "/" + strings.Join(kept, "/")
	if strings.HasSuffix(path, "/") {
		n += "/"
	}
	return n
}

// appendEncodedPath appends a path with all escaped but slashes and what is unreserved. What was escaped to be sent is so escaped twice.
func appendEncodedPath(b []byte, path string) []byte {
	for i := range len(path) {
		b = appendEncodedByte(b, path[i], path[i] == '/')
	}
	return b
}

func appendEncodedByte(b []byte, c byte, plain bool) []byte {
	if plain || c != '/' && pathByte(c) {
		return append(b, c)
	}
	return append(b, '%', hexDigits[c>>4], hexDigits[c&15])
}

// parameter is one of a query string, its name and value escaped in the one canonical way.
type parameter struct{ name, value string }

// parameters reads a query string. A plus sign is refused: to some signers it is a space, to others itself.
func parameters(query string) ([]parameter, error) {
	if len(query) > maxQuery {
		return nil, incomplete("the query string is too long")
	}
	if strings.Contains(query, "+") {
		return nil, incomplete("a plus sign in the query string is ambiguous: escape it, or write a space as %20")
	}
	var list []parameter
	for one := range strings.SplitSeq(query, "&") {
		if one == "" {
			continue
		}
		if len(list) == maxParameters {
			return nil, incomplete("the query string has too many parameters")
		}
		name, value, _ := strings.Cut(one, "=")
		n, okName := recoded(name)
		v, okValue := recoded(value)
		if !okName || !okValue {
			return nil, incomplete("the query string is not escaped well")
		}
		list = append(list, parameter{n, v})
	}
	return list, nil
}

// recoded is s with its escapes undone and made anew, so that each text has one form.
func recoded(s string) (string, bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return "", false
			}
			high, low := strings.IndexByte(hexDigits, upperOf(s[i+1])), strings.IndexByte(hexDigits, upperOf(s[i+2]))
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		b = appendEncodedByte(b, c, false)
	}
	return string(b), true
}

func upperOf(c byte) byte {
	if lower(c) {
		return c - 'a' + 'A'
	}
	return c
}

// appendCanonicalQuery appends a query string with its parameters in the order of their names, and of their values among those of one name.
func appendCanonicalQuery(b []byte, query string) ([]byte, error) {
	if query == "" {
		return b, nil
	}
	list, err := parameters(query)
	if err != nil {
		return b, err
	}
	slices.SortFunc(list, func(x, y parameter) int {
		if c := strings.Compare(x.name, y.name); c != 0 {
			return c
		}
		return strings.Compare(x.value, y.value)
	})
	for i, p := range list {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p.name...)
		b = append(b, '=')
		b = append(b, p.value...)
	}
	return b, nil
}

// checkUnsignedQuery refuses a query string that has parameters of a signature.
func checkUnsignedQuery(query string) error {
	if query == "" {
		return nil
	}
	list, err := parameters(query)
	if err != nil {
		return err
	}
	for _, p := range list {
		if strings.HasPrefix(strings.ToLower(p.name), "x-amz-") {
			return incomplete("a signature in the query string (X-Amz-Signature) is not accepted: sign in the Authorization header")
		}
	}
	return nil
}

// appendFolded appends the values of a header, joined by commas, each without white space around it and with one space for each run of it within.
func appendFolded(b []byte, values []string) ([]byte, error) {
	if len(values) == 0 {
		return b, incomplete("a signed header is not there")
	}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if len(b)+len(v) > 2*maxCanonical {
			return b, incomplete("the signed headers are too long")
		}
		start, space := len(b), false
		for _, c := range []byte(v) {
			switch {
			case c == ' ' || c == '\t':
				space = len(b) > start
				continue
			case c < ' ' || c == 0x7f:
				return b, incomplete("the value of a signed header has a control character")
			case space:
				b = append(b, ' ')
			}
			b, space = append(b, c), false
		}
	}
	return b, nil
}
