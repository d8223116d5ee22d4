// Package logtest keeps what a program under test logs, so that the test can read it while the program runs. It is for tests only.
//
// Trust: none is needed.
package logtest

import (
	"bytes"
	"sync"
)

// Buffer keeps what is written to it. The zero value is empty and ready for use. Its methods may be called concurrently.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write keeps a copy of p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is all that was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
