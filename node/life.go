package node

import (
	"context"
	"crypto/ed25519"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/account"
	"kith.alt/kith/admin"
	"kith.alt/kith/backup"
	"kith.alt/kith/blob"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/gateway"
	"kith.alt/kith/group"
	"kith.alt/kith/mesh"
	"kith.alt/kith/network/composite"
	"kith.alt/kith/network/ip"
	"kith.alt/kith/network/local"
	"kith.alt/kith/network/overlay"
	"kith.alt/kith/post"
	"kith.alt/kith/store/sqlite"
	"kith.alt/kith/swarm"
)

// appPatience is how long the node waits for an application to listen before
// it says that it is ready without it.
const appPatience = 5 * time.Second

// browsePatience is how long a page waits for the path to a site to come back
// before the browser is shown an error.
const browsePatience = time.Minute

// What is used where the computer's name cannot name a host, and the login name
// not an account.
const (
	fallbackHost    = "host"
	fallbackAccount = "owner"
)

//go:embed migrations/*.sql
var migrations embed.FS

// open opens what is stored, making it on the first start. Nothing runs yet.
//
// A newcomer with a ticket has its key on disk before it asks to be let in, so
// that it is the same host when it has to ask again; where it is refused,
// nothing is left behind.
func (n *Node) open(ctx context.Context) (err error) {
	if err := checkOwnAddress(n.cfg.OverlayHost); err != nil {
		return err
	}
	newcomer := !config.Exists(n.cfg.Data)
	if n.dir, err = config.Open(n.cfg.Data, n.log); err != nil {
		return err
	}
	keep := !newcomer
	defer func() {
		if err == nil {
			return
		}
		if err = errors.Join(err, n.closeStore()); keep {
			err = errors.Join(err, n.dir.Close())
		} else {
			err = errors.Join(err, n.dir.Discard())
		}
	}()
	if err := n.openKey(); err != nil {
		return err
	}
	n.overlay = overlay.New(n.overlayConfig())
	n.mesh = mesh.New(n.meshConfig())
	var joined *group.Group
	if n.cfg.Ticket != "" && newcomer {
		if joined, err = n.joinNew(ctx); err != nil {
			keep = !refused(err)
			return err
		}
		keep = true
	}
	if err := backup.Sweep(n.dir.Path()); err != nil {
		return err
	}
	if n.store, err = sqlite.Open(ctx, n.dir.File("kith.db")); err != nil {
		return err
	}
	own, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if err := n.store.Migrate(ctx, "node", own); err != nil {
		return err
	}
	if err := n.beginRun(ctx); err != nil {
		return err
	}
	n.blobs = blob.New(blob.Config{Dir: n.dir.File("blobs"), Store: n.store, Log: n.log.With("service", "blobs")})
	if err := n.blobs.Load(ctx); err != nil {
		return err
	}
	if n.names, err = openNames(ctx, n.store); err != nil {
		return err
	}
	if err := n.openAccounts(ctx); err != nil {
		return err
	}
	if err := n.openGroup(ctx, joined); err != nil {
		return err
	}
	if err := n.configure(); err != nil {
		return err
	}
	if err := n.openDoors(); err != nil {
		return err
	}
	if err := n.openCertificates(ctx); err != nil {
		return err
	}
	if err := n.openSwarm(ctx); err != nil {
		return err
	}
	if err := n.openPost(ctx); err != nil {
		return err
	}
	n.sockets = composite.New(composite.Config{IP: ip.Network{}, Local: local.Network{}, Overlay: n.overlay, Resolve: n.resolve})
	n.programs = composite.New(composite.Config{Overlay: n.overlay.Programs(), Resolve: n.resolve}) // members only
	n.browsing = composite.New(composite.Config{Overlay: n.overlay.ProgramsFor(min(browsePatience, n.suspendFor())), Resolve: n.resolve})
	return nil
}

// joinNew joins the group of the ticket with a key that no group has seen yet.
func (n *Node) joinNew(ctx context.Context) (*group.Group, error) {
	ticket, err := group.ParseTicket(n.cfg.Ticket)
	if err != nil {
		return nil, err
	}
	if n.cfg.Name != "" {
		return n.joinGroup(ctx, ticket, n.cfg.Name) // under the name that was asked for, or not at all
	}
	return n.joinAs(ctx, ticket, n.hostName())
}

// refused reports whether a join failed before anybody let this host in.
func refused(err error) bool {
	for _, kind := range []kith.Kind{kith.Denied, kith.Expired, kith.Invalid, kith.Exists, kith.Quota, kith.NotMember, kith.NotFound, kith.Unreachable} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

func (n *Node) hostName() string {
	if n.cfg.Name != "" {
		return n.cfg.Name
	}
	if name := config.DefaultHost(); group.CheckName(name) == nil {
		return name
	}
	return fallbackHost // the computer is called such as "www" or "127"
}

func (n *Node) openKey() (err error) {
	n.key, err = n.dir.Key()
	if errors.Is(err, kith.NotFound) {
		if _, n.key, err = ed25519.GenerateKey(nil); err == nil {
			err = n.dir.StoreKey(n.key)
		}
	}
	if err != nil {
		return err
	}
	n.id = kith.IDOf(n.key.Public().(ed25519.PublicKey))
	return nil
}

// configure stores what the flags say, for this start and the next ones.
func (n *Node) configure() error {
	return n.dir.Update(func(c *config.Node) error {
		c.SetPortBase(n.cfg.PortBase)
		c.SharedLoopback = c.SharedLoopback || n.cfg.SharedLoopback
		n.ask(c)
		return nil
	})
}

func (n *Node) openAccounts(ctx context.Context) (err error) {
	if n.accounts, err = account.Open(ctx, n.store); err != nil {
		return err
	}
	list, err := n.accounts.List(ctx)
	if err != nil || len(list) > 0 {
		return err
	}
	err = n.accounts.Add(ctx, config.DefaultAccount())
	if errors.Is(err, kith.Invalid) { // a login name such as postmaster, which mail reserves
		err = n.accounts.Add(ctx, fallbackAccount)
	}
	return err
}

// openGroup takes up the stored group, or the joined one, or founds one.
func (n *Node) openGroup(ctx context.Context, joined *group.Group) error {
	if joined != nil {
		n.setGroup(joined)
		return joined.Save(ctx, n.store)
	}
	g, err := group.Open(ctx, n.store, n.key)
	if errors.Is(err, kith.NotFound) {
		name := kith.Name{Host: n.hostName(), Group: n.cfg.Group}
		if name.Group == "" {
			name.Group = config.DefaultGroup
		}
		if g, err = group.Found(n.key, name); err != nil {
			return err
		}
		if err := g.Save(ctx, n.store); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	n.setGroup(g)
	if n.cfg.Ticket != "" {
		return n.Join(ctx, n.cfg.Ticket)
	}
	for _, asked := range []struct{ flag, want, have string }{
		{"--name", n.cfg.Name, n.name().Host},
		{"--group", n.cfg.Group, n.name().Group},
	} {
		if asked.want != "" && asked.want != asked.have {
			return fmt.Errorf("%s %s: this is %s already; change it with 'kith rename': %w", asked.flag, asked.want, asked.have, kith.Exists)
		}
	}
	return nil
}

func (n *Node) overlayConfig() overlay.Config {
	return overlay.Config{
		Key:        n.key,
		Admit:      func(peer kith.ID, proof []byte) error { return n.group().Admit(peer, proof) },
		Proof:      func() []byte { return n.group().Proof() },
		JoinOpen:   n.joinOpen,
		Join:       n.redeem,
		Addresses:  func(peer kith.ID) []netip.AddrPort { return n.mesh.AddressesOf(peer) },
		NAT:        func(peer kith.ID) string { return n.group().Whereabouts(peer).NAT },
		Relays:     func(peer kith.ID) []kith.ID { return n.mesh.RelaysOf(peer) },
		Candidates: func() []netip.AddrPort { return n.mesh.OwnAddresses() },
		Digest:     func() [32]byte { return n.group().Digest() },
		SyncPort:   mesh.SyncPort,
		NodePorts:  n.nodePorts(),
		SuspendFor: time.Duration(n.asked().SuspendFor),
		OnPeer:     func(kith.ID, bool) { n.mesh.Wake() },
		OnReach:    func() { n.mesh.Wake() },
		Log:        n.log.With("network", "overlay"),
		Metrics:    n.metrics,
	}
}

func (n *Node) meshConfig() mesh.Config {
	return mesh.Config{
		Key:         n.key,
		Group:       func() (*group.Group, context.Context) { c := n.current.Load(); return c.Group, c.ctx },
		Overlay:     n.overlay,
		OverlayHost: n.cfg.OverlayHost,
		Port:        func() uint16 { return uint16(n.overlayPort.Load()) },
		Discover:    n.cfg.OverlayHost == "",
		Public:      n.publicAddresses,
		MapPort:     func() bool { return n.cfg.OverlayHost == "" && !n.dir.Node().NoPortMapping },
		Introduce:   func() bool { return n.dir.Node().Introduce },
		Bootstrap:   n.asked().DHTNodes,
		Event:       n.event,
		Log:         n.log.With("service", "mesh"),
		Metrics:     n.metrics,
	}
}

func (n *Node) nodePorts() []uint16 {
	ports := []uint16{mesh.SyncPort, swarm.Port, post.Port}
	for _, app := range n.cfg.Apps {
		for _, port := range app.Ports {
			if port.NodeOnly {
				ports = append(ports, port.Overlay)
			}
		}
	}
	return ports
}

// start starts every service, in the order in which they need each other.
func (n *Node) start(ctx context.Context, run *supervisor) error {
	run.start("events", n.keepEvents)
	if err := n.meetNewcomers(ctx); err != nil {
		return err
	}
	met, err := n.met(ctx)
	if err != nil {
		return err
	}
	n.overlay.Remember(met)
	run.start("met", n.keepMet)
	run.start("overlay", n.overlay.Serve)
	if n.reachable() {
		if err := n.openOverlay(ctx); err != nil {
			n.event("Other members cannot reach this computer: %v", err)
		}
	}
	run.start("mesh", n.mesh.Serve)
	run.start("roster", n.watchGroup)
	run.start("port", n.keepPort)
	if err := n.startRelaying(ctx, run); err != nil {
		return err
	}
	run.start("swarm", n.swarm.Serve)
	run.start("post", n.post.Serve)
	apps, apis, copies, err := n.startApps(ctx, run)
	if err != nil {
		return err
	}
	run.start("outside", n.answerOutside)
	run.start("letters", n.settle)
	run.start("twin", n.watchTwin)
	n.startGateway(run, apps, copies)

	server := control.NewServer(control.Config{Node: n, APIs: apis, Metrics: n.metrics, Log: n.log.With("service", "control")})
	n.measure()
	return first(func(opened func(error)) {
		run.start("control", func(ctx context.Context) error {
			ln, err := control.Listen(n.dir.Path())
			opened(err)
			if err != nil {
				return err
			}
			return server.Serve(ctx, ln)
		})
	})
}

// first starts a service that opens something each time it runs, and returns
// once it has opened it for the first time, with the error of that.
func first(start func(opened func(error))) error {
	result := make(chan error, 1)
	start(func(err error) {
		select {
		case result <- err:
		default: // started again
		}
	})
	return <-result
}

func (n *Node) startGateway(run *supervisor, apps []admin.App, copies kith.Copies) {
	dashboard := admin.New(admin.Config{Node: n, Accounts: people{n.accounts}, Apps: apps, Log: n.log.With("service", "admin")})
	g := gateway.New(gateway.Config{
		Dial:         n.browsing.Dial,
		ListenPacket: n.browsing.ListenPacket,
		Self:         n.name,
		Resolve:      n.resolve,
		Dashboard:    dashboard,
		Copies:       copies,
		Autoconfig:   dashboard.Autoconfig,
		HTTPPort:     func() int { return n.port(control.AppGateway, control.ProtocolHTTP) },
		ProxyPort:    func() int { return n.port(control.AppGateway, control.ProtocolProxy) },
		Shared:       n.dir.Node().SharedLoopback,
		Log:          n.log.With("service", control.AppGateway),
		Metrics:      n.metrics,
	})
	first(func(opened func(error)) {
		run.start(control.AppGateway, func(ctx context.Context) error {
			web, err := n.listenLoopback(control.AppGateway, control.ProtocolHTTP, config.Gateway)
			if err != nil {
				n.event("No dashboard and no sites in the browser: %v", err)
			}
			proxy, err := n.listenLoopback(control.AppGateway, control.ProtocolProxy, config.Proxy)
			if err != nil {
				n.event("No proxy: %v", err)
			}
			opened(nil) // without them the rest still serves
			return g.Serve(ctx, web, proxy)
		})
	})
}

// people are the accounts as the dashboard asks for them.
type people struct{ *account.Accounts }

// EndSession ends the session that a token opens.
func (p people) EndSession(ctx context.Context, token string) error {
	name, err := p.Session(ctx, token)
	if err != nil {
		return err
	}
	return p.Accounts.EndSession(ctx, name, account.SessionID(token))
}

// EndSessions ends the sessions of an account but the one that a token opens.
func (p people) EndSessions(ctx context.Context, name, exceptToken string) error {
	return p.Accounts.EndSessions(ctx, name, account.SessionID(exceptToken))
}

// close closes what open opened, after the services have stopped.
func (n *Node) close() error {
	return errors.Join(n.closeSwarm(), n.closeStore(), n.dir.Close())
}

func (n *Node) closeSwarm() error {
	if n.swarm == nil {
		return nil
	}
	return n.swarm.Close()
}

func (n *Node) closeStore() error {
	if n.store == nil {
		return nil
	}
	if n.blobs == nil {
		return n.store.Close()
	}
	return errors.Join(n.blobs.Close(), n.store.Close())
}
