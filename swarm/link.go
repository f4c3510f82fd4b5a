package swarm

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
	"kith.alt/kith/swarm/scheduler"
)

// pongPatience is how long the answer to a ping is waited for beyond the shortest
// round trip: longer than a queue should be, and short, as what is sent meanwhile makes it longer.
const pongPatience = 100 * time.Millisecond

const (
	maxControl   = 1 << 20 // bytes that wait to be told; a peer that does not read them is left
	maxMessage   = 1 << 20 // bytes of a message that arrives
	linkIdle     = 2 * time.Minute
	keepAlive    = time.Minute
	quantumTime  = 6500 * time.Microsecond // what is written at a time takes so long to leave
	leastQuantum = 1400
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
	control []byte // messages to go
	block   int    // to go; none where size is 0
	size    int
	fresh   bool
	gone    bool
	fault   error
	proved  map[int]struct{} // groups whose hashes were sent unasked
	held    map[int][]byte   // blocks that wait for their hashes
	has     []byte           // bitmap of what the peer announced
	had     int
	told    bool // what it has, all at once
	patient allowance
	lastOut time.Time
	pings   map[uint64]chan struct{}
	ping    uint64
}

func newLink(x *exchange, host kith.ID, conn net.Conn, dialled bool) *link {
	return &link{
		exchange: x, host: host, conn: conn, dialled: dialled,
		near: x.swarm.pathTo(host).Near, since: time.Now(),
		wakes: make(chan struct{}, 1), member: x.swarm.accountOf(host),
		proved: make(map[int]struct{}), held: make(map[int][]byte), pings: make(map[uint64]chan struct{}),
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

// tell queues messages.
func (l *link) tell(messages ...bittorrent.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return
	}
	for _, m := range messages {
		l.control = bittorrent.AppendMessage(l.control, m)
	}
	if len(l.control) > maxControl {
		l.gone, l.fault = true, fmt.Errorf("it asks for much and reads nothing: %w", kith.Invalid)
		l.conn.Close()
	}
	l.wake()
}

// ready reports whether a block can be given to the link.
func (l *link) ready(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size == 0 && !l.gone && l.member.up.ready(now)
}

// give hands the link a block to send; it is ready.
func (l *link) give(block, size int, fresh bool) {
	l.mu.Lock()
	l.block, l.size, l.fresh, l.lastOut = block, size, fresh, time.Now()
	l.mu.Unlock()
	l.member.up.take(size)
	l.wake()
}

// write sends messages and blocks until the link is gone or the socket fails.
func (l *link) write() error {
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	var out []byte
	for {
		select {
		case <-l.wakes:
		case <-alive.C:
			l.mu.Lock()
			l.control = append(l.control, 0, 0, 0, 0) // BEP 3: keep-alive
			l.mu.Unlock()
		}
		l.mu.Lock()
		if l.gone {
			l.mu.Unlock()
			return nil
		}
		block, size, fresh := l.block, l.size, l.fresh
		out = append(out[:0], l.control...)
		l.control = l.control[:0]
		l.mu.Unlock()
		if size > 0 {
			out = l.appendBlock(out, block, size, fresh)
		} else if len(out) > 0 {
			l.exchange.swarm.uplink.charge(len(out) + frameOverhead)
		}
		if len(out) > 0 {
			if err := l.send(out, size > 0); err != nil {
				return err
			}
		}
		if size == 0 {
			if cap(out) > 64<<10 {
				out = nil
			}
			continue
		}
		l.mu.Lock()
		l.size, l.lastOut = 0, time.Now()
		l.mu.Unlock()
		l.exchange.swarm.uplink.kick()
	}
}

// appendBlock appends a block, and before it the hashes of its group where the
// peer did not ask for it and so may not have them.
func (l *link) appendBlock(out []byte, block, size int, fresh bool) []byte {
	x := l.exchange
	file, at, _ := x.description.Locate(block)
	if fresh {
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
		x.unsent(scheduler.Send{Peer: l.number, Block: block, Fresh: fresh})
		return out[:begin]
	}
	l.up.add(size)
	l.sent.Add(int64(size))
	x.sent.Add(int64(size))
	l.unpaid.Add(1)
	l.member.sent.Add(int64(size))
	return out
}

// send writes; a block in pieces, spread over the time that it takes to leave, so that
// what others send meanwhile does not wait for all of it.
func (l *link) send(out []byte, paced bool) error {
	l.conn.SetWriteDeadline(time.Now().Add(linkIdle))
	for paced {
		rate := l.exchange.swarm.uplink.rate()
		quantum := max(int(rate*quantumTime.Seconds()), leastQuantum)
		if quantum >= len(out) {
			break
		}
		parts := (len(out) + quantum - 1) / quantum
		quantum = (len(out) + parts - 1) / parts
		if _, err := l.conn.Write(out[:quantum]); err != nil {
			return err
		}
		out = out[quantum:]
		time.Sleep(min(time.Duration(float64(quantum)/rate*float64(time.Second)), time.Second))
	}
	_, err := l.conn.Write(out)
	return err
}

// read takes what the peer says until the socket ends. Its error is of kind
// Invalid where the peer broke the rules.
func (l *link) read() error {
	r := bufio.NewReaderSize(l.conn, 32<<10)
	var buffer []byte
	for {
		l.conn.SetReadDeadline(time.Now().Add(linkIdle))
		m, err := bittorrent.ReadMessage(r, &buffer, maxMessage)
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
			l.member.down.wait(len(m.Payload))
			l.exchange.swarm.down.wait(len(m.Payload))
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

// hold keeps a block until its hashes come, and asks the peer for them, who must
// have them: another who was asked may never answer. What is too much is let go; it
// is asked for again.
func (l *link) hold(block int, data []byte) {
	l.mu.Lock()
	if len(l.held) < maxHeld {
		l.held[block] = slices.Clone(data)
	}
	l.mu.Unlock()
	x := l.exchange
	x.mu.Lock()
	defer x.mu.Unlock()
	_, at, _ := x.description.Locate(block)
	if key := block - at%group; x.groups[key] != l {
		delete(x.groups, key)
		x.askHashesLocked(l, block)
	}
}

// proved takes hashes that a peer sent, and the blocks that waited for them. It
// fails with kind Invalid when they are wrong.
func (x *exchange) proved(m bittorrent.Message) error {
	groups := x.groupsOf(m)
	if len(groups) == 0 {
		return fmt.Errorf("hashes of no file of the content: %w", kith.Invalid)
	}
	if err := setHashes(x.files[x.roots[m.Root][0]], m); errors.Is(err, kith.Invalid) {
		return err
	} else if err != nil {
		x.fail(err)
		return nil
	}
	x.mu.Lock()
	for _, first := range groups {
		delete(x.groups, first)
	}
	links, clients := slices.Collect(maps.Values(x.links)), slices.Collect(maps.Values(x.clients))
	x.mu.Unlock()
	for _, l := range links {
		for _, first := range groups {
			l.release(first, first+int(m.HashLength)<<m.BaseLayer)
		}
	}
	for _, c := range clients {
		c.peer.Retry()
	}
	return nil
}

// release takes up the blocks from first to before last that waited.
func (l *link) release(first, last int) {
	l.mu.Lock()
	held := make(map[int][]byte)
	for block, data := range l.held {
		if block >= first && block < last {
			held[block] = data
		}
	}
	maps.DeleteFunc(l.held, func(block int, _ []byte) bool { return held[block] != nil })
	l.mu.Unlock()
	for block, data := range held {
		if err := l.exchange.arrived(l, block, data); err != nil {
			l.exchange.ban(l, err.Error())
			return
		}
	}
}

// hashAnswer answers a request for hashes.
func (x *exchange) hashAnswer(m bittorrent.Message) bittorrent.Message {
	if same := x.roots[m.Root]; len(same) > 0 {
		return hashAnswer(x.files[same[0]], m)
	}
	m.Type = bittorrent.HashReject
	return m
}

func hashAnswer(f *content.File, m bittorrent.Message) bittorrent.Message {
	m.Type = bittorrent.HashReject
	if m.HashLength > maxHashes {
		return m
	}
	hashes, err := f.Hashes(int(m.BaseLayer), int(m.Index), int(m.HashLength), int(m.ProofLayers))
	if err == nil {
		m.Type, m.Hashes = bittorrent.Hashes, hashBytes(hashes)
	}
	return m
}

// maxHashes is how many hashes are given at a time, as in BEP 52.
const maxHashes = 512

// extended takes a message of our own.
func (l *link) extended(m bittorrent.Message) error {
	x := l.exchange
	switch m.ExtendedID {
	case extCredit:
		if len(m.Payload) != 4 {
			return fmt.Errorf("credit of %d bytes: %w", len(m.Payload), kith.Invalid)
		}
		n := binary.BigEndian.Uint32(m.Payload)
		x.mu.Lock()
		defer x.mu.Unlock()
		x.plan.PeerCredit(x.now(), l.number, int(min(n, maxCredit)))
		x.actLocked()
	case extHosts:
		if len(m.Payload)%len(kith.ID{}) != 0 || len(m.Payload) > maxIntroduced*len(kith.ID{}) {
			return fmt.Errorf("hosts in %d bytes: %w", len(m.Payload), kith.Invalid)
		}
		for text := m.Payload; len(text) > 0; text = text[len(kith.ID{}):] {
			x.meet(kith.ID(text[:len(kith.ID{})]))
		}
	case extPing:
		if len(m.Payload) != 8 {
			return fmt.Errorf("ping of %d bytes: %w", len(m.Payload), kith.Invalid)
		}
		l.tell(bittorrent.Message{Type: bittorrent.Extended, ExtendedID: extPong, Payload: m.Payload})
	case extPong:
		if len(m.Payload) == 8 {
			l.mu.Lock()
			if answered := l.pings[binary.BigEndian.Uint64(m.Payload)]; answered != nil {
				delete(l.pings, binary.BigEndian.Uint64(m.Payload))
				close(answered)
			}
			l.mu.Unlock()
		}
	}
	return nil
}

const maxCredit = 1 << 16

func credit(n int) bittorrent.Message {
	return bittorrent.Message{Type: bittorrent.Extended, ExtendedID: extCredit, Payload: binary.BigEndian.AppendUint32(nil, uint32(n))}
}

func (l *link) introduce(host kith.ID) {
	l.tell(bittorrent.Message{Type: bittorrent.Extended, ExtendedID: extHosts, Payload: host[:]})
}

// sending reports whether a block went to the peer a moment ago, and whether
// none is going now.
func (l *link) sending(now time.Time) (recently, free bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Sub(l.lastOut) < recentlySent && !l.gone, l.size == 0
}

// roundTrip measures one, beside blocks that are under way.
func (l *link) roundTrip(ctx context.Context, patience time.Duration) (time.Duration, bool) {
	answered := make(chan struct{})
	l.mu.Lock()
	l.ping++
	number := l.ping
	l.pings[number] = answered
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.pings, number)
		l.mu.Unlock()
	}()
	begun := time.Now()
	l.tell(bittorrent.Message{Type: bittorrent.Extended, ExtendedID: extPing, Payload: binary.BigEndian.AppendUint64(nil, number)})
	select {
	case <-answered:
	case <-time.After(patience): // so long at least
	case <-ctx.Done():
		return 0, false
	}
	return time.Since(begun), true
}

// late measures how much longer than the shortest one a round trip takes.
func (l *link) late(ctx context.Context) (time.Duration, bool) {
	path := l.exchange.swarm.pathTo(l.host)
	took, ok := l.roundTrip(ctx, pongPatience+l.member.shortest(0, path))
	if !ok {
		return 0, false
	}
	return took - l.member.shortest(took, path), true
}

// An allowance bounds the messages of a peer that move nothing: each block that
// goes either way earns some, and so does time.
type allowance struct {
	used float64
	at   time.Time
}

const (
	maxWords  = 16384 // messages that move nothing
	wordsTime = 1000  // a second are forgotten
	wordsEach = 4     // for each block
	maxWanted = 2000  // blocks; our own kind asks for 512 at most
)

// spend takes n messages down, or for a block puts some back, and reports
// whether it may be borne.
func (a *allowance) spend(n float64, now time.Time) bool {
	a.used = min(max(a.used-wordsTime*now.Sub(a.at).Seconds(), 0)+n, maxWords+1)
	a.used, a.at = max(a.used, 0), now
	return a.used <= maxWords
}

// bear fails with kind Invalid when the peer says much that moves nothing.
func (l *link) bear(m bittorrent.Message) error {
	x := l.exchange
	words := 1.0
	x.mu.Lock()
	defer x.mu.Unlock()
	switch m.Type {
	case bittorrent.Piece:
		if words = wordsEach; x.plan.Expects(l.number, int(m.Index)) && !x.plan.Has(int(m.Index)) {
			words = -wordsEach
		}
	case bittorrent.Have:
		if int(m.Index) < x.description.Blocks() && l.has[m.Index/8]&(0x80>>(m.Index%8)) == 0 {
			words = 0 // each block once
		}
	case bittorrent.Request:
		words -= float64(wordsEach * l.unpaid.Swap(0))
	}
	if !l.patient.spend(words, time.Now()) {
		return fmt.Errorf("it says much that moves nothing: %w", kith.Invalid)
	}
	return nil
}

// count takes down n bytes of content that came from the peer.
func (l *link) count(n int) {
	l.down.add(n)
	l.received.Add(int64(n))
	l.exchange.received.Add(int64(n))
	l.member.received.Add(int64(n))
}

// groupsOf returns the first block of what a message about hashes is of, in each
// file that has these hashes.
func (x *exchange) groupsOf(m bittorrent.Message) []int {
	var groups []int
	for _, file := range x.roots[m.Root] {
		groups = append(groups, x.blockOf(file, int(m.Index)<<min(m.BaseLayer, 30)))
	}
	return groups
}

// blockOf is the number in the content of a block of a file.
func (x *exchange) blockOf(file, at int) int { return x.description.First(file) + at }

// hashRequest asks for the hashes of the group of a block of a file; its length is 0
// where none are needed.
func hashRequest(f *content.File, at int) bittorrent.Message {
	base, index, length, proofs := f.HashGroup(at, group)
	return bittorrent.Message{Root: f.Root(), BaseLayer: uint32(base), Index: uint32(index), HashLength: uint32(length), ProofLayers: uint32(proofs)}
}

func setHashes(f *content.File, m bittorrent.Message) error {
	if err := f.SetHashes(int(m.BaseLayer), int(m.Index), int(m.HashLength), int(m.ProofLayers), hashList(m.Hashes)); err != nil {
		return fmt.Errorf("hashes: %w", err)
	}
	return nil
}

// hashBytes and hashList turn hashes into what messages have, and back.
func hashBytes(hashes []content.Root) []byte {
	text := make([]byte, 0, len(hashes)*len(content.Root{}))
	for _, h := range hashes {
		text = append(text, h[:]...)
	}
	return text
}

func hashList(text []byte) []content.Root {
	hashes := make([]content.Root, 0, len(text)/len(content.Root{}))
	for part := range slices.Chunk(text, len(content.Root{})) {
		hashes = append(hashes, content.Root(part))
	}
	return hashes
}
