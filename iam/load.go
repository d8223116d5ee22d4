package iam

import (
	"errors"
	"fmt"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// loader gathers principals while records are read; what is published is made from it in one pass.
type loader struct {
	cfg        Config
	management string
	accounts   map[string]*Account   // :: account id → account
	principals map[string]*principal // :: principal id → principal
	groups     map[string]*group     // :: group id → group
	roles      map[string]*role      // :: role id → role
	managed    map[string]*managed   // :: policy id → managed policy
	keyIDs     map[string]bool
	devices    devices
	providers  providers
	prints     map[[32]byte]bool        // fingerprints of certificates
	parsed     map[string]*authz.Policy // :: label and document → identity policy; many users have the same few
}

// loadSnapshot reads every record of principals in tx.
func loadSnapshot(tx *storage.Tx, cfg Config) (*Snapshot, error) {
	l := &loader{
		cfg: cfg, accounts: map[string]*Account{}, principals: map[string]*principal{}, groups: map[string]*group{},
		roles: map[string]*role{}, managed: map[string]*managed{}, keyIDs: map[string]bool{}, prints: map[[32]byte]bool{}, parsed: map[string]*authz.Policy{},
	}
	for _, m := range awsPolicies(cfg.Partition) {
		l.managed[m.ID] = m
	}
	for _, k := range l.kinds() {
		err := tx.Walk(k.kind, "", func(path string, value []byte) error {
			if err := k.load(path, value); err != nil {
				return fmt.Errorf("record %s %q: %w", k.kind, path, err)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if l.management == "" {
		return nil, fmt.Errorf("%w: the store has no management account", ErrNoSuchEntity)
	}
	s, err := l.snapshot(tx.Generation())
	if err != nil {
		return nil, err
	}
	return s, loadOrganization(tx, s)
}

type loadKind struct {
	kind storage.Kind
	load func(path string, value []byte) error
}

// kinds are in such an order that a record comes after those that it refers to.
func (l *loader) kinds() []loadKind {
	return []loadKind{
		{kindAccount, l.account},
		{kindPolicy, l.managedPolicy},
		{kindPolicyVersion, l.policyVersion},
		{kindGroup, l.group},
		{kindUser, l.user},
		{kindRole, l.role},
		{kindGroupPolicy, l.groupPolicy},
		{kindUserPolicy, l.userPolicy},
		{kindRolePolicy, l.rolePolicy},
		{kindAccessKey, l.accessKey},
		{kindLastUsed, l.lastUse},
		{kindCertificate, l.certificate},
		{kindDevice, l.device},
		{kindProvider, l.provider},
	}
}

func (l *loader) account(path string, value []byte) error {
	r, err := decodeAccount(value)
	if err != nil {
		return err
	}
	if r.ID != path || !accountID.MatchString(r.ID) {
		return errors.New("the id is not the path's")
	}
	if r.Management {
		if l.management != "" {
			return errors.New("a second management account")
		}
		l.management = r.ID
	}
	a := Account{ID: r.ID, Management: r.Management, Created: r.Created}
	l.accounts[r.ID] = &a
	l.principals[r.ID] = newRoot(l.cfg.Partition, a)
	return nil
}

// newRoot returns the root user of an account, which has no record of its own.
func newRoot(partition string, a Account) *principal {
	return &principal{userState: userState{User: User{
		Account: a.ID, ID: a.ID, Name: RootName, Path: "/", ARN: rootARN(partition, a.ID), Created: a.Created,
	}}}
}

// entity takes the path of an entity's record apart and checks it.
func (l *loader) entity(path, id string, form func(string) bool, taken bool) (account string, err error) {
	parts, err := split(path, 2)
	switch {
	case err != nil:
		return "", err
	case l.accounts[parts[0]] == nil:
		return "", errors.New("there is no such account")
	case id != parts[1] || !form(id):
		return "", errors.New("the id is not the path's")
	case taken:
		return "", errors.New("another account has an entity of the same id")
	}
	return parts[0], nil
}

func (l *loader) group(path string, value []byte) error {
	r, err := decodeGroup(value)
	if err != nil {
		return err
	}
	account, err := l.entity(path, r.ID, groupID.MatchString, l.groups[r.ID] != nil)
	if err != nil {
		return err
	}
	if err := l.usable(account, r.Policies...); err != nil {
		return err
	}
	g := &group{policySet: policySet{attached: r.Policies}, Group: Group{
		Account: account, ID: r.ID, Name: r.Name, Path: r.Path, Created: r.Created,
		ARN: entityARN(l.cfg.Partition, account, "group", r.Path, r.Name),
	}}
	l.groups[r.ID] = g
	return nil
}

// usable checks that there are managed policies of these ids, and that the account may attach them.
func (l *loader) usable(account string, ids ...string) error {
	for _, id := range ids {
		if m := l.managed[id]; m == nil || m.Account != account && m.Account != awsAccount {
			return errors.New("there is no such managed policy")
		}
	}
	return nil
}

func (l *loader) user(path string, value []byte) error {
	r, err := decodeUser(value)
	if err != nil {
		return err
	}
	account, err := l.entity(path, r.ID, userID.MatchString, l.principals[r.ID] != nil)
	if err != nil {
		return err
	}
	p := &principal{userState: userState{
		User: User{
			Account: account, ID: r.ID, Name: r.Name, Path: r.Path, Created: r.Created,
			ARN: userARN(l.cfg.Partition, account, r.Path, r.Name),
		},
		policySet: policySet{attached: r.Policies}, groups: r.Groups, tags: r.Tags, boundary: r.Boundary,
	}}
	if err := l.usable(account, r.Policies...); err != nil {
		return err
	}
	if p.PermissionsBoundary, err = l.boundary(account, r.Boundary); err != nil {
		return err
	}
	for _, id := range r.Groups {
		if g := l.groups[id]; g == nil || g.Account != account {
			return errors.New("there is no such group")
		}
	}
	l.principals[r.ID] = p
	return nil
}

// boundary returns the ARN of the managed policy that is a permissions boundary; "" for none.
func (l *loader) boundary(account, id string) (arn string, err error) {
	if id == "" {
		return "", nil
	}
	if err := l.usable(account, id); err != nil {
		return "", err
	}
	return l.managed[id].ARN, nil
}

func (l *loader) role(path string, value []byte) error {
	r, err := decodeRole(value)
	if err != nil {
		return err
	}
	account, err := l.entity(path, r.ID, roleID.MatchString, l.roles[r.ID] != nil)
	if err != nil {
		return err
	}
	if err := l.usable(account, r.Policies...); err != nil {
		return err
	}
	e := &role{roleState: roleState{
		Role: Role{
			Account: account, ID: r.ID, Name: r.Name, Path: r.Path, Created: r.Created, Description: r.Description,
			ARN: entityARN(l.cfg.Partition, account, "role", r.Path, r.Name), TrustPolicy: r.Trust,
			MaxSessionDuration: time.Duration(r.MaxSession) * time.Second,
		},
		policySet: policySet{attached: r.Policies}, tags: r.Tags, boundary: r.Boundary,
	}}
	if checkMaxSession(e.MaxSessionDuration) != nil {
		return errors.New("the length of sessions is out of range")
	}
	if e.PermissionsBoundary, err = l.boundary(account, r.Boundary); err != nil {
		return err
	}
	e.trust, err = rebindTrust(r.Trust, r.Bindings)
	if err != nil {
		e.trust = trustPolicy{compiled: authz.Unusable(authz.TrustPolicy, trustPolicyName), bindings: r.Bindings, fault: err}
	}
	l.roles[r.ID] = e
	return nil
}

func (l *loader) managedPolicy(path string, value []byte) error {
	r, err := decodeManaged(value)
	if err != nil {
		return err
	}
	account, err := l.entity(path, r.ID, policyID.MatchString, l.managed[r.ID] != nil)
	if err != nil {
		return err
	}
	l.managed[r.ID] = &managed{
		Policy: Policy{
			Account: account, ID: r.ID, Name: r.Name, Path: r.Path, Description: r.Description, Created: r.Created, Updated: r.Updated,
			ARN: entityARN(l.cfg.Partition, account, "policy", r.Path, r.Name), DefaultVersion: versionID(r.Default),
		},
		last: r.Last, current: r.Default,
	}
	return nil
}

// policyVersion reads a version. The store walks in the order of paths, so versions come in the order of their numbers.
func (l *loader) policyVersion(path string, value []byte) error {
	parts, err := split(path, 3)
	if err != nil {
		return err
	}
	r, err := decodeVersion(value)
	if err != nil {
		return err
	}
	m := l.managed[parts[1]]
	if m == nil || m.Account != parts[0] {
		return errors.New("there is no such managed policy")
	}
	number, err := parseVersionPath(parts[2])
	if err != nil || number > m.last {
		return errors.New("the version is malformed or was never given")
	}
	m.versions = append(m.versions, policyVersion{number: number, document: r.Document, created: r.Created})
	if number == m.current {
		m.compiled, m.fault = l.parse(m.ARN, r.Document)
	}
	return nil
}

// parse reads a stored identity policy. If it does not parse, it is one that denies everything, and why.
func (l *loader) parse(label, document string) (*authz.Policy, error) {
	key := label + "\x00" + document
	if p, ok := l.parsed[key]; ok {
		return p, nil
	}
	p, err := parsePolicy(authz.IdentityPolicy, label, document)
	if err != nil {
		return authz.Unusable(authz.IdentityPolicy, label), err
	}
	l.parsed[key] = p
	return p, nil
}

// owner returns the principal that a record of three parts hangs on, and the last part.
func (l *loader) owner(path string) (*principal, string, error) {
	parts, err := split(path, 3)
	if err != nil {
		return nil, "", err
	}
	p := l.principals[parts[1]]
	if p == nil || p.Account != parts[0] {
		return nil, "", errors.New("there is no such principal")
	}
	return p, parts[2], nil
}

func (l *loader) accessKey(path string, value []byte) error {
	p, id, err := l.owner(path)
	if err != nil {
		return err
	}
	k, err := decodeAccessKey(value)
	if err != nil {
		return err
	}
	if !accessKeyID.MatchString(id) || l.keyIDs[id] {
		return errors.New("the access key id is malformed or given twice")
	}
	k.id = id
	l.keyIDs[id] = true
	p.keys = append(p.keys, k)
	return nil
}

func (l *loader) certificate(path string, value []byte) error {
	p, fingerprint, err := l.owner(path)
	if err != nil {
		return err
	}
	r, err := decodeCertificate(value)
	if err != nil {
		return err
	}
	c, err := parseCertificate(r.Certificate, r.Created)
	if err != nil {
		return err
	}
	if c.fingerprintHex() != fingerprint || p.isRoot() {
		return errors.New("the fingerprint is not the path's, or the principal is a root user")
	}
	if l.prints[c.Fingerprint] {
		return errors.New("the certificate is another user's too")
	}
	l.prints[c.Fingerprint] = true
	p.certificates = append(p.certificates, c)
	return nil
}

func (l *loader) userPolicy(path string, value []byte) error {
	p, name, err := l.owner(path)
	if err != nil {
		return err
	}
	if p.isRoot() {
		return errors.New("the principal is a root user")
	}
	return l.inline(&p.policySet, name, func(policy string) string { return policy }, value)
}

func (l *loader) groupPolicy(path string, value []byte) error {
	parts, err := split(path, 3)
	if err != nil {
		return err
	}
	g := l.groups[parts[1]]
	if g == nil || g.Account != parts[0] {
		return errors.New("there is no such group")
	}
	return l.inline(&g.policySet, parts[2], g.policyLabel, value)
}

func (l *loader) rolePolicy(path string, value []byte) error {
	parts, err := split(path, 3)
	if err != nil {
		return err
	}
	r := l.roles[parts[1]]
	if r == nil || r.Account != parts[0] {
		return errors.New("there is no such role")
	}
	return l.inline(&r.policySet, parts[2], func(policy string) string { return policy }, value)
}

// inline adds an inline policy whose path ends with last to a set.
func (l *loader) inline(set *policySet, last string, label func(policy string) string, value []byte) error {
	r, err := decodePolicy(value)
	if err != nil {
		return err
	}
	if fold(r.Name) != last {
		return errors.New("the name is not the path's")
	}
	q := policy{name: r.Name, document: r.Document, updated: r.Updated}
	q.compiled, q.fault = l.parse(label(r.Name), r.Document)
	set.inline = append(set.inline, q)
	return nil
}
