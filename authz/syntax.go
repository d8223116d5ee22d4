package authz

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrMalformedPolicy is matched by every error of [Parse] and [Policy.Bind]: AWS's MalformedPolicyDocument.
var ErrMalformedPolicy = errors.New("malformed policy document")

// SyntaxError says what is wrong with a policy document, where, and what to write instead. It quotes at most
// 64 bytes of the document, escaped to printable ASCII.
type SyntaxError struct {
	Offset int // bytes before the fault
	Line   int // from 1
	Column int // in characters, from 1
	Msg    string
}

// Error returns the position and the message.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("malformed policy document: line %d, column %d: %s", e.Line, e.Column, e.Msg)
}

// Is reports whether target is ErrMalformedPolicy.
func (e *SyntaxError) Is(target error) bool { return target == ErrMalformedPolicy }

// faultAt makes the error for a fault at a byte of doc.
func faultAt(doc string, offset int, format string, args ...any) *SyntaxError {
	before := doc[:min(offset, len(doc))]
	start := strings.LastIndexByte(before, '\n') + 1
	return &SyntaxError{
		Offset: offset,
		Line:   strings.Count(before, "\n") + 1,
		Column: utf8.RuneCountInString(before[start:]) + 1,
		Msg:    fmt.Sprintf(format, args...),
	}
}

const maxQuoted = 64

// quote returns at most 64 bytes of s, in quotes and in printable ASCII.
func quote(s string) string {
	if len(s) <= maxQuoted {
		return strconv.QuoteToASCII(s)
	}
	end := maxQuoted
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strconv.QuoteToASCII(s[:end]) + "..."
}
