package iam

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// Kinds of records of the organization and their paths, described in docs/formats/organization-records.md.
const (
	kindOrganization storage.Kind = "organization"         // "organization"
	kindUnit         storage.Kind = "organizational-unit"  // unit's id
	kindMember       storage.Kind = "organization-account" // account id
	kindOrgPolicy    storage.Kind = "organization-policy"  // policy's id
)

// The one organization of a store.
const organizationPath = "organization"

// rootName is AWS's for every root.
const rootName = "Root"

type organizationRecord struct {
	Version  int       `json:"version"`
	ID       string    `json:"id"`
	Root     string    `json:"root"`
	Created  time.Time `json:"created"`
	Policies []string  `json:"policies"`
}

type unitRecord struct {
	Version  int       `json:"version"`
	ID       string    `json:"id"`
	Parent   string    `json:"parent"`
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	Policies []string  `json:"policies"`
}

type memberRecord struct {
	Version  int        `json:"version"`
	ID       string     `json:"id"`
	Parent   string     `json:"parent"`
	Name     string     `json:"name"`
	Email    string     `json:"email,omitempty"`
	Tags     tagSet     `json:"tags,omitempty"`
	Created  time.Time  `json:"created"`
	Closed   *time.Time `json:"closed,omitempty"`
	Policies []string   `json:"policies"`
}

type orgPolicyRecord struct {
	Version     int       `json:"version"`
	ID          string    `json:"id"`
	Type        string    `json:"type"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Document    string    `json:"document"`
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
}

// write puts the record of a node.
func (o *organization) write(tx *storage.Tx, n *orgNode) error {
	switch n.kind {
	case RootTarget:
		return tx.Put(kindOrganization, organizationPath, encodeJSON(organizationRecord{
			Version: recordVersion, ID: o.id, Root: n.id, Created: o.created, Policies: n.policies,
		}))
	case UnitTarget:
		return tx.Put(kindUnit, n.id, encodeJSON(unitRecord{
			Version: recordVersion, ID: n.id, Parent: n.parent, Name: n.name, Created: n.created, Policies: n.policies,
		}))
	}
	r := memberRecord{
		Version: recordVersion, ID: n.id, Parent: n.parent, Name: n.name, Email: n.member.email, Tags: n.member.tags,
		Created: n.created, Policies: n.policies,
	}
	if !n.member.closed.IsZero() {
		r.Closed = &n.member.closed
	}
	return tx.Put(kindMember, n.id, encodeJSON(r))
}

func decodeOrganization(path string, data []byte) (*organization, error) {
	r, err := decodeJSON(data, recordVersion, func(r *organizationRecord) int { return r.Version })
	if err != nil {
		return nil, err
	}
	if path != organizationPath || !organizationID.MatchString(r.ID) || !orgRootID.MatchString(r.Root) {
		return nil, errors.New("the path, or an id in it, is malformed")
	}
	root := &orgNode{kind: RootTarget, id: r.Root, name: rootName, created: r.Created, policies: r.Policies}
	return &organization{id: r.ID, created: r.Created, root: root}, nil
}

func decodeUnit(path string, data []byte) (*orgNode, error) {
	r, err := decodeJSON(data, recordVersion, func(r *unitRecord) int { return r.Version })
	if err != nil {
		return nil, err
	}
	if r.ID != path || !unitID.MatchString(r.ID) {
		return nil, errors.New("the id is not the path's")
	}
	if err := checkOrgName("name", r.Name, maxUnitName); err != nil {
		return nil, err
	}
	return &orgNode{kind: UnitTarget, id: r.ID, parent: r.Parent, name: r.Name, created: r.Created, policies: r.Policies}, nil
}

func decodeMember(path string, data []byte) (*orgNode, error) {
	r, err := decodeJSON(data, recordVersion, func(r *memberRecord) int { return r.Version })
	if err != nil {
		return nil, err
	}
	if r.ID != path || !accountID.MatchString(r.ID) {
		return nil, errors.New("the id is not the path's")
	}
	if err := checkOrgName("name", r.Name, maxAccountName); err != nil {
		return nil, err
	}
	if r.Email != "" {
		if err := checkEmail(r.Email); err != nil {
			return nil, err
		}
	}
	m := &member{email: r.Email, tags: r.Tags}
	if r.Closed != nil {
		if m.closed = *r.Closed; m.closed.IsZero() {
			return nil, errors.New("closed at no time")
		}
	}
	return &orgNode{
		kind: AccountTarget, id: r.ID, parent: r.Parent, name: r.Name, created: r.Created, policies: r.Policies, member: m,
	}, nil
}

func encodeOrgPolicy(p *orgPolicy) []byte {
	return encodeJSON(orgPolicyRecord{
		Version: recordVersion, ID: p.id, Type: orgPolicyWord(p.kind), Name: p.name, Description: p.description,
		Document: p.document, Created: p.created, Updated: p.updated,
	})
}

// decodeOrgPolicy gives a policy whose document does not parse one in its place that denies everything, and says what
// is wrong with it: leaving it out would lose what it denies.
func decodeOrgPolicy(path string, data []byte) (p *orgPolicy, fault, err error) {
	r, err := decodeJSON(data, recordVersion, func(r *orgPolicyRecord) int { return r.Version })
	if err != nil {
		return nil, nil, err
	}
	if r.ID != path || !orgPolicyID.MatchString(r.ID) || r.ID == FullAWSAccessID || r.ID == RCPFullAWSAccessID {
		return nil, nil, errors.New("the id is not the path's, or that of a policy of AWS")
	}
	if err := cmp.Or(checkOrgName("name", r.Name, maxPolicyName), checkOrgDescription(r.Description)); err != nil {
		return nil, nil, err
	}
	at := slices.IndexFunc(orgPolicyTypes[:], func(k authz.PolicyKind) bool { return orgPolicyWord(k) == r.Type })
	if at < 0 {
		return nil, nil, errors.New("the type is unknown")
	}
	facts := orgPolicy{
		id: r.ID, name: r.Name, description: r.Description, kind: orgPolicyTypes[at], document: r.Document,
		created: r.Created, updated: r.Updated,
	}
	if p, fault = newOrgPolicy(facts); fault == nil {
		return p, nil, nil
	}
	facts.compiled = authz.Unusable(facts.kind, facts.id)
	return &facts, fault, nil
}

// checkTree refuses what contradicts itself: a parent that is not there or below its own child, names that are taken,
// and attachments that are no sorted list of policies.
func (o *organization) checkTree() error {
	names := map[[2]string]bool{} // :: parent or type, name in lower case → true
	for _, p := range o.policies.All() {
		name := [2]string{orgPolicyWord(p.kind), fold(p.name)}
		if names[name] {
			return fmt.Errorf("record %s %q: another policy of its type has the name", kindOrgPolicy, p.id)
		}
		names[name] = true
	}
	for n := range o.nodesAfter("") {
		if err := o.checkNode(n); err != nil {
			return err
		}
		name := [2]string{n.parent, fold(n.name)}
		if n.kind == UnitTarget && names[name] {
			return recordError(n, "another unit under its parent has the name")
		}
		names[name] = names[name] || n.kind == UnitTarget
	}
	return nil
}

// checkNode takes n to the root, and finds what is attached to it.
func (o *organization) checkNode(n *orgNode) error {
	steps := 0
	for at := n; at.kind != RootTarget; steps++ {
		parent, ok := o.container(at.parent)
		if !ok || steps > MaxUnitDepth {
			return recordError(n, "its parent is not there, or not under the root")
		}
		at = parent
	}
	for at, id := range n.policies {
		if at > 0 && n.policies[at-1] >= id {
			return recordError(n, "the policies are not in order")
		}
		if _, ok := o.policies.Load(id); !ok {
			return recordError(n, "a policy attached to it is not there")
		}
	}
	return nil
}

// recordError names the record of a node.
func recordError(n *orgNode, text string) error {
	kind, path := kindOrganization, organizationPath
	switch n.kind {
	case UnitTarget:
		kind, path = kindUnit, n.id
	case AccountTarget:
		kind, path = kindMember, n.id
	}
	return fmt.Errorf("record %s %q: %s", kind, path, text)
}
