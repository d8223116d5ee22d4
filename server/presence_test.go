package server_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
	"github.com/kmsd/kmsd/server"
)

// fullSpecimens are requests that have everything which conditions can ask about, for the RPCs whose usual specimen has not.
func fullSpecimens() map[string]func(p *props) proto.Message {
	ec := map[string]string{"app": "web"}
	keyTags := []*kmsv1.Tag{kmsv1.Tag_builder{TagKey: "team", TagValue: "red"}.Build()}
	all := map[string]func(p *props) proto.Message{
		encryptMethod: func(p *props) proto.Message {
			return kmsv1.EncryptRequest_builder{KeyId: usualAlias(p.keyID), Plaintext: []byte("x"), EncryptionContext: ec}.Build()
		},
		decryptMethod: func(p *props) proto.Message {
			return kmsv1.DecryptRequest_builder{KeyId: usualAlias(p.keyID), CiphertextBlob: p.encrypt(p.keyID, []byte("x"), ec), EncryptionContext: ec}.Build()
		},
		kmsv1.CryptoService_ReEncrypt_FullMethodName: func(p *props) proto.Message {
			return kmsv1.ReEncryptRequest_builder{
				SourceKeyId: usualAlias(p.keyID), CiphertextBlob: p.encrypt(p.keyID, []byte("x"), ec), SourceEncryptionContext: ec,
				DestinationKeyId: usualAlias(p.otherID), DestinationEncryptionContext: ec,
			}.Build()
		},
		kmsv1.CryptoService_GenerateDataKey_FullMethodName: func(p *props) proto.Message {
			return kmsv1.GenerateDataKeyRequest_builder{KeyId: usualAlias(p.keyID), NumberOfBytes: 32, EncryptionContext: ec}.Build()
		},
		kmsv1.CryptoService_GenerateDataKeyWithoutPlaintext_FullMethodName: func(p *props) proto.Message {
			return kmsv1.GenerateDataKeyWithoutPlaintextRequest_builder{KeyId: usualAlias(p.keyID), NumberOfBytes: 32, EncryptionContext: ec}.Build()
		},
		kmsv1.KeyService_CreateKey_FullMethodName: func(*props) proto.Message {
			return kmsv1.CreateKeyRequest_builder{Tags: keyTags, BypassPolicyLockoutSafetyCheck: true}.Build()
		},
		kmsv1.KeyService_DescribeKey_FullMethodName: func(p *props) proto.Message {
			return kmsv1.DescribeKeyRequest_builder{KeyId: usualAlias(p.keyID)}.Build()
		},
		kmsv1.KeyService_PutKeyPolicy_FullMethodName: func(p *props) proto.Message {
			return kmsv1.PutKeyPolicyRequest_builder{KeyId: p.otherID, Policy: keyPolicy, BypassPolicyLockoutSafetyCheck: true}.Build()
		},
		kmsv1.KeyService_UntagResource_FullMethodName: func(p *props) proto.Message { // the others stay tagged
			return kmsv1.UntagResourceRequest_builder{KeyId: p.Key().GetArn(), TagKeys: []string{"team"}}.Build()
		},
		kmsv1.KeyService_GetKeyLastUsage_FullMethodName: func(p *props) proto.Message {
			return kmsv1.GetKeyLastUsageRequest_builder{KeyId: usualAlias(p.keyID)}.Build()
		},
		kmsv1.KeyService_ImportKeyMaterial_FullMethodName: expiringImport,
		iamv1.IAMService_CreateUser_FullMethodName: func(*props) proto.Message {
			return iamv1.CreateUserRequest_builder{UserName: fresh("user-"), Tags: sampleTags, PermissionsBoundary: readOnly}.Build()
		},
		iamv1.IAMService_CreateRole_FullMethodName: func(*props) proto.Message {
			return iamv1.CreateRoleRequest_builder{RoleName: fresh("role-"), AssumeRolePolicyDocument: trustPolicy, Tags: sampleTags, PermissionsBoundary: readOnly}.Build()
		},
		stsv1.STSService_AssumeRole_FullMethodName: func(p *props) proto.Message {
			return stsv1.AssumeRoleRequest_builder{
				RoleArn: "arn:aws:iam::111122223333:role/" + p.role(), RoleSessionName: "session", DurationSeconds: 900, ExternalId: "external",
				Tags: []*iamv1.Tag{iamv1.Tag_builder{Key: "job", Value: "night"}.Build()}, TransitiveTagKeys: []string{"job"}, SourceIdentity: "somebody",
			}.Build()
		},
	}
	maps.Copy(all, fullAsymmetricSpecimens())
	return all
}

// unasked are the actions that no policy decides about.
var unasked = []authz.Action{authz.STSGetCallerIdentity, authz.STSGetSessionToken}

// sessionOnly are the keys that only a session of a role has: the others are asked of a user with a second factor.
var sessionOnly = []string{"aws:SourceIdentity"}

// conditionKey is a key as a condition names it: of a family, one that the specimens have.
func conditionKey(a authz.Action, k authz.ContextKeyInfo) string {
	name, family := strings.CutSuffix(k.Name, "${k}")
	switch {
	case !family:
		return name
	case name == "":
		return "tokens.example:aud"
	case name == "kms:EncryptionContext:":
		return name + "app"
	case name == "aws:RequestTag/" && strings.HasPrefix(a.String(), "sts:"):
		return name + "job"
	}
	return name + "team"
}

// scopeOf is the resources on which an action must have a key: some actions are decided on several resources, of which not all have it.
func scopeOf(a authz.Action, k authz.ContextKeyInfo) string {
	resourceless := authz.KindOf(a, "arn:aws:kms:local:111122223333:key/x") == authz.None
	switch {
	case k.Class != authz.ResourceClass || resourceless:
		return "*"
	case strings.HasPrefix(a.String(), "kms:") && !strings.HasPrefix(k.Name, "aws:ResourceAcc") && !strings.HasPrefix(k.Name, "aws:ResourceOrg"):
		return "arn:aws:kms:*:*:key/*"
	}
	return "arn:aws:*"
}

// denyAbsent is a policy that denies an action to a request without one of the keys. Statement n is about key n.
func denyAbsent(a authz.Action, keys []authz.ContextKeyInfo, principal string) string {
	var list []string
	for i, k := range keys {
		on := `"Resource":"` + scopeOf(a, k) + `"`
		if principal != "" {
			on = principal
		}
		list = append(list, fmt.Sprintf(`{"Sid":"k%d","Effect":"Deny","Action":%q,%s,"Condition":{"Null":{%q:"true"}}}`, i, a, on, conditionKey(a, k)))
	}
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(list, ",") + `]}`
}

// session makes credentials of what STS has answered.
func (d *door) session(c *stsv1.Credentials) client.Credentials {
	next := d.root
	next.AccessKeyID = c.GetAccessKeyId()
	next.SecretAccessKey = crypto.NewSecret([]byte(c.GetSecretAccessKey()))
	next.SessionToken = crypto.NewSecret([]byte(c.GetSessionToken()))
	return next
}

// presence asks every RPC as somebody whose policies deny it where a key is absent.
type presence struct {
	*props
	user, role client.Credentials // sessions of a user with a second factor, and of a role with a source identity; both with tags
	rows       map[string]specimen
	full       map[string]func(*props) proto.Message
	seen       map[authz.Action]map[string]bool
}

const presenceGroup, presenceRole = "presence", "presence"

func newPresence(t *testing.T) *presence {
	d := newDoor(t, nil)
	p := &presence{props: newProps(d), rows: specimensOf(t), full: fullSpecimens(), seen: map[authz.Action]map[string]bool{}}
	long := d.User("present", kmstest.Allow([]string{"*"}))
	device := p.device()
	step := func(n int) string { return kmstest.TOTP(t, device.GetBase32StringSeed(), n) }
	d.must(iamv1.IAMService_TagUser_FullMethodName, iamv1.TagUserRequest_builder{UserName: "present", Tags: sampleTags}.Build(), &iamv1.TagUserResponse{})
	d.must(iamv1.IAMService_EnableMFADevice_FullMethodName, iamv1.EnableMFADeviceRequest_builder{
		UserName: "present", SerialNumber: device.GetSerialNumber(), AuthenticationCode1: step(-1), AuthenticationCode2: step(0),
	}.Build(), &iamv1.EnableMFADeviceResponse{})
	d.must(iamv1.IAMService_CreateGroup_FullMethodName, iamv1.CreateGroupRequest_builder{GroupName: presenceGroup}.Build(), &iamv1.CreateGroupResponse{})
	d.must(iamv1.IAMService_AddUserToGroup_FullMethodName, iamv1.AddUserToGroupRequest_builder{GroupName: presenceGroup, UserName: "present"}.Build(), &iamv1.AddUserToGroupResponse{})
	var token stsv1.GetSessionTokenResponse
	d.as(long, stsv1.STSService_GetSessionToken_FullMethodName, stsv1.GetSessionTokenRequest_builder{SerialNumber: device.GetSerialNumber(), TokenCode: step(1)}.Build(), &token)
	p.user = d.session(token.GetCredentials())

	d.must(iamv1.IAMService_CreateRole_FullMethodName, iamv1.CreateRoleRequest_builder{RoleName: presenceRole, AssumeRolePolicyDocument: trustPolicy, Tags: sampleTags}.Build(), &iamv1.CreateRoleResponse{})
	d.must(iamv1.IAMService_PutRolePolicy_FullMethodName, iamv1.PutRolePolicyRequest_builder{RoleName: presenceRole, PolicyName: "all", PolicyDocument: kmstest.Allow([]string{"*"})}.Build(), &iamv1.PutRolePolicyResponse{})
	var assumed stsv1.AssumeRoleResponse
	d.as(long, stsv1.STSService_AssumeRole_FullMethodName, stsv1.AssumeRoleRequest_builder{
		RoleArn: "arn:aws:iam::111122223333:role/" + presenceRole, RoleSessionName: "session", SourceIdentity: "somebody",
	}.Build(), &assumed)
	p.role = d.session(assumed.GetCredentials())
	return p
}

// as makes a call that succeeds, as somebody, and reads its answer into out.
func (d *door) as(who client.Credentials, method string, m, out proto.Message) {
	d.t.Helper()
	got := d.ask(who, method, m)
	if got.code != codes.OK {
		d.t.Fatalf("%s: %v", short(method), got)
	}
	unmarshal(d.t, got.body, out)
}

// request is a request of an RPC that has everything.
func (p *presence) request(method string) proto.Message {
	if full := p.full[method]; full != nil {
		return full(p.props)
	}
	return p.rows[method].valid(p.props)
}

// shown notes which keys an action has where it is decided on a resource, as the explanation of a denial has them: where it is not decided on
// such a resource, that a Deny there does not fire says nothing.
func (p *presence) shown(method string, a authz.Action, keys []authz.ContextKeyInfo) (absent []string) {
	p.t.Helper()
	scopes := map[string][]string{} // :: resources → names of keys that they have
	for _, k := range keys {
		scope := scopeOf(a, k)
		if scope == "*" {
			continue
		}
		have, asked := scopes[scope]
		if !asked {
			p.forbid(kmstest.Deny([]string{a.String()}, scope))
			got := p.send(p.t.Context(), call{method: method, body: marshal(p.t, p.request(method)), as: p.user, agent: p.agent("shown")})
			if got.code == codes.PermissionDenied {
				var out iamv1.ExplainDecisionResponse
				p.must(iamv1.IAMService_ExplainDecision_FullMethodName, iamv1.ExplainDecisionRequest_builder{RequestId: got.requestID}.Build(), &out)
				for _, e := range out.GetExplanation().GetContextEntries() {
					have = append(have, e.GetContextKeyName())
				}
			}
			scopes[scope] = have
		}
		if !slices.Contains(have, conditionKey(a, k)) {
			absent = append(absent, k.Name)
		}
	}
	return absent
}

// forbid gives the user's session a policy beside the one that allows everything.
func (p *presence) forbid(document string) {
	p.must(iamv1.IAMService_PutGroupPolicy_FullMethodName, iamv1.PutGroupPolicyRequest_builder{GroupName: presenceGroup, PolicyName: "presence", PolicyDocument: document}.Build(), &iamv1.PutGroupPolicyResponse{})
}

// missing returns the keys of an action that a call of the method has not, as somebody whose policies deny it then. They are found
// one after the other.
func (p *presence) missing(method string, a authz.Action, keys []authz.ContextKeyInfo, who client.Credentials, put func(document string)) (absent []string) {
	p.t.Helper()
	if half := len(keys) / 2; len(denyAbsent(a, keys, "")) > 5000 { // a group has room for as much
		return append(p.missing(method, a, keys[:half], who, put), p.missing(method, a, keys[half:], who, put)...)
	}
	for {
		put(denyAbsent(a, keys, ""))
		agent := p.agent(fmt.Sprint(short(method), " ", a, " ", len(keys)))
		got := p.send(p.t.Context(), call{method: method, body: marshal(p.t, p.request(method)), as: who, agent: agent})
		if got.code == codes.OK {
			return absent
		}
		var matched []string
		for _, e := range p.events()[agent] {
			matched = e.Decision.MatchedStatements
		}
		var n int
		if len(matched) > 0 {
			fmt.Sscan(matched[len(matched)-1], &n)
		}
		if got.code != codes.PermissionDenied || !strings.Contains(got.message, "explicit deny") || n < 1 || n > len(keys) {
			p.t.Errorf("%s, asked for %v: %v by statement %v", short(method), a, got, matched)
			return absent
		}
		absent = append(absent, keys[n-1].Name)
		if keys = slices.Delete(slices.Clone(keys), n-1, n); len(keys) == 0 {
			return absent
		}
	}
}

func (p *presence) note(a authz.Action, keys []authz.ContextKeyInfo, absent []string) {
	if p.seen[a] == nil {
		p.seen[a] = map[string]bool{}
	}
	for _, k := range keys {
		if !slices.Contains(absent, k.Name) {
			p.seen[a][k.Name] = true
		}
	}
}

// Each condition key that an action is said to have is there when the action is decided, for some RPC: a Deny on its absence does not fire. An RPC that
// does not tell conditions what is said of it fails here.
func TestEveryDocumentedKeyIsPopulated(t *testing.T) {
	p := newPresence(t)
	actions := server.Actions()
	for _, method := range methods(t) {
		if p.rows[method].anonymous || perItem(method) {
			continue
		}
		for _, a := range actions[method] {
			if slices.Contains(unasked, a) {
				continue
			}
			var ofUser, ofRole []authz.ContextKeyInfo
			for _, k := range authz.ContextKeys(a) {
				if slices.Contains(sessionOnly, k.Name) {
					ofRole = append(ofRole, k)
				} else {
					ofUser = append(ofUser, k)
				}
			}
			absent := p.missing(method, a, ofUser, p.user, p.forbid)
			p.note(a, ofUser, append(absent, p.shown(method, a, ofUser)...))
			p.note(a, ofRole, p.missing(method, a, ofRole, p.role, func(document string) {
				p.must(iamv1.IAMService_PutRolePolicy_FullMethodName, iamv1.PutRolePolicyRequest_builder{RoleName: presenceRole, PolicyName: "presence", PolicyDocument: document}.Build(), &iamv1.PutRolePolicyResponse{})
			}))
		}
	}
	p.ofWebIdentity()
	tested := 0
	for a := authz.Action(1); a.String() != "unknown action"; a++ {
		if slices.Contains(unasked, a) {
			continue
		}
		for _, k := range authz.ContextKeys(a) {
			if tested++; !p.seen[a][k.Name] && !(a == authz.STSAssumeRoleWithWebIdentity && slices.Contains(absentForWebIdentities, k.Name)) {
				t.Errorf("%v is said to have %s, and no RPC tells it", a, k.Name)
			}
		}
	}
	t.Logf("%d actions, %d pairs of an action and a key", len(p.seen), tested)
	if len(p.seen) < 100 || tested < 2000 {
		t.Errorf("%d actions and %d pairs: too few", len(p.seen), tested)
	}
}

// absentForWebIdentities are the keys of callers that web identities have not: they have no account, no tags and no credentials.
var absentForWebIdentities = []string{
	"aws:PrincipalAccount", "kms:CallerAccount", "aws:userid", "aws:username", "aws:PrincipalTag/${k}", "aws:PrincipalOrgID", "aws:PrincipalOrgPaths", "aws:TokenIssueTime",
	"aws:MultiFactorAuthPresent", "aws:MultiFactorAuthAge", "aws:SourceIdentity",
}

// ofWebIdentity is the one RPC that policies of the caller do not decide about, but the trust policy of the role.
func (p *presence) ofWebIdentity() {
	const method, a = stsv1.STSService_AssumeRoleWithWebIdentity_FullMethodName, authz.STSAssumeRoleWithWebIdentity
	var keys []authz.ContextKeyInfo
	for _, k := range authz.ContextKeys(a) {
		if !slices.Contains(absentForWebIdentities, k.Name) {
			keys = append(keys, k)
		}
	}
	var absent []string
	for _, k := range keys {
		m := p.webIdentity().(*stsv1.AssumeRoleWithWebIdentityRequest)
		m.SetDurationSeconds(900)
		_, role, _ := strings.Cut(m.GetRoleArn(), "role/")
		p.must(iamv1.IAMService_TagRole_FullMethodName, iamv1.TagRoleRequest_builder{RoleName: role, Tags: sampleTags}.Build(), &iamv1.TagRoleResponse{})
		document := denyAbsent(a, []authz.ContextKeyInfo{k}, `"Principal":"*"`)
		document = strings.Replace(webTrust, `"Statement":[`, `"Statement":[`+strings.TrimSuffix(document[strings.Index(document, "[")+1:], "]}")+",", 1)
		p.must(iamv1.IAMService_UpdateAssumeRolePolicy_FullMethodName, iamv1.UpdateAssumeRolePolicyRequest_builder{RoleName: role, PolicyDocument: document}.Build(), &iamv1.UpdateAssumeRolePolicyResponse{})
		if got := p.ask(client.Credentials{}, method, m); got.code != codes.OK {
			absent = append(absent, k.Name)
		}
	}
	p.note(a, keys, absent)
}
