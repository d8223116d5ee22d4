package authz

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// ErrContextKey is matched by the errors of [Supply].
var ErrContextKey = errors.New("invalid condition key")

// Supply gives a condition key values of the caller's choosing, for simulating a request: it changes whichever of c, r and x the key is
// read from, which must be copies that nobody else uses; r.Kind, c.Kind and their accounts are set before. A key of the organization replaces the
// Membership by one that has its other facts. Names match in any case. The error matches ErrContextKey: there is no such key, its values are not of its type,
// it has other than one value, or kmsd never has it.
func Supply(c *Caller, r *Resource, x *Context, name string, values []string) error {
	k, member, ok := findKey(name)
	if !ok && strings.Contains(name, ":") {
		k, member, ok = keyClaim, name, true
	}
	switch {
	case !ok:
		return fmt.Errorf("%w: %s does not exist", ErrContextKey, quote(name))
	case keyTable[k].scope == never:
		return fmt.Errorf("%w: %s, which no request to kmsd has", ErrContextKey, keyTable[k].name)
	case !keyTable[k].multi && len(values) != 1:
		return fmt.Errorf("%w: %s has one value", ErrContextKey, quote(name))
	}
	if keyTable[k].family {
		return supplyPair(c, r, x, k, name[len(name)-len(member):], values[0])
	}
	s := supplier{c, r, x, k, values, ""}
	if len(values) > 0 {
		s.text = values[0]
	}
	if err := s.supply(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrContextKey, keyTable[k].name, err)
	}
	return nil
}

// supplyPair adds a pair to the family that the key is of.
func supplyPair(c *Caller, r *Resource, x *Context, k keyID, name, value string) error {
	to := map[keyID]*Pairs{
		keyPrincipalTag: &c.Tags, keyResourceTag: &r.Tags, keyIAMResourceTag: &r.Tags,
		keyRequestTag: &x.RequestTags, keyEncryptionContext: &x.EncryptionContext, keyClaim: &x.Claims,
	}[k]
	if to == nil {
		return fmt.Errorf("%w: %s, which no request to kmsd has", ErrContextKey, keyTable[k].name)
	}
	pairs := maps.Collect(to.All)
	for have := range pairs {
		if foldName(have) == foldName(name) {
			delete(pairs, have) // given instead
		}
	}
	pairs[name] = value
	*to = NewPairs(pairs)
	return nil
}

// A supplier gives one key its values.
type supplier struct {
	c      *Caller
	r      *Resource
	x      *Context
	k      keyID
	values []string
	text   string // the first of values
}

func (s *supplier) supply() (err error) {
	switch s.k {
	case keyPrincipalArn, keyUserName, keyUserID, keyPrincipalAccount, keyCallerAccount, keyPrincipalType, keySourceIdentity, keyTokenIssueTime,
		keyMFAPresent, keyMFAAge, keyPrincipalOrgID, keyPrincipalOrgPaths:
		return s.supplyCaller()
	case keyResourceAccount, keyResourceOrgID, keyResourceOrgPaths, keyResourceAliases, keyKeySpec, keyCustomerMasterKeySpec, keyKeyUsage,
		keyCustomerMasterKeyUsage, keyKeyOrigin, keyMultiRegion:
		return s.supplyResource()
	case keySourceIP:
		s.x.SourceIP, err = netip.ParseAddr(s.text)
		return err
	case keySecureTransport:
		s.x.SecureTransport, err = strconv.ParseBool(s.text)
		if !s.x.SourceIP.IsValid() {
			s.x.SourceIP = netip.IPv4Unspecified()
		}
		return err
	case keyCurrentTime, keyEpochTime:
		s.x.Time, err = parseInstant(s.text)
		return err
	case keyUserAgent:
		s.x.UserAgent = s.text
	case keyRequestedRegion:
		s.x.Region = s.text
	case keyTagKeys:
		s.x.SetList(CtxTagKeys, s.values)
	case keyEncryptionContextKeys:
		return errors.New("follows from the pairs of the encryption context")
	default:
		return s.supplySet()
	}
	return nil
}

// supplyCaller sets what the caller has. Who it is stays: account, kind and id are the simulation's own.
func (s *supplier) supplyCaller() error {
	c := s.c
	switch s.k {
	case keyPrincipalArn:
		if c.Kind == RoleSession {
			c.RoleARN = s.text
			return nil
		}
		c.ARN = s.text
	case keyUserName:
		c.UserName = s.text
	case keySourceIdentity:
		c.SourceIdentity = s.text
	case keyTokenIssueTime:
		at, err := parseInstant(s.text)
		c.Issued = at
		return err
	case keyMFAPresent:
		present, err := strconv.ParseBool(s.text)
		c.MFA = time.Time{}
		if c.Issued.IsZero() {
			c.Issued = s.now()
		}
		if present {
			c.MFA = c.Issued
		}
		return err
	case keyMFAAge:
		age, err := strconv.ParseUint(s.text, 10, 32)
		c.MFA = s.now().Add(-time.Duration(age) * time.Second)
		if c.Issued.IsZero() {
			c.Issued = c.MFA
		}
		return err
	case keyPrincipalOrgID, keyPrincipalOrgPaths:
		c.Membership = s.membership(c.Membership)
	default:
		return errors.New("follows from who the caller is")
	}
	return nil
}

func (s *supplier) now() time.Time {
	if s.x.Time.IsZero() {
		s.x.Time = time.Unix(0, 0)
	}
	return s.x.Time
}

func (s *supplier) membership(m *Membership) *Membership {
	next := &Membership{}
	if m != nil {
		*next = *m
	}
	if s.k == keyPrincipalOrgID || s.k == keyResourceOrgID {
		next.Organization = s.text
	} else {
		next.Path = s.text
	}
	return next
}

func (s *supplier) supplyResource() error {
	r := s.r
	switch s.k {
	case keyResourceOrgID, keyResourceOrgPaths:
		r.Membership = s.membership(r.Membership)
	case keyResourceAliases:
		r.Aliases = s.values
	case keyKeySpec, keyCustomerMasterKeySpec:
		r.KeySpec = s.text
		s.x.Set(CtxKeySpec, s.text)
	case keyKeyUsage, keyCustomerMasterKeyUsage:
		r.KeyUsage = s.text
		s.x.Set(CtxKeyUsage, s.text)
	case keyKeyOrigin:
		r.KeyOrigin = s.text
		s.x.Set(CtxKeyOrigin, s.text)
	case keyMultiRegion:
		yes, err := strconv.ParseBool(s.text)
		s.x.SetBool(CtxMultiRegion, yes)
		if yes && err == nil {
			return errors.New("is always false")
		}
		return err
	default:
		return errors.New("follows from the resource")
	}
	return nil
}

// supplySet sets what requests say by themselves.
func (s *supplier) supplySet() error {
	to := setKeys[s.k]
	switch to.kind {
	case stringValue:
		s.x.Set(to.key, s.text)
	case listValue:
		s.x.SetList(to.key, s.values)
	case boolValue:
		yes, err := strconv.ParseBool(s.text)
		if err != nil {
			return errors.New("is not true or false")
		}
		s.x.SetBool(to.key, yes)
	case numberValue:
		n, err := strconv.ParseInt(s.text, 10, 64)
		if err != nil {
			return errors.New("is not a whole number")
		}
		s.x.SetNumber(to.key, n)
	case dateValue:
		at, err := parseInstant(s.text)
		if err != nil {
			return errors.New("is not an instant: write 2026-01-02T03:04:05Z, or the seconds since 1970")
		}
		s.x.SetDate(to.key, at)
	default:
		return errors.New("cannot be chosen")
	}
	return nil
}

// parseInstant reads an instant as policies write it.
func parseInstant(text string) (time.Time, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(n, 0), nil
	}
	return time.Parse(time.RFC3339, text)
}

// KindOf returns what kind of resource an ARN stands for in a request for the action: None for "*", and where the ARN's form does not
// tell, the first kind that the action takes.
func KindOf(a Action, arn string) ResourceKind {
	if !a.known() {
		return None
	}
	kinds := actionTable[a].kinds
	var parts [arnParts]string
	if arn == "*" || !splitARN(arn, &parts) {
		return None
	}
	resource, _, _ := strings.Cut(parts[arnParts-1], "/")
	if kinds&onAlias != 0 && resource == "alias" {
		return Alias
	}
	for _, k := range []ResourceKind{Key, Role, IAMEntity, OrganizationEntity, Alias} {
		if kinds&(1<<k) != 0 {
			return k
		}
	}
	return None
}
