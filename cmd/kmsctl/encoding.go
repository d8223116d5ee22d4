package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
)

// escaped returns JSON in which nothing but printable characters stands in strings, so that it can be shown on a terminal.
func escaped(b []byte) []byte {
	hidden := func(r rune) bool { return r >= 0x7f && unprintable(r) }
	if !bytes.ContainsFunc(b, hidden) {
		return b
	}
	var out bytes.Buffer
	for _, r := range string(b) {
		if !hidden(r) {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return out.Bytes()
}

// toYAML writes one JSON value as YAML, members in their order. It quotes every text that some reader might take for something else, and
// escapes what is not printable; package yaml does neither.
func toYAML(b []byte) ([]byte, error) {
	y := yamlWriter{in: json.NewDecoder(bytes.NewReader(b))}
	y.in.UseNumber()
	if err := y.value(0, ""); err != nil {
		return nil, fmt.Errorf("encoding the output: %w", err)
	}
	if _, err := y.in.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("encoding the output: more than one value")
	}
	return y.out.Bytes(), nil
}

type yamlWriter struct {
	in  *json.Decoder
	out bytes.Buffer
}

// value writes the next value. after is what stands before it on the line: ":", "-" or nothing.
func (y *yamlWriter) value(indent int, after string) error {
	token, err := y.in.Token()
	if err != nil {
		return err
	}
	delim, ok := token.(json.Delim)
	switch {
	case !ok:
		y.scalar(after, yamlScalar(token))
		return nil
	case !y.in.More():
		y.scalar(after, map[json.Delim]string{'{': "{}", '[': "[]"}[delim])
	case delim == '{':
		err = y.items(indent, after, y.member)
	case after == ":": // the dashes of a list stand below the name
		err = y.items(indent-2, after, y.element)
	default:
		err = y.items(indent, after, y.element)
	}
	if err != nil {
		return err
	}
	_, err = y.in.Token() // the end
	return err
}

func (y *yamlWriter) scalar(after, text string) {
	if after != "" {
		y.out.WriteByte(' ')
	}
	y.out.WriteString(text)
	y.out.WriteByte('\n')
}

// items writes members or elements, each on a line of its own; the first one behind a dash, if one stands there.
func (y *yamlWriter) items(indent int, after string, item func(indent int) error) error {
	switch after {
	case ":":
		y.out.WriteByte('\n')
	case "-":
		y.out.WriteByte(' ')
	}
	for first := true; y.in.More(); first = false {
		if !first || after != "-" {
			y.out.WriteString(strings.Repeat(" ", indent))
		}
		if err := item(indent); err != nil {
			return err
		}
	}
	return nil
}

func (y *yamlWriter) member(indent int) error {
	name, err := y.in.Token()
	if err != nil {
		return err
	}
	y.out.WriteString(yamlScalar(name) + ":")
	return y.value(indent+2, ":")
}

func (y *yamlWriter) element(indent int) error {
	y.out.WriteByte('-')
	return y.value(indent+2, "-")
}

// plain are texts that need no quotes: words that begin with a letter, with single punctuation inside, and are no number in any notation.
var plain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*([_./@+-][A-Za-z0-9]+|:[A-Za-z][A-Za-z0-9]*)*$`)

// reserved are words that some version of YAML takes for a truth value or for nothing.
var reserved = regexp.MustCompile(`(?i)^(y|yes|n|no|true|false|on|off|null|nan|inf)$`)

func yamlScalar(token json.Token) string {
	switch v := token.(type) {
	case nil:
		return "null"
	case string:
		if plain.MatchString(v) && !reserved.MatchString(v) {
			return v
		}
		return yamlQuoted(v)
	default: // a number or a truth value
		return fmt.Sprint(v)
	}
}

func yamlQuoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r != unicode.ReplacementChar && !unprintable(r):
			b.WriteRune(r)
		case r <= 0xFFFF:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
