package group

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
)

// A Group is this host's view of its group: entries, roster, address records.
// It is safe for concurrent use. It runs no goroutine of its own and needs no
// closing.
type Group struct {
	key     ed25519.PrivateKey
	id      kith.ID
	limiter limiter // of redemptions
	syncs   syncs   // under way
	pulse   pulse
	traffic traffic // of all syncs

	told     chan struct{} // closed once a member has confirmed that this host is out
	tellOnce sync.Once

	changing sync.Mutex // serialises changes, held while they are written to disk
	log      *log
	own      Whereabouts // this host's
	card     Card        // this host's
	twin     Twin        // seen last
	store    kith.Store  // nil: in memory
	retired  bool        // another group took the place of this one in the store
	server   kith.ID     // while joining: the member that let us in
	joined   Hash        // while joining: our admission, as the server named it

	state atomic.Pointer[state]
}

// state is what readers see. It is never changed, but replaced.
type state struct {
	roster  *Roster
	entries []*Entry // parents first; only ever grows
	heads   []Hash
	digest  [sha256.Size]byte // of genesis and heads
	records map[kith.ID]*record
	changed chan struct{} // closed when the next state is there
}

func newGroup(key ed25519.PrivateKey, log *log) *Group {
	g := &Group{key: key, id: kith.IDOf(key.Public().(ed25519.PublicKey)), log: log, told: make(chan struct{})}
	g.state.Store(&state{roster: Merge(log.genesis, nil), digest: digestHeads(log.genesis, nil), changed: make(chan struct{})})
	return g
}

// Found makes a group of one, in memory: [Group.Save] makes it durable. It
// fails with kind Invalid when a name may not be used ([CheckName]).
func Found(key ed25519.PrivateKey, name kith.Name) (*Group, error) {
	for _, label := range []string{name.Host, name.Group} {
		if err := CheckName(label); err != nil {
			return nil, fmt.Errorf("found group: %w", err)
		}
	}
	nonce := make([]byte, 16)
	rand.Read(nonce)
	e, err := sign(key, body{Kind: kindGenesis, Group: name.Group, Host: name.Host, Nonce: nonce})
	if err != nil {
		return nil, fmt.Errorf("found group: %w", err)
	}
	g := newGroup(key, newLog(e.hash))
	if err := g.log.add(e, time.Now().Unix(), true); err != nil {
		return nil, fmt.Errorf("found group: %w", err)
	}
	g.publish(&state{roster: Merge(e.hash, g.log.entries)})
	return g, nil
}

// ID returns the ID of this host.
func (g *Group) ID() kith.ID { return g.id }

// Roster returns the group as it is known now.
func (g *Group) Roster() *Roster { return g.state.Load().roster }

// Name returns this host's full name, or the zero Name when it is out.
func (g *Group) Name() kith.Name { return g.Roster().Name(g.id) }

// Resolve is [Roster.Resolve] on the current roster.
func (g *Group) Resolve(text string) (kith.ID, error) { return g.Roster().Resolve(text) }

// Digest is the same for two hosts whose rosters have the same entries, and for
// no others. It costs nothing to ask for.
func (g *Group) Digest() [32]byte { return g.state.Load().digest }

func digestHeads(genesis Hash, heads []Hash) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte("kith roster heads 1\x00"))
	h.Write(genesis[:])
	for _, head := range slices.SortedFunc(slices.Values(heads), Hash.compare) {
		h.Write(head[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// publish makes next, with the log as it is now, the state that readers see.
// The caller holds changing, or is alone.
func (g *Group) publish(next *state) {
	n := len(g.log.entries)
	if last := g.state.Load(); len(last.entries) == n {
		next.entries, next.heads, next.digest = last.entries, last.heads, last.digest
	} else {
		next.entries, next.heads = g.log.entries[:n:n], g.log.heads()
		next.digest = digestHeads(g.log.genesis, next.heads)
	}
	next.changed = make(chan struct{})
	for id := range next.records {
		if _, ok := next.roster.Member(id); !ok {
			records := make(map[kith.ID]*record, len(next.records))
			for id, r := range next.records {
				if _, ok := next.roster.Member(id); ok {
					records[id] = r
				}
			}
			next.records = records
			break
		}
	}
	close(g.state.Swap(next).changed)
}

// apply takes what is new and fitting in entries from a peer, durably. Entries
// before their parents, without right or beyond the limits are passed over; a
// bad signature is an error. It reports how many it took.
func (g *Group) apply(ctx context.Context, entries []*Entry) (int, error) {
	g.changing.Lock()
	defer g.changing.Unlock()
	from := len(g.log.entries)
	now := time.Now().Unix()
	var bad error
	for _, e := range entries {
		if err := g.log.add(e, now, false); errors.Is(err, errForged) {
			bad = err
			break
		}
	}
	if taken := len(g.log.entries) - from; taken > 0 {
		return taken, g.commit(ctx, from, Merge(g.log.genesis, g.log.entries))
	}
	return 0, bad
}

// commit makes the log's entries from position on durable and visible, with
// roster, which is made of all of them; or takes them back.
func (g *Group) commit(ctx context.Context, from int, roster *Roster) error {
	if err := g.storeEntries(ctx, from); err != nil {
		g.log.truncate(from)
		return err
	}
	next := *g.state.Load()
	next.roster = roster
	g.publish(&next)
	return nil
}

// write signs, on top of all we know, the entry that build returns, and makes
// it durable and visible. It fails when the entry would have no effect, such
// as any by a host that is out.
func (g *Group) write(ctx context.Context, build func(*Roster) (body, error)) (Hash, error) {
	g.changing.Lock()
	defer g.changing.Unlock()
	roster := g.Roster()
	if _, ok := roster.Member(g.id); !ok {
		if removal, out := roster.Removal(g.id); out {
			return Hash{}, fmt.Errorf("this host is out of the group: %s: %w", removal.Reason, kith.NotMember)
		}
		return Hash{}, fmt.Errorf("this host has not joined yet: %w", kith.NotMember)
	}
	b, err := build(roster)
	if err != nil {
		return Hash{}, err
	}
	from := len(g.log.entries)
	self, _ := roster.Member(g.id)
	hash, err := g.append(b, self.Entry)
	if err == nil {
		roster = Merge(g.log.genesis, g.log.entries)
		if !roster.Counts(hash) {
			err = fmt.Errorf("roster entry %q would have no effect: %w", b.Kind, kith.Denied)
		}
	}
	if err != nil {
		g.log.truncate(from)
		return Hash{}, err
	}
	return hash, g.commit(ctx, from, roster)
}

// append adds b to the log. More heads than an entry can name are joined
// first, by entries above our admission.
func (g *Group) append(b body, admission Hash) (Hash, error) {
	for {
		switch {
		case len(g.log.entries) >= MaxEntries:
			return Hash{}, fmt.Errorf("the roster is full (%d entries); the hosts have to found a new group: %w", MaxEntries, kith.Quota)
		case g.log.perAuthor[g.id] >= maxPerAuthor:
			return Hash{}, fmt.Errorf("this host has written all its %d entries of the roster; let another admin do it: %w", maxPerAuthor, kith.Quota)
		}
		heads := g.log.heads()
		next := b
		if len(heads) > MaxParents {
			above := g.log.headAbove(admission)
			heads = slices.DeleteFunc(heads, func(h Hash) bool { return h == above })
			heads = append(heads[len(heads)-MaxParents+1:], above)
			next = body{Kind: kindMerge}
		}
		slices.SortFunc(heads, Hash.compare)
		next.Parents = heads
		e, err := sign(g.key, next)
		if err != nil {
			return Hash{}, err
		}
		if err := g.log.add(e, time.Now().Unix(), true); err != nil {
			return Hash{}, err
		}
		if next.Kind != kindMerge {
			return e.hash, nil
		}
	}
}

// Room says how many entries of the roster are used, and how many there can
// be: of all, or of this host's own, whichever is nearer to its end. At the end
// nothing can be changed any more.
func (g *Group) Room() (used, limit int) {
	g.changing.Lock()
	defer g.changing.Unlock()
	all, own := len(g.log.entries), g.log.perAuthor[g.id]
	if all*maxPerAuthor < own*MaxEntries {
		return own, maxPerAuthor
	}
	return all, MaxEntries
}

// An InviteRequest says what a ticket is good for.
type InviteRequest struct {
	Uses      int           // hosts that it admits, 1 to MaxUses; 0 means 1
	Expires   time.Duration // from now; 0 means 24 hours
	Admin     bool          // they become admins
	Introduce bool          // the ticket says that this host can be met by [Ticket.Meeting]
}

// Invite makes a ticket. Addresses are where this host can be reached; the
// first ones that fit are in the ticket. Only an admin may invite.
func (g *Group) Invite(ctx context.Context, request InviteRequest, addresses []netip.AddrPort) (Ticket, error) {
	if request.Uses == 0 {
		request.Uses = 1
	}
	if request.Expires == 0 {
		request.Expires = 24 * time.Hour
	}
	if request.Uses < 1 || request.Uses > MaxUses || request.Expires < time.Minute || request.Expires > 366*24*time.Hour {
		return Ticket{}, fmt.Errorf("invite %d hosts for %s: a ticket is for 1 to %d hosts and for a minute to a year: %w",
			request.Uses, request.Expires, MaxUses, kith.Invalid)
	}
	t := Ticket{Inviter: g.id, Secret: newSecret(), Expires: time.Now().Add(request.Expires).Truncate(time.Second),
		Introduce: request.Introduce, Addresses: addresses}
	_, err := g.write(ctx, func(r *Roster) (body, error) {
		if !r.IsAdmin(g.id) {
			return body{}, fmt.Errorf("only an admin can: %w", kith.Denied)
		}
		t.Genesis = [ticketGenesis]byte(r.genesis[:])
		return body{Kind: kindInvite, Key: publicKey(t.key()), Uses: request.Uses, Expires: t.Expires.Unix(), Admin: request.Admin}, nil
	})
	if err != nil {
		return Ticket{}, fmt.Errorf("invite: %w", err)
	}
	return t, nil
}

// Revoke throws the host id out of the group. Only an admin may; a host that
// is out already is an error of kind NotFound.
func (g *Group) Revoke(ctx context.Context, id kith.ID) error {
	_, err := g.write(ctx, func(r *Roster) (body, error) {
		if err := r.mayChange(g.id, id); err != nil {
			return body{}, err
		}
		if id == g.id {
			return body{}, fmt.Errorf("a host cannot revoke itself, it can leave: %w", kith.Invalid)
		}
		return body{Kind: kindRevoke, Subject: id}, nil
	})
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	return nil
}

// SetAdmin makes the member id an admin, or no longer one. Only an admin may,
// and the last one cannot give it up before another has it.
func (g *Group) SetAdmin(ctx context.Context, id kith.ID, admin bool) error {
	if m, ok := g.Roster().Member(id); ok && m.Admin == admin && g.Roster().IsAdmin(g.id) {
		return nil
	}
	_, err := g.write(ctx, func(r *Roster) (body, error) {
		if err := r.mayChange(g.id, id); err != nil {
			return body{}, err
		}
		if !admin && r.IsAdmin(id) && r.Admins() < 2 {
			return body{}, errLastAdmin()
		}
		return body{Kind: kindRole, Subject: id, Admin: admin}, nil
	})
	if err != nil {
		return fmt.Errorf("set admin: %w", err)
	}
	return nil
}

// Leave takes this host out of the group. The last admin cannot leave members
// behind without making another host an admin first, and a group of one
// cannot be left. What the host had said before stays valid. Each Sync under
// way tells its peer and ends; [Group.Told] waits for that.
func (g *Group) Leave(ctx context.Context) error {
	_, err := g.write(ctx, func(r *Roster) (body, error) {
		if len(r.members) < 2 {
			return body{}, fmt.Errorf("this host is the only member: %w", kith.Invalid)
		}
		if r.IsAdmin(g.id) && r.Admins() < 2 {
			return body{}, errLastAdmin()
		}
		return body{Kind: kindLeave}, nil
	})
	if err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}

// Told waits until a member has confirmed, by [Group.Sync], that it knows that
// this host is out, and returns nil; or ctx's error where nobody did in time,
// as when nobody is awake. One is enough: the others learn it from that one.
func (g *Group) Told(ctx context.Context) error {
	select {
	case <-g.told:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Rename gives this host, or the group (only an admin may), another name; an
// empty name stays. Both answer to their former names, too.
func (g *Group) Rename(ctx context.Context, name kith.Name) error {
	if name.Host != "" && name.Host != g.Name().Host {
		_, err := g.write(ctx, func(r *Roster) (body, error) {
			if err := g.checkHost(r, name.Host, g.id); err != nil {
				return body{}, err
			}
			return body{Kind: kindRename, Host: name.Host}, nil
		})
		if err != nil {
			return fmt.Errorf("rename host: %w", err)
		}
	}
	if name.Group != "" && name.Group != g.Roster().Group() {
		_, err := g.write(ctx, func(r *Roster) (body, error) {
			if !r.IsAdmin(g.id) {
				return body{}, fmt.Errorf("only an admin can: %w", kith.Denied)
			}
			if err := CheckName(name.Group); err != nil {
				return body{}, err
			}
			return body{Kind: kindRename, Group: name.Group}, nil
		})
		if err != nil {
			return fmt.Errorf("rename group: %w", err)
		}
	}
	return nil
}

// checkHost is [Roster.CheckHost], and refuses the name of another host that
// was revoked in the last 30 days, as far as this host saw. The caller holds
// changing.
func (g *Group) checkHost(r *Roster, name string, id kith.ID) error {
	if err := r.CheckHost(name, id); err != nil {
		return err
	}
	for _, removal := range r.removed {
		if removal.ID == id || removal.Why == Exceeded || skeleton(removal.Host) != skeleton(name) {
			continue
		}
		since := time.Unix(g.log.received[g.log.index[removal.Entry]], 0)
		if rest := nameRest - time.Since(since); rest > 0 {
			return fmt.Errorf("name %q was that of a host that is out; it is free again in %d days: %w", name, int(rest.Hours()/24)+1, kith.Exists)
		}
	}
	return nil
}

// mayChange says whether the host by may revoke id or change its role.
func (r *Roster) mayChange(by, id kith.ID) error {
	if !r.IsAdmin(by) {
		return fmt.Errorf("only an admin can: %w", kith.Denied)
	}
	if _, ok := r.Member(id); !ok {
		return fmt.Errorf("host %s is not a member: %w", id.Short(), kith.NotFound)
	}
	return nil
}

func errLastAdmin() error {
	return fmt.Errorf("the last admin is needed; make another host an admin first: %w", kith.Denied)
}

func publicKey(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }
