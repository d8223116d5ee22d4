package kmstest

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/client"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// check compares what kmsd has with what it acknowledged since the last check.
func (w *world) check(t *testing.T, cl *client.Client, y *tally) {
	t.Helper()
	ctx, keys := t.Context(), 0
	for _, a := range w.writers {
		a.settle(t, cl, y)
		keys += len(a.keys)
		a.checkKeys(ctx, cl, y)
		a.checkNames(ctx, cl, y)
		for _, b := range a.blobs {
			if b.key.disabled {
				continue
			}
			if err := decrypts(ctx, cl, b); err != nil {
				y.lose("ciphertext of %s: %v", a.name, err)
			}
			a.events["Decrypt|"+b.call]++
		}
		clear(a.touched)
	}
	have, err := allKeys(ctx, cl)
	if err != nil || len(have) != keys {
		y.lose("%d keys, %v, want %d", len(have), err, keys)
	}
}

func (y *tally) lose(format string, args ...any) {
	y.lost = append(y.lost, fmt.Sprintf(format, args...))
}

// settle finds out what became of the call that was cut off.
func (w *writer) settle(t *testing.T, cl *client.Client, y *tally) {
	t.Helper()
	if w.cut == nil {
		return
	}
	took, err := w.cut.settle(t.Context(), cl)
	if err != nil {
		y.lose("writer %s: %v", w.name, err)
	}
	if took {
		y.took++
	}
	w.cut.took = took
}

func (w *writer) checkKeys(ctx context.Context, cl *client.Client, y *tally) {
	for _, k := range w.keys {
		if !w.touched["key "+k.id] {
			continue
		}
		have, err := cl.Keys().DescribeKey(ctx, kmsv1.DescribeKeyRequest_builder{KeyId: k.id}.Build())
		if disabled := have.GetKeyMetadata().GetKeyState() == kmsv1.KeyState_KEY_STATE_DISABLED; err != nil || disabled != k.disabled {
			y.lose("key %s: disabled %v, %v, want %v", k.id, disabled, err, k.disabled)
		}
		if versions, err := rotations(ctx, cl, k); err != nil || !slices.Equal(versions, k.versions) {
			y.lose("key %s: versions %v, %v, want %v", k.id, versions, err, k.versions)
		}
		policy, err := cl.Keys().GetKeyPolicy(ctx, kmsv1.GetKeyPolicyRequest_builder{KeyId: k.id}.Build())
		if err != nil || k.policy != "" && policy.GetPolicy() != k.policy {
			y.lose("key %s: policy %s, %v, want %s", k.id, policy.GetPolicy(), err, k.policy)
		}
	}
}

func (w *writer) checkNames(ctx context.Context, cl *client.Client, y *tally) {
	for name, k := range w.aliases {
		if !w.touched["alias "+name] {
			continue
		}
		if to, err := aliasTarget(ctx, cl, name); err != nil || to != k.name() {
			y.lose("%s: to %q, %v, want %q", name, to, err, k.name())
		}
	}
	for _, u := range w.users {
		if !w.touched["user "+u.name] {
			continue
		}
		if have, err := userPolicy(ctx, cl, u); err != nil || have != u.policy {
			y.lose("user %s: policy %q, %v, want %q", u.name, have, err, u.policy)
		}
	}
}

// fingerprints are what the writers call an event by.
func fingerprints(r *audit.Record) []string {
	all := []string{r.EventName + "|" + r.Key.MaterialID}
	for _, resource := range r.Resources {
		all = append(all, r.EventName+"|"+resource.ARN)
	}
	var more struct {
		EncryptionContext map[string]string `json:"encryptionContext"` // :: key → value
	}
	if json.Unmarshal(r.Raw, &more) == nil && more.EncryptionContext["call"] != "" {
		all = append(all, r.EventName+"|"+more.EncryptionContext["call"])
	}
	return all
}

// events checks that every acknowledged call has exactly one outcome in the log, a call that was cut off one at most, and a change that was made
// its intent.
func (w *world) events(t *testing.T, dir string, y *tally) {
	t.Helper()
	have := map[string]int{}         // :: fingerprint → outcomes
	intents := map[string][]string{} // :: request id → fingerprints of an intent without an outcome
	err := audit.Scan(t.Context(), filepath.Join(dir, "audit"), audit.Filter{}, func(r *audit.Record) error {
		switch {
		case r.Phase == audit.PhaseIntent:
			intents[r.RequestID] = append(fingerprints(r), r.EventName+"|")
		case r.Phase == audit.PhaseOutcome:
			delete(intents, r.RequestID)
			if r.Outcome.Status == "OK" {
				for _, f := range fingerprints(r) {
					have[f]++
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	intended := map[string]int{} // :: fingerprint → intents without an outcome, of this round
	for id, all := range intents {
		for _, f := range slices.Compact(slices.Sorted(slices.Values(all))) {
			if !w.old[id] {
				intended[f]++
			}
		}
		w.old[id] = true
	}
	for _, a := range w.writers {
		a.checkEvents(have, intended, y)
	}
}

// checkEvents is events for one writer.
func (w *writer) checkEvents(have, intended map[string]int, y *tally) {
	if c := w.cut; c != nil {
		switch {
		case have[c.fingerprint] == w.events[c.fingerprint]+1:
			w.events[c.fingerprint]++
		case c.took && intended[c.intent] > 0:
			intended[c.intent]--
			y.intended++
		case c.took:
			y.lose("the record of %s, which took effect", c.fingerprint)
		}
		w.cut = nil
	}
	for f, want := range w.events {
		if have[f] != want {
			y.lose("%d outcomes %s, want %d", have[f], f, want)
		}
	}
}
