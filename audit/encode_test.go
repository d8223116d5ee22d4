package audit

import (
	"bytes"
	stdcmp "cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// line gives the first record of a log that consists of e.
func line(e *Event) []byte {
	n := &encoder{node: encodeNode(Node{ID: "node-1", Version: "0.1.0"})}
	n.encode(e)
	b := newChain(genesis(ID{1}), 0).append(nil, n, 0)
	return b
}

// reporter is a testing.TB or a *rapid.T.
type reporter interface {
	Helper()
	Error(...any)
	Errorf(string, ...any)
	Fatalf(string, ...any)
}

// slowCanonical is RFC 8785 written for clarity: decode, sort, write. It handles what records hold: no fractions.
func slowCanonical(t reporter, in []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(in))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("not JSON: %v: %q", err, in)
	}
	if d.More() {
		t.Fatalf("more than one value: %q", in)
	}
	var out bytes.Buffer
	slowWrite(&out, v)
	return out.Bytes()
}

func slowWrite(out *bytes.Buffer, v any) {
	switch v := v.(type) {
	case map[string]any:
		var names []string
		for name := range v {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int {
			return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		})
		out.WriteByte('{')
		for i, name := range names {
			if i > 0 {
				out.WriteByte(',')
			}
			slowString(out, name)
			out.WriteByte(':')
			slowWrite(out, v[name])
		}
		out.WriteByte('}')
	case []any:
		out.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			slowWrite(out, e)
		}
		out.WriteByte(']')
	case string:
		slowString(out, v)
	case json.Number:
		out.WriteString(v.String())
	default:
		fmt.Fprint(out, v)
	}
}

func slowString(out *bytes.Buffer, s string) {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`}
	out.WriteByte('"')
	for _, r := range s {
		switch esc, ok := short[r]; {
		case ok:
			out.WriteString(esc)
		case r < 0x20:
			fmt.Fprintf(out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
}

// checkLine checks what must hold of every line, whatever the event was.
func checkLine(t reporter, b []byte) {
	t.Helper()
	if len(b) > MaxRecordBytes {
		t.Errorf("a record of %d bytes, want at most %d", len(b), MaxRecordBytes)
	}
	if bytes.Count(b, []byte("\n")) != 1 || b[len(b)-1] != '\n' {
		t.Errorf("not one line: %q", b)
	}
	if !utf8.Valid(b) {
		t.Errorf("not UTF-8: %q", b)
	}
	b = b[:len(b)-1]
	if want := slowCanonical(t, b); !bytes.Equal(b, want) {
		t.Errorf("not canonical:\ngot  %s\nwant %s", b, want)
	}
	l, err := parseLinks(b)
	if err != nil {
		t.Errorf("parseLinks(%q) = %v", b, err)
	}
	var c map[string]json.RawMessage
	if err := json.Unmarshal(b, &c); err != nil {
		t.Error(err)
	}
	delete(c, "hash")
	without, err := json.Marshal(c)
	if err != nil {
		t.Error(err)
	}
	if got := documentedHash(slowCanonical(t, without)); got != l.hash {
		t.Errorf("hash = %x, want %x as documented", l.hash, got)
	}
}

// documentedHash is the hash as docs/formats/audit-log.md defines it.
func documentedHash(b []byte) [32]byte {
	in := append([]byte("kmsd-audit-v1"), binary.BigEndian.AppendUint64(nil, uint64(len(b)))...)
	return sha256.Sum256(append(in, b...))
}

func hostileStrings() []string {
	return []string{
		"", "a\nb", "\x00", "\x01\x1f\x7f", "\xff\xfe", "a\xc3", "\xed\xa0\x80", "\u202e gpj.exe", "\u2028\u2029", "{\"a\":1}", `\`, `"`, `\u0000`,
		"</script>", "\r\n{\"schema\":\"kmsd.audit\"}\r\n", "😀", "é", "\uFFFD", "\uE000", strings.Repeat("A", 64<<10), strings.Repeat("\x00", 64<<10),
		strings.Repeat("\xff", 64<<10), strings.Repeat("é", 32<<10), strings.Repeat(`"`, 5000),
	}
}

func TestHostileStrings(t *testing.T) {
	for _, s := range hostileStrings() {
		for _, e := range []*Event{
			{EventName: s},
			{Actor: Actor{ARN: s, UserName: s}, Network: Network{UserAgent: s}},
			{EncryptionContext: map[string]string{s: s, s + "x": "y", s + "\xff": s}},
			{Request: []Param{String(s, s), Strings(s+"l", []string{s, s}), Context(s+"c", map[string]string{s: s}), Int(s, 4)}},
			{Resources: []Resource{{Type: s, ARN: s}, {}}},
			{Decision: Decision{MatchedPolicies: []string{s}, Reason: s}},
			everything(s, 1),
		} {
			checkLine(t, line(e))
		}
	}
	for _, s := range []string{"", "\x00", "\xff", strings.Repeat("\x01", 100), strings.Repeat("é", 100)} {
		checkLine(t, line(everything(s, 40)))
	}
}

// everything is an event with s in each text and count entries in each list.
func everything(s string, count int) *Event {
	e := &Event{
		EventID: ID{1}, RequestID: ID{2}, Phase: Phase(s), ReceivedTime: time.Unix(1e9, 1), EventTime: time.Unix(1e9, 2),
		EventCategory: s, EventType: EventType(s), EventSource: s, EventName: s, APIVersion: s, ReadOnly: true,
		Actor:             Actor{ActorType(s), s, s, s, s, s, AuthMethod(s), s, true, s, Session{s, s, time.Unix(1e9, 3), time.Unix(1e9, 4)}},
		Network:           Network{s, s, 1<<63 - 1, s, s, s, s, s},
		Key:               Key{s, -1 << 63, s, s, s, s},
		Decision:          Decision{Result: Result(s), Reason: s, Layer: s, PolicyGeneration: 1<<64 - 1, GrantID: s},
		Outcome:           Outcome{s, s, s, -1 << 63, 1<<63 - 1, 1<<53 - 1},
		StateGeneration:   StateGeneration{1 << 53, 1<<53 - 1},
		EncryptionContext: map[string]string{},
	}
	inner := map[string]string{}
	for i := range count {
		inner[fmt.Sprint(s, i)] = s
		inner[fmt.Sprint(i, s)] = s
	}
	for i := range count {
		e.Resources = append(e.Resources, Resource{s, s, s, s})
		e.EncryptionContext[fmt.Sprint(i, s)] = s
		e.Decision.MatchedPolicies = append(e.Decision.MatchedPolicies, s)
		e.Decision.MatchedStatements = append(e.Decision.MatchedStatements, s)
		e.Request = append(e.Request, Context(fmt.Sprint(i, "c", s), inner), Strings(fmt.Sprint(i, "l", s), e.Decision.MatchedPolicies), String(fmt.Sprint(i), s))
	}
	return e
}

// TestCallerCannotBlindTheRecord checks that what a caller chooses, however long and hard to write, leaves who did what to which key as it is.
func TestCallerCannotBlindTheRecord(t *testing.T) {
	plain, long := decrypt(1), decrypt(1)
	long.Network.UserAgent = strings.Repeat("\xff", 16<<10)
	long.Network.SNI = strings.Repeat("\x01", 16<<10)
	for i := range 16 {
		long.EncryptionContext[strings.Repeat("\x02", 240)+fmt.Sprint(i)] = strings.Repeat("\x03", 250)
		long.Request = append(long.Request, String(fmt.Sprint("p", i), strings.Repeat("\x04", 4000)))
	}
	facts := func(e *Event) (f struct {
		Actor     map[string]any
		Decision  map[string]any
		Key       map[string]any
		Outcome   map[string]any
		Resources []map[string]any
	},
	) {
		if err := json.Unmarshal(line(e), &f); err != nil {
			t.Fatal(err)
		}
		return f
	}
	if !bytes.Contains(line(long), []byte("redaction")) {
		t.Fatal("the long event was not shortened: it tests nothing")
	}
	if diff := cmp.Diff(facts(plain), facts(long)); diff != "" {
		t.Errorf("what the caller chose changed what is said of the call:\n%s", diff)
	}
}

// TestOversize checks that what is shortened says so, with the digest of the whole, and that what fits is left alone.
func TestOversize(t *testing.T) {
	e := decrypt(1)
	e.Network.UserAgent = strings.Repeat("A", 64<<10)
	whole := limit{1 << 30, 1 << 30}
	n := &encoder{limits: limits{whole, whole}, node: encodeNode(Node{ID: "node-1", Version: "0.1.0"})}
	n.object(e, "")
	sum := sha256.Sum256(n.buf)
	var got struct {
		Network   struct{ UserAgent string }
		Redaction struct {
			Truncated      bool
			OriginalSHA256 string
		}
	}
	if err := json.Unmarshal(line(e), &got); err != nil {
		t.Fatal(err)
	}
	if want := base64.StdEncoding.EncodeToString(sum[:]); !got.Redaction.Truncated || got.Redaction.OriginalSHA256 != want {
		t.Errorf("redaction = %+v, want truncated and %s", got.Redaction, want)
	}
	if len(got.Network.UserAgent) != limitSteps()[0].chosen.text {
		t.Errorf("user agent of %d bytes, want %d", len(got.Network.UserAgent), limitSteps()[0].chosen.text)
	}
	// The largest event that fits, to the byte, and the smallest that does not.
	e.Network.UserAgent = "A"
	fits := MaxRecordBytes - chainBytes - len(encoded(e)) + 1
	e.Network.UserAgent = strings.Repeat("A", fits)
	if bytes.Contains(line(e), []byte("redaction")) {
		t.Errorf("a user agent of %d bytes is shortened, and would fit", fits)
	}
	e.Network.UserAgent += "A"
	if !bytes.Contains(line(e), []byte("redaction")) {
		t.Errorf("a user agent of %d bytes is not shortened, and does not fit", fits+1)
	}
}

func encoded(e *Event) []byte {
	n := &encoder{node: encodeNode(Node{ID: "node-1", Version: "0.1.0"})}
	n.encode(e)
	return n.buf
}

func TestNamesThatBecomeOneAreNotWrittenTwice(t *testing.T) {
	e := &Event{EncryptionContext: map[string]string{"a\xff": "1", "a\xfe": "2", "a\uFFFD": "3"}}
	b := line(e)
	checkLine(t, b)
	if got := bytes.Count(b, []byte("a\uFFFD")); got != 1 || !bytes.Contains(b, []byte("redaction")) {
		t.Errorf("%d members of one name, want 1 and a redaction: %s", got, b)
	}
	for range 50 { // whatever the order in which the map is read
		if again := line(e); !bytes.Equal(again, b) {
			t.Fatalf("encoded once as %s and once as %s", b, again)
		}
	}
}

func TestCanonicalForm(t *testing.T) {
	anyString := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.RuneFrom([]rune("\x00\n\"\\/é\u2028\uE000\uFFFF😀{}")), 0, 8, -1),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 12), func(b []byte) string { return string(b) }), rapid.SampledFrom(hostileStrings()))
	anyMap := rapid.MapOfN(anyString, anyString, 0, 6)
	anyList := rapid.SliceOfN(anyString, 0, 4)
	rapid.Check(t, func(rt *rapid.T) {
		s := func(name string) string { return anyString.Draw(rt, name) }
		e := &Event{
			EventID: NewID(), EventTime: time.Unix(rapid.Int64Range(-1<<36, 1<<38).Draw(rt, "time"), 7),
			EventName: s("name"), Actor: Actor{ARN: s("arn")}, Network: Network{UserAgent: s("agent"), SrcPort: rapid.Int().Draw(rt, "port")},
			Resources:         []Resource{{ARN: s("resource")}},
			EncryptionContext: anyMap.Draw(rt, "context"),
			Request: []Param{
				String(s("n1"), s("v1")), Int(s("n2"), rapid.Int64().Draw(rt, "v2")), Bool(s("n3"), true),
				Strings(s("n4"), anyList.Draw(rt, "v4")), Context(s("n5"), anyMap.Draw(rt, "v5")),
			},
			Decision:        Decision{MatchedPolicies: anyList.Draw(rt, "policies")},
			StateGeneration: StateGeneration{After: rapid.Uint64().Draw(rt, "generation")},
		}
		checkLine(rt, line(e))
	})
}

func TestGoldenLine(t *testing.T) {
	e := decrypt(7)
	e.EventID, e.RequestID = ID{0xe1}, ID{0xe2}
	const want = `{"actor":{"arn":"arn:aws:iam::111122223333:user/alice","authMethod":"ACCESS_KEY","credentialID":"AKIA2EXAMPLE","id":"AIDA2EXAMPLE","tenant":"111122223333","type":"IAMUser","userName":"alice"},"apiVersion":"2014-11-01","cryptoOp":true,"decision":{"layer":"IDENTITY","matchedPolicies":["use-keys"],"matchedStatements":["s1"],"policyGeneration":12,"result":"ALLOW"},"encryptionContext":{"app":"web","n":"7"},"eventCategory":"Management","eventID":"e1000000-0000-0000-0000-000000000000","eventName":"Decrypt","eventSource":"kms.local","eventTime":"2026-11-23T15:04:05.130456789Z","eventType":"ApiCall","hash":"HASH","key":{"algorithm":"SYMMETRIC_DEFAULT","id":"0a1b","materialID":"m3","origin":"AWS_KMS","state":"Enabled","version":3},"mutating":false,"network":{"cipherSuite":"TLS_AES_128_GCM_SHA256","listener":"tls","srcIP":"192.0.2.7","srcPort":41234,"tlsVersion":"1.3"},"node":{"id":"node-1","version":"0.1.0"},"outcome":{"bytesIn":300,"bytesOut":64,"latencyUs":412,"status":"OK"},"phase":"OUTCOME","prevHash":"PREV","readOnly":true,"receivedTime":"2026-11-23T15:04:05.123456789Z","request":{"ciphertextBytes":180,"encryptionAlgorithm":"SYMMETRIC_DEFAULT","keyId":"alias/web"},"requestID":"e2000000-0000-0000-0000-000000000000","resources":[{"arn":"arn:aws:kms:local:111122223333:key/0a1b","tenant":"111122223333","type":"KEY"}],"schema":"kmsd.audit","schemaVersion":"1.0","seq":1}` + "\n"
	got := line(e)
	l, err := parseLinks(got[:len(got)-1])
	if err != nil {
		t.Fatal(err)
	}
	masked := strings.Replace(string(got), base64.StdEncoding.EncodeToString(l.hash[:]), "HASH", 1)
	masked = strings.Replace(masked, base64.StdEncoding.EncodeToString(l.prevHash[:]), "PREV", 1)
	if masked != want {
		t.Errorf("line:\ngot  %s\nwant %s", masked, want)
	}
	if id := (ID{1}).String(); l.prevHash != documentedHash([]byte(id)) {
		t.Errorf("prevHash of the first record = %x, want the hash of %s", l.prevHash, id)
	}
}

// TestNameOrder uses the example of RFC 8785, 3.2.3, and both sides of the surrogates.
func TestNameOrder(t *testing.T) {
	want := []string{"", "\r", "1", "a", "aa", "a\u0080", "\u0080", "ö", "€", "\ud7ff", "😀", "\U0010FFFF", "\ue000", "\ufb33", "\uffff"}
	for i, a := range want {
		for j, b := range want {
			if got := compareNames(a, b); got != stdcmp.Compare(i, j) {
				t.Errorf("compareNames(%q, %q) = %d, want %d", a, b, got, stdcmp.Compare(i, j))
			}
		}
	}
}

func TestResetEvent(t *testing.T) {
	e := decrypt(1)
	e.Reset()
	if got, want := encoded(e), encoded(&Event{}); !bytes.Equal(got, want) {
		t.Errorf("after Reset: %s, want %s", got, want)
	}
	if e.EncryptionContext == nil || cap(e.Request) == 0 {
		t.Error("Reset has given up the memory of the lists")
	}
	for _, p := range e.Request[:cap(e.Request)] {
		if p.name != "" {
			t.Errorf("Reset has left %q behind", p.name)
		}
	}
}

func TestParseID(t *testing.T) {
	id := NewID()
	if got, err := ParseID(id.String()); err != nil || got != id {
		t.Errorf("ParseID(%q) = %v, %v", id, got, err)
	}
	if id[6]>>4 != 4 || id[8]>>6 != 2 {
		t.Errorf("NewID = %v, want version 4 and the variant of RFC 9562", id)
	}
	for _, s := range []string{"", id.String() + "0", strings.ToUpper("0a000000-0000-4000-8000-000000000000"), "0a000000x0000-4000-8000-000000000000", "0g000000-0000-4000-8000-000000000000"} {
		if got, err := ParseID(s); err == nil || got != (ID{}) {
			t.Errorf("ParseID(%q) = %v, %v, want an error and no id", s, got, err)
		}
	}
}

// FuzzEncode puts anything into an event.
func FuzzEncode(f *testing.F) {
	for _, s := range hostileStrings() {
		if len(s) < 100 {
			f.Add(s, s+"k", int64(len(s)), uint8(3))
		}
	}
	f.Fuzz(func(t *testing.T, a, b string, n int64, count uint8) {
		e := everything(a, int(count%8))
		e.EncryptionContext[b] = a
		e.Request = append(e.Request, Int(b, n), String(a, b), String(b, a))
		checkLine(t, line(e))
	})
}
