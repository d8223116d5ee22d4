package kmstest

import (
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
)

// Tenant is a member account of the organization.
type Tenant struct {
	ID string // twelve digits

	k           *KMS
	credentials client.Credentials // of its root user
	root        *client.Client
}

// Account makes a member account, below the root of the organization.
func (k *KMS) Account(name string) *Tenant {
	k.t.Helper()
	made, err := k.root.Organizations().CreateAccount(k.t.Context(), organizationsv1.CreateAccountRequest_builder{AccountName: name, CreateRootAccessKey: true}.Build())
	if err != nil {
		k.t.Fatal(err)
	}
	a := &Tenant{ID: made.GetAccount().GetId(), k: k, credentials: k.Credentials()}
	a.credentials.AccessKeyID = made.GetRootAccessKey().GetAccessKeyId()
	a.credentials.SecretAccessKey = crypto.NewSecret([]byte(made.GetRootAccessKey().GetSecretAccessKey()))
	a.root = k.Client(a.credentials)
	return a
}

// Credentials are those of the account's root user, for where kmsd listened when the account was made.
func (a *Tenant) Credentials() client.Credentials { return a.credentials }

// Root is a client of the account's root user.
func (a *Tenant) Root() *client.Client { return a.root }

// User is [KMS.User] in the account.
func (a *Tenant) User(name string, policies ...string) client.Credentials {
	a.k.t.Helper()
	return a.k.user(a.root, name, policies)
}

// user makes a user with an access key and inline policies, as root.
func (k *KMS) user(root *client.Client, name string, policies []string) client.Credentials {
	k.t.Helper()
	ctx := k.t.Context()
	if _, err := root.IAM().CreateUser(ctx, iamv1.CreateUserRequest_builder{UserName: name}.Build()); err != nil {
		k.t.Fatal(err)
	}
	for i, p := range policies {
		put := iamv1.PutUserPolicyRequest_builder{UserName: name, PolicyName: "policy" + string(rune('a'+i)), PolicyDocument: p}.Build()
		if _, err := root.IAM().PutUserPolicy(ctx, put); err != nil {
			k.t.Fatal(err)
		}
	}
	made, err := root.IAM().CreateAccessKey(ctx, iamv1.CreateAccessKeyRequest_builder{UserName: name}.Build())
	if err != nil {
		k.t.Fatal(err)
	}
	c := k.Credentials()
	c.AccessKeyID = made.GetAccessKey().GetAccessKeyId()
	c.SecretAccessKey = crypto.NewSecret([]byte(made.GetAccessKey().GetSecretAccessKey()))
	return c
}
