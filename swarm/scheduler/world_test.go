package scheduler_test

import (
	"math/rand/v2"
	"slices"
	"time"

	"kith.alt/kith/swarm/scheduler"
)

// Sizes on the simulated wire, in bytes.
const (
	blockBytes   = (16 << 10) * overhead
	overhead     = 1.05 // headers of every layer around a block
	requestBytes = 17
	haveBytes    = 9
	creditBytes  = 10
	shortBytes   = 5
	frameBytes   = 100 // around messages where no block goes the same way
)

// A link is the rates of a host in bits a second, and how it behaves.
type link struct {
	up, down float64
	mute     bool // it announces and takes, and sends no block
	liar     bool // it announces everything and sends wrong blocks
}

// A world is hosts that take one content, in virtual time. A host is joined to the
// others by an uplink and a downlink, each a queue with a rate; what was put on an
// uplink leaves in order, and what is put there is decided when it has room.
type world struct {
	blocks  int
	now     time.Duration
	events  events
	serial  uint64
	random  *rand.Rand
	hosts   []*host
	delays  map[[2]int]time.Duration
	waiting int // takers that are not complete
	degree  int // how many others a host knows
	onBlock func(w *world, h *host)
	nearby  func(a, b int) bool
	queue   int           // messages that are put on an uplink before their time
	most    time.Duration // of a path

}

type host struct {
	id    int
	link  link
	state *scheduler.Scheduler
	bits  []byte // what it has, for when it comes back
	here  bool
	seed  bool
	guest bool // not counted
	epoch int

	control  []message
	queued   int           // messages on the uplink
	upFree   time.Duration // when they have left
	downFree time.Duration
	wake     time.Duration
	flight   map[int]int // blocks under way to a host
	arrive   map[int]time.Duration
	done     time.Duration
	sent     int // blocks
	received int
	extra    float64 // bytes of control
	reports  []scheduler.Order
}

// A message is a block, or orders, on its way.
type message struct {
	from, to int
	epochs   [2]int
	send     *scheduler.Send
	orders   []scheduler.Order
	bitmap   []byte
	bytes    float64
}

type event struct {
	at     time.Duration
	serial uint64
	kind   int
	host   int
	epoch  int
	peer   int
	msg    *message
	do     func()
}

const (
	evSent = iota
	evReach
	evTaken
	evAcked
	evWake
	evPart
	evDo
)

// events are a heap: the next one first.
type events []*event

func (e events) before(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].serial < e[j].serial
}

func (e *events) push(one event) {
	*e = append(*e, &one)
	for list, i := *e, len(*e)-1; i > 0 && list.before(i, (i-1)/4); i = (i - 1) / 4 {
		list[i], list[(i-1)/4] = list[(i-1)/4], list[i]
	}
}

func (e *events) pop() *event {
	list := *e
	first, last := list[0], len(list)-1
	list[0] = list[last]
	list[last] = nil
	list = list[:last]
	for i := 0; ; {
		least := i
		for child := 4*i + 1; child <= 4*i+4 && child < last; child++ {
			if list.before(child, least) {
				least = child
			}
		}
		if least == i {
			*e = list
			return first
		}
		list[i], list[least] = list[least], list[i]
		i = least
	}
}

func newWorld(bytes int64, seed uint64) *world {
	return &world{degree: 40, most: 30 * time.Millisecond, blocks: int((bytes + 16<<10 - 1) / (16 << 10)), random: rand.New(rand.NewPCG(seed, 1)), delays: make(map[[2]int]time.Duration)}
}

func (w *world) add(l link, seed bool) *host {
	h := &host{id: len(w.hosts), link: l, seed: seed, flight: make(map[int]int), arrive: make(map[int]time.Duration), bits: make([]byte, (w.blocks+7)/8)}
	if seed {
		for i := range h.bits {
			h.bits[i] = 0xff
		}
	} else {
		w.waiting++
	}
	w.hosts = append(w.hosts, h)
	return h
}

func (w *world) after(d time.Duration, e event) {
	w.serial++
	e.at, e.serial = w.now+d, w.serial
	w.events.push(e)
}

func (w *world) at(t time.Duration, do func()) { w.after(t-w.now, event{kind: evDo, do: do}) }

func (w *world) delay(a, b int) time.Duration {
	key := [2]int{min(a, b), max(a, b)}
	d, ok := w.delays[key]
	if !ok {
		d = w.most/6 + time.Duration(w.random.Int64N(int64(w.most-w.most/6)))
		w.delays[key] = d
	}
	return d + time.Duration(w.random.Int64N(int64(w.most/15)))
}

// enter brings a host in that joins hosts which are here.
func (w *world) enter(h *host) {
	w.start(h)
	others := w.others(h)
	for _, o := range others[:min(w.degree, len(others))] {
		w.join(h, o)
	}
	w.step(h)
}

// enterAll brings all hosts in at once.
func (w *world) enterAll() {
	for _, h := range w.hosts {
		w.start(h)
	}
	joined := make(map[[2]int]bool)
	for _, h := range w.hosts {
		others := w.others(h)
		if len(others) > w.degree {
			others = others[:w.degree/2] // as many choose it
		}
		for _, o := range others {
			if pair := [2]int{min(h.id, o.id), max(h.id, o.id)}; !joined[pair] {
				joined[pair] = true
				w.join(h, o)
			}
		}
	}
}

func (w *world) start(h *host) {
	h.here, h.epoch, h.queued, h.upFree, h.wake, h.control = true, h.epoch+1, 0, 0, scheduler.Never, nil
	clear(h.flight)
	h.state = scheduler.New(scheduler.Config{Blocks: w.blocks, Have: h.bits, Seed: uint64(h.id)<<8 + uint64(h.epoch)})
}

// others returns the hosts that are here, in random order.
func (w *world) others(h *host) []*host {
	var others []*host
	for _, o := range w.hosts {
		if o.here && o != h {
			others = append(others, o)
		}
	}
	w.random.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	return others
}

func (w *world) join(a, b *host) {
	if a == b {
		return
	}
	for _, pair := range [...][2]*host{{a, b}, {b, a}} {
		from, to := pair[0], pair[1]
		near := w.nearby != nil && w.nearby(from.id, to.id)
		from.state.Join(w.now, scheduler.Peer(to.id), scheduler.Traits{Credits: true, Near: near})
	}
	for _, pair := range [...][2]*host{{a, b}, {b, a}} {
		from, to := pair[0], pair[1]
		bits := slices.Clone(from.bits)
		if from.link.liar {
			for i := range bits {
				bits[i] = 0xff
			}
		}
		w.put(from, message{to: to.id, bitmap: bits, bytes: frameBytes + float64(len(bits))})
	}
	w.step(b)
}

// leave takes a host out, at once: what is on the way to and from it is lost.
func (w *world) leave(h *host) {
	h.here = false
	h.epoch++
	for _, o := range w.hosts {
		if o.here && o.flight != nil {
			o.state.Leave(w.now, scheduler.Peer(h.id))
			delete(o.flight, h.id)
			w.step(o)
		}
	}
}

func (w *world) put(h *host, m message) {
	m.from = h.id
	m.epochs = [2]int{h.epoch, w.hosts[m.to].epoch}
	h.extra += m.bytes
	h.control = append(h.control, m)
}

// step does what a host can do now.
func (w *world) step(h *host) {
	if !h.here {
		return
	}
	w.orders(h, -1)
	for h.queued <= w.queue {
		if len(h.control) > 0 {
			m := h.control[0]
			h.control = h.control[1:]
			w.transmit(h, &m)
			continue
		}
		if h.link.mute {
			break
		}
		send, ok := h.state.Next(w.now, func(p scheduler.Peer) bool { return h.flight[int(p)] < w.flightLimit(h) })
		if !ok {
			break
		}
		h.flight[int(send.Peer)]++
		h.sent++
		to := w.hosts[send.Peer]
		w.transmit(h, &message{from: h.id, to: to.id, epochs: [2]int{h.epoch, to.epoch}, send: &send, bytes: blockBytes})
		w.orders(h, to.id)
	}
	if at := max(h.state.Wake(), w.now); at < h.wake {
		h.wake = at
		if at != scheduler.Never {
			w.after(at-w.now, event{kind: evWake, host: h.id, epoch: h.epoch})
		}
	}
}

func (w *world) flightLimit(h *host) int { return 8 + int(h.link.up*0.5/8/blockBytes) }

func (w *world) orders(h *host, along int) {
	batches := make(map[int]*message)
	var order []*message
	h.state.Orders(w.now, func(o scheduler.Order) {
		if o.Kind == scheduler.Report {
			h.reports = append(h.reports, o)
			return
		}
		if o.Kind == scheduler.Expel {
			w.after(0, event{kind: evPart, host: h.id, epoch: h.epoch, peer: int(o.Peer)})
			return
		}
		m := batches[int(o.Peer)]
		if m == nil {
			m = &message{to: int(o.Peer)}
			if m.to != along {
				m.bytes = frameBytes
			}
			batches[m.to] = m
			order = append(order, m)
		}
		m.orders = append(m.orders, o)
		switch o.Kind {
		case scheduler.Have:
			m.bytes += haveBytes
		case scheduler.Credit:
			m.bytes += creditBytes
		case scheduler.Choke, scheduler.Unchoke:
			m.bytes += shortBytes
		default:
			m.bytes += requestBytes
		}
	})
	for _, m := range order {
		w.put(h, *m)
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (w *world) transmit(h *host, m *message) {
	h.queued++
	h.upFree = max(h.upFree, w.now) + seconds(m.bytes*8/h.link.up)
	w.after(h.upFree-w.now, event{kind: evSent, host: h.id, epoch: h.epoch, msg: m})
}

// run goes on until all takers are complete, or for limit.
func (w *world) run(limit time.Duration) bool {
	for w.waiting > 0 && len(w.events) > 0 && w.now < limit {
		w.next()
	}
	return w.waiting == 0
}

// next lets the next event happen.
func (w *world) next() {
	e := w.events.pop()
	w.now = e.at
	w.handle(e)
}

func (w *world) handle(e *event) {
	if e.kind == evDo {
		e.do()
		return
	}
	h := w.hosts[e.host]
	if e.msg != nil {
		if w.hosts[e.msg.from].epoch != e.msg.epochs[0] || w.hosts[e.msg.to].epoch != e.msg.epochs[1] {
			if e.kind == evSent && e.epoch == h.epoch {
				h.queued--
				w.step(h)
			}
			return
		}
	} else if e.epoch != h.epoch {
		return
	}
	switch e.kind {
	case evSent:
		h.queued--
		at := w.now + w.delay(e.msg.from, e.msg.to)
		at = max(at, h.arrive[e.msg.to])
		h.arrive[e.msg.to] = at
		w.after(at-w.now, event{kind: evReach, host: e.msg.to, msg: e.msg})
	case evReach:
		h.downFree = max(h.downFree, w.now) + seconds(e.msg.bytes*8/h.link.down)
		w.after(h.downFree-w.now, event{kind: evTaken, host: h.id, msg: e.msg})
		return
	case evTaken:
		w.take(h, e.msg)
		if !h.here {
			return
		}
	case evAcked:
		h.flight[e.msg.to]--
	case evPart:
		h.state.Leave(w.now, scheduler.Peer(e.peer))
		w.hosts[e.peer].state.Leave(w.now, scheduler.Peer(h.id))
	case evWake:
		if e.at != h.wake {
			return // an earlier one came between
		}
		h.wake = scheduler.Never
	}
	w.step(h)
}

func (w *world) take(h *host, m *message) {
	from := scheduler.Peer(m.from)
	switch {
	case m.bitmap != nil:
		h.state.PeerHasBitmap(w.now, from, m.bitmap)
	case m.send != nil:
		w.after(w.delay(m.from, m.to), event{kind: evAcked, host: m.from, msg: m})
		block := m.send.Block
		if w.hosts[m.from].link.liar {
			h.state.Wrong(w.now, from, block)
			return
		}
		before := h.state.Lacking()
		h.state.Arrived(w.now, from, block)
		h.received++
		h.bits[block>>3] |= 0x80 >> (block & 7)
		if h.state.Complete() && before > 0 && !h.guest {
			h.done = w.now
			w.waiting--
		}
		if w.onBlock != nil {
			w.onBlock(w, h)
		}
	default:
		for _, o := range m.orders {
			switch o.Kind {
			case scheduler.Request:
				h.state.PeerWants(w.now, from, o.Block)
			case scheduler.Cancel:
				h.state.PeerUnwants(w.now, from, o.Block)
			case scheduler.Have:
				h.state.PeerHas(w.now, from, o.Block)
			case scheduler.Reject:
				h.state.PeerRefused(w.now, from, o.Block)
			case scheduler.Choke, scheduler.Unchoke:
				h.state.PeerChokes(w.now, from, o.Kind == scheduler.Choke)
			case scheduler.Credit:
				h.state.PeerCredit(w.now, from, o.Count)
			}
		}
	}
}
