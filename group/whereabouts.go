package group

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"kith.alt/kith"
)

const (
	whereaboutsExpiry = 30 * 24 * time.Hour // since they were received
	recordRenewal     = 7 * 24 * time.Hour  // what is unchanged is signed anew after this
	recordPause       = time.Second         // between two records of one host
)

// Whereabouts are how a host can be reached, as it says itself. They are kept
// on disk: a host that wakes knows where the others were last.
type Whereabouts struct {
	Addresses []netip.AddrPort // at most [MaxAddresses], at most two with one IP; loopback means a computer that runs several hosts
	Relays    []kith.ID        // members that keep a carrier to the host, at most [MaxRelays]
	Received  time.Time        // when the record came, to the second; SetWhereabouts takes no account of it
	NAT       string           // "" (not known), "open", "cone", "symmetric", "blocked", or a later release's word: at most 16 letters a to z
}

// SetWhereabouts tells the group how this host can be reached. Addresses and
// relays beyond the limits are left out, the first ones stay. An address that
// cannot be dialled (unspecified, multicast, with a zone) is an error of kind
// Invalid, and so is a relay that is this host. Members that sync learn it at
// once. Unchanged whereabouts cost nothing.
func (g *Group) SetWhereabouts(ctx context.Context, at Whereabouts) error {
	own := Whereabouts{NAT: at.NAT}
	for _, address := range at.Addresses {
		if err := checkAddress(address); err != nil {
			return fmt.Errorf("set whereabouts: %w", err)
		}
		if len(own.Addresses) < MaxAddresses && sameIP(own.Addresses, address) < maxSameIP {
			own.Addresses = append(own.Addresses, address)
		}
	}
	for _, relay := range at.Relays {
		if len(own.Relays) < MaxRelays && !slices.Contains(own.Relays, relay) {
			own.Relays = append(own.Relays, relay)
		}
	}
	if err := checkRelays(own.Relays, g.id); err != nil {
		return fmt.Errorf("set whereabouts: %w", err)
	}
	if err := checkNAT(own.NAT); err != nil {
		return fmt.Errorf("set whereabouts: %w", err)
	}
	g.changing.Lock()
	defer g.changing.Unlock()
	g.own = own
	return g.renewRecord(ctx)
}

// renewRecord signs our record anew where the one before says something else, or is old. The
// caller holds changing.
func (g *Group) renewRecord(ctx context.Context) error {
	old := g.state.Load().records[g.id]
	if old != nil && old.says(g.own, g.card) && time.Since(time.Unix(old.received, 0)) < recordRenewal {
		return nil
	}
	return g.issueRecord(ctx, old)
}

// says reports whether the record has these whereabouts, and this card.
func (r *record) says(at Whereabouts, card Card) bool {
	return slices.Equal(r.body.Addresses, at.Addresses) && slices.Equal(r.body.Relays, at.Relays) && r.body.NAT == at.NAT && r.card().equal(card)
}

// Whereabouts returns how the member id said that it can be reached, by a
// record that came within the last 30 days, else the zero value. Relays that
// are no members now are left out. The host chose the addresses: who dials them
// decides which of them can be its own (loopback and private ones in
// particular). The caller must not change them.
func (g *Group) Whereabouts(id kith.ID) Whereabouts {
	state := g.state.Load()
	r := state.records[id]
	if r == nil || time.Since(time.Unix(r.received, 0)) > whereaboutsExpiry {
		return Whereabouts{}
	}
	at := Whereabouts{Addresses: r.body.Addresses, Relays: r.body.Relays, NAT: r.body.NAT, Received: time.Unix(r.received, 0)}
	out := func(relay kith.ID) bool { _, member := state.roster.Member(relay); return !member }
	if slices.ContainsFunc(at.Relays, out) {
		at.Relays = slices.DeleteFunc(slices.Clone(at.Relays), out)
	}
	return at
}

// AwaitWhereabouts waits until a record of the member id is there, or for ctx.
func (g *Group) AwaitWhereabouts(ctx context.Context, id kith.ID) error {
	for {
		changed := g.state.Load().changed
		if !g.Whereabouts(id).Received.IsZero() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// issueRecord signs our whereabouts and our card anew, above old. The caller holds changing.
func (g *Group) issueRecord(ctx context.Context, above *record) error {
	// Numbers begin at the clock, so that a restored host does not use one twice.
	b := recordBody{Group: g.log.genesis, Sequence: uint64(time.Now().Unix()),
		Addresses: g.own.Addresses, Relays: g.own.Relays, NAT: g.own.NAT, SealKey: g.card.SealKey, Accounts: g.card.Accounts, Names: g.card.Names, More: g.card.More, Run: g.card.Run, Saw: g.twin.Run.ID}
	if above != nil && above.body.Sequence >= b.Sequence {
		b.Sequence = above.body.Sequence + 1
		if b.Sequence == 0 {
			return fmt.Errorf("address record: the sequence numbers are used up: %w", kith.Quota)
		}
	}
	r, err := signRecord(g.key, b)
	if err != nil {
		return err
	}
	return g.keepRecords(ctx, []*record{r})
}

// applyRecords takes what is new in records from a peer, those of one host at
// most once a second: it waits for that. A record of our own that we do not
// know means that we were restored: we go on above it.
func (g *Group) applyRecords(ctx context.Context, records []*record) error {
	for {
		rest, err := g.tryRecords(ctx, records)
		if err != nil || rest <= 0 {
			return err
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryRecords is applyRecords for now. It returns how long some have to wait.
func (g *Group) tryRecords(ctx context.Context, records []*record) (rest time.Duration, err error) {
	g.changing.Lock()
	defer g.changing.Unlock()
	state := g.state.Load()
	newest := make(map[kith.ID]*record)
	for _, r := range records {
		id := r.body.Host
		old := state.records[id]
		if _, ok := state.roster.Member(id); !ok || r.body.Group != g.log.genesis || !r.newer(old) || !r.newer(newest[id]) {
			continue
		}
		if old != nil {
			if wait := recordPause - time.Since(old.taken); wait > 0 {
				rest = max(rest, wait)
				continue
			}
		}
		if err := r.verify(); err != nil {
			return 0, err
		}
		r.taken = time.Now()
		r.received = r.taken.Unix()
		newest[id] = r
	}
	own := newest[g.id]
	delete(newest, g.id)
	if err := g.keepRecords(ctx, slices.Collect(maps.Values(newest))); err != nil {
		return 0, err
	}
	if own != nil {
		g.noteTwin(own)
		return rest, g.issueRecord(ctx, own)
	}
	return rest, nil
}

// keepRecords makes verified records durable and visible. The caller holds
// changing.
func (g *Group) keepRecords(ctx context.Context, records []*record) error {
	if len(records) == 0 {
		return nil
	}
	if err := g.storeRecords(ctx, records); err != nil {
		return err
	}
	next := *g.state.Load()
	if next.records = maps.Clone(next.records); next.records == nil {
		next.records = make(map[kith.ID]*record)
	}
	for _, r := range records {
		next.records[r.body.Host] = r
	}
	g.publish(&next)
	return nil
}
