package post

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"sync"
	"time"

	"kith.alt/kith"
)

// Port is where members reach each other's post on the overlay.
const Port = 3

//go:embed migrations/*.sql
var migrations embed.FS

// Config is what a post needs of its node. Its functions are called at any time, from
// any goroutine.
type Config struct {
	Self  kith.ID
	Key   ed25519.PrivateKey
	Store kith.Store
	Blobs kith.Blobs

	Dial   func(ctx context.Context, address kith.Address) (net.Conn, error)
	Listen func(ctx context.Context) (net.Listener, error) // on Port of the overlay

	Group     func() [32]byte      // names the group that this host is in
	Members   func() []kith.Member // this host included
	Connected func(kith.ID) bool   // there is a path to the member already, so that talking costs little

	SealKey func(kith.ID) []byte            // what letters to the member are sealed to, by its signed record; nil: not known
	ShowKey func(ctx context.Context) error // puts this host's [Post.OwnSealKey] into its record

	Log     *slog.Logger
	Metrics *kith.Metrics
}

// A Receiver is the side of an application that takes letters: functions of a
// [kith.Service], which says what they do. Either may be nil.
type Receiver struct {
	Receive func(ctx context.Context, tx *sql.Tx, letter kith.Letter) error
	Ended   func(ctx context.Context, tx *sql.Tx, letter kith.LetterStatus) error
}

// Post implements [kith.Post] for all applications of a host; [Post.For] is the one of each.
// It is safe for concurrent use once Load has returned.
type Post struct {
	cfg Config
	log *slog.Logger

	work   sync.WaitGroup
	house  chan struct{} // capacity 1: something is to be done
	posted chan struct{} // capacity 1: an application may have sent a letter
	inbox  chan struct{} // capacity 1: a letter for this host has come

	mu        sync.Mutex
	receivers map[string]Receiver // nil: not known yet
	limits    kith.PostLimits
	keys      []sealKey // of this host, the one in use first
	parcels   map[key]*parcel
	gaps      []gap     // since Load
	collected int64     // the last letter of this host that is a parcel
	mine      int       // letters of this host under way
	untold    bool      // an application may be to hear how a letter ended
	stored    usage     // of letters of others
	opened    usage     // of letters that were opened, and are kept
	leaving   time.Time // not zero: this host is a copy that stops, and hands over what came since then
	arriving  map[key]*talk
	talks     map[kith.ID][]*talk
	hosts     map[kith.ID]*host
	lost      map[key]bool // letters that this host had, and asks for again
	changed   chan struct{}
}

// A parcel is a sealed letter on this host, or a letter of this host that is to be
// sealed.
type parcel struct {
	key
	to     kith.ID
	number int64   // of a letter of this host; 0: another's
	header *header // nil: not sealed yet
	stale  bool    // to be sealed again

	arrived  time.Time
	done     bool // delivered; kept because its receiver asked for that, or in case this host is a copy
	again    bool // its receiver has lost it
	returned bool // by a copy of its receiver
	until    time.Time
	there    *talk             // in which its receiver said that it has it
	holders  map[kith.ID]proof // who has it, beside this host
	proof    proof             // that this host has it; nil: not made yet
	told     map[kith.ID]offer // what was offered to whom
	opening  bool              // the inbox is at it
	tries    int               // of the inbox
	next     time.Time         // when it tries again
}

func (p *parcel) own() bool { return p.number != 0 }

// with reports whether a host is known to have the letter. Of the receiver that is asked in each talk anew: it
// may have gone back to an old copy of its disk.
func (p *parcel) with(id kith.ID) bool {
	if id == p.to {
		return p.there != nil
	}
	return p.holders[id] != nil
}

// noteThere notes that the peer of a talk has the letter.
func (p *parcel) noteThere(t *talk) {
	if t.peer == p.to {
		p.there = t
	}
}

// An offer is how a peer took the last offer of a letter.
type offer struct {
	at     *talk     // waits for the answer, or the body, there
	next   time.Time // not before
	reason string
	full   int // how often there was no room for it
}

// New makes a post. It opens nothing.
func New(cfg Config) *Post {
	return &Post{
		cfg: cfg, log: cfg.Log,
		house: make(chan struct{}, 1), posted: make(chan struct{}, 1), inbox: make(chan struct{}, 1),
		parcels: make(map[key]*parcel), arriving: make(map[key]*talk), talks: make(map[kith.ID][]*talk),
		hosts: make(map[kith.ID]*host), changed: make(chan struct{}), untold: true,
	}
}

// Load reads what is stored. Nothing else may be called before.
func (p *Post) Load(ctx context.Context) error {
	own, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if err := p.cfg.Store.Migrate(ctx, "post", own); err != nil {
		return fmt.Errorf("open post: %w", err)
	}
	for _, load := range []func(context.Context) error{p.loadLimits, p.loadKeys, p.turnKeys, p.loadGaps, p.loadHeld, p.collect, p.loadHosts, p.loadLost} {
		if err := load(ctx); err != nil {
			return fmt.Errorf("open post: %w", err)
		}
	}
	p.cfg.Metrics.Gauge("kith_post_letters", "Letters of this host that are under way.", func() float64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return float64(p.mine)
	})
	p.cfg.Metrics.Gauge("kith_post_custody_bytes", "Bytes of letters that this host holds for others.", func() float64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return float64(p.stored.bytes)
	})
	return nil
}

// Register tells who takes letters. Letters for applications that are not among them are
// refused; until it is called, letters wait.
func (p *Post) Register(receivers map[string]Receiver) {
	p.mu.Lock()
	p.receivers = receivers
	p.mu.Unlock()
	nudge(p.inbox)
	nudge(p.house)
}

// Serve carries letters until ctx ends, then returns nil within a bounded time.
func (p *Post) Serve(ctx context.Context) error {
	ln, err := p.cfg.Listen(ctx)
	if ctx.Err() != nil {
		return nil
	} else if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer p.work.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for _, task := range []func(context.Context){p.keepHouse, p.collectPosted, p.openLetters} {
		p.work.Go(func() { task(ctx) })
	}
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("post: %w", err)
		}
		peer, ok := kith.PeerOf(conn)
		if !ok || peer.Program {
			conn.Close()
			continue
		}
		p.work.Go(func() { p.converse(ctx, conn, peer.ID) })
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Changed returns a channel that is closed when the status of a letter changes.
func (p *Post) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// noteChange tells those who wait for Changed. The caller holds mu.
func (p *Post) noteChangeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// members returns the other members, as this host sees them now.
func (p *Post) members() map[kith.ID]kith.Member {
	all := make(map[kith.ID]kith.Member)
	for _, m := range p.cfg.Members() {
		all[m.ID] = m
	}
	return all
}

func (p *Post) group() []byte {
	g := p.cfg.Group()
	return g[:]
}
