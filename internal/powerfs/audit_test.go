package powerfs_test

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/kmsd/kmsd/audit"
)

const appenders = 32 // so that batches are longer than a sector

// auditConfig has small segments, so that power goes while one begins.
func auditConfig(dir string) audit.Config {
	return audit.Config{Dir: filepath.Join(dir, "audit"), SegmentBytes: 50_000, Node: audit.Node{ID: "powerfs", BootID: audit.NewID()}}
}

func createAudit(dir string, _ io.Writer) error {
	l, err := audit.Create(auditConfig(dir))
	if err != nil {
		return err
	}
	return l.Close()
}

// serveAudit appends with many goroutines and says the id of each event that was acknowledged.
func serveAudit(dir string, out io.Writer) error {
	l, err := audit.Open(auditConfig(dir))
	if err != nil {
		return err
	}
	if err := ready(out); err != nil {
		return err
	}
	errs := make(chan error, appenders)
	for range appenders {
		go func() {
			for n := 0; ; n++ {
				e := audit.Event{
					Phase: audit.PhaseOutcome, EventType: audit.TypeAPICall, EventCategory: "Management", EventSource: "powerfs",
					EventName: "Decrypt", EventTime: time.Now(), Outcome: audit.Outcome{Status: "OK", BytesIn: int64(n)},
				}
				if err := l.Append(context.Background(), &e); err != nil {
					errs <- err
					return
				}
				fmt.Fprintln(out, e.EventID) // one write
			}
		}()
	}
	return <-errs
}

// events are the ids of the acknowledged ones.
type events map[string]bool

func (acked events) check(dir string, _ []string) error {
	there, err := eventsIn(filepath.Join(dir, "audit"))
	if err != nil {
		return err
	}
	for id := range acked {
		if there[id] != 1 {
			return fmt.Errorf("acknowledged event %s is there %d times, want once", id, there[id])
		}
	}
	return nil
}

// eventsIn verifies a log and returns how often it has which event.
func eventsIn(dir string) (map[string]int, error) {
	if _, err := audit.Verify(context.Background(), dir, nil); err != nil {
		return nil, err
	}
	there := map[string]int{}
	err := audit.Scan(context.Background(), dir, audit.Filter{}, func(r *audit.Record) error {
		there[r.EventID]++
		return nil
	})
	return there, err
}

func (acked events) work(p *process, _ <-chan struct{}) (int, error) {
	if err := p.proceed(); err != nil {
		return 0, err
	}
	said, _ := p.until(done)
	for _, id := range said {
		if _, err := audit.ParseID(id); err != nil {
			return 0, fmt.Errorf("%q: %w", id, err)
		}
		acked[id] = true
	}
	return len(said), nil
}

var auditTrial = trial{role: "audit", new: func() subject { return events{} }, steps: 100}

// Many goroutines append to an audit.Log when the power goes: every acknowledged event is there once, and the chain holds.
func TestPowerLossAudit(t *testing.T) { auditTrial.keeps(t) }

func TestPowerLossAuditTeeth(t *testing.T) { auditTrial.bites(t) }
