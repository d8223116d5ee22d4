package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"unicode/utf8"
)

// This file reads records strictly: a line that parses is the one canonical form (RFC 8785) of its content.

var (
	errSyntax = errors.New("not canonical JSON")
	errOrder  = errors.New("members are not in canonical order")
	errDepth  = errors.New("nested too deeply")
	errLength = errors.New("longer than a record may be")
	errSchema = errors.New("not a record of a known schema")
	errLinks  = errors.New("seq, prevHash or hash is missing or malformed")
)

const maxDepth = 8

// links are the members of a record that make the chain.
type links struct {
	seq            uint64
	prevHash, hash [sha256.Size]byte
	hashAt         int // where the member hash begins in the line
	generation     uint64
	eventName      []byte // as written, quotes included; shares the line's memory
}

// parseLinks checks that line, without its line feed, is a canonical record of schema version 1, and reads its links.
// Members that this version does not know are allowed, as long as they are canonical.
func parseLinks(line []byte) (l links, err error) {
	if len(line)+1 > MaxRecordBytes {
		return links{}, errLength
	}
	end, err := skipValue(line, 0, 0)
	if err != nil {
		return links{}, err
	}
	if end != len(line) || line[0] != '{' {
		return links{}, errSyntax
	}
	var schema, version, hasSeq, hasPrev, hasHash bool
	eachMember(line, func(name, value []byte, at int) {
		switch string(name) {
		case `"schema"`:
			schema = string(value) == `"`+schemaName+`"`
		case `"schemaVersion"`:
			version = bytes.HasPrefix(value, []byte(`"1.`))
		case `"seq"`:
			l.seq, hasSeq = parseUint(value)
		case `"prevHash"`:
			hasPrev = parseHash(&l.prevHash, value)
		case `"hash"`:
			l.hashAt = at
			hasHash = parseHash(&l.hash, value)
		case `"eventName"`:
			l.eventName = value
		case `"stateGeneration"`:
			eachMember(value, func(name, value []byte, _ int) {
				if string(name) == `"after"` {
					l.generation, _ = parseUint(value)
				}
			})
		}
	})
	if !schema || !version {
		return links{}, errSchema
	}
	if !hasSeq || !hasPrev || !hasHash {
		return links{}, errLinks
	}
	return l, nil
}

func parseHash(dst *[sha256.Size]byte, value []byte) bool {
	if len(value) != 46 || value[0] != '"' {
		return false
	}
	var decoded [sha256.Size + 1]byte // 44 characters without padding would be 33 bytes
	n, err := base64.StdEncoding.Strict().Decode(decoded[:], value[1:45])
	copy(dst[:], decoded[:])
	return err == nil && n == sha256.Size
}

// parseUint reads what appendUint writes.
func parseUint(value []byte) (uint64, bool) {
	quoted := len(value) > 2 && value[0] == '"'
	if quoted {
		value = value[1 : len(value)-1]
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	return n, err == nil && quoted == (n > maxSafeInteger)
}

// eachMember calls fn for each member of the object v, which skipValue has accepted; of another value it calls nothing.
// name and value are as written; at is where the name begins.
func eachMember(v []byte, fn func(name, value []byte, at int)) {
	if v[0] != '{' || v[1] == '}' {
		return
	}
	for i := 1; i < len(v); {
		name, _ := skipString(v, i)
		end, _ := skipValue(v, name+1, 0)
		fn(v[i:name], v[name+1:end], i)
		i = end + 1
	}
}

// eachElement calls fn for each element of the list v, as eachMember does.
func eachElement(v []byte, fn func(value []byte)) {
	if v[0] != '[' || v[1] == ']' {
		return
	}
	for i := 1; i < len(v); {
		end, _ := skipValue(v, i, 0)
		fn(v[i:end])
		i = end + 1
	}
}

// skipValue gives where the canonical value that begins at b[i] ends.
func skipValue(b []byte, i, depth int) (int, error) {
	if i >= len(b) {
		return 0, errSyntax
	}
	if depth > maxDepth {
		return 0, errDepth
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{':
		return skipObject(b, i, depth)
	case '[':
		return skipList(b, i, depth)
	}
	switch rest := b[i:]; {
	case len(rest) >= 4 && (string(rest[:4]) == "true" || string(rest[:4]) == "null"):
		return i + 4, nil
	case len(rest) >= 5 && string(rest[:5]) == "false":
		return i + 5, nil
	}
	return skipNumber(b, i)
}

func skipObject(b []byte, i, depth int) (int, error) {
	i++
	if i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	var last []byte
	for first := true; ; first = false {
		end, err := skipString(b, i)
		if err != nil {
			return 0, err
		}
		name := unquote(b[i:end])
		if !first && compareNames(last, name) >= 0 {
			return 0, errOrder
		}
		last = name
		if end >= len(b) || b[end] != ':' {
			return 0, errSyntax
		}
		if end, err = skipValue(b, end+1, depth+1); err != nil {
			return 0, err
		}
		if end >= len(b) {
			return 0, errSyntax
		}
		i = end + 1
		switch b[end] {
		case '}':
			return i, nil
		case ',':
		default:
			return 0, errSyntax
		}
	}
}

func skipList(b []byte, i, depth int) (int, error) {
	i++
	if i < len(b) && b[i] == ']' {
		return i + 1, nil
	}
	for {
		end, err := skipValue(b, i, depth+1)
		if err != nil {
			return 0, err
		}
		if end >= len(b) {
			return 0, errSyntax
		}
		i = end + 1
		switch b[end] {
		case ']':
			return i, nil
		case ',':
		default:
			return 0, errSyntax
		}
	}
}

// skipNumber accepts the whole numbers that appendInt writes bare.
func skipNumber(b []byte, i int) (int, error) {
	start := i
	if i < len(b) && b[i] == '-' {
		i++
	}
	digits := i
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	switch n := i - digits; {
	case n == 0 || n > 16, b[digits] == '0' && (n > 1 || digits > start):
		return 0, errSyntax
	}
	if v, err := strconv.ParseUint(string(b[digits:i]), 10, 64); err != nil || v > maxSafeInteger {
		return 0, errSyntax
	}
	return i, nil
}

// skipString accepts what appendString writes.
func skipString(b []byte, i int) (int, error) {
	if i >= len(b) || b[i] != '"' {
		return 0, errSyntax
	}
	for i++; ; {
		i += plainPrefix(b[i:])
		if i >= len(b) {
			return 0, errSyntax
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, nil
		case c == '\\':
			n := escapeLength(b[i:])
			if n == 0 {
				return 0, errSyntax
			}
			i += n
		case c < 0x20:
			return 0, errSyntax
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n < 2 {
				return 0, errSyntax
			}
			i += n
		}
	}
}

// escapeLength gives the length of the canonical escape that b begins with, or 0.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', 'b', 't', 'n', 'f', 'r':
		return 2
	}
	if len(b) < 6 || string(b[1:4]) != "u00" || b[4] != '0' && b[4] != '1' {
		return 0
	}
	low := bytes.IndexByte([]byte(hexDigits), b[5])
	if low < 0 {
		return 0
	}
	switch (b[4]-'0')<<4 | byte(low) {
	case '\b', '\t', '\n', '\f', '\r':
		return 0
	}
	return 6
}

// unquote gives the text of a string that skipString has accepted. Without escapes it shares b's memory.
func unquote(b []byte) []byte {
	b = b[1 : len(b)-1]
	if bytes.IndexByte(b, '\\') < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		i++
		switch b[i] {
		case 'b':
			out = append(out, '\b')
		case 't':
			out = append(out, '\t')
		case 'n':
			out = append(out, '\n')
		case 'f':
			out = append(out, '\f')
		case 'r':
			out = append(out, '\r')
		case 'u':
			out = append(out, (b[i+3]-'0')<<4|byte(bytes.IndexByte([]byte(hexDigits), b[i+4])))
			i += 4
		default:
			out = append(out, b[i])
		}
	}
	return out
}
