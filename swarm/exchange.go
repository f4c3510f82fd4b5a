package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
	"kith.alt/kith/swarm/scheduler"
)

const (
	// group is how many neighbouring blocks of a file have their hashes sent
	// together, with one proof.
	group = 32

	maxLinks  = 80 // of one content; a taker dials up to wantLinks
	wantLinks = 40
	ownLinks  = 20 // that a taker dials however many come: those may be of no use
	maxHeld   = 64 // blocks of a link that wait for their hashes
)

// An exchange is one content on its way between this host and its peers. It is
// there while somebody takes it, here or elsewhere.
type exchange struct {
	swarm       *Swarm
	id          kith.ContentID
	log         *slog.Logger
	description *bittorrent.Description
	files       []*content.File    // as the description has them
	roots       map[[32]byte][]int // files by their roots: some are the same
	started     time.Time
	wakes       chan struct{}
	quit        chan struct{}  // closed when it is to end
	ended       chan struct{}  // closed when it is over, and its files are closed
	work        sync.WaitGroup // what uses its files

	received, sent atomic.Int64 // bytes of content

	mu       sync.Mutex
	ending   bool
	done     chan struct{} // closed when all blocks are here
	plan     *scheduler.Scheduler
	links    map[scheduler.Peer]*link
	hosts    map[kith.ID]*link
	clients  map[scheduler.Peer]*client
	told     []*link // scratch of actLocked
	numbers  scheduler.Peer
	known    map[kith.ID]*candidate
	groups   map[int]*link // groups of hashes that are asked for, and whom
	pieces   map[int]*gathering
	givers   []uint32      // of blocks that are held: the client; nil while none was
	looked   time.Time     // at pieces
	progress chan struct{} // closed when a block arrives; nil while nobody waits
	failure  error         // why blocks are not kept
	quiet    time.Time     // since when there is no link
}

// A candidate is a host that may have, or take, the content.
type candidate struct {
	next    time.Time // not to be dialled before
	failed  int
	dialing bool
}

func newExchange(s *Swarm, id kith.ContentID, description *bittorrent.Description, files []*content.File) *exchange {
	x := &exchange{
		swarm: s, id: id, log: s.log.With("content", id.String()[:8]),
		description: description, files: files,
		started: time.Now(), quiet: time.Now(),
		wakes: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}), done: make(chan struct{}),
		links: make(map[scheduler.Peer]*link), hosts: make(map[kith.ID]*link), clients: make(map[scheduler.Peer]*client),
		known:  make(map[kith.ID]*candidate),
		groups: make(map[int]*link), pieces: make(map[int]*gathering), roots: make(map[[32]byte][]int),
	}
	for i, f := range description.Files {
		x.roots[f.Root] = append(x.roots[f.Root], i)
	}
	have := make([]byte, (description.Blocks()+7)/8)
	missing, first := description.Blocks(), 0
	for _, f := range files {
		for b := range f.Blocks() {
			if f.Has(b) {
				have[(first+b)/8] |= 0x80 >> ((first + b) % 8)
				missing--
			}
		}
		first += f.Blocks()
	}
	if missing == 0 {
		close(x.done)
	}
	x.plan = scheduler.New(scheduler.Config{Blocks: description.Blocks(), Have: have, Group: group, Seed: s.seed()})
	x.resumeClaims()
	return x
}

func (x *exchange) now() time.Duration { return time.Since(x.started) }

// complete reports whether all blocks are here. The exchange is locked.
func (x *exchange) complete() bool {
	select {
	case <-x.done:
		return true
	default:
		return false
	}
}

func (x *exchange) isComplete() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.complete()
}

// wake has serve look again.
func (x *exchange) wake() {
	select {
	case x.wakes <- struct{}{}:
	default:
	}
}

// serve finds peers and does what is due until ctx ends.
func (x *exchange) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer x.work.Wait()
	defer x.endLinks()
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-x.wakes:
		case <-ctx.Done():
			return
		}
		x.mu.Lock()
		if !x.complete() {
			x.dialLocked(ctx)
		}
		x.lookLocked()
		wait := x.actLocked()
		x.mu.Unlock()
		timer.Reset(min(max(wait, time.Millisecond), time.Second))
	}
}

func (x *exchange) endLinks() {
	x.mu.Lock()
	x.ending = true
	close(x.quit)
	links, clients := slices.Collect(maps.Values(x.links)), slices.Collect(maps.Values(x.clients))
	x.mu.Unlock()
	for _, l := range links {
		l.conn.Close()
	}
	for _, c := range clients {
		c.peer.Close()
	}
}

// meet notes hosts that may have the content.
func (x *exchange) meet(hosts ...kith.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, host := range hosts {
		if host == x.swarm.cfg.Self || !x.swarm.isMember(host) {
			continue
		}
		if c := x.known[host]; c == nil {
			x.known[host] = new(candidate)
		} else if c.failed == 0 {
			c.next = time.Time{}
		}
	}
	x.wake()
}

// forgive has hosts that came back dialled without delay.
func (x *exchange) forgive(hosts []kith.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, host := range hosts {
		if c := x.known[host]; c != nil {
			c.failed, c.next = 0, time.Time{}
		}
	}
}

const (
	maxDials      = 16              // at a time
	shortLink     = 5 * time.Second // a link that ends sooner is a failure
	dialPatience  = 20 * time.Second
	askAgain      = 10 * time.Second // whoever did not have it
	longestRetry  = 2 * time.Minute
	shortestRetry = time.Second
)

// dialLocked dials hosts that may have it.
func (x *exchange) dialLocked(ctx context.Context) {
	now, dialing, own := time.Now(), 0, x.ownLocked()
	for _, c := range x.known {
		if c.dialing {
			dialing++
		}
	}
	for host, c := range x.known {
		if len(x.links)+dialing >= wantLinks && own+dialing >= ownLinks || dialing >= maxDials {
			return
		}
		if c.dialing || x.hosts[host] != nil || c.next.After(now) || x.swarm.bans.holds(x.id, host, now) || !x.swarm.isMember(host) {
			continue
		}
		c.dialing = true
		dialing++
		x.work.Go(func() { x.dial(ctx, host, c) })
	}
}

// ownLocked returns how many links were dialled here.
func (x *exchange) ownLocked() (own int) {
	for _, l := range x.links {
		if l.dialled {
			own++
		}
	}
	return own
}

func (x *exchange) dial(ctx context.Context, host kith.ID, c *candidate) {
	l, err := x.swarm.dialLink(ctx, x, host)
	x.mu.Lock()
	c.dialing = false
	switch {
	case err == nil:
	case errors.Is(err, kith.NotFound), errors.Is(err, kith.Refused):
		c.failed, c.next = 0, time.Now().Add(askAgain)
	default:
		c.fail()
	}
	x.mu.Unlock()
	if err != nil {
		x.log.Debug("no exchange with member", "peer", host.Short(), "err", err)
		return
	}
	l.run(ctx)
	x.mu.Lock()
	if c.failed = 0; time.Since(l.since) < shortLink {
		c.fail()
	}
	x.mu.Unlock()
	x.wake()
}

// fail has a host wait before it is dialled again, each time longer.
func (c *candidate) fail() {
	c.next = time.Now().Add(min(shortestRetry<<min(c.failed, 10), longestRetry))
	c.failed++
}

// introduced are the hosts that a newcomer is told of.
func (x *exchange) introduced(newcomer kith.ID) []kith.ID {
	x.mu.Lock()
	defer x.mu.Unlock()
	var hosts []kith.ID
	for host := range x.hosts {
		if host != newcomer && len(hosts) < maxIntroduced {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// add takes a link into service. Where there is one with that host already,
// both sides keep the one that the smaller ID dialled.
func (x *exchange) add(l *link) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ending {
		return fmt.Errorf("it is not exchanged any more: %w", kith.Temporary)
	}
	if x.swarm.bans.holds(x.id, l.host, time.Now()) {
		return fmt.Errorf("it sent what is wrong: %w", kith.Denied)
	}
	if old := x.hosts[l.host]; old != nil {
		smallest := string(x.swarm.cfg.Self[:]) < string(l.host[:])
		if old.dialled != l.dialled && l.dialled != smallest {
			return fmt.Errorf("it dialled at the same time: %w", kith.Exists)
		}
		x.removeLocked(old)
		old.conn.Close()
	}
	if len(x.links) >= maxLinks || !l.dialled && !x.complete() && len(x.links)-x.ownLocked() >= maxLinks-ownLinks {
		return errTooMany
	}
	x.work.Add(1)
	x.numbers++
	l.number = x.numbers
	l.has = make([]byte, (x.description.Blocks()+7)/8)
	x.links[l.number], x.hosts[l.host] = l, l
	for host, other := range x.hosts {
		if host != l.host && time.Since(other.since) < recentlyMet {
			other.introduce(l.host) // it was told of the others before this one came
		}
	}
	x.plan.Join(x.now(), l.number, scheduler.Traits{Near: l.near, Credits: true})
	return nil
}

// recentlyMet is how long hosts that link hears of those that come after.
const recentlyMet = 5 * time.Second

// leave takes a link out of service, once, and lets go of the files.
func (x *exchange) leave(l *link) {
	defer x.work.Done()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.removeLocked(l)
	x.actLocked()
}

func (x *exchange) removeLocked(l *link) {
	if x.links[l.number] != l {
		return
	}
	delete(x.links, l.number)
	if x.hosts[l.host] == l {
		delete(x.hosts, l.host)
	}
	for g, asked := range x.groups {
		if asked == l {
			delete(x.groups, g)
		}
	}
	if len(x.links) == 0 {
		x.quiet = time.Now()
	}
	x.plan.Leave(x.now(), l.number)
}

// ban ends the link with a peer that sent what is wrong and has none for a while.
func (x *exchange) ban(l *link, why string) {
	x.swarm.bans.add(x.id, l.host, time.Now())
	x.mu.Lock()
	x.removeLocked(l)
	x.mu.Unlock()
	l.conn.Close()
	x.log.Warn("member blocked for this content", "peer", l.host.Short(), "host", x.swarm.hostName(l.host), "why", why)
	x.swarm.metrics.banned.Add(1)
}

// actLocked hands out what the plan has to say to peers, and returns how long
// until something is due. Uplinks are kicked, as there may be something to send.
func (x *exchange) actLocked() time.Duration {
	now := x.now()
	told := x.told[:0]
	x.plan.Orders(now, func(o scheduler.Order) {
		if l := x.links[o.Peer]; l != nil {
			x.orderLocked(l, o)
			if len(told) == 0 || told[len(told)-1] != l {
				told = append(told, l)
			}
		} else if c := x.clients[o.Peer]; c != nil {
			c.order(o)
		}
	})
	for _, l := range told {
		l.wake()
	}
	clear(told)
	x.told = told
	x.swarm.uplink.kick()
	return x.plan.Wake() - now
}

// orderLocked puts down what to tell a peer; the caller wakes the link.
func (x *exchange) orderLocked(l *link, o scheduler.Order) {
	switch o.Kind {
	case scheduler.Request:
		x.askHashesLocked(l, o.Block)
		l.put(x.about(bittorrent.Request, o.Block))
	case scheduler.Cancel:
		l.put(x.about(bittorrent.Cancel, o.Block))
	case scheduler.Reject:
		l.put(x.about(bittorrent.Reject, o.Block))
	case scheduler.Have:
		l.put(bittorrent.Message{Type: bittorrent.Have, Index: uint32(o.Block)})
	case scheduler.Choke:
		l.put(bittorrent.Message{Type: bittorrent.Choke})
	case scheduler.Unchoke:
		l.put(bittorrent.Message{Type: bittorrent.Unchoke})
	case scheduler.Credit:
		l.put(credit(o.Count))
	case scheduler.Report:
		x.log.Warn("member is asked for little from now on", "peer", l.host.Short(), "host", x.swarm.hostName(l.host), "why", o.Reason)
	}
}

// about is a message about a block.
func (x *exchange) about(kind bittorrent.Type, block int) bittorrent.Message {
	return bittorrent.Message{Type: kind, Index: uint32(block), Length: uint32(x.length(block))}
}

// askHashesLocked asks a peer for the hashes of the group of a block, unless
// they are here or somebody was asked. The caller wakes the link.
func (x *exchange) askHashesLocked(l *link, block int) {
	file, at, _ := x.description.Locate(block)
	if x.files[file].HasHashes(at) {
		return
	}
	key := block - at%group
	if x.groups[key] != nil {
		return
	}
	x.groups[key] = l
	m := hashRequest(x.files[file], at)
	m.Type = bittorrent.HashRequest
	l.put(m)
}

// bitmapLocked says what is here, the first block in the highest bit.
func (x *exchange) bitmapLocked() []byte {
	bitmap := make([]byte, (x.description.Blocks()+7)/8)
	for b := range x.description.Blocks() {
		if x.plan.Has(b) {
			bitmap[b/8] |= 0x80 >> (b % 8)
		}
	}
	return bitmap
}

func (x *exchange) length(block int) int {
	_, _, length := x.description.Locate(block)
	return length
}

// next gives the next block to a link that has room for it, and returns its size. Where it
// gives none it says whether one waits for a link that is busy.
func (x *exchange) next() (size int, waits bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now, atOnce := time.Now(), x.swarm.uplink.atOnce()
	send, ok := x.plan.Next(x.now(), func(p scheduler.Peer) bool {
		l := x.links[p]
		if l == nil {
			return false
		}
		ready, busy := l.ready(now, atOnce)
		waits = waits || busy
		return ready
	})
	if !ok {
		return 0, waits
	}
	x.actLocked() // what is to be told goes with the block
	size = x.length(send.Block)
	x.links[send.Peer].give(send, size)
	return size + blockOverhead, false
}

// What leaves costs more on the line than its bytes: a block its header and two
// records of TLS and the carrier, messages without a block a frame of their own.
const (
	segment        = 1428 // bytes of TCP in a frame, on IPv6
	recordOverhead = 34   // of TLS and the carrier
	blockOverhead  = 13 + 2*recordOverhead
	frameOverhead  = recordOverhead + 66
)

// arrived takes a block that a member sent.
func (x *exchange) arrived(l *link, block int, data []byte) error {
	err := x.keep(l.number, block, data)
	switch {
	case err == nil:
		l.count(len(data))
	case errors.Is(err, content.ErrNoHashes):
		l.hold(block, data)
	case errors.Is(err, kith.Invalid):
		return err
	default:
		x.fail(err)
	}
	return nil
}

// keep stores a block that a peer sent. It fails with kind Invalid when the block is
// wrong, and with content.ErrNoHashes.
func (x *exchange) keep(from scheduler.Peer, block int, data []byte) error {
	if block < 0 || block >= x.description.Blocks() { // a number beyond an int is below zero
		return fmt.Errorf("block %d of %d: %w", block, x.description.Blocks(), kith.Invalid)
	}
	file, at, length := x.description.Locate(block)
	if len(data) != length {
		return fmt.Errorf("block %d has %d bytes, %d came: %w", block, length, len(data), kith.Invalid)
	}
	if err := x.files[file].WriteBlock(at, data); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.failure = nil
	x.arrivedLocked(from, block)
	for _, twin := range x.roots[x.description.Files[file].Root] {
		if twin != file && !x.plan.Has(x.blockOf(twin, at)) {
			x.arrivedLocked(0, x.blockOf(twin, at)) // the same bytes in another file
		}
	}
	return nil
}

func (x *exchange) arrivedLocked(from scheduler.Peer, block int) {
	was := x.plan.Complete()
	x.cameLocked(block)
	x.plan.Arrived(x.now(), from, block)
	if !was && x.plan.Complete() {
		close(x.done)
	}
	if x.progress != nil {
		close(x.progress)
		x.progress = nil
	}
	x.actLocked()
}

// fail pauses the content: blocks cannot be kept.
func (x *exchange) fail(err error) {
	x.mu.Lock()
	x.failure = err
	x.mu.Unlock()
	x.swarm.failed(x.id, err)
}

// lost notes that a block that was here is not, or is not right any more.
func (x *exchange) lost(block int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.plan.Has(block) {
		x.plan.Lost(x.now(), block)
		if x.complete() {
			x.done = make(chan struct{})
		}
		x.wake()
	}
}

// errEnded is of an exchange that is over.
var errEnded = fmt.Errorf("it is not exchanged at present: %w", kith.Temporary)

// completed returns a channel that is closed when all blocks are here.
func (x *exchange) completed() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.done
}

// unsent notes that a block which was to be sent is not here, or not right, any more.
func (x *exchange) unsent(s scheduler.Send) {
	x.lost(s.Block)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.plan.Unsent(x.now(), s)
	x.actLocked()
}

// await waits until a block is here. It fails with errEnded when the exchange ends.
func (x *exchange) await(ctx context.Context, block int) error {
	for {
		x.mu.Lock()
		if x.plan.Has(block) {
			x.mu.Unlock()
			return nil
		}
		if err := x.failure; err != nil {
			x.mu.Unlock()
			return err
		}
		if x.progress == nil {
			x.progress = make(chan struct{})
		}
		progress := x.progress
		x.mu.Unlock()
		select {
		case <-progress:
		case <-x.ended:
			return errEnded
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
