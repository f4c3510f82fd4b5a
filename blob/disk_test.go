package blob

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
)

var (
	errDisk  = errors.New("input/output error")
	errPower = errors.New("the power is off")
)

// A testDisk is an [FS] in memory that forgets what was not synced when its power is
// cut, and can have one call fail. A sync that fails drops what it was to
// write: the next one succeeds without it, as that of Linux may.
type testDisk struct {
	t testing.TB

	mu      sync.Mutex
	now     names // what programs see
	durable names // what a power cut leaves
	lost    names // dropped by a sync that failed
	open    map[*inode]int

	calls  int   // made so far
	failAt int   // the call that fails
	with   error // errPower: so do all after it
}

// names are files and directories by path.
type names map[string]*inode

type inode struct {
	dir  bool
	data []byte
	disk []byte // what a power cut leaves of it
}

func newTestDisk(t testing.TB) *testDisk {
	return &testDisk{t: t, now: make(names), durable: make(names), lost: make(names), open: make(map[*inode]int)}
}

// call counts a call, and fails when its turn has come.
func (d *testDisk) call() error {
	d.calls++
	if d.failAt > 0 && (d.calls == d.failAt || d.dead()) {
		return d.with
	}
	return nil
}

func (d *testDisk) dead() bool { return d.with == errPower && d.calls >= d.failAt }

// cut returns the disk as it is after a power cut. Names may have reached the disk
// without a sync; the bytes of files never do.
func (d *testDisk) cut(names bool) *testDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := newTestDisk(d.t)
	from := d.durable
	if names {
		from = d.now
	}
	for path, node := range from {
		if parent := filepath.Dir(path); parent != "." && from[parent] == nil {
			continue // with its directory
		}
		node := &inode{dir: node.dir, data: bytes.Clone(node.disk), disk: node.disk}
		left.now[path], left.durable[path] = node, node
	}
	return left
}

func (d *testDisk) MakeDir(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call(); err != nil {
		return err
	}
	if d.now[path] == nil {
		d.now[path] = &inode{dir: true}
	}
	return nil
}

func (d *testDisk) ReadDir(path string) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call(); err != nil {
		return nil, err
	}
	view := make(fstest.MapFS)
	for path, node := range d.now {
		file := &fstest.MapFile{Data: node.data}
		if node.dir {
			file.Mode = fs.ModeDir
		}
		view[filepath.ToSlash(path)] = file
	}
	return fs.ReadDir(view, filepath.ToSlash(path))
}

func (d *testDisk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.call()
	if errors.Is(err, errPower) {
		return err
	}
	for path, node := range d.now {
		switch {
		case filepath.Dir(path) != dir || d.durable[path] == node || d.lost[path] == node:
		case err != nil:
			d.lost[path] = node
		default:
			d.durable[path] = node
		}
	}
	for path := range d.durable {
		if filepath.Dir(path) == dir && d.now[path] == nil && err == nil {
			delete(d.durable, path)
		}
	}
	return err
}

func (d *testDisk) Create(path string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call(); err != nil {
		return nil, err
	}
	if d.now[path] != nil {
		return nil, fs.ErrExist
	}
	if d.now[filepath.Dir(path)] == nil {
		return nil, fs.ErrNotExist
	}
	node := new(inode)
	d.now[path] = node
	d.open[node]++
	return &testFile{disk: d, inode: node}, nil
}

func (d *testDisk) Open(path string) (io.ReadSeekCloser, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call(); err != nil {
		return nil, err
	}
	node := d.now[path]
	if node == nil {
		return nil, fs.ErrNotExist
	}
	d.open[node]++
	return &testFile{disk: d, inode: node, Reader: bytes.NewReader(node.data)}, nil
}

func (d *testDisk) Size(path string) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call(); err != nil {
		return 0, err
	}
	if node := d.now[path]; node != nil {
		return int64(len(node.data)), nil
	}
	return 0, fs.ErrNotExist
}

func (d *testDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call(); err != nil {
		return err
	}
	node := d.now[from]
	if node == nil || d.now[filepath.Dir(to)] == nil {
		return fs.ErrNotExist
	}
	if d.open[node] > 0 || d.now[to] != nil && d.open[d.now[to]] > 0 {
		d.t.Errorf("rename of %s, which is open", from)
	}
	delete(d.now, from)
	d.now[to] = node
	return nil
}

func (d *testDisk) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call(); err != nil {
		return err
	}
	node := d.now[path]
	if node == nil {
		return fs.ErrNotExist
	}
	if d.open[node] > 0 {
		d.t.Errorf("removal of %s, which is open", path)
	}
	delete(d.now, path)
	return nil
}

// files returns the files that are there.
func (d *testDisk) files() (list []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, node := range d.now {
		if !node.dir {
			list = append(list, path)
		}
	}
	return list
}

// A testFile is written, or read with its Reader.
type testFile struct {
	*bytes.Reader
	disk *testDisk
	*inode
	closed bool
}

func (f *testFile) Write(p []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.call(); err != nil {
		f.data = append(f.data, p[:len(p)/2]...)
		return len(p) / 2, err
	}
	f.data = append(f.data, p...)
	return len(p), nil
}

func (f *testFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.call(); err != nil {
		return err
	}
	f.inode.disk = bytes.Clone(f.data)
	return nil
}

func (f *testFile) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	f.disk.open[f.inode]--
	return f.disk.call()
}
