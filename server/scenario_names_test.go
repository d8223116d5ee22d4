package server_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
)

// lookalikes :: letter → others that some fold, some normalisation or some eye takes for it
var lookalikes = map[rune][]rune{
	'k': {'K', '\u212a', '\uff4b', '\U0001d424'}, 's': {'S', '\u017f', '\uff53'}, 'i': {'I', '\u0130', '\u0131', '\uff49'}, 'a': {'A', '\u0430', '\uff41', '\u00aa'},
	'e': {'E', '\u0435', '\uff45'}, 'o': {'O', '\u043e', '\uff4f', '\u00ba'}, 'p': {'P', '\u0440'}, 'r': {'R', '\uff52'}, 't': {'T', '\uff54'},
}

// around are texts that may be put before, into or behind a name and not be seen.
var around = []string{" ", "  ", "\t", "\n", "\r\n", "\x00", "\u00a0", "\u2003", "\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u0301", "\u202e", "/", "//", "./", "../", "%20", "%00", "+", "*", "?", "${*}"}

// variants are names that may be taken for a name and are not it.
func variants(name string, n int) (all []string) {
	seen := map[string]bool{name: true}
	add := func(v string) {
		if !seen[v] {
			seen[v] = true
			all = append(all, v)
		}
	}
	add(strings.ToUpper(name))
	add(strings.ToLower(name))
	add(strings.ToTitle(name))
	for _, x := range around {
		add(name + x)
		add(x + name)
		add(name[:len(name)/2] + x + name[len(name)/2:])
	}
	for i, r := range name {
		for _, other := range lookalikes[unicode.ToLower(r)] {
			add(name[:i] + string(other) + name[i+1:])
		}
	}
	for range n {
		b := []rune(name)
		for i, r := range b {
			switch like := lookalikes[unicode.ToLower(r)]; rand.N(4) {
			case 0:
				b[i] = unicode.ToUpper(r)
			case 1:
				b[i] = unicode.ToLower(r)
			case 2:
				if len(like) > 0 && rand.N(3) == 0 {
					b[i] = like[rand.N(len(like))]
				}
			}
		}
		add(string(b))
	}
	return all
}

// named is something with a name: how it is made and how it is got at.
type namedThing struct {
	kind, arn string
	make, get func(name string) proto.Message
	action    string // of get
}

func namedThings() []namedThing {
	arn := "arn:aws:iam::" + kmstest.Account + ":"
	return []namedThing{
		{
			"user", arn + "user/", func(n string) proto.Message { return iamv1.CreateUserRequest_builder{UserName: n}.Build() },
			func(n string) proto.Message { return iamv1.GetUserRequest_builder{UserName: n}.Build() }, "iam:GetUser",
		},
		{
			"group", arn + "group/", func(n string) proto.Message { return iamv1.CreateGroupRequest_builder{GroupName: n}.Build() },
			func(n string) proto.Message { return iamv1.GetGroupRequest_builder{GroupName: n}.Build() }, "iam:GetGroup",
		},
		{
			"role", arn + "role/", func(n string) proto.Message {
				return iamv1.CreateRoleRequest_builder{RoleName: n, AssumeRolePolicyDocument: trusts(kmstest.Account)}.Build()
			},
			func(n string) proto.Message { return iamv1.GetRoleRequest_builder{RoleName: n}.Build() }, "iam:GetRole",
		},
		{
			"policy", arn + "policy/", func(n string) proto.Message {
				return iamv1.CreatePolicyRequest_builder{PolicyName: n, PolicyDocument: kmstest.Allow([]string{"kms:Decrypt"})}.Build()
			},
			func(n string) proto.Message {
				return iamv1.GetPolicyRequest_builder{PolicyArn: arn + "policy/" + n}.Build()
			}, "iam:GetPolicy",
		},
		{
			"MFA device", arn + "mfa/", func(n string) proto.Message {
				return iamv1.CreateVirtualMFADeviceRequest_builder{VirtualMfaDeviceName: n}.Build()
			},
			func(n string) proto.Message {
				return iamv1.DeleteVirtualMFADeviceRequest_builder{SerialNumber: arn + "mfa/" + n}.Build()
			}, "iam:DeleteVirtualMFADevice",
		},
		{
			"identity provider", arn + "oidc-provider/", func(n string) proto.Message {
				return iamv1.CreateOpenIDConnectProviderRequest_builder{Url: "https://" + n, ClientIdList: []string{"c"}, Jwks: sampleJWKS}.Build()
			},
			func(n string) proto.Message {
				return iamv1.GetOpenIDConnectProviderRequest_builder{OpenIdConnectProviderArn: arn + "oidc-provider/" + n}.Build()
			}, "iam:GetOpenIDConnectProvider",
		},
	}
}

// Whatever is taken for a name meets the same check as the name, or leads nowhere: what is denied on something is denied however it is spelled, and
// nobody can make another that looks like it to IAM.
func TestVariantsOfNames(t *testing.T) {
	s := newStage(t)
	tried := 0
	for _, thing := range namedThings() {
		name := "Keeper-Ops"
		if thing.kind == "identity provider" {
			name = "keeper.example"
		}
		s.does("making a "+thing.kind, s.door.root, thing.make(name), nil)
		denied := s.User(fresh("denied-"), kmstest.Allow([]string{"*"}), kmstest.Deny([]string{thing.action}, thing.arn+name))
		s.mayNot("the "+thing.kind+" itself", denied, thing.get(name), "explicit deny")
		for _, v := range variants(name, 30) {
			tried++
			if got := s.try(denied, thing.get(v)); got.code == codes.OK || got.code == codes.Internal || got.code == codes.Unknown {
				t.Errorf("the %s by %+q: %v, want what is denied by its name denied or not found", thing.kind, v, got)
			}
			folded := strings.EqualFold(v, name) && isASCII(v)
			got := s.try(s.door.root, thing.make(v))
			if folded && got.code != codes.AlreadyExists && got.code != codes.InvalidArgument {
				t.Errorf("another %s called %+q: %v, want %v", thing.kind, v, got, codes.AlreadyExists)
			}
			if !isASCII(v) && got.code == codes.OK {
				t.Errorf("another %s called %+q was made", thing.kind, v)
			}
			if strings.TrimSpace(v) != v && got.code == codes.OK {
				t.Errorf("another %s called %+q was made", thing.kind, v)
			}
		}
	}
	if tried < 500 {
		t.Errorf("%d variants: too few", tried)
	}
	t.Logf("%d variants", tried)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// However a request names a key, a Deny on the key counts, and a variant of its name is the key or is nothing.
func TestVariantsOfKeys(t *testing.T) {
	s := newStage(t)
	p := newProps(s.door)
	denied := s.User("denied", kmstest.Allow([]string{"*"}), kmstest.Deny([]string{"kms:Encrypt"}, p.keyID))
	id := p.keyID[strings.LastIndexByte(p.keyID, '/')+1:]
	names := []string{p.keyID, id, usualAlias(p.keyID), strings.TrimSuffix(p.keyID, "key/"+id) + usualAlias(p.keyID)}
	for _, name := range names {
		s.mayNot("by "+name, denied, kmsv1.EncryptRequest_builder{KeyId: name, Plaintext: []byte("x")}.Build(), "explicit deny")
		for _, v := range variants(name, 20) {
			if got := s.try(denied, kmsv1.EncryptRequest_builder{KeyId: v, Plaintext: []byte("x")}.Build()); got.code == codes.OK || got.code == codes.Internal {
				t.Errorf("by %+q: %v, want it denied or not found", v, got)
			}
		}
	}
}

// Actions and condition keys in policies count in every case, and in no other spelling: what is none is no policy.
func TestVariantsInPolicies(t *testing.T) {
	s := newStage(t)
	user := s.User("user", kmstest.Allow([]string{"*"}))
	for i, v := range append(variants("kms:Decrypt", 30), "KMS:DECRYPT") {
		put := iamv1.PutUserPolicyRequest_builder{UserName: "user", PolicyName: "deny", PolicyDocument: kmstest.Deny([]string{v})}.Build()
		got := s.try(s.door.root, put)
		switch same := strings.EqualFold(v, "kms:Decrypt") && isASCII(v); {
		case same && got.code != codes.OK:
			t.Errorf("%d: a Deny of %+q: %v, want %v", i, v, got, codes.OK)
		case same:
			s.mayNot(fmt.Sprintf("with a Deny of %+q", v), user, s.decrypts(), "explicit deny")
		case got.code == codes.OK && !strings.ContainsAny(v, "*?"):
			t.Errorf("a Deny of %+q is taken for a policy, and never counts", v)
		}
	}
	for _, key := range []string{"aws:PrincipalArn", "AWS:principalarn", "aws:PRINCIPALARN"} {
		s.userPolicy("user", "deny", fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*","Condition":{"Null":{%q:"false"}}}]}`, key))
		s.mayNot("with a Deny where there is "+key, user, s.decrypts(), "explicit deny")
	}
	for _, key := range []string{"aws:PrıncipalArn", "aws:PrincipalArn ", " aws:PrincipalArn", "aws:PrincipalArn\u200b", "aws.PrincipalArn"} {
		s.refused("a condition on "+key, s.door.root, iamv1.PutUserPolicyRequest_builder{UserName: "user", PolicyName: "deny", PolicyDocument: fmt.Sprintf(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*","Condition":{"Null":{"%s":"false"}}}]}`, key)}.Build(), "MalformedPolicyDocumentException", "")
	}
}

// Units of one parent have different names without regard to case and to white space around them.
func TestVariantsOfUnits(t *testing.T) {
	o := newOrganization(t)
	for _, v := range []string{"upper", "UPPER", "Upper", " upper", "upper ", "upper\n", "upper\u200b"} {
		got := o.try(o.door.root, organizationsv1.CreateOrganizationalUnitRequest_builder{ParentId: o.rootID, Name: v}.Build())
		if got.code == codes.OK {
			t.Errorf("another unit called %+q was made", v)
		}
	}
}
