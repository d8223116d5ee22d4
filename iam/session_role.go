package iam

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kmsd/kmsd/authz"
)

const (
	maxSessionPolicies    = 10 // managed policies of a session
	maxExternalID         = 1224
	maxSessionPolicyChars = 2048 // of the inline session policy and the ARNs of the managed ones together
)

var externalID = regexp.MustCompile(`^[A-Za-z0-9_+=,.@:/-]+$`)

// AssumeRole is what a session of a role is asked for with. Second factors are proven before, by [IAM.ProveMFA].
type AssumeRole struct {
	RoleID            string        // of the role that is authorized: [Snapshot.RoleByARN] of the same snapshot; empty if there is none
	SessionName       string        // 2 to 64 of A-Z a-z 0-9 _ + = , . @ -
	Duration          time.Duration // whole seconds; zero for an hour
	Policy            string        // inline session policy; empty for none
	PolicyARNs        []string      // managed session policies, of the role's account or AWS's, at most ten
	Tags              []Tag         // at most 50; not of web identities
	TransitiveTagKeys []string      // keys of Tags
	ExternalID        string        // 2 to 1,224 of A-Z a-z 0-9 _ + = , . @ : / -; empty for none
	SourceIdentity    string        // as SessionName, and not beginning with "aws:"; empty for none, or for that of the calling session
}

// AssumeRoleContext checks a request that the principal of c makes, and adds what it says to x and res, which is the caller's own
// copy of what [Snapshot.RoleResource] returns. It returns the actions, each of which authz must allow on res before
// [IAM.AssumeRole]: sts:AssumeRole, and for tags and source identities, given or inherited from the calling
// session, sts:TagSession and sts:SetSourceIdentity. The error matches ErrValidation or ErrMalformedPolicy, and says nothing about the role.
func (s *Snapshot) AssumeRoleContext(c *Credential, r *AssumeRole, x *authz.Context, res *authz.Resource) ([]authz.Action, error) {
	asked, err := r.check(c)
	if err != nil {
		return nil, err
	}
	needs := []authz.Action{authz.STSAssumeRole}
	x.Set(authz.CtxRoleSessionName, r.SessionName)
	x.SetNumber(authz.CtxDurationSeconds, int64(cmp.Or(r.Duration, DefaultMaxSessionDuration)/time.Second))
	if r.ExternalID != "" {
		x.Set(authz.CtxExternalID, r.ExternalID)
	}
	if asked.sourceIdentity != "" {
		x.Set(authz.CtxSTSSourceIdentity, asked.sourceIdentity)
	}
	x.SetList(authz.CtxTransitiveTagKeys, r.TransitiveTagKeys)
	given := map[string]string{}
	for _, t := range r.Tags {
		given[t.Key] = t.Value
	}
	x.RequestTags.Set(given)
	if inherited := inheritedTags(c); len(inherited) > 0 {
		if role, ok := s.roles.Load(r.RoleID); ok {
			res.Tags = authz.NewPairs(overridden(role.tags, inherited))
		}
	}
	return append(needs, asked.needs()...), nil
}

// asked is a request that is in order, but for what depends on the role.
type asked struct {
	tags           []sessionTag // given and inherited, in the order of their folded keys
	policy         string       // without white space
	sourceIdentity string
}

func (a *asked) needs() (actions []authz.Action) {
	if len(a.tags) > 0 {
		actions = append(actions, authz.STSTagSession)
	}
	if a.sourceIdentity != "" {
		actions = append(actions, authz.STSSetSourceIdentity)
	}
	return actions
}

// check holds a request of c, which may be nil, to the limits.
func (r *AssumeRole) check(c *Credential) (*asked, error) {
	if !sessionName.MatchString(r.SessionName) {
		return nil, invalid("RoleSessionName", "must be 2 to 64 of A-Z a-z 0-9 _ + = , . @ -")
	}
	if r.Duration != 0 && (r.Duration < MinSessionDuration || r.Duration > MaxMaxSessionDuration || r.Duration%time.Second != 0) {
		return nil, invalid("DurationSeconds", "must be 900 to 43200")
	}
	if n := len(r.ExternalID); n != 0 && (n < 2 || n > maxExternalID || !externalID.MatchString(r.ExternalID)) {
		return nil, invalid("ExternalId", "must be 2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / -")
	}
	a := &asked{}
	var err error
	if a.sourceIdentity, err = r.sourceIdentity(c); err != nil {
		return nil, err
	}
	if a.policy, err = r.compactPolicy(); err != nil {
		return nil, err
	}
	a.tags, err = r.sessionTags(inheritedTags(c))
	return a, err
}

// sourceIdentity returns the one that the session shall have. Once it is set, it goes with every session that is opened from
// there, and stays as it is.
func (r *AssumeRole) sourceIdentity(c *Credential) (string, error) {
	if id := r.SourceIdentity; id != "" && (!sessionName.MatchString(id) || strings.HasPrefix(fold(id), "aws:")) {
		return "", invalid("SourceIdentity", "must be 2 to 64 of A-Z a-z 0-9 _ + = , . @ -, and not begin with aws:")
	}
	if c == nil || c.session == nil || c.session.claims.sourceIdentity == "" {
		return r.SourceIdentity, nil
	}
	inherited := c.session.claims.sourceIdentity
	if r.SourceIdentity != "" && r.SourceIdentity != inherited {
		return "", invalid("SourceIdentity", "must be that of the calling session, or not be given")
	}
	return inherited, nil
}

// compactPolicy checks the session policies and returns the inline one without white space.
func (r *AssumeRole) compactPolicy() (string, error) {
	if len(r.PolicyARNs) > maxSessionPolicies {
		return "", invalid("PolicyArns", "must be at most 10")
	}
	chars := utf8.RuneCountInString(r.Policy)
	if chars > maxSessionPolicyChars {
		return "", invalid("Policy", "must be at most 2048 characters")
	}
	for n, arn := range r.PolicyARNs {
		if slices.Contains(r.PolicyARNs[:n], arn) {
			return "", invalid("PolicyArns", "must not name a policy twice")
		}
		chars += len(arn)
	}
	if chars > maxSessionPolicyChars {
		return "", fmt.Errorf("%w: %d characters for the policy and the ARNs of managed policies", ErrPackedPolicyTooLarge, maxSessionPolicyChars)
	}
	if r.Policy == "" {
		return "", nil
	}
	if _, err := parsePolicy(authz.SessionPolicy, sessionPolicyName, r.Policy); err != nil {
		return "", err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(r.Policy)); err != nil { // which authz has read as JSON
		return "", fmt.Errorf("%w: it is not JSON", ErrMalformedPolicy)
	}
	return compact.String(), nil
}

// sessionTags returns the tags that the session shall have: given, and inherited, which cannot be given anew.
func (r *AssumeRole) sessionTags(inherited []sessionTag) ([]sessionTag, error) {
	if _, err := newTags(r.Tags); err != nil {
		return nil, err
	}
	if len(r.Tags)+len(inherited) > MaxTags {
		return nil, fmt.Errorf("%w: %d tags of a session", ErrLimitExceeded, MaxTags)
	}
	transitive := map[string]bool{}
	for _, key := range r.TransitiveTagKeys {
		transitive[foldTag(key)] = true
	}
	if len(r.TransitiveTagKeys) > MaxTags || len(transitive) != len(r.TransitiveTagKeys) {
		return nil, invalid("TransitiveTagKeys", "must be at most 50, each of them once")
	}
	all, found := slices.Clone(inherited), 0
	for _, t := range r.Tags {
		key := foldTag(t.Key)
		if slices.ContainsFunc(inherited, func(i sessionTag) bool { return foldTag(i.Key) == key }) {
			return nil, invalid("Tags", "must not have the key of a tag that the calling session passes on")
		}
		if transitive[key] {
			found++
		}
		all = append(all, sessionTag{t, transitive[key]})
	}
	if found != len(transitive) {
		return nil, invalid("TransitiveTagKeys", "must be keys of Tags")
	}
	slices.SortFunc(all, func(a, b sessionTag) int { return strings.Compare(foldTag(a.Key), foldTag(b.Key)) })
	return all, nil
}

// inheritedTags are those that the session of a role passes on to the sessions that it opens.
func inheritedTags(c *Credential) (list []sessionTag) {
	if c == nil || c.session == nil {
		return nil
	}
	for _, t := range c.session.claims.tags {
		if t.transitive {
			list = append(list, t)
		}
	}
	return list
}

// AssumeRole opens a session of a role for the principal of c, whose grants must permit all that [Snapshot.AssumeRoleContext] has
// named on the role's ARN. Nothing is stored: the session is its token. It has none of the permissions of who opened it.
//
// The error matches ErrNoSuchEntity if the role has gone since, or for a managed session policy that there is not; else
// ErrValidation, ErrMalformedPolicy, ErrLimitExceeded or ErrPackedPolicyTooLarge.
func (i *IAM) AssumeRole(grants []authz.Grant, c *Credential, r *AssumeRole, now time.Time) (Temporary, error) {
	a, err := r.check(c)
	if err != nil {
		return Temporary{}, err
	}
	needs := append([]authz.Action{authz.STSAssumeRole}, a.needs()...)
	return i.openRole(grants, holder{c.Account, c.PrincipalID}, needs, r, a, c.session != nil && c.session.claims.kind == roleToken, now)
}

// A holder is who grants must have been given to.
type holder struct{ account, id string }

func (h holder) holds(grants []authz.Grant, action authz.Action, arn string) bool {
	return slices.ContainsFunc(grants, func(g authz.Grant) bool {
		account, id := g.Caller()
		return g.Permits(action, arn) && account == h.account && id == h.id
	})
}

// openRole opens the session of a role for whom the grants let in.
func (i *IAM) openRole(grants []authz.Grant, who holder, needs []authz.Action, r *AssumeRole, a *asked, chained bool, now time.Time) (Temporary, error) {
	s := i.Snapshot()
	role, ok := s.roles.Load(r.RoleID)
	if !ok || s.suspended(role.Account) {
		return Temporary{}, fmt.Errorf("%w: there is no such role", ErrNoSuchEntity)
	}
	for _, action := range needs {
		if !who.holds(grants, action, role.ARN) {
			return Temporary{}, ErrNotPermitted
		}
	}
	duration, err := role.sessionDuration(r.Duration, chained)
	if err != nil {
		return Temporary{}, err
	}
	for _, arn := range r.PolicyARNs {
		if _, ok := s.ManagedPolicy(role.Account, arn); !ok {
			return Temporary{}, fmt.Errorf("%w: there is no managed policy of this ARN for the role's account", ErrNoSuchEntity)
		}
	}
	claims := &tokenClaims{
		kind: roleToken, account: role.Account, principalID: role.ID, sessionName: r.SessionName, sourceIdentity: a.sourceIdentity,
		policy: a.policy, policyARNs: r.PolicyARNs, tags: a.tags,
	}
	t, err := i.issue(claims, duration, now)
	if err != nil {
		return Temporary{}, err
	}
	t.AssumedRoleID = role.ID + ":" + r.SessionName
	t.ARN = s.sessionARN(role, r.SessionName)
	t.SourceIdentity = a.sourceIdentity
	return t, nil
}

// sessionDuration returns how long a session shall be. What is too long fails, and is not made shorter.
func (r *role) sessionDuration(asked time.Duration, chained bool) (time.Duration, error) {
	longest := r.MaxSessionDuration
	if chained {
		longest = min(longest, MaxChainedDuration)
	}
	if asked == 0 {
		return min(DefaultMaxSessionDuration, longest), nil
	}
	if asked > longest && chained {
		return 0, invalid("DurationSeconds", "must be at most 3600 for a role that a session of a role assumes")
	}
	if asked > longest {
		return 0, invalid("DurationSeconds", "must be at most the MaxSessionDuration of the role")
	}
	return asked, nil
}

// issue makes the credentials of a session and seals them. It sets what of the claims says when and by which key.
func (i *IAM) issue(claims *tokenClaims, duration time.Duration, now time.Time) (Temporary, error) {
	packed := 0
	if claims.policy != "" || len(claims.policyARNs)+len(claims.tags) > 0 {
		packed = len(claims.appendPacked(nil))
	}
	if packed > maxPacked {
		return Temporary{}, fmt.Errorf("%w: they take %d%% of the room", ErrPackedPolicyTooLarge, (100*packed+maxPacked-1)/maxPacked)
	}
	key, err := i.tokenKeyFor(now)
	if err != nil {
		return Temporary{}, fmt.Errorf("opening a session: %w", err)
	}
	claims.accessKeyID, claims.secret = newTemporaryKeyID(), newSecretKey()
	claims.issued = now.UTC().Truncate(time.Second)
	claims.expires = claims.issued.Add(duration)
	return Temporary{
		AccessKeyID: claims.accessKeyID, Secret: claims.secret, Token: key.seal(i.Snapshot().management, claims),
		Expiration: claims.expires, PackedPolicySize: (100*packed + maxPacked - 1) / maxPacked,
	}, nil
}
