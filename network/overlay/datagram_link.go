package overlay

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
)

// linkDatagrams is the part of a link that carries datagrams.
type linkDatagrams struct {
	packets   outbox // for QUIC DATAGRAM frames
	streamed  outbox // for the stream: the carrier has no packets, or they are too long for one
	stream    stream // ours; of sendStreamed alone
	receiving atomic.Bool
	passed    atomic.Int64 // when one was sent or received last, Unix seconds
}

// datagramsPause is how long a link without datagrams counts as used by them.
const datagramsPause = 2 * time.Minute

// datagramsPass reports whether datagrams were sent to or came from a peer of
// late.
func (o *Overlay) datagramsPass(id kith.ID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.peers[id]
	return p != nil && p.current != nil && time.Since(time.Unix(p.current.datagrams.passed.Load(), 0)) < datagramsPause
}

// An outbox holds datagrams until the carrier takes them: the newest ones. A
// goroutine empties it as long as there are any.
type outbox struct {
	mu      sync.Mutex
	waiting [][]byte
	bytes   int
	sending bool
}

const (
	outboxBytes      = 256 << 10 // of datagrams, each counted with datagramOverhead
	datagramOverhead = 64
	streamBatch      = 32 << 10 // about so many bytes go in one write
)

// put adds a datagram, and drops the oldest ones for which there is no room.
// start: somebody has to empty the outbox.
func (b *outbox) put(wire []byte) (start bool, dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, wire)
	b.bytes += len(wire) + datagramOverhead
	for ; b.bytes > outboxBytes; dropped++ {
		b.bytes -= len(b.waiting[0]) + datagramOverhead
		b.waiting[0] = nil
		b.waiting = b.waiting[1:]
	}
	start = !b.sending
	b.sending = true
	return start, dropped
}

// take returns the oldest datagrams, more than one as long as they have fewer
// than enough bytes. Without any, emptying ends.
func (b *outbox) take(enough int) (oldest [][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for bytes := 0; n < len(b.waiting) && (n == 0 || bytes < enough); n++ {
		bytes += len(b.waiting[n])
		b.bytes -= len(b.waiting[n]) + datagramOverhead
	}
	oldest, b.waiting = b.waiting[:n:n], b.waiting[n:]
	if n == 0 {
		b.waiting, b.sending = nil, false
	}
	return oldest
}

// sendDatagram has a datagram sent as the carrier can. It does not wait.
func (l *link) sendDatagram(wire []byte) {
	l.datagrams.passed.Store(time.Now().Unix())
	if c, ok := l.carrier.(datagramCarrier); ok {
		l.post(&l.datagrams.packets, wire, func() { l.sendPackets(c) })
		return
	}
	l.post(&l.datagrams.streamed, wire, l.sendStreamed)
}

func (l *link) post(box *outbox, wire []byte, empty func()) {
	start, dropped := box.put(wire)
	l.overlay.datagrams.dropped.Add(uint64(dropped))
	if start {
		l.overlay.spawn(empty)
	}
}

// untilLevel reports false when the carrier ends before it serves all ports.
func (l *link) untilLevel() bool {
	select {
	case <-l.level:
		return true
	case <-l.done():
		return false
	}
}

// sendPackets empties the outbox into the carrier's packets. What they do not
// take goes to the stream.
func (l *link) sendPackets(c datagramCarrier) {
	if !l.untilLevel() {
		return
	}
	for {
		oldest := l.datagrams.packets.take(1)
		if len(oldest) == 0 || l.ended() {
			return
		}
		for _, wire := range oldest {
			if c.sendDatagram(wire) == nil {
				l.sent.Add(uint64(len(wire)))
			} else {
				l.post(&l.datagrams.streamed, wire, l.sendStreamed)
			}
		}
	}
}

// sendStreamed empties the outbox into our datagram stream. Those that have
// waited go in one write.
func (l *link) sendStreamed() {
	if !l.untilLevel() {
		return
	}
	var wire []byte
	for {
		oldest := l.datagrams.streamed.take(streamBatch)
		if len(oldest) == 0 || l.ended() {
			return
		}
		wire = wire[:0]
		for _, d := range oldest {
			wire = append(binary.BigEndian.AppendUint16(wire, uint16(len(d))), d...)
		}
		if err := l.writeDatagrams(wire); err != nil && l.datagrams.stream != nil {
			l.datagrams.stream.reset()
			l.datagrams.stream = nil
		}
	}
}

// writeDatagrams writes on the stream, which it opens at first.
func (l *link) writeDatagrams(wire []byte) error {
	if l.datagrams.stream == nil {
		ctx, cancel := context.WithTimeout(l.overlay.ctx, pingPatience)
		defer cancel()
		st, err := l.openStream(ctx)
		if err != nil {
			return err
		}
		l.datagrams.stream = st
		wire = append(header{kind: forDatagrams}.append(nil), wire...)
	}
	l.datagrams.stream.SetWriteDeadline(time.Now().Add(pingPatience))
	_, err := l.datagrams.stream.Write(wire)
	l.sent.Add(uint64(len(wire)))
	return err
}

// hearPackets delivers the packets of a carrier that has some until it ends.
func (l *link) hearPackets() {
	c, ok := l.carrier.(datagramCarrier)
	if !ok || !l.untilLevel() {
		return
	}
	for {
		wire, err := c.receiveDatagram()
		if err != nil {
			return
		}
		l.receiveDatagram(wire)
	}
}

func (l *link) receiveDatagram(wire []byte) {
	l.received.Add(uint64(len(wire)))
	l.datagrams.passed.Store(time.Now().Unix())
	l.overlay.deliverDatagram(l.peer, wire)
}

// hearDatagrams delivers what comes on the peer's datagram stream until it
// ends. There is one at a time.
func (l *link) hearDatagrams(st stream) {
	defer st.reset()
	if !l.datagrams.receiving.CompareAndSwap(false, true) {
		return
	}
	defer l.datagrams.receiving.Store(false)
	if !l.untilLevel() {
		return
	}
	r := bufio.NewReader(st)
	for {
		var size [2]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(size[:]))
		if n > maxDatagramSize {
			return
		}
		wire := make([]byte, n)
		if _, err := io.ReadFull(r, wire); err != nil {
			return
		}
		l.receiveDatagram(wire)
	}
}
