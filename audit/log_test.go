package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		crashChild(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// decrypt is an event as the server writes thousands of.
func decrypt(i int) *Event {
	now := time.Date(2026, 11, 23, 15, 4, 5, 123456789, time.UTC)
	return &Event{
		EventID:       NewID(),
		RequestID:     NewID(),
		Phase:         PhaseOutcome,
		ReceivedTime:  now,
		EventTime:     now.Add(time.Duration(i) * time.Millisecond),
		EventCategory: "Management",
		EventType:     TypeAPICall,
		EventSource:   "kms.local",
		EventName:     "Decrypt",
		APIVersion:    "2014-11-01",
		ReadOnly:      true,
		CryptoOp:      true,
		Actor: Actor{
			Type: ActorIAMUser, ID: "AIDA2EXAMPLE", ARN: "arn:aws:iam::111122223333:user/alice", Tenant: "111122223333",
			UserName: "alice", CredentialID: "AKIA2EXAMPLE", AuthMethod: AuthAccessKey,
		},
		Network:           Network{SrcIP: "192.0.2.7", SrcPort: 41234, Listener: "tls", TLSVersion: "1.3", CipherSuite: "TLS_AES_128_GCM_SHA256"},
		Resources:         []Resource{{Type: "KEY", ARN: "arn:aws:kms:local:111122223333:key/0a1b", Tenant: "111122223333"}},
		Key:               Key{ID: "0a1b", Version: 3, MaterialID: "m3", Algorithm: "SYMMETRIC_DEFAULT", Origin: "AWS_KMS", State: "Enabled"},
		EncryptionContext: map[string]string{"app": "web", "n": fmt.Sprint(i)},
		Request:           []Param{String("keyId", "alias/web"), String("encryptionAlgorithm", "SYMMETRIC_DEFAULT"), Int("ciphertextBytes", 180)},
		Decision:          Decision{Result: ResultAllow, Layer: "IDENTITY", MatchedPolicies: []string{"use-keys"}, MatchedStatements: []string{"s1"}, PolicyGeneration: 12},
		Outcome:           Outcome{Status: "OK", LatencyUs: 412, BytesIn: 300, BytesOut: 64},
	}
}

func testConfig(dir string) Config {
	return Config{Dir: dir, Node: Node{ID: "node-1", Version: "0.1.0", BootID: NewID()}, Preallocate: -1}
}

// createLog gives a log that is closed, and its whole content verified, when the test ends.
func createLog(t testing.TB, change func(*Config)) (*Log, Config) {
	t.Helper()
	c := testConfig(filepath.Join(t.TempDir(), "audit"))
	if change != nil {
		change(&c)
	}
	l, err := Create(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		mustVerify(t, c.Dir)
	})
	return l, c
}

func mustVerify(t testing.TB, dir string, known ...Head) Report {
	t.Helper()
	r, err := Verify(context.Background(), dir, nil, known...)
	if err != nil {
		t.Errorf("Verify = %v", err)
	}
	return r
}

func mustAppend(t testing.TB, l *Log, e *Event) {
	t.Helper()
	if err := l.Append(context.Background(), e); err != nil {
		t.Fatal(err)
	}
}

// eventsIn counts the records of the log in dir by event id, leaving out service events.
func eventsIn(t testing.TB, dir string) map[string]int {
	t.Helper()
	got := map[string]int{} // :: event id → records
	err := Scan(context.Background(), dir, Filter{}, func(r *Record) error {
		if r.EventType == TypeAPICall {
			got[r.EventID]++
		}
		return nil
	})
	if err != nil {
		t.Errorf("Scan = %v", err)
	}
	return got
}

// namesIn gives the event names in the log's order.
func namesIn(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := Scan(context.Background(), dir, Filter{}, func(r *Record) error {
		names = append(names, r.EventName)
		return nil
	})
	if err != nil {
		t.Errorf("Scan = %v", err)
	}
	return names
}

func TestAppendedEventsAreRead(t *testing.T) {
	l, c := createLog(t, func(c *Config) { c.SegmentBytes = 20_000 })
	var wg sync.WaitGroup
	var mu sync.Mutex
	want := map[string]int{} // :: event id → 1
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				e := decrypt(w*1000 + i)
				mustAppend(t, l, e)
				mu.Lock()
				want[e.EventID.String()] = 1
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := eventsIn(t, c.Dir)
	for id := range want {
		if got[id] != 1 {
			t.Errorf("event %s is there %d times, want once", id, got[id])
		}
	}
	if len(got) != 400 {
		t.Errorf("%d events, want 400", len(got))
	}
	r := mustVerify(t, c.Dir, l.Head())
	if r.Segments < 10 {
		t.Errorf("%d segments, want at least 10 of 20 kB", r.Segments)
	}
	if r.LogID != l.LogID() || r.Last != l.Head() || r.TornTail != 0 {
		t.Errorf("Report = %+v, want log %v, head %v and no torn tail", r, l.LogID(), l.Head())
	}
}

func TestReopenGoesOn(t *testing.T) {
	l, c := createLog(t, nil)
	e := decrypt(1)
	e.StateGeneration = StateGeneration{Before: 41, After: 42}
	mustAppend(t, l, e)
	head, id := l.Head(), l.LogID()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.StateGeneration(); got != 42 {
			t.Errorf("StateGeneration = %d, want 42", got)
		}
		if l.Seq() <= head.Seq || l.LogID() != id {
			t.Errorf("Seq, LogID = %d, %v, want more than %d, %v", l.Seq(), l.LogID(), head.Seq, id)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	mustVerify(t, c.Dir, head)
}

func TestSecondOpenIsRefused(t *testing.T) {
	_, c := createLog(t, nil)
	if _, err := Open(c); !errors.Is(err, ErrLocked) {
		t.Errorf("Open of an open log = %v, want ErrLocked", err)
	}
	if _, err := Create(c); !errors.Is(err, ErrLocked) {
		t.Errorf("Create over an open log = %v, want ErrLocked", err)
	}
}

func TestCreateAndOpenDoNotMixUp(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(testConfig(filepath.Join(dir, "missing"))); !errors.Is(err, ErrNoLog) {
		t.Errorf("Open of a missing folder = %v, want ErrNoLog", err)
	}
	if _, err := Open(testConfig(dir)); !errors.Is(err, ErrNoLog) {
		t.Errorf("Open of an empty folder = %v, want ErrNoLog", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(testConfig(dir)); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("Create in a folder with a file = %v, want ErrNotEmpty", err)
	}
	_, c := createLog(t, nil)
	other := c
	other.Dir = c.Dir + "/."
	if _, err := Create(other); !errors.Is(err, ErrLocked) {
		t.Errorf("Create of a log = %v, want ErrLocked", err)
	}
}

func TestAppendAfterClose(t *testing.T) {
	l, _ := createLog(t, nil)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	err := l.Append(context.Background(), decrypt(1))
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, ErrClosed) {
		t.Errorf("Append to a closed log = %v, want ErrUnavailable and ErrClosed", err)
	}
}

func TestSegmentsEndByAge(t *testing.T) {
	l, c := createLog(t, func(c *Config) { c.SegmentAge = 20 * time.Millisecond })
	mustAppend(t, l, decrypt(1))
	time.Sleep(100 * time.Millisecond)
	before := l.Seq()
	time.Sleep(100 * time.Millisecond)
	if l.Seq() != before {
		t.Errorf("an idle log went on from record %d to %d, want no segment that holds nothing", before, l.Seq())
	}
	if got := mustVerify(t, c.Dir).Segments; got != 3 {
		t.Errorf("%d segments, want 3: creation, the event's, the one after", got)
	}
}

// TestHungDiskHoldsBoundedMemory lets a write hang while far more is appended than may wait.
func TestHungDiskHoldsBoundedMemory(t *testing.T) {
	release := make(chan struct{})
	f := &faults{}
	l, _ := createLog(t, func(c *Config) { c.OpenFile = f.open })
	f.arm(1, 1, fault{write: func(f File, p []byte) (int, error) {
		<-release
		return f.Write(p)
	}})
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 600 {
		wg.Go(func() {
			e := decrypt(i)
			e.Request = append(e.Request, String("large", strings.Repeat("x", 20_000)))
			if err := l.Append(ctx, e); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Append to a hung disk = %v, want ErrUnavailable and DeadlineExceeded", err)
			}
		})
	}
	wg.Wait()
	l.mu.Lock()
	if got := len(l.pending.buf); got < maxBatchBytes/2 || got > maxBatchBytes+MaxRecordBytes {
		t.Errorf("%d bytes wait, want at most %d and a record, and not far from it", got, maxBatchBytes)
	}
	l.mu.Unlock()
	close(release)
	mustAppend(t, l, decrypt(1))
}
