package server

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/crypto"
)

// Limits of fields, from the AWS KMS model but for the plaintext, whose 64 KiB are Google Cloud KMS's.
const (
	maxPlaintext   = 64 << 10
	maxCiphertext  = maxPlaintext + crypto.Overhead
	maxDescription = 8192
	maxPolicy      = 32768
	maxMarker      = 1024
	maxRandom      = 1024
	maxClientToken = 64
)

// violation is one thing that is wrong with one field. Its words never quote the value. They go on behind the field's name, unless they begin with a
// capital: then they are a sentence of AWS's.
type violation struct{ field, what string }

// violations collects everything that is wrong with a request.
type violations []violation

func (v *violations) add(field, format string, args ...any) {
	*v = append(*v, violation{field, fmt.Sprintf(format, args...)})
}

// err is nil if nothing is wrong.
func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	words := make([]string, len(v))
	for i, one := range v {
		words[i] = one.field + ": " + one.what
		if one.what[0] >= 'A' && one.what[0] <= 'Z' {
			words[i] = one.what
		}
	}
	return &failure{code: codes.InvalidArgument, reason: reasonValidation, message: strings.Join(words, "; "), fields: v}
}

// given refuses a name that is not there.
func (v *violations) given(field, s string) {
	if s == "" {
		v.add(field, "is missing")
	}
}

func (v *violations) bytes(field string, b []byte, least, most int) {
	if len(b) < least || len(b) > most {
		v.add(field, "has %d bytes, must have %d to %d", len(b), least, most)
	}
}

func (v *violations) text(field, s string, least, most int) {
	switch {
	case len(s) < least || len(s) > most:
		v.add(field, "has %d bytes, must have %d to %d", len(s), least, most)
	case !utf8.ValidString(s):
		v.add(field, "is not valid UTF-8")
	}
}

// checksum checks an optional CRC-32C of b.
func (v *violations) checksum(field string, given bool, sum uint32, b []byte) {
	if given && sum != crypto.CRC32C(b) {
		v.add(field, "does not match: the data was altered on the way, send it again")
	}
}

// enum refuses numbers that this version does not know.
func (v *violations) enum(field string, n, most int32) {
	if n < 0 || n > most {
		v.add(field, "has the unknown value %d", n)
	}
}

// limit checks a page size.
func (v *violations) limit(field string, n int32, most int) {
	if n < 0 || int(n) > most {
		v.add(field, "is %d, must be 1 to %d, or 0 for the default", n, most)
	}
}

func (v *violations) clientToken(field, s string) {
	if len(s) > maxClientToken || strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) {
		v.add(field, "must have 1 to %d characters of A-Z a-z 0-9 _ -", maxClientToken)
	}
}

func (v *violations) context(field string, pairs map[string]string) crypto.Context {
	c, err := crypto.NewContext(pairs)
	if err != nil {
		v.add(field, "%v", err)
	}
	return c
}
