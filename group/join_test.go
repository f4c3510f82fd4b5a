package group

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

var exporter = bytes.Repeat([]byte{7}, 32)

// join has host redeem ticket at server and returns its still empty group.
func join(t testing.TB, server *Group, ticket Ticket, host string) (*Group, error) {
	t.Helper()
	parsed, err := ParseTicket(ticket.String())
	if err != nil {
		t.Fatal(err)
	}
	j, err := NewJoin(parsed, testKey(host), host)
	if err != nil {
		return nil, err
	}
	request, err := j.Request(server.ID(), exporter)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := server.Redeem(context.Background(), testID(host), exporter, request)
	if err != nil {
		return nil, err
	}
	if err := j.Reply(server.ID(), reply); err != nil {
		t.Fatal(err)
	}
	return j.Group(), nil
}

// enlarge has host join through server as an admin and waits until it has.
func enlarge(t testing.TB, server *Group, host string) *Group {
	t.Helper()
	ticket, err := server.Invite(t.Context(), InviteRequest{Admin: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := join(t, server, ticket, host)
	if err != nil {
		t.Fatal(err)
	}
	stop := connect(t, server, g)
	if err := g.AwaitJoined(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	return g
}

func TestJoin(t *testing.T) {
	maple := found(t, "maple")
	if maple.InvitationOpen() {
		t.Error("an invitation is open before there is one")
	}
	ticket, err := maple.Invite(t.Context(), InviteRequest{Admin: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !maple.InvitationOpen() {
		t.Error("no invitation is open")
	}
	oak, err := join(t, maple, ticket, "oak")
	if err != nil {
		t.Fatal(err)
	}
	if err := oak.Joined(); !errors.Is(err, kith.Temporary) {
		t.Errorf("joined before the roster came: %v", err)
	}
	if err := oak.Admit(maple.ID(), nil); err != nil {
		t.Errorf("the joiner does not admit its server: %v", err)
	}
	connect(t, maple, oak)
	if err := oak.AwaitJoined(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantMembers(t, oak.Roster(), "maple* oak*")
	wantMembers(t, maple.Roster(), "maple* oak*")
	if oak.Name().String() != "oak.home.kith.alt" {
		t.Errorf("oak is %s", oak.Name())
	}
	if maple.InvitationOpen() {
		t.Error("a used ticket leaves the invitation open")
	}
	// The same host again, as after a lost reply; then another.
	if _, err := join(t, maple, ticket, "oak"); err != nil {
		t.Errorf("again: %v", err)
	}
	if _, err := join(t, maple, ticket, "elm"); !errors.Is(err, kith.Denied) {
		t.Errorf("a used ticket: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		invite := func(request InviteRequest) Ticket {
			ticket, err := maple.Invite(t.Context(), request, nil)
			if err != nil {
				t.Fatal(err)
			}
			return ticket
		}
		refused := func(what string, ticket Ticket, host string, want kith.Kind) {
			t.Helper()
			if _, err := join(t, maple, ticket, host); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		}
		forged := invite(InviteRequest{})
		forged.Secret[0]++
		refused("forged", forged, "oak", kith.Denied)
		other := invite(InviteRequest{})
		other.Genesis[0]++
		refused("other group", other, "oak", kith.Denied)
		refused("hyphen", invite(InviteRequest{}), "ma-ple", kith.Exists)
		refused("look-alike", invite(InviteRequest{}), "rnap1e", kith.Exists)
		refused("reserved", invite(InviteRequest{}), "localhost", kith.Invalid)

		ticket := invite(InviteRequest{Expires: time.Hour})
		time.Sleep(time.Hour + 9*time.Minute)
		if _, err := join(t, maple, ticket, "ash"); err != nil {
			t.Errorf("within the tolerance: %v", err)
		}
		ticket = invite(InviteRequest{Expires: time.Hour})
		j, err := NewJoin(ticket, testKey("oak"), "oak")
		if err != nil {
			t.Fatal(err)
		}
		request, _ := j.Request(maple.ID(), exporter)
		time.Sleep(time.Hour + 11*time.Minute)
		refused("expired", ticket, "oak", kith.Expired)
		if _, err := maple.Redeem(t.Context(), testID("oak"), exporter, request); !errors.Is(err, kith.Expired) {
			t.Errorf("expired: %v", err)
		}

		// A request is good for its joiner and connection only.
		j, _ = NewJoin(invite(InviteRequest{}), testKey("oak"), "oak")
		request, _ = j.Request(maple.ID(), exporter)
		if _, err := maple.Redeem(t.Context(), testID("thief"), exporter, request); !errors.Is(err, kith.Denied) {
			t.Errorf("stolen request: %v", err)
		}
		if _, err := maple.Redeem(t.Context(), testID("oak"), make([]byte, 32), request); !errors.Is(err, kith.Denied) {
			t.Errorf("replayed request: %v", err)
		}
		invented, err := NewJoin(Ticket{Inviter: maple.ID(), Genesis: ticket.Genesis, Secret: newSecret(), Expires: time.Now().Add(time.Hour)}, testKey("thief"), "thief")
		if err != nil {
			t.Fatal(err)
		}
		unknown, _ := invented.Request(maple.ID(), exporter)
		if _, err := maple.Redeem(t.Context(), testID("thief"), exporter, unknown); !errors.Is(err, kith.Denied) || !errors.Is(err, ErrNoTicket) ||
			err.Error() != "join: this host does not know the ticket yet; try again, or ask for a new one: not allowed" {
			t.Errorf("invented ticket: %v", err)
		}
		if _, err := maple.Redeem(t.Context(), testID("oak"), exporter, []byte("{")); !errors.Is(err, kith.Invalid) {
			t.Errorf("nonsense: %v", err)
		}

		// Anybody can send these, so they use nothing up and are told apart.
		for range 2 * redemptionsPerMinute {
			for _, nonsense := range [][]byte{nil, make([]byte, maxJoin+1), unknown} {
				if _, err := maple.Redeem(t.Context(), testID("thief"), exporter, nonsense); !errors.Is(err, ErrNoTicket) || errors.Is(err, kith.Quota) {
					t.Fatalf("no ticket: %v", err)
				}
			}
		}
		for range redemptionsPerMinute {
			if _, err = maple.Redeem(t.Context(), testID("oak"), exporter, request); err != nil {
				break
			}
		}
		if !errors.Is(err, kith.Quota) || errors.Is(err, ErrNoTicket) {
			t.Errorf("hammering: %v", err)
		}
	})
}

func TestReturnNeedsNewTicket(t *testing.T) {
	maple := found(t, "maple")
	old, err := maple.Invite(t.Context(), InviteRequest{Uses: 5, Admin: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := join(t, maple, old, "oak"); err != nil {
		t.Fatal(err)
	}
	if err := maple.Revoke(t.Context(), testID("oak")); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"oak", "fresh"} {
		if _, err := join(t, maple, old, host); !errors.Is(err, kith.Denied) {
			t.Errorf("%s with the old ticket: %v", host, err)
		}
	}
	enlarge(t, maple, "oak")
	wantMembers(t, maple.Roster(), "maple* oak*")
}

func TestProof(t *testing.T) {
	maple := found(t, "maple")
	oak := enlarge(t, maple, "oak")
	elm := enlarge(t, maple, "elm") // oak has not heard of it
	if err := oak.Admit(elm.ID(), nil); !errors.Is(err, kith.NotMember) {
		t.Errorf("stranger: %v", err)
	}
	if err := oak.Admit(elm.ID(), elm.Proof()); err != nil {
		t.Errorf("with proof: %v", err)
	}
	ash := enlarge(t, maple, "ash")
	proof := ash.Proof()
	proof[len(proof)-1]++
	if err := oak.Admit(ash.ID(), proof); !errors.Is(err, kith.NotMember) {
		t.Errorf("with a forged proof: %v", err)
	}
	if err := oak.Admit(testID("mallory"), ash.Proof()); !errors.Is(err, kith.NotMember) {
		t.Errorf("with somebody else's proof: %v", err)
	}
	if err := maple.Revoke(t.Context(), oak.ID()); err != nil {
		t.Fatal(err)
	}
	if err := maple.Admit(oak.ID(), oak.Proof()); !errors.Is(err, kith.NotMember) {
		t.Errorf("revoked: %v", err)
	}
}
