package ref

import "strings"

// action is what is known of an action that a request may name.
type action struct {
	on    string // the kinds of resources it is asked for
	cross bool   // AWS lets it reach into another account
}

// actions :: name → what is known of it. It is never written.
var actions = map[string]action{
	"kms:Encrypt": {"key", true}, "kms:Decrypt": {"key", true}, "kms:ReEncryptFrom": {"key", true}, "kms:ReEncryptTo": {"key", true},
	"kms:GenerateDataKey": {"key", true}, "kms:DescribeKey": {"key", true},
	"kms:CreateGrant": {"key", true}, "kms:ListGrants": {"key", true}, "kms:RevokeGrant": {"key", true}, "kms:RetireGrant": {"key", true},
	"kms:PutKeyPolicy": {"key", false}, "kms:DisableKey": {"key", false}, "kms:TagResource": {"key none", false}, "kms:UntagResource": {"key", false},
	"kms:CreateAlias": {"key alias", false}, "kms:CreateKey": {"none", false}, "kms:ListKeys": {"none", false},
	"kms:Sign": {"key", true}, "kms:VerifyMac": {"key", true}, "kms:DeriveSharedSecret": {"key", true}, "kms:GenerateDataKeyPair": {"key", true},
	"kms:GetPublicKey": {"key", true}, "kms:GetKeyRotationStatus": {"key", true},
	"kms:ScheduleKeyDeletion": {"key", false}, "kms:EnableKeyRotation": {"key", false}, "kms:GetParametersForImport": {"key", false},
	"kms:ImportKeyMaterial": {"key", false},
	"iam:GetUser":           {"entity", false}, "iam:ListUsers": {"entity none", false}, "iam:CreateRole": {"entity", false},
	"iam:AttachUserPolicy":  {"entity", false},
	"sts:GetCallerIdentity": {"none", false},
	"sts:GetSessionToken":   {"none", false},
	"sts:AssumeRole":        {"role", true}, "sts:AssumeRoleWithWebIdentity": {"role", true}, "sts:TagSession": {"role", true},
	"sts:SetSourceIdentity":      {"role", true},
	"organizations:ListRoots":    {"none", false},
	"organizations:AttachPolicy": {"organization", false},
	"organizations:CloseAccount": {"organization", false},
}

// evaluation is one request while it is answered.
type evaluation struct {
	*Request
	found     map[string]entry    // :: folded key → what the request says of it; nil before the first is asked for
	colliding map[string][]string // :: folded key of a family → its values
	exact     map[string]bool     // :: key of a family as the request writes it
}

// Decide answers.
func Decide(q *Request) Answer {
	known, ok := actions[q.Action]
	switch {
	case !ok:
		return Answer{Reason: "InvalidRequest"}
	case q.unauthenticated():
		return Answer{Reason: "Unauthenticated"}
	case q.misfit(known):
		return Answer{Reason: "InvalidRequest"}
	}
	e := &evaluation{Request: q}
	return e.decide(known)
}

// unauthenticated reports whether the caller is nobody, or not said in full.
func (q *Request) unauthenticated() bool {
	c := &q.Caller
	switch c.Kind {
	case "root", "user", "session":
		return c.Account == "" || c.ID == ""
	case "web":
		return c.ID == ""
	}
	return true
}

func (q *Request) misfit(known action) bool {
	r := &q.Resource
	fits := false
	for _, kind := range strings.Fields(known.on) {
		fits = fits || kind == r.Kind
	}
	return !fits || r.Kind != "none" && (r.Account == "" || r.ARN == "") || r.Policy != nil && r.Kind != "key" && r.Kind != "role"
}

// decide is section 8.3.
func (e *evaluation) decide(known action) Answer {
	c, r := &e.Caller, &e.Resource
	if (e.Action == "sts:GetCallerIdentity" || e.Action == "sts:GetSessionToken") && c.Kind != "web" {
		return Answer{Allow: true, Reason: "AlwaysAllowed"}
	}
	cross := r.Kind != "none" && c.Account != r.Account && c.Kind != "web"
	if cross && !known.cross {
		return Answer{Reason: "NotCrossAccount"}
	}
	if a, unusable := e.unusable(); unusable {
		return a
	}

	// 1. An explicit Deny anywhere wins.
	for _, look := range []func() (Answer, bool){
		e.deniedBySCP, e.deniedByRCP, e.deniedByResource, e.deniedByIdentity, e.deniedByBoundary, e.deniedBySession,
	} {
		if a, denied := look(); denied {
			return a
		}
	}

	// 2. Every level of the organizations must allow.
	if e.rcpsApply() && !e.everyLevelAllows(r.Membership.RCPs) {
		return Answer{Reason: "NoRCPAllow", Layer: "RCP"}
	}
	if e.scpsApply() && !e.everyLevelAllows(c.Membership.SCPs) {
		return Answer{Reason: "NoSCPAllow", Layer: "SCP"}
	}

	// 3. Who grants?
	switch {
	case c.Kind == "web":
		return e.webIdentity()
	case e.Action == "kms:RetireGrant" && (r.Policy != nil || e.Context.Grant != nil):
		return e.retire()
	case r.Kind != "key" && r.Kind != "role" || r.Policy == nil && !cross:
		if e.Action == "sts:AssumeRole" && c.Kind == "root" {
			return Answer{Reason: "RootCannotAssumeRole"}
		}
		return e.byIdentity("Identity", "Root")
	}
	return e.byResourcePolicy(cross)
}

// unusable finds a policy that applies and did not load.
func (e *evaluation) unusable() (Answer, bool) {
	for _, l := range e.layers() {
		for _, p := range l.policies {
			if p != nil && p.Unusable {
				return Answer{Reason: "PolicyUnusable", Layer: l.name, Policy: p.Name}, true
			}
		}
	}
	return Answer{}, false
}

// layer is a name and the policies that it has for the request.
type layer struct {
	name     string
	policies []*Policy
}

func (e *evaluation) layers() []layer {
	var list []layer
	if e.scpsApply() {
		for _, level := range e.Caller.Membership.SCPs {
			list = append(list, layer{"SCP", level})
		}
	}
	if e.rcpsApply() {
		for _, level := range e.Resource.Membership.RCPs {
			list = append(list, layer{"RCP", level})
		}
	}
	list = append(list, layer{"Identity", e.Caller.Identity}, layer{"Boundary", []*Policy{e.Caller.Boundary}}, layer{"Session", e.Caller.Session})
	if e.Action != "kms:RetireGrant" {
		list = append(list, layer{"Resource", []*Policy{e.Resource.Policy}})
	}
	return list
}

func (e *evaluation) scpsApply() bool {
	m := e.Caller.Membership
	return m != nil && (!m.Management || e.Defect == SCPBindsManagement)
}

func (e *evaluation) rcpsApply() bool {
	m := e.Resource.Membership
	return m != nil && !m.Management && (e.Resource.Kind == "key" || e.Resource.Kind == "role") && e.Action != "kms:RetireGrant"
}

func (e *evaluation) deniedBySCP() (Answer, bool) {
	if e.scpsApply() {
		for _, level := range e.Caller.Membership.SCPs {
			if a, denied := e.denied("SCP", level); denied {
				return a, true
			}
		}
	}
	return Answer{}, false
}

func (e *evaluation) deniedByRCP() (Answer, bool) {
	if e.rcpsApply() {
		for _, level := range e.Resource.Membership.RCPs {
			if a, denied := e.denied("RCP", level); denied {
				return a, true
			}
		}
	}
	return Answer{}, false
}

func (e *evaluation) deniedByResource() (Answer, bool) {
	p := e.Resource.Policy
	if p == nil || e.Action == "kms:RetireGrant" { // the grant decides, not the key policy
		return Answer{}, false
	}
	for i := range p.statements {
		s := &p.statements[i]
		if level := e.deniesCaller(p, s); s.deny && level != "" && e.covers(p, s) {
			return Answer{Reason: "ExplicitResource", Layer: "Resource", Level: level, Policy: p.Name, Statement: i + 1}, true
		}
	}
	return Answer{}, false
}

func (e *evaluation) deniedByIdentity() (Answer, bool) {
	return e.denied("Identity", e.Caller.Identity)
}

func (e *evaluation) deniedByBoundary() (Answer, bool) {
	return e.denied("Boundary", []*Policy{e.Caller.Boundary})
}

func (e *evaluation) deniedBySession() (Answer, bool) { return e.denied("Session", e.Caller.Session) }

func (e *evaluation) denied(name string, policies []*Policy) (Answer, bool) {
	p, n := e.first(policies, true)
	if n == 0 {
		return Answer{}, false
	}
	return Answer{Reason: "Explicit" + name, Layer: name, Policy: p.Name, Statement: n}, true
}

// first returns the first statement of the effect that takes in the request, from 1, or 0.
func (e *evaluation) first(policies []*Policy, deny bool) (*Policy, int) {
	for _, p := range policies {
		if p == nil {
			continue
		}
		for i := range p.statements {
			if s := &p.statements[i]; s.deny == deny && e.covers(p, s) {
				return p, i + 1
			}
		}
	}
	return nil, 0
}

// covers reports whether a statement's action, resource and conditions take in the request.
func (e *evaluation) covers(p *Policy, s *statement) bool {
	return e.actionCovered(s) && e.resourceCovered(p, s) && e.conditionsHold(p, s)
}

func (e *evaluation) actionCovered(s *statement) bool {
	service, name, _ := strings.Cut(strings.ToLower(e.Action), ":")
	for _, pattern := range s.actions {
		of, what, _ := strings.Cut(strings.ToLower(pattern), ":")
		if pattern == "*" || of == service && glob(what, name) {
			return !s.notAction
		}
	}
	return s.notAction
}

func (e *evaluation) resourceCovered(p *Policy, s *statement) bool {
	if s.resources == nil {
		return true // a trust policy: the role is the resource
	}
	words := e.wording(p)
	words.wildcards, words.arn = true, true
	for _, pattern := range s.resources {
		list, ok := words.tokens(pattern)
		hit := pattern == "*" || ok && e.Resource.Kind != "none" && run(list, e.Resource.ARN)
		if e.ambiguous(p, pattern) && e.Defect != CollidingAny {
			hit = s.deny != s.notResource
		}
		if hit {
			return !s.notResource
		}
	}
	return s.notResource
}

func (e *evaluation) everyLevelAllows(levels [][]*Policy) bool {
	missing := 0
	for _, level := range levels {
		if _, n := e.first(level, false); n == 0 {
			missing++
		}
	}
	return missing == 0 || missing == 1 && e.Defect == SCPSkipsLevel
}

// byIdentity lets the caller's own policies and their limits decide.
func (e *evaluation) byIdentity(reason, rootReason string) Answer {
	if e.Caller.Kind == "root" {
		return Answer{Allow: true, Reason: rootReason, Layer: "Identity"}
	}
	p, n := e.first(e.Caller.Identity, false)
	if n == 0 {
		return Answer{Reason: "NoIdentityAllow", Layer: "Identity"}
	}
	if a, limited := e.limited(); limited {
		return a
	}
	return Answer{Allow: true, Reason: reason, Layer: "Identity", Policy: p.Name, Statement: n}
}

func (e *evaluation) ident() bool {
	_, n := e.first(e.Caller.Identity, false)
	return n > 0 || e.Caller.Kind == "root"
}

// limited reports whether the permissions boundary or the session policies do not allow.
func (e *evaluation) limited() (Answer, bool) {
	c := &e.Caller
	if c.Boundary != nil && c.Kind != "root" {
		if _, n := e.first([]*Policy{c.Boundary}, false); n == 0 {
			return Answer{Reason: "NoBoundaryAllow", Layer: "Boundary", Policy: c.Boundary.Name}, true
		}
	}
	if len(c.Session) > 0 && c.Kind != "root" {
		if _, n := e.first(c.Session, false); n == 0 {
			return Answer{Reason: "NoSessionAllow", Layer: "Session"}, true
		}
	}
	return Answer{}, false
}
