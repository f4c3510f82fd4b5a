package swarm

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
	"kith.alt/kith/swarm/scheduler"
)

const (
	maxControl   = 1 << 20 // bytes that wait to be told, beyond those of a bitmap; a peer that does not read them is left
	maxMessage   = 1 << 20 // bytes of a message that arrives, beyond those of a bitmap
	linkIdle     = 2 * time.Minute
	keepAlive    = time.Minute
	quantumTime  = 6500 * time.Microsecond // what is written at a time takes about so long to leave
	recentlySent = 200 * time.Millisecond
)

// A link is the conversation with one peer about one content.
type link struct {
	exchange *exchange
	host     kith.ID
	conn     net.Conn
	dialled  bool
	near     bool
	since    time.Time
	number   scheduler.Peer
	wakes    chan struct{}

	down, up       meter
	received, sent atomic.Int64 // bytes of content
	unpaid         atomic.Int64 // blocks sent that the peer has nothing for yet
	member         *account

	mu      sync.Mutex
	control []byte           // messages to go
	load    []scheduler.Send // blocks to go
	under   int              // blocks to go, or being written
	gone    bool
	fault   error
	proved  map[int]struct{} // groups whose hashes were sent unasked
	held    map[int][]byte   // blocks that wait for their hashes
	has     []byte           // bitmap of what the peer announced
	had     int
	told    bool // what it has, all at once
	patient allowance
	lastOut time.Time
	pings   map[uint64]*ping // under way, or waiting for the block that is being written
	pongs   []pong           // to go
	ping    uint64           // the newest
}

func newLink(x *exchange, host kith.ID, conn net.Conn, dialled bool) *link {
	return &link{
		exchange: x, host: host, conn: conn, dialled: dialled,
		near: x.swarm.pathTo(host).Near, since: time.Now(),
		wakes: make(chan struct{}, 1), member: x.swarm.accountOf(host),
		proved: make(map[int]struct{}), held: make(map[int][]byte), pings: make(map[uint64]*ping),
	}
}

// run converses until the socket ends.
func (l *link) run(ctx context.Context) {
	defer l.conn.Close()
	defer l.exchange.leave(l)
	defer l.leave()
	defer context.AfterFunc(ctx, func() { l.conn.Close() })()
	var writing sync.WaitGroup
	defer writing.Wait()
	defer l.wake() // has write see that the link is gone
	defer l.leave()
	writing.Go(func() {
		if err := l.write(); err != nil {
			l.exchange.log.Debug("exchange with member ended", "peer", l.host.Short(), "err", err)
		}
		l.conn.Close()
	})
	writing.Go(func() { l.late(ctx) }) // while nothing is under way
	l.announce()
	err := l.read()
	l.mu.Lock()
	err = cmp.Or(l.fault, err)
	l.mu.Unlock()
	if errors.Is(err, kith.Invalid) || errors.Is(err, bittorrent.ErrInvalid) {
		l.exchange.ban(l, err.Error())
	}
	l.exchange.log.Debug("exchange with member ended", "peer", l.host.Short(), "err", err)
	l.conn.Close()
}

func (l *link) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
}

func (l *link) wake() {
	select {
	case l.wakes <- struct{}{}:
	default:
	}
}

// announce tells the peer what is here.
func (l *link) announce() {
	x := l.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	switch x.plan.Lacking() {
	case 0:
		l.tell(bittorrent.Message{Type: bittorrent.HaveAll})
	case x.description.Blocks():
		l.tell(bittorrent.Message{Type: bittorrent.HaveNone})
	default:
		l.tell(bittorrent.Message{Type: bittorrent.Bitfield, Payload: x.bitmapLocked()})
	}
	x.actLocked()
}

// tell has messages sent.
func (l *link) tell(messages ...bittorrent.Message) {
	l.put(messages...)
	l.wake()
}

// put queues messages, which go when the link is woken: together, as a frame on the
// line costs more than most of them.
func (l *link) put(messages ...bittorrent.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return
	}
	for _, m := range messages {
		l.control = bittorrent.AppendMessage(l.control, m)
	}
	if len(l.control) > maxControl+len(l.has) {
		l.gone, l.fault = true, fmt.Errorf("it asks for much and reads nothing: %w", kith.Invalid)
		l.conn.Close()
	}
}

// ready reports whether a block can be given to the link, which writes so many at once,
// and if not, whether that is because it is busy with others.
func (l *link) ready(now time.Time, atOnce int) (ready, busy bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	busy = l.under >= atOnce && !l.gone
	return !busy && !l.gone && l.member.up.ready(now), busy
}

// give hands the link a block of size bytes to send; it is ready.
func (l *link) give(send scheduler.Send, size int) {
	l.mu.Lock()
	l.load = append(l.load, send)
	l.under++
	l.lastOut = time.Now()
	l.mu.Unlock()
	l.member.up.take(size)
	l.wake()
}

// write sends messages and blocks until the link is gone or the socket fails.
func (l *link) write() error {
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	var out []byte
	var load []scheduler.Send
	for {
		select {
		case <-l.wakes:
		case <-alive.C:
			l.mu.Lock()
			l.control = append(l.control, 0, 0, 0, 0) // BEP 3: keep-alive
			l.mu.Unlock()
			out = nil // it may have grown
		}
		l.mu.Lock()
		if l.gone {
			l.mu.Unlock()
			return nil
		}
		out, load = append(l.appendProbes(out[:0], time.Now()), l.control...), append(load[:0], l.load...)
		l.control, l.load = l.control[:0], l.load[:0]
		l.mu.Unlock()
		for _, send := range load {
			out = l.appendBlock(out, send)
		}
		if len(load) == 0 && len(out) > 0 {
			l.exchange.swarm.uplink.charge(len(out) + frameOverhead)
		}
		if len(out) > 0 {
			if err := l.send(out, len(load) > 0); err != nil {
				return err
			}
		}
		if len(load) > 0 {
			l.mu.Lock()
			l.under -= len(load)
			l.lastOut = time.Now()
			l.mu.Unlock()
			l.exchange.swarm.uplink.kick()
		}
	}
}

// appendBlock appends a block, and before it the hashes of its group where the
// peer did not ask for it and so may not have them.
func (l *link) appendBlock(out []byte, send scheduler.Send) []byte {
	x, block := l.exchange, send.Block
	file, at, size := x.description.Locate(block)
	if send.Fresh {
		key := block - at%group
		if _, proved := l.proved[key]; !proved {
			l.proved[key] = struct{}{}
			if m := hashRequest(x.files[file], at); m.HashLength > 0 {
				if hashes, err := x.files[file].Hashes(int(m.BaseLayer), int(m.Index), int(m.HashLength), int(m.ProofLayers)); err == nil {
					m.Type, m.Hashes = bittorrent.Hashes, hashBytes(hashes)
					out = bittorrent.AppendMessage(out, m)
				}
			}
		}
	}
	begin := len(out)
	out = bittorrent.AppendMessage(out, bittorrent.Message{Type: bittorrent.Piece, Index: uint32(block), Payload: l.exchange.swarm.blank[:size]})
	if _, err := x.files[file].ReadBlock(at, out[len(out)-size:]); err != nil {
		x.log.Info("a block is not here any more", "block", block, "err", err)
		x.unsent(send)
		return out[:begin]
	}
	l.up.add(size)
	l.sent.Add(int64(size))
	x.sent.Add(int64(size))
	l.unpaid.Add(1)
	l.member.sent.Add(int64(size))
	return out
}

// send writes; blocks in pieces, spread over the time that it takes to leave, so that
// what others send meanwhile does not wait for all of them.
func (l *link) send(out []byte, paced bool) error {
	l.conn.SetWriteDeadline(time.Now().Add(linkIdle))
	for paced {
		rate := l.exchange.swarm.uplink.rate()
		quantum := quantum(len(out), rate)
		if quantum >= len(out) {
			break
		}
		if _, err := l.conn.Write(out[:quantum]); err != nil {
			return err
		}
		out = out[quantum:]
		time.Sleep(min(time.Duration(float64(quantum)/rate*float64(time.Second)), time.Second))
	}
	_, err := l.conn.Write(out)
	return err
}

// quantum returns how much of size bytes to write at a time at a rate. It fills frames on
// the line to their ends.
func quantum(size int, rate float64) int {
	frames := (size + recordOverhead + segment - 1) / segment
	atOnce := max(int(math.Ceil(rate*quantumTime.Seconds()/frame)), 1)
	parts := (frames + atOnce - 1) / atOnce
	return (frames+parts-1)/parts*segment - recordOverhead
}

// read takes what the peer says until the socket ends. Its error is of kind
// Invalid where the peer broke the rules.
func (l *link) read() error {
	r := bufio.NewReaderSize(l.conn, 32<<10)
	var buffer []byte
	for {
		l.conn.SetReadDeadline(time.Now().Add(linkIdle))
		m, err := bittorrent.ReadMessage(r, &buffer, maxMessage+len(l.has))
		if err != nil {
			return err
		}
		if err := l.bear(m); err != nil {
			return err
		}
		if err := l.handle(m); err != nil {
			return err
		}
		if m.Type == bittorrent.Piece {
			l.member.down.wait(len(m.Payload), l.exchange.quit)
			l.exchange.swarm.down.wait(len(m.Payload), l.exchange.quit)
		}
	}
}

func (l *link) handle(m bittorrent.Message) error {
	x := l.exchange
	switch m.Type {
	case bittorrent.Piece:
		return x.arrived(l, int(m.Index), m.Payload)
	case bittorrent.Hashes:
		return x.proved(m)
	case bittorrent.HashRequest:
		l.tell(x.hashAnswer(m))
		return nil
	case bittorrent.HashReject:
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, first := range x.groupsOf(m) {
			if x.groups[first] == l {
				delete(x.groups, first)
			}
		}
		return nil
	case bittorrent.Extended:
		return l.extended(m)
	}

	x.mu.Lock()
	defer x.mu.Unlock()
	now, blocks := x.now(), uint32(x.description.Blocks())
	switch m.Type {
	case bittorrent.Have, bittorrent.Request, bittorrent.Cancel, bittorrent.Reject:
		if m.Index >= blocks {
			return fmt.Errorf("message about block %d of %d: %w", m.Index, blocks, kith.Invalid)
		}
	}
	block := int(m.Index)
	switch m.Type {
	case bittorrent.HaveAll, bittorrent.HaveNone, bittorrent.Bitfield:
		if l.told {
			return fmt.Errorf("it says again what it has: %w", kith.Invalid)
		}
		l.told = true
	}
	switch m.Type {
	case bittorrent.HaveAll:
		for b := range int(blocks) {
			l.note(b)
		}
		x.plan.PeerHasAll(now, l.number)
	case bittorrent.HaveNone:
	case bittorrent.Bitfield:
		if len(m.Payload) != len(l.has) {
			return fmt.Errorf("bitmap of %d bytes for %d blocks: %w", len(m.Payload), blocks, kith.Invalid)
		}
		for b := range int(blocks) {
			if m.Payload[b/8]&(0x80>>(b%8)) != 0 {
				l.note(b)
			}
		}
		x.plan.PeerHasBitmap(now, l.number, l.has)
	case bittorrent.Have:
		l.note(block)
		x.plan.PeerHas(now, l.number, block)
	case bittorrent.Request:
		if x.plan.Waiting(l.number) >= maxWanted {
			return fmt.Errorf("it asks for %d blocks at a time: %w", maxWanted, kith.Invalid)
		}
		x.plan.PeerWants(now, l.number, block)
	case bittorrent.Cancel:
		x.plan.PeerUnwants(now, l.number, block)
	case bittorrent.Reject:
		x.plan.PeerRefused(now, l.number, block)
	case bittorrent.Choke:
		x.plan.PeerChokes(now, l.number, true)
	case bittorrent.Unchoke:
		x.plan.PeerChokes(now, l.number, false)
	default:
		return nil // what we do not know, or do not need
	}
	x.actLocked()
	return nil
}

// note takes down that the peer has a block. The exchange is locked.
func (l *link) note(block int) {
	if bit := byte(0x80 >> (block % 8)); l.has[block/8]&bit == 0 {
		l.has[block/8] |= bit
		l.had++
	}
}

// finished reports that both sides have everything. The exchange is locked.
func (l *link) finished() bool {
	return l.exchange.plan.Complete() && l.had == l.exchange.description.Blocks()
}

// sending reports whether a block went to the peer a moment ago, and whether
// none is going now.
func (l *link) sending(now time.Time) (recently, free bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Sub(l.lastOut) < recentlySent && !l.gone, l.under == 0
}

// count takes down n bytes of content that came from the peer.
func (l *link) count(n int) {
	l.down.add(n)
	l.received.Add(int64(n))
	l.exchange.received.Add(int64(n))
	l.member.received.Add(int64(n))
}
