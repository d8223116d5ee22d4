package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// So many batches of an account are under way; more of them wait, and those of other accounts do not.
func TestBatchesWaitForThoseOfTheirAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b batchTurns
		var leave []func()
		for range batchesAtOnce {
			l, err := b.enter(t.Context(), "one")
			if err != nil {
				t.Fatal(err)
			}
			leave = append(leave, l)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		for _, with := range []context.Context{t.Context(), ctx} {
			go func() {
				l, err := b.enter(with, "one")
				if err == nil {
					l()
				}
				ended <- err
			}()
		}
		synctest.Wait()
		if len(ended) != 0 {
			t.Errorf("with %d batches under way another one does not wait: %v", batchesAtOnce, <-ended)
		}
		l, err := b.enter(t.Context(), "other")
		if err != nil {
			t.Fatalf("a batch of another account: %v", err)
		}
		l()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("one that is cancelled: %v, want %v", err, context.Canceled)
		}
		leave[0]()
		if err := <-ended; err != nil {
			t.Errorf("one that waited: %v", err)
		}
		for _, l := range leave[1:] {
			l()
		}
		if len(b.accounts) != 0 {
			t.Errorf("%d accounts are left", len(b.accounts))
		}
	})
}

// A batch takes its turn before it is received, and gives it back however it ends.
func TestBatchesTakeTurns(t *testing.T) {
	h := newHouse(t)
	const batch = kmsv1.BatchService_BatchCrypto_FullMethodName
	item := kmsv1.BatchItem_builder{GenerateRandom: kmsv1.GenerateRandomRequest_builder{NumberOfBytes: 8}.Build()}.Build()
	good := kmsv1.BatchCryptoRequest_builder{Items: []*kmsv1.BatchItem{item}}.Build()
	received := false
	_, err := h.s.serve(h.ctx, h.rows[batch], func(v any) error {
		received = true
		if n := len(h.s.batches.accounts); n != 1 {
			t.Errorf("while a batch is received %d accounts have one under way, want 1", n)
		}
		return arrived(good)(v)
	})
	h.check(err)
	if _, err := h.ask(batch, &kmsv1.BatchCryptoRequest{}); err == nil {
		t.Error("a batch without items is taken")
	}
	if n := len(h.s.batches.accounts); n != 0 || !received {
		t.Errorf("%d accounts have batches under way after all have ended; one was received: %v", n, received)
	}
}
