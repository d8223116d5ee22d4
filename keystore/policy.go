package keystore

import (
	"fmt"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
)

// Policy is a key policy, compiled, with the users, roles and sessions that it names bound to unique ids: one who is deleted and
// made again under the same name is not trusted.
type Policy struct {
	unusable error // why a stored policy does not compile; nil if it does
	compiled *authz.Policy
	document string
	bindings map[string]string // :: principal ARN → unique id, which is its role's of a session
}

// CompilePolicy reads a key policy and binds the users, roles and sessions in it by resolve, as authz.Policy.Bind does. Errors match
// authz.ErrMalformedPolicy.
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
	return &Policy{compiled: bound.Named(policyName), document: document, bindings: bindings}, nil
}

// recompilePolicy reads a stored key policy, with what CompilePolicy bound it to.
func recompilePolicy(document string, bindings map[string]string) (*Policy, error) {
	parsed, err := authz.Parse(authz.KeyPolicy, []byte(document))
	if err != nil {
		return nil, err
	}
	bound, err := parsed.Rebind(bindings)
	if err != nil {
		return nil, err
	}
	return &Policy{compiled: bound.Named(policyName), document: document, bindings: bindings}, nil
}

// policyName is the name of every key's policy.
const policyName = "default"

// unusablePolicy stands for a stored policy that does not compile: with it every request about its key is denied, so that its
// Deny statements are not lost.
func unusablePolicy(document string, bindings map[string]string, cause error) *Policy {
	return &Policy{compiled: authz.Unusable(authz.KeyPolicy, policyName), document: document, bindings: bindings, unusable: cause}
}

// UnusablePolicy names a key whose stored policy does not compile, which can be after a damaged write or an older kmsd.
type UnusablePolicy struct {
	Key   *Key
	Cause error
}

// UnusablePolicies returns the keys whose stored policies do not compile, in the order of their ids. Until somebody who is
// allowed to puts another policy, every request about such a key is denied.
func (s *Snapshot) UnusablePolicies() []UnusablePolicy {
	var list []UnusablePolicy
	for name := range s.unusable.All() {
		id, _ := crypto.ParseKeyID(name)
		k, _ := s.keys.Load(id)
		list = append(list, UnusablePolicy{k, k.Policy.unusable})
	}
	return list
}

// DefaultPolicy is what a key gets whose creator gave no policy, as AWS KMS has it: the account's identity policies decide.
func DefaultPolicy(partition, account string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{"AWS":"arn:%s:iam::%s:root"},"Action":"kms:*","Resource":"*"}]}`, partition, account)
}

// Document is the policy as it was put.
func (p *Policy) Document() string { return p.document }

// Compiled is the policy as authz decides by it.
func (p *Policy) Compiled() *authz.Policy { return p.compiled }
