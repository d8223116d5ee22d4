package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kmsd/kmsd/internal/durable"
)

// Errors that callers branch on.
var (
	// ErrUnavailable means that the record is not known to be durable: what it is about must not be told to anyone.
	ErrUnavailable = errors.New("audit log unavailable")
	// ErrLocked means that another process, or another Log, has the folder open.
	ErrLocked = errors.New("audit log is in use by another process")
	// ErrNoLog means that the folder holds no log.
	ErrNoLog = errors.New("no audit log in the folder")
	// ErrNotEmpty means that Create was given a folder that holds something.
	ErrNotEmpty = errors.New("the folder of a log to be created is not empty")
	// ErrClosed means that the log was closed. What matches it matches ErrUnavailable, too.
	ErrClosed = errors.New("audit log is closed")
)

// Names of the events that the log writes of its own accord, with event type ServiceEvent.
const (
	eventLogCreated    = "LogCreated"
	eventSegmentOpened = "SegmentOpened"
	eventLogRecovered  = "LogRecovered"
	eventSource        = "audit.kmsd"
)

// maxBatchBytes is how much may wait for the disk; who comes then waits for room.
const maxBatchBytes = 4 << 20

// DefaultSegmentBytes is the size at which a segment ends unless Config says otherwise.
const DefaultSegmentBytes = 64 << 20

// Config says where and how a log is kept.
type Config struct {
	Dir string // the log's own folder
	// Node goes into every record.
	Node Node
	// SegmentBytes ends a segment: the batch of records that reaches it is its last. 0 means DefaultSegmentBytes.
	SegmentBytes int64
	// SegmentAge ends a segment that is that old and holds something. 0 means no limit of age.
	SegmentAge time.Duration
	// Preallocate is how much room a new segment reserves; readers do not see it. 0 means SegmentBytes, negative none.
	Preallocate int64
	// OpenFile opens segments for writing. nil means the file system; tests put faults there.
	OpenFile OpenFileFunc
	// OnBroken is called when the log becomes unavailable, with the cause, and once more if it turns out that the disk has lost
	// acknowledged records (the error matches ErrVerification then, and only a person can help). It must return soon and must
	// not call the log. nil means nobody is told.
	OnBroken func(error)
}

// Node is the kmsd that writes the log.
type Node struct {
	ID      string
	Version string
	BootID  ID // differs per start
}

// Log is an audit log that is open for appending. Its methods may be called concurrently.
//
// After a failure of the disk a log answers ErrUnavailable and tries, several times a second, to put itself in order:
// it cuts off what was not acknowledged, reads back from the disk that all acknowledged records of the last segment are there, and goes on in
// a new segment. It never writes again to a file in which a write or sync has failed.
type Log struct {
	config   Config
	node     []byte
	id       ID
	lock     *os.File
	encoders sync.Pool
	wake     chan struct{} // capacity 1: there is something to write
	stop     chan struct{} // closed by Close
	stopped  chan struct{} // closed by the writer

	mu      sync.Mutex // guards what follows, up to the empty line
	queued  *chain     // the end of what is queued
	pending *batch     // queued and not yet being written
	synced  mark       // the end of what is durable
	broken  error      // why nothing can be appended, or nil
	closed  bool

	w writer // belongs to the writer goroutine
}

// mark is a place in the log, and the highest state generation up to there.
type mark struct {
	head       Head
	generation uint64
}

// batch is a number of records that become durable together.
type batch struct {
	buf   []byte
	first uint64        // sequence number of the first record
	opens bool          // begins a segment
	end   mark          // after the last record; set when it is being written
	done  chan struct{} // closed when err holds
	err   error
}

func newBatch(buf []byte) *batch { return &batch{buf: buf[:0], done: make(chan struct{})} }

// Create makes a log and opens it, durably. The folder must not exist (its parent must) or be empty; otherwise the error
// matches ErrNotEmpty. A Create that was interrupted can be repeated.
func Create(c Config) (*Log, error) {
	if err := create(c); err != nil {
		return nil, fmt.Errorf("creating the audit log: %w", err)
	}
	return Open(c)
}

func create(c Config) (err error) {
	if err := os.Mkdir(c.Dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(c.Dir)); err != nil {
		return err
	}
	lock, err := lockDir(filepath.Join(c.Dir, lockName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := checkEmpty(c.Dir); err != nil {
		return err
	}
	id := NewID()
	n := &encoder{node: encodeNode(c.Node)}
	n.encode(serviceEvent(eventLogCreated, 0, String("logID", id.String())))
	line := newChain(genesis(id), 0).append(nil, n, 0)
	return durable.CreateFile(segmentPath(c.Dir, 1), line, 0o600)
}

// checkEmpty gives ErrNotEmpty unless dir holds nothing but the lock and what an interrupted Create has left.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case e.Name() == lockName:
		case strings.HasPrefix(e.Name(), "."+segmentPrefix):
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		default:
			return ErrNotEmpty
		}
	}
	return nil
}

// Open opens the log in c.Dir, and begins a new segment. It verifies the chain of the last segment, cuts off the remains of a
// write that was never acknowledged, and records how many bytes that were (event LogRecovered).
//
// The error matches ErrLocked if the log is open elsewhere, ErrNoLog if there is none, and ErrVerification if what the last segment
// holds was altered; no whole record is changed or removed then.
func Open(c Config) (*Log, error) {
	l, err := open(c)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	return l, nil
}

func open(c Config) (*Log, error) {
	c.SegmentBytes = orDefault(c.SegmentBytes, DefaultSegmentBytes)
	c.Preallocate = orDefault(c.Preallocate, c.SegmentBytes)
	if c.OpenFile == nil {
		c.OpenFile = openOSFile
	}
	if _, err := os.Stat(c.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoLog, err)
	}
	lock, err := lockDir(filepath.Join(c.Dir, lockName))
	if err != nil {
		return nil, err
	}
	l := &Log{
		config:  c,
		node:    encodeNode(c.Node),
		lock:    lock,
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
		pending: newBatch(nil),
	}
	l.encoders.New = func() any { return &encoder{node: l.node} }
	r, err := recoverDir(c.Dir, c.OpenFile, nil)
	if err == nil {
		l.id = r.logID
		err = l.begin(r, causeTornTail)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	go l.run()
	return l, nil
}

func orDefault(v, otherwise int64) int64 {
	if v == 0 {
		return otherwise
	}
	return v
}

// StateGeneration gives the highest StateGeneration.After of all durable records.
func (l *Log) StateGeneration() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.synced.generation
}

// Head gives the last durable record: what to keep elsewhere, so that [Verify] can tell a log that was cut.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.synced.head
}

// Seq gives the sequence number of the last durable record.
func (l *Log) Seq() uint64 { return l.Head().Seq }

// LogID gives the id that the log was given when it was created.
func (l *Log) LogID() ID { return l.id }

// Err gives why nothing can be appended at the moment, or nil.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// Close makes durable what is queued, closes the log and gives up its lock. Append gives ErrClosed from then on. It waits
// for the disk as long as that takes. A second Close does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		<-l.stopped
		return nil
	}
	l.closed = true
	wasBroken := l.broken
	l.broken = fmt.Errorf("%w: %w", ErrUnavailable, ErrClosed)
	l.mu.Unlock()
	close(l.stop)
	<-l.stopped
	err := l.lock.Close()
	if wasBroken != nil {
		err = errors.Join(wasBroken, err)
	}
	return errors.Join(l.w.closeErr, err)
}

// encodeNode gives the member node of every record, with its comma.
func encodeNode(node Node) []byte {
	n := &encoder{limit: limit{256, 0}}
	start := n.open(`"node":{`)
	n.id(`"bootID":`, node.BootID)
	n.text(`"id":`, node.ID)
	n.text(`"version":`, node.Version)
	n.close(start)
	return n.buf
}

// serviceEvent is an event that the log writes of its own accord.
func serviceEvent(name string, generation uint64, request ...Param) *Event {
	return &Event{
		EventID:         NewID(),
		Phase:           PhaseService,
		EventTime:       time.Now(),
		EventCategory:   "Management",
		EventType:       TypeServiceEvent,
		EventSource:     eventSource,
		EventName:       name,
		Actor:           Actor{Type: ActorService},
		Request:         request,
		StateGeneration: StateGeneration{After: generation},
	}
}
