package node

import (
	"context"
	"net"

	"kith.alt/kith"
	"kith.alt/kith/group"
	"kith.alt/kith/post"
)

// openPost opens the letters of this host. Nothing runs yet.
func (n *Node) openPost(ctx context.Context) error {
	n.post = post.New(post.Config{
		Self:  n.id,
		Key:   n.key,
		Store: n.store,
		Blobs: n.blobs,
		Dial:  n.overlay.Dial,
		Listen: func(ctx context.Context) (net.Listener, error) {
			return n.overlay.Listen(ctx, kith.Address{Port: post.Port})
		},
		Group:     func() [32]byte { return n.group().Roster().Genesis() },
		Members:   n.presentMembers,
		Connected: func(id kith.ID) bool { return n.mesh.Connected(id) },
		SealKey:   func(id kith.ID) []byte { return n.group().Card(id).SealKey },
		ShowKey:   n.showCard,
		Log:       n.log.With("service", "post"),
		Metrics:   n.metrics,
	})
	return n.post.Load(ctx)
}

// showCard puts the key that letters to this host are sealed to, and who its people
// are, into its signed record.
func (n *Node) showCard(ctx context.Context) error {
	accounts, err := n.accounts.List(ctx)
	if err != nil {
		return err
	}
	card := group.Card{SealKey: n.post.OwnSealKey(), Run: n.run}
	for _, a := range accounts {
		card.Accounts = append(card.Accounts, a.Name)
	}
	n.mu.Lock()
	for _, app := range n.cfg.Apps {
		card.Names = append(card.Names, n.otherNames[app.Name]...)
	}
	if len(n.otherNames) == 0 { // no application has told yet: what held before does
		before := n.group().Card(n.id)
		card.Names, card.More = before.Names, before.More
	}
	n.mu.Unlock()
	return n.group().SetCard(ctx, card)
}
