package post

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"kith.alt/kith"
)

// A proof is the word of a member that it has a letter: which sealing of it, and the member's signature. Others
// pass it on, and cannot make it up: else one custodian could name others that hold nothing, and the
// sender would rest.
type proof []byte

const (
	proofSeal = 4 // bytes
	proofSize = proofSeal + ed25519.SignatureSize
)

func (p proof) seal() int { return int(binary.BigEndian.Uint32(p)) }

// proofText is what is signed of a letter's header.
func proofText(h *header, seal []byte) []byte {
	text := append([]byte(custodyDomain), h.Group...)
	return append(h.key().append(text), seal...)
}

func prove(private ed25519.PrivateKey, h *header) proof {
	seal := binary.BigEndian.AppendUint32(nil, uint32(h.Seal))
	return append(seal, ed25519.Sign(private, proofText(h, seal))...)
}

// verify checks that the host id said so of the letter.
func (p proof) verify(h *header, id kith.ID) error {
	if !ed25519.Verify(id.Key(), proofText(h, p[:proofSeal]), p[proofSeal:]) {
		return fmt.Errorf("it is not %s that says it has letter %s: %w", id.Short(), h.Letter, kith.Denied)
	}
	return nil
}

// A holder is a member that has a letter.
type holder struct {
	id    kith.ID
	proof proof
}

// takeHolders notes who else has a letter.
func (t *talk) takeHolders(ctx context.Context, payload []byte) error {
	k, rest, err := cutKey(payload)
	if err != nil {
		return err
	}
	holders, err := readHolders(rest)
	if err != nil {
		return err
	}
	t.post.mu.Lock()
	c := t.post.parcels[k]
	t.post.mu.Unlock()
	if c == nil {
		return nil
	}
	return t.post.addHolders(ctx, c, holders...)
}

// addHolders notes who else has a letter. A forged proof is an error of kind Denied.
func (p *Post) addHolders(ctx context.Context, c *parcel, holders ...holder) error {
	p.mu.Lock()
	h, room := c.header, maxHolders-len(c.holders)
	fresh := slices.DeleteFunc(slices.Clone(holders), func(o holder) bool { return c.holders[o.id] != nil })
	p.mu.Unlock()
	if h == nil || room <= 0 {
		return nil
	}
	fresh, err := p.proven(h, fresh)
	if err != nil || len(fresh) == 0 {
		return err
	}
	fresh = fresh[:min(len(fresh), room)]
	if err := p.cfg.Store.Update(ctx, func(tx *sql.Tx) error { return storeHolders(ctx, tx, c.key, fresh) }); err != nil {
		return err
	}
	p.mu.Lock()
	for _, o := range fresh {
		if c.header != h { // it was sealed anew
			break
		}
		c.holders[o.id] = o.proof
	}
	if p.parcels[c.key] == c {
		p.tellHoldersLocked(c)
	}
	p.noteChangeLocked()
	p.mu.Unlock()
	p.wakeTalks()
	return nil
}

// proven returns those of a list, other members, who have a letter as it is sealed now. A forged proof is an error of kind Denied.
func (p *Post) proven(h *header, list []holder) (proven []holder, err error) {
	members := p.members()
	for _, o := range list {
		if _, member := members[o.id]; !member || o.id == p.cfg.Self || o.proof.seal() < h.Seal {
			continue
		}
		if err := o.proof.verify(h, o.id); err != nil {
			return nil, err
		}
		proven = append(proven, o)
	}
	return proven, nil
}

func storeHolders(ctx context.Context, tx *sql.Tx, k key, list []holder) error {
	for _, o := range list {
		_, err := tx.ExecContext(ctx, `INSERT INTO post_holders (sender, letter, host, proof) VALUES (?, ?, ?, ?)
			ON CONFLICT (sender, letter, host) DO UPDATE SET proof = excluded.proof`, k.from[:], k.letter[:], o.id[:], []byte(o.proof))
		if err != nil {
			return err
		}
	}
	return nil
}

func loadHolders(ctx context.Context, tx *sql.Tx, parcels []*parcel) error {
	for _, c := range parcels {
		rows, err := tx.QueryContext(ctx, `SELECT host, proof FROM post_holders WHERE sender = ? AND letter = ?`, c.from[:], c.letter[:])
		if err != nil {
			return err
		}
		for rows.Next() {
			var host []byte
			var word proof
			if err := rows.Scan(&host, (*[]byte)(&word)); err != nil {
				rows.Close()
				return err
			}
			if c.header != nil && word.seal() >= c.header.Seal {
				c.holders[kith.ID(host)] = word
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
	}
	return nil
}

func deleteHolders(ctx context.Context, tx *sql.Tx, k key) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM post_holders WHERE sender = ? AND letter = ?`, k.from[:], k.letter[:])
	return err
}

// holdersLocked lists who has a letter, this host included unless it is the sender.
func (p *Post) holdersLocked(c *parcel) []holder {
	list := make([]holder, 0, len(c.holders)+1)
	if !c.own() {
		list = append(list, holder{p.cfg.Self, p.proofLocked(c)})
	}
	for id, word := range c.holders {
		list = append(list, holder{id, word})
	}
	return list
}

// proofLocked is this host's word that it has a letter.
func (p *Post) proofLocked(c *parcel) proof {
	if c.proof == nil || c.proof.seal() != c.header.Seal {
		c.proof = prove(p.cfg.Key, c.header)
	}
	return c.proof
}

// tellHoldersLocked tells those who have a letter who else has it.
func (p *Post) tellHoldersLocked(c *parcel) {
	for id := range c.holders {
		if talks := p.talks[id]; len(talks) > 0 && id != c.to {
			talks[0].say(p.holdersFrameLocked(c))
		}
	}
}

func (p *Post) holdersFrameLocked(c *parcel) []byte {
	return appendHolders(keyFrame(frameHolders, c.key), p.holdersLocked(c))
}

// tellAllHolders tells the peer, once, who has the letters that it has.
func (t *talk) tellAllHolders() {
	p := t.post
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.parcels {
		if c.holders[t.peer] != nil && !c.done && c.to != t.peer {
			t.say(p.holdersFrameLocked(c))
			if n++; n == maxRetold {
				return
			}
		}
	}
}
