package iam

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/internal/cow"
)

// crowd puts n users with an access key each into the snapshot of w, to whom a managed policy is attached and who are in a group. They are
// in no store.
func (w *world) crowd(n int) (p Policy, g Group) {
	w.t.Helper()
	p, g = w.mustPolicy("shared", testPolicy), w.mustGroup("all")
	s := *w.Snapshot()
	principals, keys := maps.Collect(s.principals.All()), maps.Collect(s.accessKeys.All())
	d := *s.directory(testAccount)
	for i := range n {
		name := fmt.Sprintf("user-%06d", i)
		u := &principal{userState: userState{
			User:      User{Account: testAccount, ID: newUserID(), Name: name, Path: "/", ARN: s.NewUserARN(testAccount, "/", name)},
			policySet: policySet{attached: []string{p.ID}}, groups: []string{g.ID}, keys: []accessKey{newAccessKey(&s)},
		}}
		u.complete(s.region)
		principals[u.ID] = u
		keys[u.credentials[0].ID] = u.credentials[0]
		d.users = append(d.users, named{fold(name), u.ID})
	}
	s.principals, s.accessKeys = cow.Collect(maps.All(principals)), cow.Collect(maps.All(keys))
	s.directories = s.directories.With(testAccount, &d)
	w.IAM.snapshot.Store(&s)
	return p, g
}

const crowd = 100_000

// BenchmarkCaller is a look-up of an access key and of its caller, of which there are 100,000, after each has called once.
func BenchmarkCaller(b *testing.B) {
	w := newWorld(b)
	w.crowd(crowd)
	s := w.Snapshot()
	creds := slices.Collect(maps.Values(maps.Collect(s.accessKeys.All())))
	for _, c := range creds {
		if _, err := s.Caller(c); err != nil {
			b.Fatal(err)
		}
	}
	for _, row := range []struct {
		name string
		of   int
	}{{"one", 1}, {"of-100000", len(creds)}} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				if _, err := s.Caller(creds[n%row.of]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFirstCaller is making a caller, as after a change of a policy that others share.
func BenchmarkFirstCaller(b *testing.B) {
	w := newWorld(b)
	w.crowd(1)
	s := w.Snapshot()
	p, _ := s.principal(testAccount, "user-000000")
	b.ReportAllocs()
	for b.Loop() {
		if m := s.makeUser(p); m.err != nil {
			b.Fatal(m.err)
		}
	}
}

// BenchmarkPublishPolicy is a change of a managed policy that 100,000 users have: what it costs besides the commit, with the first call after it.
func BenchmarkPublishPolicy(b *testing.B) {
	w := newWorld(b)
	p, _ := w.crowd(crowd)
	published := w.Snapshot()
	m, _ := published.policy(p.ARN)
	compiled, err := parseManaged(p.ARN, allowing("kms:Decrypt"))
	if err != nil {
		b.Fatal(err)
	}
	u, _ := published.principal(testAccount, "user-000007")
	b.ReportAllocs()
	for b.Loop() {
		next := *published
		changed := m.clone()
		changed.compiled = compiled
		next.setPolicy(m, changed)
		if next.shared == published.shared {
			b.Fatal("no new epoch")
		}
		next.generation++
		next.epoch = next.generation
		w.IAM.snapshot.Store(&next)
		if c, err := w.Snapshot().userCaller(u.ID); err != nil || c.Identity[0] != compiled {
			b.Fatal("the change is not seen")
		}
	}
}

// BenchmarkChangePolicy is the same by the operation itself, commit included.
func BenchmarkChangePolicy(b *testing.B) {
	w := newWorld(b)
	p, _ := w.crowd(crowd)
	for b.Loop() {
		v, err := w.newVersion(p.ARN, testPolicy, true)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		var n int
		fmt.Sscanf(v.ID, "v%d", &n)
		err = w.DeletePolicyVersion(w.grant(authz.IAMDeletePolicyVersion, p.ARN), testAccount, p.ARN, versionID(n-1))
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// A change of a policy that 100,000 users have is published in 1 ms besides the commit, and each of them has it with its next call.
func TestPublishIsFast(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 100,000 users")
	}
	w := newWorld(t)
	p, g := w.crowd(crowd)
	users := w.Snapshot().directory(testAccount).users
	last := users[len(users)-1].id
	least := time.Hour
	for n := range 5 {
		w.must(w.putGroupPolicy(g.Name, "p", testPolicy)) // another epoch in between
		published := *w.Snapshot()
		m, _ := published.policy(p.ARN)
		compiled, err := parseManaged(p.ARN, allowing(fmt.Sprintf("kms:%d", n)))
		w.must(err)
		start := time.Now()
		next := published
		changed := m.clone()
		changed.compiled = compiled
		next.setPolicy(m, changed)
		next.generation++
		next.epoch = next.generation
		w.IAM.snapshot.Store(&next)
		least = min(least, time.Since(start))
		c, err := w.Snapshot().userCaller(last)
		if err != nil || c.Identity[0] != compiled {
			t.Fatal("the change is not seen by the next call")
		}
		w.IAM.snapshot.Store(&published)
	}
	if least > time.Millisecond {
		t.Errorf("publishing takes %v, want 1 ms at most", least)
	}
}
