package authz_test

import (
	"strconv"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/authz/ref"
)

// genInstant is the middle of the times in requests and policies.
var genInstant = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// genActions are what requests ask for. Those with more to decide come several times.
var genActions = []string{
	"kms:Encrypt", "kms:Decrypt", "kms:Decrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey",
	"kms:CreateGrant", "kms:CreateGrant", "kms:ListGrants", "kms:RetireGrant", "kms:PutKeyPolicy", "kms:DisableKey", "kms:TagResource", "kms:UntagResource",
	"kms:CreateAlias", "kms:CreateKey", "kms:ListKeys", "kms:Sign", "kms:VerifyMac", "kms:DeriveSharedSecret", "kms:GenerateDataKeyPair",
	"kms:ScheduleKeyDeletion", "kms:ScheduleKeyDeletion", "kms:EnableKeyRotation", "kms:GetParametersForImport", "kms:ImportKeyMaterial",
	"kms:GetPublicKey", "kms:GetKeyRotationStatus", "iam:GetUser", "iam:ListUsers", "iam:CreateRole", "iam:AttachUserPolicy",
	"sts:GetCallerIdentity", "sts:GetSessionToken", "sts:AssumeRole", "sts:AssumeRole", "sts:AssumeRole", "sts:AssumeRoleWithWebIdentity",
	"sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity", "organizations:ListRoots", "organizations:CloseAccount", "organizations:AttachPolicy",
}

// A scene is policies, organizations and grants that many requests are decided by.
type scene struct {
	*gen
	identity, boundary, session, key, trust []*ref.Policy
	members                                 []*ref.Membership
	grants                                  [][]*ref.Grant
	made                                    map[*ref.Policy]*ref.Policy // by once
}

func newScene(seed, number uint64) *scene {
	g := newGen(seed, number)
	g.focus = pick(g, genActions)
	s := &scene{gen: g}
	for range 4 {
		s.identity = append(s.identity, g.policy(authz.IdentityPolicy, "identity"+string(rune('0'+len(s.identity)))))
	}
	s.boundary = []*ref.Policy{g.wide(authz.IdentityPolicy, "boundary"), g.policy(authz.IdentityPolicy, "limit")}
	s.session = []*ref.Policy{g.wide(authz.SessionPolicy, "session"), g.policy(authz.SessionPolicy, "session-policy")}
	s.key = []*ref.Policy{g.policy(authz.KeyPolicy, "default"), g.policy(authz.KeyPolicy, "default")}
	s.trust = []*ref.Policy{g.policy(authz.TrustPolicy, "trust-policy"), g.policy(authz.TrustPolicy, "trust-policy")}
	full := decode("p-FullAWSAccess", authz.FullAWSAccess)
	fullRCP := decode("p-RCPFullAWSAccess", authz.RCPFullAWSAccess)
	scps := []*ref.Policy{g.policy(authz.ServiceControlPolicy, "p-aaaaaaaa"), g.policy(authz.ServiceControlPolicy, "p-bbbbbbbb")}
	rcps := []*ref.Policy{g.policy(authz.ResourceControlPolicy, "p-cccccccc"), g.policy(authz.ResourceControlPolicy, "p-dddddddd")}
	for _, path := range []string{"o-aaaaaaaaaa/r-aaaa/ou-aaaa-11111111/", "o-aaaaaaaaaa/r-aaaa/", "o-bbbbbbbbbb/r-bbbb/"} {
		m := &ref.Membership{Organization: path[:12], Path: path, Management: g.one(4)}
		for range 1 + g.IntN(3) {
			m.SCPs = append(m.SCPs, g.level(full, scps, 8))
			m.RCPs = append(m.RCPs, g.level(fullRCP, rcps, 25))
		}
		s.members = append(s.members, m)
	}
	for range 4 {
		s.grants = append(s.grants, g.someGrants())
	}
	return s
}

// wide returns a policy that allows everything, but for statements that stand after that.
func (g *gen) wide(kind authz.PolicyKind, name string) *ref.Policy {
	all := map[string]any{"Effect": "Allow", "Action": "*", "Resource": "*"}
	for range 1000 {
		doc := document("2012-10-17", []map[string]any{all, g.statement(kind)})
		if _, err := parseBound(kind, doc); err == nil {
			return decode(name, doc)
		}
	}
	panic("no wide policy is accepted")
}

// level returns the policies of one level of an organization: the full one but once in n times, and sometimes others.
func (g *gen) level(full *ref.Policy, others []*ref.Policy, n int) []*ref.Policy {
	var list []*ref.Policy
	if !g.one(n) {
		list = append(list, full)
	}
	if g.one(3) || len(list) == 0 {
		list = append(list, pick(g, others))
	}
	return list
}

func (g *gen) grantee() ref.Principal {
	account := pick(g, genAccounts)
	switch g.IntN(6) {
	case 0:
		return ref.Principal{Level: "ACCOUNT", Account: account, ID: account}
	case 1:
		return ref.Principal{Level: "ROLE", Account: genAccounts[0], ID: "AROAAAAAAAAAAAAAA001"}
	case 2:
		return ref.Principal{Level: "DIRECT", Account: account, ID: genIDs["arn:aws:iam::"+account+":role/r"] + ":session"}
	}
	return ref.Principal{Level: "DIRECT", Account: genAccounts[0], ID: pick(g, []string{"AIDAAAAAAAAAAAAAA001", "AIDAAAAAAAAAAAAAA001", "AIDAAAAAAAAAAAAAA002", "AIDAAAAAAAAAAAAAA003"})}
}

func (g *gen) grant(id string) *ref.Grant {
	k := &ref.Grant{ID: id, Issuer: pick(g, genAccounts), Grantee: g.grantee()}
	if g.one(2) {
		k.Retiring = g.grantee()
	}
	for _, a := range authz.GrantOperations() {
		if name := a.String(); g.one(2) || name == g.focus {
			k.Actions = append(k.Actions, name)
		}
	}
	if len(k.Actions) == 0 {
		k.Actions = []string{"kms:Decrypt"}
	}
	switch g.IntN(4) {
	case 0:
		k.Equals = g.pairs(2)
	case 1:
		k.Subset = g.pairs(3)
	}
	if g.one(4) {
		k.Expires = genInstant.Add(time.Duration(g.IntN(3)-1) * time.Millisecond)
	}
	return k
}

// someGrants returns the grants of a key: few, or, once in a while, many, of which most are for one principal, and so are found
// by their constraints.
func (g *gen) someGrants() []*ref.Grant {
	count := g.IntN(4)
	crowd := g.one(8)
	if crowd {
		count = 9 + g.IntN(20)
	}
	var list []*ref.Grant
	grantee := g.grantee()
	for i := range count {
		k := g.grant("grant" + strconv.Itoa(i))
		if crowd && !g.one(10) {
			k.Grantee = grantee
		}
		list = append(list, k)
	}
	return list
}

// genValue are values of tags, names and the like. Some are wildcards, which must not be read as such.
var genValue = []string{
	"a", "a", "a", "A", "b", "ab", "aab", "abab", "", "*", "a*", "?", "é", "éb", "×", "÷", "\u212a", "111111111111", "true", "1767323045", "${aws:PrincipalTag/none}",
	"arn:aws:iam::111111111111:user/a",
}

// pairs returns up to most pairs, whose names may differ by case only.
func (g *gen) pairs(most int) map[string]string {
	m := map[string]string{}
	for range g.IntN(most + 1) {
		m[pick(g, []string{"app", "app", "App", "team", "Team", "k", "\u212a"})] = pick(g, genValue)
	}
	return m
}

// tags returns tags, whose names differ by more than case.
func (g *gen) tags() map[string]string {
	m := map[string]string{}
	if g.one(3) {
		return m
	}
	m[pick(g, []string{"team", "Team", "TEAM"})] = pick(g, genValue)
	if g.one(3) {
		m["app"] = pick(g, genValue)
	}
	return m
}

// question returns a request in the scene.
func (s *scene) question() *ref.Request {
	q := &ref.Request{Action: s.focus}
	if s.one(4) {
		q.Action = pick(s.gen, genActions)
	}
	s.caller(&q.Caller, q.Action)
	s.resource(&q.Resource, q)
	s.context(&q.Context, q)
	return q
}

func (s *scene) caller(c *ref.Caller, action string) {
	account := genAccounts[0]
	if s.one(4) {
		account = genAccounts[1]
	}
	*c = ref.Caller{Account: account, Tags: s.tags()}
	kind := s.IntN(10)
	switch {
	case strings.HasSuffix(action, "WebIdentity") && !s.one(4) || s.one(60):
		*c = ref.Caller{Kind: "web", ID: genProvider, ARN: genProvider}
		if s.one(6) {
			c.ID = strings.Replace(genProvider, "111111111111", "222222222222", 1)
			c.ARN = c.ID
		}
		return
	case kind == 0:
		c.Kind, c.ID, c.ARN, c.Tags = "root", account, "arn:aws:iam::"+account+":root", nil
	case kind < 5:
		c.Kind, c.SessionName = "session", pick(s.gen, []string{"session", "session", "b"})
		c.RoleARN = "arn:aws:iam::" + account + ":role/r"
		c.ID, c.ARN = genIDs[c.RoleARN], "arn:aws:sts::"+account+":assumed-role/r/"+c.SessionName
		if s.one(12) {
			c.ID = "AROAAAAAAAAAAAAAA009" // made again
		}
	default:
		c.Kind, c.UserName = "user", "a"
		if s.one(4) {
			c.UserName = "b"
		}
		c.ARN = "arn:aws:iam::" + account + ":user/" + c.UserName
		if account == genAccounts[1] && c.UserName == "b" {
			c.ARN = "arn:aws:iam::222222222222:user/p/b"
		}
		c.ID = genIDs[c.ARN]
	}
	s.attached(c)
	s.credentials(c)
	if s.one(300) {
		c.ID = ""
	} else if s.one(300) {
		c.Kind = ""
	}
}

// attached gives a caller its policies and its place in an organization.
func (s *scene) attached(c *ref.Caller) {
	if s.one(2) {
		c.Membership = pick(s.gen, s.members)
	}
	if c.Kind == "root" {
		return
	}
	for range s.IntN(4) {
		c.Identity = append(c.Identity, pick(s.gen, s.identity))
	}
	if s.one(3) {
		c.Boundary = pick(s.gen, s.boundary)
	}
	if c.Kind == "session" && s.one(3) {
		c.Session = s.session[s.IntN(2):]
	}
}

// credentials gives a caller what goes with how it signed in.
func (s *scene) credentials(c *ref.Caller) {
	if c.Kind == "session" || s.one(4) {
		c.Issued = genInstant.Add(time.Duration(s.IntN(3)-1) * time.Second)
		if s.one(2) {
			c.SourceIdentity = pick(s.gen, genValue)
		}
	}
	if c.Kind == "user" && s.one(3) {
		c.MFA = genInstant.Add(time.Duration(-59-s.IntN(3)) * time.Second)
	}
}

func (s *scene) resource(r *ref.Resource, q *ref.Request) {
	r.Kind = "none"
	near := func(arns []string) string { // of the caller's account, most of the time
		arn := pick(s.gen, arns)
		for strings.Split(arn, ":")[4] != q.Caller.Account && !s.one(3) {
			arn = pick(s.gen, arns)
		}
		return arn
	}
	switch service, name, _ := strings.Cut(q.Action, ":"); {
	case service == "iam" && !s.one(4):
		r.Kind, r.ARN = "entity", near(genEntities)
		r.Tags = s.tags()
	case name == "CreateAlias" && s.one(2):
		r.Kind, r.ARN = "alias", near(genAliases)
	case service == "kms" && name != "CreateKey" && name != "ListKeys" && !(name == "TagResource" && s.one(2)):
		r.Kind, r.ARN = "key", near(genKeys)
		s.keyResource(r)
	case name == "CloseAccount" || name == "AttachPolicy":
		r.Kind, r.ARN = "organization", genNodes[0]
	case service == "sts" && !strings.HasPrefix(name, "Get"):
		r.Kind, r.ARN = "role", near(genRoles)
		r.Tags = s.tags()
		if !s.one(12) {
			r.Policy = pick(s.gen, s.trust)
		}
	}
	if r.Kind != "none" {
		r.Account = strings.Split(r.ARN, ":")[4]
		if r.Account == q.Caller.Account {
			r.Membership = q.Caller.Membership
		} else if s.one(2) {
			r.Membership = pick(s.gen, s.members)
		}
	}
	if s.one(300) {
		r.Kind = "alias"
	}
}

func (s *scene) keyResource(r *ref.Resource) {
	r.Tags = s.tags()
	r.KeySpec, r.KeyUsage, r.KeyOrigin = "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS"
	r.Aliases = [][]string{nil, {"alias/a"}, {"alias/b", "alias/a"}, {"alias/b"}}[s.IntN(4)]
	if s.one(12) {
		return
	}
	r.Policy = pick(s.gen, s.key)
	if s.one(2) {
		r.Grants = pick(s.gen, s.grants)
	}
}

func (s *scene) context(x *ref.Context, q *ref.Request) {
	x.Time = genInstant.Add([]time.Duration{0, 0, time.Millisecond, -time.Millisecond, time.Second, -time.Second, 500 * time.Microsecond}[s.IntN(7)])
	x.SourceIP = pick(s.gen, []string{
		"10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", "::ffff:10.0.0.1", "10.0.1.0", "192.168.0.1", "2001:db8::1", "fe80::1%eth0", "",
	})
	x.SecureTransport = !s.one(3)
	x.Values = map[string][]string{}
	if s.one(2) {
		x.UserAgent, x.Region = pick(s.gen, genValue), "local"
	}
	service, name, _ := strings.Cut(q.Action, ":")
	switch service {
	case "kms":
		s.kmsContext(x, q, name)
	case "sts":
		s.stsContext(x, q)
	case "organizations":
		s.maybe(x, "organizations:PolicyType", []string{"SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY"})
	case "iam":
		s.maybe(x, "iam:PermissionsBoundary", []string{"arn:aws:iam::111111111111:policy/a", "arn:aws:iam::111111111111:policy/b", "a"})
		s.maybe(x, "iam:PolicyARN", []string{"arn:aws:iam::111111111111:policy/a", "arn:aws:iam::222222222222:policy/a"})
		x.RequestTags = s.pairs(2)
	}
}

// maybe sets a key to one of the values, half of the time.
func (s *scene) maybe(x *ref.Context, key string, values []string) {
	if s.one(2) {
		x.Values[key] = []string{pick(s.gen, values)}
	}
}

func (s *scene) kmsContext(x *ref.Context, q *ref.Request, name string) {
	if q.Resource.Kind == "key" {
		x.EncryptionContext = s.pairs(3)
		s.maybe(x, "kms:RequestAlias", []string{"alias/a", "alias/b"})
		s.maybe(x, "kms:EncryptionAlgorithm", []string{"SYMMETRIC_DEFAULT"})
		s.keyOperationContext(x, name)
	}
	switch name {
	case "ReEncryptFrom", "ReEncryptTo":
		s.maybe(x, "kms:ReEncryptOnSameKey", []string{"true", "false"})
	case "PutKeyPolicy":
		s.maybe(x, "kms:BypassPolicyLockoutSafetyCheck", []string{"true", "false"})
	case "CreateKey":
		s.maybe(x, "kms:KeySpec", []string{"SYMMETRIC_DEFAULT", "RSA_2048"})
		s.maybe(x, "kms:KeyUsage", []string{"ENCRYPT_DECRYPT", "SIGN_VERIFY"})
		s.maybe(x, "kms:KeyOrigin", []string{"AWS_KMS", "EXTERNAL"})
		s.maybe(x, "kms:MultiRegion", []string{"true", "false"})
		x.RequestTags = s.pairs(2)
	case "TagResource":
		x.RequestTags = s.pairs(2)
	case "UntagResource":
		x.Values["aws:TagKeys"] = [][]string{{"team"}, {"Team", "app"}, {"a"}}[s.IntN(3)]
	case "CreateGrant", "RetireGrant":
		if s.one(12) {
			return
		}
		x.Grant = s.grant("grantz")
		if len(q.Resource.Grants) > 0 && s.one(2) { // one that is like one of the key's
			like := *pick(s.gen, q.Resource.Grants)
			like.ID = "granty"
			if s.one(3) {
				like.Subset, like.Equals = like.Equals, like.Subset
			}
			x.Grant = &like
		}
		if name == "CreateGrant" {
			x.Values["kms:GrantOperations"] = operationsOf(x.Grant)
			s.maybe(x, "kms:GrantConstraintType", []string{"EncryptionContextEquals", "EncryptionContextSubset"})
			s.maybe(x, "kms:GranteePrincipal", genARNs)
			s.maybe(x, "kms:RetiringPrincipal", genARNs)
			s.maybe(x, "kms:GrantIsForAWSResource", []string{"false"})
		}
	}
}

// keyOperationContext gives what requests of one operation on a key have.
func (s *scene) keyOperationContext(x *ref.Context, name string) {
	switch name {
	case "Sign":
		s.maybe(x, "kms:SigningAlgorithm", genAlgorithms)
		s.maybe(x, "kms:MessageType", []string{"RAW", "DIGEST", "EXTERNAL_MU"})
	case "VerifyMac":
		s.maybe(x, "kms:MacAlgorithm", genAlgorithms)
	case "DeriveSharedSecret":
		s.maybe(x, "kms:KeyAgreementAlgorithm", []string{"ECDH"})
	case "GenerateDataKeyPair":
		s.maybe(x, "kms:DataKeyPairSpec", genSpecs)
	case "ScheduleKeyDeletion":
		s.maybe(x, "kms:ScheduleKeyDeletionPendingWindowInDays", []string{"7", "29", "30"})
	case "EnableKeyRotation":
		s.maybe(x, "kms:RotationPeriodInDays", []string{"90", "365", "2560"})
	case "GetParametersForImport":
		s.maybe(x, "kms:WrappingAlgorithm", genAlgorithms)
		s.maybe(x, "kms:WrappingKeySpec", genSpecs)
	case "ImportKeyMaterial":
		s.maybe(x, "kms:ValidTo", []string{"2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05.001Z", "2026-01-02T03:04:04.999Z", "2026-01-02T03:04:06.000Z"})
		s.maybe(x, "kms:ExpirationModel", []string{"KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE"})
	}
}

func operationsOf(k *ref.Grant) []string {
	var list []string
	for _, a := range k.Actions {
		list = append(list, strings.TrimPrefix(a, "kms:"))
	}
	return list
}

func (s *scene) stsContext(x *ref.Context, q *ref.Request) {
	s.maybe(x, "sts:ExternalId", genValue)
	s.maybe(x, "sts:RoleSessionName", genValue)
	s.maybe(x, "sts:SourceIdentity", genValue)
	s.maybe(x, "sts:DurationSeconds", []string{"60", "61", "3600"})
	x.RequestTags = s.pairs(2)
	if s.one(3) {
		x.Values["sts:TransitiveTagKeys"] = [][]string{{"team"}, {"Team", "app"}, {"a"}}[s.IntN(3)]
	}
	if q.Caller.Kind == "web" {
		x.Claims = map[string]string{"idp.test:sub": pick(s.gen, genValue)}
		if s.one(2) {
			x.Claims["idp.test:aud"] = pick(s.gen, genValue)
		}
		if s.one(3) {
			x.Claims["idp.test:Sub"] = pick(s.gen, genValue)
		}
	}
}
