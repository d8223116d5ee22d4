package audit

import (
	"cmp"
	"strconv"
	"time"
	"unicode/utf8"
)

// This file writes the values of JSON in the one form that RFC 8785 (JSON Canonicalization Scheme) allows.

// maxSafeInteger is the largest whole number that I-JSON (RFC 7493) carries exactly.
const maxSafeInteger = 1<<53 - 1

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string: RFC 8785, 3.2.2.2. A byte that is not part of UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for {
		n := plainPrefix(s)
		b = append(b, s[:n]...)
		if n == len(s) {
			return append(b, '"')
		}
		s = s[n:]
		if c := s[0]; c < utf8.RuneSelf {
			b = appendEscape(b, c)
			s = s[1:]
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		b = utf8.AppendRune(b, r)
		s = s[size:]
	}
}

// plainPrefix gives the number of leading bytes of s that stand for themselves, eight at a time.
func plainPrefix[T string | []byte](s T) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quote, backslash := w^(ones*'"'), w^(ones*'\\')
		// A high bit is set for each byte that is ≥ 0x80, < 0x20, a quote or a backslash; a false alarm above
		// a true one does no harm, because the loop below looks again.
		if (w|(w-ones*0x20)|(quote-ones)|(backslash-ones))&highs != 0 {
			break
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\t':
		return append(b, '\\', 't')
	case '\n':
		return append(b, '\\', 'n')
	case '\f':
		return append(b, '\\', 'f')
	case '\r':
		return append(b, '\\', 'r')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// appendInt appends a whole number, as a string if I-JSON cannot carry it.
func appendInt(b []byte, n int64) []byte {
	if n > maxSafeInteger || n < -maxSafeInteger {
		b = append(b, '"')
		b = strconv.AppendInt(b, n, 10)
		return append(b, '"')
	}
	return strconv.AppendInt(b, n, 10)
}

// appendUint is appendInt for what has no sign.
func appendUint(b []byte, n uint64) []byte {
	if n > maxSafeInteger {
		b = append(b, '"')
		b = strconv.AppendUint(b, n, 10)
		return append(b, '"')
	}
	return strconv.AppendUint(b, n, 10)
}

// appendTime appends t, which is in UTC, as RFC 3339 with nine digits, quoted. Only the years 0 to 9999 have such a form.
func appendTime(b []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(b, '"')
	b = appendDigits(b, year, 4)
	b = append(b, '-')
	b = appendDigits(b, int(month), 2)
	b = append(b, '-')
	b = appendDigits(b, day, 2)
	b = append(b, 'T')
	b = appendDigits(b, hour, 2)
	b = append(b, ':')
	b = appendDigits(b, minute, 2)
	b = append(b, ':')
	b = appendDigits(b, second, 2)
	b = append(b, '.')
	b = appendDigits(b, t.Nanosecond(), 9)
	return append(b, 'Z', '"')
}

// appendDigits appends n, which has at most width digits, with leading zeros.
func appendDigits(b []byte, n, width int) []byte {
	b = append(b, "000000000"[:width]...)
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// compareNames orders member names as RFC 8785, 3.2.3 does: by their UTF-16 code units. Both must be valid UTF-8.
func compareNames[T string | []byte](a, b T) int {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		// UTF-8 and UTF-16 order differ in one case: characters beyond U+FFFF (first byte from 0xF0) are written
		// with surrogates, and those come before U+E000 to U+FFFF (first byte 0xEE or 0xEF).
		if x >= 0xF0 && (y == 0xEE || y == 0xEF) {
			return -1
		}
		if y >= 0xF0 && (x == 0xEE || x == 0xEF) {
			return 1
		}
		return cmp.Compare(x, y)
	}
	return cmp.Compare(len(a), len(b))
}
