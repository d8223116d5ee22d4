package authz_test

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/authz/ref"
)

// An engine asks authz what ref is asked. It is not safe for concurrent use.
type engine struct {
	policies map[*ref.Policy]*authz.Policy
	members  map[*ref.Membership]*authz.Membership
	grants   map[*ref.Grant]*authz.KeyGrants // :: first of a key's grants → all of them
	refused  error                           // that authz.Parse gave for a policy of the request
	context  authz.Context
}

func newEngine() *engine {
	return &engine{
		policies: map[*ref.Policy]*authz.Policy{}, members: map[*ref.Membership]*authz.Membership{}, grants: map[*ref.Grant]*authz.KeyGrants{},
	}
}

func (e *engine) policy(kind authz.PolicyKind, p *ref.Policy) *authz.Policy {
	if p == nil {
		return nil
	}
	if have, ok := e.policies[p]; ok {
		return have
	}
	made := authz.Unusable(kind, p.Name)
	if !p.Unusable {
		parsed, err := parseBound(kind, p.Text)
		if err != nil {
			e.refused = err
			return made
		}
		made = parsed.Named(p.Name)
	}
	e.policies[p] = made
	return made
}

func (e *engine) list(kind authz.PolicyKind, list []*ref.Policy) []*authz.Policy {
	var out []*authz.Policy
	for _, p := range list {
		out = append(out, e.policy(kind, p))
	}
	return out
}

func (e *engine) membership(m *ref.Membership) *authz.Membership {
	if m == nil {
		return nil
	}
	if have, ok := e.members[m]; ok {
		return have
	}
	made := &authz.Membership{Organization: m.Organization, Path: m.Path, Management: m.Management}
	for _, level := range m.SCPs {
		made.SCPs = append(made.SCPs, e.list(authz.ServiceControlPolicy, level))
	}
	for _, level := range m.RCPs {
		made.RCPs = append(made.RCPs, e.list(authz.ResourceControlPolicy, level))
	}
	e.members[m] = made
	return made
}

// callerKinds and resourceKinds :: word of ref → that of authz
var (
	callerKinds   = map[string]authz.CallerKind{"root": authz.Root, "user": authz.User, "session": authz.RoleSession, "web": authz.WebIdentity}
	resourceKinds = map[string]authz.ResourceKind{
		"none": authz.None, "key": authz.Key, "alias": authz.Alias, "entity": authz.IAMEntity, "role": authz.Role, "organization": authz.OrganizationEntity,
	}
)

func (e *engine) caller(c *ref.Caller) authz.Caller {
	return authz.Caller{
		Kind: callerKinds[c.Kind], Account: c.Account, ID: c.ID, ARN: c.ARN, RoleARN: c.RoleARN, UserName: c.UserName, SessionName: c.SessionName,
		Identity: e.list(authz.IdentityPolicy, c.Identity), Boundary: e.policy(authz.IdentityPolicy, c.Boundary), Session: e.list(authz.SessionPolicy, c.Session),
		Tags: authz.NewPairs(c.Tags), SourceIdentity: c.SourceIdentity, Issued: c.Issued, MFA: c.MFA, Membership: e.membership(c.Membership),
	}
}

func (e *engine) resource(r *ref.Resource) authz.Resource {
	kind := authz.KeyPolicy
	if r.Kind == "role" {
		kind = authz.TrustPolicy
	}
	return authz.Resource{
		Kind: resourceKinds[r.Kind], Account: r.Account, ARN: r.ARN, Policy: e.policy(kind, r.Policy), Membership: e.membership(r.Membership),
		Tags: authz.NewPairs(r.Tags), Aliases: r.Aliases, Grants: e.keyGrants(r.Grants), KeySpec: r.KeySpec, KeyUsage: r.KeyUsage, KeyOrigin: r.KeyOrigin,
	}
}

func (e *engine) keyGrants(list []*ref.Grant) *authz.KeyGrants {
	if len(list) == 0 {
		return nil
	}
	if have, ok := e.grants[list[0]]; ok && have.Len() == len(list) {
		return have
	}
	made := authz.CollectKeyGrants(func(yield func(*authz.KeyGrant) bool) {
		for _, g := range list {
			if !yield(keyGrant(g)) {
				return
			}
		}
	})
	e.grants[list[0]] = made
	return made
}

func keyGrant(g *ref.Grant) *authz.KeyGrant {
	if g == nil {
		return nil
	}
	k := &authz.KeyGrant{
		ID: g.ID, Issuer: g.Issuer, Grantee: grantPrincipal(g.Grantee), Retiring: grantPrincipal(g.Retiring), Expires: g.Expires,
		Equals: authz.NewPairs(g.Equals), Subset: authz.NewPairs(g.Subset),
	}
	for _, name := range g.Actions {
		a, _ := authz.ActionByName(name)
		k.Actions = append(k.Actions, a)
	}
	return k
}

func grantPrincipal(p ref.Principal) authz.Principal {
	level := map[string]authz.Level{"DIRECT": authz.DirectLevel, "ROLE": authz.RoleLevel, "ACCOUNT": authz.AccountLevel}[p.Level]
	return authz.Principal{Level: level, Account: p.Account, ID: p.ID}
}

// contextKeys :: condition key → how a Context has it
var contextKeys = map[string]authz.ContextKey{
	"kms:RequestAlias": authz.CtxRequestAlias, "kms:KeySpec": authz.CtxKeySpec, "kms:KeyUsage": authz.CtxKeyUsage, "kms:MultiRegion": authz.CtxMultiRegion,
	"kms:EncryptionAlgorithm": authz.CtxEncryptionAlgorithm, "kms:ReEncryptOnSameKey": authz.CtxReEncryptOnSameKey,
	"kms:BypassPolicyLockoutSafetyCheck": authz.CtxBypassPolicyLockoutSafetyCheck, "kms:GrantOperations": authz.CtxGrantOperations,
	"kms:GrantConstraintType": authz.CtxGrantConstraintType, "sts:ExternalId": authz.CtxExternalID, "sts:RoleSessionName": authz.CtxRoleSessionName,
	"aws:TagKeys": authz.CtxTagKeys, "kms:KeyOrigin": authz.CtxKeyOrigin, "kms:GranteePrincipal": authz.CtxGranteePrincipal,
	"kms:RetiringPrincipal": authz.CtxRetiringPrincipal, "kms:GrantIsForAWSResource": authz.CtxGrantIsForAWSResource,
	"organizations:PolicyType": authz.CtxOrganizationsPolicyType, "sts:SourceIdentity": authz.CtxSTSSourceIdentity,
	"sts:TransitiveTagKeys": authz.CtxTransitiveTagKeys, "sts:DurationSeconds": authz.CtxDurationSeconds,
	"kms:SigningAlgorithm": authz.CtxSigningAlgorithm, "kms:MessageType": authz.CtxMessageType, "kms:MacAlgorithm": authz.CtxMacAlgorithm,
	"kms:KeyAgreementAlgorithm": authz.CtxKeyAgreementAlgorithm, "kms:DataKeyPairSpec": authz.CtxDataKeyPairSpec,
	"kms:ScheduleKeyDeletionPendingWindowInDays": authz.CtxPendingWindowInDays, "kms:RotationPeriodInDays": authz.CtxRotationPeriodInDays,
	"kms:WrappingAlgorithm": authz.CtxWrappingAlgorithm, "kms:WrappingKeySpec": authz.CtxWrappingKeySpec,
	"kms:ValidTo": authz.CtxValidTo, "kms:ExpirationModel": authz.CtxExpirationModel,
	"iam:PermissionsBoundary": authz.CtxPermissionsBoundary, "iam:PolicyARN": authz.CtxPolicyARN,
}

func (e *engine) fill(x *ref.Context) *authz.Context {
	e.context.Reset()
	to := &e.context
	to.Time, to.SecureTransport, to.UserAgent, to.Region = x.Time, x.SecureTransport, x.UserAgent, x.Region
	if x.SourceIP != "" {
		to.SourceIP, _ = netip.ParseAddr(x.SourceIP)
	}
	to.EncryptionContext.Set(x.EncryptionContext)
	to.RequestTags.Set(x.RequestTags)
	to.Claims.Set(x.Claims)
	to.KeyGrant = keyGrant(x.Grant)
	for key, values := range x.Values {
		switch k := contextKeys[key]; k {
		case 0:
			panic("no context key for " + key)
		case authz.CtxGrantOperations, authz.CtxTransitiveTagKeys, authz.CtxTagKeys:
			to.SetList(k, values)
		case authz.CtxReEncryptOnSameKey, authz.CtxBypassPolicyLockoutSafetyCheck, authz.CtxMultiRegion, authz.CtxGrantIsForAWSResource:
			to.SetBool(k, values[0] == "true")
		case authz.CtxDurationSeconds, authz.CtxPendingWindowInDays, authz.CtxRotationPeriodInDays:
			n, _ := strconv.ParseInt(values[0], 10, 64)
			to.SetNumber(k, n)
		case authz.CtxValidTo:
			at, err := time.Parse(time.RFC3339, values[0])
			if err != nil {
				panic(err)
			}
			to.SetDate(k, at)
		default:
			to.Set(k, values[0])
		}
	}
	return to
}

// layerWords :: Layer → the word of ref for it
var layerWords = map[authz.Layer]string{
	authz.NoLayer: "", authz.ResourceLayer: "Resource", authz.IdentityLayer: "Identity", authz.BoundaryLayer: "Boundary", authz.SessionLayer: "Session",
	authz.SCPLayer: "SCP", authz.RCPLayer: "RCP", authz.GrantLayer: "Grant",
}

// decide asks authz, and answers in the words of ref.
func (e *engine) decide(q *ref.Request) ref.Answer {
	c, r, x := e.caller(&q.Caller), e.resource(&q.Resource), e.fill(&q.Context)
	a, _ := authz.ActionByName(q.Action)
	g, d := authz.Authorize(&c, a, &r, x)
	arn := r.ARN
	if r.Kind == authz.None {
		arn = "*"
	}
	if g.Permits(a, arn) != (d.Verdict == authz.Allow) {
		panic(fmt.Sprintf("Authorize(%+v) = %+v, %+v: the grant and the decision differ", q, g, d))
	}
	return ref.Answer{
		Allow: d.Verdict == authz.Allow, Reason: d.Reason.String(), Layer: layerWords[d.Layer], Level: d.Level.String(),
		Policy: d.Policy, Statement: d.Statement, GrantID: d.GrantID,
	}
}

// tallies count what a run came past.
type tallies struct {
	cases, asked, refused int
	by                    map[string]int // :: "reason X", "layer X", "level X", "operator X" → how often
	why                   map[string]int // :: what authz.Parse said → how often
}

func (t *tallies) add(q *ref.Request, a ref.Answer) {
	t.cases++
	t.by["reason "+a.Reason]++
	t.by["layer "+a.Layer]++
	t.by["level "+a.Level]++
	for operator := range q.Operators {
		t.by["operator "+operator]++
	}
}

func (t *tallies) merge(o *tallies) {
	t.cases += o.cases
	t.asked += o.asked
	t.refused += o.refused
	for k, n := range o.by {
		t.by[k] += n
	}
	for k, n := range o.why {
		t.why[k] += n
	}
}

const questionsPerScene = 150

// A difference is a request that the two interpreters do not agree about.
type difference struct {
	scene     uint64
	request   *ref.Request
	got, want ref.Answer
}

// compare runs scenes from the first up to before the last with a number of workers, and stops at the first difference. Scene n of a seed is always the same.
func compare(seed uint64, cases int, defect ref.Defect) (*tallies, *difference) {
	scenes := uint64((cases + questionsPerScene - 1) / questionsPerScene)
	total := &tallies{by: map[string]int{}, why: map[string]int{}}
	var next atomic.Uint64
	var found atomic.Pointer[difference]
	var mu sync.Mutex // guards total
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			own := &tallies{by: map[string]int{}, why: map[string]int{}}
			for n := next.Add(1); n <= scenes && found.Load() == nil; n = next.Add(1) {
				if d := compareScene(seed, n, defect, own); d != nil {
					found.CompareAndSwap(nil, d)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total.merge(own)
		})
	}
	wg.Wait()
	return total, found.Load()
}

func compareScene(seed, number uint64, defect ref.Defect, t *tallies) *difference {
	s, e := newScene(seed, number), newEngine()
	t.asked += s.asked
	t.refused += s.refused
	for k, n := range s.why {
		t.why[k] += n
	}
	for range questionsPerScene {
		q := s.question()
		q.Defect, q.Operators = defect, map[string]int{}
		got, want := e.decide(q), ref.Decide(q)
		t.add(q, want)
		if !agree(q, got, want) {
			return &difference{number, q, got, want}
		}
	}
	return nil
}

// agree reports whether two answers to a request are the same. Of many grants that allow it, any may be the one that is named: then
// the reference is asked about a key that has only that.
func agree(q *ref.Request, got, want ref.Answer) bool {
	const inTurn = 8 // as many are looked at one by one
	if got == want || got.GrantID == "" || want.GrantID == "" || len(q.Resource.Grants) <= inTurn {
		return got == want
	}
	one := *q
	one.Operators = map[string]int{}
	one.Resource.Grants = slices.DeleteFunc(slices.Clone(q.Resource.Grants), func(g *ref.Grant) bool { return g.ID != got.GrantID })
	return ref.Decide(&one) == got
}

// casesOf returns how many cases a test compares: those that the environment asks for, or a number that does not take long.
func casesOf(t *testing.T) int {
	t.Helper()
	if text := os.Getenv("KMSD_AUTHZ_CASES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 {
			t.Fatalf("KMSD_AUTHZ_CASES=%s: want a number of cases", text)
		}
		return n
	}
	if testing.Short() {
		return 20_000
	}
	return 200_000
}

// seedOf returns the seed of a run: the one that the environment repeats, or another each time.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("KMSD_AUTHZ_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("KMSD_AUTHZ_SEED=%s: want a number", text)
		}
		seed = n
	}
	t.Logf("KMSD_AUTHZ_SEED=%d repeats this run", seed)
	return seed
}

// TestCompiledPoliciesDecideAsTheTextSays compares both interpreters on random policies and requests. KMSD_AUTHZ_CASES is how many.
func TestCompiledPoliciesDecideAsTheTextSays(t *testing.T) {
	seed, cases := seedOf(t), casesOf(t)
	start := time.Now()
	total, d := compare(seed, cases, ref.None)
	took := time.Since(start)
	t.Logf("%d cases in %v, %.0f a second; %d of %d documents were refused", total.cases, took.Round(time.Millisecond),
		float64(total.cases)/took.Seconds(), total.refused, total.asked)
	if d != nil {
		t.Fatalf("seed %d, scene %d: %s", seed, d.scene, shrink(d))
	}
	if total.cases < cases {
		t.Errorf("%d cases were compared, want %d", total.cases, cases)
	}
	if total.refused*5 > total.asked {
		t.Errorf("%d of %d documents were refused, want less than a fifth: %v", total.refused, total.asked, mostOf(total.why))
	}
	if cases >= coveringCases {
		checkCoverage(t, total)
	}
}

// coveringCases is how many cases leave nothing out by chance: in 20,000 a reason that a scene in fifty has is missing now and then.
const coveringCases = 200_000

// mostOf returns the reasons that came up most.
func mostOf(why map[string]int) []string {
	var list []string
	for text, n := range why {
		list = append(list, fmt.Sprintf("%6d %s", n, text))
	}
	slices.Sort(list)
	slices.Reverse(list)
	return list[:min(len(list), 12)]
}
