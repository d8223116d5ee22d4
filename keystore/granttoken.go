package keystore

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/kmsd/kmsd/crypto"
)

// A grant token is the base64 of: version (1), nonce (18), key id (16), grant id (32), HMAC-SHA256 of all before (32).
const (
	grantTokenNonce = 18
	grantTokenBody  = 1 + grantTokenNonce + 16 + 32
	grantTokenSize  = grantTokenBody + 32
	grantTokenText  = grantTokenSize / 3 * 4 // there is no padding

	grantTokenKeySize = 1 + 32
)

// grantTokens makes and checks grant tokens.
type grantTokens struct{ mac *crypto.MAC }

func newGrantTokens(key crypto.Secret) *grantTokens { return &grantTokens{crypto.NewMAC(key)} }

// make returns another token of the grant each time.
func (t *grantTokens) make(key crypto.KeyID, grantID string) string {
	b := make([]byte, 1+grantTokenNonce, grantTokenSize)
	b[0] = recordVersion
	rand.Read(b[1:])
	b = append(b, key[:]...)
	b, err := hex.AppendDecode(b, []byte(grantID))
	if err != nil || len(b) != grantTokenBody {
		panic("keystore: internal error: a grant token of no grant id")
	}
	sum := t.mac.Sum(b)
	return base64.StdEncoding.EncodeToString(append(b, sum[:]...))
}

// ParseGrantToken returns the grant that a token was made for, and its key. Neither need exist any more. Errors match
// ErrInvalidGrantToken: this store did not make the token.
func (s *Snapshot) ParseGrantToken(token string) (key crypto.KeyID, grantID string, err error) {
	if s.grantTokens == nil || len(token) != grantTokenText {
		return crypto.KeyID{}, "", ErrInvalidGrantToken
	}
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(b) != grantTokenSize || b[0] != recordVersion { // fewer bytes, if there are line ends in it
		return crypto.KeyID{}, "", ErrInvalidGrantToken
	}
	if sum := s.grantTokens.mac.Sum(b[:grantTokenBody]); !hmac.Equal(sum[:], b[grantTokenBody:]) {
		return crypto.KeyID{}, "", ErrInvalidGrantToken
	}
	b = b[1+grantTokenNonce : grantTokenBody]
	return crypto.KeyID(b[:16]), hex.EncodeToString(b[16:]), nil
}

// newGrantID returns 64 hexadecimal digits.
func newGrantID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// checkGrantID says whether the text has the form of a grant id. Errors match ErrInvalidGrantID.
func checkGrantID(s string) error {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 || hex.EncodeToString(b) != s {
		return fmt.Errorf("%w: it has 64 lower-case hexadecimal digits", ErrInvalidGrantID)
	}
	return nil
}
