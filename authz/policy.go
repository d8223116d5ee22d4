package authz

import (
	"fmt"
	"slices"
)

// PolicyKind says what a policy is attached to, and so which elements it may have.
type PolicyKind uint8

// The kinds of policies. The zero PolicyKind is none. authz.md 2.2 says which elements each may have.
const (
	IdentityPolicy PolicyKind = iota + 1 // of a user, group or role: managed, inline, or as a permissions boundary
	KeyPolicy                            // of a key
	SessionPolicy                        // given when a role is assumed
	TrustPolicy                          // of a role: who may assume it
	ServiceControlPolicy
	ResourceControlPolicy
	kindEnd
)

// kindNames :: PolicyKind → its name in prose. It is never written.
var kindNames = [kindEnd]string{
	IdentityPolicy:        "identity policy",
	KeyPolicy:             "key policy",
	SessionPolicy:         "session policy",
	TrustPolicy:           "trust policy",
	ServiceControlPolicy:  "service control policy",
	ResourceControlPolicy: "resource control policy",
}

// String returns the kind's name in prose.
func (k PolicyKind) String() string {
	if k == 0 || k >= kindEnd {
		return fmt.Sprintf("policy kind %d", uint8(k))
	}
	return kindNames[k]
}

// A Policy is a compiled document. It never changes, and may be used by many goroutines at once. A nil Policy, the
// zero Policy, one made by [Unusable], and a key or trust policy that has to be bound and is not, deny every request
// that they are part of.
type Policy struct {
	ready PolicyKind   // the kind, or zero if the policy must not be evaluated
	named [2]actionSet // :: Verdict → actions that its statements name
	sure  actionSet    // actions that a statement allows on everything, on no condition
	kind  PolicyKind
	name  string
	doc   string
	size  int

	version string // the language's: "2012-10-17" or "2008-10-17"
	stmts   []statement

	// For each action, where the statements that name it stand in order: those of one effect are next to each
	// other, in the document's order. Statements whose exact ARNs are in byARN and that have no other pattern are
	// not among them.
	spans   [actionEnd][2]span // :: Action → Verdict → span
	order   []int32
	byARN   map[string][]int32 // :: ARN → statements that name it, in the document's order
	indexed [2]actionSet       // :: Verdict → actions that statements in byARN name
}

type span struct{ from, to uint32 }

// A statement is compiled, but for its place in the policy's spans. What a decision reads first stands first.
type statement struct {
	patterns     []pattern   // those that byARN does not hold
	conditions   []condition // all of which must hold, the cheapest first
	everywhere   bool        // Resource has "*"
	notResource  bool
	notPrincipal bool // principals are those of a NotPrincipal, which only a Deny has
	effect       Verdict
	actions      actionSet
	principals   principals
	sid          string
	from, to     int     // its bytes in the document
	source       *source // what it was compiled from
}

// byARN is used by policies with more exact ARNs than this.
const fewARNs = 8

func compile(kind PolicyKind, stmts []statement) *Policy {
	p := &Policy{kind: kind, ready: kind, stmts: stmts}
	for i := range stmts {
		p.named[stmts[i].effect].addAll(&stmts[i].actions)
		if slices.ContainsFunc(stmts[i].principals.list, func(e principal) bool { return e.needsBinding() }) {
			p.ready = 0
		}
		if kind == TrustPolicy && len(stmts[i].patterns) == 0 { // which has no Resource: it is about its role
			stmts[i].patterns = []pattern{compilePattern("*")}
		}
		stmts[i].everywhere = !stmts[i].notResource && slices.ContainsFunc(stmts[i].patterns, func(e pattern) bool { return e.kind == anyPattern })
		if stmts[i].effect == Allow && stmts[i].everywhere && len(stmts[i].conditions) == 0 {
			p.sure.addAll(&stmts[i].actions)
		}
	}
	if kind != KeyPolicy && kind != TrustPolicy {
		p.indexARNs()
	}
	for a := Action(1); a < actionEnd; a++ {
		for _, effect := range []Verdict{Deny, Allow} {
			from := len(p.order)
			for i := range stmts {
				if s := &stmts[i]; s.effect == effect && s.actions.has(a) && len(s.patterns) > 0 {
					p.order = append(p.order, int32(i))
				}
			}
			p.spans[a][effect] = span{uint32(from), uint32(len(p.order))}
		}
	}
	return p
}

// indexARNs moves the exact ARNs of Resource elements into byARN, if there are enough of them.
func (p *Policy) indexARNs() {
	exact := 0
	for i := range p.stmts {
		exact += p.stmts[i].exactARNs()
	}
	if exact <= fewARNs {
		return
	}
	p.byARN = make(map[string][]int32, exact)
	for i := range p.stmts {
		s := &p.stmts[i]
		if s.exactARNs() == 0 {
			continue
		}
		p.indexed[s.effect].addAll(&s.actions)
		var rest []pattern
		for _, e := range s.patterns {
			if e.kind != exactPattern {
				rest = append(rest, e)
				continue
			}
			if l := p.byARN[e.text]; len(l) == 0 || l[len(l)-1] != int32(i) {
				p.byARN[e.text] = append(l, int32(i))
			}
		}
		s.patterns = rest
	}
}

// exactARNs returns how many ARNs without a wildcard Resource has.
func (s *statement) exactARNs() int {
	if s.notResource {
		return 0
	}
	n := 0
	for i := range s.patterns {
		if s.patterns[i].kind == exactPattern {
			n++
		}
	}
	return n
}

// What a decision pays for looking at a policy and at a statement of it, in the steps of maxSteps.
const (
	policySteps    = 4
	statementSteps = 9 // it is not in the cache, where there are thousands
)

// first returns the number, from 1, of the first statement that has the effect and takes in the request, or 0. It is
// for policies without principals. It gives up when the budget is spent.
func (p *Policy) first(effect Verdict, q *request) int {
	if !p.named[effect].has(q.action) {
		return 0
	}
	return p.search(effect, q)
}

// permits reports whether a statement allows the request.
func (p *Policy) permits(q *request) bool { return p.sure.has(q.action) || p.first(Allow, q) != 0 }

func (p *Policy) search(effect Verdict, q *request) int {
	q.target.budget -= policySteps
	found := int32(len(p.stmts))
	if p.byARN != nil && p.indexed[effect].has(q.action) {
		found = p.firstExact(effect, q)
	}
	at := p.spans[q.action][effect]
	for _, i := range p.order[at.from:at.to] {
		if i >= found {
			break
		}
		if q.target.budget -= statementSteps; q.target.exhausted() {
			break
		}
		if s := &p.stmts[i]; (s.everywhere || s.covers(q)) && s.conditionsHold(q) && !q.target.exhausted() {
			found = i
			break
		}
	}
	if int(found) == len(p.stmts) {
		return 0
	}
	return int(found) + 1
}

// firstExact is first for the statements that byARN holds; it counts from 0, and returns their number if there is none.
func (p *Policy) firstExact(effect Verdict, q *request) int32 {
	for _, i := range p.byARN[q.target.arn] {
		if q.target.budget -= statementSteps; q.target.exhausted() {
			break
		}
		s := &p.stmts[i]
		if s.effect == effect && s.actions.has(q.action) && s.conditionsHold(q) && !q.target.exhausted() {
			return i
		}
	}
	return int32(len(p.stmts))
}

// level returns at which level the statement of a resource's policy is about the caller.
func (s *statement) level(c *Caller) Level {
	switch {
	case s.notPrincipal:
		return s.principals.deniesOthers(c)
	case s.effect == Deny:
		return s.principals.denies(c)
	}
	return s.principals.level(c)
}

// firstFor returns the number, from 1, of the first Deny of a resource's policy for the caller, and its level, or 0.
func (p *Policy) firstFor(q *request) (int, Level) {
	at := p.spans[q.action][Deny]
	for _, i := range p.order[at.from:at.to] {
		if q.target.budget -= statementSteps; q.target.exhausted() {
			break
		}
		s := &p.stmts[i]
		if l := s.level(q.caller); l != NoLevel && (s.everywhere || s.covers(q)) && s.conditionsHold(q) && !q.target.exhausted() {
			return int(i) + 1, l
		}
	}
	return 0, NoLevel
}

// allows has, for each level at which a resource's policy allows something to a caller, the number of the first statement
// that does, from 1, and 0 for the other levels.
type allows [AccountLevel + 1]int

// closest returns the statement of the closest level, and the level; 0 and NoLevel if nothing is allowed.
func (w *allows) closest() (int, Level) {
	for l := DirectLevel; l <= AccountLevel; l++ {
		if w[l] != 0 {
			return w[l], l
		}
	}
	return 0, NoLevel
}

// allowsFor returns at which levels a resource's policy allows the action to the caller. It stops at the closest.
func (p *Policy) allowsFor(q *request) allows {
	var w allows
	at := p.spans[q.action][Allow]
	for _, i := range p.order[at.from:at.to] {
		if q.target.budget -= statementSteps; q.target.exhausted() {
			break
		}
		s := &p.stmts[i]
		l := s.level(q.caller)
		if l == NoLevel || w[l] != 0 || !s.everywhere && !s.covers(q) || !s.conditionsHold(q) {
			continue
		}
		if w[l] = int(i) + 1; l == DirectLevel {
			break
		}
	}
	return w
}

// Unusable returns a policy that denies every request it is part of. It stands for a stored document that does not
// load: leaving it out would lose its Deny statements.
func Unusable(kind PolicyKind, name string) *Policy { return &Policy{kind: kind, name: name} }

// Named returns the same policy under a name, which decisions report.
func (p *Policy) Named(name string) *Policy {
	q := *p
	q.name = name
	return &q
}

// Name returns the name that [Policy.Named] gave, or "".
func (p *Policy) Name() string { return p.name }

// Kind returns what the policy was parsed as.
func (p *Policy) Kind() PolicyKind { return p.kind }

// Document returns a copy of the document, byte for byte as it was parsed.
func (p *Policy) Document() []byte { return []byte(p.doc) }

// Size returns the number of characters in the document without the white space between its elements: what AWS's
// quotas for identity policies count.
func (p *Policy) Size() int { return p.size }

// Statements returns the number of statements.
func (p *Policy) Statements() int { return len(p.stmts) }

// Sid returns the Sid of a statement, counted from 1 as in [Decision]; "" if it has none or does not exist. It may
// hold any character that a document may, line ends among them.
func (p *Policy) Sid(n int) string {
	if n < 1 || n > len(p.stmts) {
		return ""
	}
	return p.stmts[n-1].sid
}

// StatementSpan returns where a statement, counted from 1, stands in the document: its first byte and the one
// after its last. Both are 0 if it does not exist.
func (p *Policy) StatementSpan(n int) (from, to int) {
	if n < 1 || n > len(p.stmts) {
		return 0, 0
	}
	return p.stmts[n-1].from, p.stmts[n-1].to
}

// Delegates reports whether a key policy has a statement that allows the action to the account, and so lets the
// account's identity policies decide. It looks at Principal, Action and Effect only.
func (p *Policy) Delegates(account string, a Action) bool {
	if !a.known() {
		return false
	}
	at := p.spans[a][Allow]
	for _, i := range p.order[at.from:at.to] {
		if p.stmts[i].principals.accounts.has(account) {
			return true
		}
	}
	return false
}
