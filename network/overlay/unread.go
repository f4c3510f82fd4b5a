package overlay

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
)

const (
	// maxUnread is how many bytes of a peer the TLS carriers to it hold
	// together for readers that do not read.
	maxUnread = 64 << 20

	frameHeader = 12   // bytes, of yamux
	frameData   = 0    // type of a frame
	frameSYN    = 1    // flag of the first frame of a stream
	maxNew      = 1024 // streams that yamux may hold for acceptStream, or has refused; more than it can hold
)

// unread keeps account of what the streams of a yamux session hold for their
// readers, since yamux grants every stream a window and keeps no account of
// all. It follows the frames as they arrive. Beyond maxUnread the stream whose
// reader has been away longest ends.
type unread struct {
	mu      sync.Mutex
	streams map[uint32]*unreadStream
	fresh   []uint32      // streams that the peer opened and that are not accepted yet, in order
	held    int64         // bytes of all
	shared  *atomic.Int64 // bytes of all carriers to the peer; nil: not known yet
	evict   func(stream)  // ends the socket on a stream

	header  [frameHeader]byte
	have    int    // bytes of header
	payload uint32 // bytes of the frame that are to come
	into    *unreadStream
}

type unreadStream struct {
	id     uint32
	stream *yamuxStream // nil until accepted
	held   int64
	read   time.Time // last
	ended  bool      // by us, since too much is unread
}

// limit sets the account of the peer, and what ends a socket.
func (u *unread) limit(shared *atomic.Int64, evict func(stream)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.streams == nil {
		return // the session has ended
	}
	u.shared, u.evict = shared, evict
	shared.Add(u.held)
}

// arrive follows the frames in what arrives.
func (u *unread) arrive(p []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(p) > 0 && u.streams != nil {
		if u.payload > 0 {
			n := min(uint32(len(p)), u.payload)
			u.payload -= n
			u.addLocked(int64(n))
			p = p[n:]
			continue
		}
		n := copy(u.header[u.have:], p)
		p = p[n:]
		if u.have += n; u.have < frameHeader {
			return
		}
		u.have = 0
		u.frameLocked()
	}
}

func (u *unread) frameLocked() {
	kind, flags := u.header[1], binary.BigEndian.Uint16(u.header[2:])
	id := binary.BigEndian.Uint32(u.header[4:])
	if kind > frameData+1 { // neither data nor a window's update
		return
	}
	if flags&frameSYN != 0 && u.streams[id] == nil {
		if len(u.fresh) == maxNew { // yamux has refused it long ago
			u.dropLocked(u.fresh[0])
			u.fresh = u.fresh[1:]
		}
		u.streams[id] = &unreadStream{id: id, read: time.Now()}
		u.fresh = append(u.fresh, id)
	}
	if kind == frameData {
		u.payload, u.into = binary.BigEndian.Uint32(u.header[8:]), u.streams[id]
	}
}

func (u *unread) addLocked(n int64) {
	s := u.into
	if s == nil || u.streams[s.id] != s { // yamux discards it
		return
	}
	s.held += n
	u.changeLocked(n)
	total := u.held
	if u.shared != nil {
		total = u.shared.Load()
	}
	if total > maxUnread {
		u.evictLocked()
	}
}

func (u *unread) changeLocked(n int64) {
	u.held += n
	if u.shared != nil {
		u.shared.Add(n)
	}
}

// evictLocked ends the stream whose reader has been away longest.
func (u *unread) evictLocked() {
	var last *unreadStream
	for _, s := range u.streams {
		if s.held > 0 && !s.ended && (last == nil || s.read.Before(last.read)) {
			last = s
		}
	}
	if last == nil {
		return
	}
	last.ended = true
	if last.stream != nil { // else when it is accepted
		u.endLocked(last.stream)
	}
}

func (u *unread) endLocked(st *yamuxStream) {
	if u.evict != nil {
		go u.evict(st) // takes Overlay.mu
	} else {
		go st.reset()
	}
}

// begin enters a stream that was opened or accepted.
func (u *unread) begin(st *yamuxStream, accepted bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	id := st.StreamID()
	if u.streams == nil {
		return
	}
	for accepted && len(u.fresh) > 0 { // they come in order: yamux has refused those before it
		first := u.fresh[0]
		u.fresh = u.fresh[1:]
		if first == id {
			break
		}
		u.dropLocked(first)
	}
	s := u.streams[id]
	if s == nil {
		s = &unreadStream{id: id, read: time.Now()}
		u.streams[id] = s
	}
	if s.stream = st; s.ended {
		u.endLocked(st)
	}
}

// take notes that n bytes of a stream were read.
func (u *unread) take(st *yamuxStream, n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s := u.streams[st.StreamID()]; s != nil {
		n := min(int64(n), s.held)
		s.held, s.read = s.held-n, time.Now()
		u.changeLocked(-n)
	}
}

// end drops a stream whose reader has left.
func (u *unread) end(st *yamuxStream) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dropLocked(st.StreamID())
}

func (u *unread) dropLocked(id uint32) {
	if s := u.streams[id]; s != nil {
		u.changeLocked(-s.held)
		delete(u.streams, id)
	}
}

// close drops all streams of a session that has ended.
func (u *unread) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.changeLocked(-u.held)
	u.streams, u.fresh, u.into = nil, nil, nil
}

// evict ends the socket on a stream of the link, or the stream if there is none.
func (l *link) evict(st stream) {
	for _, s := range l.attached() {
		s.mu.Lock()
		found := s.on != nil && s.on.stream == st
		s.mu.Unlock()
		if found {
			s.abort(errUnread)
			return
		}
	}
	st.reset()
}

var errUnread = fmt.Errorf("the host's bytes that wait for readers exceed %d MiB: %w", maxUnread>>20, kith.Quota)
