package post

import (
	"context"
	"database/sql"
	"slices"

	"kith.alt/kith"
)

// takeHolders notes who else has a letter, by the word of one who has it.
func (t *talk) takeHolders(ctx context.Context, payload []byte) error {
	k, rest, err := cutKey(payload)
	if err != nil {
		return err
	}
	holders, err := readHolders(rest)
	if err != nil {
		return err
	}
	p := t.post
	p.mu.Lock()
	c := p.parcels[k]
	known := c != nil && (c.from == t.peer || c.holders[t.peer])
	p.mu.Unlock()
	if !known {
		return nil
	}
	return p.addHolders(ctx, c, holders...)
}

// addHolders notes who else has a letter.
func (p *Post) addHolders(ctx context.Context, c *parcel, holders ...kith.ID) error {
	p.mu.Lock()
	fresh := slices.DeleteFunc(slices.Clone(holders), func(id kith.ID) bool { return c.holders[id] || id == p.cfg.Self })
	if len(c.holders)+len(fresh) > maxHolders {
		fresh = nil
	}
	p.mu.Unlock()
	err := p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		for _, id := range fresh {
			if err := addHolder(ctx, tx, c.key, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	for _, id := range holders {
		if c.told[id].at != nil {
			delete(c.told, id)
		}
	}
	for _, id := range fresh {
		c.holders[id] = true
	}
	if len(fresh) > 0 && p.parcels[c.key] == c {
		p.tellHoldersLocked(c)
	}
	p.noteChangeLocked()
	p.mu.Unlock()
	p.wakeTalks()
	return nil
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
	all := make([]kith.ID, 0, len(c.holders)+1)
	for id := range c.holders {
		all = append(all, id)
	}
	if !c.own() {
		all = append(all, p.cfg.Self)
	}
	return appendHolders(keyFrame(frameHolders, c.key), all)
}

// tellAllHolders tells the peer, once, who has the letters that it has.
func (t *talk) tellAllHolders() {
	p := t.post
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.parcels {
		if c.holders[t.peer] && !c.done && c.to != t.peer {
			t.say(p.holdersFrameLocked(c))
			if n++; n == maxRetold {
				return
			}
		}
	}
}
