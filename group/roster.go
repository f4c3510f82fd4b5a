package group

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"kith.alt/kith"
)

// A Roster is what a set of entries says about a group. It is immutable and
// safe for concurrent use.
type Roster struct {
	genesis Hash
	group   string
	former  []string // earlier names of the group
	members []Member // by name
	removed []Removal
	byID    map[kith.ID]int
	byName  map[string]kith.ID
	aliases map[string]kith.ID // former names of members
	gone    map[kith.ID]int    // into removed
	tickets map[string]invite  // by the ticket's public key
	merge   *merge
}

// A Member is a host of the group.
type Member struct {
	ID     kith.ID
	Host   string   // its name in the group
	Wanted string   // the name it asked for; another host has it when it differs from Host
	Former []string // names it had before, to which it still answers
	Admin  bool
	By     kith.ID // the host that admitted it; itself for the founder
	Entry  Hash    // its admission
}

// A Removal is a host that was in the group, or was let in, and is not.
type Removal struct {
	ID     kith.ID
	Host   string // the name it had
	Why    Why
	By     kith.ID // the host that revoked it, or, Voided and Exceeded, that had let it in
	Entry  Hash    // the entry that ended or let in the host
	Reason string  // the same in words, with what to do
}

// Why a host is out.
type Why string

const (
	Left     Why = "left"     // it left
	Revoked  Why = "revoked"  // an admin revoked it
	Voided   Why = "voided"   // who let it in was revoked by one that had not seen that
	Exceeded Why = "exceeded" // others had used up its ticket, or the group is full
)

// invite is a ticket as the roster knows it.
type invite struct {
	entry  *Entry
	used   []kith.ID // distinct hosts, in order
	leaked bool      // a host that it admitted was revoked since
}

// Merge says what entries say about the group that begins with the entry named
// genesis. It is a pure function: order and repetition do not matter, entries
// whose ancestors are not all there are left out, and no clock is read. The
// signatures are taken as checked.
func Merge(genesis Hash, entries []*Entry) *Roster {
	m := newMerge(newGraph(genesis, entries))
	r := &Roster{
		genesis: genesis,
		byID:    make(map[kith.ID]int),
		byName:  make(map[string]kith.ID),
		aliases: make(map[string]kith.ID),
		gone:    make(map[kith.ID]int),
		tickets: make(map[string]invite),
		merge:   m,
	}
	if len(m.nodes) == 0 {
		return r
	}
	entitled := m.entitled()
	r.nameGroup()
	r.nameMembers(r.addMembers(), entitled)
	r.addRemovals(entitled)
	r.addTickets()
	return r
}

// Genesis names the group.
func (r *Roster) Genesis() Hash { return r.genesis }

// Group returns the group's name.
func (r *Roster) Group() string { return r.group }

// Members returns the members, sorted by name. The caller must not change it.
func (r *Roster) Members() []Member { return r.members }

// Member returns the member whose ID is id.
func (r *Roster) Member(id kith.ID) (Member, bool) {
	if i, ok := r.byID[id]; ok {
		return r.members[i], true
	}
	return Member{}, false
}

// IsAdmin reports whether id is a member that admits and revokes.
func (r *Roster) IsAdmin(id kith.ID) bool {
	m, ok := r.Member(id)
	return ok && m.Admin
}

// Admins counts the members that are admins.
func (r *Roster) Admins() int {
	n := 0
	for _, m := range r.members {
		if m.Admin {
			n++
		}
	}
	return n
}

// Removed returns the hosts that are out, in the order in which they came. The
// caller must not change it.
func (r *Roster) Removed() []Removal { return r.removed }

// Removal says why id is out. It reports false for members and strangers.
func (r *Roster) Removal(id kith.ID) (Removal, bool) {
	if i, ok := r.gone[id]; ok {
		return r.removed[i], true
	}
	return Removal{}, false
}

// Name returns the full name of the member id, or the zero Name.
func (r *Roster) Name(id kith.ID) kith.Name {
	m, ok := r.Member(id)
	if !ok {
		return kith.Name{}
	}
	return kith.Name{Host: m.Host, Group: r.group}
}

// Counts reports whether the entry is there and has effect.
func (r *Roster) Counts(entry Hash) bool {
	i, ok := r.merge.index[entry]
	return ok && r.merge.counts[i] == yes
}

func (r *Roster) nameGroup() {
	for i, n := range r.merge.nodes {
		if b := &n.body; r.merge.counts[i] == yes && b.Group != "" && b.Group != r.group {
			if r.group != "" {
				r.former = append(r.former, r.group)
			}
			r.group = b.Group
		}
	}
}

// addMembers fills members, without names, in the order of their claims to
// one, and returns where each claim stands.
func (r *Roster) addMembers() []int {
	m := r.merge
	claims := make(map[kith.ID]int)
	for _, id := range m.ids {
		h := m.hosts[id]
		at := slices.IndexFunc(h.admissions, func(a int) bool { return m.live(h, a, nil) == yes })
		if at < 0 {
			continue
		}
		admission := h.admissions[at]
		claim := admission
		for _, i := range h.renames {
			if m.counts[i] == yes && m.nodes[i].past.has(admission) {
				claim = i
			}
		}
		claims[id] = claim
		r.members = append(r.members, Member{
			ID:     id,
			Wanted: m.nodes[claim].body.Host,
			Former: m.formerNames(h, m.nodes[claim].body.Host),
			Admin:  m.admin(h, nil) == yes,
			By:     m.nodes[admission].body.Author,
			Entry:  m.nodes[admission].hash,
		})
	}
	if r.Admins() == 0 {
		for i := range r.members {
			r.members[i].Admin = m.heir(m.hosts[r.members[i].ID], nil) == yes
		}
	}
	r.keepSeniors()
	slices.SortFunc(r.members, func(a, b Member) int { return cmp.Compare(claims[a.ID], claims[b.ID]) })
	at := make([]int, len(r.members))
	for i, member := range r.members {
		at[i] = claims[member.ID]
	}
	return at
}

// keepSeniors holds the members to MaxMembers: admins first, then who was
// admitted first. Each host refuses to admit more, but two can at once, and a
// hostile one may.
func (r *Roster) keepSeniors() {
	if len(r.members) <= MaxMembers {
		return
	}
	rank := func(m Member) int {
		at := r.merge.index[m.Entry]
		if !m.Admin {
			at += len(r.merge.nodes)
		}
		return at
	}
	slices.SortFunc(r.members, func(a, b Member) int { return cmp.Compare(rank(a), rank(b)) })
	r.members = r.members[:MaxMembers:MaxMembers]
}

// formerNames are the names that h asked for before, latest first.
func (m *merge) formerNames(h *host, current string) []string {
	var names []string
	claims := slices.Concat(h.admissions, h.renames)
	slices.Sort(claims)
	for _, i := range slices.Backward(claims) {
		name := m.nodes[i].body.Host
		if m.counts[i] == yes && name != current && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// nameMembers gives each member the name it claims unless an earlier claim has
// it, and sorts the members by name.
func (r *Roster) nameMembers(claims []int, entitled []bool) {
	// Six characters of an ID after a hyphen belong to the host of that ID,
	// from its admission on.
	short := make(map[string]int)
	for _, id := range r.merge.ids {
		suffix := id.Short()
		for _, a := range r.merge.hosts[id].admissions {
			if at, ok := short[suffix]; entitled[a] && (!ok || a < at) {
				short[suffix] = a
			}
		}
	}
	for i := range r.members {
		member := &r.members[i]
		for name := range member.names() {
			if _, taken := r.byName[name]; taken {
				continue
			}
			if suffix, ok := keySuffix(name); ok && suffix != member.ID.Short() {
				if at, reserved := short[suffix]; reserved && at < claims[i] {
					continue
				}
			}
			member.Host = name
			break
		}
		r.byName[member.Host] = member.ID
	}
	latest := make(map[string]int)
	for i, member := range r.members {
		for _, name := range append([]string{member.Wanted}, member.Former...) {
			if at, ok := latest[name]; !ok || at < claims[i] {
				latest[name] = claims[i]
				r.aliases[name] = member.ID
			}
		}
	}
	slices.SortFunc(r.members, func(a, b Member) int { return cmp.Compare(a.Host, b.Host) })
	for i, member := range r.members {
		r.byID[member.ID] = i
	}
}

// names are what the member may be called, best first.
func (m *Member) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		_ = yield(m.Wanted) && yield(fallbackName(m.Wanted, m.ID)) && yield(m.ID.String())
	}
}

func (r *Roster) addRemovals(entitled []bool) {
	for _, id := range r.merge.ids {
		h := r.merge.hosts[id]
		if _, ok := r.byID[id]; ok || len(h.admissions) == 0 {
			continue
		}
		if removal, ok := r.removal(h, entitled); ok {
			r.gone[id] = len(r.removed)
			r.removed = append(r.removed, removal)
		}
	}
}

// removal says why h, for which there are admissions, is no member. It reports
// false where no admin's host ever let it in.
func (r *Roster) removal(h *host, entitled []bool) (Removal, bool) {
	m := r.merge
	for _, i := range h.admissions {
		if n := m.nodes[i]; m.live(h, i, nil) == yes {
			return Removal{ID: h.id, Host: m.lastName(h), Why: Exceeded, By: n.body.Author, Entry: n.hash,
				Reason: fmt.Sprintf("the group is full (%d hosts); it is in when another has left", MaxMembers)}, true
		}
	}
	for _, i := range slices.Backward(h.endings) {
		if m.counts[i] != yes {
			continue
		}
		n := m.nodes[i]
		removal := Removal{ID: h.id, Host: m.lastName(h), Why: Revoked, By: n.body.Author, Entry: n.hash}
		if n.effect == kindLeave {
			removal.Why, removal.Reason = Left, "it left the group; a new ticket brings it back"
		} else {
			removal.Reason = fmt.Sprintf("%s revoked it; only a new ticket brings it back", m.lastName(m.hosts[n.body.Author]))
		}
		return removal, true
	}
	for _, i := range slices.Backward(h.admissions) {
		n := m.nodes[i]
		author := m.hosts[n.body.Author]
		if author == nil || !entitled[i] {
			continue
		}
		removal := Removal{ID: h.id, Host: n.body.Host, By: n.body.Author, Entry: n.hash}
		if m.byAdmin(i) == yes {
			if n.invite < 0 || m.counts[n.invite] != yes {
				continue
			}
			removal.Why, removal.Reason = Exceeded, "other hosts had used up its ticket; it needs a new ticket"
			return removal, true
		}
		removal.Why = Voided
		removal.Reason = fmt.Sprintf("%s, which let it in, is out, and had not been seen to do so; it needs a new ticket", m.lastName(author))
		return removal, true
	}
	return Removal{}, false
}

// lastName is the name that h last asked for, for words about it.
func (m *merge) lastName(h *host) string {
	last := -1
	for _, i := range slices.Concat(h.admissions, h.renames) {
		if i > last && m.counts[i] == yes {
			last = i
		}
	}
	switch {
	case last >= 0:
		return m.nodes[last].body.Host
	case len(h.admissions) > 0:
		return m.nodes[h.admissions[0]].body.Host
	}
	return h.id.Short()
}

func (r *Roster) addTickets() {
	m := r.merge
	for i, n := range m.nodes {
		if m.counts[i] != yes {
			continue
		}
		switch {
		case n.effect == kindInvite:
			r.tickets[string(n.body.Key)] = invite{entry: n.Entry}
		case n.effect == kindAdmit && n.invite >= 0:
			key := string(m.nodes[n.invite].body.Key)
			ticket := r.tickets[key]
			if ticket.entry == nil || ticket.entry.hash != n.body.Invite {
				continue
			}
			if !slices.Contains(ticket.used, n.body.Subject) {
				ticket.used = append(ticket.used, n.body.Subject)
			}
			if removal, out := r.Removal(n.body.Subject); out && removal.Why == Revoked {
				ticket.leaked = true
			}
			r.tickets[key] = ticket
		}
	}
}

// endings returns the latest endings of id that count: an admission that names
// them lifts them all. ok is false where there are too many to name.
func (r *Roster) endings(id kith.ID) (hashes []Hash, ok bool) {
	m := r.merge
	h := m.hosts[id]
	if h == nil {
		return nil, true
	}
	var last []int
	for _, i := range slices.Backward(h.endings) {
		if m.counts[i] == yes && !slices.ContainsFunc(last, func(at int) bool { return m.nodes[at].past.has(i) }) {
			last = append(last, i)
			hashes = append(hashes, m.nodes[i].hash)
		}
	}
	return hashes, len(hashes) <= MaxParents
}
