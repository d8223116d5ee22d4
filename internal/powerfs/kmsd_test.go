package powerfs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/daemon"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

const account = "111122223333"

func dataFolder(dir string) string { return filepath.Join(dir, "new", "kmsd-data") }

func createKMSD(dir string, _ io.Writer) error {
	_, err := daemon.Init(daemon.InitOptions{Config: daemon.Config{Data: dataFolder(dir)}, AccountID: account})
	return err
}

// serveKMSD says where it serves.
func serveKMSD(dir string, out io.Writer) error {
	cfg, err := daemon.Load(dataFolder(dir), nil)
	if err != nil {
		return err
	}
	cfg.Listen, cfg.AdminListen, cfg.Audit.SegmentMiB, cfg.LogLevel = "127.0.0.1:0", daemon.AdminOff, 1, "warn"
	if err := cfg.Check(); err != nil {
		return err
	}
	d, err := daemon.Start(cfg, daemon.Options{Version: "test", LogTo: os.Stderr})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, d.Address())
	if err := ready(out); err != nil {
		return err
	}
	return <-d.Failed()
}

// connect makes a client of the root user, with the credentials in the data folder.
func connect(dir string, said []string) (*client.Client, error) {
	if len(said) != 1 {
		return nil, fmt.Errorf("kmsd said %q, want its address", said)
	}
	c, err := client.LoadFile(filepath.Join(dataFolder(dir), daemon.RootCredentialsFile))
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Credentials: c, Endpoint: said[0]})
}

// A claim is what an acknowledged call promised.
type claim struct {
	event, subject string // of the audit record: the operation, and an ARN or an encryption context
	holds          func(ctx context.Context, c *client.Client) error
}

// ledger keeps what a kmsd has acknowledged.
type ledger struct {
	client *client.Client // of the kmsd that runs

	mu        sync.Mutex
	calls     int               // made up for so far: names that are unique
	unchecked []claim           // since the last check
	logged    map[[2]string]int // :: event and subject → how many calls were acknowledged
}

func newLedger() subject { return &ledger{logged: map[[2]string]int{}} }

// check asks kmsd for all that was acknowledged since the last check, and looks for every acknowledged call in the log.
func (l *ledger) check(dir string, said []string) error {
	c, err := connect(dir, said)
	if err != nil {
		return err
	}
	if l.client != nil {
		l.client.Close() // its kmsd is gone
	}
	l.client = c
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, one := range l.unchecked {
		if err := one.holds(ctx, c); err != nil {
			return fmt.Errorf("acknowledged %s of %s: %w", one.event, one.subject, err)
		}
	}
	if err := l.checkLog(filepath.Join(dataFolder(dir), "audit")); err != nil {
		return err
	}
	l.unchecked = nil
	return nil
}

func (l *ledger) checkLog(dir string) error {
	if _, err := audit.Verify(context.Background(), dir, nil); err != nil {
		return err
	}
	there := map[[2]string]int{}
	err := audit.Scan(context.Background(), dir, audit.Filter{Outcome: "OK"}, func(r *audit.Record) error {
		for _, subject := range subjects(r) {
			there[[2]string{r.EventName, subject}]++
		}
		return nil
	})
	if err != nil {
		return err
	}
	for call, want := range l.logged {
		if got := there[call]; got < want || call[0] == "Encrypt" && got > want {
			return fmt.Errorf("%d calls %s of %s acknowledged, %d in the audit log", want, call[0], call[1], got)
		}
	}
	return nil
}

// subjects are what a record is about: ARNs, or for an Encrypt the encryption context, which is unique.
func subjects(r *audit.Record) (all []string) {
	if r.EventName == "Encrypt" {
		var raw struct {
			EncryptionContext map[string]string `json:"encryptionContext"`
		}
		if err := json.Unmarshal(r.Raw, &raw); err != nil {
			return nil
		}
		return []string{raw.EncryptionContext["call"]}
	}
	for _, resource := range r.Resources {
		if !slices.Contains(all, resource.ARN) {
			all = append(all, resource.ARN)
		}
	}
	return all
}

func (l *ledger) acknowledged(c claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unchecked = append(l.unchecked, c)
	l.logged[[2]string{c.event, c.subject}]++
}

// name returns one that no other call has.
func (l *ledger) name() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	return "call-" + strconv.Itoa(l.calls)
}

// work makes calls from several callers at once until the power is off.
func (l *ledger) work(p *process, off <-chan struct{}) (int, error) {
	if err := p.proceed(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = p.until(done) // it is killed
		cancel()
	}()
	before := len(l.unchecked)
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			w := caller{ledger: l, client: l.client}
			for !isOff(off) {
				w.call(ctx) // an error is no acknowledgement
			}
		})
	}
	all.Wait()
	return len(l.unchecked) - before, nil
}

// caller makes calls, one at a time, on keys of its own.
type caller struct {
	*ledger
	client *client.Client
	keys   []*keyClaim
}

// keyClaim is a key, and the policies that it may have: the one last acknowledged, and those put since then.
type keyClaim struct {
	arn      string
	policies []string
}

func (w *caller) call(ctx context.Context) {
	if len(w.keys) == 0 {
		w.createKey(ctx)
		return
	}
	key := w.keys[rand.IntN(len(w.keys))]
	switch rand.IntN(6) {
	case 0:
		w.createKey(ctx)
	case 1:
		w.rotate(ctx, key)
	case 2:
		w.putPolicy(ctx, key)
	case 3:
		w.createUser(ctx)
	default:
		w.encrypt(ctx, key)
	}
}

func (w *caller) createKey(ctx context.Context) {
	r, err := w.client.Keys().CreateKey(ctx, kmsv1.CreateKeyRequest_builder{Description: w.name()}.Build())
	if err != nil {
		return
	}
	key := &keyClaim{arn: r.GetKeyMetadata().GetArn()}
	w.keys = append(w.keys, key)
	w.acknowledged(claim{"CreateKey", key.arn, func(ctx context.Context, c *client.Client) error {
		_, err := c.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: key.arn}.Build())
		return err
	}})
}

func (w *caller) rotate(ctx context.Context, key *keyClaim) {
	r, err := w.client.Keys().RotateKeyOnDemand(ctx, kmsv1.RotateKeyOnDemandRequest_builder{KeyId: key.arn}.Build())
	if err != nil {
		return
	}
	w.acknowledged(claim{"RotateKeyOnDemand", key.arn, func(ctx context.Context, c *client.Client) error {
		have, err := c.Keys().ListKeyRotations(ctx, kmsv1.ListKeyRotationsRequest_builder{KeyId: key.arn, Limit: 100}.Build())
		if err == nil && !slices.ContainsFunc(have.GetRotations(), func(e *kmsv1.RotationsListEntry) bool { return e.GetKeyMaterialId() == r.GetKeyMaterialId() }) {
			err = fmt.Errorf("the version %s is missing", r.GetKeyMaterialId())
		}
		return err
	}})
}

func (w *caller) putPolicy(ctx context.Context, key *keyClaim) {
	next := `{"Version":"2012-10-17","Statement":[{"Sid":"` + strings.ReplaceAll(w.name(), "-", "") +
		`","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"kms:*","Resource":"*"}]}`
	key.policies = append(key.policies, next)
	if _, err := w.client.Keys().PutKeyPolicy(ctx, kmsv1.PutKeyPolicyRequest_builder{KeyId: key.arn, Policy: next}.Build()); err != nil {
		return
	}
	key.policies = []string{next}
	w.acknowledged(claim{"PutKeyPolicy", key.arn, func(ctx context.Context, c *client.Client) error {
		have, err := c.Keys().GetKeyPolicy(ctx, kmsv1.GetKeyPolicyRequest_builder{KeyId: key.arn}.Build())
		if err == nil && !slices.Contains(key.policies, have.GetPolicy()) {
			err = fmt.Errorf("the policy is %q, want one of %q", have.GetPolicy(), key.policies)
		}
		return err
	}})
}

func (w *caller) createUser(ctx context.Context) {
	name := w.name()
	r, err := w.client.IAM().CreateUser(ctx, iamv1.CreateUserRequest_builder{UserName: name}.Build())
	if err != nil {
		return
	}
	w.acknowledged(claim{"CreateUser", r.GetUser().GetArn(), func(ctx context.Context, c *client.Client) error {
		_, err := c.IAM().GetUser(ctx, iamv1.GetUserRequest_builder{UserName: name}.Build())
		return err
	}})
}

func (w *caller) encrypt(ctx context.Context, key *keyClaim) {
	name := w.name()
	about := map[string]string{"call": name}
	r, err := w.client.Crypto().Encrypt(ctx, kmsv1.EncryptRequest_builder{KeyId: key.arn, Plaintext: []byte(name), EncryptionContext: about}.Build())
	if err != nil {
		return
	}
	w.acknowledged(claim{"Encrypt", name, func(ctx context.Context, c *client.Client) error {
		d, err := c.Crypto().Decrypt(ctx, kmsv1.DecryptRequest_builder{CiphertextBlob: r.GetCiphertextBlob(), EncryptionContext: about}.Build())
		if err == nil && !bytes.Equal(d.GetPlaintext(), []byte(name)) {
			err = fmt.Errorf("decrypts to %q", d.GetPlaintext())
		}
		return err
	}})
}

var kmsdTrial = trial{role: "kmsd", new: newLedger, steps: 600}

// 8 callers work with a whole kmsd when the power goes: what it acknowledged is there, and each acknowledged call is in its audit log.
func TestPowerLossKMSD(t *testing.T) { kmsdTrial.keeps(t) }

func TestPowerLossKMSDTeeth(t *testing.T) { kmsdTrial.bites(t) }
