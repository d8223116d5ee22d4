package iam

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/crypto"
)

const (
	// MaxSessionToken is the longest session token, in bytes.
	MaxSessionToken = 4096

	tokenVersion  = 1
	tokenKeyID    = 8                 // bytes of the id of the key that a token is sealed under
	tokenHeader   = 1 + tokenKeyID    // version, key id
	tokenLabel    = "kmsd/session/v1" // before the header in the associated data
	maxTokenBytes = MaxSessionToken / 4 * 3

	// maxPacked is how many bytes of a token its session policies and tags may have. With the longest of everything else that is a
	// token of MaxSessionToken.
	maxPacked = 2750
)

// tokenKind says whose temporary credentials a token is of.
type tokenKind uint8

const (
	roleToken tokenKind = iota + 1
	userToken
	rootToken
)

// tokenClaims are what a session token says: all that is known of a session, as nothing is stored of it. Policies and tags of
// the principal are not in it: they count as they are when it is used. It is described in docs/formats/session-token.md.
type tokenClaims struct {
	kind           tokenKind
	account        string
	principalID    string // AROA… of a role, AIDA… of a user, the account of a root user
	sessionName    string // of a role's
	accessKeyID    string // ASIA…
	secret         crypto.Secret
	issued         time.Time
	expires        time.Time
	mfa            time.Time // zero: no second factor
	sourceIdentity string
	policy         string // inline session policy, without white space; "" for none
	policyARNs     []string
	tags           []sessionTag // in the order of their folded keys, each of which is there once
}

type sessionTag struct {
	Tag
	transitive bool
}

var (
	temporaryKeyID = regexp.MustCompile(`^ASIA[A-Z2-7]{16}$`)
	sessionName    = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,64}$`)
)

// encodeClaims makes the plaintext of a token. The caller clears it.
func encodeClaims(c *tokenClaims) []byte {
	b := make([]byte, 0, maxTokenBytes)
	b = append(b, byte(c.kind))
	b = appendText(b, c.account)
	b = appendText(b, c.principalID)
	b = appendText(b, c.sessionName)
	b = appendText(b, c.accessKeyID)
	b = append(b, c.secret.Expose()...)
	b = appendTime(b, c.issued)
	b = appendTime(b, c.expires)
	b = appendTime(b, c.mfa)
	b = appendText(b, c.sourceIdentity)
	return c.appendPacked(b)
}

// appendPacked appends the part that is bounded by maxPacked.
func (c *tokenClaims) appendPacked(b []byte) []byte {
	b = appendText(b, c.policy)
	b = append(b, byte(len(c.policyARNs)))
	for _, arn := range c.policyARNs {
		b = appendText(b, arn)
	}
	b = append(b, byte(len(c.tags)))
	for _, t := range c.tags {
		b = appendText(b, t.Key)
		b = appendText(b, t.Value)
		b = append(b, flag(t.transitive))
	}
	return b
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// appendTime writes seconds since 1970, and 0 for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.BigEndian.AppendUint64(b, 0)
	}
	return binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
}

var errClaims = errors.New("not the claims of a session")

// decodeClaims reads what encodeClaims made, and nothing else. It copies what it keeps.
func decodeClaims(data []byte) (*tokenClaims, error) {
	r := reader{rest: data, ok: true}
	c := &tokenClaims{kind: tokenKind(r.byte())}
	c.account, c.principalID, c.sessionName, c.accessKeyID = r.text(), r.text(), r.text(), r.text()
	secret := r.take(secretChars)
	c.issued, c.expires, c.mfa = r.time(), r.time(), r.time()
	c.sourceIdentity, c.policy = r.text(), r.text()
	for range r.byte() {
		c.policyARNs = append(c.policyARNs, r.text())
	}
	for range r.byte() {
		c.tags = append(c.tags, sessionTag{Tag{r.text(), r.text()}, r.flag()})
	}
	if !r.ok || len(r.rest) != 0 || !secretKey.Match(secret) || !c.plausible() {
		return nil, errClaims
	}
	c.secret = crypto.NewSecret(slices.Clone(secret))
	return c, nil
}

// plausible holds claims to what is ever sealed.
func (c *tokenClaims) plausible() bool {
	switch c.kind {
	case roleToken:
		if !roleID.MatchString(c.principalID) || !sessionName.MatchString(c.sessionName) || !c.mfa.IsZero() {
			return false
		}
	case userToken, rootToken:
		if c.kind == userToken && !userID.MatchString(c.principalID) || c.kind == rootToken && c.principalID != c.account {
			return false
		}
		if c.sessionName != "" || c.sourceIdentity != "" || c.policy != "" || len(c.policyARNs)+len(c.tags) > 0 {
			return false
		}
	default:
		return false
	}
	if !accountID.MatchString(c.account) || !temporaryKeyID.MatchString(c.accessKeyID) || c.issued.IsZero() || !c.expires.After(c.issued) {
		return false
	}
	if len(c.policyARNs) > maxSessionPolicies || len(c.tags) > MaxTags {
		return false
	}
	for n := 1; n < len(c.tags); n++ {
		if foldTag(c.tags[n-1].Key) >= foldTag(c.tags[n].Key) {
			return false
		}
	}
	return true
}

// A reader takes bytes apart. Once ok is false, all it gives is zero.
type reader struct {
	rest []byte
	ok   bool
}

func (r *reader) take(n int) []byte {
	if !r.ok || n > len(r.rest) {
		r.rest, r.ok = nil, false
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) flag() bool {
	b := r.byte()
	r.ok = r.ok && b <= 1
	return b == 1
}

func (r *reader) text() string {
	if b := r.take(2); b != nil {
		return string(r.take(int(binary.BigEndian.Uint16(b))))
	}
	return ""
}

func (r *reader) time() time.Time {
	b := r.take(8)
	if b == nil {
		return time.Time{}
	}
	seconds := binary.BigEndian.Uint64(b)
	r.ok = r.ok && seconds <= 1<<40
	if !r.ok || seconds == 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

var tokenEncoding = base64.RawURLEncoding.Strict()

// seal makes a token of claims.
func (k *tokenKey) seal(management string, c *tokenClaims) string {
	plaintext := encodeClaims(c)
	defer clear(plaintext)
	token := make([]byte, tokenHeader, tokenHeader+crypto.SealOverhead+len(plaintext))
	token[0] = tokenVersion
	copy(token[1:], k.id[:])
	token = k.sealer.Seal(token, plaintext, tokenData(token[:tokenHeader], management))
	return tokenEncoding.EncodeToString(token)
}

// tokenData is the associated data of a token: each part has a length of its own that never changes.
func tokenData(header []byte, management string) []byte {
	return slices.Concat([]byte(tokenLabel), header, []byte(management))
}

// open reads a token. All that is wrong with one is ErrInvalidToken.
func (r *tokenRing) open(management, token string) (*tokenClaims, error) {
	if len(token) > MaxSessionToken || strings.ContainsAny(token, "\r\n") { // which base64 passes over
		return nil, ErrInvalidToken
	}
	sealed, err := tokenEncoding.DecodeString(token)
	if err != nil || len(sealed) < tokenHeader+crypto.SealOverhead || sealed[0] != tokenVersion {
		return nil, ErrInvalidToken
	}
	k := r.find([tokenKeyID]byte(sealed[1:tokenHeader]))
	if k == nil {
		return nil, ErrInvalidToken
	}
	plaintext, err := k.sealer.Open(nil, sealed[tokenHeader:], tokenData(sealed[:tokenHeader], management))
	if err != nil {
		return nil, ErrInvalidToken
	}
	defer clear(plaintext)
	c, err := decodeClaims(plaintext)
	if err != nil {
		return nil, ErrInvalidToken
	}
	return c, nil
}
