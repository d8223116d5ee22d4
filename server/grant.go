package server

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/keystore"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// Limits of grants, from the AWS KMS model.
const (
	maxGrantTokens  = 10
	maxGrantToken   = 8192
	maxPrincipalARN = 2048
	maxGrantName    = 256
	grantIDLength   = 128
)

func (v *violations) grantTokens(tokens []string) {
	if len(tokens) > maxGrantTokens {
		v.add("grant_tokens", "has %d tokens, must have at most %d", len(tokens), maxGrantTokens)
		return
	}
	for i, t := range tokens {
		v.text(fmt.Sprintf("grant_tokens[%d]", i), t, 1, maxGrantToken)
	}
}

// grantTokens checks that tokens are of this kmsd. Nothing else depends on them: a grant counts from when it is made.
func (c *call) grantTokens(tokens []string) error {
	for _, t := range tokens {
		if _, _, err := c.keys.ParseGrantToken(t); err != nil {
			return err
		}
	}
	return nil
}

// grantOperations :: operation in the API → action. CreateGrant refuses the others. It is never written.
var grantOperations = map[kmsv1.GrantOperation]authz.Action{
	kmsv1.GrantOperation_GRANT_OPERATION_DECRYPT:                                  authz.KMSDecrypt,
	kmsv1.GrantOperation_GRANT_OPERATION_ENCRYPT:                                  authz.KMSEncrypt,
	kmsv1.GrantOperation_GRANT_OPERATION_GENERATE_DATA_KEY:                        authz.KMSGenerateDataKey,
	kmsv1.GrantOperation_GRANT_OPERATION_GENERATE_DATA_KEY_WITHOUT_PLAINTEXT:      authz.KMSGenerateDataKeyWithoutPlaintext,
	kmsv1.GrantOperation_GRANT_OPERATION_RE_ENCRYPT_FROM:                          authz.KMSReEncryptFrom,
	kmsv1.GrantOperation_GRANT_OPERATION_RE_ENCRYPT_TO:                            authz.KMSReEncryptTo,
	kmsv1.GrantOperation_GRANT_OPERATION_CREATE_GRANT:                             authz.KMSCreateGrant,
	kmsv1.GrantOperation_GRANT_OPERATION_RETIRE_GRANT:                             authz.KMSRetireGrant,
	kmsv1.GrantOperation_GRANT_OPERATION_DESCRIBE_KEY:                             authz.KMSDescribeKey,
	kmsv1.GrantOperation_GRANT_OPERATION_SIGN:                                     authz.KMSSign,
	kmsv1.GrantOperation_GRANT_OPERATION_VERIFY:                                   authz.KMSVerify,
	kmsv1.GrantOperation_GRANT_OPERATION_GENERATE_MAC:                             authz.KMSGenerateMac,
	kmsv1.GrantOperation_GRANT_OPERATION_VERIFY_MAC:                               authz.KMSVerifyMac,
	kmsv1.GrantOperation_GRANT_OPERATION_GET_PUBLIC_KEY:                           authz.KMSGetPublicKey,
	kmsv1.GrantOperation_GRANT_OPERATION_DERIVE_SHARED_SECRET:                     authz.KMSDeriveSharedSecret,
	kmsv1.GrantOperation_GRANT_OPERATION_ENCAPSULATE:                              authz.KMSEncapsulate,
	kmsv1.GrantOperation_GRANT_OPERATION_DECAPSULATE:                              authz.KMSDecapsulate,
	kmsv1.GrantOperation_GRANT_OPERATION_GENERATE_DATA_KEY_PAIR:                   authz.KMSGenerateDataKeyPair,
	kmsv1.GrantOperation_GRANT_OPERATION_GENERATE_DATA_KEY_PAIR_WITHOUT_PLAINTEXT: authz.KMSGenerateDataKeyPairWithoutPlaintext,
}

// operationOf :: action → operation in the API. It is never written.
var operationOf = func() map[authz.Action]kmsv1.GrantOperation {
	m := map[authz.Action]kmsv1.GrantOperation{}
	for o, a := range grantOperations {
		m[a] = o
	}
	return m
}()

func checkCreateGrant(v *violations, r *kmsv1.CreateGrantRequest) {
	v.given("key_id", r.GetKeyId())
	v.text("grantee_principal", r.GetGranteePrincipal(), 1, maxPrincipalARN)
	v.text("retiring_principal", r.GetRetiringPrincipal(), 0, maxPrincipalARN)
	v.text("name", r.GetName(), 0, maxGrantName)
	v.grantTokens(r.GetGrantTokens())
	if n := len(r.GetOperations()); n == 0 || n > len(kmsv1.GrantOperation_name) {
		v.add("operations", "has %d operations, must have 1 to %d", n, len(kmsv1.GrantOperation_name)-1)
		return
	}
	for i, o := range r.GetOperations() {
		if _, ok := grantOperations[o]; !ok {
			v.add(fmt.Sprintf("operations[%d]", i), "is not an operation of grants")
		}
	}
	if r.HasExpiresAt() && (!r.GetExpiresAt().IsValid() || !r.GetExpiresAt().AsTime().After(time.Now())) {
		v.add("expires_at", "must be in the future")
	}
	equals, subset := r.GetConstraints().GetEncryptionContextEquals(), r.GetConstraints().GetEncryptionContextSubset()
	if len(equals) > 0 && len(subset) > 0 {
		v.add("constraints", "has both encryption_context_equals and encryption_context_subset: give one of them")
	}
	v.context("constraints.encryption_context_equals", equals)
	v.context("constraints.encryption_context_subset", subset)
}

// wantedGrant is the grant that a request describes, with principals that are not bound yet.
func wantedGrant(r *kmsv1.CreateGrantRequest) *authz.KeyGrant {
	g := &authz.KeyGrant{
		Name: r.GetName(), Equals: authz.NewPairs(r.GetConstraints().GetEncryptionContextEquals()), Subset: authz.NewPairs(r.GetConstraints().GetEncryptionContextSubset()),
	}
	for _, a := range authz.GrantOperations() {
		for _, o := range r.GetOperations() {
			if grantOperations[o] == a {
				g.Actions = append(g.Actions, a)
				break
			}
		}
	}
	if r.HasExpiresAt() {
		g.Expires = r.GetExpiresAt().AsTime()
	}
	return g
}

// grantFacts tells conditions and parent grants about the grant that is to be made.
func (c *call) grantFacts(r *kmsv1.CreateGrantRequest, g *authz.KeyGrant) {
	x := &c.facts
	x.KeyGrant = g
	x.Set(authz.CtxGranteePrincipal, r.GetGranteePrincipal())
	if r.GetRetiringPrincipal() != "" {
		x.Set(authz.CtxRetiringPrincipal, r.GetRetiringPrincipal())
	}
	x.SetBool(authz.CtxGrantIsForAWSResource, false)
	var names []string
	for _, a := range g.Actions {
		_, name, _ := strings.Cut(a.String(), ":")
		names = append(names, name)
	}
	x.SetList(authz.CtxGrantOperations, names)
	switch {
	case g.Equals.Len() > 0:
		x.Set(authz.CtxGrantConstraintType, "EncryptionContextEquals")
		x.EncryptionContext.Set(r.GetConstraints().GetEncryptionContextEquals())
	case g.Subset.Len() > 0:
		x.Set(authz.CtxGrantConstraintType, "EncryptionContextSubset")
		x.EncryptionContext.Set(r.GetConstraints().GetEncryptionContextSubset())
	}
	// As resources they stand in the event whatever else the caller chooses at length.
	c.touched("PRINCIPAL", r.GetGranteePrincipal(), "", "grantee")
	if r.GetRetiringPrincipal() != "" {
		c.touched("PRINCIPAL", r.GetRetiringPrincipal(), "", "retiring")
	}
	c.param(audit.Strings("operations", names))
	c.param(audit.Context("constraintEncryptionContextEquals", r.GetConstraints().GetEncryptionContextEquals()))
	c.param(audit.Context("constraintEncryptionContextSubset", r.GetConstraints().GetEncryptionContextSubset()))
}

func createGrant(c *call, r *kmsv1.CreateGrantRequest) (*kmsv1.CreateGrantResponse, error) {
	if err := c.grantTokens(r.GetGrantTokens()); err != nil {
		return nil, err
	}
	t, err := c.byID("key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	want := wantedGrant(r)
	c.grantFacts(r, want)
	g, err := c.authorize(authz.KMSCreateGrant, t)
	if err != nil {
		return nil, err
	}
	if err := want.CheckFor(t.key.Resource.KeySpec, t.key.Resource.KeyUsage); err != nil {
		return nil, err
	}
	if want.Grantee, err = c.bind("grantee_principal", r.GetGranteePrincipal()); err != nil {
		return nil, err
	}
	if r.GetRetiringPrincipal() != "" {
		if want.Retiring, err = c.bind("retiring_principal", r.GetRetiringPrincipal()); err != nil {
			return nil, err
		}
	}
	keys, err := c.changingKeys()
	if err != nil {
		return nil, err
	}
	made, token, err := keys.CreateGrant(g, t.key.ID, want)
	if err != nil {
		return nil, err
	}
	c.touched("GRANT", t.key.ARN, t.key.Account(), made.ID)
	return kmsv1.CreateGrantResponse_builder{GrantToken: token, GrantId: made.ID}.Build(), nil
}

// bind ties a principal that a request names to its unique id.
func (c *call) bind(field, text string) (authz.Principal, error) {
	return bindBy(field, text, c.people.PrincipalID)
}

func bindBy(field, text string, resolve func(arn string) (id string, ok bool)) (authz.Principal, error) {
	p, err := authz.BindPrincipal(text, resolve)
	if err != nil {
		f := failureOf(err)
		f.fields = []violation{{field, f.message}}
		return authz.Principal{}, f
	}
	return p, nil
}

// ours reports whether a principal, as a request names it, would be of the caller's account.
func (c *call) ours(principal string) bool {
	parts := strings.SplitN(principal, ":", 6)
	return principal == c.account() || len(parts) == 6 && parts[4] == c.account()
}

// principalText is how a list shows the principal of a grant: by its ARN of today, or by its unique id if it is no longer there; one of another account, or a
// session, as it was named.
func (c *call) principalText(p authz.Principal) string {
	if p.ID == "" || p.Account != c.account() || p.Level == authz.AccountLevel {
		return p.Text
	}
	if arn, ok := c.people.ARN(p.ID); ok {
		return arn
	}
	return p.ID
}

func (c *call) grantEntry(keyARN string, g *authz.KeyGrant) *kmsv1.GrantListEntry {
	e := kmsv1.GrantListEntry_builder{
		KeyId: keyARN, GrantId: g.ID, Name: g.Name, CreationDate: timestamppb.New(g.Created), GranteePrincipal: c.principalText(g.Grantee),
		RetiringPrincipal: c.principalText(g.Retiring), IssuingAccount: "arn:" + c.s.place.Partition + ":iam::" + g.Issuer + ":root",
	}
	for _, a := range g.Actions {
		e.Operations = append(e.Operations, operationOf[a])
	}
	if !g.Expires.IsZero() {
		e.ExpiresAt = timestamppb.New(g.Expires)
	}
	if g.Equals.Len()+g.Subset.Len() > 0 {
		e.Constraints = kmsv1.GrantConstraints_builder{EncryptionContextEquals: pairsOf(g.Equals), EncryptionContextSubset: pairsOf(g.Subset)}.Build()
	}
	return e.Build()
}

func pairsOf(p authz.Pairs) map[string]string {
	m := map[string]string{}
	for name, value := range p.All {
		m[name] = value
	}
	return m
}

func checkListGrants(v *violations, r *kmsv1.ListGrantsRequest) {
	v.given("key_id", r.GetKeyId())
	v.text("grant_id", r.GetGrantId(), 0, grantIDLength)
	v.text("grantee_principal", r.GetGranteePrincipal(), 0, maxPrincipalARN)
	v.limit("limit", r.GetLimit(), largestAliasPage)
}

func listGrants(c *call, r *kmsv1.ListGrantsRequest) (*kmsv1.ListGrantsResponse, error) {
	c.facts.SetBool(authz.CtxGrantIsForAWSResource, false)
	t, err := c.byID("key_id", r.GetKeyId())
	if err != nil {
		return nil, err
	}
	if _, err := c.authorize(authz.KMSListGrants, t); err != nil {
		return nil, err
	}
	grantee := ""
	if r.GetGranteePrincipal() != "" {
		// Who does not exist has no grants; that he does not is not told, as he may be of another account.
		p, err := bindBy("grantee_principal", r.GetGranteePrincipal(), func(arn string) (string, bool) {
			if id, ok := c.people.PrincipalID(arn); ok {
				return id, true
			}
			return inventedID(arn), true
		})
		if err != nil {
			return nil, err
		}
		grantee = p.ID
	}
	scope := t.key.ARN + "\x00" + grantee
	after, err := c.position(scope, r.GetMarker())
	if err != nil {
		return nil, err
	}
	if r.GetGrantId() != "" {
		out := kmsv1.ListGrantsResponse_builder{}
		if g, ok := t.key.Grant(r.GetGrantId()); ok && (grantee == "" || g.Grantee.ID == grantee) {
			out.Grants = []*kmsv1.GrantListEntry{c.grantEntry(t.key.ARN, g)}
		}
		return out.Build(), nil
	}
	page, more := t.key.Grants(grantee, after, pageSize(r.GetLimit(), usualAliasPage))
	out := kmsv1.ListGrantsResponse_builder{Truncated: more}
	for _, g := range page {
		out.Grants = append(out.Grants, c.grantEntry(t.key.ARN, g))
	}
	if more {
		out.NextMarker = c.marker(scope, page[len(page)-1].ID)
	}
	return out.Build(), nil
}

func checkListRetirableGrants(v *violations, r *kmsv1.ListRetirableGrantsRequest) {
	v.text("retiring_principal", r.GetRetiringPrincipal(), 1, maxPrincipalARN)
	v.limit("limit", r.GetLimit(), largestAliasPage)
}

func listRetirableGrants(c *call, r *kmsv1.ListRetirableGrantsRequest) (*kmsv1.ListRetirableGrantsResponse, error) {
	if _, err := c.allow(authz.KMSListRetirableGrants, nothing); err != nil {
		return nil, err
	}
	if !c.ours(r.GetRetiringPrincipal()) {
		return nil, &failure{
			code: codes.InvalidArgument, reason: "InvalidArnException", class: "ForeignPrincipal",
			message: "the principal is not of the caller's account", fields: []violation{{"retiring_principal", "is not of the caller's account"}},
		}
	}
	p, err := c.bind("retiring_principal", r.GetRetiringPrincipal())
	if err != nil {
		return nil, err
	}
	after, err := c.position(p.ID, r.GetMarker())
	if err != nil {
		return nil, err
	}
	page, more := c.keys.RetirableGrants(p.ID, after, pageSize(r.GetLimit(), usualAliasPage))
	out := kmsv1.ListRetirableGrantsResponse_builder{Truncated: more}
	for _, g := range page {
		k, _ := c.keys.Key(g.Key)
		out.Grants = append(out.Grants, c.grantEntry(k.ARN, g.Grant))
	}
	if more {
		out.NextMarker = c.marker(p.ID, page[len(page)-1].Marker())
	}
	return out.Build(), nil
}

func checkRetireGrant(v *violations, r *kmsv1.RetireGrantRequest) {
	v.text("grant_token", r.GetGrantToken(), 0, maxGrantToken)
	v.text("grant_id", r.GetGrantId(), 0, grantIDLength)
	named := r.GetKeyId() != "" || r.GetGrantId() != ""
	switch {
	case r.GetGrantToken() != "" && named:
		v.add("grant_token", "is given beside key_id or grant_id: give the token alone, or the other two")
	case r.GetGrantToken() == "" && (r.GetKeyId() == "" || r.GetGrantId() == ""):
		v.add("grant_token", "is missing, and so is key_id or grant_id: give the token, or the other two")
	}
}

// retired is the key and the id of the grant that a request wants retired.
func (c *call) retired(r *kmsv1.RetireGrantRequest) (target, string, error) {
	if r.GetGrantToken() == "" {
		t, err := c.byID("key_id", r.GetKeyId())
		return t, r.GetGrantId(), err
	}
	id, grantID, err := c.keys.ParseGrantToken(r.GetGrantToken())
	if err != nil {
		return target{}, "", err
	}
	ref := keystore.Ref{Account: c.account(), ID: id}
	if k, ok := c.keys.Key(id); ok {
		ref.Account = k.Account()
	}
	return c.lookUp(ref, ""), grantID, nil
}

func retireGrant(c *call, r *kmsv1.RetireGrantRequest) (*kmsv1.RetireGrantResponse, error) {
	t, id, err := c.retired(r)
	if err != nil {
		return nil, err
	}
	// Of a grant that is not there, who might retire any grant of the account is told so; others are denied.
	c.facts.KeyGrant = &authz.KeyGrant{Issuer: t.ref.Account}
	if t.key != nil {
		if g, ok := t.key.Grant(id); ok {
			c.facts.KeyGrant = g
		}
	}
	c.param(audit.String("grantId", id))
	if c.facts.KeyGrant.ID == "" && t.key != nil {
		if again, err := c.repeats(t.key.Account()); again || err != nil { // who retired it is told so again, and nobody else
			return kmsv1.RetireGrantResponse_builder{KeyId: t.key.ARN}.Build(), err
		}
	}
	g, err := c.authorize(authz.KMSRetireGrant, t)
	if err != nil {
		return nil, err
	}
	keys, err := c.changingKeys()
	if err != nil {
		return nil, err
	}
	if err := keys.RetireGrant(g, t.key.ID, id); err != nil {
		return nil, err
	}
	c.touched("GRANT", t.key.ARN, t.key.Account(), id)
	return kmsv1.RetireGrantResponse_builder{KeyId: t.key.ARN}.Build(), nil
}

func checkRevokeGrant(v *violations, r *kmsv1.RevokeGrantRequest) {
	v.given("key_id", r.GetKeyId())
	v.text("grant_id", r.GetGrantId(), 1, grantIDLength)
}

func revokeGrant(c *call, r *kmsv1.RevokeGrantRequest) (*kmsv1.RevokeGrantResponse, error) {
	c.param(audit.String("grantId", r.GetGrantId()))
	c.facts.SetBool(authz.CtxGrantIsForAWSResource, false)
	k, err := c.changeKey(authz.KMSRevokeGrant, r.GetKeyId(), func(keys *keystore.Keystore, g authz.Grant, k *keystore.Key) (*keystore.Key, error) {
		return k, keys.RevokeGrant(g, k.ID, r.GetGrantId())
	})
	if err != nil {
		return nil, err
	}
	c.touched("GRANT", k.ARN, k.Account(), r.GetGrantId())
	return kmsv1.RevokeGrantResponse_builder{KeyId: k.ARN}.Build(), nil
}
