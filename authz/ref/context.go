package ref

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// entry is what the request says about one condition key.
type entry struct {
	values []string
	plural bool // the key is one of several values, even if it has one
}

// keys gathers every condition key of section 6, folded, with what the request says of it, once. A key without values is absent.
func (e *evaluation) keys() {
	if e.found != nil {
		return
	}
	e.found, e.colliding, e.exact = map[string]entry{}, map[string][]string{}, map[string]bool{}
	e.callerKeys()
	e.resourceKeys()
	e.requestKeys()
	for key, values := range e.Context.Values {
		if key == "kms:KeySpec" || key == "kms:KeyUsage" {
			e.put(strings.Replace(key, "Key", "CustomerMasterKey", 1), false, values...)
		}
		e.put(key, slices.Contains(pluralKeys, key), values...)
	}
}

// pluralKeys are the keys of several values that a request gives by itself. It is never written.
var pluralKeys = []string{"aws:TagKeys", "kms:GrantOperations", "sts:TransitiveTagKeys"}

func (e *evaluation) put(key string, plural bool, values ...string) {
	if len(values) > 0 {
		e.found[fold(key)] = entry{values, plural}
	}
}

// text puts a key whose absence an empty value says.
func (e *evaluation) text(key, value string) {
	if value != "" {
		e.put(key, false, value)
	}
}

// family puts a key for each name.
func (e *evaluation) family(prefix string, pairs map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		key := fold(prefix + name)
		e.colliding[key] = append(e.colliding[key], pairs[name])
		e.found[key] = entry{[]string{pairs[name]}, false}
		if e.Defect == CaseSensitiveKeys {
			e.exact[prefix+name] = true
		}
	}
}

func (e *evaluation) callerKeys() {
	c := &e.Caller
	principal := c.ARN
	if c.Kind == "session" {
		principal = c.RoleARN
	}
	e.text("aws:PrincipalArn", principal)
	e.text("aws:PrincipalAccount", c.Account)
	e.text("kms:CallerAccount", c.Account)
	e.text("aws:PrincipalType", map[string]string{"root": "Account", "user": "User", "session": "AssumedRole", "web": "FederatedUser"}[c.Kind])
	switch c.Kind {
	case "session":
		e.text("aws:userid", c.ID+":"+c.SessionName)
	case "user":
		e.text("aws:username", c.UserName)
		e.text("aws:userid", c.ID)
	case "root":
		e.text("aws:userid", c.ID)
	}
	e.family("aws:PrincipalTag/", c.Tags)
	e.text("aws:SourceIdentity", c.SourceIdentity)
	if m := c.Membership; m != nil {
		e.text("aws:PrincipalOrgID", m.Organization)
		if m.Path != "" {
			e.put("aws:PrincipalOrgPaths", true, m.Path)
		}
	}
	if !c.Issued.IsZero() {
		e.put("aws:TokenIssueTime", false, date(c.Issued))
	}
	if !c.Issued.IsZero() || !c.MFA.IsZero() {
		e.put("aws:MultiFactorAuthPresent", false, strconv.FormatBool(!c.MFA.IsZero()))
	}
	if now := e.Context.Time; !c.MFA.IsZero() && !now.IsZero() {
		e.put("aws:MultiFactorAuthAge", false, strconv.FormatInt(int64(now.Sub(c.MFA)/time.Second), 10))
	}
}

func (e *evaluation) resourceKeys() {
	r := &e.Resource
	if r.Kind != "none" {
		e.text("aws:ResourceAccount", r.Account)
		if m := r.Membership; m != nil {
			e.text("aws:ResourceOrgID", m.Organization)
			if m.Path != "" {
				e.put("aws:ResourceOrgPaths", true, m.Path)
			}
		}
	}
	e.family("aws:ResourceTag/", r.Tags)
	if r.Kind == "entity" || r.Kind == "role" {
		e.family("iam:ResourceTag/", r.Tags)
	}
	if r.Kind == "key" {
		e.put("kms:MultiRegion", false, "false")
		e.put("kms:ResourceAliases", true, r.Aliases...)
		e.text("kms:KeySpec", r.KeySpec)
		e.text("kms:CustomerMasterKeySpec", r.KeySpec)
		e.text("kms:KeyUsage", r.KeyUsage)
		e.text("kms:CustomerMasterKeyUsage", r.KeyUsage)
		e.text("kms:KeyOrigin", r.KeyOrigin)
	}
}

func (e *evaluation) requestKeys() {
	x := &e.Context
	if !x.Time.IsZero() {
		e.put("aws:CurrentTime", false, date(x.Time))
		e.put("aws:EpochTime", false, strconv.FormatInt(x.Time.Unix(), 10))
	}
	if x.SourceIP != "" {
		e.put("aws:SourceIp", false, x.SourceIP)
		e.put("aws:SecureTransport", false, strconv.FormatBool(x.SecureTransport))
	}
	e.text("aws:UserAgent", x.UserAgent)
	e.text("aws:RequestedRegion", x.Region)
	e.family("kms:EncryptionContext:", x.EncryptionContext)
	e.put("kms:EncryptionContextKeys", true, slices.Sorted(maps.Keys(x.EncryptionContext))...)
	e.family("aws:RequestTag/", x.RequestTags)
	e.put("aws:TagKeys", true, slices.Sorted(maps.Keys(x.RequestTags))...)
	e.family("", x.Claims)
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// collide returns the values of a name that the request has several times, in different cases; nil if it has not.
func (e *evaluation) collide(key string) []string {
	e.keys()
	if list := e.colliding[fold(key)]; len(list) > 1 {
		return list
	}
	return nil
}

// values returns the values of a key, nil if it is absent, and whether it is a key of several values.
func (e *evaluation) values(key string) ([]string, bool) {
	e.keys()
	folded := fold(key)
	if _, family := e.colliding[folded]; family && e.Defect == CaseSensitiveKeys && !e.exact[key] {
		return nil, false
	}
	f := e.found[folded]
	return f.values, f.plural
}

// wording reads patterns of the policy.
func (e *evaluation) wording(p *Policy) wording {
	return wording{
		variables: p.variables,
		injection: e.Defect == WildcardsInVariables,
		literal:   e.Defect == UnresolvedIsLiteral,
		empty:     e.Defect == UnresolvedIsEmpty,
		colon:     e.Defect == StarStopsAtColon,
		value: func(key string) (string, bool) {
			v, plural := e.values(key)
			if len(v) != 1 || plural {
				return "", false
			}
			return v[0], true
		},
	}
}

// ambiguous reports whether a pattern has a variable that the request has several values for. Section 4 lets keys of one value be variables only, and D11
// is closed: whoever asks for ambiguity has it counted against them.
func (e *evaluation) ambiguous(p *Policy, pattern string) bool {
	found := false
	words := e.wording(p)
	words.wildcards = true
	words.value = func(key string) (string, bool) {
		found = found || e.collide(key) != nil
		return "", true
	}
	words.tokens(pattern)
	return found
}
