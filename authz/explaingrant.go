package authz

// shown returns the grants for a grantee, or more of them than are traced: first those that the request finds, of them
// first those that allow the operation.
func (t *tracer) shown(id boundID, level Level) []*KeyGrant {
	list, x := t.resource.Grants.candidates(id, level)
	if x == nil || !t.again() {
		return list
	}
	need := t.operations()
	var found, others []*KeyGrant
	t.search(x, func(p pile) bool {
		for i := range p {
			if p[i].operations&need == need {
				found = append(found, p[i].first)
			} else {
				others = append(others, p[i].first)
			}
		}
		return len(found) <= maxTracedGrants
	})
	found = append(found, others...)
	seen := make(map[*KeyGrant]bool)
	for _, g := range found {
		seen[g] = true
	}
	for _, g := range x.byID.All() {
		if len(found) > maxTracedGrants {
			break
		}
		if !seen[g] {
			found = append(found, g)
		}
	}
	return found
}
