package server_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/kmsd/kmsd/audit"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// hostile are texts that break logs and parsers. :: name → text
var hostile = map[string]string{
	"NUL":             "a\x00b",
	"line feed":       "a\n{\"schema\":\"kmsd.audit\",\"seq\":1}\nb",
	"carriage return": "a\rb",
	"JSON":            `"},{"eventName":"Decrypt","outcome":{"status":"OK"}}`,
	"backslash":       `\u0000\n\`,
	"bidi":            "a\u202e\u2066b",
	"not a character": "a\ufffe\uffff\U0010ffff",
	"escape sequence": "\x1b[2J\x1b]0;x\x07",
	"64 KiB":          strings.Repeat("x", 64<<10),
	"64 KiB of NUL":   strings.Repeat("\x00", 64<<10),
}

// notUTF8 are texts that protobuf does not let pass.
var notUTF8 = []string{"\xff", "a\xc0\x80b", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80"}

// Hostile texts in every field of every request: each call is one line of the log, which verifies, and nothing but text in it.
func TestHostileText(t *testing.T) {
	notWhenShort(t)
	rows := specimensOf(t)
	d := newDoor(t, nil)
	p := newProps(d)
	var calls []call
	for _, method := range methods(t) {
		fields := textFields(t, method)
		if len(fields) == 0 {
			continue
		}
		valid := rows[method].valid(p)
		for _, f := range fields {
			for _, name := range slices.Sorted(maps.Keys(hostile)) {
				m := proto.Clone(valid)
				f.put(m, hostile[name])
				calls = append(calls, call{method: method, body: marshal(t, m), as: d.root, agent: d.agent(fmt.Sprintf("%v: %s", f, name))})
			}
			if f.bytes() {
				continue
			}
			for _, text := range notUTF8 {
				calls = append(calls, call{method: method, body: f.raw(marshal(t, valid), text), as: d.root, agent: d.agent(fmt.Sprintf("%v: %x", f, text))})
			}
		}
	}
	got := d.sendAll(t.Context(), calls)
	events := d.events()
	for i, c := range calls {
		name := strings.TrimPrefix(c.agent, d.tag+" ")
		if got[i].err != nil || got[i].code == codes.Internal || got[i].code == codes.Unknown || got[i].code == codes.Unavailable {
			t.Errorf("%s: %v", name, got[i])
		}
		if len(events[c.agent]) != 1 {
			t.Errorf("%s: %d events, want 1", name, len(events[c.agent]))
			continue
		}
		if _, raw, _ := strings.Cut(name, ": "); len(raw) > 0 && hostile[raw] == "" && events[c.agent][0].Outcome.ErrorClass != "Malformed" && !endsStream(c, got[i]) {
			t.Errorf("%s: %v, want it refused because it is not UTF-8", name, got[i])
		}
	}
	t.Logf("%d calls", len(calls))
	if len(calls) < 500 {
		t.Errorf("only %d calls", len(calls))
	}
	report, err := audit.Verify(t.Context(), d.AuditDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if lines := countLines(t, d.AuditDir()); lines != int(report.Records) {
		t.Errorf("%d lines, %d records", lines, report.Records)
	}
}

// endsStream reports whether a call is a stream that was opened, and ended by a message that is none: the class is the message's, not the stream's.
func endsStream(c call, got answer) bool {
	return c.method == kmsv1.BatchService_StreamCrypto_FullMethodName && got.code == codes.InvalidArgument
}

// Hostile user agents are in the log, escaped.
func TestHostileUserAgent(t *testing.T) {
	d := newDoor(t, nil)
	for _, agent := range []string{`"},{"eventName":"Decrypt"`, `\`, "\u202e", "\xff\xfe", strings.Repeat("x", 12<<10)} {
		c := call{method: decryptMethod, agent: d.agent(agent)}
		if got := d.send(t.Context(), c); got.err != nil || got.code != codes.Unauthenticated {
			t.Errorf("user agent %.40q: %v", agent, got)
		}
		want := string([]rune(c.agent)) // each byte that is not UTF-8 is U+FFFD
		logged := slices.Collect(maps.Keys(d.events()))
		if !slices.ContainsFunc(logged, func(l string) bool {
			return l == want || len(want) > 256 && len(l) == 256 && strings.HasPrefix(want, l)
		}) {
			t.Errorf("user agent %.40q is not in the log: %.200q", agent, logged)
		}
	}
}

// sendAll makes calls, some at a time, and returns their answers in order.
func (d *door) sendAll(ctx context.Context, calls []call) []answer {
	got := make([]answer, len(calls))
	next := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range next {
				got[i] = d.send(ctx, calls[i])
			}
		})
	}
	for i := range calls {
		next <- i
	}
	close(next)
	wg.Wait()
	return got
}

func countLines(t *testing.T, dir string) (n int) {
	t.Helper()
	for _, b := range readTree(t, dir) {
		n += bytes.Count(b, []byte{'\n'})
	}
	return n
}

// readTree reads every file below dir. :: path → content
func readTree(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files[path], err = os.ReadFile(path)
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files in %s, %v", len(files), dir, err)
	}
	return files
}
