package keystore_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/kmsd/kmsd/internal/kmstest"
	"github.com/kmsd/kmsd/keystore"
	"github.com/kmsd/kmsd/storage"
)

// TestPopulate puts KMSD_BENCH_KEYS keys into the data folder KMSD_POPULATE, which kmsd init made: it is a step of bench/keys.
func TestPopulate(t *testing.T) {
	dir := os.Getenv("KMSD_POPULATE")
	if dir == "" {
		t.Skip("not asked for by bench/keys")
	}
	n, err := strconv.Atoi(os.Getenv("KMSD_BENCH_KEYS"))
	if err != nil {
		t.Fatal(err)
	}
	k := kmstest.New(t, &kmstest.Options{Dir: dir})
	const most = 200_000 // in one transaction
	for done := 0; done < n; done += most {
		k.Rewrite(func(tx *storage.Tx) error { return keystore.PutKeys(tx, done, min(n, done+most)) })
	}
}
