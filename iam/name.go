package iam

import (
	"crypto/rand"
	"encoding/base64"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/kmsd/kmsd/crypto"
)

// RootName stands for an account's root user where a user's name is asked for, as in AWS's credential report. No
// user can be named so.
const RootName = "<root_account>"

const (
	maxUserName   = 64
	maxRoleName   = 64
	maxGroupName  = 128
	maxPolicyName = 128
	maxPath       = 512
	secretChars   = 40
)

var (
	accountID   = regexp.MustCompile(`^[0-9]{12}$`)
	userID      = regexp.MustCompile(`^AIDA[A-Z2-7]{17}$`)
	groupID     = regexp.MustCompile(`^AGPA[A-Z2-7]{17}$`)
	roleID      = regexp.MustCompile(`^AROA[A-Z2-7]{17}$`)
	policyID    = regexp.MustCompile(`^ANPA[A-Z2-7]{17}$`)
	accessKeyID = regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`)
	secretKey   = regexp.MustCompile(`^[A-Za-z0-9+/]{40}$`)
	entityName  = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]+$`) // AWS's [\w+=,.@-]+ in ASCII
	scopeWord   = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
)

func checkName(field, name string, limit int) error {
	if name == "" || len(name) > limit || !entityName.MatchString(name) || name == "." || name == ".." {
		return invalid(field, "must be 1 to "+strconv.Itoa(limit)+" of A-Z a-z 0-9 _ + = , . @ -, and not a dot or two alone")
	}
	return nil
}

// checkPath holds paths to a smaller alphabet than AWS does: characters that mean something in a policy's resource
// (* ? : $ { }) and segments that a reader could normalise away are refused.
func checkPath(path string) error {
	bad := invalid("Path", "must be 1 to 512 characters that begin and end with a slash, of segments named like users")
	if path == "/" {
		return nil
	}
	if len(path) > maxPath || len(path) < 3 || path[0] != '/' || path[len(path)-1] != '/' {
		return bad
	}
	for segment := range strings.SplitSeq(path[1:len(path)-1], "/") {
		if checkName("Path", segment, maxPath) != nil {
			return bad
		}
	}
	return nil
}

// fold gives names that differ only in case one form. Names are ASCII, so there is nothing else to fold.
func fold(name string) string { return strings.ToLower(name) }

// ARN forms. The account's id is 12 digits, path is checked by checkPath and name by checkName.
func rootARN(partition, account string) string {
	return "arn:" + partition + ":iam::" + account + ":root"
}

func userARN(partition, account, path, name string) string {
	return entityARN(partition, account, "user", path, name)
}

func entityARN(partition, account, kind, path, name string) string {
	return "arn:" + partition + ":iam::" + account + ":" + kind + path + name
}

// parseEntityARN takes the ARN of a user, group, role or policy apart; whether there is one of exactly this ARN is for
// the caller to see.
func parseEntityARN(arn string) (account, kind, name string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 {
		return "", "", "", false
	}
	kind, _, ok = strings.Cut(parts[5], "/")
	return parts[4], kind, arn[strings.LastIndexByte(arn, '/')+1:], ok
}

func newUserID() string      { return "AIDA" + rand.Text()[:17] }
func newRoleID() string      { return "AROA" + rand.Text()[:17] }
func newGroupID() string     { return "AGPA" + rand.Text()[:17] }
func newPolicyID() string    { return "ANPA" + rand.Text()[:17] }
func newAccessKeyID() string { return "AKIA" + rand.Text()[:16] }

// newSecretKey returns 240 random bits as 40 characters of base64, the form of AWS's secret access keys.
func newSecretKey() crypto.Secret {
	raw := make([]byte, secretChars/4*3)
	rand.Read(raw) // never fails (crypto/rand)
	defer clear(raw)
	text := make([]byte, secretChars)
	base64.StdEncoding.Encode(text, raw)
	return crypto.NewSecret(text)
}

// newAccountID returns a random account id that does not begin with a zero.
func newAccountID() (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(900_000_000_000))
	if err != nil {
		return "", err
	}
	return n.Add(n, big.NewInt(100_000_000_000)).String(), nil
}
