package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/account"
	"kith.alt/kith/blob"
	"kith.alt/kith/certificate"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/group"
	"kith.alt/kith/mesh"
	"kith.alt/kith/network/composite"
	"kith.alt/kith/network/door"
	"kith.alt/kith/network/overlay"
	"kith.alt/kith/post"
	"kith.alt/kith/store/sqlite"
	"kith.alt/kith/swarm"
)

// grace is what a stopping node gives its services, all together. The contract
// allows five seconds from the signal to the exit.
const grace = 4 * time.Second

// Config is how to run a node. The zero value of a field means its default, or
// what the first start stored.
type Config struct {
	Data   string // the data directory; made on the first start
	Name   string // asked for: the host's name, a valid label
	Group  string // asked for: the name of the group to found
	Ticket string // join this group instead; nothing is made unless admitted

	PortBase       int    // 0: the default loopback ports; config.AnyPort: free ones
	OverlayPort    int    // 0: 4747, or what was taken before
	OverlayHost    string // the address that the overlay binds; "": every interface, and members are found by multicast
	SharedLoopback bool   // other users of this computer may use the loopback ports

	Settings   control.Settings // asked for
	DHTNodes   []string         // HOST:PORT of nodes by which to take part in the DHT
	SuspendFor time.Duration    // that sockets wait for a path

	Apps    []kith.App
	Log     *slog.Logger
	Version string
}

// Node is a host of a group. It implements [control.Node] and is safe for
// concurrent use once [Node.Ready] is closed.
type Node struct {
	cfg     Config
	log     *slog.Logger
	metrics *kith.Metrics
	started time.Time
	ready   chan struct{}
	stop    chan struct{}
	stopped sync.Once

	id           kith.ID
	key          ed25519.PrivateKey
	dir          *config.Dir
	store        *sqlite.Store
	blobs        *blob.Store
	accounts     *account.Accounts
	certificates *certificate.Authority
	doors        map[string]*door.Door // by application
	doorNews     chan struct{}         // has a message after what is open changed
	names        *names
	overlay      *overlay.Overlay
	mesh         *mesh.Mesh
	swarm        *swarm.Swarm
	post         *post.Post
	receivers    map[string]post.Receiver // of letters, by application
	run          group.Run
	restores     int
	twin         chan error         // why this host is not to go on
	sockets      kith.Network       // for the node and its applications
	programs     *composite.Network // for local programs: kith dial, package client
	browsing     *composite.Network // for the gateway
	current      atomic.Pointer[membership]
	changing     sync.Mutex // joining and leaving, one at a time

	opening     sync.Mutex // the overlay's port, one at a time
	overlayPort atomic.Uint32
	letIn       atomic.Int64 // when a ticket was last redeemed here, Unix nanoseconds

	events chan control.Event

	mu         sync.Mutex
	listeners  []control.Listener
	otherNames map[string][]string // than those of accounts, by application
}

// New checks the configuration and makes a node. It opens nothing.
func New(cfg Config) (*Node, error) {
	for _, label := range []string{cfg.Name, cfg.Group} {
		if label == "" {
			continue
		}
		if err := kith.CheckLabel(label); err != nil {
			return nil, err
		}
	}
	if cfg.Data == "" {
		return nil, fmt.Errorf("no data directory: %w", kith.Invalid)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Node{
		cfg:     cfg,
		log:     cfg.Log,
		metrics: new(kith.Metrics),
		ready:   make(chan struct{}),
		stop:    make(chan struct{}),
		events:  make(chan control.Event, maxEvents),
		twin:    make(chan error, 1),

		otherNames: make(map[string][]string),
	}, nil
}

// Ready is closed once every listener accepts and, when there was a ticket, the
// group admitted this host.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Stop makes Serve return.
func (n *Node) Stop(context.Context) error {
	n.stopped.Do(func() { close(n.stop) })
	return nil
}

// Serve runs the node until ctx ends or Stop is called, then returns nil within
// five seconds. It fails when the node cannot start: another node holds the
// data directory (kind InUse), the directory cannot be written, the stored
// names differ from those asked for, the ticket was refused; and later, with kind Exists, when a
// copy of this host runs on another computer and began earlier.
func (n *Node) Serve(ctx context.Context) (err error) {
	n.started = time.Now()
	if err := n.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()

	run := &supervisor{log: n.log, failed: func(service string, err error) {
		n.event("%s failed and starts again: %v", service, err)
	}}
	defer run.stop(grace)
	if err := n.start(ctx, run); err != nil {
		return err
	}
	close(n.ready)
	select {
	case <-ctx.Done():
	case <-n.stop:
	case err := <-n.twin:
		return err
	}
	return nil
}

// A membership is the time that a node spends in one group.
type membership struct {
	*group.Group
	ctx context.Context // ends when the node is in another group
	end context.CancelFunc
}

// during returns a context that ends with ctx or with the membership.
func (m *membership) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(m.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func (n *Node) group() *group.Group { return n.current.Load().Group }

// setGroup makes g the node's group and ends the membership before.
func (n *Node) setGroup(g *group.Group) {
	ctx, end := context.WithCancel(context.Background())
	if old := n.current.Swap(&membership{g, ctx, end}); old != nil {
		old.end()
	}
}

// name is this host's full name; that which it had, when it is out of the group.
func (n *Node) name() kith.Name {
	name := n.group().Name()
	if roster := n.group().Roster(); name.Host == "" {
		removal, _ := roster.Removal(n.id)
		name = kith.Name{Host: removal.Host, Group: roster.Group()}
	}
	return name
}
