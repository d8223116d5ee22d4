package clients

import (
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// client is a row of the table: a client and how its cases went. Its methods may be called concurrently.
type client struct {
	name, version string

	mu                      sync.Mutex
	passed, failed, skipped int
	reason                  string // of the first case that was skipped
}

var rows struct {
	mu   sync.Mutex
	list []*client
}

// newClient adds a row to the table.
func newClient(t *testing.T, name, version string) *client {
	t.Helper()
	c := &client{name: name, version: version}
	rows.mu.Lock()
	defer rows.mu.Unlock()
	rows.list = append(rows.list, c)
	return c
}

// run runs a case and counts it.
func (c *client) run(t *testing.T, name string, test func(t *testing.T)) bool {
	t.Helper()
	return t.Run(name, func(t *testing.T) {
		t.Cleanup(func() { c.count(t) })
		test(t)
	})
}

func (c *client) count(t *testing.T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case t.Failed():
		c.failed++
	case t.Skipped():
		c.skipped++
	default:
		c.passed++
	}
}

// skip says aloud that the client, or a part of it, is not tested, and why.
func (c *client) skip(t *testing.T, format string, args ...any) {
	t.Helper()
	c.mu.Lock()
	if c.reason == "" {
		c.reason = fmt.Sprintf(format, args...)
	}
	c.mu.Unlock()
	t.Skipf("SKIPPED: "+format, args...)
}

// printTable prints the table and reports whether a case passed or failed at all.
func printTable(w io.Writer) bool {
	rows.mu.Lock()
	defer rows.mu.Unlock()
	any := false
	fmt.Fprintf(w, "\n%-46s %-22s %6s %7s %7s  %s\n", "client", "version", "cases", "passed", "failed", "")
	for _, c := range rows.list {
		c.mu.Lock()
		note := ""
		if c.reason != "" {
			note = "SKIPPED: " + c.reason
		}
		fmt.Fprintf(w, "%-46s %-22s %6d %7d %7d  %s\n", c.name, c.version, c.passed+c.failed+c.skipped, c.passed, c.failed, note)
		any = any || c.passed+c.failed > 0
		c.mu.Unlock()
	}
	return any
}

// sourceOf is the file that a function of another module is in.
func sourceOf(function any) string {
	file, _ := runtime.FuncForPC(reflect.ValueOf(function).Pointer()).FileLine(0)
	return file
}

// versionOf is the version of the module that a function is of, which is in the path of its source.
func versionOf(function any) string {
	_, after, ok := strings.Cut(sourceOf(function), "@")
	if !ok {
		return "unknown"
	}
	version, _, _ := strings.Cut(after, "/")
	return version
}
