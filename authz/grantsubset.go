package authz

// A subsetNode is for the grants whose EncryptionContextSubset begins with the pairs that lead here. A request comes to it if it
// has these pairs. As one grant stays here if none ends here, there are no more nodes than grants, until some are taken out.
type subsetNode struct {
	here pile                  // whose constraints have no more pairs; or one, whatever it has besides
	kids hashTrie[*subsetNode] // :: hash of the next pair → node
}

// subsetNodeOf returns a node for grants of which the first depth pairs lead to it, or nil for none.
func subsetNodeOf(list []*KeyGrant, depth int) *subsetNode {
	if len(list) == 0 {
		return nil
	}
	var here []*KeyGrant
	below := make(map[uint64][]*KeyGrant)
	for _, g := range list {
		if g.Subset.Len() == depth {
			here = append(here, g)
		}
	}
	if len(here) == 0 {
		here = list[:1]
	}
	for _, g := range list {
		if g.Subset.Len() != depth && g != here[0] {
			hash := g.Subset.list[depth].hash()
			below[hash] = append(below[hash], g)
		}
	}
	kids := make(map[uint64]*subsetNode, len(below))
	for hash, list := range below {
		kids[hash] = subsetNodeOf(list, depth+1)
	}
	return &subsetNode{pileOf(here), collectTrie(kids)}
}

// with returns n with a grant of which the first depth pairs lead here.
func (n *subsetNode) with(g *KeyGrant, depth int) *subsetNode {
	if n == nil {
		return &subsetNode{here: pile{}.with(g)}
	}
	next := *n
	if g.Subset.Len() == depth || len(n.here) == 0 && n.kids.root == nil {
		next.here = n.here.with(g)
		return &next
	}
	hash := g.Subset.list[depth].hash()
	kid, _ := n.kids.load(hash)
	next.kids = n.kids.with(hash, kid.with(g, depth+1))
	return &next
}

// without returns n without g, which is here or below; nil if nothing is left.
func (n *subsetNode) without(g *KeyGrant, depth int) *subsetNode {
	next := *n
	if n.here.has(g) {
		next.here = n.here.without(g)
	} else {
		hash := g.Subset.list[depth].hash()
		kid, _ := n.kids.load(hash)
		if kid = kid.without(g, depth+1); kid != nil {
			next.kids = n.kids.with(hash, kid)
		} else {
			next.kids = n.kids.without(hash)
		}
	}
	if len(next.here) == 0 && next.kids.root == nil {
		return nil
	}
	return &next
}
