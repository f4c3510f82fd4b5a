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
	MaxSealKey  = 64 // bytes
	MaxAccounts = 32
)

// A Card is what a host says of itself beside where it is. It is in the same signed record.
type Card struct {
	SealKey  []byte   // what letters to the host are sealed to (package post)
	Accounts []string // names of its people, valid labels
	Run      Run
}

func (c Card) equal(other Card) bool {
	return bytes.Equal(c.SealKey, other.SealKey) && slices.Equal(c.Accounts, other.Accounts) && c.Run == other.Run
}

func (c Card) check() error {
	if len(c.SealKey) > MaxSealKey {
		return fmt.Errorf("key of %d bytes, at most %d: %w", len(c.SealKey), MaxSealKey, kith.Invalid)
	}
	if len(c.Accounts) > MaxAccounts {
		return fmt.Errorf("%d accounts, at most %d: %w", len(c.Accounts), MaxAccounts, kith.Invalid)
	}
	for _, name := range c.Accounts {
		if err := kith.CheckLabel(name); err != nil {
			return fmt.Errorf("account: %w", err)
		}
	}
	return nil
}

func (r *record) card() Card { return Card{r.body.SealKey, r.body.Accounts, r.body.Run} }

// SetCard tells the group what this host says of itself. Accounts beyond [MaxAccounts] are left out,
// the first ones stay. It fails with kind Invalid. Members that sync learn it at once.
func (g *Group) SetCard(ctx context.Context, card Card) error {
	card.Accounts = card.Accounts[:min(len(card.Accounts), MaxAccounts)]
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
