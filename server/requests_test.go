package server_test

import (
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// props makes, as the root user, what requests are about.
type props struct {
	*door
	keyID, otherID string             // ARNs of two keys
	blob           []byte             // a ciphertext under the first, without context
	userName       string             // a user who stays
	document       string             // a policy that a user can have
	nobody         client.Credentials // of a user who may do nothing; made when it is first needed
	issuer         *kmstest.Issuer    // of web identities; likewise
	tenant         *kmstest.Tenant    // the account that it is all in; nil for the management account
}

// Root is the root user of the account.
func (p *props) Root() *client.Client {
	if p.tenant != nil {
		return p.tenant.Root()
	}
	return p.KMS.Root()
}

// User is [kmstest.KMS.User] in the account.
func (p *props) User(name string, policies ...string) client.Credentials {
	if p.tenant != nil {
		return p.tenant.User(name, policies...)
	}
	return p.KMS.User(name, policies...)
}

// in is a text about the management account, about the account instead.
func (p *props) in(text string) string {
	if p.tenant == nil {
		return text
	}
	return strings.ReplaceAll(text, kmstest.Account, p.tenant.ID)
}

// account is the id of the account.
func (p *props) account() string { return p.in(kmstest.Account) }

func newProps(d *door) *props { return newPropsIn(d, nil) }

func newPropsIn(d *door, tenant *kmstest.Tenant) *props {
	p := &props{door: d, tenant: tenant, document: `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*"}]}`}
	p.keyID, p.otherID = p.Key().GetArn(), p.Key().GetArn()
	p.blob = p.encrypt(p.keyID, []byte("plaintext"), nil)
	p.userName = p.user()
	return p
}

func (p *props) encrypt(key string, plaintext []byte, ec map[string]string) []byte {
	p.t.Helper()
	out, err := p.Root().Crypto().Encrypt(p.t.Context(), kmsv1.EncryptRequest_builder{KeyId: key, Plaintext: plaintext, EncryptionContext: ec}.Build())
	if err != nil {
		p.t.Fatal(err)
	}
	return out.GetCiphertextBlob()
}

func fresh(prefix string) string { return prefix + rand.Text()[:16] }

// Key makes a key with a tag and an alias, so that it has something for every condition.
func (p *props) Key() *kmsv1.KeyMetadata {
	p.t.Helper()
	k := must[*kmsv1.CreateKeyResponse](p)(p.Root().Keys().CreateKey(p.t.Context(), kmsv1.CreateKeyRequest_builder{
		Tags: []*kmsv1.Tag{kmsv1.Tag_builder{TagKey: "team", TagValue: "red"}.Build()},
	}.Build())).GetKeyMetadata()
	must[*kmsv1.CreateAliasResponse](p)(p.Root().Keys().CreateAlias(p.t.Context(), kmsv1.CreateAliasRequest_builder{AliasName: usualAlias(k.GetArn()), TargetKeyId: k.GetKeyId()}.Build()))
	return k
}

// usualAlias is the alias that a key of props has, by the key's ARN.
func usualAlias(arn string) string { return "alias/of-" + arn[strings.LastIndexByte(arn, '/')+1:] }

// user makes a user with a tag and a permissions boundary.
func (p *props) user() string {
	p.t.Helper()
	name := fresh("user-")
	if _, err := p.Root().IAM().CreateUser(p.t.Context(), iamv1.CreateUserRequest_builder{UserName: name, Tags: sampleTags, PermissionsBoundary: readOnly}.Build()); err != nil {
		p.t.Fatal(err)
	}
	return name
}

func (p *props) accessKey(user string) string {
	p.t.Helper()
	made, err := p.Root().IAM().CreateAccessKey(p.t.Context(), iamv1.CreateAccessKeyRequest_builder{UserName: user}.Build())
	if err != nil {
		p.t.Fatal(err)
	}
	return made.GetAccessKey().GetAccessKeyId()
}

// alias makes an alias of a key of its own.
func (p *props) alias() string {
	p.t.Helper()
	name := fresh("alias/")
	if _, err := p.Root().Keys().CreateAlias(p.t.Context(), kmsv1.CreateAliasRequest_builder{AliasName: name, TargetKeyId: p.Key().GetKeyId()}.Build()); err != nil {
		p.t.Fatal(err)
	}
	return name
}

func (p *props) userPolicy(user string) string {
	p.t.Helper()
	name := fresh("policy-")
	put := iamv1.PutUserPolicyRequest_builder{UserName: user, PolicyName: name, PolicyDocument: p.document}.Build()
	if _, err := p.Root().IAM().PutUserPolicy(p.t.Context(), put); err != nil {
		p.t.Fatal(err)
	}
	return name
}

// specimen are two requests of one RPC.
type specimen struct {
	valid   func(p *props) proto.Message // succeeds, once, for a caller who may do it
	invalid proto.Message                // is refused for what is in it; nil if no message of the type can be
	reason  string                       // of that refusal; ValidationException if empty

	byUser    bool // the root user may not; a user who may do everything can
	anonymous bool // is called without credentials
}

const keyPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`

// specimens has a row for every RPC. A new RPC without a row fails TestMatrix.
func specimens() map[string]specimen {
	all := map[string]specimen{}
	maps.Copy(all, cryptoSpecimens())
	maps.Copy(all, asymmetricSpecimens())
	maps.Copy(all, keySpecimens())
	maps.Copy(all, userSpecimens())
	maps.Copy(all, credentialSpecimens())
	maps.Copy(all, groupSpecimens())
	maps.Copy(all, userChangeSpecimens())
	maps.Copy(all, managedSpecimens())
	maps.Copy(all, roleSpecimens())
	maps.Copy(all, providerSpecimens())
	maps.Copy(all, grantSpecimens())
	maps.Copy(all, organizationSpecimens())
	maps.Copy(all, sessionSpecimens())
	maps.Copy(all, lifecycleSpecimens())
	maps.Copy(all, importSpecimens())
	return all
}

func cryptoSpecimens() map[string]specimen {
	return map[string]specimen{
		kmsv1.CryptoService_Encrypt_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.EncryptRequest_builder{KeyId: p.keyID, Plaintext: []byte("plaintext")}.Build()
			},
			invalid: kmsv1.EncryptRequest_builder{KeyId: "x"}.Build(),
		},
		kmsv1.CryptoService_Decrypt_FullMethodName: {
			valid:   func(p *props) proto.Message { return kmsv1.DecryptRequest_builder{CiphertextBlob: p.blob}.Build() },
			invalid: &kmsv1.DecryptRequest{},
		},
		kmsv1.CryptoService_ReEncrypt_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.ReEncryptRequest_builder{CiphertextBlob: p.blob, DestinationKeyId: p.otherID}.Build()
			},
			invalid: &kmsv1.ReEncryptRequest{},
		},
		kmsv1.CryptoService_GenerateDataKey_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.GenerateDataKeyRequest_builder{KeyId: p.keyID, NumberOfBytes: 32}.Build()
			},
			invalid: kmsv1.GenerateDataKeyRequest_builder{KeyId: "x", NumberOfBytes: 1025}.Build(),
		},
		kmsv1.CryptoService_GenerateDataKeyWithoutPlaintext_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.GenerateDataKeyWithoutPlaintextRequest_builder{KeyId: p.keyID, NumberOfBytes: 32}.Build()
			},
			invalid: kmsv1.GenerateDataKeyWithoutPlaintextRequest_builder{KeyId: "x"}.Build(),
		},
		kmsv1.CryptoService_GenerateRandom_FullMethodName: {
			valid:   func(*props) proto.Message { return kmsv1.GenerateRandomRequest_builder{NumberOfBytes: 32}.Build() },
			invalid: &kmsv1.GenerateRandomRequest{},
		},
	}
}

func keySpecimens() map[string]specimen {
	long := strings.Repeat("x", 8193)
	return map[string]specimen{
		kmsv1.KeyService_CreateKey_FullMethodName: {
			valid:   func(*props) proto.Message { return kmsv1.CreateKeyRequest_builder{Description: "a key"}.Build() },
			invalid: kmsv1.CreateKeyRequest_builder{Description: long}.Build(),
		},
		kmsv1.KeyService_DescribeKey_FullMethodName: {
			valid:   func(p *props) proto.Message { return kmsv1.DescribeKeyRequest_builder{KeyId: p.keyID}.Build() },
			invalid: &kmsv1.DescribeKeyRequest{},
		},
		kmsv1.KeyService_ListKeys_FullMethodName: {
			valid:   func(*props) proto.Message { return &kmsv1.ListKeysRequest{} },
			invalid: kmsv1.ListKeysRequest_builder{Limit: 1001}.Build(),
		},
		kmsv1.KeyService_UpdateKeyDescription_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.UpdateKeyDescriptionRequest_builder{KeyId: p.otherID, Description: "other"}.Build()
			},
			invalid: kmsv1.UpdateKeyDescriptionRequest_builder{KeyId: "x", Description: long}.Build(),
		},
		kmsv1.KeyService_EnableKey_FullMethodName: {
			valid:   func(p *props) proto.Message { return kmsv1.EnableKeyRequest_builder{KeyId: p.otherID}.Build() },
			invalid: &kmsv1.EnableKeyRequest{},
		},
		kmsv1.KeyService_DisableKey_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.DisableKeyRequest_builder{KeyId: p.Key().GetKeyId()}.Build()
			},
			invalid: &kmsv1.DisableKeyRequest{},
		},
		kmsv1.KeyService_RotateKeyOnDemand_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.RotateKeyOnDemandRequest_builder{KeyId: p.Key().GetKeyId()}.Build()
			},
			invalid: kmsv1.RotateKeyOnDemandRequest_builder{KeyId: "x", ClientToken: "no spaces"}.Build(),
		},
		kmsv1.KeyService_ListKeyRotations_FullMethodName: {
			valid:   func(p *props) proto.Message { return kmsv1.ListKeyRotationsRequest_builder{KeyId: p.keyID}.Build() },
			invalid: kmsv1.ListKeyRotationsRequest_builder{KeyId: "x", Limit: -1}.Build(),
		},
		kmsv1.KeyService_CreateAlias_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.CreateAliasRequest_builder{AliasName: fresh("alias/"), TargetKeyId: p.Key().GetKeyId()}.Build()
			},
			invalid: kmsv1.CreateAliasRequest_builder{AliasName: "alias/aws/mine", TargetKeyId: "x"}.Build(), reason: "InvalidAliasNameException",
		},
		kmsv1.KeyService_UpdateAlias_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.UpdateAliasRequest_builder{AliasName: p.alias(), TargetKeyId: p.keyID}.Build()
			},
			invalid: kmsv1.UpdateAliasRequest_builder{AliasName: "alias/a"}.Build(),
		},
		kmsv1.KeyService_DeleteAlias_FullMethodName: {
			valid:   func(p *props) proto.Message { return kmsv1.DeleteAliasRequest_builder{AliasName: p.alias()}.Build() },
			invalid: kmsv1.DeleteAliasRequest_builder{AliasName: "no prefix"}.Build(), reason: "InvalidAliasNameException",
		},
		kmsv1.KeyService_ListAliases_FullMethodName: {
			valid:   func(*props) proto.Message { return &kmsv1.ListAliasesRequest{} },
			invalid: kmsv1.ListAliasesRequest_builder{Limit: 101}.Build(),
		},
		kmsv1.KeyService_PutKeyPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return kmsv1.PutKeyPolicyRequest_builder{KeyId: p.otherID, Policy: keyPolicy}.Build()
			},
			invalid: kmsv1.PutKeyPolicyRequest_builder{KeyId: "x", PolicyName: "second", Policy: keyPolicy}.Build(),
		},
		kmsv1.KeyService_GetKeyPolicy_FullMethodName: {
			valid:   func(p *props) proto.Message { return kmsv1.GetKeyPolicyRequest_builder{KeyId: p.keyID}.Build() },
			invalid: kmsv1.GetKeyPolicyRequest_builder{KeyId: "x", PolicyName: "second"}.Build(),
		},
	}
}

func userSpecimens() map[string]specimen {
	return map[string]specimen{
		iamv1.IAMService_CreateUser_FullMethodName: {
			valid:   func(*props) proto.Message { return iamv1.CreateUserRequest_builder{UserName: fresh("user-")}.Build() },
			invalid: iamv1.CreateUserRequest_builder{UserName: strings.Repeat("u", 65)}.Build(),
		},
		iamv1.IAMService_GetUser_FullMethodName: {
			valid:   func(p *props) proto.Message { return iamv1.GetUserRequest_builder{UserName: p.userName}.Build() },
			invalid: iamv1.GetUserRequest_builder{UserName: strings.Repeat("u", 65)}.Build(),
		},
		iamv1.IAMService_ListUsers_FullMethodName: {
			valid:   func(*props) proto.Message { return &iamv1.ListUsersRequest{} },
			invalid: iamv1.ListUsersRequest_builder{MaxItems: 1001}.Build(),
		},
		iamv1.IAMService_DeleteUser_FullMethodName: {
			valid:   func(p *props) proto.Message { return iamv1.DeleteUserRequest_builder{UserName: p.user()}.Build() },
			invalid: &iamv1.DeleteUserRequest{},
		},
		iamv1.IAMService_PutUserPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.PutUserPolicyRequest_builder{UserName: p.user(), PolicyName: "p", PolicyDocument: p.document}.Build()
			},
			invalid: iamv1.PutUserPolicyRequest_builder{UserName: "u", PolicyName: "p"}.Build(),
		},
		iamv1.IAMService_GetUserPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				name := p.user()
				return iamv1.GetUserPolicyRequest_builder{UserName: name, PolicyName: p.userPolicy(name)}.Build()
			},
			invalid: iamv1.GetUserPolicyRequest_builder{UserName: "u"}.Build(),
		},
		iamv1.IAMService_ListUserPolicies_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.ListUserPoliciesRequest_builder{UserName: p.userName}.Build()
			},
			invalid: &iamv1.ListUserPoliciesRequest{},
		},
		iamv1.IAMService_DeleteUserPolicy_FullMethodName: {
			valid: func(p *props) proto.Message {
				name := p.user()
				return iamv1.DeleteUserPolicyRequest_builder{UserName: name, PolicyName: p.userPolicy(name)}.Build()
			},
			invalid: iamv1.DeleteUserPolicyRequest_builder{PolicyName: "p"}.Build(),
		},
	}
}

func credentialSpecimens() map[string]specimen {
	return map[string]specimen{
		iamv1.IAMService_CreateAccessKey_FullMethodName: {
			valid:   func(p *props) proto.Message { return iamv1.CreateAccessKeyRequest_builder{UserName: p.user()}.Build() },
			invalid: iamv1.CreateAccessKeyRequest_builder{UserName: strings.Repeat("u", 65)}.Build(),
		},
		iamv1.IAMService_ListAccessKeys_FullMethodName: {
			valid:   func(p *props) proto.Message { return iamv1.ListAccessKeysRequest_builder{UserName: p.userName}.Build() },
			invalid: iamv1.ListAccessKeysRequest_builder{UserName: strings.Repeat("u", 65)}.Build(),
		},
		iamv1.IAMService_UpdateAccessKey_FullMethodName: {
			valid: func(p *props) proto.Message {
				name := p.user()
				return iamv1.UpdateAccessKeyRequest_builder{UserName: name, AccessKeyId: p.accessKey(name), Status: iamv1.StatusType_STATUS_TYPE_INACTIVE}.Build()
			},
			invalid: iamv1.UpdateAccessKeyRequest_builder{UserName: "u", AccessKeyId: "AKIA"}.Build(),
		},
		iamv1.IAMService_DeleteAccessKey_FullMethodName: {
			valid: func(p *props) proto.Message {
				name := p.user()
				return iamv1.DeleteAccessKeyRequest_builder{UserName: name, AccessKeyId: p.accessKey(name)}.Build()
			},
			invalid: iamv1.DeleteAccessKeyRequest_builder{UserName: "u"}.Build(),
		},
		iamv1.IAMService_CreateClientCertificate_FullMethodName: {
			valid: func(p *props) proto.Message {
				_, csr := keyPair(p.t)
				return iamv1.CreateClientCertificateRequest_builder{UserName: p.user(), CertificateSigningRequest: csr}.Build()
			},
			invalid: iamv1.CreateClientCertificateRequest_builder{UserName: "u", CertificateSigningRequest: "x", DurationSeconds: 3599}.Build(),
		},
		iamv1.IAMService_ListClientCertificates_FullMethodName: {
			valid: func(p *props) proto.Message {
				return iamv1.ListClientCertificatesRequest_builder{UserName: p.userName}.Build()
			},
			invalid: iamv1.ListClientCertificatesRequest_builder{UserName: strings.Repeat("u", 65)}.Build(),
		},
		iamv1.IAMService_DeleteClientCertificate_FullMethodName: {
			valid: func(p *props) proto.Message {
				name := p.user()
				_, id := p.certificateBy(p.Root(), name)
				return iamv1.DeleteClientCertificateRequest_builder{UserName: name, CertificateId: id}.Build()
			},
			invalid: iamv1.DeleteClientCertificateRequest_builder{UserName: "u", CertificateId: "not hexadecimal"}.Build(),
		},
		stsv1.STSService_GetCallerIdentity_FullMethodName: {
			valid: func(*props) proto.Message { return &stsv1.GetCallerIdentityRequest{} },
		},
	}
}

// specimensOf checks that every RPC has a row and no row is without an RPC.
func specimensOf(t testing.TB) map[string]specimen {
	t.Helper()
	all := specimens()
	if have, want := sorted(all), methods(t); !slices.Equal(have, want) {
		t.Fatalf("the table of requests has rows for\n%v\nwant one for each of\n%v", have, want)
	}
	return all
}
