package diff

import (
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
)

// nothing leaves a draft as it is.
func nothing(*draft) {}

// settings returns what can be chosen for the dim, as far as the conditions tell it apart, the plainest first. complete is false if there
// may be more that they tell apart.
func (c *choice) settings() (list []setting, complete bool) {
	if !c.populated() {
		return []setting{nothing}, true
	}
	switch c.dim {
	case "resource":
		return c.resources()
	case "principal":
		return c.callers()
	case "credentials":
		return c.credentials()
	case "time":
		return c.times()
	case "principal-organization":
		return c.memberships("aws:principalorgid", "aws:principalorgpaths", func(d *draft, m *authz.Membership) { d.principalOrg = m }, c.s.kind != authz.ServiceControlPolicy)
	case "resource-organization":
		return c.memberships("aws:resourceorgid", "aws:resourceorgpaths", func(d *draft, m *authz.Membership) { d.resourceOrg = m }, c.s.kind != authz.ResourceControlPolicy)
	case "aws:sourceip":
		for _, a := range addresses(c.values("*")) {
			list = append(list, func(d *draft) { d.address = a })
		}
		return list, true
	case "aws:securetransport":
		return []setting{nothing, func(d *draft) { d.tls = false }}, true
	case "aws:tagkeys":
		return c.sets(nil, func(d *draft, l []string) { d.tagKeys = l })
	case "kms:encryptioncontextkeys":
		return c.sets(nil, func(d *draft, l []string) { d.contextKeys = l })
	case "kms:resourcealiases":
		return c.sets([]string{"alias/app"}, func(d *draft, l []string) { d.aliases = l })
	case "kms:validto":
		list = append(list, nothing)
		for _, t := range instants(c.values("*")) {
			list = append(list, func(d *draft) { d.validTo = t })
		}
		return list, true
	}
	if k, ok := numberKeys[c.dim]; ok {
		list = append(list, nothing)
		for _, n := range numbers(c.values("*")) {
			list = append(list, func(d *draft) { d.numbers[k] = n })
		}
		return list, true
	}
	return c.texted()
}

// populated reports whether requests for the action can have one of the keys.
func (c *choice) populated() bool {
	if c.dim == "resource" || c.dim == "principal" {
		return true
	}
	return slices.ContainsFunc(c.keys, func(key string) bool {
		info, known := authz.ConditionKey(key)
		if !known {
			return populates(c.base.action, "${k}") && c.base.caller.Kind == authz.WebIdentity
		}
		return populates(c.base.action, info.Name)
	})
}

// texted returns the settings of what has texts, lists of texts, or a truth value.
func (c *choice) texted() (list []setting, complete bool) {
	if k, ok := truthKeys[c.dim]; ok {
		switch {
		case c.dim == "kms:multiregion" && c.base.kind == authz.Key:
			return []setting{nothing}, true
		case c.dim == "kms:grantisforawsresource":
			return []setting{func(d *draft) { d.truths[k] = false }}, true
		}
		return []setting{nothing, func(d *draft) { d.truths[k] = false }, func(d *draft) { d.truths[k] = true }}, true
	}
	if k, ok := listKeys[c.dim]; ok {
		return c.sets(domains[c.dim], func(d *draft, l []string) { d.lists[k] = l })
	}
	if of, name := family(c.dim); of != nil {
		return c.pairs(of, name)
	}
	put := c.textSetting()
	if put == nil {
		return []setting{nothing}, false
	}
	texts, complete := c.domain()
	list = append(list, nothing)
	for _, t := range texts {
		list = append(list, func(d *draft) { put(d, t) })
	}
	return list, complete
}

// textSetting returns what gives a draft a text for the dim, or nil.
func (c *choice) textSetting() func(*draft, string) {
	if k, ok := textKeys[c.dim]; ok {
		return func(d *draft, t string) { d.texts[k] = t }
	}
	switch c.dim {
	case "aws:useragent":
		return func(d *draft, t string) { d.agent = t }
	case "aws:requestedregion":
		return func(d *draft, t string) { d.region = t }
	case "aws:sourceidentity":
		return func(d *draft, t string) { d.caller.SourceIdentity = t }
	}
	return nil
}

// domain returns the texts that the dim can be.
func (c *choice) domain() ([]string, bool) {
	if d, ok := domains[c.dim]; ok {
		return d, true
	}
	switch c.dim {
	case "aws:useragent", "aws:requestedregion", "aws:sourceidentity", "aws:tagkeys", "kms:encryptioncontextkeys":
		return c.texts("*", notEmpty()) // an empty one is none
	}
	return c.texts("*")
}

// sets returns the settings of a key that has several values.
func (c *choice) sets(plain []string, put func(*draft, []string)) ([]setting, bool) {
	singles, complete := c.domain()
	if _, closed := domains[c.dim]; !closed {
		singles = append(slices.Clone(plain), singles...)
		if c.dim == "aws:tagkeys" || c.dim == "kms:encryptioncontextkeys" {
			singles = append(singles, c.known[c.dim]...)
		}
	}
	lists, closed := c.unions(singles, put)
	list := []setting{func(d *draft) { put(d, nil) }}
	for _, l := range lists {
		list = append(list, func(d *draft) { put(d, l) })
	}
	return list, complete && closed
}

// maxUnions bounds the lists of values that are looked at.
const maxUnions = 96

// unions returns lists of one value or more that the conditions tell apart: a list of values that they do not tell from a shorter one is left
// out, and so are those that it is part of.
func (c *choice) unions(singles []string, put func(*draft, []string)) (lists [][]string, complete bool) {
	seen := make(map[string]bool)
	add := func(l []string) {
		if sig := c.s.signature(c, func(d *draft) { put(d, l) }); !seen[sig] && len(lists) < maxUnions {
			seen[sig] = true
			lists = append(lists, l)
		}
	}
	for _, t := range singles {
		add([]string{t})
	}
	for i := 0; i < len(lists); i++ {
		for _, t := range singles {
			if len(lists) == maxUnions || c.s.spent() {
				return lists, false
			}
			if !slices.Contains(lists[i], t) {
				add(append(slices.Clone(lists[i]), t))
			}
		}
	}
	return lists, true
}

// pairs returns the settings of one name of a family. What a client chooses freely may hold the name several times, in names that differ in
// case.
func (c *choice) pairs(of func(*draft) map[string][]string, name string) ([]setting, bool) {
	texts, complete := c.texts("*")
	put := func(d *draft, l []string) { of(d)[name] = l }
	list := []setting{func(d *draft) { delete(of(d), name) }}
	several := mayCollide(c.dim) && !strings.Contains(c.dim, "tag/") && len(variants(name, 2)) > 1
	if !several {
		for _, t := range texts {
			list = append(list, func(d *draft) { put(d, []string{t}) })
		}
		return list, complete
	}
	lists, closed := c.unions(texts, put)
	for _, l := range lists {
		list = append(list, func(d *draft) { put(d, l) })
	}
	return list, complete && closed
}

// credentials returns when the caller's were issued, if they are temporary, and how long ago a second factor was proven.
func (c *choice) credentials() ([]setting, bool) {
	issued := []time.Time{c.base.issued}
	session := c.base.caller.Kind == authz.RoleSession
	if !session {
		issued = append(issued, noon.Add(-time.Hour))
	}
	issued = append(issued, instants(c.values("aws:tokenissuetime"))...)
	ages := []int64{-1}
	if !session && c.base.caller.Kind != authz.WebIdentity {
		ages = append(ages, numbers(c.values("aws:multifactorauthage"))...)
	}
	var list []setting
	for _, t := range issued {
		for _, age := range ages {
			list = append(list, func(d *draft) { d.issued, d.mfaAge = t, age })
		}
	}
	return list, true
}

func (c *choice) times() ([]setting, bool) {
	list := []setting{nothing}
	for _, t := range instants(c.values("*")) {
		list = append(list, func(d *draft) { d.now = t })
	}
	return list, true
}

// memberships returns places in organizations. optional says that there need not be one.
func (c *choice) memberships(id, path string, put func(*draft, *authz.Membership), optional bool) ([]setting, bool) {
	plain := &authz.Membership{Organization: "o-plainplain", Path: "o-plainplain/r-root/"}
	places := []*authz.Membership{plain}
	ids, all := c.texts(id, notEmpty())
	for _, t := range ids {
		places = append(places, &authz.Membership{Organization: t, Path: t + "/r-root/"})
	}
	paths, allPaths := c.texts(path, notEmpty())
	for _, t := range paths {
		organization, _, _ := strings.Cut(t, "/")
		places = append(places, &authz.Membership{Organization: organization, Path: t})
		for _, o := range ids {
			places = append(places, &authz.Membership{Organization: o, Path: t})
		}
	}
	var list []setting
	if optional {
		list = append(list, func(d *draft) { put(d, nil) })
	}
	for _, m := range places {
		list = append(list, func(d *draft) { put(d, m) })
	}
	return list, all && allPaths
}

// callers returns names and ids that the caller may have.
func (c *choice) callers() ([]setting, bool) {
	if !c.base.class.free {
		return []setting{nothing}, true
	}
	list := []setting{nothing}
	kind, arnKey := "user/", "aws:principalarn"
	if c.base.caller.Kind == authz.RoleSession {
		kind = "role/"
	}
	prefix := "arn:" + c.s.partition + ":iam::" + c.base.caller.Account + ":" + kind
	arns, complete := c.texts(arnKey, newForm(prefix, token{kind: manyInPart}, token{kind: oneInName}))
	all := true
	if c.base.caller.Kind == authz.User && c.asks("aws:username") {
		var names []string
		names, all = c.texts("aws:username", name())
		for _, n := range names {
			arns = append(arns, prefix+n)
		}
	}
	for _, arn := range arns {
		list = append(list, func(d *draft) { d.rename(arn) })
	}
	if !c.asks("aws:userid") {
		return list, complete && all && !(c.asks("aws:username") && c.asks(arnKey))
	}
	ids, _ := c.texts("aws:userid", notEmpty())
	plain := slices.Clone(list)
	for _, id := range ids {
		for _, first := range plain {
			list = append(list, func(d *draft) { first(d); d.reidentify(id) })
		}
	}
	return list, false
}

// rename gives the caller, which no statement names, another ARN.
func (d *draft) rename(arn string) {
	name := arn[strings.LastIndexByte(arn, '/')+1:]
	if d.caller.Kind == authz.RoleSession {
		d.caller.RoleARN = arn
		d.caller.ARN = "arn:" + d.class.parts + ":sts::" + d.caller.Account + ":assumed-role/" + name + "/" + d.caller.SessionName
		return
	}
	d.caller.ARN, d.caller.UserName = arn, name
}

// reidentify gives it another unique id, which is that of a session if it has a colon.
func (d *draft) reidentify(id string) {
	own, session, ok := strings.Cut(id, ":")
	switch {
	case d.caller.Kind != authz.RoleSession && !ok && strings.HasPrefix(id, "AIDA"):
		d.caller.ID = id
	case d.caller.Kind == authz.RoleSession && ok && strings.HasPrefix(own, "AROA") && len(session) > 1:
		d.caller.ID, d.caller.SessionName = own, session
		d.rename(d.caller.RoleARN)
	}
}

// resources returns ARNs of the resource.
func (c *choice) resources() ([]setting, bool) {
	d := c.base
	if d.kind == authz.None {
		return []setting{nothing}, true
	}
	crosses := c.crosses()
	var arns []string
	complete := !crosses || !c.asks("aws:resourceaccount")
	for _, form := range c.forms(crosses) {
		texts, all := c.texts("", form)
		arns = append(arns, texts...)
		complete = complete && all
	}
	list := []setting{nothing}
	accounts := []string{""}
	if crosses {
		accounts = append(accounts, slices.DeleteFunc(c.values("aws:resourceaccount"), func(a string) bool { return !isAccount(a) })...)
		accounts = append(accounts, otherAccount(c.s.mentions()))
		arns = append([]string{d.arn}, arns...)
	}
	for _, a := range accounts {
		for _, arn := range arns {
			list = append(list, func(d *draft) { d.place(arn, a) })
		}
	}
	return list, complete
}

// crosses reports whether the resource may be of another account than the caller or the policy.
func (c *choice) crosses() bool {
	return c.base.action.CrossAccount() && c.s.kind != authz.KeyPolicy && c.s.kind != authz.ResourceControlPolicy
}

// place makes the draft about a resource, which is moved to an account if one is given.
func (d *draft) place(arn, account string) {
	if parts := strings.SplitN(arn, ":", 6); account != "" && len(parts) == 6 {
		parts[4] = account
		arn = strings.Join(parts, ":")
	}
	d.arn = arn
	if a := accountOf(arn); a != "" && d.kind != authz.IAMEntity && d.kind != authz.OrganizationEntity {
		d.owner = a
	}
}

// forms are what ARNs of the kind are like.
func (c *choice) forms(crosses bool) []glob {
	d := c.base
	account := newGlob(d.owner, exactGlob).tokens
	if crosses {
		account = slices.Repeat([]token{{kind: digit}}, 12)
	}
	form := func(before string, account []token, after string) glob {
		g := newGlob("arn:"+c.s.partition+":"+before+":", arnGlob)
		g.tokens = slices.Concat(g.tokens, account, newForm(":"+after, token{kind: oneInPart}, token{kind: manyInPart}).tokens)
		return g
	}
	amazon := newGlob("aws", exactGlob).tokens
	switch d.kind {
	case authz.Key:
		return []glob{form("kms:?*", account, "key/")}
	case authz.Alias:
		return []glob{form("kms:?*", account, "alias/")}
	case authz.Role:
		return []glob{form("iam:", account, "role/")}
	case authz.OrganizationEntity:
		return []glob{form("organizations:", account, ""), form("organizations:", amazon, "policy/")}
	}
	var list []glob
	for _, t := range entityTypes(d.action) {
		if t == "oidc-provider" { // whose host may have a port
			f := form("iam:", account, t+"/")
			f.tokens[len(f.tokens)-1].kind = many
			list = append(list, f)
			continue
		}
		list = append(list, form("iam:", account, t+"/"))
		if t == "policy" {
			list = append(list, form("iam:", amazon, t+"/"))
		}
	}
	return list
}
