package swarm

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/network/door"
	"kith.alt/kith/swarm/library"
	"kith.alt/kith/swarm/torrent"
	"kith.alt/kith/swarm/watch"
)

// Config is what a swarm needs of its node.
type Config struct {
	Self   kith.ID
	Key    ed25519.PrivateKey // signs what this host publishes
	Dir    string             // of the content store; made when needed
	Store  kith.Store
	Dial   func(context.Context, kith.Address) (net.Conn, error)
	Listen func(context.Context) (net.Listener, error) // on Port
	// ListenClients opens the port for torrent clients of this host.
	ListenClients func(context.Context) (net.Listener, error)
	Outside       door.Network // where torrent clients of other computers come from
	Members       func() []kith.Member
	Group         func() [32]byte         // names the group that they are members of; nil is always the same
	Paths         func() map[kith.ID]Path // to members to whom there is one
	Private       func(path string) bool  // holds what is never shared, or lies there
	Inside        func(path string) bool  // lies there
	Event         func(text string)       // tells the owner
	Log           *slog.Logger
	Metrics       *kith.Metrics
}

// A Path is how a member is reached at present.
type Path struct {
	Near      bool          // on a network of ours
	Since     time.Time     // another time means another path
	RoundTrip time.Duration // 0: not measured
}

// Swarm is this host's part in the swarms of its group. It is the node's
// [kith.Swarm], and safe for concurrent use once Load has returned.
type Swarm struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	store   *content.Store
	library *library.Library
	watcher *watch.Watcher
	uplink  *uplink
	down    bucket
	bans    bans
	limits  atomic.Pointer[kith.SwarmLimits]
	blank   []byte // a block of zeros
	began   time.Time
	door    *door.Door
	bare    bool        // content is gone, as after a restore from a backup
	unsaid  atomic.Bool // something came or went that members were not told

	listing  sync.Mutex // held while something is published, or it changes whether it is followed
	mu       sync.Mutex
	ctx      context.Context // of Serve; nil when it does not run
	work     sync.WaitGroup
	holdings map[kith.ContentID]*holding
	active   []*exchange
	turn     int // of active
	accounts map[kith.ID]*account
	talking  map[kith.ID]net.Conn // conversations about the library
	members  map[kith.ID]kith.Member
	paths    map[kith.ID]Path
	asked    time.Time // when members were
	changed  chan struct{}
	looks    chan struct{}

	clientAddress net.Addr // where torrent clients are served; nil if they are not
	clientServer  *torrent.Server
}

//go:embed migrations/*.sql
var migrations embed.FS

// New makes a swarm. It opens nothing.
func New(cfg Config) *Swarm {
	s := &Swarm{
		cfg: cfg, log: cfg.Log, began: time.Now(), blank: make([]byte, content.BlockSize),
		holdings: make(map[kith.ContentID]*holding), accounts: make(map[kith.ID]*account),
		talking: make(map[kith.ID]net.Conn), changed: make(chan struct{}), looks: make(chan struct{}, 1),
	}
	s.metrics = newMetrics(cfg.Metrics, s)
	s.limits.Store(new(kith.SwarmLimits))
	s.store = content.NewStore(content.Config{Dir: cfg.Dir, Store: cfg.Store, Log: cfg.Log, Metrics: cfg.Metrics})
	s.library = library.New(library.Config{
		Key: cfg.Key, Store: cfg.Store, Group: cfg.Group, Member: s.isMember, Changed: s.libraryChanged, Log: cfg.Log,
	})
	s.watcher = watch.New(watch.Config{Changed: s.changedOnDisk, Log: cfg.Log})
	s.uplink = newUplink(s.allUp, s.next, s.late)
	s.down.rate = s.allDown
	s.door = newDoor(cfg.Outside, door.Opening{}, cfg.Log)
	return s
}

// Load opens what is stored. Close closes it.
func (s *Swarm) Load(ctx context.Context) error {
	own, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if err := s.cfg.Store.Migrate(ctx, "swarm", own); err != nil {
		return err
	}
	_, err = os.Stat(s.cfg.Dir)
	s.bare = errors.Is(err, fs.ErrNotExist)
	if err := s.store.Open(ctx); err != nil {
		return fmt.Errorf("open content: %w", err)
	}
	if err := s.library.Open(ctx); err != nil {
		return fmt.Errorf("open library: %w", err)
	}
	err = s.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		if err := s.loadLimits(tx); err != nil {
			return fmt.Errorf("load limits: %w", err)
		}
		if err := s.loadDoor(tx); err != nil {
			return fmt.Errorf("load what is open: %w", err)
		}
		if err := s.loadAccounts(tx); err != nil {
			return fmt.Errorf("load contributions: %w", err)
		}
		return s.loadHoldings(tx)
	})
	if err != nil {
		return err
	}
	return s.followAll(ctx)
}

// Close closes what Load opened, after Serve has returned.
func (s *Swarm) Close() error { return s.store.Close() }

// Serve exchanges content with members until ctx ends. Ready, if not nil, is
// called once it listens.
func (s *Swarm) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ln, err := s.cfg.Listen(ctx)
	if ctx.Err() != nil {
		if err == nil {
			ln.Close()
		}
		return nil // it ended before it began
	} else if err != nil {
		return fmt.Errorf("listen for content: %w", err)
	}
	defer ln.Close()
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	defer s.rest()
	defer s.work.Wait()
	defer cancel()
	s.work.Go(func() { s.uplink.serve(ctx) })
	s.work.Go(func() { s.keepHouse(ctx) })
	s.work.Go(func() {
		if err := s.watcher.Serve(ctx); err != nil {
			s.log.Error("changes of what is published are not seen", "err", err)
		}
	})
	context.AfterFunc(ctx, func() { ln.Close() })
	s.work.Go(func() { s.serveClients(ctx) })
	if s.bare {
		s.work.Go(func() { s.findAll(ctx) })
	}
	s.resumeAll()
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("accept: %w", err)
		}
		s.work.Go(func() { s.answer(ctx, conn) })
	}
}

// rest notes that Serve has returned, and stores what was counted.
func (s *Swarm) rest() {
	s.mu.Lock()
	s.ctx = nil
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	s.saveCounts(ctx)
}

// answer serves a socket that a member opened.
func (s *Swarm) answer(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	peer, ok := kith.PeerOf(conn)
	if !ok || peer.Program || !s.isMember(peer.ID) {
		return
	}
	conn.SetDeadline(time.Now().Add(greetPatience))
	g, err := readGreeting(conn)
	if err != nil {
		s.log.Debug("no greeting", "peer", peer.ID.Short(), "err", err)
		return
	}
	if g.ask == askDescription || g.ask == askHashes {
		asks := s.accountOf(peer.ID).asks
		select {
		case asks <- struct{}{}:
			defer func() { <-asks }()
		case <-ctx.Done():
			return
		}
	}
	switch g.ask {
	case askDescription:
		if err := answerDescription(conn, s.description(g.content)); err != nil {
			s.log.Debug("description not given", "peer", peer.ID.Short(), "err", err)
		}
	case askBlocks:
		s.answerBlocks(ctx, conn, peer.ID, g)
	case askHashes:
		if err := s.answerHashes(ctx, conn, peer.ID, g.content); err != nil {
			s.log.Debug("no more hashes given", "peer", peer.ID.Short(), "err", err)
		}
	case askLibrary:
		conn.SetDeadline(time.Time{})
		s.converse(ctx, conn, peer.ID)
	}
}

// maxAsks is how many questions of a member are answered at a time, as a description
// is in memory until it is read: others wait. Of links and of conversations about the
// library there is one each.
const maxAsks = 64

// answerBlocks has a member take part in the exchange of a content.
func (s *Swarm) answerBlocks(ctx context.Context, conn net.Conn, host kith.ID, g greeting) {
	x, err := s.exchangeOf(g.content)
	if err != nil {
		conn.Write(welcome{verdict: verdictGone}.bytes())
		return
	}
	l := newLink(x, host, conn, false)
	if err := x.add(l); err != nil {
		conn.Write(welcome{verdict: verdictBusy}.bytes())
		return
	}
	if _, err := conn.Write(welcome{verdict: verdictHere, hosts: x.introduced(host)}.bytes()); err != nil {
		x.leave(l)
		return
	}
	conn.SetDeadline(time.Time{})
	x.meet(host)
	l.run(ctx)
}

// dialLink asks a member to exchange a content.
func (s *Swarm) dialLink(ctx context.Context, x *exchange, host kith.ID) (*link, error) {
	conn, err := s.dial(ctx, host)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(greetPatience))
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	w, err := func() (welcome, error) {
		if _, err := conn.Write(greeting{ask: askBlocks, content: x.id}.bytes()); err != nil {
			return welcome{}, fmt.Errorf("greet: %w", err)
		}
		w, err := readWelcome(conn)
		if err != nil {
			return w, err
		}
		return w, verdictError(w.verdict)
	}()
	if err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	l := newLink(x, host, conn, true)
	if err := x.add(l); err != nil {
		conn.Close()
		return nil, err
	}
	x.meet(w.hosts...)
	return l, nil
}

func (s *Swarm) dial(ctx context.Context, host kith.ID) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	return s.cfg.Dial(ctx, kith.Address{Host: host.String(), Port: Port})
}

// next gives a link the next block to send, as exchange.next does; the uplink asks when it
// has room. The exchanges take turns.
func (s *Swarm) next() (size int, waits bool) {
	s.mu.Lock()
	active := s.active
	s.turn++
	turn := s.turn
	s.mu.Unlock()
	for i := range active {
		size, full := active[(turn+i)%len(active)].next()
		if size > 0 {
			return size, false
		}
		waits = waits || full
	}
	return 0, waits
}

// late measures, on a link to which blocks were sent a moment ago, best on
// one that is free now, how much longer than the shortest one the way to the peer takes.
func (s *Swarm) late(ctx context.Context) (time.Duration, bool) {
	s.mu.Lock()
	active := s.active
	s.mu.Unlock()
	var best *link
	now, seen := time.Now(), 0
	for _, x := range active {
		x.mu.Lock()
		for _, l := range x.links {
			recently, free := l.sending(now)
			if recently && best == nil {
				best = l
			}
			if recently && free {
				if seen++; rand.IntN(seen) == 0 {
					best = l
				}
			}
		}
		x.mu.Unlock()
	}
	if best == nil {
		return 0, false
	}
	return best.late(ctx)
}

// Changed returns a channel that is closed at the next change.
func (s *Swarm) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Swarm) change() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Swarm) libraryChanged() {
	s.change()
	s.look()
}

// look has keepHouse look around.
func (s *Swarm) look() {
	select {
	case s.looks <- struct{}{}:
	default:
	}
}

// memberView returns the members by ID, as they were a moment ago.
func (s *Swarm) memberView() map[kith.ID]kith.Member { return s.membersSince(time.Second) }

func (s *Swarm) membersSince(moment time.Duration) map[kith.ID]kith.Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members == nil || time.Since(s.asked) > moment {
		s.members = make(map[kith.ID]kith.Member)
		for _, m := range s.cfg.Members() {
			s.members[m.ID] = m
		}
		s.paths = s.cfg.Paths()
		s.asked = time.Now()
	}
	return s.members
}

func (s *Swarm) isMember(host kith.ID) bool {
	_, ok := s.memberView()[host]
	if !ok { // it may have come this moment
		_, ok = s.membersSince(50 * time.Millisecond)[host]
	}
	return ok
}

// pathTo returns the path to a member, as it was a moment ago.
func (s *Swarm) pathTo(host kith.ID) Path {
	s.memberView()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paths[host]
}

// hostName is what people call a host.
func (s *Swarm) hostName(host kith.ID) string {
	if m, ok := s.memberView()[host]; ok {
		return m.Host
	}
	return host.Short()
}

func (s *Swarm) seed() uint64 { return rand.Uint64() }

var _ kith.Swarm = (*Swarm)(nil)
