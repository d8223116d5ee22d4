package authz_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/authz/ref"
)

// A gen makes policies and requests out of few names, so that they meet.
type gen struct {
	*rand.Rand
	focus   string // the action that most of the policies, and of the requests, are about
	asked   int    // how many documents were made,
	refused int    // and how many of them authz.Parse did not take
	why     map[string]int
}

// newGen returns the generator of one scene of a run.
func newGen(seed, scene uint64) *gen {
	return &gen{Rand: rand.New(rand.NewPCG(seed, scene)), why: map[string]int{}}
}

func pick[T any](g *gen, list []T) T { return list[g.IntN(len(list))] }

// one reports true once in n times.
func (g *gen) one(n int) bool { return g.IntN(n) == 0 }

// some returns a value, or a list of up to most of them.
func (g *gen) some(list []string, most int) any {
	if g.one(2) {
		return pick(g, list)
	}
	var out []string
	for range 1 + g.IntN(most) {
		out = append(out, pick(g, list))
	}
	return out
}

var (
	genAccounts = []string{"111111111111", "222222222222"}
	genKeys     = []string{
		"arn:aws:kms:local:111111111111:key/a", "arn:aws:kms:local:111111111111:key/ab",
		"arn:aws:kms:local:222222222222:key/a", "arn:aws:kms:local:222222222222:key/b",
	}
	genAliases  = []string{"arn:aws:kms:local:111111111111:alias/a", "arn:aws:kms:local:222222222222:alias/a"}
	genEntities = []string{"arn:aws:iam::111111111111:user/a", "arn:aws:iam::222222222222:user/a", "arn:aws:iam::222222222222:user/p/b"}
	genRoles    = []string{"arn:aws:iam::111111111111:role/r", "arn:aws:iam::222222222222:role/r"}
	genNodes    = []string{"arn:aws:organizations::111111111111:account/o-aaaaaaaaaa/222222222222"}
	genExact    = slices.Concat(genKeys, genKeys, genAliases, genEntities, genRoles, genNodes)
	genProvider = "arn:aws:iam::111111111111:oidc-provider/idp.test"
	genGlobs    = []string{
		"*", "*", "*", "arn:aws:kms:*:111111111111:key/*", "arn:aws:kms:*", "arn:*", "arn:aws:kms:local:*:key/a", "arn:aws:kms:*:key/a",
		"arn:aws:kms:local:111111111111:*", "arn:aws:*:*:*:*/a*", "arn:aws:kms:l?c*l:2*2:key/?", "arn:aws:iam::*:user/*",
		"arn:aws:kms:local:1?1*:key/*b", "arn:aws:kms:*:*:k*y/*a*", "arn:aws:kms:*cal:*:alias/?", "arn:aws:*:a", "arn:aws:iam::222222222222:user/?/b",
		"arn:aws:kms:*:111111111111:key/${aws:username}", "arn:aws:kms:*:*:key/${aws:PrincipalTag/team}", "arn:aws:kms:*:*:key/${aws:PrincipalTag/Team, 'a'}",
		"arn:aws:iam::*:user/${aws:username}*", "arn:aws:kms:*:*:*/${kms:EncryptionContext:app}", "arn:aws:kms:*:*:key/${*}", "arn:aws:iam::*:role/${aws:PrincipalTag/team, 'r'}",
	}
	// genIDs :: ARN of a user, role or session → unique id of the user or role. The last are those that genRenamed makes of the first.
	genIDs = map[string]string{
		"arn:aws:iam::111111111111:user/a":   "AIDAAAAAAAAAAAAAA001",
		"arn:aws:iam::111111111111:user/b":   "AIDAAAAAAAAAAAAAA002",
		"arn:aws:iam::222222222222:user/a":   "AIDAAAAAAAAAAAAAA003",
		"arn:aws:iam::222222222222:user/p/b": "AIDAAAAAAAAAAAAAA004",
		"arn:aws:iam::111111111111:role/r":   "AROAAAAAAAAAAAAAA001",
		"arn:aws:iam::222222222222:role/r":   "AROAAAAAAAAAAAAAA002",
		"arn:aws:iam::333333333333:user/a":   "AIDABBBBBBBBBBBBBB001",
		"arn:aws:iam::333333333333:user/b":   "AIDABBBBBBBBBBBBBB002",
		"arn:aws:iam::444444444444:user/a":   "AIDABBBBBBBBBBBBBB003",
		"arn:aws:iam::444444444444:user/p/b": "AIDABBBBBBBBBBBBBB004",
		"arn:aws:iam::333333333333:role/r":   "AROABBBBBBBBBBBBBB001",
		"arn:aws:iam::444444444444:role/r":   "AROABBBBBBBBBBBBBB002",

		"arn:aws:sts::111111111111:assumed-role/r/session": "AROAAAAAAAAAAAAAA001",
		"arn:aws:sts::222222222222:assumed-role/r/session": "AROAAAAAAAAAAAAAA002",
		"arn:aws:sts::333333333333:assumed-role/r/session": "AROABBBBBBBBBBBBBB001",
		"arn:aws:sts::444444444444:assumed-role/r/session": "AROABBBBBBBBBBBBBB002",
	}
	genPrincipals = []string{
		"*", "111111111111", "111111111111", "222222222222", "arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:root",
		"arn:aws:iam::111111111111:user/a", "arn:aws:iam::111111111111:user/a", "arn:aws:iam::111111111111:user/b", "arn:aws:iam::222222222222:user/a",
		"arn:aws:iam::111111111111:role/r", "arn:aws:iam::111111111111:role/r", "arn:aws:iam::222222222222:role/r", "AIDAAAAAAAAAAAAAA001",
		"AROAAAAAAAAAAAAAA001", "AIDAAAAAAAAAAAAAA009", "arn:aws:sts::111111111111:assumed-role/r/session", "arn:aws:sts::222222222222:assumed-role/r/session",
	}
	genActionPatterns = []string{
		"*", "kms:*", "KMS:decrypt", "kms:Decrypt", "kms:Encrypt", "kms:?ecrypt", "kms:*crypt", "kms:*e*y*", "kms:Describe*", "kms:*Grant", "kms:Re*",
		"iam:*", "Iam:getuser", "iam:List*", "kms:Create*", "kms:C*K*", "kms:PutKeyPolicy", "sts:*", "sts:Get*", "organizations:*", "kms:GenerateDataKey*",
	}
	genTrustPatterns = []string{
		"sts:AssumeRole", "sts:AssumeRole", "sts:assumerole*", "sts:AssumeRoleWithWebIdentity", "sts:AssumeRoleWithWebIdentity", "sts:TagSession",
		"sts:SetSourceIdentity", "sts:*",
	}
)

// action returns patterns, of which many cover the scene's action.
func (g *gen) action(kind authz.PolicyKind) any {
	list := genActionPatterns
	if kind == authz.TrustPolicy {
		list = genTrustPatterns
	}
	service, _, _ := strings.Cut(g.focus, ":")
	switch {
	case kind == authz.TrustPolicy && service != "sts" || g.one(3):
		return g.some(list, 3)
	case g.one(3):
		return []string{service + ":*", pick(g, list)}
	case g.one(4):
		return strings.ToUpper(g.focus)
	}
	return g.focus
}

// statement returns one statement that means something in a policy of the kind, most of the time.
func (g *gen) statement(kind authz.PolicyKind) map[string]any {
	effect := "Allow"
	if g.one(5) || kind == authz.ResourceControlPolicy {
		effect = "Deny"
	}
	s := map[string]any{"Effect": effect}
	s[g.not("Action", 10)] = g.action(kind)
	if kind != authz.TrustPolicy {
		g.resource(s, kind)
	}
	g.principal(s, kind)
	if conditions := g.conditions(kind, effect); conditions != nil {
		s["Condition"] = conditions
	}
	return s
}

// not returns the name of an element, or of its negation once in n times.
func (g *gen) not(name string, n int) string {
	if g.one(n) {
		return "Not" + name
	}
	return name
}

func (g *gen) resource(s map[string]any, kind authz.PolicyKind) {
	switch {
	case kind == authz.KeyPolicy && !g.one(4), g.one(4):
		s["Resource"] = "*"
	case g.one(3):
		s[g.not("Resource", 8)] = g.some(genExact, 12)
	default:
		s[g.not("Resource", 8)] = g.some(slices.Concat(genGlobs, genExact), 4)
	}
}

func (g *gen) principal(s map[string]any, kind authz.PolicyKind) {
	name := "Principal"
	switch kind {
	case authz.ResourceControlPolicy:
		s[name] = "*"
		if g.one(3) {
			s[name] = map[string]any{"AWS": "*"}
		}
	case authz.KeyPolicy:
		if s["Effect"] == "Deny" {
			name = g.not("Principal", 4)
		}
		s[name] = map[string]any{"AWS": g.some(genPrincipals, 14)}
		switch {
		case name == "Principal" && g.one(12):
			s[name] = "*"
		case s["Effect"] == "Allow" && g.one(3):
			s[name] = map[string]any{"AWS": genAccounts}
		}
	case authz.TrustPolicy:
		s[name] = map[string]any{"AWS": g.some(genPrincipals, 4)}
		switch {
		case g.one(4):
			s[name] = map[string]any{"Federated": genProvider}
		case g.one(8):
			s[name] = map[string]any{"Federated": genProvider, "AWS": g.some(genPrincipals, 3)}
		}
	}
}

// statements returns the statements of one document.
func (g *gen) statements(kind authz.PolicyKind) []map[string]any {
	var list []map[string]any
	for range 1 + g.IntN(4) {
		list = append(list, g.statement(kind))
	}
	return list
}

// document writes statements down.
func document(version string, list []map[string]any) string {
	p := map[string]any{"Statement": list}
	if version != "" {
		p["Version"] = version
	}
	if len(list) == 1 {
		p["Statement"] = list[0]
	}
	doc, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return string(doc)
}

// version returns a version of the language that a policy of the kind may be in.
func (g *gen) version(kind authz.PolicyKind) string {
	if kind != authz.ServiceControlPolicy && kind != authz.ResourceControlPolicy && g.one(12) {
		return pick(g, []string{"2008-10-17", ""})
	}
	return "2012-10-17"
}

// policy returns a policy that authz.Parse takes.
func (g *gen) policy(kind authz.PolicyKind, name string) *ref.Policy {
	if g.one(400) {
		return &ref.Policy{Name: name, Unusable: true}
	}
	for range 1000 {
		doc := document(g.version(kind), g.statements(kind))
		g.asked++
		if _, err := parseBound(kind, doc); err != nil {
			g.refused++
			g.why[err.Error()]++
			continue
		}
		return decode(name, doc)
	}
	panic(fmt.Sprintf("no %v is accepted: %v", kind, g.why))
}

// decode reads a document for the reference.
func decode(name, doc string) *ref.Policy {
	p, err := ref.Decode(name, doc, genIDs)
	if err != nil {
		panic(err)
	}
	return p
}

// parseBound reads a document, and binds it to the users and roles of the generator.
func parseBound(kind authz.PolicyKind, doc string) (*authz.Policy, error) {
	p, err := authz.ParseWith(kind, []byte(doc), authz.Options{AllowNotPrincipal: true})
	if err != nil {
		return nil, err
	}
	return p.Bind(func(arn string) (string, bool) { id, ok := genIDs[arn]; return id, ok })
}
