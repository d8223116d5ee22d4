package powerfs_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/kmsd/kmsd/internal/powerfs"
	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
)

// initSteps returns how many changes and syncs an init takes.
func initSteps(t *testing.T) int {
	t.Helper()
	disk := powerfs.Mount(t, powerfs.Options{})
	initialize(t, disk)
	return disk.Steps()
}

// initialize runs daemon.Init in a process of its own and reports whether it succeeded.
func initialize(t *testing.T, disk *powerfs.FS) (succeeded bool, complaint string) {
	t.Helper()
	p := start(t, "kmsd-create", disk.Dir())
	_, succeeded = p.until(done)
	p.kill()
	return succeeded, p.complaint()
}

// initRound cuts the power after a number of steps of an init, and returns what is wrong then.
func initRound(t *testing.T, o powerfs.Options, steps int) error {
	t.Helper()
	disk := powerfs.Mount(t, o)
	off := disk.PowerOffAfter(steps)
	acknowledged, complaint := initialize(t, disk)
	if !acknowledged && !isOff(off) {
		t.Fatalf("init with power: %s", complaint)
	}
	if _, err := disk.PowerCut(); err != nil {
		t.Fatal(err)
	}
	_, err := os.Stat(dataFolder(disk.Dir()))
	switch {
	case err == nil:
		return works(t, disk)
	case !errors.Is(err, fs.ErrNotExist):
		t.Fatal(err)
	case acknowledged:
		return errors.New("init succeeded, and the folder is not there")
	}
	if ok, complaint := initialize(t, disk); !ok {
		return fmt.Errorf("init cannot be repeated: %s", complaint)
	}
	return works(t, disk)
}

// works starts a kmsd, and has the root user make a key.
func works(t *testing.T, disk *powerfs.FS) error {
	t.Helper()
	p := start(t, "kmsd", disk.Dir())
	defer p.kill()
	said, ok := p.until(opened)
	if !ok {
		p.kill()
		return fmt.Errorf("the folder is there and kmsd does not start: %s", p.complaint())
	}
	if err := p.proceed(); err != nil {
		return err
	}
	c, err := connect(disk.Dir(), said)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = c.Keys().CreateKey(ctx, &kmsv1.CreateKeyRequest{})
	return err
}

// The power goes while kmsd init makes a data folder: afterwards the folder is there whole, or not at all and init can be repeated; if init had
// ended, it is there.
func TestPowerLossInit(t *testing.T) {
	rng := random(t)
	rounds, total := crashRounds(t), initSteps(t)
	for round := range rounds {
		// Spread over all steps, and some beyond the last.
		steps := (total + 5) * round / rounds
		steps += rng.IntN((total+5)/rounds + 1)
		if err := initRound(t, powerfs.Options{Seed: rng.Uint64()}, steps); err != nil {
			t.Errorf("power cut after %d of %d steps of init: %v", steps, total, err)
		}
	}
	t.Logf("init: %d power cuts in the %d steps of an init", rounds, total)
}

func TestPowerLossInitTeeth(t *testing.T) {
	rng := random(t)
	for round := range teethRounds {
		if err := initRound(t, powerfs.Options{Seed: rng.Uint64(), IgnoreSync: true}, 1<<20); err != nil {
			t.Logf("init without sync: after %d power cuts: %v", round+1, err)
			return
		}
	}
	t.Errorf("init without sync: nothing lost in %d power cuts: the harness has no teeth", teethRounds)
}
