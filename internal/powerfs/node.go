package powerfs

import (
	"context"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// maxSize is the largest file, in bytes.
const maxSize = 1 << 30

// node is a file or a folder.
type node interface {
	fs.InodeEmbedder
	fs.NodeGetattrer
	// settle makes durable what is there. FS.mu is held.
	settle()
}

var (
	_ node = (*file)(nil)
	_ node = (*folder)(nil)

	_ fs.NodeOpener    = (*file)(nil)
	_ fs.NodeReader    = (*file)(nil)
	_ fs.NodeWriter    = (*file)(nil)
	_ fs.NodeSetattrer = (*file)(nil)
	_ fs.NodeAllocater = (*file)(nil)
	_ fs.NodeFsyncer   = (*file)(nil)

	_ fs.NodeOnAdder   = (*folder)(nil)
	_ fs.NodeCreater   = (*folder)(nil)
	_ fs.NodeMkdirer   = (*folder)(nil)
	_ fs.NodeLinker    = (*folder)(nil)
	_ fs.NodeUnlinker  = (*folder)(nil)
	_ fs.NodeRmdirer   = (*folder)(nil)
	_ fs.NodeRenamer   = (*folder)(nil)
	_ fs.NodeSetattrer = (*folder)(nil)
	_ fs.NodeFsyncer   = (*folder)(nil)
)

// sync is fsync and fdatasync of n.
func (f *FS) sync(n node) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.step(); e != fs.OK {
		return e
	}
	if !f.ignore {
		n.settle()
	}
	return fs.OK
}

// file is a regular file. FS.mu guards its fields.
type file struct {
	fs.Inode
	fs       *FS
	modified time.Time
	mode     uint32
	data     []byte

	durableMode uint32
	durable     []byte
	changes     []change // since the last sync
}

func newFile(f *FS, mode uint32) *file {
	return &file{fs: f, mode: mode & 0o7777, durableMode: mode & 0o7777, modified: time.Now()}
}

func (f *file) settle() {
	f.durableMode = f.mode
	f.durable = replay(f.durable, f.changes, len(f.changes), func() bool { return true })
	f.changes = nil
}

func (f *file) attr(a *fuse.Attr) {
	a.Mode, a.Size, a.Nlink = fuse.S_IFREG|f.mode, uint64(len(f.data)), 1 // names are not counted
	a.SetTimes(nil, &f.modified, &f.modified)
}

// Getattr is stat(2).
func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.attr(&out.Attr)
	return fs.OK
}

// Open is open(2) of a file that exists.
func (f *file) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if flags&unix.O_TRUNC != 0 {
		if e := f.truncateLocked(0); e != fs.OK {
			return nil, 0, e
		}
	}
	return nil, fuse.FOPEN_KEEP_CACHE, fs.OK
}

// Read is pread(2). The kernel answers most reads from its cache.
func (f *file) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= int64(len(f.data)) {
		return fuse.ReadResultData(nil), fs.OK
	}
	return fuse.ReadResultData(dest[:copy(dest, f.data[off:])]), fs.OK
}

// Write is pwrite(2).
func (f *file) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off+int64(len(data)) > maxSize {
		return 0, syscall.EFBIG
	}
	if e := f.fs.step(); e != fs.OK {
		return 0, e
	}
	f.data = put(f.data, data, int(off))
	f.modified = time.Now()
	f.changes = append(f.changes, written(f.data, int(off), len(data)))
	return uint32(len(data)), fs.OK
}

func (f *file) truncateLocked(size uint64) syscall.Errno {
	if size > maxSize {
		return syscall.EFBIG
	}
	if e := f.fs.step(); e != fs.OK {
		return e
	}
	f.data = resize(f.data, int(size))
	f.modified = time.Now()
	f.changes = append(f.changes, change{size: int(size)})
	return fs.OK
}

// Setattr is truncate(2) and chmod(2). Owners and times are not kept.
func (f *file) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		if e := f.truncateLocked(size); e != fs.OK {
			return e
		}
	}
	if mode, ok := in.GetMode(); ok {
		if e := f.fs.step(); e != fs.OK {
			return e
		}
		f.mode = mode
	}
	f.attr(&out.Attr)
	return fs.OK
}

// Allocate is fallocate(2), of which only reserving room is there, and does nothing.
func (f *file) Allocate(_ context.Context, _ fs.FileHandle, _, _ uint64, mode uint32) syscall.Errno {
	if mode != unix.FALLOC_FL_KEEP_SIZE {
		return syscall.EOPNOTSUPP
	}
	return fs.OK
}

// Fsync is fsync(2) and fdatasync(2).
func (f *file) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno { return f.fs.sync(f) }

// folder is a directory. FS.mu guards its fields. What the kernel sees are the children of its Inode, which are the same as entries.
type folder struct {
	fs.Inode
	fs      *FS
	mode    uint32
	entries map[string]node

	durableMode uint32
	durable     map[string]node
	moves       []move // since the last sync
}

func newFolder(f *FS, mode uint32) *folder {
	mode &= 0o7777
	return &folder{fs: f, mode: mode, durableMode: mode, entries: map[string]node{}, durable: map[string]node{}}
}

func (d *folder) settle() {
	d.durableMode = d.mode
	for _, m := range d.moves {
		m.do(d.durable)
	}
	d.moves = nil
}

func (d *folder) attr(a *fuse.Attr) { a.Mode, a.Nlink = fuse.S_IFDIR|d.mode, 2 }

// OnAdd shows the kernel what survived a cut.
func (d *folder) OnAdd(ctx context.Context) {
	for name, n := range d.entries {
		d.AddChild(name, d.inode(ctx, n), true)
	}
}

func (d *folder) inode(ctx context.Context, n node) *fs.Inode {
	mode := uint32(fuse.S_IFREG)
	if _, ok := n.(*folder); ok {
		mode = fuse.S_IFDIR
	}
	return d.NewPersistentInode(ctx, n, fs.StableAttr{Mode: mode})
}

// changeLocked makes a change of the entries.
func (d *folder) changeLocked(m move) syscall.Errno {
	if e := d.fs.step(); e != fs.OK {
		return e
	}
	m.do(d.entries)
	d.moves = append(d.moves, m)
	return fs.OK
}

// Getattr is stat(2).
func (d *folder) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	d.attr(&out.Attr)
	return fs.OK
}

// Setattr is chmod(2).
func (d *folder) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if mode, ok := in.GetMode(); ok {
		if e := d.fs.step(); e != fs.OK {
			return e
		}
		d.mode = mode
	}
	d.attr(&out.Attr)
	return fs.OK
}

// Create is open(2) of a file that does not exist.
func (d *folder) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	f := newFile(d.fs, mode)
	if e := d.changeLocked(move{to: name, node: f}); e != fs.OK {
		return nil, nil, 0, e
	}
	f.attr(&out.Attr)
	return d.inode(ctx, f), nil, fuse.FOPEN_KEEP_CACHE, fs.OK
}

// Mkdir is mkdir(2).
func (d *folder) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	made := newFolder(d.fs, mode)
	if e := d.changeLocked(move{to: name, node: made}); e != fs.OK {
		return nil, e
	}
	made.attr(&out.Attr)
	return d.inode(ctx, made), fs.OK
}

// Link is link(2).
func (d *folder) Link(_ context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	f, ok := target.(*file)
	if !ok {
		return nil, syscall.EPERM
	}
	if e := d.changeLocked(move{to: name, node: f}); e != fs.OK {
		return nil, e
	}
	f.attr(&out.Attr)
	return f.EmbeddedInode(), fs.OK
}

// Unlink is unlink(2).
func (d *folder) Unlink(_ context.Context, name string) syscall.Errno {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	return d.changeLocked(move{from: name})
}

// Rmdir is rmdir(2).
func (d *folder) Rmdir(_ context.Context, name string) syscall.Errno {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if full(d.entries[name]) {
		return syscall.ENOTEMPTY
	}
	return d.changeLocked(move{from: name})
}

// full reports whether n is a folder that holds something.
func full(n node) bool {
	d, ok := n.(*folder)
	return ok && len(d.entries) > 0
}

// Rename is renameat2(2) within one folder.
func (d *folder) Rename(_ context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	there, exists := d.entries[newName]
	switch {
	case parent.EmbeddedInode() != d.EmbeddedInode():
		return syscall.EXDEV
	case flags&^unix.RENAME_NOREPLACE != 0:
		return syscall.EINVAL
	case exists && flags == unix.RENAME_NOREPLACE:
		return syscall.EEXIST
	case full(there):
		return syscall.ENOTEMPTY
	}
	return d.changeLocked(move{from: name, to: newName, node: d.entries[name]})
}

// Fsync is fsync(2).
func (d *folder) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno { return d.fs.sync(d) }
