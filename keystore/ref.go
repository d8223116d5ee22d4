package keystore

import (
	"fmt"
	"strings"

	"github.com/kmsd/kmsd/crypto"
)

// Limits of names, from the AWS KMS model.
const (
	maxRef       = 2048
	maxAliasName = 256
	aliasPrefix  = "alias/"
	aliasAWS     = "alias/aws/"
)

// Place is the partition and region that the ARNs of a kmsd carry.
type Place struct {
	Partition string // "aws"
	Region    string // "local"
}

// KeyARN returns arn:<partition>:kms:<region>:<account>:key/<id>.
func (p Place) KeyARN(account string, id crypto.KeyID) string {
	return "arn:" + p.Partition + ":kms:" + p.Region + ":" + account + ":key/" + id.String()
}

// AliasARN returns arn:<partition>:kms:<region>:<account>:<name>, where name has its prefix "alias/".
func (p Place) AliasARN(account, name string) string {
	return "arn:" + p.Partition + ":kms:" + p.Region + ":" + account + ":" + name
}

// Ref is how a request names a key: by id, or by an alias of an account.
type Ref struct {
	Account string       // the caller's, unless an ARN named another
	ID      crypto.KeyID // zero if Alias is set
	Alias   string       // with its prefix, or empty
}

// ParseRef reads a key id, key ARN, alias name or alias ARN, as a caller of account gives it. Errors match
// ErrInvalidKeyID.
func (p Place) ParseRef(text, account string) (Ref, error) {
	r := Ref{Account: account}
	rest := text
	if len(text) == 0 || len(text) > maxRef {
		return Ref{}, fmt.Errorf("%w: it has 1 to %d bytes", ErrInvalidKeyID, maxRef)
	}
	if after, ok := strings.CutPrefix(text, "arn:"); ok {
		part := strings.SplitN(after, ":", 5)
		if len(part) != 5 || part[1] != "kms" || !isAccount(part[3]) {
			return Ref{}, fmt.Errorf("%w: an ARN is arn:%s:kms:%s:<account>:key/<id> or …:alias/<name>", ErrInvalidKeyID, p.Partition, p.Region)
		}
		if part[0] != p.Partition || part[2] != p.Region {
			return Ref{}, fmt.Errorf("%w: the ARN is of another partition or region; this kmsd is %s, %s", ErrInvalidKeyID, p.Partition, p.Region)
		}
		r.Account, rest = part[3], part[4]
		if id, ok := strings.CutPrefix(rest, "key/"); ok {
			return r.withID(id)
		}
		if !strings.HasPrefix(rest, aliasPrefix) {
			return Ref{}, fmt.Errorf("%w: the ARN names neither a key nor an alias", ErrInvalidKeyID)
		}
	}
	if strings.HasPrefix(rest, aliasPrefix) {
		if err := checkAliasSyntax(rest); err != nil {
			return Ref{}, fmt.Errorf("%w: %w", ErrInvalidKeyID, err)
		}
		r.Alias = rest
		return r, nil
	}
	return r.withID(rest)
}

func (r Ref) withID(text string) (Ref, error) {
	id, err := crypto.ParseKeyID(text)
	if err != nil {
		return Ref{}, fmt.Errorf("%w: it is neither a key id, a key ARN, an alias (alias/…) nor an alias ARN", ErrInvalidKeyID)
	}
	r.ID = id
	return r, nil
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// CheckAliasName says whether an alias of this name can be made: "alias/" and 1 to 250 characters of [a-zA-Z0-9/_-],
// and not below "alias/aws/", which AWS reserves. Colons, which AWS lets pass, are refused: with them an alias's ARN
// could match a pattern for another account's keys. Errors match ErrInvalidAliasName.
func CheckAliasName(name string) error {
	if strings.HasPrefix(name, aliasAWS) {
		return fmt.Errorf("%w: names below %s are reserved", ErrInvalidAliasName, aliasAWS)
	}
	return checkAliasSyntax(name)
}

func checkAliasSyntax(name string) error {
	rest, ok := strings.CutPrefix(name, aliasPrefix)
	if !ok || rest == "" || len(name) > maxAliasName {
		return fmt.Errorf("%w: it begins with %q and has %d to %d characters", ErrInvalidAliasName, aliasPrefix, len(aliasPrefix)+1, maxAliasName)
	}
	for _, c := range []byte(rest) {
		if !isAliasByte(c) {
			return fmt.Errorf("%w: after %q it has only the characters a-z A-Z 0-9 / _ -", ErrInvalidAliasName, aliasPrefix)
		}
	}
	return nil
}

func isAliasByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '/' || c == '_' || c == '-'
}
