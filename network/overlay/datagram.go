package overlay

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
)

// A datagram is one message between packet sockets. It travels in a QUIC
// DATAGRAM frame (RFC 9221) where the carrier has those and it fits, else
// preceded by its length (2) on the sender's datagram stream of the carrier:
//
//	version (4 bits), flags (4 bits) | source port (2) | destination port (2) | payload
//
// Unknown versions are dropped, unknown flags ignored. Nothing is answered.
type datagram struct {
	program             bool // a local program sent it, not the node itself
	source, destination uint16
	payload             []byte
}

const (
	datagramVersion    = 1
	datagramHeaderSize = 1 + 2 + 2
	maxDatagramSize    = datagramHeaderSize + kith.MaxDatagram
)

func (d datagram) append(b []byte) []byte {
	head := byte(datagramVersion << 4)
	if d.program {
		head |= flagProgram
	}
	b = binary.BigEndian.AppendUint16(append(b, head), d.source)
	b = binary.BigEndian.AppendUint16(b, d.destination)
	return append(b, d.payload...)
}

// parseDatagram does not copy the payload.
func parseDatagram(b []byte) (datagram, error) {
	if len(b) < datagramHeaderSize || len(b) > maxDatagramSize {
		return datagram{}, fmt.Errorf("datagram of %d bytes with its header: %w", len(b), kith.Invalid)
	}
	if version := b[0] >> 4; version != datagramVersion {
		return datagram{}, fmt.Errorf("datagram has version %d, want %d: %w", version, datagramVersion, kith.Invalid)
	}
	d := datagram{
		program: b[0]&flagProgram != 0,
		source:  binary.BigEndian.Uint16(b[1:]), destination: binary.BigEndian.Uint16(b[3:]),
		payload: b[datagramHeaderSize:],
	}
	if d.source == 0 || d.destination == 0 {
		return datagram{}, fmt.Errorf("datagram with port 0: %w", kith.Invalid)
	}
	return d, nil
}

const (
	awaitedDatagrams = 16              // kept for a peer while it is dialled
	awaitedPeers     = 256             // for which datagrams are kept
	awaitedPause     = time.Second     // after a dial that failed, in which a peer's datagrams are dropped
	awaitedPatience  = 2 * time.Minute // for a dial; it ends sooner by itself
)

// datagrams is what an overlay knows of them beside its links.
type datagrams struct {
	mu      sync.Mutex
	ports   map[uint16]*packetSocket
	awaited map[kith.ID]*awaited // peers that are dialled for their datagrams

	sent, received, dropped *kith.Counter
}

// An awaited peer has datagrams that wait for a carrier.
type awaited struct {
	waiting [][]byte
	failed  bool // the dial has; the pause goes on
}

func newDatagrams(m *kith.Metrics) *datagrams {
	const help = "Datagrams of overlay sockets."
	count := func(what string) *kith.Counter {
		return m.Counter("kith_overlay_datagrams_total", help, "what", what)
	}
	return &datagrams{
		ports: make(map[uint16]*packetSocket), awaited: make(map[kith.ID]*awaited),
		sent: count("sent"), received: count("received"), dropped: count("dropped"),
	}
}

// sendDatagram sends a datagram to a host, or keeps it until there is a carrier.
// It does not wait. An error says that nothing can be sent to the host.
func (o *Overlay) sendDatagram(to kith.ID, d datagram) error {
	wire := d.append(make([]byte, 0, datagramHeaderSize+len(d.payload)))
	if to == o.id {
		o.datagrams.sent.Add(1)
		o.deliverDatagram(o.id, wire)
		return nil
	}
	o.mu.Lock()
	var l *link
	if p := o.peers[to]; p != nil {
		l = p.current
	}
	o.mu.Unlock()
	if l != nil && !l.ended() {
		o.datagrams.sent.Add(1)
		l.sendDatagram(wire)
		return nil
	}
	if err := o.admit(to, nil); err != nil {
		return err
	}
	o.datagrams.sent.Add(1)
	o.awaitPeer(to, wire)
	return nil
}

// awaitPeer keeps a datagram until there is a carrier to its host.
func (o *Overlay) awaitPeer(id kith.ID, wire []byte) {
	ds := o.datagrams
	ds.mu.Lock()
	defer ds.mu.Unlock()
	a := ds.awaited[id]
	switch {
	case a == nil && len(ds.awaited) >= awaitedPeers, a != nil && a.failed:
		ds.dropped.Add(1)
		return
	case a == nil:
		a = new(awaited)
		if !o.spawn(func() { o.dialForDatagrams(id, a) }) {
			return
		}
		ds.awaited[id] = a
	case len(a.waiting) == awaitedDatagrams:
		ds.dropped.Add(1)
		a.waiting = a.waiting[1:]
	}
	a.waiting = append(a.waiting, wire)
}

// dialForDatagrams sends what waits for a peer as soon as there is a carrier.
func (o *Overlay) dialForDatagrams(id kith.ID, a *awaited) {
	ctx, cancel := context.WithTimeout(o.ctx, awaitedPatience)
	defer cancel()
	l, err := o.linkTo(ctx, id)
	ds := o.datagrams
	ds.mu.Lock()
	waiting := a.waiting
	a.waiting = nil
	if err == nil {
		delete(ds.awaited, id)
		for _, wire := range waiting { // before what is sent from now on
			l.sendDatagram(wire)
		}
		ds.mu.Unlock()
		return
	}
	a.failed = true
	ds.mu.Unlock()
	ds.dropped.Add(uint64(len(waiting)))
	o.log.Debug("no carrier for datagrams", "peer", id.Short(), "err", err)
	select {
	case <-time.After(awaitedPause):
	case <-o.ctx.Done():
	}
	ds.mu.Lock()
	delete(ds.awaited, id)
	ds.mu.Unlock()
}

// deliverDatagram hands a datagram of a peer, which it keeps, to who listens.
func (o *Overlay) deliverDatagram(from kith.ID, wire []byte) {
	ds := o.datagrams
	d, err := parseDatagram(wire)
	var to *packetSocket
	if err == nil && !(d.program && slices.Contains(o.cfg.NodePorts, d.destination)) {
		ds.mu.Lock()
		to = ds.ports[d.destination]
		ds.mu.Unlock()
	}
	if to == nil || !to.deliver(from, d) {
		ds.dropped.Add(1)
		return
	}
	ds.received.Add(1)
}
