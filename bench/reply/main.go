package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/bench/measure"
	"kith.alt/kith/kithtest/internet"
	"kith.alt/kith/network/overlay"
)

const (
	roundTrip = 20 * time.Millisecond
	goal      = 5 // round trips
	port      = 4747
	settle    = time.Second     // after all carriers are up
	patience  = 3 * time.Second // for a direct path
)

func main() {
	rounds := flag.Int("rounds", 9, "rounds; the median and the worst count")
	verbose := flag.Bool("log", false, "show what the overlays log")
	flag.Parse()
	if err := run(*rounds, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "bench/reply:", err)
		os.Exit(1)
	}
}

func run(rounds int, verbose bool) error {
	fmt.Println("| caller and host behind | third hosts | first reply after, median | worst | round trips | goal | by | direct path after, median |")
	fmt.Println("|---|---:|---:|---:|---:|---:|---|---:|")
	for _, kinds := range [][2]internet.NAT{
		{internet.None, internet.None},
		{internet.PortRestricted, internet.PortRestricted},
		{internet.PortRestricted, internet.CarrierGrade},
		{internet.Symmetric, internet.Symmetric},
	} {
		for _, thirds := range []int{1, 2} {
			var replies, directs []time.Duration
			by := make(map[string]int)
			for range rounds {
				o, err := once(kinds[0], kinds[1], thirds, verbose)
				if err != nil {
					return fmt.Errorf("%s and %s: %w", kinds[0], kinds[1], err)
				}
				replies = append(replies, o.reply)
				by[o.path]++
				if o.direct > 0 {
					directs = append(directs, o.direct)
				}
			}
			direct := "never"
			if len(directs) > 0 {
				direct = tenths(measure.Median(directs))
			}
			fmt.Printf("| %s, %s | %d | %s | %s | %.1f | %d | %s | %s |\n", kinds[0], kinds[1], thirds,
				tenths(measure.Median(replies)), tenths(measure.Quantile(replies, 1)),
				measure.Median(replies).Seconds()/roundTrip.Seconds(), goal, counts(by), direct)
		}
	}
	return nil
}

func tenths(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1e3) }

func counts(by map[string]int) (text string) {
	for _, path := range []string{"direct", "relayed"} {
		if by[path] > 0 {
			text += fmt.Sprintf("%s %d ", path, by[path])
		}
	}
	return text
}

// An outcome is that of one call.
type outcome struct {
	reply  time.Duration // until its first byte
	path   string        // then
	direct time.Duration // until there is a direct path; 0: never
}

// A world is an Internet, and what members know of each other's addresses, as
// their records would tell.
type world struct {
	net *internet.Net
	log *slog.Logger

	mu    sync.Mutex
	where map[kith.ID]overlay.Reach
}

type member struct {
	*overlay.Overlay
	id kith.ID
}

func once(near, far internet.NAT, thirds int, verbose bool) (outcome, error) {
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	w := &world{
		net:   internet.New(internet.Config{Delay: roundTrip / 4, LANDelay: time.Microsecond}),
		log:   slog.New(slog.DiscardHandler),
		where: make(map[kith.ID]overlay.Reach),
	}
	if verbose {
		w.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var relays []kith.ID
	for i := range thirds {
		m, err := w.member(ctx, &serving, w.net.Public().Host(fmt.Sprint("third ", i)), nil)
		if err != nil {
			return outcome{}, err
		}
		relays = append(relays, m.id)
	}
	caller, err := w.member(ctx, &serving, w.net.Router(near).Host("caller"), relays)
	if err != nil {
		return outcome{}, err
	}
	host, err := w.member(ctx, &serving, w.net.Router(far).Host("host"), relays)
	if err != nil {
		return outcome{}, err
	}
	for _, m := range []member{caller, host} {
		for _, r := range relays {
			if err := m.Connect(ctx, r); err != nil {
				return outcome{}, err
			}
		}
	}
	l, err := host.Listen(ctx, kith.Address{Host: host.id.String(), Port: 80})
	if err != nil {
		return outcome{}, err
	}
	go func() {
		if conn, err := l.Accept(); err == nil {
			io.Copy(conn, conn)
		}
	}()
	<-time.After(settle)
	w.mu.Lock()
	for id, r := range w.where {
		w.log.Debug("record", "of", id.Short(), "nat", r.NAT, "addresses", fmt.Sprint(r.Outside))
	}
	w.mu.Unlock()
	return call(ctx, caller, host)
}

func call(ctx context.Context, caller, host member) (o outcome, err error) {
	began := time.Now()
	conn, err := caller.Dial(ctx, kith.Address{Host: host.id.String(), Port: 80})
	if err != nil {
		return o, err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		return o, err
	}
	if _, err := conn.Read(make([]byte, 5)); err != nil {
		return o, err
	}
	o.reply, o.path = time.Since(began), caller.path(host)
	for time.Since(began) < patience {
		if caller.path(host) == "direct" {
			o.direct = time.Since(began)
			break
		}
		<-time.After(time.Millisecond)
	}
	return o, nil
}

func (m member) path(to member) string {
	for _, p := range m.Peers() {
		if p.ID == to.id {
			return p.Path
		}
	}
	return "none"
}

// member runs an overlay on a host, and keeps its record up to date.
func (w *world) member(ctx context.Context, serving *sync.WaitGroup, at *internet.Host, relays []kith.ID) (member, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return member{}, err
	}
	m := member{id: kith.IDOf(public)}
	m.Overlay = overlay.New(overlay.Config{
		Key: key, Admit: func(kith.ID, []byte) error { return nil }, Internet: at,
		Addresses: func(id kith.ID) []netip.AddrPort { return w.record(id).Outside },
		NAT:       func(id kith.ID) string { return w.record(id).NAT },
		Relays:    func(kith.ID) []kith.ID { return relays },
		Candidates: func() (list []netip.AddrPort) {
			for _, p := range at.Interfaces() {
				if !p.Addr().IsLoopback() {
					list = append(list, netip.AddrPortFrom(p.Addr(), port))
				}
			}
			return list
		},
		OnReach: func() { w.tell(m, at) },
		Log:     w.log.With("host", at.Name()),
	})
	serving.Go(func() { m.Serve(ctx) })
	if _, err := m.Open(ctx, "", port); err != nil {
		return m, err
	}
	w.tell(m, at)
	return m, nil
}

func (w *world) record(id kith.ID) overlay.Reach {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.where[id]
}

// tell publishes what package mesh would: where members see the host, and its own
// addresses if they are public.
func (w *world) tell(m member, at *internet.Host) {
	r := m.Reach()
	for _, p := range at.Interfaces() {
		if a := p.Addr(); !a.IsLoopback() && !a.IsPrivate() {
			r.Outside = append(r.Outside, netip.AddrPortFrom(a, port))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.where[m.id] = r
}
