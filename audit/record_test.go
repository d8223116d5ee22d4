package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseRecordGivesWhatWasWritten(t *testing.T) {
	e := decrypt(1)
	b := line(e)
	got, err := ParseRecord(b[:len(b)-1])
	if err != nil {
		t.Fatal(err)
	}
	want := &Record{
		Seq: 1, EventID: e.EventID.String(), RequestID: e.RequestID.String(), Phase: e.Phase, Time: e.EventTime, EventType: e.EventType,
		EventSource: e.EventSource, EventName: e.EventName, ReadOnly: true, CryptoOp: true, Actor: e.Actor, SrcIP: e.Network.SrcIP,
		Resources: e.Resources, Key: e.Key, Decision: e.Decision, Outcome: e.Outcome, Raw: b[:len(b)-1],
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ParseRecord (-want +got):\n%s", diff)
	}
}

func TestParseRecordOfASession(t *testing.T) {
	e := decrypt(1)
	e.Actor.Type, e.Actor.AuthMethod, e.Actor.MFA, e.Actor.SourceIdentity = ActorAssumedRole, AuthSessionToken, true, "alice"
	e.Actor.Session = Session{Name: "night", Issuer: "arn:aws:iam::111122223333:role/batch", Created: time.Unix(1e9, 0).UTC(), Expires: time.Unix(2e9, 0).UTC()}
	e.Decision.GrantID = "abc"
	b := line(e)
	checkLine(t, b)
	got, err := ParseRecord(b[:len(b)-1])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e.Actor, got.Actor); diff != "" {
		t.Errorf("the actor (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(e.Decision, got.Decision); diff != "" {
		t.Errorf("the decision (-want +got):\n%s", diff)
	}
}

func TestParseRecordRefuses(t *testing.T) {
	good := string(bytes.TrimSuffix(line(decrypt(1)), []byte("\n")))
	if _, err := ParseRecord([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, from, to string }{
		{"nothing", good, ""},
		{"a list", good, "[]"},
		{"an empty object", good, "{}"},
		{"something behind", good, good + "x"},
		{"a line feed behind", good, good + "\n"},
		{"two values", good, good + good},
		{"half of it", good, good[:len(good)/2]},
		{"white space", `"mutating":`, `"mutating": `},
		{"members out of order", `"mutating":false,"network"`, `"network2":false,"network"`},
		{"a member twice", `"readOnly":true,`, `"readOnly":true,"readOnly":true,`},
		{"a needless escape", "Decrypt", `\u0044ecrypt`},
		{"an escaped slash", "alias/web", `alias\/web`},
		{"upper case in an escape", "Decrypt", `\u001F`},
		{"a long escape where there is a short one", "Decrypt", `\u000a`},
		{"a raw control character", "Decrypt", "De\x01"},
		{"invalid UTF-8", "Decrypt", "De\xff"},
		{"a surrogate in UTF-8", "Decrypt", "De\xed\xa0\x80"},
		{"a leading zero", `"srcPort":41234`, `"srcPort":041234`},
		{"minus zero", `"srcPort":41234`, `"srcPort":-0`},
		{"a plus sign", `"srcPort":41234`, `"srcPort":+4`},
		{"a fraction", `"srcPort":41234`, `"srcPort":4.5`},
		{"an exponent", `"srcPort":41234`, `"srcPort":4e5`},
		{"a number beyond I-JSON", `"srcPort":41234`, `"srcPort":9007199254740992`},
		{"nothing for a value", `"srcPort":41234`, `"srcPort":`},
		{"a word for a value", `"srcPort":41234`, `"srcPort":nil`},
		{"a comma too many", `"version":3}`, `"version":3,}`},
		{"deep nesting", `"srcPort":41234`, `"srcPort":` + strings.Repeat("[", 30) + strings.Repeat("]", 30)},
		{"very deep nesting", `"srcPort":41234`, `"srcPort":` + strings.Repeat("[", 20_000)},
		{"another schema", `"kmsd.audit"`, `"kmsd.audio"`},
		{"a later major version", `"schemaVersion":"1.0"`, `"schemaVersion":"2.0"`},
		{"no seq", `,"seq":1`, ``},
		{"seq as a text", `"seq":1`, `"seq":"1"`},
		{"seq negative", `"seq":1`, `"seq":-1`},
		{"no hash", `"hash":`, `"hasj":`},
		{"a hash too short", `"hash":"`, `"hash":"","hashes":"`},
		{"a hash without padding", `=","key"`, `A","key"`},
		{"no previous hash", `"prevHash":`, `"prevHasj":`},
		{"a record too long", "Decrypt", strings.Repeat("D", MaxRecordBytes)},
	} {
		bad := strings.Replace(good, row.from, row.to, 1)
		if bad == good {
			t.Errorf("%s: the row changes nothing", row.name)
		}
		if r, err := ParseRecord([]byte(bad)); err == nil || r != nil {
			t.Errorf("%s: ParseRecord = %v, %v, want an error and nothing else", row.name, r, err)
		}
	}
}

func TestUnknownMembersAreRead(t *testing.T) {
	good := string(bytes.TrimSuffix(line(decrypt(1)), []byte("\n")))
	later := strings.Replace(good, `"seq":1`, `"seq":1,"tree":{"index":[1,null,{"a":"b"}]}`, 1)
	if r, err := ParseRecord([]byte(later)); err != nil || r.Seq != 1 {
		t.Errorf("ParseRecord of a record with a member of a later version = %v, %v", r, err)
	}
}

func TestFilter(t *testing.T) {
	e := decrypt(1)
	e.Resources = append(e.Resources, Resource{Type: "ALIAS", ARN: "arn:aws:kms:local:111122223333:alias/web"})
	b := line(e)
	r, err := ParseRecord(b[:len(b)-1])
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		f    Filter
		want bool
	}{
		{"no condition", Filter{}, true},
		{"key id", Filter{Key: "0a1b"}, true},
		{"key ARN", Filter{Key: "arn:aws:kms:local:111122223333:key/0a1b"}, true},
		{"alias", Filter{Key: "alias/web"}, true},
		{"alias ARN", Filter{Key: "arn:aws:kms:local:111122223333:alias/web"}, true},
		{"the end of a key id", Filter{Key: "1b"}, false},
		{"the end of an alias", Filter{Key: "web"}, false},
		{"another key", Filter{Key: "0a1c"}, false},
		{"principal ARN", Filter{Principal: "arn:aws:iam::111122223333:user/alice"}, true},
		{"user name", Filter{Principal: "alice"}, true},
		{"another user", Filter{Principal: "bob"}, false},
		{"event", Filter{Event: "Decrypt"}, true},
		{"another event", Filter{Event: "Encrypt"}, false},
		{"status", Filter{Outcome: "OK"}, true},
		{"decision", Filter{Outcome: "ALLOW"}, true},
		{"another outcome", Filter{Outcome: "DENY"}, false},
		{"request", Filter{RequestID: e.RequestID.String()}, true},
		{"another request", Filter{RequestID: NewID().String()}, false},
		{"since that moment", Filter{Since: e.EventTime}, true},
		{"since later", Filter{Since: e.EventTime.Add(1)}, false},
		{"until that moment", Filter{Until: e.EventTime}, false},
		{"until later", Filter{Until: e.EventTime.Add(1)}, true},
		{"one of two", Filter{Event: "Decrypt", Principal: "bob"}, false},
	} {
		if got := row.f.Matches(r); got != row.want {
			t.Errorf("%s: Matches = %v, want %v", row.name, got, row.want)
		}
	}
}

func TestScanStops(t *testing.T) {
	s := newSample(t, 5, 1<<20)
	stop := errors.New("enough")
	n := 0
	err := Scan(context.Background(), s.config.Dir, Filter{Event: "Decrypt"}, func(*Record) error {
		if n++; n == 2 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || n != 2 {
		t.Errorf("Scan = %v after %d records, want the callback's error after 2", err, n)
	}
	if err := Scan(context.Background(), t.TempDir(), Filter{}, nil); !errors.Is(err, ErrNoLog) {
		t.Errorf("Scan of an empty folder = %v, want ErrNoLog", err)
	}
}

func TestFollow(t *testing.T) {
	l, c := createLog(t, func(c *Config) { c.SegmentBytes = 4_000 })
	for i := range 10 {
		mustAppend(t, l, decrypt(i))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	seen := make(chan string, 100)
	done := make(chan error)
	go func() {
		done <- Follow(ctx, c.Dir, 3, Filter{Event: "Decrypt"}, func(r *Record) error {
			seen <- string(r.Raw)
			return nil
		})
	}()
	var got []string
	for i := range 13 {
		if i >= 3 {
			mustAppend(t, l, decrypt(100+i))
		}
		select {
		case raw := <-seen:
			r, err := ParseRecord([]byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			_, n, _ := strings.Cut(raw, `"n":"`)
			n, _, _ = strings.Cut(n, `"`)
			got = append(got, n)
			_ = r
		case <-ctx.Done():
			t.Fatalf("only %v seen", got)
		}
	}
	want := []string{"7", "8", "9"}
	for i := 3; i < 13; i++ {
		want = append(want, fmt.Sprint(100+i))
	}
	if !slices.Equal(got, want) {
		t.Errorf("Follow gave %v, want %v", got, want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Follow = %v when its context ended, want nil", err)
	}
}

// FuzzParseLine: what parses is canonical, and nothing panics.
func FuzzParseLine(f *testing.F) {
	for _, e := range []*Event{{}, decrypt(1), everything("a\n\"😀", 2), everything("\xff", 1)} {
		b := line(e)
		f.Add(b[:len(b)-1])
	}
	f.Add([]byte(`{"schema":"kmsd.audit"}`))
	f.Add([]byte(`{"a":[[[[[[[[[[[`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			if r != nil {
				t.Errorf("ParseRecord gives a record beside %v", err)
			}
			return
		}
		if want := slowCanonical(t, b); !bytes.Equal(b, want) {
			t.Errorf("accepted what is not canonical:\ngot  %q\nwant %q", b, want)
		}
	})
}
