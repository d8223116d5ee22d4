package powerfs_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmsd/kmsd/internal/powerfs"
	"golang.org/x/sys/unix"
)

// A disk is a mounted file system and what the rows of tables do on it.
type disk struct {
	t  *testing.T
	fs *powerfs.FS
}

func (d disk) path(name string) string { return filepath.Join(d.fs.Dir(), name) }

func (d disk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// write puts text into the file at off and makes it if need be.
func (d disk) write(name, text string, off int64) {
	d.t.Helper()
	f, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE, 0o600)
	d.must(err)
	_, err = f.WriteAt([]byte(text), off)
	d.must(errors.Join(err, f.Close()))
}

func (d disk) sync(names ...string) {
	d.t.Helper()
	for _, name := range names {
		f, err := os.Open(d.path(name))
		d.must(err)
		d.must(errors.Join(f.Sync(), f.Close()))
	}
}

func (d disk) rename(from, to string) { d.t.Helper(); d.must(os.Rename(d.path(from), d.path(to))) }

// tree lists what is there: "name=content" of files, "name/" of folders.
func (d disk) tree() string {
	d.t.Helper()
	var all []string
	d.must(filepath.WalkDir(d.fs.Dir(), func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == d.fs.Dir() {
			return err
		}
		name, _ := filepath.Rel(d.fs.Dir(), p)
		if e.IsDir() {
			all = append(all, name+"/")
			return nil
		}
		b, err := os.ReadFile(p)
		all = append(all, name+"="+string(b))
		return err
	}))
	return strings.Join(all, " ")
}

// What may be there after a cut is there sometimes, and nothing else ever is.
func TestWhatAPowerCutLeaves(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(disk)
		want []string
	}{
		{"a file that was not synced may be there, empty or whole, or not", func(d disk) { d.write("f", "a", 0) }, []string{"", "f=", "f=a", "f=\x00"}},
		{"a file whose folder was not synced may be missing", func(d disk) { d.write("f", "a", 0); d.sync("f") }, []string{"", "f=a"}},
		{"a folder's sync does not sync the file", func(d disk) { d.write("f", "a", 0); d.sync(".") }, []string{"f=", "f=a", "f=\x00"}},
		{"what was synced is there", func(d disk) { d.write("f", "a", 0); d.sync("f", ".") }, []string{"f=a"}},
		{
			"a sector has what one of the writes made it",
			func(d disk) { d.write("f", "a", 0); d.sync("f", "."); d.write("f", "b", 0); d.write("f", "c", 0) },
			[]string{"f=a", "f=b", "f=c"},
		},
		{
			"a rename without a sync of the folder takes place or not",
			func(d disk) { d.write("f", "a", 0); d.sync("f", "."); d.rename("f", "g") },
			[]string{"f=a", "g=a"},
		},
		{
			"a rename over a file leaves one of the two",
			func(d disk) {
				d.write("f", "a", 0)
				d.write("g", "b", 0)
				d.sync("f", "g", ".")
				d.rename("f", "g")
			},
			[]string{"f=a g=b", "g=a"},
		},
		{
			"renaming before the sync of the file may give an empty file",
			func(d disk) { d.write("f", "a", 0); d.rename("f", "g"); d.sync(".") },
			[]string{"g=", "g=a", "g=\x00"},
		},
		{
			"changes of a folder come in order",
			func(d disk) {
				d.must(os.Mkdir(d.path("x"), 0o700))
				d.must(os.Mkdir(d.path("y"), 0o700))
				d.must(os.Remove(d.path("x")))
			},
			[]string{"", "x/", "x/ y/", "y/"},
		},
		{
			"a folder is durable when its parent is synced, what is in it when it is",
			func(d disk) { d.must(os.Mkdir(d.path("x"), 0o700)); d.write("x/f", "a", 0); d.sync("x/f", ".") },
			[]string{"x/", "x/ x/f=a"},
		},
		{
			"a removal without a sync takes place or not",
			func(d disk) { d.write("f", "a", 0); d.sync("f", "."); d.must(os.Remove(d.path("f"))) },
			[]string{"f=a", ""},
		},
		{
			"a truncation without a sync takes place or not",
			func(d disk) { d.write("f", "abc", 0); d.sync("f", "."); d.must(os.Truncate(d.path("f"), 1)) },
			[]string{"f=abc", "f=a"},
		},
		{
			"a link is another name of the same file",
			func(d disk) { d.write("f", "a", 0); d.must(os.Link(d.path("f"), d.path("g"))); d.sync("f", ".") },
			[]string{"f=a g=a"},
		},
		{
			"room that was reserved does not show",
			func(d disk) {
				f, err := os.Create(d.path("f"))
				d.must(err)
				d.must(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20))
				d.must(errors.Join(f.Sync(), f.Close()))
				d.sync(".")
			},
			[]string{"f="},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			seen := map[string]int{}
			for _, w := range row.want {
				seen[w] = 0
			}
			for seed := range uint64(40) {
				d := disk{t, powerfs.Mount(t, powerfs.Options{Seed: seed})}
				row.do(d)
				if _, err := d.fs.PowerCut(); err != nil {
					t.Fatal(err)
				}
				got := d.tree()
				if _, ok := seen[got]; !ok {
					t.Fatalf("seed %d: there is %q, want one of %q", seed, got, row.want)
				}
				seen[got]++
			}
			for state, n := range seen {
				if n == 0 {
					t.Errorf("%q never came about", state)
				}
			}
		})
	}
}

// Sectors of one write survive or not each for itself.
func TestAWriteIsTornBetweenSectors(t *testing.T) {
	const sectors = 8
	before, after := bytes.Repeat([]byte("a"), powerfs.Sector), bytes.Repeat([]byte("b"), powerfs.Sector)
	torn := false
	for seed := range uint64(20) {
		d := disk{t, powerfs.Mount(t, powerfs.Options{Seed: seed})}
		d.write("f", string(bytes.Repeat(before, sectors)), 0)
		d.sync("f", ".")
		d.write("f", string(bytes.Repeat(after, sectors)), 0)
		loss, err := d.fs.PowerCut()
		d.must(err)
		b, err := os.ReadFile(d.path("f"))
		d.must(err)
		kept := 0
		for at := 0; at < len(b); at += powerfs.Sector {
			switch s := b[at : at+powerfs.Sector]; {
			case bytes.Equal(s, after):
				kept++
			case !bytes.Equal(s, before):
				t.Fatalf("seed %d: sector %d is neither old nor new", seed, at/powerfs.Sector)
			}
		}
		if len(b) != sectors*powerfs.Sector || loss.Sectors != sectors || loss.SectorsLost != sectors-kept {
			t.Errorf("seed %d: %d bytes, %d sectors kept and %+v, want %d sectors in all", seed, len(b), kept, loss, sectors)
		}
		torn = torn || kept > 0 && kept < sectors
	}
	if !torn {
		t.Error("no write was torn")
	}
}

func TestIgnoreSync(t *testing.T) {
	lost := 0
	for seed := range uint64(20) {
		d := disk{t, powerfs.Mount(t, powerfs.Options{Seed: seed, IgnoreSync: true})}
		d.write("f", "a", 0)
		d.sync("f", ".")
		d.fs.Sync() // this one is not ignored
		d.write("f", "b", 0)
		d.sync("f", ".")
		_, err := d.fs.PowerCut()
		d.must(err)
		switch got := d.tree(); got {
		case "f=a":
			lost++
		case "f=b":
		default:
			t.Fatalf("seed %d: there is %q, want f=a or f=b", seed, got)
		}
	}
	if lost == 0 || lost == 20 {
		t.Errorf("%d of 20 writes lost, want some", lost)
	}
}

func TestPowerOffAfter(t *testing.T) {
	d := disk{t, powerfs.Mount(t, powerfs.Options{})}
	d.write("f", "a", 0)
	steps := d.fs.Steps()
	off := d.fs.PowerOffAfter(3)
	d.write("f", "b", 0)
	d.sync("f", ".")
	select {
	case <-off:
		t.Error("the power went off too early")
	default:
	}
	if got := d.fs.Steps() - steps; got != 3 {
		t.Errorf("a write and two syncs are %d steps, want 3", got)
	}
	f, err := os.OpenFile(d.path("f"), os.O_WRONLY, 0)
	d.must(err)
	if _, err := f.WriteAt([]byte("c"), 0); !errors.Is(err, unix.EIO) {
		t.Errorf("Write without power = %v, want EIO", err)
	}
	<-off
	if err := f.Sync(); !errors.Is(err, unix.EIO) {
		t.Errorf("Sync without power = %v, want EIO", err)
	}
	d.must(f.Close())
	if err := os.Remove(d.path("f")); !errors.Is(err, unix.EIO) {
		t.Errorf("Remove without power = %v, want EIO", err)
	}
	_, err = d.fs.PowerCut()
	d.must(err)
	if got := d.tree(); got != "f=b" {
		t.Errorf("after the cut there is %q, want f=b", got)
	}
	d.write("f", "d", 0) // the power is on again
}

func TestRefuses(t *testing.T) {
	d := disk{t, powerfs.Mount(t, powerfs.Options{})}
	for _, dir := range []string{"x", "x/full", "y"} {
		d.must(os.Mkdir(d.path(dir), 0o700))
	}
	d.write("f", "a", 0)
	d.write("g", "b", 0)
	for _, row := range []struct {
		name string
		err  error
		want error
	}{
		{"renaming to another folder", os.Rename(d.path("f"), d.path("x/f")), unix.EXDEV},
		{"exchanging names", unix.Renameat2(unix.AT_FDCWD, d.path("f"), unix.AT_FDCWD, d.path("g"), unix.RENAME_EXCHANGE), unix.EINVAL},
		{"renaming over a file with RENAME_NOREPLACE", unix.Renameat2(unix.AT_FDCWD, d.path("f"), unix.AT_FDCWD, d.path("g"), unix.RENAME_NOREPLACE), unix.EEXIST},
		{"renaming over a folder that is not empty", unix.Rename(d.path("y"), d.path("x")), unix.ENOTEMPTY},
		{"removing a folder that is not empty", unix.Rmdir(d.path("x")), unix.ENOTEMPTY},
		{"a file beyond the largest size", os.Truncate(d.path("f"), 1<<31), unix.EFBIG},
	} {
		if !errors.Is(row.err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, row.err, row.want)
		}
	}
	if got := d.tree(); got != "f=a g=b x/ x/full/ y/" {
		t.Errorf("afterwards there is %q", got)
	}
}
