package group

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
)

const (
	maxJoin         = 4 << 10 // bytes of a request, and of a reply
	joinVersion     = 1       // of both
	joinDomain      = "kith join 1\x00"
	expiryTolerance = 10 * time.Minute // of clocks that differ

	redemptionsPerMinute = 300 // a school joins in one lesson
)

// joinRequest is what a joiner asks a member for.
type joinRequest struct {
	Version int    `json:"v"`
	Key     []byte `json:"key"`   // the ticket's public key: which invitation
	Host    string `json:"host"`  // what the joiner would be called
	Proof   []byte `json:"proof"` // the ticket key's signature over joinStatement
}

// joinReply is the answer to a joiner that was admitted. Refusals are errors.
type joinReply struct {
	Version   int  `json:"v"`
	Genesis   Hash `json:"genesis"`
	Admission Hash `json:"admission"`
}

// joinStatement is what the ticket's key signs: good on this connection, for
// this joiner, server and group only.
func joinStatement(exporter []byte, joiner, server kith.ID, genesis []byte, host string) []byte {
	text := append([]byte(joinDomain), byte(len(exporter)))
	text = append(text, exporter...)
	text = append(text, joiner[:]...)
	text = append(text, server[:]...)
	text = append(text, genesis[:ticketGenesis]...)
	return append(text, host...)
}

// InvitationOpen reports whether a ticket of the group can be used now. Hosts that
// are no admins refuse to redeem it, and pass joiners on to those that are.
func (g *Group) InvitationOpen() bool {
	r := g.Roster()
	for _, ticket := range r.tickets {
		if ticket.refusal(r) == nil {
			return true
		}
	}
	return false
}

// refusal says why nobody new can use the ticket, or returns nil.
func (t invite) refusal(r *Roster) error {
	b := &t.entry.body
	switch {
	case time.Since(time.Unix(b.Expires, 0)) > expiryTolerance:
		return fmt.Errorf("the ticket expired on %s; ask for a new one: %w", time.Unix(b.Expires, 0).UTC().Format("2 January 15:04 UTC"), kith.Expired)
	case len(t.used) >= b.Uses:
		return fmt.Errorf("the ticket is used up; ask for a new one: %w", kith.Denied)
	case t.leaked:
		return fmt.Errorf("the ticket was closed when a host that it had let in was revoked; ask for a new one: %w", kith.Denied)
	case !r.IsAdmin(b.Author):
		return fmt.Errorf("who made the ticket is no admin any more; ask for a new one: %w", kith.Denied)
	}
	return nil
}

// Redeem answers the join request of peer, a host that holds its key, on a
// connection with that exporter (RFC 8446 7.5). The peer is a member when it
// returns, and the reply is for it. Any error is the one clear reason for
// refusing, to be sent to the joiner: kind Expired, Denied (used up, forged,
// unknown, or this host is no admin), Exists (the name), Invalid or Quota (too
// many attempts with tickets in a minute). It is [ErrNoTicket], too, where the
// joiner showed no ticket that this host knows: that can be anybody, and any
// number of times. A host that is a member already gets the reply again.
func (g *Group) Redeem(ctx context.Context, peer kith.ID, exporter, payload []byte) ([]byte, error) {
	var request joinRequest
	if len(payload) > maxJoin {
		return nil, noTicket{fmt.Errorf("join request has %d bytes, at most %d: %w", len(payload), maxJoin, kith.Invalid)}
	}
	if err := json.Unmarshal(payload, &request); err != nil || request.Version < 1 || len(request.Key) != ed25519.PublicKeySize || len(exporter) > 64 {
		return nil, noTicket{fmt.Errorf("join request cannot be read: %w", kith.Invalid)}
	}
	roster := g.Roster()
	if _, ok := roster.tickets[string(request.Key)]; !ok {
		return nil, noTicket{fmt.Errorf("join: this host does not know the ticket yet; try again, or ask for a new one: %w", kith.Denied)}
	}
	genesis := roster.genesis
	if !ed25519.Verify(request.Key, joinStatement(exporter, peer, g.id, genesis[:], request.Host), request.Proof) {
		return nil, fmt.Errorf("the ticket is forged, or of another group: %w", kith.Denied)
	}
	if !g.limiter.allow() { // only who has a ticket can use this up
		return nil, fmt.Errorf("too many attempts to join; try again in a minute: %w", kith.Quota)
	}
	var admission Hash
	hash, err := g.write(ctx, func(r *Roster) (body, error) {
		ticket, ok := r.tickets[string(request.Key)]
		if !ok {
			return body{}, fmt.Errorf("the ticket was withdrawn; ask for a new one: %w", kith.Denied)
		}
		if member, ok := r.Member(peer); ok {
			admission = member.Entry
			return body{}, errMember
		}
		if !r.IsAdmin(g.id) {
			return body{}, fmt.Errorf("this host is no admin and cannot let you in; try the host that made the ticket: %w", kith.Denied)
		}
		if err := ticket.refusal(r); err != nil {
			return body{}, err
		}
		if len(r.members) >= MaxMembers {
			return body{}, fmt.Errorf("the group is full (%d hosts): %w", MaxMembers, kith.Quota)
		}
		overrides, ok := r.endings(peer)
		if !ok {
			return body{}, fmt.Errorf("this key was revoked too often; join with a new key: %w", kith.Denied)
		}
		made := r.merge.nodes[r.merge.index[ticket.entry.hash]]
		for _, ending := range overrides {
			if !made.past.has(r.merge.index[ending]) {
				return body{}, fmt.Errorf("this host was revoked, or left, after the ticket was made; ask for a new one: %w", kith.Denied)
			}
		}
		if err := g.checkHost(r, request.Host, peer); err != nil {
			return body{}, fmt.Errorf("%w; choose another name", err)
		}
		return body{Kind: kindAdmit, Subject: peer, Host: request.Host, Admin: ticket.entry.body.Admin,
			Invite: ticket.entry.hash, Overrides: overrides}, nil
	})
	switch {
	case errors.Is(err, errMember):
	case err != nil:
		return nil, fmt.Errorf("join: %w", err)
	default:
		admission = hash
	}
	return json.Marshal(joinReply{Version: joinVersion, Genesis: genesis, Admission: admission})
}

// ErrNoTicket is what an error of [Group.Redeem] is, by errors.Is, where no
// ticket that this host knows was concerned.
var ErrNoTicket = errors.New("no ticket that this host knows")

// noTicket marks an error as ErrNoTicket and leaves its text.
type noTicket struct{ error }

func (e noTicket) Is(target error) bool { return target == ErrNoTicket }
func (e noTicket) Unwrap() error        { return e.error }

var errMember = errors.New("peer is a member")

// A limiter allows so many attempts in each minute. The zero value is ready.
type limiter struct {
	mu    sync.Mutex
	since time.Time
	n     int
}

func (l *limiter) allow() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.since) > time.Minute {
		l.since, l.n = now, 0
	}
	l.n++
	return l.n <= redemptionsPerMinute
}

// A Join is the joiner's side of an invitation: Request for each host that
// might let it in, Reply with the answer of the one that did, Group to fill
// by [Group.Sync] with that host, and [Group.Joined] to know that it is true.
type Join struct {
	ticket Ticket
	key    ed25519.PrivateKey
	host   string
	group  *Group
}

// NewJoin prepares to join by ticket the group that made it, under the name
// host. It fails with kind Invalid for a name that no host may have and kind
// Expired for a ticket past its time.
func NewJoin(ticket Ticket, key ed25519.PrivateKey, host string) (*Join, error) {
	if err := CheckName(host); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	if time.Since(ticket.Expires) > expiryTolerance {
		return nil, fmt.Errorf("join: the ticket expired on %s; ask for a new one: %w", ticket.Expires.UTC().Format("2 January 15:04 UTC"), kith.Expired)
	}
	return &Join{ticket: ticket, key: key, host: host}, nil
}

// Request is what to send to server on a connection with that exporter. It is
// safe for concurrent use.
func (j *Join) Request(server kith.ID, exporter []byte) ([]byte, error) {
	if len(exporter) == 0 || len(exporter) > 64 {
		return nil, fmt.Errorf("join: exporter of %d bytes: %w", len(exporter), kith.Invalid)
	}
	key := j.ticket.key()
	statement := joinStatement(exporter, kith.IDOf(publicKey(j.key)), server, j.ticket.Genesis[:], j.host)
	return json.Marshal(joinRequest{Version: joinVersion, Key: publicKey(key), Host: j.host, Proof: ed25519.Sign(key, statement)})
}

// Reply takes server's answer. Afterwards Group returns the group.
func (j *Join) Reply(server kith.ID, payload []byte) error {
	var reply joinReply
	if len(payload) > maxJoin {
		return fmt.Errorf("join: reply has %d bytes, at most %d: %w", len(payload), maxJoin, kith.Invalid)
	}
	if err := json.Unmarshal(payload, &reply); err != nil || reply.Version < 1 || reply.Admission.IsZero() {
		return fmt.Errorf("join: reply cannot be read: %w", kith.Invalid)
	}
	if [ticketGenesis]byte(reply.Genesis[:]) != j.ticket.Genesis {
		return fmt.Errorf("join: host %s is of another group than the ticket: %w", server.Short(), kith.Denied)
	}
	j.group = newGroup(j.key, newLog(reply.Genesis))
	j.group.server, j.group.joined = server, reply.Admission
	return nil
}

// Group returns the group that let us in, empty until [Group.Sync] fills it,
// or nil before Reply.
func (j *Join) Group() *Group { return j.group }

// Joined says whether this host knows that it is in the group: that the
// entries go back to the genesis that the ticket names, that they admit this
// host, and that the one which let it in was an admin. Until then it fails with
// kind Temporary, or with kind NotMember where that can never be. A group that
// was founded or opened has joined.
func (g *Group) Joined() error {
	r := g.Roster()
	if removal, out := r.Removal(g.id); out {
		return fmt.Errorf("this host is out of the group: %s: %w", removal.Reason, kith.NotMember)
	}
	if _, ok := r.Member(g.id); !ok {
		return fmt.Errorf("the group's roster has not come yet: %w", kith.Temporary)
	}
	if g.server.IsZero() || r.Counts(g.joined) {
		return nil
	}
	return fmt.Errorf("host %s let this host in without the right to: %w", g.server.Short(), kith.NotMember)
}

// AwaitJoined waits until Joined has an answer other than Temporary, and
// returns it, or ctx's error.
func (g *Group) AwaitJoined(ctx context.Context) error {
	for {
		changed := g.state.Load().changed
		if err := g.Joined(); !errors.Is(err, kith.Temporary) {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// joining reports whether server let this host in and its roster, down to our
// admission, is still to come.
func (g *Group) joining(r *Roster, server kith.ID) bool {
	if g.server.IsZero() || server != g.server {
		return false
	}
	_, in := r.Member(g.id)
	_, out := r.Removal(g.id)
	return !in && !out
}

// Admit is the verdict on a peer that holds the key id: nil for a member, else
// an error of kind NotMember with the reason. What proof, the bytes of the
// peer's [Group.Proof], adds to the roster is merged first.
func (g *Group) Admit(id kith.ID, proof []byte) error {
	r := g.Roster()
	if _, ok := r.Member(id); !ok && len(proof) > 0 && len(proof) <= maxProof && len(r.members) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		entries, err := parseEntries(proof)
		if err == nil {
			_, err = g.apply(ctx, entries)
		}
		if err != nil && !errors.Is(err, kith.Invalid) && !errors.Is(err, errForged) {
			return fmt.Errorf("admit %s: %w", id.Short(), err)
		}
		r = g.Roster()
	}
	if _, ok := r.Member(id); ok {
		return nil
	}
	if g.joining(r, id) {
		return nil
	}
	if removal, ok := r.Removal(id); ok {
		return fmt.Errorf("host %s is out of the group: %s: %w", removal.Host, removal.Reason, kith.NotMember)
	}
	return fmt.Errorf("host %s is a stranger to the group: %w", id.Short(), kith.NotMember)
}

const maxProof = 16 << 10 // bytes

// Proof returns the entries that admit this host, for members that have not
// heard of it: its admission and as much of what came before as fits in
// 16 KiB. It returns nil while there is none.
func (g *Group) Proof() []byte {
	state := g.state.Load()
	member, ok := state.roster.Member(g.id)
	if !ok {
		return nil
	}
	m := state.roster.merge
	at := m.index[member.Entry]
	picked := []*Entry{m.nodes[at].Entry}
	size := picked[0].wireSize()
	for i := at - 1; i >= 0; i-- {
		if !m.nodes[at].past.has(i) {
			continue
		}
		if size += m.nodes[i].wireSize(); size > maxProof {
			break
		}
		picked = append(picked, m.nodes[i].Entry)
	}
	var proof []byte
	for _, e := range slices.Backward(picked) {
		proof = appendEntry(proof, e)
	}
	return proof
}
