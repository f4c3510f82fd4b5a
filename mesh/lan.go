package mesh

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"net/netip"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/group"
	"kith.alt/kith/network/discovery"
)

// discover finds members on the networks that this computer is on, and lets
// them find it, as long as it is in one group; then in the next.
func (m *Mesh) discover(ctx context.Context) {
	for ctx.Err() == nil {
		g, membership := m.cfg.Group()
		looking, cancel := during(ctx, membership)
		d := discovery.New(discovery.Config{
			Tag:    tagOf(g.Roster(), m.id),
			Port:   m.cfg.Port,
			Wanted: func(tag string) bool { _, ok := m.memberOfTag(tag); return ok },
			Found:  m.foundNearby,
			Log:    m.log.With("service", "discovery"),
		})
		err := d.Serve(looking)
		cancel()
		if err != nil {
			m.log.Warn("look for members on this network", "err", err)
			return
		}
	}
}

// foundNearby notes where multicast found a member.
func (m *Mesh) foundNearby(tag string, addresses []netip.AddrPort) {
	id, ok := m.memberOfTag(tag)
	if !ok {
		return
	}
	m.NotePlace(id, addresses)
	m.mu.Lock()
	if met := m.meetings[id]; met != nil && !met.up {
		met.retry()
	}
	m.mu.Unlock()
	m.Wake()
}

func (m *Mesh) memberOfTag(tag string) (kith.ID, bool) {
	g, _ := m.cfg.Group()
	roster := g.Roster()
	for _, member := range roster.Members() {
		if member.ID != m.id && tagOf(roster, member.ID) == tag {
			return member.ID, true
		}
	}
	return kith.ID{}, false
}

// tagOf is the tag of a host by the roster.
func tagOf(roster *group.Roster, id kith.ID) string {
	genesis := roster.Genesis()
	return Tag(genesis[:len(group.Ticket{}.Genesis)], id)
}

// Tag is the name under which a host of a group is announced by multicast: it
// tells those who know the group, and nobody else. genesis is the beginning of
// the group's identity that tickets have.
func Tag(genesis []byte, id kith.ID) string {
	h := sha256.New()
	h.Write([]byte("kith lan 1\x00"))
	h.Write(genesis)
	h.Write(id[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)[:15]))
}
