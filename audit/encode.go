package audit

import (
	"crypto/sha256"
	"encoding/base64"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// MaxRecordBytes is the length of the longest record, its line feed included.
	MaxRecordBytes = 32 << 10

	schemaName    = "kmsd.audit"
	schemaVersion = "1.0"

	// chainBytes is the most that a record's seq, prevHash and hash take, with names and punctuation.
	chainBytes = len(`"hash":"",`) + 44 + len(`"prevHash":"",`) + 44 + len(`"seq":`) + 18 + len("\n")
)

// limits say how much of an event is kept: bytes per text, entries per list or map. What the caller of the audited call
// chooses at length (contexts, the request, user agent and server name) is cut first, so that nobody can push out of
// a record who did what to which key.
type limits struct{ chosen, facts limit }

type limit struct{ text, items int }

// limitSteps are tried in turn until the record fits. With the last one every event fits, even if each byte is
// escaped to six; it is for facts that no kmsd makes.
func limitSteps() [5]limits {
	all := limit{math.MaxInt, math.MaxInt}
	return [5]limits{{limit{4096, 256}, all}, {limit{1024, 64}, all}, {limit{256, 16}, all}, {limit{32, 4}, all}, {limit{32, 4}, limit{32, 4}}}
}

// encoder turns an event into the canonical JSON object of a record, less its members hash, prevHash and seq. The chain
// writes those between the parts:
//
//	buf[:hashAt] hash buf[hashAt:prevAt] prevHash buf[prevAt:seqAt] seq buf[seqAt:]
type encoder struct {
	buf                   []byte
	hashAt, prevAt, seqAt int
	node                  []byte // the member node, with its comma
	limits                limits
	limit                 limit // of what is being written
	dropped               bool  // something was left out because of limit or because two names became one
	pairs                 []pair
	params                []Param
}

// pair is an entry of a map: its name as it will be written, and as it was given.
type pair struct{ name, given, value string }

// encode fills the encoder with e. It keeps nothing of e.
func (n *encoder) encode(e *Event) {
	defer n.forget()
	n.limits, n.dropped = limits{limit{math.MaxInt, math.MaxInt}, limit{math.MaxInt, math.MaxInt}}, false
	n.object(e, "")
	if !n.dropped && len(n.buf)+chainBytes <= MaxRecordBytes {
		return
	}
	sum := sha256.Sum256(n.buf)
	original := base64.StdEncoding.EncodeToString(sum[:])
	for _, n.limits = range limitSteps() {
		n.object(e, original)
		if len(n.buf)+chainBytes <= MaxRecordBytes {
			return
		}
	}
	panic("audit: internal error: the last limits do not bound a record")
}

// forget drops what the encoder borrowed from the event.
func (n *encoder) forget() {
	clear(n.pairs[:cap(n.pairs)])
	clear(n.params[:cap(n.params)])
}

// object appends the members in the order of RFC 8785. original is the digest of the event before it was shortened,
// or "".
func (n *encoder) object(e *Event, original string) {
	n.buf, n.limit = append(n.buf[:0], '{'), n.limits.facts
	n.actor(&e.Actor)
	n.text(`"apiVersion":`, e.APIVersion)
	n.bool(`"cryptoOp":`, e.CryptoOp)
	n.decision(&e.Decision)
	n.context(`"encryptionContext":`, e.EncryptionContext)
	n.text(`"eventCategory":`, e.EventCategory)
	n.id(`"eventID":`, e.EventID)
	n.text(`"eventName":`, e.EventName)
	n.text(`"eventSource":`, e.EventSource)
	n.time(`"eventTime":`, e.EventTime)
	n.text(`"eventType":`, string(e.EventType))
	n.hashAt = len(n.buf)
	n.key(&e.Key)
	n.bool(`"mutating":`, e.Mutating)
	n.network(&e.Network)
	n.buf = append(n.buf, n.node...)
	n.outcome(&e.Outcome)
	n.text(`"phase":`, string(e.Phase))
	n.prevAt = len(n.buf)
	n.bool(`"readOnly":`, e.ReadOnly)
	n.time(`"receivedTime":`, e.ReceivedTime)
	if original != "" {
		n.buf = append(n.buf, `"redaction":{"originalSHA256":"`...)
		n.buf = append(n.buf, original...)
		n.buf = append(n.buf, `","truncated":true},`...)
	}
	n.request(e.Request)
	n.id(`"requestID":`, e.RequestID)
	n.resources(e.Resources)
	n.buf = append(n.buf, `"schema":"`+schemaName+`","schemaVersion":"`+schemaVersion+`",`...)
	n.seqAt = len(n.buf)
	n.generation(e.StateGeneration)
	n.buf = append(n.buf, '}')
}

func (n *encoder) actor(a *Actor) {
	start := n.open(`"actor":{`)
	n.text(`"arn":`, a.ARN)
	n.text(`"authMethod":`, string(a.AuthMethod))
	n.text(`"clientCertThumbprint":`, a.ClientCertThumbprint)
	n.text(`"credentialID":`, a.CredentialID)
	n.text(`"id":`, a.ID)
	if a.MFA {
		n.bool(`"mfa":`, true)
	}
	n.session(&a.Session)
	n.text(`"sourceIdentity":`, a.SourceIdentity)
	n.text(`"tenant":`, a.Tenant)
	n.text(`"type":`, string(a.Type))
	n.text(`"userName":`, a.UserName)
	n.close(start)
}

func (n *encoder) session(s *Session) {
	start := n.open(`"session":{`)
	n.time(`"created":`, s.Created)
	n.time(`"expires":`, s.Expires)
	n.text(`"issuer":`, s.Issuer)
	n.text(`"name":`, s.Name)
	n.close(start)
}

func (n *encoder) decision(d *Decision) {
	start := n.open(`"decision":{`)
	n.text(`"grantID":`, d.GrantID)
	n.text(`"layer":`, d.Layer)
	n.list(`"matchedPolicies":`, d.MatchedPolicies)
	n.list(`"matchedStatements":`, d.MatchedStatements)
	n.uint(`"policyGeneration":`, d.PolicyGeneration)
	n.text(`"reason":`, d.Reason)
	n.text(`"result":`, string(d.Result))
	n.close(start)
}

func (n *encoder) key(k *Key) {
	start := n.open(`"key":{`)
	n.text(`"algorithm":`, k.Algorithm)
	n.text(`"id":`, k.ID)
	n.text(`"materialID":`, k.MaterialID)
	n.text(`"origin":`, k.Origin)
	n.text(`"state":`, k.State)
	n.int(`"version":`, int64(k.Version))
	n.close(start)
}

func (n *encoder) network(w *Network) {
	start := n.open(`"network":{`)
	n.text(`"cipherSuite":`, w.CipherSuite)
	n.text(`"front":`, w.Front)
	n.text(`"listener":`, w.Listener)
	n.chosen(`"sni":`, w.SNI)
	n.text(`"srcIP":`, w.SrcIP)
	n.int(`"srcPort":`, int64(w.SrcPort))
	n.text(`"tlsVersion":`, w.TLSVersion)
	n.chosen(`"userAgent":`, w.UserAgent)
	n.close(start)
}

func (n *encoder) outcome(o *Outcome) {
	start := n.open(`"outcome":{`)
	n.int(`"bytesIn":`, o.BytesIn)
	n.int(`"bytesOut":`, o.BytesOut)
	n.text(`"errorClass":`, o.ErrorClass)
	n.text(`"errorCode":`, o.ErrorCode)
	n.int(`"latencyUs":`, o.LatencyUs)
	n.text(`"status":`, o.Status)
	n.close(start)
}

func (n *encoder) resources(rs []Resource) {
	rs = rs[:n.keep(len(rs))]
	if len(rs) == 0 {
		return
	}
	n.buf = append(n.buf, `"resources":[`...)
	for i := range rs {
		r := &rs[i]
		n.buf = append(n.buf, '{')
		n.text(`"arn":`, r.ARN)
		n.text(`"role":`, r.Role)
		n.text(`"tenant":`, r.Tenant)
		n.text(`"type":`, r.Type)
		n.end('{', '}')
	}
	n.end('[', ']')
}

func (n *encoder) generation(g StateGeneration) {
	if g == (StateGeneration{}) {
		return
	}
	n.buf = append(n.buf, `,"stateGeneration":{`...)
	n.uint(`"after":`, g.After)
	n.uint(`"before":`, g.Before)
	n.buf[len(n.buf)-1] = '}'
}

// request appends the parameters, sorted. Of two with one name the first given is kept.
func (n *encoder) request(ps []Param) {
	if len(ps) == 0 {
		return
	}
	n.limit = n.limits.chosen
	defer n.facts()
	n.params = append(n.params[:0], ps...)
	for i := range n.params {
		n.params[i].name = n.cut(valid(n.params[i].name))
	}
	slices.SortStableFunc(n.params, func(a, b Param) int { return compareNames(a.name, b.name) })
	start := n.open(`"request":{`)
	params := n.params[:n.keep(len(n.params))]
	for i := range params {
		if i > 0 && params[i].name == params[i-1].name {
			n.dropped = true
			continue
		}
		n.param(&params[i])
	}
	n.close(start)
}

func (n *encoder) param(p *Param) {
	start := len(n.buf)
	n.buf = append(appendString(n.buf, p.name), ':')
	value := len(n.buf)
	switch p.kind {
	case kindString:
		n.text("", p.text)
	case kindInt:
		n.buf = append(appendInt(n.buf, p.number), ',')
	case kindBool:
		n.bool("", p.number != 0)
	case kindStrings:
		n.list("", p.list)
	case kindContext:
		n.context("", p.context)
	}
	if len(n.buf) == value { // empty: no member
		n.buf = n.buf[:start]
	}
}

// context appends a map, sorted. Names that differ only in bytes that are not UTF-8 become one name; the first is kept.
func (n *encoder) context(member string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	before := n.limit // facts, or chosen within a request
	n.limit = n.limits.chosen
	defer func() { n.limit = before }()
	n.pairs = n.pairs[:0]
	for name, value := range m {
		n.pairs = append(n.pairs, pair{n.cut(valid(name)), name, value})
	}
	slices.SortFunc(n.pairs, func(a, b pair) int {
		if c := compareNames(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.given, b.given)
	})
	n.buf = append(append(n.buf, member...), '{')
	pairs := n.pairs[:n.keep(len(n.pairs))]
	for i := range pairs {
		p := &pairs[i]
		if i > 0 && p.name == pairs[i-1].name {
			n.dropped = true
			continue
		}
		n.buf = append(appendString(n.buf, p.name), ':')
		n.buf = append(appendString(n.buf, n.cut(p.value)), ',')
	}
	n.end('{', '}')
}

// list appends a list of texts unless it is empty.
func (n *encoder) list(member string, ss []string) {
	ss = ss[:n.keep(len(ss))]
	if len(ss) == 0 {
		return
	}
	n.buf = append(append(n.buf, member...), '[')
	for _, s := range ss {
		n.buf = append(appendString(n.buf, n.cut(s)), ',')
	}
	n.end('[', ']')
}

// facts ends the part of a record that the caller of the audited call chooses.
func (n *encoder) facts() { n.limit = n.limits.facts }

// chosen appends a text that the caller of the audited call chooses.
func (n *encoder) chosen(member, s string) {
	n.limit = n.limits.chosen
	n.text(member, s)
	n.facts()
}

func (n *encoder) text(member, s string) {
	if s == "" {
		return
	}
	n.buf = append(n.buf, member...)
	n.buf = append(appendString(n.buf, n.cut(s)), ',')
}

func (n *encoder) bool(member string, v bool) {
	n.buf = append(n.buf, member...)
	if v {
		n.buf = append(n.buf, "true,"...)
	} else {
		n.buf = append(n.buf, "false,"...)
	}
}

func (n *encoder) int(member string, v int64) {
	if v == 0 {
		return
	}
	n.buf = append(n.buf, member...)
	n.buf = append(appendInt(n.buf, v), ',')
}

func (n *encoder) uint(member string, v uint64) {
	if v == 0 {
		return
	}
	n.buf = append(n.buf, member...)
	n.buf = append(appendUint(n.buf, v), ',')
}

func (n *encoder) id(member string, id ID) {
	if id == (ID{}) {
		return
	}
	n.buf = append(append(n.buf, member...), '"')
	n.buf = append(id.append(n.buf), '"', ',')
}

func (n *encoder) time(member string, t time.Time) {
	t = t.UTC()
	if year := t.Year(); t.IsZero() || year < 0 || year > 9999 {
		return
	}
	n.buf = append(n.buf, member...)
	n.buf = append(appendTime(n.buf, t), ',')
}

// open begins an object and gives where its member starts; close ends it, or takes it back if it is empty.
func (n *encoder) open(member string) int {
	start := len(n.buf)
	n.buf = append(n.buf, member...)
	return start
}

func (n *encoder) close(start int) {
	if n.buf[len(n.buf)-1] == '{' {
		n.buf = n.buf[:start]
		return
	}
	n.end('{', '}')
}

// end replaces the comma after the last element by the closing bracket and puts a comma after that.
func (n *encoder) end(opening, closing byte) {
	if n.buf[len(n.buf)-1] == opening {
		n.buf = append(n.buf, closing, ',')
		return
	}
	n.buf[len(n.buf)-1] = closing
	n.buf = append(n.buf, ',')
}

// keep gives how many of count entries the limit allows.
func (n *encoder) keep(count int) int {
	if count > n.limit.items {
		n.dropped = true
		return n.limit.items
	}
	return count
}

// cut shortens s to the limit, not within a character.
func (n *encoder) cut(s string) string {
	if len(s) <= n.limit.text {
		return s
	}
	n.dropped = true
	end := n.limit.text
	for end > n.limit.text-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// valid gives s with each byte that is not part of UTF-8 replaced by U+FFFD, as appendString writes it.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}
