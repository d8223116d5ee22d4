package iam

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/storage"
)

const maxDescription = 1000

// checkDescription holds descriptions to the alphabet that AWS has for those of roles.
func checkDescription(text string) error {
	for _, c := range text {
		if c == '\t' || c == '\n' || c == '\r' || c >= ' ' && c <= '~' || c >= 0xa1 && c <= 0xff {
			continue
		}
		return invalid("Description", "must be of printable characters up to U+00FF, tabs and line ends")
	}
	if utf8.RuneCountInString(text) > maxDescription {
		return invalid("Description", "must not be longer than 1000 characters")
	}
	return nil
}

// NewPolicy is what CreatePolicy makes.
type NewPolicy struct {
	Name        string
	Path        string // empty means "/"
	Description string
	Document    string
}

// CreatePolicy makes a managed policy with one version, v1, which is the default. The grant must permit
// authz.IAMCreatePolicy on NewPolicyARN. The document may have MaxManagedPolicyChars, white space between the tokens not
// counted (ErrLimitExceeded); one that authz does not parse gives authz's error, which matches ErrMalformedPolicy. Besides,
// errors match ErrValidation, ErrEntityExists or ErrLimitExceeded.
func (i *IAM) CreatePolicy(g authz.Grant, account string, n NewPolicy) (Policy, error) {
	n.Path = or(n.Path, "/")
	if err := cmp.Or(checkName("PolicyName", n.Name, maxPolicyName), checkPath(n.Path), checkDescription(n.Description)); err != nil {
		return Policy{}, err
	}
	var made Policy
	err := i.update("creating a policy", &made, func(next *Snapshot, tx *storage.Tx) error {
		arn := next.NewPolicyARN(account, n.Path, n.Name)
		if !g.Permits(authz.IAMCreatePolicy, arn) {
			return ErrNotPermitted
		}
		if err := next.mayAdd(account, "policy", n.Name, next.directory(account).policies, MaxManagedPolicies); err != nil {
			return err
		}
		compiled, err := parseManaged(arn, n.Document)
		if err != nil {
			return err
		}
		v := policyVersion{number: 1, document: n.Document, created: present()}
		m := &managed{
			Policy: Policy{
				Account: account, ID: newPolicyID(), Name: n.Name, Path: n.Path, ARN: arn, Description: n.Description,
				DefaultVersion: versionID(1), Created: v.created, Updated: v.created,
			},
			versions: []policyVersion{v}, last: 1, current: 1, compiled: compiled,
		}
		made = m.Policy
		return next.putPolicy(tx, nil, m, v)
	})
	if err != nil {
		return Policy{}, err
	}
	return made, nil
}

func parseManaged(arn, document string) (*authz.Policy, error) {
	if significantChars(document) > MaxManagedPolicyChars {
		return nil, fmt.Errorf("%w: %d characters for a managed policy", ErrLimitExceeded, MaxManagedPolicyChars)
	}
	return parsePolicy(authz.IdentityPolicy, arn, document)
}

// putPolicy is setPolicy with the policy's record and those of versions that are new.
func (s *Snapshot) putPolicy(tx *storage.Tx, old, next *managed, versions ...policyVersion) error {
	s.setPolicy(old, next)
	for _, v := range versions {
		if err := tx.Put(kindPolicyVersion, join(next.Account, next.ID, versionPath(v.number)), v.record()); err != nil {
			return err
		}
	}
	return tx.Put(kindPolicy, join(next.Account, next.ID), next.record())
}

// targetPolicy returns the managed policy that an operation is about, if the grant permits the action on it: one of the
// account, or of AWS's.
func (s *Snapshot) targetPolicy(g authz.Grant, action authz.Action, account, arn string) (*managed, error) {
	if !g.Permits(action, arn) {
		return nil, ErrNotPermitted
	}
	return s.attachable(account, arn)
}

// changePolicy is an update of a managed policy of an account.
func (i *IAM) changePolicy(what string, result any, g authz.Grant, action authz.Action, account, arn string, f func(next *Snapshot, tx *storage.Tx, m *managed) error) error {
	return i.update(what, result, func(next *Snapshot, tx *storage.Tx) error {
		m, err := next.targetPolicy(g, action, account, arn)
		if err != nil {
			return err
		}
		if m.Account == awsAccount {
			return ErrUnmodifiable
		}
		return f(next, tx, m)
	})
}

// CreatePolicyVersion adds a version to a managed policy, which may have MaxPolicyVersions (ErrLimitExceeded), and makes it the
// default if so asked: it then counts, wherever the policy is attached or a boundary, for every call that reads the
// snapshot after it returns. The grant must permit authz.IAMCreatePolicyVersion on the policy's ARN. For the document CreatePolicy's
// rules hold. A policy of AWS's is ErrUnmodifiable.
func (i *IAM) CreatePolicyVersion(g authz.Grant, account, arn, document string, setDefault bool) (PolicyVersion, error) {
	var made PolicyVersion
	err := i.changePolicy("creating a policy version", &made, g, authz.IAMCreatePolicyVersion, account, arn, func(next *Snapshot, tx *storage.Tx, m *managed) error {
		if len(m.versions) >= MaxPolicyVersions {
			return fmt.Errorf("%w: %d versions of a policy", ErrLimitExceeded, MaxPolicyVersions)
		}
		compiled, err := parseManaged(arn, document)
		if err != nil {
			return err
		}
		changed := m.clone()
		changed.last++
		v := policyVersion{number: changed.last, document: document, created: present()}
		changed.versions = append(slices.Clone(m.versions), v)
		if setDefault {
			changed.current, changed.compiled, changed.fault = v.number, compiled, nil
			changed.DefaultVersion, changed.Updated = versionID(v.number), v.created
		}
		made = changed.told(v)
		return next.putPolicy(tx, m, changed, v)
	})
	if err != nil {
		return PolicyVersion{}, err
	}
	return made, nil
}

var versionForm = regexp.MustCompile(`^v[1-9][0-9]{0,7}$`)

// version returns the place of the version of an id such as "v1".
func (m *managed) version(id string) (at int, err error) {
	if !versionForm.MatchString(id) {
		return 0, invalid("VersionId", "must be v and a number, such as v1")
	}
	number, err := strconv.Atoi(id[1:])
	if err != nil {
		return 0, invalid("VersionId", "must be v and a number, such as v1")
	}
	at, ok := m.find(number)
	if !ok {
		return 0, fmt.Errorf("%w: the policy has no such version", ErrNoSuchEntity)
	}
	return at, nil
}

// told returns a version for its readers.
func (m *managed) told(v policyVersion) PolicyVersion {
	return PolicyVersion{ID: versionID(v.number), Document: v.document, Default: v.number == m.current, Created: v.created}
}

// SetDefaultPolicyVersion makes another version of a managed policy the one that counts, as CreatePolicyVersion does. The grant must
// permit authz.IAMSetDefaultPolicyVersion on the policy's ARN. A policy of AWS's is ErrUnmodifiable.
func (i *IAM) SetDefaultPolicyVersion(g authz.Grant, account, arn, version string) error {
	return i.changePolicy("setting a policy version", nil, g, authz.IAMSetDefaultPolicyVersion, account, arn, func(next *Snapshot, tx *storage.Tx, m *managed) error {
		at, err := m.version(version)
		if err != nil {
			return err
		}
		v := m.versions[at]
		if v.number == m.current {
			return errUnchanged
		}
		changed := m.clone()
		if changed.compiled, err = parsePolicy(authz.IdentityPolicy, arn, v.document); err != nil {
			return err
		}
		changed.current, changed.fault = v.number, nil
		changed.DefaultVersion, changed.Updated = version, present()
		return next.putPolicy(tx, m, changed)
	})
}

// DeletePolicyVersion removes a version that is not the default (ErrDeleteConflict). Its number is not given again. The grant must
// permit authz.IAMDeletePolicyVersion on the policy's ARN. A policy of AWS's is ErrUnmodifiable.
func (i *IAM) DeletePolicyVersion(g authz.Grant, account, arn, version string) error {
	return i.changePolicy("deleting a policy version", nil, g, authz.IAMDeletePolicyVersion, account, arn, func(next *Snapshot, tx *storage.Tx, m *managed) error {
		at, err := m.version(version)
		if err != nil {
			return err
		}
		number := m.versions[at].number
		if number == m.current {
			return fmt.Errorf("%w: the version is the default", ErrDeleteConflict)
		}
		changed := m.clone()
		changed.versions = slices.Delete(slices.Clone(m.versions), at, at+1)
		next.setPolicy(m, changed)
		return tx.Delete(kindPolicyVersion, join(account, m.ID, versionPath(number)))
	})
}

// DeletePolicy removes a managed policy, which must have no versions but the default, and be attached nowhere and nobody's
// boundary (ErrDeleteConflict). The grant must permit authz.IAMDeletePolicy on the policy's ARN. A policy of AWS's is
// ErrUnmodifiable.
func (i *IAM) DeletePolicy(g authz.Grant, account, arn string) error {
	return i.changePolicy("deleting a policy", nil, g, authz.IAMDeletePolicy, account, arn, func(next *Snapshot, tx *storage.Tx, m *managed) error {
		e := next.entitiesOf(account, m.ID)
		err := has("policy", []left{
			{"versions that are not the default", len(m.versions) - 1},
			{"users", len(e.Users)},
			{"groups", len(e.Groups)},
			{"roles", len(e.Roles)},
			{"users whose boundary it is", len(e.BoundedUsers)},
			{"roles whose boundary it is", len(e.BoundedRoles)},
		})
		if err != nil {
			return err
		}
		next.setPolicy(m, nil)
		if err := tx.Delete(kindPolicyVersion, join(account, m.ID, versionPath(m.current))); err != nil {
			return err
		}
		return tx.Delete(kindPolicy, join(account, m.ID))
	})
}

// PolicyVersion returns one version of a managed policy of the account, or of AWS's. The grant must permit
// authz.IAMGetPolicyVersion on the policy's ARN.
func (s *Snapshot) PolicyVersion(g authz.Grant, account, arn, version string) (PolicyVersion, error) {
	m, err := s.targetPolicy(g, authz.IAMGetPolicyVersion, account, arn)
	if err != nil {
		return PolicyVersion{}, err
	}
	at, err := m.version(version)
	if err != nil {
		return PolicyVersion{}, err
	}
	return m.told(m.versions[at]), nil
}

// ListPolicyVersions returns the versions of a managed policy of the account, or of AWS's, the latest first. The grant must permit
// authz.IAMListPolicyVersions on the policy's ARN.
func (s *Snapshot) ListPolicyVersions(g authz.Grant, account, arn string) ([]PolicyVersion, error) {
	m, err := s.targetPolicy(g, authz.IAMListPolicyVersions, account, arn)
	if err != nil {
		return nil, err
	}
	list := make([]PolicyVersion, 0, len(m.versions))
	for _, v := range slices.Backward(m.versions) {
		list = append(list, m.told(v))
	}
	return list, nil
}
