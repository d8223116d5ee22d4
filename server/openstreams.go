package server

import (
	"sync"

	"google.golang.org/grpc/codes"
)

// streamsAtOnce is how many streams of items an account has open. Each holds up to some 10 MiB, for as long as it is open.
const streamsAtOnce = 64

var errStreams = &failure{
	code: codes.ResourceExhausted, reason: reasonThrottling, class: "Streams",
	message: "the account has 64 streams open: send more items on each, or try again when one has ended",
}

// openStreams counts the streams of accounts. Its zero value is ready for use.
type openStreams struct {
	mu       sync.Mutex
	accounts map[string]int
}

// enter counts a stream until leave is called, or refuses it.
func (o *openStreams) enter(account string) (leave func(), err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.accounts[account] >= streamsAtOnce {
		return nil, errStreams
	}
	if o.accounts == nil {
		o.accounts = map[string]int{}
	}
	o.accounts[account]++
	return func() { o.left(account) }, nil
}

func (o *openStreams) left(account string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.accounts[account]--; o.accounts[account] == 0 {
		delete(o.accounts, account)
	}
}
