package keystore

import (
	"fmt"

	"github.com/kmsd/kmsd/authz"
)

// Policy is a key policy, compiled, with the users that it names bound to their unique ids: a user who is deleted and
// made again under the same name is not trusted.
type Policy struct {
	compiled *authz.Policy
	document string
	bindings map[string]string // :: principal ARN → unique id
}

// CompilePolicy reads a key policy and binds the users in it by resolve. Errors match authz.ErrMalformedPolicy.
func CompilePolicy(document string, resolve func(arn string) (id string, ok bool)) (*Policy, error) {
	parsed, err := authz.Parse(authz.KeyPolicy, []byte(document))
	if err != nil {
		return nil, err
	}
	bindings := map[string]string{}
	bound, err := parsed.Bind(func(arn string) (string, bool) {
		id, ok := resolve(arn)
		if ok {
			bindings[arn] = id
		}
		return id, ok
	})
	if err != nil {
		return nil, err
	}
	return &Policy{compiled: bound.Named("default"), document: document, bindings: bindings}, nil
}

// DefaultPolicy is what a key gets whose creator gave no policy, as AWS KMS has it: the account's identity policies decide.
func DefaultPolicy(partition, account string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{"AWS":"arn:%s:iam::%s:root"},"Action":"kms:*","Resource":"*"}]}`, partition, account)
}

// Document is the policy as it was put.
func (p *Policy) Document() string { return p.document }

// Compiled is the policy as authz decides by it.
func (p *Policy) Compiled() *authz.Policy { return p.compiled }
