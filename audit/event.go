package audit

import "time"

// Phase says which moment of a call an event records.
type Phase string

// The phases of schema version 1.0.
const (
	PhaseIntent           Phase = "INTENT"            // before the work is done
	PhaseOutcome          Phase = "OUTCOME"           // after the work, before the answer
	PhaseService          Phase = "SERVICE"           // what kmsd does of its own accord
	PhaseRecoveredUnknown Phase = "RECOVERED_UNKNOWN" // an intent whose outcome a crash has taken
)

// EventType says who caused an event.
type EventType string

// The event types of schema version 1.0; CloudTrail's AwsApiCall and AwsServiceEvent.
const (
	TypeAPICall      EventType = "ApiCall"
	TypeServiceEvent EventType = "ServiceEvent"
)

// ActorType says what kind of principal an actor is, in CloudTrail's words.
type ActorType string

// The actor types of schema version 1.0.
const (
	ActorRoot        ActorType = "Root"
	ActorIAMUser     ActorType = "IAMUser"
	ActorAssumedRole ActorType = "AssumedRole"
	ActorWebIdentity ActorType = "WebIdentityUser"
	ActorUnknown     ActorType = "Unknown" // not authenticated
	ActorService     ActorType = "Service" // kmsd itself
)

// AuthMethod says how an actor proved who it is.
type AuthMethod string

// The authentication methods of schema version 1.0.
const (
	AuthNone              AuthMethod = "NONE"
	AuthAccessKey         AuthMethod = "ACCESS_KEY"
	AuthClientCertificate AuthMethod = "CLIENT_CERTIFICATE"
	AuthSessionToken      AuthMethod = "SESSION_TOKEN" // temporary credentials of STS
	AuthWebIdentity       AuthMethod = "WEB_IDENTITY"  // a token of an OpenID Connect provider
)

// Result is what authorization decided.
type Result string

// The results of schema version 1.0.
const (
	ResultAllow Result = "ALLOW"
	ResultDeny  Result = "DENY"
	ResultNone  Result = "NONE" // the call ended before a decision
)

// Event is one record, as its writer fills it in. The log adds schema, seq, prevHash, hash and node.
//
// An empty string, list or map, a zero ID, number or time is left out of the record; the three booleans ReadOnly,
// Mutating and CryptoOp are always written. Strings may hold anything: what is not UTF-8 becomes U+FFFD. Numbers
// beyond ±(2^53−1) are written as strings (RFC 8785 follows I-JSON). A record is at most [MaxRecordBytes]; a larger
// event is shortened, and says so in its member redaction.
//
// The zero value is ready to be filled in. An Event is not safe for concurrent use; it may be reused after Reset.
type Event struct {
	EventID   ID // unique per event; Append fills in a zero one
	RequestID ID
	Phase     Phase

	ReceivedTime time.Time // when the call arrived
	EventTime    time.Time // when the call was done

	EventCategory string // "Management" for every call to KMS, as in CloudTrail
	EventType     EventType
	EventSource   string // "kms.<deployment>"
	EventName     string // the operation: "Decrypt"
	APIVersion    string

	ReadOnly bool // changes nothing
	Mutating bool // changes stored state
	CryptoOp bool // uses key material

	Actor     Actor
	Network   Network
	Resources []Resource
	Key       Key

	EncryptionContext map[string]string // :: key → value, in clear
	Request           []Param           // allow-listed; names must differ

	Decision        Decision
	Outcome         Outcome
	StateGeneration StateGeneration
}

// Actor is who made the call.
type Actor struct {
	Type                 ActorType
	ID                   string // unique id of the principal: "AIDA…"
	ARN                  string
	Tenant               string // account id, 12 digits
	UserName             string
	CredentialID         string // access key id or certificate serial; never a secret
	AuthMethod           AuthMethod
	ClientCertThumbprint string // SHA-256 of the certificate, hexadecimal
	MFA                  bool   // the session was begun with a second factor; false is left out
	SourceIdentity       string // who stands behind a role session, by aws:SourceIdentity
	Session              Session
}

// Session is the session of temporary credentials.
type Session struct {
	Name    string // of a role session
	Issuer  string // ARN of the role; empty for a session of the actor's own
	Created time.Time
	Expires time.Time
}

// Network is where the call came from.
type Network struct {
	Front       string // through which front the call came: "aws", "k8s"; empty for gRPC
	SrcIP       string
	SrcPort     int
	Listener    string
	TLSVersion  string
	CipherSuite string
	SNI         string
	UserAgent   string
}

// Resource is something the call touched or asked for.
type Resource struct {
	Type   string // KEY, ALIAS, POLICY, USER …
	ARN    string
	Tenant string // the owning account
	Role   string // what it was in the call: "source", "destination" …
}

// Key is the key that was used, resolved, not as requested.
type Key struct {
	ID         string
	Version    int
	MaterialID string
	Algorithm  string
	Origin     string
	State      string
}

// Decision is what authorization decided and why.
type Decision struct {
	Result            Result
	Reason            string
	Layer             string // the kind of policy that decided
	MatchedPolicies   []string
	MatchedStatements []string
	PolicyGeneration  uint64
	GrantID           string // of the key's grant that allowed it
}

// Outcome is how the call ended.
type Outcome struct {
	Status     string // name of the gRPC code: "OK", "PERMISSION_DENIED"
	ErrorCode  string // what the client saw, in AWS's words
	ErrorClass string // what it precisely was; the client is not told
	LatencyUs  int64  // microseconds
	BytesIn    int64
	BytesOut   int64
}

// StateGeneration ties a change to the store's generation, so that a store that was rolled back shows.
type StateGeneration struct {
	Before, After uint64
}

// Reset empties e and keeps the memory of its lists and its map for the next use.
func (e *Event) Reset() {
	resources, request, context := e.Resources, e.Request, e.EncryptionContext
	policies, statements := e.Decision.MatchedPolicies, e.Decision.MatchedStatements
	clear(resources[:cap(resources)])
	clear(request[:cap(request)])
	clear(policies[:cap(policies)])
	clear(statements[:cap(statements)])
	clear(context)
	*e = Event{Resources: resources[:0], Request: request[:0], EncryptionContext: context}
	e.Decision.MatchedPolicies, e.Decision.MatchedStatements = policies[:0], statements[:0]
}

// Param is one member of an event's request: a name and a value. Make one with String, Int, Bool, Strings or Context.
type Param struct {
	name    string
	kind    paramKind
	text    string
	number  int64
	list    []string
	context map[string]string // :: key → value
}

type paramKind uint8

const (
	kindNone paramKind = iota // the zero Param: left out
	kindString
	kindInt
	kindBool
	kindStrings
	kindContext
)

// String is a text. An empty text is left out of the record.
func String(name, value string) Param { return Param{name: name, kind: kindString, text: value} }

// Int is a whole number; zero is written.
func Int(name string, value int64) Param { return Param{name: name, kind: kindInt, number: value} }

// Bool is a truth value; false is written.
func Bool(name string, value bool) Param {
	p := Param{name: name, kind: kindBool}
	if value {
		p.number = 1
	}
	return p
}

// Strings is a list of texts. The caller must not change it before Append returns. An empty list is left out.
func Strings(name string, value []string) Param {
	return Param{name: name, kind: kindStrings, list: value}
}

// Context is a second encryption context (the destination's, of ReEncrypt). The caller must not change it before
// Append returns. An empty one is left out.
func Context(name string, value map[string]string) Param {
	return Param{name: name, kind: kindContext, context: value}
}
