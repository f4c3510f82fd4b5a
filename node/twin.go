package node

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/backup"
	"kith.alt/kith/group"
)

const (
	keptRuns    = 100
	handingOver = 30 * time.Second
	probation   = 3 * time.Second  // of a start, from the first contact with a member: a record of a twin comes within it
	answering   = 12 * time.Second // and where one came: the twin answers within it, if it lives
)

// beginRun notes that this host starts, and which start was the one before.
func (n *Node) beginRun(ctx context.Context) error {
	n.run.Started = time.Now().UnixMilli()
	rand.Read(n.run.ID[:]) // never fails
	mark := n.dir.File(backup.Mark)
	_, err := os.Stat(mark)
	restored := err == nil
	err = n.store.Update(ctx, func(tx *sql.Tx) error {
		var before []byte
		err := tx.QueryRowContext(ctx, `SELECT id FROM node_runs ORDER BY number DESC LIMIT 1`).Scan(&before)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		copy(n.run.After[:], before)
		if restored {
			if _, err := tx.ExecContext(ctx, `INSERT INTO node_restores (at) VALUES (?)`, time.Now().Unix()); err != nil {
				return err
			}
		}
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM node_restores`).Scan(&n.restores); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO node_runs (id, started) VALUES (?, ?)`, n.run.ID[:], n.run.Started); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM node_runs WHERE number <= (SELECT max(number) FROM node_runs) - ?`, keptRuns)
		return err
	})
	if err != nil || !restored {
		return err
	}
	return os.Remove(mark)
}

// errTwin ends a node that is the copy of one that runs.
var errTwin = fmt.Errorf("another computer runs with a copy of this data directory, and began earlier: it goes on, this one stops: %w", kith.Exists)

// watchTwin looks for another that runs with this host's key. The one that began later stops.
func (n *Node) watchTwin(ctx context.Context) error {
	var known []group.RunID
	for ctx.Err() == nil {
		current := n.current.Load()
		watching, cancel := current.during(ctx)
		twin, err := current.AwaitTwin(watching, known...)
		cancel()
		if err != nil {
			continue
		}
		known = append(known, twin.Run.ID)
		if twin.Run.Before(n.run) {
			n.event("Another computer runs with a copy of this one's data, and began earlier. Two cannot be one host: this one stops. To have a second computer in the group, invite it.")
			n.handOver(ctx, twin.Run)
			n.twin <- errTwin
			<-ctx.Done()
			return nil
		}
		n.event("Another computer was started with a copy of this one's data. Two cannot be one host: the other one stops.")
	}
	return nil
}

// handOver gives the letters that this host has received, and its twin has not, back to members.
func (n *Node) handOver(ctx context.Context, twin group.Run) {
	since := int64(1) // what they have in common was before the first run that the twin does not know
	err := n.store.View(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT started FROM node_runs WHERE number > (SELECT number FROM node_runs WHERE id = ?) ORDER BY number LIMIT 1`, twin.After[:]).Scan(&since)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		n.log.Warn("runs of this host", "err", err)
	}
	handing, cancel := context.WithTimeout(ctx, handingOver)
	defer cancel()
	switch handed, left := n.post.HandOver(handing, time.UnixMilli(since)); {
	case left > 0:
		n.event("Of the letters that this copy had received, members keep %d for the other computer. %d are here alone, as nobody takes them.", handed, left)
	case handed > 0:
		n.event("Members keep the %d letters that this copy had received for the other computer.", handed)
	}
}

// settle has letters opened once it is certain that this host is no twin: what is sealed to one host is
// not to be received by the other.
func (n *Node) settle(ctx context.Context) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var contact time.Time
	for {
		alone := len(n.group().Roster().Members()) < 2
		if contact.IsZero() {
			for _, p := range n.mesh.Presences() {
				if p.Path != "" {
					contact = time.Now()
				}
			}
		}
		waiting := probation
		if twin, _ := n.group().Twin(); !twin.Run.ID.IsZero() {
			waiting = answering
		}
		if alone || !contact.IsZero() && time.Since(contact) > waiting {
			n.post.Register(n.receivers)
			<-ctx.Done()
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
