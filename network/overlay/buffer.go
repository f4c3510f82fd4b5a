package overlay

import (
	"sync"
	"sync/atomic"
)

const (
	smallChunk = 4 << 10  // the first of an empty buffer, for short messages
	largeChunk = 64 << 10 // all others

	maxUnacknowledged = 16 << 20 // bytes that one socket keeps
	maxPeerChunks     = 64 << 20 // bytes that the sockets of one peer keep beyond the first chunk of each
)

// A budget bounds and pools the memory of the buffers of one peer's sockets.
type budget struct {
	small, large sync.Pool
	taken        atomic.Int64 // bytes of chunks beyond the first of each buffer
	sockets      int          // guarded by Overlay.mu
}

// chunk returns an empty chunk of a size, or nil when the budget is used up.
// The first of a buffer is always granted: sockets are limited in number.
func (b *budget) chunk(size int, first bool) []byte {
	if !first && b.taken.Add(int64(size)) > maxPeerChunks {
		b.taken.Add(-int64(size))
		return nil
	}
	pool := &b.large
	if size == smallChunk {
		pool = &b.small
	}
	if c, ok := pool.Get().(*[]byte); ok {
		return (*c)[:0]
	}
	return make([]byte, 0, size)
}

func (b *budget) release(c []byte, first bool) {
	if !first {
		b.taken.Add(-int64(cap(c)))
	}
	if cap(c) == smallChunk {
		b.small.Put(&c)
	} else {
		b.large.Put(&c)
	}
}

// A buffer keeps the bytes from base on, until they are acknowledged. Its
// memory follows what it holds.
type buffer struct {
	budget *budget
	chunks [][]byte // the first of them counts as the first for the budget
	base   uint64   // number of chunks[0][0]
	end    uint64   // number of the byte that is appended next
}

// append copies as much of p as there is room for in one chunk, a new one if
// need be, and returns how much that was.
func (b *buffer) append(p []byte) int {
	last := len(b.chunks) - 1
	if last < 0 || len(b.chunks[last]) == cap(b.chunks[last]) {
		size := largeChunk
		if last < 0 && len(p) <= smallChunk {
			size = smallChunk
		}
		c := b.budget.chunk(size, last < 0)
		if c == nil {
			return 0
		}
		b.chunks = append(b.chunks, c)
		last++
	}
	c := b.chunks[last]
	n := copy(c[len(c):cap(c)], p)
	b.chunks[last] = c[:len(c)+n]
	b.end += uint64(n)
	return n
}

// from returns bytes from number at on, up to the end of their chunk; at is at
// least base.
func (b *buffer) from(at uint64) []byte {
	start := b.base
	for _, c := range b.chunks {
		if at < start+uint64(len(c)) {
			return c[at-start:]
		}
		start += uint64(len(c))
	}
	return nil
}

// dropBefore forgets the bytes before number at.
func (b *buffer) dropBefore(at uint64) {
	for len(b.chunks) > 0 {
		c := b.chunks[0]
		if at < b.base+uint64(len(c)) {
			return
		}
		b.base += uint64(len(c))
		b.chunks[0] = nil
		b.chunks = b.chunks[1:]
		// Which chunk is the free one does not matter as long as the sizes
		// that were taken are given back: the next becomes the first.
		if len(b.chunks) > 0 {
			b.budget.release(c, true)
			b.budget.taken.Add(-int64(cap(b.chunks[0])))
		} else {
			b.budget.release(c, true)
			b.chunks = nil
		}
	}
	b.base = b.end
}

// dropFrom forgets the bytes from number at on, which follow with new
// contents.
func (b *buffer) dropFrom(at uint64) {
	for b.end > at {
		last := len(b.chunks) - 1
		c := b.chunks[last]
		n := min(uint64(len(c)), b.end-at)
		b.chunks[last] = c[:uint64(len(c))-n]
		b.end -= n
		if len(b.chunks[last]) == 0 {
			b.budget.release(c, last == 0)
			b.chunks = b.chunks[:last]
		}
	}
}
