package audit

import (
	"slices"
	"strings"
	"time"
)

// Record is what people look for in a record. What it leaves out is in Raw.
type Record struct {
	Seq       uint64
	EventID   string
	RequestID string
	Phase     Phase
	Time      time.Time // eventTime

	EventType   EventType
	EventSource string
	EventName   string
	ReadOnly    bool
	Mutating    bool
	CryptoOp    bool

	Actor     Actor
	SrcIP     string
	UserAgent string
	Resources []Resource
	Key       Key
	Decision  Decision
	Outcome   Outcome
	Truncated bool // the event was shortened to fit

	Raw []byte // the line without its line feed
}

// ParseRecord reads a line, without its line feed, and refuses what is not a canonical record. The record shares no memory with
// the line but for Raw, which is the line. The chain is not checked: see [Verify].
func ParseRecord(line []byte) (*Record, error) {
	l, err := parseLinks(line)
	if err != nil {
		return nil, err
	}
	r := &Record{Seq: l.seq, Raw: line}
	eachMember(line, func(name, value []byte, _ int) { r.member(string(name), value) })
	return r, nil
}

func (r *Record) member(name string, value []byte) {
	switch name {
	case `"eventID"`:
		r.EventID = textOf(value)
	case `"requestID"`:
		r.RequestID = textOf(value)
	case `"phase"`:
		r.Phase = Phase(textOf(value))
	case `"eventTime"`:
		r.Time, _ = time.Parse(time.RFC3339Nano, textOf(value))
	case `"eventType"`:
		r.EventType = EventType(textOf(value))
	case `"eventSource"`:
		r.EventSource = textOf(value)
	case `"eventName"`:
		r.EventName = textOf(value)
	case `"readOnly"`:
		r.ReadOnly = string(value) == "true"
	case `"mutating"`:
		r.Mutating = string(value) == "true"
	case `"cryptoOp"`:
		r.CryptoOp = string(value) == "true"
	case `"actor"`:
		r.Actor = actorOf(value)
	case `"network"`:
		m := textsOf(value)
		r.SrcIP, r.UserAgent = m.text("srcIP"), m.text("userAgent")
	case `"resources"`:
		eachElement(value, func(v []byte) {
			m := textsOf(v)
			r.Resources = append(r.Resources, Resource{m.text("type"), m.text("arn"), m.text("tenant"), m.text("role")})
		})
	case `"key"`:
		r.Key = keyOf(value)
	case `"decision"`:
		r.Decision = decisionOf(value)
	case `"outcome"`:
		r.Outcome = outcomeOf(value)
	case `"redaction"`:
		r.Truncated = string(textsOf(value).raw("truncated")) == "true"
	}
}

func actorOf(value []byte) Actor {
	m := textsOf(value)
	session := textsOf(m.raw("session"))
	return Actor{
		Type:                 ActorType(m.text("type")),
		ID:                   m.text("id"),
		ARN:                  m.text("arn"),
		Tenant:               m.text("tenant"),
		UserName:             m.text("userName"),
		CredentialID:         m.text("credentialID"),
		AuthMethod:           AuthMethod(m.text("authMethod")),
		ClientCertThumbprint: m.text("clientCertThumbprint"),
		MFA:                  string(m.raw("mfa")) == "true",
		SourceIdentity:       m.text("sourceIdentity"),
		Session: Session{
			Name: session.text("name"), Issuer: session.text("issuer"), Created: session.time("created"), Expires: session.time("expires"),
		},
	}
}

func keyOf(value []byte) Key {
	m := textsOf(value)
	return Key{
		ID:         m.text("id"),
		Version:    int(m.int("version")),
		MaterialID: m.text("materialID"),
		Algorithm:  m.text("algorithm"),
		Origin:     m.text("origin"),
		State:      m.text("state"),
	}
}

func decisionOf(value []byte) Decision {
	m := textsOf(value)
	return Decision{
		Result:            Result(m.text("result")),
		Reason:            m.text("reason"),
		Layer:             m.text("layer"),
		MatchedPolicies:   m.list("matchedPolicies"),
		MatchedStatements: m.list("matchedStatements"),
		PolicyGeneration:  uint64(m.int("policyGeneration")),
		GrantID:           m.text("grantID"),
	}
}

func outcomeOf(value []byte) Outcome {
	m := textsOf(value)
	return Outcome{
		Status:     m.text("status"),
		ErrorCode:  m.text("errorCode"),
		ErrorClass: m.text("errorClass"),
		LatencyUs:  m.int("latencyUs"),
		BytesIn:    m.int("bytesIn"),
		BytesOut:   m.int("bytesOut"),
	}
}

// object is the members of a canonical JSON object, as written.
type object []struct{ name, value []byte }

// textsOf takes an object apart; nil, which is no object, has no members.
func textsOf(value []byte) object {
	var o object
	if value == nil {
		return nil
	}
	eachMember(value, func(name, value []byte, _ int) {
		o = append(o, struct{ name, value []byte }{name[1 : len(name)-1], value})
	})
	return o
}

func (o object) raw(name string) []byte {
	for _, m := range o {
		if string(m.name) == name {
			return m.value
		}
	}
	return nil
}

func (o object) text(name string) string { return textOf(o.raw(name)) }

// time is the zero time where there is none.
func (o object) time(name string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, o.text(name))
	return t
}

func (o object) int(name string) int64 {
	value := o.raw(name)
	if negative := len(value) > 0 && value[0] == '-'; negative {
		n, _ := parseUint(value[1:])
		return -int64(n)
	}
	n, _ := parseUint(value)
	return int64(n)
}

func (o object) list(name string) (out []string) {
	if value := o.raw(name); len(value) > 0 {
		eachElement(value, func(v []byte) { out = append(out, textOf(v)) })
	}
	return out
}

// textOf gives the text of a JSON string, and "" for any other value.
func textOf(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	return string(unquote(value))
}

// Filter chooses records. Every member that is not empty must fit.
type Filter struct {
	Key       string // a key's id or ARN, or an alias's name ("alias/x") or ARN, among the key and the resources
	Principal string // ARN or user name
	Event     string // eventName
	Outcome   string // gRPC status ("OK"), error code ("AccessDeniedException") or decision ("DENY")
	RequestID string
	Since     time.Time // eventTime at or after
	Until     time.Time // eventTime before
}

// Matches reports whether f chooses r.
func (f *Filter) Matches(r *Record) bool {
	switch {
	case f.Key != "" && !r.concerns(f.Key):
	case f.Principal != "" && f.Principal != r.Actor.ARN && f.Principal != r.Actor.UserName:
	case f.Event != "" && f.Event != r.EventName:
	case f.Outcome != "" && f.Outcome != r.Outcome.Status && f.Outcome != r.Outcome.ErrorCode && f.Outcome != string(r.Decision.Result):
	case f.RequestID != "" && f.RequestID != r.RequestID:
	case !f.Since.IsZero() && r.Time.Before(f.Since):
	case !f.Until.IsZero() && !r.Time.Before(f.Until):
	default:
		return true
	}
	return false
}

func (r *Record) concerns(key string) bool {
	return r.Key.ID == key || slices.ContainsFunc(r.Resources, func(res Resource) bool {
		return res.ARN == key || strings.HasSuffix(res.ARN, ":key/"+key) ||
			strings.HasPrefix(key, "alias/") && strings.HasSuffix(res.ARN, ":"+key)
	})
}
