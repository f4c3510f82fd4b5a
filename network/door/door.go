package door

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
)

// tryAgain is after how long an address on which nothing listens is tried again.
const tryAgain = 10 * time.Second

// A Network is this computer's, as package underlay has it.
type Network struct {
	Interfaces func() []netip.Prefix                                                        // addresses of this computer, with their networks
	Changes    func(context.Context) <-chan struct{}                                        // has a message after these changed, until the context ends
	Listen     func(ctx context.Context, address string, port uint16) (net.Listener, error) // for TCP; a taken port is of kind InUse
}

// Config is what a [Door] needs.
type Config struct {
	Network

	Clients string // who comes through it, for people: "mail programs"
	Changed func() // called after the addresses or the opening changed, without a lock held; may be nil
	Log     *slog.Logger
}

// A Door is open or closed to programs outside. It is safe for concurrent use.
type Door struct {
	cfg     Config
	opening atomic.Pointer[Opening]

	mu        sync.Mutex // held while it opens and closes
	services  map[uint16]*service
	listening map[netip.AddrPort]*listening
	failed    map[netip.AddrPort]error // where it cannot listen at present
}

// A service is what programs reach through a door, on one port.
type service struct {
	ctx   context.Context
	serve func(context.Context, net.Listener) error
}

// listening is one address of a door.
type listening struct {
	stop context.CancelFunc
	done chan struct{} // closed when all conversations there have ended
}

// New makes a door. It opens nothing.
func New(cfg Config, opening Opening) *Door {
	d := &Door{cfg: cfg, services: make(map[uint16]*service), listening: make(map[netip.AddrPort]*listening), failed: make(map[netip.AddrPort]error)}
	d.opening.Store(&opening)
	return d
}

// Opening returns whom the door lets in now.
func (d *Door) Opening() Opening { return *d.opening.Load() }

// Serve has a service reached through the door, on port, until ctx ends and what it serves with
// it. It calls serve for each address that is open, any number at a time; serve closes the listener and returns when its
// context ends, and all conversations have ended then.
func (d *Door) Serve(ctx context.Context, port uint16, serve func(context.Context, net.Listener) error) {
	d.mu.Lock()
	d.services[port] = &service{ctx, serve}
	d.settleLocked()
	d.mu.Unlock()
	d.changed()
	changes := d.cfg.Changes(ctx)
	tick := time.NewTicker(tryAgain)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case _, more := <-changes:
			if !more {
				changes = nil
			}
		case <-tick.C:
		}
		d.mu.Lock()
		if ctx.Err() != nil {
			delete(d.services, port)
		}
		changed := d.settleLocked()
		d.mu.Unlock()
		if changed {
			d.changed()
		}
	}
}

func (d *Door) changed() {
	if d.cfg.Changed != nil {
		d.cfg.Changed()
	}
}

// settleLocked listens where the door is open now, and nowhere else. It reports whether that is another place
// than before. Door.mu is held.
func (d *Door) settleLocked() (changed bool) {
	var want []netip.AddrPort
	if open := d.Opening(); open.to != "" && len(d.services) > 0 {
		for _, a := range open.Addresses(d.cfg.Interfaces()) {
			for port := range d.services {
				want = append(want, netip.AddrPortFrom(a, port))
			}
		}
	}
	changed = d.closeLocked(func(at netip.AddrPort, l *listening) bool {
		select {
		case <-l.done: // by itself, as when files ran out
			return true
		default:
			return !slices.Contains(want, at)
		}
	})
	failed := make(map[netip.AddrPort]error)
	for _, at := range want {
		if d.listening[at] != nil {
			continue
		}
		changed = true
		if err := d.listenLocked(at); err != nil {
			failed[at] = err
			if before := d.failed[at]; before == nil || before.Error() != err.Error() {
				d.cfg.Log.Warn("programs outside are not served", "address", at, "err", err)
			}
		}
	}
	d.failed = failed
	return changed
}

func (d *Door) listenLocked(at netip.AddrPort) error {
	service := d.services[at.Port()]
	ln, err := d.cfg.Listen(service.ctx, at.Addr().String(), at.Port())
	if errors.Is(err, kith.InUse) {
		return fmt.Errorf("port %d at %s is taken by another program: %w", at.Port(), at.Addr(), kith.InUse)
	} else if err != nil {
		return fmt.Errorf("listen at %s: %w", at, err)
	}
	ctx, stop := context.WithCancel(service.ctx)
	l := &listening{stop: stop, done: make(chan struct{})}
	d.listening[at] = l
	go func() {
		defer close(l.done)
		defer ln.Close()
		if err := service.serve(ctx, ln); err != nil {
			d.cfg.Log.Warn("programs outside are not served for a moment", "address", at, "err", err)
		}
	}()
	return nil
}

// closeLocked ends what it listens on where which says so, and the conversations
// there.
func (d *Door) closeLocked(which func(netip.AddrPort, *listening) bool) bool {
	var ending []*listening
	for at, l := range d.listening {
		if which(at, l) {
			l.stop()
			ending = append(ending, l)
			delete(d.listening, at)
		}
	}
	for _, l := range ending {
		<-l.done
	}
	return len(ending) > 0
}

// Set opens the door, or closes it: conversations under another opening have ended when
// it returns. Where nothing can listen it stays as it was. Store remembers the opening; its error is Set's. It fails with
// kind NotFound for an address that this computer does not have, and InUse.
func (d *Door) Set(open Opening, store func() error) error {
	err := d.set(open, store)
	d.changed()
	return err
}

func (d *Door) set(open Opening, store func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	change := func(to Opening) {
		if to != *d.opening.Swap(&to) {
			d.closeLocked(func(netip.AddrPort, *listening) bool { return true })
		}
		d.settleLocked()
	}
	if open.address.IsValid() {
		if own := (Opening{to: kith.OpenAny}).Addresses(d.cfg.Interfaces()); !slices.Contains(own, open.address) {
			return fmt.Errorf("%s is no address of this computer%s: %w", open.address, hasAddresses(own), kith.NotFound)
		}
	}
	before := d.Opening()
	change(open)
	var err error
	for _, failed := range d.failed {
		err = failed
	}
	if len(d.listening) > 0 || err == nil {
		err = store()
	}
	if err != nil && open.to != "" { // what is to be closed stays so
		change(before)
	}
	return err
}

func hasAddresses(own []netip.Addr) string {
	if len(own) == 0 {
		return ", which is on no network now"
	}
	texts := make([]string, len(own))
	for i, a := range own {
		texts[i] = a.String()
	}
	return "; it has " + strings.Join(texts, ", ")
}

// Addresses returns where programs outside are served now.
func (d *Door) Addresses() []netip.AddrPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Keys(d.listening), netip.AddrPort.Compare)
}

// Ports returns those of the services that programs reach where the door is open.
func (d *Door) Ports() []uint16 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.services))
}

// Problems says, in sentences, why programs outside are not served elsewhere.
func (d *Door) Problems() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []string
	for _, at := range slices.SortedFunc(maps.Keys(d.failed), netip.AddrPort.Compare) {
		list = append(list, kith.Sentence(d.failed[at]))
	}
	switch open := d.Opening(); {
	case open.to == "" || len(list)+len(d.listening) > 0:
	case len(d.services) == 0:
		list = append(list, fmt.Sprintf("No %s are served at present, not even those of this computer.", d.cfg.Clients))
	case open.address.IsValid():
		list = append(list, fmt.Sprintf("This computer does not have the address %s now.", open.address))
	default:
		list = append(list, "This computer is on no such network now.")
	}
	return list
}
