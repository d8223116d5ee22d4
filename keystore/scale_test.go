package keystore

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/storage"
)

// benchKeys is how many keys the benchmarks of scale have: KMSD_BENCH_KEYS, or 10,000.
func benchKeys(b *testing.B) int {
	n, err := strconv.Atoi(os.Getenv("KMSD_BENCH_KEYS"))
	if err != nil {
		return 10_000
	}
	b.Logf("%d keys", n)
	return n
}

// keysPerAccount leaves room for the keys that a benchmark makes.
const keysPerAccount = MaxKeysPerAccount - 1000

// populate puts n keys of accounts of keysPerAccount each into the store, past all checks.
func (f *fixture) populate(n int) {
	f.t.Helper()
	policy := f.policy(DefaultPolicy("aws", testAccount))
	for done := 0; done < n; done += 10_000 {
		if err := f.store.Update(func(tx *storage.Tx) error { return putKeys(tx, policy, done, min(n, done+10_000)) }); err != nil {
			f.t.Fatal(err)
		}
	}
}

// putKeys puts the keys from up to to of those accounts.
func putKeys(tx *storage.Tx, policy *Policy, from, to int) error {
	now := time.Now()
	for i := from; i < to; i++ {
		account := strconv.Itoa(111122223333 + i/keysPerAccount)
		k := place.newKey(account, crypto.NewKeyID(), now, crypto.SpecSymmetricDefault, crypto.UsageEncryptDecrypt, OriginKMS)
		k.setPolicy(policy, now)
		k.setVersion(newVersion(k, Creation, now, crypto.RandomSecret(32)))
		if err := errors.Join(putKey(tx, k), putMaterial(tx, k, k.current)); err != nil {
			return err
		}
	}
	return nil
}

// PutKeys is putKeys for a kmsd of the account 111122223333, whose keys have the default policy.
func PutKeys(tx *storage.Tx, from, to int) error {
	policy, err := CompilePolicy(DefaultPolicy("aws", "111122223333"), func(string) (string, bool) { return "", false })
	if err != nil {
		return err
	}
	return putKeys(tx, policy, from, to)
}

// cpuTime is what the process has used of all processors, which does not depend on what else runs.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkOpenKeys is what it takes until a store of KMSD_BENCH_KEYS keys serves: storage.Open, and Open. It reports the memory that is held too.
func BenchmarkOpenKeys(b *testing.B) {
	n := benchKeys(b)
	f := newFixture(b)
	f.populate(n)
	f.Keystore = nil
	before := heap()
	b.Run("open", func(b *testing.B) { benchmarkOpen(b, f, n, before) })
	k, _ := f.Snapshot().Keys(testAccount, crypto.KeyID{}, 1)
	b.Run("use", func(b *testing.B) { benchmarkUse(b, f, k[0]) })
	b.Run("publish", func(b *testing.B) {
		for b.Loop() {
			f.Snapshot().withKey(k[0])
		}
	})
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			f.Snapshot().Keys(testAccount, k[0].ID, 100)
		}
	})
}

func benchmarkOpen(b *testing.B, f *fixture, n int, before uint64) {
	var inStorage time.Duration
	cpu := cpuTime(b)
	for b.Loop() {
		if err := f.store.Close(); err != nil {
			b.Fatal(err)
		}
		f.Keystore = nil
		begin := time.Now()
		var err error
		if f.store, err = storage.Open(f.cfg); err != nil {
			b.Fatal(err)
		}
		inStorage += time.Since(begin)
		f.open()
	}
	b.ReportMetric(float64(inStorage.Milliseconds())/float64(b.N), "storage-ms/op")
	b.ReportMetric(float64((cpuTime(b)-cpu).Milliseconds())/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(heap()-before)/float64(n), "B/key")
}

func benchmarkUse(b *testing.B, f *fixture, k *Key) {
	g := f.onKey(authz.KMSEncrypt, k)
	for b.Loop() {
		k, _ := f.Snapshot().Key(k.ID)
		if _, err := k.Use(g); err != nil {
			b.Fatal(err)
		}
	}
}
