package content

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// Verify reads a file again, from wherever it is, and returns how many blocks
// are missing then, those that were found wrong among them. Where hashes on
// disk are damaged and the whole file is here, they are made again. Progress,
// if not nil, is called with the bytes done so far, one call at a time.
func (s *Store) Verify(ctx context.Context, root Root, size int64, progress func(int64)) (missing int, err error) {
	f, err := s.File(ctx, root, size)
	if err != nil {
		return 0, fmt.Errorf("verify: %w", err)
	}
	defer f.Close()
	known, err := f.allHashes()
	if err == nil && !known {
		err = f.restore(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("verify: %w", s.explain(err))
	}
	v := &verifier{f: f, progress: progress}
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), f.blocks) {
		workers.Go(func() { v.work(ctx) })
	}
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return f.blocks - f.Have(), nil
}

// A verifier is a Verify that is under way.
type verifier struct {
	f    *File
	next atomic.Int64 // run that no worker has taken

	mu       sync.Mutex
	done     int64
	progress func(int64)
}

func (v *verifier) work(ctx context.Context) {
	const run = stride / BlockSize
	buf := make([]byte, BlockSize)
	for ctx.Err() == nil {
		first := int(v.next.Add(1)-1) * run
		if first >= v.f.blocks {
			return
		}
		last := min(first+run, v.f.blocks) - 1
		for block := first; block <= last; block++ {
			v.f.reread(block, buf[:blockLength(v.f.size, block)])
		}
		v.advance(int64(last-first)*BlockSize + int64(blockLength(v.f.size, last)))
	}
}

func (v *verifier) advance(n int64) {
	if v.progress == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.done += n
	v.progress(v.done)
}

// reread reads a block as if it had not been read before.
func (f *File) reread(block int, p []byte) {
	if f.open() != nil {
		return
	}
	defer f.use.RUnlock()
	f.mu.Lock()
	f.seen.Clear(block)
	f.mu.Unlock()
	f.read(block, p)
}

// restore makes the tree again out of a file that has all bytes, if there is one.
func (f *File) restore(ctx context.Context) error {
	if err := f.open(); err != nil {
		return err
	}
	var sources []string
	f.mu.Lock()
	if f.tree.file == nil || f.written.Count() == f.blocks {
		sources = append(sources, f.path(dataSuffix))
	}
	for _, r := range f.references {
		sources = append(sources, r.Path)
	}
	f.mu.Unlock()
	f.use.RUnlock()
	for _, path := range sources {
		sum, err := sumPath(ctx, path, f.size)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && sum.Root == f.root {
			return f.rebuild(sum.Leaves, path == f.path(dataSuffix))
		}
	}
	return nil
}

func sumPath(ctx context.Context, path string, size int64) (Summary, error) {
	file, err := openShared(path)
	if err != nil {
		return Summary{}, err
	}
	defer file.Close()
	return Sum(ctx, file, size, 0, false, nil)
}

// rebuild stores the tree above leaves, and notes that the store's file is
// whole iff own.
func (f *File) rebuild(leaves []Root, own bool) error {
	f.use.Lock()
	defer f.use.Unlock()
	if err := f.load(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.setLeaves(leaves); err != nil {
		return err
	}
	defer f.closeAll() // to be loaded again as it is then
	if own {
		f.written.fill(f.blocks)
	}
	return f.saveBitmaps()
}
