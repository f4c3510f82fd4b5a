package overlay

import "errors"

// A resumable is what one end of a socket knows of its bytes, whatever they
// ride on: which were written, sent, acknowledged and received. It is a state
// machine without locks, streams or clocks.
//
// Bytes are numbered from 0 in each direction; the end of writing counts as
// one more after the last. A position is the number of what is expected next.
type resumable struct {
	kept    buffer // written and not acknowledged
	acked   uint64 // position that the peer told
	sent    uint64 // position up to which the present stream has it
	offered uint64 // position up to which it may have it: what is being handed over counts
	ended   bool   // we write no more
	endOut  bool   // the present stream has the end, too
	lost    bool   // the peer reads no more: nothing is kept

	received uint64 // bytes that were read
	eof      bool   // and the end after them
	told     uint64 // position that was acknowledged last

	generation uint32 // of the stream; each attachment has a higher one than those before
}

var (
	errPosition   = errors.New("the peer acknowledges what was never sent")
	errGeneration = errors.New("a later stream carries the socket already")
)

// write keeps bytes that are to be sent, as many as there is room for, and
// returns how many. There is less room without a path.
func (r *resumable) write(p []byte, limit uint64, suspended bool) int {
	if suspended {
		limit = suspendedLimit
	}
	if used := r.outstanding(); used >= limit {
		return 0
	} else if uint64(len(p)) > limit-used {
		p = p[:limit-used]
	}
	written := 0
	for written < len(p) {
		n := r.kept.append(p[written:], suspended)
		if n == 0 {
			break
		}
		written += n
	}
	return written
}

// unsent returns bytes that the present stream does not have yet; none are
// left when it is empty.
func (r *resumable) unsent() []byte {
	if r.sent == r.kept.end {
		return nil
	}
	return r.kept.from(r.sent)
}

// offer says that the present stream is handed the next n bytes: from now on
// the peer may acknowledge them.
func (r *resumable) offer(n int) { r.offered = r.sent + uint64(n) }

// advance says that the present stream has taken the bytes before position,
// and no more of what it was offered. It fails when the peer has acknowledged
// more.
func (r *resumable) advance(position uint64) error {
	if r.lost {
		return nil
	}
	if r.acked > position {
		return errPosition
	}
	r.sent, r.offered = position, position
	return nil
}

// endDue reports whether the end of writing is to be sent now. It never
// follows bytes that were forgotten.
func (r *resumable) endDue() bool {
	return r.ended && !r.lost && !r.endOut && r.sent == r.kept.end
}

// takeBack forgets the bytes that were not sent: their Write says so.
func (r *resumable) takeBack() { r.kept.dropFrom(r.sent) }

// discard forgets all that was written, since the peer reads no more.
func (r *resumable) discard() {
	r.lost = true
	r.sent, r.offered, r.acked = r.kept.end, r.kept.end, r.kept.end
	r.kept.dropBefore(r.kept.end)
}

// delivered reports whether the peer has all that we will ever write.
func (r *resumable) delivered() bool {
	return r.lost || r.ended && r.acked == r.kept.end+1
}

// acknowledge takes the peer's position. Positions that it has passed are
// fine: acknowledgements on different streams overtake each other.
func (r *resumable) acknowledge(position uint64) error {
	limit := r.offered
	if r.endOut {
		limit = r.kept.end + 1
	}
	switch {
	case r.lost || position <= r.acked:
		return nil
	case position > limit:
		return errPosition
	}
	r.acked = position
	r.kept.dropBefore(min(position, r.kept.end))
	return nil
}

// outstanding returns how many bytes wait for an acknowledgement.
func (r *resumable) outstanding() uint64 { return r.kept.end - min(r.acked, r.kept.end) }

func (r *resumable) receive(n int) { r.received += uint64(n) }
func (r *resumable) receiveEnd()   { r.eof = true }

// position is what we expect next, and acknowledge.
func (r *resumable) position() uint64 {
	if r.eof {
		return r.received + 1
	}
	return r.received
}

// fence takes the generation of a new stream and refuses all up to it from
// then on.
func (r *resumable) fence(generation uint32) error {
	if generation <= r.generation {
		return errGeneration
	}
	r.generation = generation
	return nil
}

// rewind begins a new stream at the peer's position.
func (r *resumable) rewind(position uint64) error {
	if position < r.acked && !r.lost {
		return errPosition // it had more before
	}
	if err := r.acknowledge(position); err != nil {
		return err
	}
	r.endOut = position > r.kept.end
	if !r.lost {
		r.sent = min(position, r.kept.end)
		r.offered = r.sent
	}
	r.told = r.position()
	return nil
}
