package client

import (
	"bytes"
	"errors"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/kmsd/kmsd/crypto"
)

// ParseCredentials reads the content of a credentials file: one YAML mapping of texts, each of a known name and at most once. The error matches
// ErrCredentials, says the line and column, and quotes nothing of the content.
func ParseCredentials(b []byte) (Credentials, error) {
	if len(b) > MaxFileSize {
		return Credentials{}, invalid("more than %d bytes", MaxFileSize)
	}
	if !utf8.Valid(b) || bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' || r == 0x7f }) {
		return Credentials{}, invalid("not a text file of UTF-8 without tabs and control characters")
	}
	if nesting(b) > maxNesting {
		return Credentials{}, invalid("more brackets and dashes than a mapping of texts can have")
	}
	file, err := parser.ParseBytes(b, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		// The parser's own words quote the line that is wrong.
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			return Credentials{}, invalidAt(at.GetToken(), "not valid YAML")
		}
		return Credentials{}, invalid("not valid YAML")
	}
	var c Credentials
	if err := c.read(file); err != nil {
		return Credentials{}, err
	}
	if err := c.check(); err != nil {
		return Credentials{}, err
	}
	return c, nil
}

// maxNesting bounds what the parser takes time for that grows with the square of the length.
const maxNesting = 512

func nesting(b []byte) int {
	return bytes.Count(b, []byte("[")) + bytes.Count(b, []byte("{")) + bytes.Count(b, []byte("- ")) + bytes.Count(b, []byte("? "))
}

func invalidAt(t *token.Token, what string) error {
	if t == nil || t.Position == nil {
		return invalid("%s", what)
	}
	return invalid("line %d, column %d: %s", t.Position.Line, t.Position.Column, what)
}

// read fills in c from a parsed file.
func (c *Credentials) read(file *ast.File) error {
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return invalid("not one YAML mapping")
	}
	var pairs []*ast.MappingValueNode
	switch body := file.Docs[0].Body.(type) {
	case *ast.MappingNode:
		pairs = body.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{body}
	default:
		return invalid("not one YAML mapping")
	}
	seen := map[string]bool{}
	for _, pair := range pairs {
		key, ok := pair.Key.(*ast.StringNode)
		if !ok {
			return invalidAt(pair.GetToken(), "a name that is not a plain text")
		}
		if seen[key.Value] {
			return invalidAt(key.GetToken(), "the name is there twice")
		}
		seen[key.Value] = true
		value, ok := text(pair.Value)
		if number, isNumber := pair.Value.(*ast.IntegerNode); isNumber && key.Value == "duration_seconds" {
			value, ok = number.GetToken().Value, true
		}
		if !ok {
			return invalidAt(key.GetToken(), "the value must be a text; quote it if it looks like a number")
		}
		if err := c.set(key.Value, value); err != nil {
			return invalidAt(key.GetToken(), err.Error())
		}
	}
	return nil
}

func text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		if n.Value != nil {
			return n.Value.Value, true
		}
	}
	return "", false
}

var errUnknownName = errors.New("unknown name: known are endpoint, region, access_key_id, secret_access_key, session_token, expiration, client_certificate, client_key, ca, " +
	"role_arn, source_profile, web_identity_token_file, role_session_name, duration_seconds, external_id, mfa_serial and source_identity")

func (c *Credentials) set(name, value string) error {
	switch name {
	case "endpoint":
		c.Endpoint = value
	case "region":
		c.Region = value
	case "access_key_id":
		c.AccessKeyID = value
	case "secret_access_key":
		c.SecretAccessKey = crypto.NewSecret([]byte(value))
	case "session_token":
		c.SessionToken = crypto.NewSecret([]byte(value))
	case "expiration":
		at, err := time.Parse(time.RFC3339Nano, value)
		if err != nil || at.IsZero() {
			return errors.New("expiration must be a time such as 2026-11-23T15:04:05Z")
		}
		c.Expiration = at.UTC()
	case "client_certificate":
		c.Certificate = []byte(value)
	case "client_key":
		c.Key = crypto.NewSecret([]byte(value))
	case "ca":
		c.CA = []byte(value)
	default:
		return c.setRole(name, value)
	}
	return nil
}

func (c *Credentials) setRole(name, value string) error {
	r := Role{}
	if c.Role != nil {
		r = *c.Role
	}
	switch name {
	case "role_arn":
		r.ARN = value
	case "source_profile":
		r.SourceProfile = value
	case "web_identity_token_file":
		r.WebIdentityTokenFile = value
	case "role_session_name":
		r.SessionName = value
	case "duration_seconds":
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil || n == 0 {
			return errors.New("duration_seconds must be 900 to 43200")
		}
		r.Duration = time.Duration(n) * time.Second
	case "external_id":
		r.ExternalID = value
	case "mfa_serial":
		r.MFASerial = value
	case "source_identity":
		r.SourceIdentity = value
	default:
		return errUnknownName
	}
	c.Role = &r
	return nil
}
