package content

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"kith.alt/kith"
)

// stride is how many bytes of a file are read at once: a multiple of BlockSize.
const stride = 256 << 10

// A Summary is what there is to know of a file's bytes.
type Summary struct {
	Root   Root
	Size   int64
	Leaves []Root     // SHA-256 of each block
	Pieces [][20]byte // SHA-1 of each piece, where they were asked for
}

// Sum reads the size bytes of r once, with as many cores as there are. Where
// pieceLength, a multiple of BlockSize, is not 0, it also returns the SHA-1 of
// each piece, for the last one as if zeros filled it iff pad. The cores share
// the pieces, or runs of 256 KiB where there are none. Progress, if not nil, is
// called with the bytes read so far, one call at a time.
//
// It fails with kind Temporary when r ends early, as a file that is being
// changed does.
func Sum(ctx context.Context, r io.ReaderAt, size int64, pieceLength int, pad bool, progress func(int64)) (Summary, error) {
	if size < 0 || size > MaxSize || pieceLength < 0 || pieceLength%BlockSize != 0 {
		return Summary{}, fmt.Errorf("sum of %d bytes in pieces of %d: %w", size, pieceLength, kith.Invalid)
	}
	sum := Summary{Size: size, Leaves: make([]Root, Blocks(size))}
	run := int64(stride)
	if pieceLength > 0 {
		run = int64(pieceLength)
		sum.Pieces = make([][20]byte, (size+run-1)/run)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &summer{ctx: ctx, r: r, sum: &sum, run: run, pad: pad, progress: progress}
	var workers sync.WaitGroup
	for range min(int64(runtime.GOMAXPROCS(0)), (size+run-1)/run) {
		workers.Go(func() {
			if err := s.work(); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return Summary{}, err
	}
	sum.Root = rootOf(sum.Leaves)
	return sum, nil
}

// A summer is a Sum that is under way.
type summer struct {
	ctx  context.Context
	r    io.ReaderAt
	sum  *Summary
	run  int64
	pad  bool
	next atomic.Int64 // run that no worker has taken

	mu       sync.Mutex
	done     int64
	progress func(int64)
}

// work sums one run after the other, until there is none left.
func (s *summer) work() error {
	buf := make([]byte, stride)
	piece := sha1.New()
	for {
		n := s.next.Add(1) - 1
		if n*s.run >= s.sum.Size {
			return nil
		}
		piece.Reset()
		if err := s.sumRun(n, buf, piece); err != nil {
			return err
		}
		if s.sum.Pieces != nil {
			piece.Sum(s.sum.Pieces[n][:0])
		}
	}
}

func (s *summer) sumRun(n int64, buf []byte, piece hash.Hash) error {
	end := min((n+1)*s.run, s.sum.Size)
	for at := n * s.run; at < end; at += int64(len(buf)) {
		if s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
		buf = buf[:min(stride, end-at)]
		if n, err := s.r.ReadAt(buf, at); n == len(buf) {
			// An error of the end of the file is none of ours.
		} else if errors.Is(err, io.EOF) {
			return fmt.Errorf("the file ends before its %d bytes, as if it were being changed: %w", s.sum.Size, kith.Temporary)
		} else {
			return err
		}
		first := int(at / BlockSize)
		for i := 0; i*BlockSize < len(buf); i++ {
			s.sum.Leaves[first+i] = sha256.Sum256(buf[i*BlockSize : min((i+1)*BlockSize, len(buf))])
		}
		if s.sum.Pieces != nil {
			piece.Write(buf)
		}
		s.advance(len(buf))
	}
	if s.pad && s.sum.Pieces != nil {
		for missing := (n+1)*s.run - end; missing > 0; missing -= int64(len(buf)) {
			buf = buf[:min(stride, missing)]
			clear(buf)
			piece.Write(buf)
		}
	}
	return nil
}

func (s *summer) advance(n int) {
	if s.progress == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done += int64(n)
	s.progress(s.done)
}
