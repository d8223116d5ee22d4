package leaktest

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"
)

// finder looks for a secret in printed text.
type finder struct {
	raw, hex, base64 []string // every window of the secret, in these encodings
	runes            []string // windows as code points, without spaces
	numbers          []numbers
}

// numbers looks for the secret as a sequence of integers in text.
type numbers struct {
	name string
	run  int              // how many consecutive ones are a find
	at   map[uint64][]int // integer → its places in the secret
}

// newFinder returns the finder of secret, of which 8 consecutive bytes are a find.
func newFinder(secret []byte) *finder {
	f := &finder{}
	for i := range len(secret) - minSecret + 1 {
		window := secret[i : i+minSecret]
		f.raw = append(f.raw, string(window))
		f.hex = append(f.hex, hex.EncodeToString(window))
		f.runes = append(f.runes, latin1(window))
	}
	// A text may begin to encode anywhere before the secret, so the groups of 3 bytes may lie anywhere in it: of three
	// consecutive windows of 9 bytes, one is aligned. A secret of 8 to 10 bytes has room for shorter windows only.
	size := min(9, (len(secret)-2)/3*3)
	for i := range len(secret) - size + 1 {
		f.base64 = append(f.base64, base64.RawStdEncoding.EncodeToString(secret[i:i+size]))
	}
	f.numbers = append(f.numbers, integers(secret, 1, nil))
	for _, size := range []int{4, 8} {
		f.numbers = append(f.numbers, integers(secret, size, binary.BigEndian), integers(secret, size, binary.LittleEndian))
	}
	return f
}

// integers returns what looks for secret as integers of size bytes.
func integers(secret []byte, size int, order binary.ByteOrder) numbers {
	at, run := map[uint64][]int{}, 2
	for i := 0; i+size <= len(secret); i += size {
		var n uint64
		switch size {
		case 1:
			n, run = uint64(secret[i]), minSecret
		case 4:
			n = uint64(order.Uint32(secret[i:]))
		case 8:
			n, run = order.Uint64(secret[i:]), 1
		}
		at[n] = append(at[n], i/size)
	}
	return numbers{name: "integers of " + strconv.Itoa(8*size) + " bits", run: run, at: at}
}

// find returns in what encoding text shows the secret, or "".
func (f *finder) find(text string) string {
	plain := unescape(text)
	lower := strings.ToLower(text)
	standard := strings.NewReplacer("-", "+", "_", "/", "\n", "").Replace(text)
	switch {
	case containsAny(text, f.raw), containsAny(plain, f.raw):
		return "bytes"
	case containsAny(lower, f.hex):
		return "hexadecimal"
	case containsAny(standard, f.base64):
		return "base64"
	case containsAny(strings.ReplaceAll(plain, " ", ""), f.runes):
		return "characters"
	}
	for _, base := range []uint64{2, 8, 10, 16} {
		values := parseAll(lower, base)
		for _, n := range f.numbers {
			if n.in(values) {
				return n.name
			}
		}
	}
	return ""
}

// in reports whether n.run consecutive values are consecutive in the secret.
func (n *numbers) in(values []uint64) bool {
	var runs map[int]int // place in the secret → length of the run that ends there
	for _, v := range values {
		places := n.at[v]
		if len(places) == 0 {
			runs = nil
			continue
		}
		next := make(map[int]int, len(places))
		for _, i := range places {
			next[i] = runs[i-1] + 1
			if next[i] >= n.run {
				return true
			}
		}
		runs = next
	}
	return false
}

// parseAll returns the integers of a base in lower-case text, as fmt prints them with or without prefix. Words that
// are no integers of the base, such as type names, are passed over.
func parseAll(text string, base uint64) []uint64 {
	var values []uint64
	for len(text) > 0 {
		end := 0
		for end < len(text) && digit(text[end]) < 36 {
			end++
		}
		if v, ok := parse(text[:end], base); ok {
			values = append(values, v)
		}
		text = text[min(end+1, len(text)):]
	}
	return values
}

func parse(token string, base uint64) (uint64, bool) {
	switch base {
	case 2:
		token = strings.TrimPrefix(token, "0b")
	case 8:
		token = strings.TrimPrefix(token, "0o")
	case 16:
		token = strings.TrimPrefix(token, "0x")
	}
	if token == "" {
		return 0, false
	}
	var v uint64
	for i := range len(token) {
		d := digit(token[i])
		if d >= base || v > (1<<64-1-d)/base {
			return 0, false
		}
		v = v*base + d
	}
	return v, true
}

// digit returns the value of c in base 36, or 36.
func digit(c byte) uint64 {
	switch {
	case '0' <= c && c <= '9':
		return uint64(c - '0')
	case 'a' <= c && c <= 'z':
		return uint64(c-'a') + 10
	}
	return 36
}

func containsAny(text string, windows []string) bool {
	for _, w := range windows {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// latin1 returns the bytes as the code points of the same number, without spaces.
func latin1(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		if c != ' ' {
			s.WriteRune(rune(c))
		}
	}
	return s.String()
}

// unescape undoes the escapes of Go strings and of JSON in text, wherever they are.
func unescape(text string) string {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		if text[0] != '\\' {
			out, text = append(out, text[0]), text[1:]
			continue
		}
		r, multibyte, rest, err := strconv.UnquoteChar(text, '"')
		switch {
		case err != nil: // not an escape
			out, text = append(out, text[0]), text[1:]
		case multibyte:
			out, text = utf8.AppendRune(out, r), rest
		default:
			out, text = append(out, byte(r)), rest
		}
	}
	return string(out)
}
