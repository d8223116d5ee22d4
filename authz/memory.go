package authz

import "slices"

// What is kept for later, to explain a decision, holds on to policies that are no longer in force and to what somebody put into a request. This file says how
// much that is: estimates, on the high side.

const (
	policyMemory    = 4 << 10 // of a policy besides its document and its statements
	statementMemory = 1536    // of a statement besides what it lists
	conditionMemory = 512
	resourceMemory  = 1100 // of a resource other than "*" besides
	listedMemory    = 160  // of a value, action, resource or principal, of which there may be a pattern
	documentTimes   = 4    // how often a text of the document is there
	pairMemory      = 64   // of a pair besides its texts, of which the name may be there in lower case too
	contextMemory   = 2 << 10
	grantMemory     = 512
)

// Memory is about how many bytes the policy takes in memory: up to fifty times its document. A nil *Policy takes none.
func (p *Policy) Memory() int {
	if p == nil {
		return 0
	}
	n := policyMemory + documentTimes*len(p.doc) + statementMemory*len(p.stmts)
	for i := range p.stmts {
		s := p.stmts[i].source
		if s == nil {
			continue
		}
		n += listedMemory*(len(s.actions)+len(s.principals)+len(s.resources)) + conditionMemory*len(s.conditions)
		for _, resource := range s.resources {
			if resource != "*" {
				n += resourceMemory
			}
		}
		for j := range s.conditions {
			n += listedMemory * len(s.conditions[j].Values)
		}
	}
	return n
}

// Memory is about how many bytes the pairs take in memory.
func (p *Pairs) Memory() int {
	n := 0
	for i := range p.list {
		n += pairMemory + 2*len(p.list[i].name) + len(p.list[i].value)
	}
	return n
}

// Memory is about how many bytes the grant takes in memory.
func (g *KeyGrant) Memory() int {
	n := grantMemory + g.Equals.Memory() + g.Subset.Memory()
	for _, text := range []string{g.ID, g.Name, g.Grantee.Text, g.Grantee.ID, g.Retiring.Text, g.Retiring.ID} {
		n += len(text)
	}
	return n
}

// For returns the grants of a caller, of its role and of its account, at most most of them, and whether that is all
// of them; all grants of the key, if they are no more than that.
func (s *KeyGrants) For(c *Caller, most int) (part *KeyGrants, whole bool) {
	if s.Len() <= most || s.count <= fewGrants {
		return s, true
	}
	ids := []string{c.ID, c.sessionID().String(), c.Account}
	slices.Sort(ids)
	var list []*KeyGrant
	whole = true
	for _, id := range slices.Compact(ids) {
		s.heldBy(id).all(func(g *KeyGrant) bool {
			switch {
			case g.Grantee.ID != id:
			case len(list) == most:
				whole = false
			default:
				list = append(list, g)
			}
			return whole
		})
	}
	return CollectKeyGrants(slices.Values(list)), whole
}

// Memory is about how many bytes the Context takes in memory, without the memory that it keeps for the next request.
func (x *Context) Memory() int {
	n := contextMemory + len(x.UserAgent) + x.lists()
	for i := range x.values {
		n += len(x.values[i].text)
	}
	if x.KeyGrant != nil {
		n += x.KeyGrant.Memory()
	}
	return n
}

// lists is what pairs and lists take.
func (x *Context) lists() int {
	n := x.EncryptionContext.Memory() + x.RequestTags.Memory() + x.Claims.Memory()
	for i := range x.values {
		for _, text := range x.values[i].list {
			n += pairMemory + len(text)
		}
	}
	return n
}

// texts is how many bytes of text pairs and lists have.
func (x *Context) texts() (n int) {
	for _, p := range []*Pairs{&x.EncryptionContext, &x.RequestTags, &x.Claims} {
		for i := range p.list {
			n += len(p.list[i].name) + len(p.list[i].value)
		}
	}
	for i := range x.values {
		for _, text := range x.values[i].list {
			n += len(text)
		}
	}
	return n
}

// CloneWithin is Clone, but without pairs and lists if they have more than most bytes of text together; whole is whether
// the copy has all.
func (x *Context) CloneWithin(most int) (next *Context, whole bool) {
	if x.texts() <= most {
		return x.Clone(), true
	}
	short := *x
	short.EncryptionContext, short.RequestTags, short.Claims = Pairs{}, Pairs{}, Pairs{}
	for i := range short.values {
		if short.values[i].kind == listValue {
			short.values[i] = contextValue{}
		}
	}
	return &short, false
}
