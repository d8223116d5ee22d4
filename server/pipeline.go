package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	"github.com/kmsd/kmsd/internal/front"
	"github.com/kmsd/kmsd/keystore"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// call is one request on its way through the pipeline. It reads one snapshot of principals and one of keys from start to end,
// and fills in one audit event.
type call struct {
	ctx        context.Context // the request's, for what waits on the way
	s          *Server
	m          *method
	conn       *connection
	credential *iam.Credential
	who        *authz.Caller // whose credential it is, with all policies that apply
	facts      authz.Context // what conditions ask about the request
	resource   authz.Resource
	people     *iam.Snapshot
	keys       *keystore.Snapshot
	event      audit.Event
	wrong      violations
	dry        bool             // the request is to be checked, not carried out
	findings   []*iamv1.Finding // of the policy documents in the request
	token      keystore.Token   // makes its change of keys idempotent
	algorithm  string           // AWS's name of the one that is asked for
	uses       [2]use           // of keys, that succeed if the call does
	parts      []part           // the items of a batch
	leave      func()           // ends the turn of a batch, or a stream; nil if it has none
}

// caller is who makes the call.
func (c *call) caller() *authz.Caller { return c.who }

// account is the account of who makes the call.
func (c *call) account() string { return c.who.Account }

// serve is the one pipeline: authenticate → decode and validate → authorize → use → record → answer. Whatever happens on the way
// ends in one event, and what comes back is answered only once that event is durable.
func (s *Server) serve(ctx context.Context, m *method, decode func(any) error) (proto.Message, error) {
	c := s.begin(ctx, m)
	defer s.release(c)
	return s.carryOut(ctx, c, decode)
}

// carryOut does the work of a call that has begun, and records how it ended.
func (s *Server) carryOut(ctx context.Context, c *call, decode func(any) error) (proto.Message, error) {
	before := s.store.Generation()
	out, err := c.run(decode)
	switch {
	case err == nil && c.m.mutating && !c.dry: // the change is made, whether somebody waits for the answer or not
		c.event.StateGeneration = audit.StateGeneration{Before: before, After: s.store.Generation()}
	case err == nil:
		err = ctx.Err() // nobody waits for the answer: it is not given
	}
	var f *failure
	if err != nil {
		f = failureOf(err)
		c.logInternal(f, err)
	}
	if s.flood.sheds(f, c.who != nil) {
		return nil, errShed.status(c.event.RequestID.String()).Err()
	}
	return s.finish(ctx, c, f, out)
}

var calls = sync.Pool{New: func() any { return new(call) }}

func (s *Server) begin(ctx context.Context, m *method) *call {
	c := s.newCall(ctx, m)
	c.people, c.keys = s.people.Snapshot(), s.keys.Snapshot()
	c.event.ReceivedTime = time.Now()
	return c
}

// newCall makes a call with an event of its own, which lacks when it came and who made it.
func (s *Server) newCall(ctx context.Context, m *method) *call {
	c := calls.Get().(*call)
	c.ctx, c.s, c.m = ctx, s, m
	e := &c.event
	e.EventID, e.RequestID = audit.NewID(), audit.NewID()
	e.Phase, e.EventType, e.EventCategory, e.APIVersion = audit.PhaseOutcome, audit.TypeAPICall, "Management", "v1"
	e.EventSource, e.EventName = m.source, m.event
	e.ReadOnly, e.Mutating, e.CryptoOp = !m.mutating, m.mutating, m.crypto
	e.Actor.Type, e.Actor.AuthMethod = audit.ActorUnknown, audit.AuthNone
	e.Decision.Result = audit.ResultNone
	return c
}

func (s *Server) release(c *call) {
	for i := range c.parts {
		if c.parts[i].call != nil {
			s.release(c.parts[i].call)
		}
	}
	if c.leave != nil {
		c.leave()
		c.leave = nil
	}
	c.event.EncryptionContext = nil // the request's, not ours to clear
	c.event.Reset()
	c.facts.Reset()
	c.resource = authz.Resource{}
	c.ctx, c.conn, c.credential, c.who, c.people, c.keys, c.wrong, c.dry, c.findings = nil, nil, nil, nil, nil, nil, nil, false, nil
	c.algorithm, c.uses, c.parts = "", [2]use{}, nil
	c.token = keystore.Token{}
	calls.Put(c)
}

// errPanic is how a call ends that panics.
var errPanic = &failure{code: codes.Internal, reason: reasonInternal, message: "internal error", class: "Panic"}

// caught is deferred: it makes a panic an error that does not carry the panic's value, which might hold anything.
func (c *call) caught(out *proto.Message, err *error) {
	if v := recover(); v != nil {
		*out, *err = nil, errPanic
		c.s.log.Error("panic in a call", "method", c.m.name, "request_id", c.event.RequestID.String(), "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
	}
}

// run does the work of a call.
func (c *call) run(decode func(any) error) (out proto.Message, err error) {
	defer c.caught(&out, &err)
	md := incoming(c.ctx)
	if c.conn, err = connectionOf(c.ctx); err != nil {
		return nil, err
	}
	c.event.Network = c.conn.network
	through := front.FromContext(c.ctx)
	if through != nil {
		c.event.Network.UserAgent = bounded(through.UserAgent)
	} else if agent := md["user-agent"]; len(agent) == 1 {
		c.event.Network.UserAgent = bounded(agent[0])
	}
	if through != nil && through.Refused != nil {
		return nil, translation(through.Refused)
	}
	if err := c.authenticate(md); err != nil {
		return nil, err
	}
	c.gatherFacts()
	if err := c.ctx.Err(); err != nil {
		return nil, err
	}
	return c.m.handle(c, decode)
}

// settle reads the state again once the message has arrived, which may be long after the call began: who was let in by then may have been deleted
// since, or lost what allowed him. From here on the call reads one state.
func (c *call) settle() error {
	people := c.s.people.Snapshot()
	c.keys = c.s.keys.Snapshot()
	if people == c.people {
		return nil
	}
	c.people = people
	if c.credential == nil {
		return nil
	}
	return c.reauthenticate()
}

// bounded cuts what somebody may say of itself before it has said who it is, so that an event stays small.
func bounded(s string) string {
	const most = 256
	if len(s) > most {
		return s[:most]
	}
	return s
}

// intend makes it durable that the call is allowed and about to change something. A change without this record is not
// made; one whose outcome could not be recorded is known by it.
func (c *call) intend() error {
	e := c.event // Append keeps nothing of it
	e.EventID, e.Phase, e.EventTime = audit.NewID(), audit.PhaseIntent, time.Now()
	return c.s.audit.Append(c.ctx, &e)
}

// changingKeys returns the keystore for a change, which it records as intended and which the request's client token makes idempotent; for a dry run,
// one that checks the change and does not make it.
func (c *call) changingKeys() (*keystore.Keystore, error) {
	keys := c.s.keys.With(c.token)
	if c.dry {
		return keys.DryRun(), nil
	}
	return keys, c.intend()
}

// changingPeople returns the principals for a change, which it records as intended, and which is made once under the client's token.
func (c *call) changingPeople() (*iam.IAM, error) {
	return c.s.people.With(c.peopleToken()), c.intend()
}

// conclude fills in how the call ended, now or when its event says.
func (c *call) conclude(f *failure, out proto.Message) (code codes.Code, latency time.Duration) {
	e := &c.event
	if e.EventTime.IsZero() {
		e.EventTime = time.Now()
	}
	latency = e.EventTime.Sub(e.ReceivedTime)
	o := &e.Outcome
	o.LatencyUs = latency.Microseconds()
	if f == nil {
		o.Status, o.BytesOut = "OK", int64(proto.Size(out))
		return codes.OK, latency
	}
	o.Status, o.ErrorCode, o.ErrorClass = statusName(f.code), f.reason, f.class
	return f.code, latency
}

// wipe overwrites an answer that is not given.
func (c *call) wipe(out proto.Message) {
	c.m.wipe(out)
	for i := range c.parts {
		c.parts[i].wipe()
	}
}

// finish records how the call ended and makes its answer. If the event cannot be made durable, there is no answer but UNAVAILABLE.
func (s *Server) finish(ctx context.Context, c *call, f *failure, out proto.Message) (proto.Message, error) {
	e := &c.event
	code, latency := c.conclude(f, out)
	if f != nil {
		c.wipe(out)
	}
	c.concludeParts(f)
	if ctx.Err() != nil { // the call is over, its event is not
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), s.limits.Call)
		defer cancel()
	}
	if err := c.record(ctx); err != nil {
		if ctx.Err() == nil { // it is the log that failed, not the caller who left
			s.metrics.auditFailures.Inc()
			s.log.Error("withholding an answer", "method", c.m.name, "request_id", e.RequestID.String(), "error", err)
		}
		c.wipe(out)
		f, code = unrecorded(err), codes.Unavailable
	}
	s.metrics.calls[c.m.number].observe(code, latency)
	if f != nil {
		return nil, f.status(e.RequestID.String()).Err()
	}
	// A call in process, without a transport, has no header; it has the event all the same.
	_ = grpc.SetHeader(ctx, metadata.MD{headerRequestID: {e.RequestID.String()}})
	return out, nil
}

// record makes the event durable, and those of the items of a batch with it.
func (c *call) record(ctx context.Context) error {
	if len(c.parts) == 0 {
		return c.s.audit.Append(ctx, &c.event)
	}
	events := make([]*audit.Event, 0, len(c.parts)+1)
	for _, p := range c.parts {
		if p.call != nil {
			events = append(events, &p.call.event)
		}
	}
	return c.s.audit.AppendAll(ctx, append(events, &c.event))
}

// unrecorded is how a call ends whose event is not durable because of err.
func unrecorded(err error) *failure {
	if f := failureOf(err); f.code == codes.Unavailable {
		return f
	}
	return failureOf(audit.ErrUnavailable)
}

// headerRequestID tells the caller the requestID of the audit event, also when all went well; errors have it in their RequestInfo.
const headerRequestID = "x-amzn-requestid"

// logInternal writes the words of errors that the client does not see to the log.
func (c *call) logInternal(f *failure, err error) {
	var own *failure
	if f.reason == reasonInternal && !errors.As(err, &own) {
		c.s.log.Error("call failed", "method", c.m.name, "request_id", c.event.RequestID.String(), "error", err)
	}
}

// allow asks authz for a permission. A denial is an error in AWS's words.
func (c *call) allow(a authz.Action, r *authz.Resource) (authz.Grant, error) {
	g, d := c.decide(a, r)
	if d.Verdict != authz.Allow {
		return authz.Grant{}, c.denial(a, r, d)
	}
	return g, nil
}

// decide asks authz, notes the decision in the event, and remembers a denial.
func (c *call) decide(a authz.Action, r *authz.Resource) (authz.Grant, authz.Decision) {
	g, d := c.judge(a, r)
	if d.Verdict != authz.Allow {
		c.s.denials.keep(c, a, r, r.ARN)
	}
	return g, d
}

// judge asks authz and notes the decision in the event. Of several that allow, the first one stands there with its reason and layer.
func (c *call) judge(a authz.Action, r *authz.Resource) (authz.Grant, authz.Decision) {
	g, d := authz.Authorize(c.who, a, r, &c.facts)
	to := &c.event.Decision
	if d.Policy != "" {
		to.MatchedPolicies = append(to.MatchedPolicies, d.Policy)
		to.MatchedStatements = append(to.MatchedStatements, statementName(d.Statement))
	}
	if d.GrantID != "" {
		to.GrantID = d.GrantID
	}
	if d.Verdict != authz.Allow || to.Result != audit.ResultAllow {
		to.Result, to.Reason, to.Layer = audit.Result(d.Verdict.String()), d.Reason.String(), d.Layer.String()
		to.PolicyGeneration = c.people.Generation()
	}
	return g, d
}

// denial is what a denied caller is told. r is the resource as the caller named it, so that a name that leads nowhere is denied
// like one that leads to a key.
func (c *call) denial(a authz.Action, r *authz.Resource, d authz.Decision) error {
	return &failure{
		code: codes.PermissionDenied, reason: reasonAccessDenied, class: d.Reason.String(),
		message: authz.Message(c.caller(), a, r, d, r.Account == c.account() || r.Kind == authz.None),
	}
}

// statementNames are the names of the first statements, so that the hot path makes no strings. :: number → name
var statementNames = func() (names [32]string) {
	for i := range names {
		names[i] = fmt.Sprintf("%d", i)
	}
	return names
}()

func statementName(n int) string {
	if n >= 0 && n < len(statementNames) {
		return statementNames[n]
	}
	return fmt.Sprintf("%d", n)
}

// nothing is the resource of operations that have none.
var nothing = &authz.Resource{Kind: authz.None}

// param adds a member to the event's request. What is not added does not appear there: no request is logged as such.
func (c *call) param(p audit.Param) { c.event.Request = append(c.event.Request, p) }

// touched adds a resource to the event, once.
func (c *call) touched(kind, arn, account, role string) {
	r := audit.Resource{Type: kind, ARN: arn, Tenant: account, Role: role}
	if !slices.Contains(c.event.Resources, r) {
		c.event.Resources = append(c.event.Resources, r)
	}
}

var codeNames = map[codes.Code]string{
	codes.OK: "OK", codes.Canceled: "CANCELLED", codes.Unknown: "UNKNOWN", codes.InvalidArgument: "INVALID_ARGUMENT",
	codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "ALREADY_EXISTS",
	codes.PermissionDenied: "PERMISSION_DENIED", codes.ResourceExhausted: "RESOURCE_EXHAUSTED", codes.FailedPrecondition: "FAILED_PRECONDITION",
	codes.Aborted: "ABORTED", codes.OutOfRange: "OUT_OF_RANGE", codes.Unimplemented: "UNIMPLEMENTED", codes.Internal: "INTERNAL",
	codes.Unavailable: "UNAVAILABLE", codes.DataLoss: "DATA_LOSS", codes.Unauthenticated: "UNAUTHENTICATED",
}

func statusName(c codes.Code) string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return "UNKNOWN"
}
