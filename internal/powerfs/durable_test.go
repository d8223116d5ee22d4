package powerfs_test

import (
	"bytes"
	"io/fs"
	"os"
	"testing"

	"github.com/kmsd/kmsd/internal/durable"
	"github.com/kmsd/kmsd/internal/powerfs"
)

// The power goes at every step of writing a file: it holds the old content or the new one, whole, and the new one if that was acknowledged.
func TestPowerLossWriteFile(t *testing.T) {
	// One round in eight stops between the rename and the sync, and one in three of those keeps the rename: that none of the rounds does
	// has a probability of (2/3)^(rounds/8), 2e-9.
	const rounds = 400
	before, after := bytes.Repeat([]byte("old "), 300), bytes.Repeat([]byte("new "), 700)
	for _, row := range []struct {
		name  string
		write func(string, []byte, fs.FileMode) error
		old   []byte // nil: no file
	}{
		{"WriteFile over a file", durable.WriteFile, before},
		{"WriteFile of a new file", durable.WriteFile, nil},
		{"CreateFile", durable.CreateFile, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			rng := random(t)
			acknowledged, kept := 0, 0
			for round := range rounds {
				d := disk{t, powerfs.Mount(t, powerfs.Options{Seed: rng.Uint64()})}
				if row.old != nil {
					d.must(os.WriteFile(d.path("f"), row.old, 0o600))
					d.fs.Sync()
				}
				off := d.fs.PowerOffAfter(round % 8)
				err := row.write(d.path("f"), after, 0o600)
				if err != nil && !isOff(off) {
					t.Fatal(err)
				}
				if _, err := d.fs.PowerCut(); err != nil {
					t.Fatal(err)
				}
				got, readErr := os.ReadFile(d.path("f")) // nil if it is missing
				switch {
				case err == nil && !bytes.Equal(got, after):
					t.Fatalf("round %d: acknowledged, and there is %.20q (%d bytes), %v", round, got, len(got), readErr)
				case bytes.Equal(got, after):
					kept++
				case !bytes.Equal(got, row.old):
					t.Fatalf("round %d: there is %.20q (%d bytes), neither the old nor the new content", round, got, len(got))
				}
				if err == nil {
					acknowledged++
				}
			}
			if acknowledged == 0 || kept <= acknowledged || kept == rounds {
				t.Errorf("%d acknowledged and %d kept of %d: nothing was tested", acknowledged, kept, rounds)
			}
		})
	}
}
