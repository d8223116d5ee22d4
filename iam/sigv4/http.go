package sigv4

import (
	"fmt"
	"strings"
	"time"
)

const (
	authorizationHeader = "authorization"
	httpDateHeader      = "date"
	tokenHeader         = "x-amz-security-token"

	httpDateFormat = "Mon, 02 Jan 2006 15:04:05 GMT" // RFC 9110, 5.6.7, the preferred form

	maxPath  = 2048 // bytes, over HTTP
	maxQuery = 4096
)

// ParseHTTP reads the signature of an HTTP request: its Authorization header
//
//	AWS4-HMAC-SHA256 Credential=ID/yyyymmdd/region/service/aws4_request, SignedHeaders=a;b;c, Signature=<64 lower-case hex>
//
// of at most 2,048 bytes, with the three parameters in any order and spaces around the commas or none, and its X-Amz-Date header (yyyymmddThhmmssZ) or,
// without one, its Date header (that form, or RFC 9110's preferred one). The signed headers, 1 to 32, must be in lower case, sorted and unique, and
// host and the header of the date must be among them.
//
// The errors are ErrMissing (no Authorization header, or an empty one), ErrUnsigned, ErrScope (the scope is of another date than the header), ErrMismatch
// (what stands for the signature cannot be one) and ErrIncomplete, as which is refused too what signs in the query string, whether there is a header
// or not, and a header of the signature, or the host, that is there twice. It takes time proportional to the length of what it reads.
func ParseHTTP(r *Request) (Signature, error) {
	if err := checkUnsignedQuery(r.Query); err != nil {
		return Signature{}, err
	}
	for _, name := range []string{authorizationHeader, dateHeader, httpDateHeader, tokenHeader, hashHeader, hostHeader} {
		if len(r.Headers[name]) > 1 {
			return Signature{}, incomplete("the header '" + name + "' is there more than once")
		}
	}
	authorization := r.Headers[authorizationHeader]
	if len(authorization) == 0 || strings.Trim(authorization[0], " \t") == "" {
		return Signature{}, ErrMissing
	}
	s := Signature{http: true}
	if err := s.parseAuthorization(authorization[0]); err != nil {
		return Signature{}, err
	}
	if err := s.parseDateHeader(r.Headers); err != nil {
		return Signature{}, err
	}
	if !s.signs(hostHeader) {
		return Signature{}, unsigned("'Host' or ':authority'")
	}
	if !s.signs(s.dateName) {
		return Signature{}, unsigned("'" + s.dateName + "'")
	}
	return s, nil
}

func unsigned(header string) error {
	return fmt.Errorf("%w: %s must be a 'SignedHeader' in the AWS Authorization", ErrUnsigned, header)
}

// parseAuthorization reads the parameters of an Authorization header.
func (s *Signature) parseAuthorization(a string) error {
	if len(a) > maxAuthorization {
		return incomplete("Authorization header is too long")
	}
	algorithm, rest, _ := strings.Cut(strings.Trim(a, " \t"), " ")
	if algorithm != Algorithm {
		return incomplete("Unsupported AWS 'algorithm': Authorization header must begin with '" + Algorithm + "'")
	}
	parameters := [...]struct{ name, value string }{{"Credential", ""}, {"SignedHeaders", ""}, {"Signature", ""}}
	for more := true; more; {
		var one string
		one, rest, more = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(strings.Trim(one, " \t"), "=")
		i := 0
		for i < len(parameters) && parameters[i].name != name {
			i++
		}
		if i == len(parameters) || parameters[i].value != "" {
			return incomplete("Authorization header must have the parameters 'Credential', 'SignedHeaders' and 'Signature', once each, and no other")
		}
		parameters[i].value = value
	}
	for _, p := range parameters {
		if p.value == "" {
			return incomplete("Authorization header requires '" + p.name + "' parameter")
		}
	}
	if err := s.parseCredential(parameters[0].value); err != nil {
		return err
	}
	s.headers = parameters[1].value
	if err := checkSignedHeaders(s.headers); err != nil {
		return err
	}
	if s.parseValue(parameters[2].value) != nil {
		return ErrMismatch // as AWS has it, which compares text
	}
	return nil
}

// parseDateHeader takes the date of the request from its headers.
func (s *Signature) parseDateHeader(headers map[string][]string) error {
	s.dateName = dateHeader
	if len(headers[dateHeader]) == 0 {
		s.dateName = httpDateHeader
	}
	values := headers[s.dateName]
	if len(values) == 0 {
		return incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header")
	}
	s.dateSent = values[0]
	s.amzDate = s.dateSent
	if s.dateName == httpDateHeader {
		if t, err := time.Parse(httpDateFormat, s.dateSent); err == nil && t.Format(httpDateFormat) == s.dateSent {
			s.amzDate = t.Format(TimeFormat)
		}
	}
	return s.parseTime(s.amzDate)
}

// verifyHTTP checks r against s, which is of this moment and of key's scope.
func (s *Signature) verifyHTTP(key SigningKey, r Request) error {
	if err := s.checkHTTP(r); err != nil {
		return err
	}
	bare := strings.TrimSuffix(r.Host, ":443")
	if bare == r.Host {
		bare = strings.TrimSuffix(r.Host, ":80")
	}
	// Whether the port is the default one, and so not signed, depends on the scheme that the client used. It is the same host in any case.
	err := s.compare(key, r, bare)
	if err != nil && bare != r.Host {
		err = s.compare(key, r, r.Host)
	}
	return err
}

// wellFormedHost reports whether h is a host with one port at most, so that there is one way to take a default port off.
func wellFormedHost(h string) bool {
	if h == "" || len(h) > maxHost || !cleanValue(h) || strings.Contains(h, " ") {
		return false
	}
	rest := h
	if h[0] == '[' { // an address of IPv6
		rest = h[strings.LastIndexByte(h, ']')+1:]
	}
	_, port, colon := strings.Cut(rest, ":")
	return !colon || len(port) > 0 && len(port) <= 5 && all(port, digit)
}

// checkHTTP refuses headers that steer the call without being signed, and a request that is not the one that s was parsed of.
func (s *Signature) checkHTTP(r Request) error {
	switch {
	case r.Method == "" || len(r.Method) > 16 || !all(r.Method, upper):
		return incomplete("the method is malformed")
	case !strings.HasPrefix(r.Path, "/") || len(r.Path) > maxPath:
		return incomplete("the path is malformed or too long")
	case !wellFormedHost(r.Host):
		return incomplete("the host is malformed")
	case len(r.PayloadHash) != signatureHexBytes || !all(r.PayloadHash, lowerHex):
		return incomplete("the hash of the payload is malformed")
	}
	for name, values := range r.Headers {
		if !steers(name) {
			continue
		}
		if len(values) != 1 {
			return incomplete("a header that begins with 'X-Amz-' or 'X-Kmsd-' is not there once")
		}
		if !s.signs(name) {
			return unsigned("each header that begins with 'X-Amz-' or 'X-Kmsd-'")
		}
	}
	if v := r.Headers[hostHeader]; len(v) > 1 || len(v) == 1 && v[0] != r.Host {
		return incomplete("the host is there twice")
	}
	if v := r.Headers[s.dateName]; len(v) != 1 || v[0] != s.dateSent || s.dateName == httpDateHeader && len(r.Headers[dateHeader]) > 0 {
		return incomplete("the date is not the one of the signature")
	}
	if v := r.Headers[hashHeader]; len(v) == 1 && v[0] != r.PayloadHash {
		return fmt.Errorf("%w: x-amz-content-sha256 is not that of the body", ErrMismatch)
	}
	return nil
}
