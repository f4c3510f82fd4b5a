package content

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"kith.alt/kith"
)

// ErrNoHashes says that a block cannot be checked yet: its hash is to be handed to
// [File.SetHashes] first.
var ErrNoHashes = fmt.Errorf("the hash of the block is not known yet: %w", kith.Temporary)

const (
	syncEvery = 4096 // blocks that are written before the disk is waited for: 64 MiB
	syncAtEnd = 64   // blocks that are worth waiting for when the file is put aside
	diskBlock = 4096 // bytes in which file systems count
)

// key names a file. A root alone does not, as a false size may come with it.
type key struct {
	root Root
	size int64
}

// A File is one file of a [Store], in whole or in part. It is safe for concurrent
// use. Whoever got it from the store closes it.
type File struct {
	key
	shape
	store *Store

	users     int  // guarded by store.mu
	condemned bool // guarded by store.mu: goes with its last user
	touched   atomic.Bool

	use    sync.RWMutex // held for reading while descriptors are used
	loaded bool         // guarded by use

	mu         sync.Mutex // guards what follows
	known      bool       // have was counted once
	count      int        // blocks in have
	tree       treeFile
	data       *os.File // nil while no block is written
	references []reference
	person     *person // the reference that is in use
	have       Bitmap  // written, or in the person's file
	written    Bitmap
	durable    Bitmap
	seen       Bitmap   // read or written, and right, since they were loaded
	proved     Bitmap   // groups of leaves whose path leads up to the root
	unsynced   int      // blocks that are written and not durable
	claims     *os.File // hashes of blocks that are claimed; nil where none is
	claimed    Bitmap   // as claims
	claimCount int
	saving     bool
	warned     bool // that blocks are wrong, since they were loaded
}

func newFile(s *Store, k key) *File {
	f := &File{key: k, store: s, shape: shapeOf(Blocks(k.size))}
	f.tree.shape = f.shape
	return f
}

// Root names the file.
func (f *File) Root() Root { return f.root }

// Size returns the bytes that the whole file has.
func (f *File) Size() int64 { return f.size }

// Blocks returns the blocks that the whole file has.
func (f *File) Blocks() int { return f.blocks }

// Have returns how many blocks are here. It is 0 when the disk cannot be read.
func (f *File) Have() int {
	f.mu.Lock()
	known, count := f.known, f.count
	f.mu.Unlock()
	if known || f.open() != nil {
		return count
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Has reports whether a block is here, as far as is known: see [File.ReadBlock].
func (f *File) Has(block int) bool {
	if block < 0 || block >= f.blocks || f.open() != nil {
		return false
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.have.Has(block)
}

// Bitmap returns a bit for each block that is here. The caller may keep it.
func (f *File) Bitmap() Bitmap {
	b := NewBitmap(f.blocks)
	if f.blocks == 0 || f.open() != nil {
		return b
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	copy(b, f.have)
	return b
}

// ReadBlock reads a block into p, which has room for it, and returns its
// length. What it returns is right: a block that is found wrong counts as
// missing from then on. It fails with kind NotFound when the block is missing.
func (f *File) ReadBlock(block int, p []byte) (int, error) {
	if block < 0 || block >= f.blocks || len(p) < blockLength(f.size, block) {
		return 0, fmt.Errorf("read block %d of %d into %d bytes: %w", block, f.blocks, len(p), kith.Invalid)
	}
	if err := f.open(); err != nil {
		return 0, fmt.Errorf("read block: %w", err)
	}
	defer f.use.RUnlock()
	p = p[:blockLength(f.size, block)]
	if !f.read(block, p) {
		return 0, fmt.Errorf("block %d of %s is not here: %w", block, f.root, kith.NotFound)
	}
	f.store.metrics.read.Add(uint64(len(p)))
	return len(p), nil
}

// read reads a block from where it is, and reports whether p has it. The caller
// holds f.use.
func (f *File) read(block int, p []byte) bool {
	for {
		f.mu.Lock()
		if !f.have.Has(block) {
			f.mu.Unlock()
			return false
		}
		own, seen, data, person := f.written.Has(block), f.seen.Has(block), f.data, f.person
		var leaf Root
		known := false
		if !seen {
			leaf, known = f.leaf(block)
		}
		f.mu.Unlock()

		right := func(file *os.File) bool {
			_, err := file.ReadAt(p, int64(block)*BlockSize)
			return err == nil && (seen || known && sha256.Sum256(p) == leaf)
		}
		switch {
		case own && right(data):
			f.mu.Lock()
			f.seen.Set(block)
			f.mu.Unlock()
			return true
		case own:
			f.lose(block)
		case person == nil:
			return false
		case right(person.file):
			return true
		case !f.doubt(person, block):
			return false
		}
	}
}

// lose notes that a block that was written is wrong on disk.
func (f *File) lose(block int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.written.Has(block) {
		return
	}
	if !f.durable.Has(block) {
		f.unsynced--
	}
	f.written.Clear(block)
	f.durable.Clear(block)
	f.seen.Clear(block)
	f.miss(block, f.path(dataSuffix))
	if f.person != nil { // it may have it
		f.have.Set(block)
		f.count++
	}
	if err := errors.Join(f.tree.saveBitmap(durableBits, f.durable, block/8, block/8),
		f.tree.saveBitmap(writtenBits, f.written, block/8, block/8)); err != nil {
		f.store.log.Error("bitmap not saved", "root", f.root, "err", err)
	}
}

// miss takes a block out of have that was found wrong at path. The caller holds f.mu.
func (f *File) miss(block int, path string) {
	f.store.metrics.wrong.Add(1)
	if !f.warned {
		f.store.log.Warn("blocks on disk are wrong and count as missing", "root", f.root, "path", path, "first", block)
		f.warned = true
	}
	if f.have.Has(block) {
		f.have.Clear(block)
		f.count--
	}
}

// WriteBlock keeps a block, which is checked first. It fails with kind Invalid
// when the block is wrong, with [ErrNoHashes], and with kind Quota when the
// disk is full; then nothing has changed.
func (f *File) WriteBlock(block int, p []byte) error {
	if block < 0 || block >= f.blocks || len(p) != blockLength(f.size, block) {
		return fmt.Errorf("block %d with %d bytes, of %d blocks and %d bytes: %w", block, len(p), f.blocks, f.size, kith.Invalid)
	}
	hash := Root(sha256.Sum256(p))
	if err := f.open(); err != nil {
		return fmt.Errorf("write block: %w", err)
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	data, err := f.accept(block, hash)
	f.mu.Unlock()
	if data == nil || err != nil {
		return err
	}
	if _, err := data.WriteAt(p, int64(block)*BlockSize); err != nil {
		return fmt.Errorf("write block: %w", f.store.explain(err))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.written.Has(block) { // somebody else was faster
		return nil
	}
	f.written.Set(block)
	if err := f.tree.saveBitmap(writtenBits, f.written, block/8, block/8); err != nil {
		f.written.Clear(block)
		return fmt.Errorf("write block: %w", f.store.explain(err))
	}
	f.seen.Set(block)
	if !f.have.Has(block) {
		f.have.Set(block)
		f.count++
	}
	f.store.metrics.written.Add(uint64(len(p)))
	f.store.usage.Add(onDisk(len(p)))
	f.unsynced++
	if (f.unsynced >= f.store.syncEvery || f.count == f.blocks && f.unsynced >= syncAtEnd) && !f.saving {
		f.saving = true
		f.store.work.Go(f.saveSoon)
	}
	return nil
}

// accept checks the hash of a block, and returns the descriptor to write it to, or
// nil when it is here. The caller holds f.mu.
func (f *File) accept(block int, hash Root) (*os.File, error) {
	leaf, known := f.leaf(block)
	if !known {
		return nil, ErrNoHashes
	}
	if leaf != hash {
		f.store.metrics.refused.Add(1)
		return nil, fmt.Errorf("block %d is not of the file %s: %w", block, f.root, kith.Invalid)
	}
	if f.have.Has(block) {
		return nil, nil
	}
	if err := f.makeData(); err != nil {
		return nil, fmt.Errorf("write block: %w", f.store.explain(err))
	}
	return f.data, nil
}

// makeData makes the tree and the file of blocks on disk, if they are missing. The
// caller holds f.mu.
func (f *File) makeData() error {
	if err := f.make(); err != nil || f.data != nil {
		return err
	}
	data, err := createIn(f.path(dataSuffix), 0)
	if err != nil {
		return err
	}
	makeSparse(data)
	if err := data.Truncate(f.size); err != nil {
		data.Close()
		return err
	}
	f.data = data
	return nil
}

// make makes the tree on disk, if it is missing. The caller holds f.mu.
func (f *File) make() error {
	if f.tree.file != nil {
		return nil
	}
	return f.tree.create(f.path(treeSuffix), f.root, f.size)
}

func (f *File) path(suffix string) string { return f.store.path(f.key, suffix) }

// saveSoon syncs in the background.
func (f *File) saveSoon() {
	f.use.RLock()
	defer f.use.RUnlock()
	var err error
	if f.loaded {
		err = f.sync()
	}
	f.mu.Lock()
	f.saving = false
	f.mu.Unlock()
	if err != nil {
		f.store.log.Error("blocks did not reach the disk; they are checked again at the next start", "root", f.root, "err", err)
	}
}

// sync waits until all blocks have reached the disk, and notes that they have. The
// caller holds f.use.
func (f *File) sync() error {
	f.mu.Lock()
	if f.unsynced == 0 {
		f.mu.Unlock()
		return nil
	}
	before := append(Bitmap(nil), f.written...)
	data, tree := f.data, f.tree.file
	f.mu.Unlock()
	if err := errors.Join(data.Sync(), tree.Sync()); err != nil {
		return f.store.explain(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	first, last := -1, -1
	for i := range before {
		if now := before[i] & f.written[i]; now != f.durable[i] {
			f.durable[i] = now
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	f.unsynced = f.written.without(f.durable)
	if first < 0 {
		return nil
	}
	return f.store.explain(f.tree.saveBitmap(durableBits, f.durable, first, last))
}

// Close ends one use of the file.
func (f *File) Close() error {
	s := f.store
	s.mu.Lock()
	f.users--
	last := f.users == 0
	s.mu.Unlock()
	if !last {
		return nil
	}
	f.use.Lock()
	defer f.use.Unlock()
	err := f.drop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(f)
	return err
}

// open returns with f.use held for reading and the state loaded, or fails.
func (f *File) open() error {
	for {
		f.use.RLock()
		if f.loaded {
			f.touched.Store(true)
			return nil
		}
		f.use.RUnlock()
		f.use.Lock()
		err := f.load()
		f.use.Unlock()
		if err != nil {
			return err
		}
		f.store.admit(f)
	}
}

// load reads the state from disk, if it is not in memory. The caller holds
// f.use for writing.
func (f *File) load() (err error) {
	if f.loaded {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() {
		if err != nil {
			f.closeAll()
		}
	}()
	switch err := f.tree.open(f.path(treeSuffix), f.root, f.size); {
	case errors.Is(err, errDamaged):
		f.store.log.Warn("a side file is damaged and is made again", "root", f.root)
		if err := os.Remove(f.path(treeSuffix)); err != nil {
			return err
		}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if f.written, err = f.tree.bitmap(writtenBits); err != nil {
		return err
	}
	if f.durable, err = f.tree.bitmap(durableBits); err != nil {
		return err
	}
	f.seen, f.proved = NewBitmap(f.blocks), NewBitmap(f.groups())
	if err := f.openData(); err != nil {
		return err
	}
	f.references = f.loadReferences()
	f.openPerson()
	f.recount()
	if err := f.loadClaims(); err != nil {
		return err
	}
	f.loaded = true
	return nil
}

// openData opens the file of the blocks that are written, and hashes those
// again of which it is not certain that they reached the disk.
func (f *File) openData() error {
	written := f.written.Count()
	if written == 0 {
		f.unsynced = 0
		return nil
	}
	data, err := os.OpenFile(f.path(dataSuffix), os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was moved to its person
		clear(f.written)
		clear(f.durable)
		f.unsynced = 0
		return f.saveBitmaps()
	case err != nil:
		return err
	}
	f.data = data
	info, err := data.Stat()
	if err != nil {
		return err
	}
	if info.Size() != f.size {
		clear(f.durable)
		if err := data.Truncate(f.size); err != nil {
			return err
		}
	}
	buf := make([]byte, BlockSize)
	for block := range f.blocks {
		if !f.written.Has(block) || f.durable.Has(block) {
			continue
		}
		p := buf[:blockLength(f.size, block)]
		leaf, known := f.leaf(block)
		if _, err := data.ReadAt(p, int64(block)*BlockSize); err == nil && known && sha256.Sum256(p) == leaf {
			f.seen.Set(block)
		} else {
			f.written.Clear(block)
		}
	}
	f.unsynced = f.written.without(f.durable)
	if lost := written - f.written.Count(); lost > 0 {
		f.store.log.Warn("blocks did not reach the disk before the last stop", "root", f.root, "blocks", lost)
		return f.saveBitmaps()
	}
	return nil
}

func (f *File) saveBitmaps() error {
	last := len(f.written) - 1
	return errors.Join(f.tree.saveBitmap(durableBits, f.durable, 0, last), f.tree.saveBitmap(writtenBits, f.written, 0, last))
}

// recount works out which blocks are here. The caller holds f.mu.
func (f *File) recount() {
	f.have = append(f.have[:0], f.written...)
	if f.person != nil {
		f.have.fill(f.blocks)
	}
	f.count, f.known = f.have.Count(), true
}

// drop saves the state and takes it out of memory. The caller holds f.use for
// writing.
func (f *File) drop() error {
	if !f.loaded {
		return nil
	}
	f.mu.Lock()
	late := f.unsynced >= syncAtEnd
	f.mu.Unlock()
	var err error
	if late {
		err = f.sync()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(err, f.closeAll())
}

// closeAll closes descriptors and forgets bitmaps. The caller holds f.mu.
func (f *File) closeAll() error {
	f.loaded, f.warned = false, false
	f.have, f.written, f.durable, f.seen, f.proved = nil, nil, nil, nil, nil
	err := f.tree.close()
	if f.data != nil {
		err = errors.Join(err, f.data.Close())
		f.data = nil
	}
	if f.claims != nil {
		err = errors.Join(err, f.claims.Close())
		f.claims, f.claimed, f.claimCount = nil, nil, 0
	}
	f.closePerson()
	f.references = nil
	return err
}
