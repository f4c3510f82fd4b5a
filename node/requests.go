package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/control"
	"kith.alt/kith/group"
)

var _ control.Node = (*Node)(nil)

// Roles that an invitation can give.
const (
	roleAdmin  = "admin"
	roleMember = "member"
)

// askAgain is how long a newcomer that lost the answer may ask again.
const askAgain = 10 * time.Minute

// Invite opens the overlay's port, if need be, and returns a ticket.
func (n *Node) Invite(ctx context.Context, request control.InviteRequest) (control.Invitation, error) {
	role := cmp.Or(request.Role, roleAdmin)
	if role != roleAdmin && role != roleMember {
		return control.Invitation{}, fmt.Errorf("role %q is neither %s nor %s: %w", role, roleAdmin, roleMember, kith.Invalid)
	}
	n.changing.Lock()
	defer n.changing.Unlock()
	// The port first: without it the ticket could tell nobody where to come.
	if err := n.openOverlay(ctx); err != nil {
		return control.Invitation{}, fmt.Errorf("open the port for other members: %w", err)
	}
	n.awaitMapping(ctx)
	ticket, err := n.group().Invite(ctx, group.InviteRequest{
		Uses: request.Uses, Expires: request.Expires, Admin: role == roleAdmin,
		Introduce: request.Introduce || n.dir.Node().Introduce,
	}, n.ticketAddresses())
	if err != nil {
		return control.Invitation{}, err
	}
	if ticket.Introduce {
		if err := n.meetNewcomer(ctx, ticket); err != nil {
			return control.Invitation{}, err
		}
	}
	uses := cmp.Or(request.Uses, 1)
	if uses == 1 {
		n.event("A ticket for one computer was made.")
	} else {
		n.event("A ticket for %d computers was made.", uses)
	}
	return control.Invitation{Ticket: ticket.String(), Uses: uses, Expires: ticket.Expires, Role: role,
		Introduce: ticket.Introduce, Open: n.reach().Open, Through: n.namesOf(n.joinRelays())}, nil
}

// redeem answers a host that wants to join by a ticket.
func (n *Node) redeem(ctx context.Context, peer kith.ID, exporter, request []byte) ([]byte, error) {
	reply, err := n.group().Redeem(ctx, peer, exporter, request)
	if err != nil {
		if errors.Is(err, group.ErrNoTicket) { // anybody can send that
			n.log.Info("join refused", "peer", peer.Short(), "err", err)
		} else {
			n.event("A computer with a ticket was turned away: %v.", err)
		}
		return nil, err
	}
	n.letIn.Store(time.Now().UnixNano())
	return reply, nil
}

// joinOpen reports whether somebody may ask to join: while an invitation is
// open, and some minutes longer, for a newcomer that was let in and lost the
// answer.
func (n *Node) joinOpen() bool {
	return n.group().InvitationOpen() || time.Since(time.Unix(0, n.letIn.Load())) < askAgain
}

// Revoke takes a member out of the group for good.
func (n *Node) Revoke(ctx context.Context, host string) error {
	id, err := n.group().Roster().Resolve(host) // whatever the name meant before: it is to go
	if err != nil {
		return err
	}
	if id == n.id {
		return fmt.Errorf("%s is this computer; to take it out: kith leave: %w", host, kith.Invalid)
	}
	return n.group().Revoke(ctx, id)
}

// SetAdmin makes a member an admin, or an admin a plain member.
func (n *Node) SetAdmin(ctx context.Context, host string, admin bool) error {
	id, err := n.resolve(host)
	if err != nil {
		return err
	}
	return n.group().SetAdmin(ctx, id, admin)
}

// Rename renames this host, its group, or both.
func (n *Node) Rename(ctx context.Context, request control.RenameRequest) error {
	if request.Host == "" && request.Group == "" {
		return fmt.Errorf("no new name: %w", kith.Invalid)
	}
	return n.group().Rename(ctx, kith.Name{Host: request.Host, Group: request.Group})
}

// Dial opens a socket for a local program.
func (n *Node) Dial(ctx context.Context, address kith.Address) (net.Conn, error) {
	return n.programs.Dial(ctx, address)
}

// Listen takes an overlay port for a local program.
func (n *Node) Listen(ctx context.Context, address kith.Address) (net.Listener, error) {
	if err := n.checkOwn(address.Host); err != nil {
		return nil, err
	}
	return n.overlay.Programs().Listen(ctx, kith.Address{Port: address.Port})
}

// ListenPacket takes a datagram port for a local program.
func (n *Node) ListenPacket(ctx context.Context, address kith.Address) (net.PacketConn, error) {
	if err := n.checkOwn(address.Host); err != nil {
		return nil, err
	}
	return n.programs.ListenPacket(ctx, kith.Address{Port: address.Port})
}

// DialPacket takes a free port for a local program's datagrams to and from one
// process.
func (n *Node) DialPacket(ctx context.Context, address kith.Address) (net.Conn, error) {
	return n.programs.DialPacket(ctx, address)
}

// checkOwn fails where a host on which a program wants to listen is not this
// one.
func (n *Node) checkOwn(host string) error {
	if host == "" {
		return nil
	}
	if id, err := n.resolve(host); err != nil {
		return err
	} else if id != n.id {
		return fmt.Errorf("%s is another computer: %w", host, kith.Invalid)
	}
	return nil
}

// Accounts are the people on this host.
func (n *Node) Accounts(ctx context.Context) ([]control.Account, error) {
	list, err := n.accounts.List(ctx)
	if err != nil {
		return nil, err
	}
	accounts := make([]control.Account, len(list))
	for i, a := range list {
		accounts[i] = control.Account{Name: a.Name, Password: a.Password}
		for _, p := range a.AppPasswords {
			accounts[i].AppPasswords = append(accounts[i].AppPasswords, control.AppPassword{ID: p.ID, Label: p.Label, Created: p.Created})
		}
	}
	return accounts, nil
}

// AddAccount adds a person.
func (n *Node) AddAccount(ctx context.Context, name string) error {
	if err := n.accounts.Add(ctx, name); err != nil {
		return err
	}
	return n.showCard(ctx)
}

// AddAppPassword makes a secret for one client program.
func (n *Node) AddAppPassword(ctx context.Context, name, label string) (control.AppPassword, error) {
	id, secret, err := n.accounts.AddAppPassword(ctx, name, label)
	if err != nil {
		return control.AppPassword{}, err
	}
	return control.AppPassword{ID: id, Label: label, Secret: secret, Created: time.Now()}, nil
}

// RemoveAppPassword ends a client program's access.
func (n *Node) RemoveAppPassword(ctx context.Context, name, id string) error {
	return n.accounts.RemoveAppPassword(ctx, name, id)
}

// SetPassword sets the password by which an account opens the dashboard.
func (n *Node) SetPassword(ctx context.Context, name, password string) error {
	return n.accounts.SetPassword(ctx, name, password)
}

// SignInLink returns a link that opens the dashboard once.
func (n *Node) SignInLink(ctx context.Context, name string) (string, error) {
	dashboard := n.dashboard()
	if dashboard == "" {
		return "", fmt.Errorf("the dashboard does not listen: %w", kith.Unreachable)
	}
	token, err := n.accounts.NewSignIn(ctx, name)
	if err != nil {
		return "", err
	}
	return dashboard + "signin?token=" + url.QueryEscape(token), nil
}
