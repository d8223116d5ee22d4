package server

import (
	"context"
	"sync"
)

// batchesAtOnce is how many batches of an account are under way. A batch and its answer, with what they are decoded into and the events of the items, take some
// 20 MiB; one for each call that a client may make at a time would fill the memory. The others wait, and nothing is received of them meanwhile.
const batchesAtOnce = 16

// batchTurns lets batches wait for those of the same account. Its zero value is ready for use.
type batchTurns struct {
	mu       sync.Mutex
	accounts map[string]*accountBatches
}

type accountBatches struct {
	turns chan struct{} // has one for each batch that is under way
	calls int           // that are under way or wait
}

// enter waits until the account has few enough batches under way, or until ctx ends. The turn ends when leave is called.
func (b *batchTurns) enter(ctx context.Context, account string) (leave func(), err error) {
	of := b.of(account)
	select {
	case of.turns <- struct{}{}:
		return func() {
			<-of.turns
			b.left(account, of)
		}, nil
	case <-ctx.Done():
		b.left(account, of)
		return nil, ctx.Err()
	}
}

func (b *batchTurns) of(account string) *accountBatches {
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.accounts[account]
	if of == nil {
		if b.accounts == nil {
			b.accounts = map[string]*accountBatches{}
		}
		of = &accountBatches{turns: make(chan struct{}, batchesAtOnce)}
		b.accounts[account] = of
	}
	of.calls++
	return of
}

func (b *batchTurns) left(account string, of *accountBatches) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if of.calls--; of.calls == 0 {
		delete(b.accounts, account)
	}
}
