package overlay

import (
	"sync"
	"sync/atomic"
)

const (
	smallChunk = 4 << 10  // the first of an empty buffer, for short messages
	largeChunk = 64 << 10 // all others

	maxUnacknowledged = 16 << 20  // bytes that one socket keeps on a long path,
	minUnacknowledged = 2 << 20   // on a short one, where they stay in the processor's cache,
	suspendedLimit    = 256 << 10 // and without a path
	maxPeerBytes      = 64 << 20  // memory for what the sockets of one peer keep, beside one chunk each
)

// A budget bounds and pools the memory of the buffers of one peer's sockets.
type budget struct {
	small, large sync.Pool
	taken        atomic.Int64 // bytes of all chunks
	sockets      int          // guarded by Overlay.mu
	closed       int          // of them, those that linger; guarded by Overlay.mu
}

// chunk returns an empty chunk, or nil when there is no room for it. A buffer
// that has none yet always gets one while there is a path: sockets are limited
// in number.
func (b *budget) chunk(size int, first, suspended bool) []byte {
	limit := int64(maxPeerBytes)
	if suspended {
		limit = maxSuspendedBytes
	}
	if b.taken.Add(int64(size)) > limit && (suspended || !first) {
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

// release gives a chunk back, to be used again unless somebody still reads it.
func (b *budget) release(c []byte, reuse bool) {
	b.taken.Add(-int64(cap(c)))
	switch {
	case !reuse:
	case cap(c) == smallChunk:
		b.small.Put(&c)
	default:
		b.large.Put(&c)
	}
}

// A buffer keeps the bytes from base on, until they are acknowledged. Its
// memory follows what it holds.
type buffer struct {
	budget *budget
	chunks [][]byte
	lent   bool   // a stream is being handed a chunk: none is used again that is dropped meanwhile
	base   uint64 // number of chunks[0][0]
	end    uint64 // number of the byte that is appended next
}

// append copies as much of p as there is room for in one chunk, a new one if
// need be, and returns how much that was.
func (b *buffer) append(p []byte, suspended bool) int {
	last := len(b.chunks) - 1
	if last < 0 || len(b.chunks[last]) == cap(b.chunks[last]) {
		size := largeChunk
		if last < 0 && len(p) <= smallChunk {
			size = smallChunk
		}
		c := b.budget.chunk(size, last < 0, suspended)
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
		b.budget.release(c, !b.lent)
	}
	b.chunks = nil
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
			b.budget.release(c, !b.lent)
			b.chunks = b.chunks[:last]
		}
	}
}

// memory returns the bytes that the buffer takes.
func (b *buffer) memory() int {
	n := 0
	for _, c := range b.chunks {
		n += cap(c)
	}
	return n
}
