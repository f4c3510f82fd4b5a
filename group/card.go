package group

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"kith.alt/kith"
)

// Limits of cards.
const (
	MaxSealKey = 64  // bytes
	MaxNames   = 640 // bytes of accounts and other names together, and three for each
)

// A Card is what a host says of itself beside where it is. It is in the same signed record.
type Card struct {
	SealKey  []byte   // what letters to the host are sealed to (package post)
	Accounts []string // names of its people, valid labels
	Names    []string // others that they are reached by, such as lists, valid labels
	More     bool     // there are more than fit
	Run      Run
}

func (c Card) equal(other Card) bool {
	return bytes.Equal(c.SealKey, other.SealKey) && slices.Equal(c.Accounts, other.Accounts) && slices.Equal(c.Names, other.Names) && c.More == other.More && c.Run == other.Run
}

// fit leaves out the last names of those that are too many.
func (c *Card) fit() {
	room := MaxNames
	for _, list := range []*[]string{&c.Accounts, &c.Names} {
		for i, name := range *list {
			if room -= len(name) + 3; room < 0 {
				*list, c.More = (*list)[:i], true
				break
			}
		}
	}
}

func (c Card) check() error {
	if len(c.SealKey) > MaxSealKey {
		return fmt.Errorf("key of %d bytes, at most %d: %w", len(c.SealKey), MaxSealKey, kith.Invalid)
	}
	for _, name := range slices.Concat(c.Accounts, c.Names) {
		if err := kith.CheckLabel(name); err != nil {
			return fmt.Errorf("name: %w", err)
		}
	}
	return nil
}

func (r *record) card() Card {
	return Card{r.body.SealKey, r.body.Accounts, r.body.Names, r.body.More, r.body.Run}
}

// SetCard tells the group what this host says of itself. Of names beyond [MaxNames] the first ones stay. It fails with kind Invalid. Members that sync learn it at once.
func (g *Group) SetCard(ctx context.Context, card Card) error {
	card.fit()
	if err := card.check(); err != nil {
		return fmt.Errorf("set card: %w", err)
	}
	g.changing.Lock()
	defer g.changing.Unlock()
	g.card = card
	return g.renewRecord(ctx)
}

// Card returns what the member id says of itself; the zero value where nothing was heard. Unlike
// addresses it does not age. The caller must not change it.
func (g *Group) Card(id kith.ID) Card {
	if r := g.state.Load().records[id]; r != nil {
		return r.card()
	}
	return Card{}
}
