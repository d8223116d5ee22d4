// Package sigv4 verifies AWS Signature Version 4 on a call whose headers are at hand: on the metadata of gRPC (Parse), and on HTTP requests of AWS's own
// clients (ParseHTTP). Both give a Signature, and Verify checks either.
//
// It parses what claims to be a signature, derives signing keys, and checks that a signature fits a request and is of this moment. It does not sign
// (clients use the AWS SDK's signer), does not look up secrets, and does not read bodies: whoever has the body tells its hash. It takes signatures of
// headers only: not of query strings (presigned URLs), of chunks, or of another algorithm.
//
// Over gRPC it is stricter than AWS: one spelling of the authorization header, one value for each signed header, no white space to fold, no path to
// escape, no query. What two readers could read differently is refused. Over HTTP it takes what AWS's clients send, and canonicalizes as AWS does for
// all services but S3. In both, who accepts a request knows that method, path, query, host, and each x-amz- and x-kmsd- header are those that were
// signed; over HTTP, the body too.
//
// Trust: everything in a Request and an authorization header is hostile, but for PayloadHash, which is the caller's own reckoning. Who sees a signed
// call can repeat it, unchanged, to the same host until MaxSkew after its date; replay is for TLS and the caller's nonce cache to prevent.
//
// Source: AWS IAM User Guide, "Create a signed AWS API request".
package sigv4

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// Algorithm is the only algorithm that Parse accepts.
	Algorithm = "AWS4-HMAC-SHA256"
	// MaxSkew is how far the date of a request may lie from the verifier's clock, in either direction. A request
	// exactly MaxSkew away is accepted.
	MaxSkew = 5 * time.Minute
	// UnsignedPayload stands for the payload's hash where the body is left to TLS, as it is in gRPC.
	UnsignedPayload = "UNSIGNED-PAYLOAD"
	// TimeFormat is the layout of the x-amz-date header, always in UTC.
	TimeFormat = "20060102T150405Z"
	// DateFormat is the layout of the date in a credential scope.
	DateFormat = "20060102"

	maxAuthorization  = 2048 // bytes
	maxSignedHeaders  = 32
	maxHeaderName     = 64 // bytes
	maxRegion         = 64
	maxService        = 32
	minAccessKeyID    = 16
	maxAccessKeyID    = 128
	signatureHexBytes = 64
	terminator        = "aws4_request"
)

// Errors that Parse, ParseHTTP and Verify return, wrapped with what is wrong. None quotes the request.
var (
	// ErrMissing: the request is not signed at all (AWS: MissingAuthenticationTokenException). Of ParseHTTP only.
	ErrMissing = errors.New("the request is not signed")
	// ErrIncomplete: the authorization header, the date or a header the signature needs is absent or malformed
	// (AWS: IncompleteSignatureException).
	ErrIncomplete = errors.New("the signature of the request is incomplete or malformed")
	// ErrUnsigned: a header of an HTTP request that must be signed is not (AWS: InvalidSignatureException).
	ErrUnsigned = errors.New("a header of the request must be signed and is not")
	// ErrExpired: the date lies more than MaxSkew in the past (AWS: InvalidSignatureException, "signature expired").
	ErrExpired = errors.New("the signature of the request has expired")
	// ErrNotYetValid: the date lies more than MaxSkew in the future (AWS: InvalidSignatureException, "not yet current").
	ErrNotYetValid = errors.New("the signature of the request is not yet valid")
	// ErrScope: the credential is scoped to another date, region or service than the key.
	ErrScope = errors.New("the credential of the request is scoped to another date, region or service")
	// ErrMismatch: the signature is not that of this request under this key (AWS: InvalidSignatureException).
	ErrMismatch = errors.New("the signature of the request does not match")
)

// Signature is what an authorization header and a date claim. Only Parse and ParseHTTP make one that can verify. It is a
// value, safe for concurrent use; its strings share memory with what was parsed.
type Signature struct {
	AccessKeyID string    // 16 to 128 of A-Z and 0-9; over HTTP, 1 to 128 of A-Z, a-z, 0-9 and _
	Time        time.Time // of the x-amz-date header (or over HTTP date), whole seconds, UTC
	Date        string    // of the credential scope, in DateFormat; always the date of Time
	Region      string
	Service     string

	amzDate string // Time in TimeFormat
	scope   string // "date/region/service/aws4_request"
	headers string // the signed headers, joined by semicolons, sorted, unique
	value   [32]byte

	http     bool   // made by ParseHTTP: Verify canonicalizes
	dateName string // over HTTP, the header that Time is of
	dateSent string // over HTTP, its value
}

// Hex returns the signature itself, 64 lower-case hexadecimal digits. Two requests that are signed anew, even alike, have the same one only if they are
// the same in all that is signed, the second of their date with it.
func (s Signature) Hex() string { return hex.EncodeToString(s.value[:]) }

// Parse reads an authorization header and the value of the x-amz-date header of the same request. It accepts one
// spelling only:
//
//	AWS4-HMAC-SHA256 Credential=ID/yyyymmdd/region/service/aws4_request, SignedHeaders=a;b;c, Signature=<64 lower-case hex>
//
// of at most 2,048 bytes, with 1 to 32 signed headers in lower case, sorted and unique, among them host,
// x-amz-content-sha256 and x-amz-date. Each failure matches ErrIncomplete, but for a scope of another date than
// date's (ErrScope). It does not allocate when it succeeds, and takes time proportional to the length.
func Parse(authorization, date string) (Signature, error) {
	if len(authorization) > maxAuthorization {
		return Signature{}, incomplete("the authorization header is too long")
	}
	rest, ok := strings.CutPrefix(authorization, Algorithm+" Credential=")
	if !ok {
		return Signature{}, incomplete("the authorization header must begin with " + Algorithm + " Credential=")
	}
	credential, rest, ok := strings.Cut(rest, ", SignedHeaders=")
	if !ok {
		return Signature{}, incomplete("the authorization header has no SignedHeaders")
	}
	headers, hexValue, ok := strings.Cut(rest, ", Signature=")
	if !ok {
		return Signature{}, incomplete("the authorization header has no Signature")
	}
	s := Signature{headers: headers, amzDate: date}
	if err := s.parseCredential(credential); err != nil {
		return Signature{}, err
	}
	if len(s.AccessKeyID) < minAccessKeyID || !all(s.AccessKeyID, upperOrDigit) {
		return Signature{}, incomplete("the access key id is malformed")
	}
	if err := checkSignedHeaders(headers); err != nil {
		return Signature{}, err
	}
	if !s.signs(hostHeader) || !s.signs(hashHeader) || !s.signs(dateHeader) {
		return Signature{}, incomplete("host, x-amz-content-sha256 and x-amz-date must be signed")
	}
	if err := s.parseValue(hexValue); err != nil {
		return Signature{}, err
	}
	if err := s.parseTime(date); err != nil {
		return Signature{}, err
	}
	return s, nil
}

func incomplete(what string) error { return fmt.Errorf("%w: %s", ErrIncomplete, what) }

func (s *Signature) parseCredential(c string) error {
	var ok bool
	if s.AccessKeyID, s.scope, ok = strings.Cut(c, "/"); !ok {
		return incomplete("the credential has no scope")
	}
	var rest, end string
	if s.Date, rest, ok = strings.Cut(s.scope, "/"); !ok {
		return incomplete("the credential scope has no region")
	}
	if s.Region, rest, ok = strings.Cut(rest, "/"); !ok {
		return incomplete("the credential scope has no service")
	}
	if s.Service, end, ok = strings.Cut(rest, "/"); !ok || end != terminator {
		return incomplete("the credential scope must end with " + terminator)
	}
	switch {
	case s.AccessKeyID == "" || len(s.AccessKeyID) > maxAccessKeyID || !all(s.AccessKeyID, wordByte):
		return incomplete("the access key id is malformed")
	case len(s.Date) != len(DateFormat) || !all(s.Date, digit):
		return incomplete("the date of the credential scope is malformed")
	case s.Region == "" || len(s.Region) > maxRegion || !all(s.Region, scopeByte):
		return incomplete("the region of the credential scope is malformed")
	case s.Service == "" || len(s.Service) > maxService || !all(s.Service, scopeByte):
		return incomplete("the service of the credential scope is malformed")
	}
	return nil
}

func checkSignedHeaders(headers string) error {
	last := ""
	for n, rest, more := 0, headers, true; more; n++ {
		var name string
		name, rest, more = strings.Cut(rest, ";")
		switch {
		case n == maxSignedHeaders:
			return incomplete("too many signed headers")
		case name == "" || len(name) > maxHeaderName || !all(name, headerByte):
			return incomplete("the name of a signed header is malformed or not in lower case")
		case name <= last:
			return incomplete("the signed headers are not sorted and unique")
		case name == "authorization":
			return incomplete("the authorization header cannot be signed")
		}
		last = name
	}
	return nil
}

func (s *Signature) parseValue(h string) error {
	if len(h) != signatureHexBytes || !all(h, lowerHex) {
		return incomplete("the signature must be 64 lower-case hexadecimal digits")
	}
	var buf [signatureHexBytes]byte
	copy(buf[:], h)
	if _, err := hex.Decode(s.value[:], buf[:]); err != nil {
		return incomplete("the signature is not hexadecimal")
	}
	return nil
}

func (s *Signature) parseTime(date string) error {
	if len(date) != len(TimeFormat) {
		return incomplete("x-amz-date must be of the form yyyymmddThhmmssZ")
	}
	t, err := time.Parse(TimeFormat, date)
	if err != nil {
		return incomplete("x-amz-date is not a date and time")
	}
	if s.Date != date[:len(DateFormat)] {
		return fmt.Errorf("%w: the date of the scope is not that of x-amz-date", ErrScope)
	}
	s.Time = t
	return nil
}

func all(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

func digit(c byte) bool        { return '0' <= c && c <= '9' }
func lower(c byte) bool        { return 'a' <= c && c <= 'z' }
func upper(c byte) bool        { return 'A' <= c && c <= 'Z' }
func upperOrDigit(c byte) bool { return upper(c) || digit(c) }
func lowerHex(c byte) bool     { return digit(c) || 'a' <= c && c <= 'f' }
func wordByte(c byte) bool     { return lower(c) || upperOrDigit(c) || c == '_' }
func scopeByte(c byte) bool    { return lower(c) || digit(c) || c == '-' }
func headerByte(c byte) bool   { return lower(c) || digit(c) || c == '-' || c == '_' || c == '.' }

// pathByte reports whether c stands for itself in a canonical path (RFC 3986, unreserved, and the slash).
func pathByte(c byte) bool {
	return lower(c) || upper(c) || digit(c) || c == '-' || c == '_' || c == '.' || c == '~' || c == '/'
}
