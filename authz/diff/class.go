package diff

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
)

// A class is a kind of caller, among whom no statement tells one from another by its principals.
type class struct {
	name   string // in words, or an ARN
	caller authz.Caller
	owner  string // the account of the resource, unless it is in another
	parts  string // the partition of ARNs
	free   bool   // the caller's names and ids are not those of a principal that is named
}

// idOf is the unique id that stands for a user or a role of an ARN.
func idOf(arn string) string {
	prefix := "AIDA"
	if strings.Contains(arn, ":role/") {
		prefix = "AROA"
	}
	sum := sha256.Sum256([]byte(arn))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

// userClass is a user by its ARN.
func userClass(arn string) class {
	id := idOf(arn)
	return class{name: arn, caller: authz.Caller{
		Kind: authz.User, Account: accountOf(arn), ID: id, ARN: arn, UserName: arn[strings.LastIndexByte(arn, '/')+1:],
	}}
}

// sessionClass is a session of a role by its ARN.
func sessionClass(role, session string) class {
	id := idOf(role)
	name := role[strings.LastIndexByte(role, '/')+1:]
	account := accountOf(role)
	partition, _, _ := strings.Cut(strings.TrimPrefix(role, "arn:"), ":")
	return class{name: "a session of " + role, caller: authz.Caller{
		Kind: authz.RoleSession, Account: account, ID: id, RoleARN: role, SessionName: session,
		ARN: "arn:" + partition + ":sts::" + account + ":assumed-role/" + name + "/" + session,
	}}
}

func rootClass(account string) class {
	return class{name: "the root user of account " + account, caller: authz.Caller{
		Kind: authz.Root, Account: account, ID: account, ARN: "arn:aws:iam::" + account + ":root",
	}}
}

func anyUser(account string) class {
	c := userClass("arn:aws:iam::" + account + ":user/someone")
	c.name, c.free = "a user of account "+account, true
	return c
}

func anySession(account string) class {
	c := sessionClass("arn:aws:iam::"+account+":role/some-role", "session")
	c.name, c.free = "a session of a role of account "+account, true
	return c
}

func webClass(provider string) class {
	return class{name: "a web identity of " + provider, caller: authz.Caller{Kind: authz.WebIdentity, ID: provider, ARN: provider}}
}

// accountOf returns the account that an ARN or an account id names, or "".
func accountOf(s string) string {
	if isAccount(s) {
		return s
	}
	if parts := strings.SplitN(s, ":", 6); len(parts) == 6 && isAccount(parts[4]) {
		return parts[4]
	}
	return ""
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

// bounds of the classes that are looked at.
const (
	maxAccounts   = 8
	maxPrincipals = 400
)

// mentions returns the accounts that both documents name, in their order.
func (s *search) mentions() []string {
	var list []string
	s.eachText(func(text string) {
		if a := accountOf(text); a != "" && !slices.Contains(list, a) {
			list = append(list, a)
		}
	})
	return list
}

// eachText yields the principals, resources and values of both documents.
func (s *search) eachText(yield func(string)) {
	for _, p := range []*authz.Policy{s.old, s.new} {
		for n := 1; n <= p.Statements(); n++ {
			v := p.View(n)
			for _, list := range [][]string{v.Principals, v.Resources} {
				for _, text := range list {
					yield(text)
				}
			}
			for _, c := range v.Conditions {
				for _, text := range c.Values {
					yield(text)
				}
			}
		}
	}
}

// otherAccount is one that nobody mentions.
func otherAccount(mentioned []string) string {
	for _, a := range []string{"999988887777", "777766665555", "555544443333"} {
		if !slices.Contains(mentioned, a) {
			return a
		}
	}
	return "123412341234"
}

// classes returns the kinds of callers. complete is false if there are too many.
func (s *search) classes() (list []class, complete bool) {
	mentioned := s.mentions()
	accounts := []string{s.account}
	for _, a := range mentioned {
		if !slices.Contains(accounts, a) {
			accounts = append(accounts, a)
		}
	}
	other := otherAccount(mentioned)
	switch s.kind {
	case authz.IdentityPolicy:
		return s.owned(anyUser(s.account), anySession(s.account)), true
	case authz.SessionPolicy:
		return s.owned(anySession(s.account)), true
	case authz.KeyPolicy, authz.TrustPolicy:
		list, complete = s.principals()
		for _, a := range accounts {
			list = append(list, anyUser(a), anySession(a), rootClass(a))
		}
		return s.owned(append(list, elsewhere(other)...)...), complete
	}
	complete = len(accounts) <= maxAccounts
	for _, a := range accounts[:min(len(accounts), maxAccounts)] {
		list = append(list, anyUser(a), anySession(a), rootClass(a))
	}
	list = append(list, elsewhere(other)...)
	if s.kind == authz.ResourceControlPolicy {
		list = append(list, webClass("arn:aws:iam::"+s.account+":oidc-provider/issuer.example"))
		return s.owned(list...), complete
	}
	for i := range list { // a service control policy is about the principals of each account, and what they have
		list[i].owner = list[i].caller.Account
	}
	return s.placed(list), complete
}

// elsewhere are callers of an account that nobody mentions.
func elsewhere(account string) []class {
	const other = "another account, such as "
	list := []class{anyUser(account), anySession(account), rootClass(account)}
	for i := range list {
		list[i].name = strings.Replace(list[i].name, "account ", other, 1)
	}
	return list
}

// owned makes the account of the policy that of the resources.
func (s *search) owned(list ...class) []class {
	for i := range list {
		list[i].owner = s.account
	}
	return s.placed(list)
}

// placed writes the ARNs of those whom nobody names in the partition of the documents.
func (s *search) placed(list []class) []class {
	for i := range list {
		c := &list[i]
		c.parts = s.partition
		if c.free || c.caller.Kind == authz.Root {
			c.caller.ARN, c.caller.RoleARN = inPartition(c.caller.ARN, s.partition), inPartition(c.caller.RoleARN, s.partition)
		}
	}
	return list
}

// inPartition returns an ARN of the partition aws in another.
func inPartition(arn, partition string) string {
	if rest, ok := strings.CutPrefix(arn, "arn:aws:"); ok {
		return "arn:" + partition + ":" + rest
	}
	return arn
}

// partitionOf returns the partition that the documents name first, or "aws".
func (s *search) partitionOf() string {
	partition := ""
	s.eachText(func(text string) {
		parts := strings.SplitN(text, ":", 3)
		if partition == "" && len(parts) == 3 && parts[0] == "arn" && parts[1] != "" && !strings.ContainsAny(parts[1], "*?$") {
			partition = parts[1]
		}
	})
	return cmp.Or(partition, "aws")
}

// named returns the principals that either version names, each once.
func (s *search) named() []string {
	seen := make(map[string]bool)
	var names []string
	for _, p := range []*authz.Policy{s.old, s.new} {
		for n := 1; n <= p.Statements(); n++ {
			for _, name := range p.View(n).Principals {
				if !seen[name] {
					seen[name] = true
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// roleOf returns the ARN of the role that a session is of: that of a role of its name that is named too, or one without a path.
func (s *search) roleOf(session string) string {
	_, rest, _ := strings.Cut(session, ":assumed-role/")
	role, _, _ := strings.Cut(rest, "/")
	account := accountOf(session)
	if arn, ok := s.roles[account+"/"+role]; ok {
		return arn
	}
	partition, _, _ := strings.Cut(strings.TrimPrefix(session, "arn:"), ":")
	return "arn:" + partition + ":iam::" + account + ":role/" + role
}

// resolve answers authz.Policy.Bind: who is named exists, and the id of a session is that of its role.
func (s *search) resolve(arn string) (string, bool) {
	if strings.Contains(arn, ":assumed-role/") {
		arn = s.roleOf(arn)
	}
	return idOf(arn), true
}

// principals returns a class for each principal that either version names.
func (s *search) principals() (list []class, complete bool) {
	names := s.named()
	if complete = len(names) <= maxPrincipals; !complete {
		names = names[:maxPrincipals]
	}
	for _, name := range names {
		switch {
		case strings.Contains(name, ":oidc-provider/"):
			list = append(list, webClass(name))
		case strings.Contains(name, ":assumed-role/"):
			c := sessionClass(s.roleOf(name), name[strings.LastIndexByte(name, '/')+1:])
			c.name, c.caller.ARN = name, name
			list = append(list, c)
		case strings.Contains(name, ":role/"):
			list = append(list, sessionClass(name, "session"))
		case strings.Contains(name, ":user/"):
			list = append(list, userClass(name))
		case strings.HasPrefix(name, "AIDA"):
			c := userClass("arn:aws:iam::" + s.account + ":user/of-that-id")
			c.name, c.caller.ID = name, name
			list = append(list, c)
		case strings.HasPrefix(name, "AROA"):
			c := sessionClass("arn:aws:iam::"+s.account+":role/of-that-id", "session")
			c.name, c.caller.ID = "a session of "+name, name
			list = append(list, c)
		}
	}
	return list, complete
}
