package share

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/ui"
)

// A Door is whom of the torrent clients on other computers this host lets in, and
// what they get.
type Door struct {
	kith.TorrentDoor
	Public titles `json:"public"` // of what they get
}

// titles of shares.
type titles []string

// maxTitles is how many a sentence has.
const maxTitles = 5

func (t titles) String() string {
	if more := len(t) - maxTitles; more > 0 {
		return strings.Join(t[:maxTitles], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(t, ", ")
}

// At is where they are let in, in words; "" is nowhere.
func (d Door) At() string { return join(d.Addresses, " or ") }

func join(list []netip.AddrPort, between string) string {
	texts := make([]string, len(list))
	for i, at := range list {
		texts[i] = at.String()
	}
	return strings.Join(texts, between)
}

type doorRequest struct {
	Open string `json:"open"` // lan, any or an address; "" closes
}

func (s *share) door() Door {
	d := Door{TorrentDoor: s.swarm().TorrentDoor(), Public: titles{}}
	for _, h := range s.swarm().Holdings() {
		if h.Public {
			d.Public = append(d.Public, s.titleOf(h))
		}
	}
	return d
}

// setDoor lets torrent clients on other computers in, or closes the door.
func (s *share) setDoor(ctx context.Context, in doorRequest) (Door, error) {
	before := s.swarm().TorrentDoor().Open
	if err := s.swarm().SetTorrentDoor(ctx, in.Open); err != nil {
		return Door{}, err
	}
	switch d := s.door(); {
	case d.Open == before:
		return d, nil
	case d.Open == "":
		s.host.Event("Torrent clients on other computers are no longer let in.")
		return d, nil
	default:
		s.host.Event(fmt.Sprintf("Torrent clients on other computers are let in (%s).", d.Open))
		return d, nil
	}
}

func (s *share) makePublic(ctx context.Context, id kith.ContentID, public bool) error {
	before, err := s.swarm().Holding(id)
	if err != nil {
		return err
	}
	if err := s.swarm().MakePublic(ctx, id, public); err != nil || before.Public == public {
		return err
	}
	if public {
		s.host.Event(fmt.Sprintf("%s is public: torrent clients outside of the group may take it.", s.titleOf(before)))
	} else {
		s.host.Event(fmt.Sprintf("%s is for the group alone.", s.titleOf(before)))
	}
	return nil
}

// letInField is the choice of whom to let in. An address that the command line set is one more.
func letInField(d Door) ui.Field {
	f := ui.Field{Name: "open", Label: "Let other computers in", Value: d.Open, Options: []ui.Option{
		{Value: "", Title: "No"}, {Value: kith.OpenLAN, Title: "On my local networks"}, {Value: kith.OpenAny, Title: "From anywhere"},
	}}
	if !f.Offers() {
		f.Options = append(f.Options, ui.Option{Value: d.Open, Title: "At " + d.Open})
	}
	return f
}

func (s *share) formDoor(w http.ResponseWriter, r *http.Request) {
	d, err := s.setDoor(r.Context(), doorRequest{Open: r.PostFormValue("open")})
	switch {
	case err != nil:
		ui.RedirectError(w, r, limitsScreen, kith.Sentence(err))
	case d.Open == "":
		ui.Redirect(w, r, limitsScreen, "Torrent clients on other computers are not let in.")
	default:
		ui.Redirect(w, r, limitsScreen, "Torrent clients on other computers are let in, "+cmp.Or(d.At(), "as soon as this computer is on such a network")+".")
	}
}
