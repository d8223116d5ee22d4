package authz

import (
	"slices"
	"strings"
)

// A ContextValue is a condition key and what a request has for it.
type ContextValue struct {
	Name   string // "aws:SourceIp", "kms:EncryptionContext:app"
	Type   KeyType
	Multi  bool     // it may have several values
	Values []string // as a policy would write them
}

// ContextValues returns every condition key that a request has, in the order of their names: what conditions could ask for. A pair
// whose name stands there in several cases is one key with several values. x may be nil. It allocates, and is for those who
// explain decisions.
func ContextValues(c *Caller, a Action, r *Resource, x *Context) []ContextValue {
	if c == nil || r == nil || !a.known() {
		return nil
	}
	q := request{caller: c, action: a, resource: r, context: x}
	var list []ContextValue
	for k := keyID(1); k < keyNever; k++ {
		i := &keyTable[k]
		if k == keyEpochDate {
			continue
		}
		for _, member := range q.members(k) {
			var v reading
			q.read(&v, k, foldName(member))
			if v.count > 0 {
				list = append(list, ContextValue{Name: i.name + member, Type: i.kind, Multi: i.multi, Values: v.texts(i.kind)})
			}
		}
	}
	slices.SortFunc(list, func(a, b ContextValue) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// members returns the names that a family has in a request, one of each case; of a key that is no family the empty name.
func (q *request) members(k keyID) []string {
	var p *Pairs
	switch {
	case !keyTable[k].family:
		return []string{""}
	case k == keyPrincipalTag:
		p = &q.caller.Tags
	case k == keyResourceTag, k == keyIAMResourceTag:
		p = &q.resource.Tags
	case q.context == nil:
		return nil
	case k == keyRequestTag:
		p = &q.context.RequestTags
	case k == keyEncryptionContext:
		p = &q.context.EncryptionContext
	case k == keyClaim:
		p = &q.context.Claims
	default:
		return nil
	}
	var names []string
	for i := range p.list {
		if i == 0 || p.list[i].folded != p.list[i-1].folded {
			names = append(names, p.list[i].name)
		}
	}
	return names
}
