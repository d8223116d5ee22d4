package authz_test

import (
	"encoding/json"
	"fmt"

	"github.com/kmsd/kmsd/authz/ref"
)

// shrink takes out of a request that the interpreters differ about whatever does not matter, and describes the rest.
func shrink(d *difference) string {
	tree := explode(d.request)
	for again := true; again; {
		again = false
		for {
			smaller, ok := withoutOne(tree, func(t any) bool { return differs(t, d) })
			if !ok {
				break
			}
			tree, again = smaller, true
		}
	}
	q := implode(tree, d.request)
	text, err := json.MarshalIndent(tree, "", " ")
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("authz answers %+v\nand the reference  %+v\nto %s", newEngine().decide(q), ref.Decide(q), text)
}

// differs reports whether what is left of the request has the two answers that it had.
func differs(tree any, d *difference) bool {
	q := implode(tree, d.request)
	if q == nil {
		return false
	}
	e := newEngine()
	got, want := e.decide(q), ref.Decide(q)
	return e.refused == nil && got.Reason == d.got.Reason && want.Reason == d.want.Reason && got.Layer == d.got.Layer && !agree(q, got, want)
}

// withoutOne returns the tree without one of its parts, if it has one without which keep holds.
func withoutOne(tree any, keep func(any) bool) (any, bool) {
	switch v := tree.(type) {
	case map[string]any:
		for name, part := range v {
			other := make(map[string]any, len(v))
			for n, p := range v {
				if n != name {
					other[n] = p
				}
			}
			if keep(other) {
				return other, true
			}
			put := func(p any) map[string]any {
				next := map[string]any{name: p}
				for n, o := range other {
					next[n] = o
				}
				return next
			}
			if smaller, ok := withoutOne(part, func(p any) bool { return keep(put(p)) }); ok {
				return put(smaller), true
			}
		}
	case []any:
		for i, part := range v {
			other := append(append([]any{}, v[:i]...), v[i+1:]...)
			if keep(other) {
				return other, true
			}
			put := func(p any) []any { return append(append(append([]any{}, v[:i]...), p), v[i+1:]...) }
			if smaller, ok := withoutOne(part, func(p any) bool { return keep(put(p)) }); ok {
				return put(smaller), true
			}
		}
	}
	return nil, false
}

// explode returns a request as a tree in which policies are trees too.
func explode(q *ref.Request) any {
	text, err := json.Marshal(q)
	if err != nil {
		panic(err)
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		panic(err)
	}
	return walk(tree, func(m map[string]any) {
		if text, ok := m["Text"].(string); ok && text != "" {
			var doc any
			if err := json.Unmarshal([]byte(text), &doc); err != nil {
				panic(err)
			}
			m["Text"] = doc
		}
		delete(m, "IDs")
	})
}

// implode returns the request of a tree, or nil if it is none.
func implode(tree any, from *ref.Request) *ref.Request {
	copied, err := json.Marshal(tree)
	if err != nil {
		panic(err)
	}
	var again any
	if err := json.Unmarshal(copied, &again); err != nil {
		panic(err)
	}
	text, err := json.Marshal(walk(again, func(m map[string]any) {
		if doc, ok := m["Text"].(map[string]any); ok {
			inner, err := json.Marshal(doc)
			if err != nil {
				panic(err)
			}
			m["Text"] = string(inner)
		}
	}))
	if err != nil {
		panic(err)
	}
	q := &ref.Request{Defect: from.Defect}
	if json.Unmarshal(text, q) != nil {
		return nil
	}
	if !decodeAll(q) {
		return nil
	}
	return q
}

// walk calls f for every object in a tree, the outer ones last.
func walk(tree any, f func(map[string]any)) any {
	switch v := tree.(type) {
	case map[string]any:
		for _, part := range v {
			walk(part, f)
		}
		f(v)
	case []any:
		for _, part := range v {
			walk(part, f)
		}
	}
	return tree
}

// decodeAll decodes the policies of a request that was read from JSON. It answers false if one is not whole.
func decodeAll(q *ref.Request) bool {
	ok := true
	again := func(p *ref.Policy) *ref.Policy {
		if p == nil || p.Unusable {
			return p
		}
		var shape struct{ Statement any }
		if json.Unmarshal([]byte(p.Text), &shape) != nil || !isStatements(shape.Statement) {
			ok = false
			return p
		}
		return decode(p.Name, p.Text)
	}
	list := func(l []*ref.Policy) {
		for i := range l {
			if l[i] == nil {
				ok = false
			}
			l[i] = again(l[i])
		}
	}
	c, r := &q.Caller, &q.Resource
	list(c.Identity)
	list(c.Session)
	c.Boundary, r.Policy = again(c.Boundary), again(r.Policy)
	for _, m := range []*ref.Membership{c.Membership, r.Membership} {
		if m != nil {
			for _, level := range append(m.SCPs, m.RCPs...) {
				list(level)
			}
		}
	}
	for _, g := range r.Grants {
		ok = ok && g != nil
	}
	for _, v := range q.Context.Values {
		ok = ok && len(v) > 0
	}
	return ok
}

// isStatements reports whether v is a statement, or several, that ref can decode.
func isStatements(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		block, has := v["Condition"].(map[string]any)
		for _, keys := range block {
			if _, ok := keys.(map[string]any); !ok {
				return false
			}
		}
		return has || v["Condition"] == nil
	case []any:
		for _, s := range v {
			if _, ok := s.(map[string]any); !ok || !isStatements(s) {
				return false
			}
		}
		return len(v) > 0
	}
	return false
}
