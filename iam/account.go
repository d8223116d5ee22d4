package iam

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

// DefaultAccountRole is the name of the role that CreateAccount makes if it is given none.
const DefaultAccountRole = "OrganizationAccountAccessRole"

// administratorPolicy is AWS's managed policy that permits everything.
const administratorPolicy = "AdministratorAccess"

// OrgAccount is an account as the organization knows it.
type OrgAccount struct {
	ID         string // 12 digits, never given twice
	ARN        string // arn:PARTITION:organizations::MANAGEMENT:account/ORGANIZATION/ID
	Name       string
	Email      string // "" for none
	Management bool
	Closed     time.Time // zero if it is not
	Created    time.Time
}

func (s *Snapshot) showAccount(n *orgNode) OrgAccount {
	return OrgAccount{
		ID: n.id, ARN: s.OrgAccountARN(n.id), Name: n.name, Email: n.member.email, Management: n.id == s.management,
		Closed: n.member.closed, Created: n.created,
	}
}

// OrgAccount returns the account with an id. The error matches ErrAccountNotFound.
func (s *Snapshot) OrgAccount(id string) (OrgAccount, error) {
	n, ok := s.organization.byID.Load(id)
	if !ok {
		return OrgAccount{}, ErrAccountNotFound
	}
	return s.showAccount(n), nil
}

// OrgAccounts returns up to limit accounts, at most MaxOrgPage, in the order of their ids, from the first one after the
// id after (empty: from the beginning), and whether there are more. Closed ones are among them.
func (s *Snapshot) OrgAccounts(after string, limit int) (accounts []OrgAccount, more bool) {
	return page(limit, func(yield func(*orgNode) bool) {
		for _, n := range s.organization.accounts.After(after) {
			if !yield(n) {
				return
			}
		}
	}, s.showAccount)
}

// Suspended reports whether an account is closed, or does not exist. Nobody may use what belongs to such an account:
// its principals have no Caller, and whoever serves its keys or roles to others has to ask this first. Its Membership
// denies, too.
func (s *Snapshot) Suspended(account string) bool { return s.suspended(account) }

// CreateAccount describes an account to make.
type CreateAccount struct {
	Name          string // 1 to 50 characters of printable ASCII; not unique
	Email         string // 6 to 64 characters, unique without regard to case; empty: none
	RoleName      string // empty: DefaultAccountRole
	Tags          []Tag  // up to MaxTags
	RootAccessKey bool   // make an access key of its root user
}

// CreatedAccount is an account that was made.
type CreatedAccount struct {
	Account OrgAccount
	Role    Role       // which the management account may assume, and which may do everything in the account
	RootKey *AccessKey // nil if it was not asked for; its secret is told here and never again
}

// CreateAccount makes, in one transaction, an account under the root with FullAWSAccess and RCPFullAWSAccess attached, its
// root user, and a role with AdministratorAccess in it that trusts the management account; and an access key of its root
// user, if it is asked for. The grant must permit authz.OrganizationsCreateAccount on "*". The error matches
// ErrValidation, ErrEmailExists or, at MaxAccounts, ErrConstraintViolation.
func (i *IAM) CreateAccount(g authz.Grant, r CreateAccount) (made CreatedAccount, err error) {
	r.RoleName = cmp.Or(r.RoleName, DefaultAccountRole)
	tags, err := r.check()
	if err != nil {
		return CreatedAccount{}, err
	}
	var once toldOnce
	var result any = &made
	if r.RootAccessKey {
		result = &once
	}
	err = i.update("creating an account", result, func(next *Snapshot, tx *storage.Tx) error {
		o, err := next.orgTarget(g, authz.OrganizationsCreateAccount, "*")
		if err != nil {
			return err
		}
		if err := o.checkRoom(r.Email); err != nil {
			return err
		}
		n := &orgNode{
			kind: AccountTarget, parent: o.root.id, name: r.Name, created: present(), policies: firstPolicies(),
			member: &member{email: r.Email, tags: tags},
		}
		if n.id, err = o.freeAccountID(); err != nil {
			return err
		}
		o.put(n)
		next.organization = o
		made.Account = next.showAccount(n)
		if err := errors.Join(o.write(tx, n), next.putAccount(tx, n)); err != nil {
			return err
		}
		if made.Role, err = next.putAccountRole(tx, n.id, r.RoleName); err != nil || !r.RootAccessKey {
			return err
		}
		root, _ := next.principals.Load(n.id)
		k := newAccessKey(next)
		told := k.told()
		made.RootKey = &told
		once.Of = "access key " + k.id + " of the root user of account " + n.id
		return next.putAccessKey(tx, root, []accessKey{k}, k)
	})
	if err != nil {
		return CreatedAccount{}, err
	}
	return made, nil
}

func (r *CreateAccount) check() (tagSet, error) {
	err := cmp.Or(checkOrgName("AccountName", r.Name, maxAccountName), checkName("RoleName", r.RoleName, maxRoleName))
	if r.Email != "" {
		err = cmp.Or(err, checkEmail(r.Email))
	}
	if err != nil {
		return nil, err
	}
	return newTags(r.Tags)
}

// checkRoom refuses one account more, or the email address of another.
func (o *organization) checkRoom(email string) error {
	if o.accounts.Len() >= MaxAccounts {
		return violates("ACCOUNT_NUMBER_LIMIT_EXCEEDED", fmt.Sprintf("the organization has %d accounts, closed ones among them", MaxAccounts))
	}
	for _, other := range o.accounts.All() {
		if email != "" && strings.EqualFold(other.member.email, email) {
			return ErrEmailExists
		}
	}
	return nil
}

func (o *organization) freeAccountID() (string, error) {
	for {
		id, err := newAccountID()
		if err != nil {
			return "", fmt.Errorf("making an account id: %w", err)
		}
		if _, taken := o.byID.Load(id); !taken {
			return id, nil
		}
	}
}

// putAccount makes the account of a node, with its root user, in s, which nobody else sees yet.
func (s *Snapshot) putAccount(tx *storage.Tx, n *orgNode) error {
	a := Account{ID: n.id, Created: n.created}
	s.accounts = s.accounts.With(n.id, &a)
	s.setUser(nil, newRoot(s.partition, a))
	return tx.Put(kindAccount, n.id, encodeJSON(accountRecord{Version: recordVersion, ID: n.id, Created: n.created}))
}

// putAccountRole makes the role by which the management account comes into another one.
func (s *Snapshot) putAccountRole(tx *storage.Tx, account, name string) (Role, error) {
	document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + rootARN(s.partition, s.management) +
		`"},"Action":"sts:AssumeRole"}]}`
	trust, err := bindTrust(document, s.PrincipalID)
	if err != nil {
		return Role{}, err
	}
	administrator, ok := s.policy(s.PolicyARN(awsAccount, administratorPolicy))
	if !ok {
		panic("iam: internal error: there is no " + administratorPolicy)
	}
	r := &role{roleState: roleState{
		Role: Role{
			Account: account, ID: newRoleID(), Name: name, Path: "/", ARN: s.NewRoleARN(account, "/", name),
			MaxSessionDuration: DefaultMaxSessionDuration, TrustPolicy: document, Created: present(),
		},
		policySet: policySet{attached: []string{administrator.ID}},
		trust:     trust,
	}}
	s.setRole(nil, r)
	return r.Role, tx.Put(kindRole, join(account, r.ID), r.record())
}

// accountTarget returns a copy of the organization and one of the account that an operation is about, if the grant
// permits it.
func (s *Snapshot) accountTarget(g authz.Grant, action authz.Action, id string) (*organization, *orgNode, error) {
	o, err := s.orgTarget(g, action, s.OrgAccountARN(id))
	if err != nil {
		return nil, nil, err
	}
	n, ok := o.byID.Load(id)
	if !ok {
		return nil, nil, ErrAccountNotFound
	}
	return o, n.clone(), nil
}

// CloseAccount ends an account for good: from the moment it returns, its principals are refused with
// ErrAccountSuspended, and nobody may use its keys, which remain. The management account cannot be closed
// (ErrConstraintViolation). The grant must permit authz.OrganizationsCloseAccount on OrgAccountARN. The error
// matches ErrValidation, ErrAccountNotFound or ErrAccountAlreadyClosed, too.
func (i *IAM) CloseAccount(g authz.Grant, id string) error {
	if err := checkAccountID(id); err != nil {
		return err
	}
	return i.update("closing an account", nil, func(next *Snapshot, tx *storage.Tx) error {
		o, n, err := next.accountTarget(g, authz.OrganizationsCloseAccount, id)
		switch {
		case err != nil:
			return err
		case id == next.management:
			return violates("CANNOT_CLOSE_MANAGEMENT_ACCOUNT", "the management account cannot be closed")
		case !n.member.closed.IsZero():
			return ErrAccountAlreadyClosed
		}
		closed := *n.member
		closed.closed = present()
		n.member = &closed
		o.put(n)
		next.organization = o
		next.suspend(id)
		return o.write(tx, n)
	})
}

// suspend makes an account that is there a suspended one in s, which nobody else sees yet.
func (s *Snapshot) suspend(id string) {
	old, _ := s.accounts.Load(id)
	a := *old
	a.Suspended = true
	s.accounts = s.accounts.With(id, &a)
}

// MoveAccount describes a move of an account in the tree.
type MoveAccount struct {
	AccountID           string
	SourceParentID      string // which it is directly under
	DestinationParentID string
}

// MoveAccountGrants are the permissions that MoveAccount takes: authz.OrganizationsMoveAccount on OrgAccountARN of the
// account, and on TargetARN of the source and of the destination.
type MoveAccountGrants struct{ Account, Source, Destination authz.Grant }

func (g *MoveAccountGrants) permit(s *Snapshot, r *MoveAccount) bool {
	const action = authz.OrganizationsMoveAccount
	return g.Account.Permits(action, s.OrgAccountARN(r.AccountID)) && g.Source.Permits(action, s.TargetARN(r.SourceParentID)) &&
		g.Destination.Permits(action, s.TargetARN(r.DestinationParentID))
}

// MoveAccount puts an account under another root or unit. The error matches ErrValidation, ErrAccountNotFound,
// ErrSourceParentNotFound (also if the account is directly under something else), ErrDestinationParentNotFound or
// ErrDuplicateAccount, if it is there already.
func (i *IAM) MoveAccount(g MoveAccountGrants, r MoveAccount) error {
	err := cmp.Or(checkAccountID(r.AccountID), checkParentID("SourceParentId", r.SourceParentID),
		checkParentID("DestinationParentId", r.DestinationParentID))
	if err != nil {
		return err
	}
	return i.update("moving an account", nil, func(next *Snapshot, tx *storage.Tx) error {
		if !g.permit(next, &r) {
			return ErrNotPermitted
		}
		o, n, err := next.accountTarget(g.Account, authz.OrganizationsMoveAccount, r.AccountID)
		if err != nil {
			return err
		}
		if n.parent != r.SourceParentID {
			return ErrSourceParentNotFound
		}
		if _, ok := o.container(r.DestinationParentID); !ok {
			return ErrDestinationParentNotFound
		}
		if n.parent == r.DestinationParentID {
			return ErrDuplicateAccount
		}
		n.parent = r.DestinationParentID
		o.put(n)
		next.organization = o
		return o.write(tx, n)
	})
}
