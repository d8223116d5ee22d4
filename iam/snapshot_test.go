package iam

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestUsersPages(t *testing.T) {
	w := newWorld(t)
	w.fill(1234)
	w.mustUser("AAA")
	w.mustUser("zzz")
	var all []string
	after := ""
	for {
		page, more := w.Snapshot().Users(testAccount, after, 100)
		for _, u := range page {
			all = append(all, u.Name)
		}
		if !more {
			break
		}
		after = all[len(all)-1]
	}
	if len(all) != 1236 || all[0] != "AAA" || all[1235] != "zzz" || !slices.IsSortedFunc(all, func(a, b string) int { return strings.Compare(fold(a), fold(b)) }) {
		t.Errorf("%d users from %q to %q, want 1236 in order", len(all), all[0], all[len(all)-1])
	}
	if page, more := w.Snapshot().Users(testAccount, "", 5000); len(page) != MaxUsersPage || !more {
		t.Errorf("a page of 5000 has %d users, more %v, want %d, true", len(page), more, MaxUsersPage)
	}
	for _, limit := range []int{0, -1} {
		if page, more := w.Snapshot().Users(testAccount, "", limit); len(page) != 0 || more {
			t.Errorf("a page of %d has %d users, more %v, want none", limit, len(page), more)
		}
	}
	if page, more := w.Snapshot().Users("999999999999", "", 10); len(page) != 0 || more {
		t.Errorf("another account has %d users", len(page))
	}
}

func TestMaxUsers(t *testing.T) {
	w := newWorld(t)
	i, err := Open(Config{Store: w.store, MaxUsers: 2})
	if err != nil {
		t.Fatal(err)
	}
	w.IAM = i
	w.mustUser("a")
	w.mustUser("b")
	if _, err := w.createUser("c", "/"); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("a third user = %v, want %v", err, ErrLimitExceeded)
	}
}

func BenchmarkOpen10000Users(b *testing.B) {
	w := newWorld(b)
	w.fill(10_000)
	for b.Loop() {
		if _, err := Open(Config{Store: w.store}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAccessKey(b *testing.B) {
	w := newWorld(b)
	w.fill(10_000)
	ids := slices.Collect(maps.Keys(maps.Collect(w.Snapshot().accessKeys.All())))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if _, ok := w.Snapshot().AccessKey(ids[n%len(ids)]); !ok {
			b.Fatal("not found")
		}
	}
}

func BenchmarkSigningKey(b *testing.B) {
	w := newWorld(b)
	c, _ := w.Snapshot().AccessKey(w.root.ID)
	b.ReportAllocs()
	for b.Loop() {
		if c.SigningKey("20261123", "local", Service).Date() == "" {
			b.Fatal("no key")
		}
	}
}

func BenchmarkCreateUserAmong10000(b *testing.B) {
	w := newWorld(b)
	w.fill(10_000)
	i, err := Open(Config{Store: w.store, MaxUsers: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	w.IAM = i
	n := 0
	for b.Loop() {
		n++
		w.mustUser(fmt.Sprintf("bench-%d", n))
	}
}
