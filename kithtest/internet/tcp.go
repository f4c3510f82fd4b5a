package internet

import (
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// A conn is one end of a TCP connection (RFC 9293). Positions count the bytes
// of a direction from 0, and its end as one byte. Both ends are known by
// random numbers, which do what initial sequence numbers do: they keep segments
// of other connections with the same ports out.
type conn struct {
	host          *Host
	local, remote netip.AddrPort
	id, peer      uint32
	wake          *sync.Cond // on host.net.mu: anything below changed
	state         state
	listener      *listener // while accepting
	err           error     // when ended
	closed        bool      // by our program

	// What we send.
	out      []byte // from position acked
	writing  bool   // a Write is at it
	finished bool   // nothing follows out,
	end      int64  // which ends here
	acked    int64  // all before was acknowledged
	next     int64  // to send
	window   int64  // the peer takes no byte from here on
	repeats  int    // acknowledgements of nothing new
	recover  int64  // until it is acknowledged, every acknowledgement shows a loss
	timed    int64  // acknowledgement of this position gives the round-trip time; 0: none
	timedAt  time.Duration

	// The retransmission timer.
	timer   alarm
	onTimer func(*conn)
	rto     time.Duration
	backoff int  // doublings of rto
	lost    bool // it rang, and nothing new was acknowledged since

	// What we receive.
	in       []byte // not read yet
	received int64  // all before arrived
	early    map[int64]segment
	eof      bool // nothing follows in

	readDeadline, writeDeadline deadline
}

type state int

const (
	dialling state = iota
	accepting
	open
	ended
)

type segment struct {
	syn, ack, fin, rst bool
	probe              bool   // asks for an acknowledgement
	id, peer           uint32 // of the sender and of whom it speaks to
	at                 int64  // position of data
	acked, window      int64
	data               []byte
}

const (
	bufferSize = 256 << 10 // bytes that an end keeps, of each direction
	maxSegment = 1460      // bytes of data
	minRTO     = 200 * time.Millisecond
	firstRTO   = time.Second      // RFC 6298 2
	maxRTO     = 60 * time.Second // RFC 6298 2.5
	synTimes   = 3
)

// send completes a segment and puts it on its way.
func (c *conn) send(s segment) {
	s.id, s.peer = c.id, c.peer
	s.acked, s.window = c.received, c.received+int64(bufferSize-len(c.in))
	sendSegment(c.host, c.local, c.remote, s)
}

func sendSegment(h *Host, from, to netip.AddrPort, s segment) {
	h.send(&packet{protocol: TCP, size: tcpHeaders + len(s.data), source: from, destination: to, segment: &s})
}

// takeSegment finds the connection or listener that a packet is for.
func (h *Host) takeSegment(p *packet) {
	s := *p.segment
	if c := h.conns[connKey{p.destination, p.source}]; c != nil {
		if !p.asksToConnect() || s.id == c.peer || c.state == dialling {
			c.take(s)
			return
		}
		c.fall(syscall.ECONNRESET) // the peer has forgotten it
	}
	l := h.listens[p.destination]
	if l == nil {
		l = h.listens[anyAddress(p.destination.Port())]
	}
	switch {
	case p.asksToConnect() && l != nil:
		l.open(p)
	case !s.rst:
		sendSegment(h, p.destination, p.source, segment{rst: true, peer: s.id})
	}
}

// open answers a SYN.
func (l *listener) open(p *packet) {
	if l.opening+len(l.queue) >= backlog {
		return
	}
	l.opening++
	c := newConn(l.host, p.destination, p.source)
	c.state, c.listener, c.peer, c.window = accepting, l, p.segment.id, p.segment.window
	c.onTimer = (*conn).answerAgain
	c.send(segment{syn: true, ack: true})
	c.startTimer()
}

// take is what a connection makes of a segment.
func (c *conn) take(s segment) {
	switch {
	case s.rst:
		if s.peer == c.id && (s.id == 0 || s.id == c.peer || c.state == dialling) {
			if c.state == dialling {
				c.fall(syscall.ECONNREFUSED)
			} else {
				c.fall(syscall.ECONNRESET)
			}
		}
		return
	case c.state == dialling:
		if s.syn && s.ack && s.peer == c.id {
			c.peer, c.window = s.id, s.window
			c.opened()
			c.send(segment{ack: true})
		}
		return
	case s.id != c.peer:
		sendSegment(c.host, c.local, c.remote, segment{rst: true, peer: s.id})
		return
	case s.syn && !s.ack: // it did not get our answer
		if c.state == accepting {
			c.send(segment{syn: true, ack: true})
		}
		return
	case s.syn:
		c.send(segment{ack: true})
		return
	case c.state == accepting && !c.accepted():
		return
	}
	c.acknowledged(s)
	c.arrived(s)
}

// opened ends the handshake.
func (c *conn) opened() {
	c.state = open
	c.backoff, c.onTimer = 0, (*conn).retransmit
	c.stopTimer()
	c.wake.Broadcast()
}

// accepted hands the connection to its listener, if that is still there.
func (c *conn) accepted() bool {
	l := c.listener
	c.listener = nil
	l.opening--
	if l.closed {
		c.abort(syscall.ECONNRESET)
		return false
	}
	c.opened()
	l.queue = append(l.queue, c)
	l.wake.Signal()
	return true
}

// acknowledged is what a segment says about what we sent.
func (c *conn) acknowledged(s segment) {
	opens := s.window > c.window
	if opens {
		c.window = s.window
		c.backoff = 0
		c.stopTimer()
	}
	switch {
	case s.acked > c.acked:
		c.out = c.out[min(s.acked-c.acked, int64(len(c.out))):]
		if len(c.out) == 0 {
			c.out = nil
		}
		c.acked = s.acked
		c.next = max(c.next, c.acked)
		c.measure()
		c.repeats, c.backoff, c.lost = 0, 0, false
		c.stopTimer()
		c.wake.Broadcast()
		if c.acked < c.recover {
			c.sendAt(c.acked) // the next that was lost (RFC 6582)
		}
	case !opens && len(s.data) == 0 && !s.fin && !s.probe && c.acked < c.next:
		if c.repeats++; c.repeats == 3 && c.acked >= c.recover {
			c.recover = c.next
			c.timed = 0
			c.sendAt(c.acked)
		}
	}
	c.push()
}

// arrived is what a segment brings.
func (c *conn) arrived(s segment) {
	end := s.at + int64(len(s.data))
	switch {
	case s.probe:
		c.send(segment{ack: true})
		return
	case len(s.data) == 0 && !s.fin:
		return
	case c.closed && len(s.data) > 0 && end > c.received:
		c.abort(syscall.ECONNRESET) // nobody will read it
		return
	case s.at > c.received:
		if s.at < c.received+bufferSize && !c.eof {
			if c.early == nil {
				c.early = map[int64]segment{}
			}
			c.early[s.at] = s
		}
	case !c.eof:
		c.append(s)
		for again := len(c.early) > 0; again; {
			again = false
			for at, s := range c.early {
				if at <= c.received {
					delete(c.early, at)
					c.append(s)
					again = true
				}
			}
		}
		c.wake.Broadcast()
	}
	c.send(segment{ack: true})
}

// append takes a segment that begins where we are, or before.
func (c *conn) append(s segment) {
	if known := c.received - s.at; known < int64(len(s.data)) {
		c.in = append(c.in, s.data[known:]...)
		c.received += int64(len(s.data)) - known
	}
	if s.fin && s.at+int64(len(s.data)) == c.received {
		c.received++
		c.eof = true
	}
}

// consumed takes n bytes that were read, and tells a peer that waits for room.
func (c *conn) consumed(n int) {
	before := bufferSize - len(c.in)
	if c.in = c.in[n:]; len(c.in) == 0 {
		c.in = nil
	}
	if before < bufferSize/2 && before+n >= bufferSize/2 && c.state == open {
		c.send(segment{ack: true})
	}
}

// finish has the end follow what was written.
func (c *conn) finish() {
	if !c.finished {
		c.finished, c.end = true, c.acked+int64(len(c.out))
		c.push()
	}
}

// total is the position behind all that we have to send.
func (c *conn) total() int64 {
	if c.finished {
		return c.end + 1
	}
	return c.acked + int64(len(c.out))
}

// push sends what the peer's window allows.
func (c *conn) push() {
	if c.state != open {
		return
	}
	total := c.total()
	for !c.lost && c.next < total && c.next < c.window {
		sent := c.sendAt(c.next)
		c.next += sent
		if c.timed == 0 {
			c.timed, c.timedAt = c.next, c.host.net.now()
		}
	}
	if c.acked < total && c.timer.due == 0 {
		c.startTimer()
	}
}

// sendAt sends one segment from a position on, and returns its length.
func (c *conn) sendAt(at int64) int64 {
	last := min(at+maxSegment, c.acked+int64(len(c.out)), max(c.window, at))
	s := segment{ack: true, at: at, data: c.out[min(at-c.acked, int64(len(c.out))):max(last-c.acked, 0)]}
	sent := int64(len(s.data))
	if c.finished && at+sent == c.end {
		s.fin = true
		sent++
	}
	c.send(s)
	return sent
}

// measure takes a round-trip time.
func (c *conn) measure() {
	if c.timed != 0 && c.acked >= c.timed {
		c.rto = max(minRTO, 2*(c.host.net.now()-c.timedAt))
		c.timed = 0
	}
}

func (c *conn) startTimer() {
	wait := min(c.rto<<c.backoff, maxRTO)
	c.timer.set(c.host.net, c.host.net.now()+wait, func() {
		if c.state != ended {
			c.onTimer(c)
		}
	})
}

func (c *conn) stopTimer() { c.timer.due = 0 }

// retransmit sends what was lost, one segment until an acknowledgement comes,
// or asks whether the peer's window is still closed.
func (c *conn) retransmit() {
	c.backoff = min(c.backoff+1, 10)
	if c.next == c.acked && c.next >= c.window {
		c.send(segment{ack: true, probe: true})
	} else {
		c.lost, c.timed, c.recover = true, 0, c.acked
		c.next = c.acked
		c.next += c.sendAt(c.acked)
	}
	c.startTimer()
}

// callAgain repeats a SYN: 1 and 3 s after the first.
func (c *conn) callAgain() {
	c.backoff++
	c.send(segment{syn: true})
	if c.backoff < synTimes-1 {
		c.startTimer()
	}
}

// answerAgain repeats the answer to a SYN.
func (c *conn) answerAgain() {
	if c.backoff++; c.backoff > 5 { // as Linux does
		c.fall(syscall.ETIMEDOUT)
		return
	}
	c.send(segment{syn: true, ack: true})
	c.startTimer()
}

// abort resets the connection.
func (c *conn) abort(err error) {
	c.send(segment{rst: true})
	c.fall(err)
}

// fall ends the connection with an error; what arrived can still be read.
func (c *conn) fall(err error) {
	if c.state == ended {
		return
	}
	if c.listener != nil {
		c.listener.opening--
		c.listener = nil
	}
	c.state, c.err = ended, err
	c.out, c.early = nil, nil
	c.stopTimer()
	if key := (connKey{c.local, c.remote}); c.host.conns[key] == c {
		delete(c.host.conns, key)
	}
	c.wake.Broadcast()
}
