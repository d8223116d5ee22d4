package diff

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
)

// A draft is a request that is being made up. The zero draft of a class is the plainest one.
type draft struct {
	class  *class
	kind   authz.ResourceKind
	action authz.Action

	caller authz.Caller // with neither policies nor tags
	arn    string       // of the resource
	owner  string       // its account

	principalOrg, resourceOrg *authz.Membership // nil: of no organization

	tags, resourceTags, requestTags, encryptionContext, claims map[string][]string // :: name → its values, several for names that differ in case
	tagKeys, contextKeys                                       []string            // further names of requestTags and encryptionContext

	texts   map[authz.ContextKey]string
	lists   map[authz.ContextKey][]string
	truths  map[authz.ContextKey]bool
	numbers map[authz.ContextKey]int64

	aliases       []string
	now           time.Time
	validTo       time.Time // kms:ValidTo; zero: absent
	mfaAge        int64     // seconds; negative: no second factor
	issued        time.Time
	address       netip.Addr
	tls           bool
	agent, region string
}

// noon is when drafts are made, if nobody asks.
var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func newDraft(c *class, kind authz.ResourceKind, a authz.Action) *draft {
	d := &draft{
		class: c, kind: kind, action: a, caller: c.caller, owner: c.owner, now: noon, mfaAge: -1,
		address: netip.AddrFrom4([4]byte{192, 0, 2, 1}), tls: true, region: defaultRegion,
		tags: map[string][]string{}, resourceTags: map[string][]string{}, requestTags: map[string][]string{}, encryptionContext: map[string][]string{},
		claims: map[string][]string{}, texts: map[authz.ContextKey]string{}, lists: map[authz.ContextKey][]string{},
		truths: map[authz.ContextKey]bool{}, numbers: map[authz.ContextKey]int64{},
	}
	if c.caller.Kind == authz.RoleSession {
		d.issued = noon.Add(-time.Hour)
	}
	if kind != authz.None {
		d.arn = inPartition(plainARN(kind, a, c.owner), c.parts)
	}
	if kind == authz.Key || a == authz.KMSCreateKey {
		d.texts[authz.CtxKeySpec], d.texts[authz.CtxKeyUsage], d.texts[authz.CtxKeyOrigin] = "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS"
	}
	return d
}

// with returns the draft with settings applied.
func (d *draft) with(list ...setting) *draft {
	next := *d
	for _, m := range []*map[string][]string{&next.tags, &next.resourceTags, &next.requestTags, &next.encryptionContext, &next.claims} {
		*m = maps.Clone(*m)
	}
	next.texts, next.lists, next.truths, next.numbers = maps.Clone(d.texts), maps.Clone(d.lists), maps.Clone(d.truths), maps.Clone(d.numbers)
	for _, set := range list {
		set(&next)
	}
	return &next
}

// A setting gives a draft a value for something that conditions ask about, or takes it away.
type setting func(*draft)

// request makes the draft a request, whose caller has no policies yet.
func (d *draft) request() (authz.Caller, authz.Resource, authz.Context) {
	c := d.caller
	c.Tags = pairs(d.tags, nil)
	c.Issued = d.issued
	if d.mfaAge >= 0 {
		c.MFA = d.now.Add(-time.Duration(d.mfaAge) * time.Second)
	}
	c.Membership = d.principalOrg
	r := authz.Resource{Kind: d.kind, Account: d.owner, ARN: d.arn, Membership: d.resourceOrg, Tags: pairs(d.resourceTags, nil), Aliases: d.aliases}
	if d.kind == authz.None {
		r.Account = ""
	}
	x := authz.Context{
		Time: d.now, SourceIP: d.address, SecureTransport: d.tls, UserAgent: d.agent, Region: d.region,
		EncryptionContext: pairs(d.encryptionContext, d.contextKeys), Claims: pairs(d.claims, nil),
	}
	if populates(d.action, "aws:RequestTag/${k}") {
		x.RequestTags = pairs(d.requestTags, d.tagKeys)
	} else if len(d.tagKeys) > 0 {
		x.SetList(authz.CtxTagKeys, d.tagKeys)
	}
	for k, v := range d.texts {
		switch {
		case d.kind == authz.Key && k == authz.CtxKeySpec:
			r.KeySpec = v
		case d.kind == authz.Key && k == authz.CtxKeyUsage:
			r.KeyUsage = v
		case d.kind == authz.Key && k == authz.CtxKeyOrigin:
			r.KeyOrigin = v
		default:
			x.Set(k, v)
		}
	}
	for k, v := range d.lists {
		x.SetList(k, v)
	}
	for k, v := range d.truths {
		x.SetBool(k, v)
	}
	for k, v := range d.numbers {
		x.SetNumber(k, v)
	}
	if !d.validTo.IsZero() {
		x.SetDate(authz.CtxValidTo, d.validTo)
	}
	if d.action == authz.KMSRetireGrant {
		x.KeyGrant = &authz.KeyGrant{ID: "grant", Issuer: c.Account, Actions: []authz.Action{authz.KMSDecrypt}}
	}
	return c, r, x
}

// populates reports whether requests for the action can have a key.
func populates(a authz.Action, key string) bool {
	return slices.ContainsFunc(authz.ContextKeys(a), func(k authz.ContextKeyInfo) bool { return k.Name == key })
}

// example returns the request with what the conditions of either version ask about.
func (d *draft) example(asked func(key string) bool) *Request {
	c, r, x := d.request()
	e := &Request{Principal: c.ARN, Action: d.action.String(), Resource: "*", Context: []Entry{}}
	if d.kind != authz.None {
		e.Resource = r.ARN
	}
	for _, v := range authz.ContextValues(&c, d.action, &r, &x) {
		if asked(fold(v.Name)) {
			e.Context = append(e.Context, Entry{Key: v.Name, Type: v.Type.String(), Values: v.Values})
		}
	}
	return e
}

const (
	defaultAccount = "111122223333"
	defaultRegion  = "eu-central-1"
	plainKeyID     = "1234abcd-12ab-34cd-56ef-1234567890ab"
)

// plainARN is the ARN of some resource of the kind.
func plainARN(kind authz.ResourceKind, a authz.Action, account string) string {
	switch kind {
	case authz.Key:
		return "arn:aws:kms:" + defaultRegion + ":" + account + ":key/" + plainKeyID
	case authz.Alias:
		return "arn:aws:kms:" + defaultRegion + ":" + account + ":alias/app"
	case authz.Role:
		return "arn:aws:iam::" + account + ":role/app"
	case authz.OrganizationEntity:
		return "arn:aws:organizations::" + account + ":account/o-abcdefghij/" + account
	}
	return "arn:aws:iam::" + account + ":" + entityTypes(a)[0] + "/app"
}

// entityTypes are the types of entities of IAM that an action may be asked for.
func entityTypes(a authz.Action) []string {
	name := a.String()
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(name, p) })
	}
	var list []string
	if has("User", "AccessKey", "ClientCertificate", "MFADevice", "PrincipalPolicy") {
		list = append(list, "user")
	}
	if has("Group", "PrincipalPolicy") {
		list = append(list, "group")
	}
	if has("Role", "PrincipalPolicy") {
		list = append(list, "role")
	}
	if has("MFADevice") {
		list = append(list, "mfa")
	}
	if has("OpenIDConnect") {
		list = append(list, "oidc-provider")
	}
	if len(list) == 0 || has("ForPolicy") {
		list = append(list, "policy")
	}
	if len(list) == 1 && has("AssumeRolePolicy") {
		list = []string{"role"}
	}
	return list
}
