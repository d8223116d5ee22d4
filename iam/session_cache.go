package iam

import (
	"container/list"
	"crypto/sha256"
	"sync"
)

const (
	maxOpened      = 16384    // sessions
	maxOpenedBytes = 64 << 20 // that they take, about

	// What a session takes in memory, besides its token and its inline policy: the credential, the compiled spans of a policy
	// and the last caller; and for each byte of a policy what is compiled of it. Estimates, on the high side.
	sessionOverhead = 2 << 10
	policyOverhead  = 16
)

type tokenHash [sha256.Size]byte

func hashToken(token string) tokenHash { return sha256.Sum256([]byte(token)) }

// sessionCache keeps the sessions that were used last. It is safe for concurrent use; the zero value is empty.
type sessionCache struct {
	mu     sync.Mutex
	byHash map[tokenHash]*list.Element // :: hash of the token → element of order
	order  list.List                   // of *openedSession, the one used last in front
	bytes  int
}

type openedSession struct {
	hash       tokenHash
	credential *Credential
}

// get returns what add was given for a token; nil if it is not there.
func (c *sessionCache) get(hash tokenHash) *Credential {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byHash[hash]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*openedSession).credential
}

// add keeps a session and returns it, or the one that another call has added for the same token.
func (c *sessionCache) add(hash tokenHash, credential *Credential) *Credential {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byHash[hash]; e != nil {
		c.order.MoveToFront(e)
		return e.Value.(*openedSession).credential
	}
	if c.byHash == nil {
		c.byHash = map[tokenHash]*list.Element{}
	}
	c.byHash[hash] = c.order.PushFront(&openedSession{hash, credential})
	c.bytes += credential.session.size
	for len(c.byHash) > maxOpened || c.bytes > maxOpenedBytes {
		last := c.order.Back()
		gone := c.order.Remove(last).(*openedSession)
		delete(c.byHash, gone.hash)
		c.bytes -= gone.credential.session.size
	}
	return credential
}
