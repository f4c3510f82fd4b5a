package node

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
	"kith.alt/kith/network/rendezvous"
	"kith.alt/kith/network/underlay"
)

// meetLater is how long after its expiry a ticket's newcomer is still met: it
// was let in at the last moment, and has no other way to us yet.
const meetLater = time.Hour

// meetNewcomer has whoever comes with the ticket met in the DHT, also after a
// restart. What is stored is a secret for meeting, and not the ticket's own.
func (n *Node) meetNewcomer(ctx context.Context, ticket group.Ticket) error {
	secret, until := ticket.Meeting(), ticket.Expires.Add(meetLater)
	err := n.store.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM node_meetings WHERE until < ?`, time.Now().Unix()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO node_meetings (secret, until) VALUES (?, ?)`, secret[:], until.Unix())
		return err
	})
	if err != nil {
		return fmt.Errorf("keep the meeting of a ticket: %w", err)
	}
	n.mesh.Invite(secret, until)
	return nil
}

// meetNewcomers goes on with the tickets of the run before.
func (n *Node) meetNewcomers(ctx context.Context) error {
	return n.store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT secret, until FROM node_meetings`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var secret []byte
			var until int64
			if err := rows.Scan(&secret, &until); err != nil {
				return err
			}
			if len(secret) == len([32]byte{}) {
				n.mesh.Invite([32]byte(secret), time.Unix(until, 0))
			}
		}
		return rows.Err()
	})
}

// introducedPatience is how long the inviter is sought in the DHT: it looks
// there once a minute or so.
const introducedPatience = 4 * time.Minute

// joinIntroduced is overlay.Join with an inviter that is found through the DHT,
// by the secret of the ticket, and behind a router as we are. Both sides send to
// each other's outside address until one gets through.
func (j *joining) joinIntroduced(ctx context.Context, n *Node, ticket group.Ticket, request func(kith.ID, []byte) ([]byte, error)) (reply []byte, server kith.ID, at []netip.AddrPort, err error) {
	own, err := n.openJoining(ctx, j)
	if err != nil {
		return nil, server, nil, err
	}
	packets, err := j.Packets()
	if err != nil {
		return nil, server, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, introducedPatience)
	defer cancel()
	dht := rendezvous.New(rendezvous.Config{Conn: packets, Bootstrap: n.asked().DHTNodes, Log: n.log.With("service", "rendezvous")})
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	work.Go(func() {
		if err := dht.Serve(ctx); err != nil {
			n.log.Warn("take part in the DHT", "err", err)
		}
	})
	mine := func() []netip.AddrPort { return slices.Concat(dht.Outside(), own) }
	found := make(chan []netip.AddrPort, 1) // the newest
	work.Go(func() {
		for met := range dht.Meet(ctx, ticket.Meeting(), n.id, mine) {
			if met.Peer != ticket.Inviter {
				continue
			}
			n.log.Info("found the inviter in the DHT", "addresses", met.Addresses)
			select {
			case <-found:
			default:
			}
			found <- met.Addresses
		}
	})
	err = fmt.Errorf("the host that made the ticket is not to be found in the DHT; is it awake? %w", kith.Unreachable)
	again := time.NewTicker(punchEvery)
	defer again.Stop()
	for {
		select {
		case at = <-found:
		case <-again.C:
		case <-ctx.Done():
			return nil, server, nil, err
		}
		if len(at) == 0 {
			continue
		}
		// Its router may let us in only once it has read where we are.
		reply, server, err = j.Join(ctx, ticket.Inviter, at, request)
		if err == nil || !server.IsZero() { // it answers
			return reply, server, at, err
		}
	}
}

// punchEvery is between attempts to join, while the router of the inviter may
// not let us in yet.
const punchEvery = 5 * time.Second

// openJoining has the joining use the port that the node's overlay will have, so
// that routers know us by it already. It returns our own addresses there.
func (n *Node) openJoining(ctx context.Context, j *joining) ([]netip.AddrPort, error) {
	got, err := j.Open(ctx, n.cfg.OverlayHost, n.wantedPort())
	if errors.Is(err, kith.InUse) {
		got, err = j.Open(ctx, n.cfg.OverlayHost, 0)
	}
	if err != nil {
		return nil, err
	}
	var own []netip.AddrPort
	for _, p := range underlay.System().Interfaces() {
		if !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			own = append(own, netip.AddrPortFrom(p.Addr(), got.Port()))
		}
	}
	return own, nil
}
