package group

import "kith.alt/kith"

// truth is what is known about an entry while the merge decides: Kleene's
// three values. Not is 2-v, and is min, or is max; more knowledge never turns
// yes into no, which is why the merge ends.
type truth int8

const (
	no truth = iota
	maybe
	yes
)

func not(v truth) truth { return yes - v }

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// merge decides which entries of a graph count.
type merge struct {
	*graph
	counts    []truth
	overruled map[int]bool        // endings set aside because they contradict a more senior host
	uses      map[int]*inviteUses // by position of the invite, for the pass that runs
}

// inviteUses is who used a ticket, as far as the running pass has come.
type inviteUses struct {
	byHost         map[kith.ID]truth
	certain, maybe int
}

// newMerge decides all entries of g.
func newMerge(g *graph) *merge {
	m := &merge{graph: g, counts: make([]truth, len(g.nodes)), overruled: make(map[int]bool)}
	for i := range m.counts {
		m.counts[i] = maybe
	}
	for {
		for m.pass() {
		}
		if !m.overrule() {
			return m
		}
	}
}

// pass evaluates what is not decided yet, in order. It reports whether an
// ending was decided: the only news that matters to earlier positions.
func (m *merge) pass() bool {
	news := false
	m.uses = make(map[int]*inviteUses)
	for i, n := range m.nodes {
		if m.counts[i] == maybe {
			m.counts[i] = m.evaluate(i)
			if m.counts[i] != maybe && (n.effect == kindRevoke || n.effect == kindLeave) {
				news = true
			}
		}
		if n.effect == kindAdmit && n.invite >= 0 {
			m.use(i)
		}
	}
	return news
}

// evaluate says whether the entry at i counts: whether its author stood in the
// group, with the right to say this, in the entry's past.
func (m *merge) evaluate(i int) truth {
	n := m.nodes[i]
	b := &n.body
	switch n.effect {
	case kindGenesis:
		return yes
	case kindLeave:
		return m.stands(i)
	case kindRename:
		if b.Host != "" {
			return m.stands(i)
		}
		return m.byAdmin(i)
	case kindInvite, kindRevoke, kindRole:
		return m.byAdmin(i)
	case kindAdmit:
		v := m.byAdmin(i)
		if !b.Invite.IsZero() {
			v = min(v, m.redeems(i))
		}
		return v
	}
	return no
}

// stands says whether the author of the entry at i was a member: admitted in
// the entry's past, and every revocation of it either is lifted by that
// admission or had seen this entry. So what a revoked host signed behind the
// revoker's back is void, whenever it surfaces.
func (m *merge) stands(i int) truth {
	n := m.nodes[i]
	h := m.hosts[n.body.Author]
	if h == nil {
		return no
	}
	best := no
	for _, a := range h.admissions {
		if a >= i || best == yes {
			break
		}
		if n.past.has(a) {
			best = max(best, m.standsOn(i, a, h, best))
		}
	}
	return best
}

// standsOn is stands for one admission; it may stop once the result is not
// above floor.
func (m *merge) standsOn(i, a int, h *host, floor truth) truth {
	v := m.counts[a]
	for _, r := range h.endings {
		if v <= floor {
			break
		}
		if m.counts[r] != no && r != i && !m.nodes[r].past.has(i) && !m.lifts(a, r) {
			v = min(v, not(m.counts[r]))
		}
	}
	return v
}

// byAdmin says whether the author of the entry at i stood and was an admin.
func (m *merge) byAdmin(i int) truth {
	n := m.nodes[i]
	h := m.hosts[n.body.Author]
	if h == nil {
		return no
	}
	best := no
	for _, a := range h.admissions {
		if a >= i || best == yes {
			break
		}
		if n.past.has(a) {
			if role := m.role(h, a, n.past); role > best {
				best = max(best, min(role, m.standsOn(i, a, h, best)))
			}
		}
	}
	if best != yes {
		if v := m.stands(i); v > best {
			best = max(best, min(v, m.heir(h, n.past)))
		}
	}
	return best
}

// member says whether h is a member as scope has it: some admission counts and
// lifts every ending that counts.
func (m *merge) member(h *host, scope bits) truth {
	best := no
	for _, a := range h.admissions {
		if scope.has(a) {
			best = max(best, m.live(h, a, scope))
		}
	}
	return best
}

// live is member for one admission.
func (m *merge) live(h *host, a int, scope bits) truth {
	v := m.counts[a]
	for _, r := range h.endings {
		if v != no && scope.has(r) && !m.lifts(a, r) {
			v = min(v, not(m.counts[r]))
		}
	}
	return v
}

// admin says whether h is a member and an admin as scope has it.
func (m *merge) admin(h *host, scope bits) truth {
	best := no
	for _, a := range h.admissions {
		if scope.has(a) && best != yes {
			best = max(best, min(m.live(h, a, scope), m.role(h, a, scope)))
		}
	}
	return best
}

// role says whether h is an admin by its admission at a: what the admission
// says, or the last role entry of scope that had seen it.
func (m *merge) role(h *host, a int, scope bits) truth {
	v := truthOf(m.nodes[a].grants())
	for _, i := range h.roles {
		if !scope.has(i) || !m.nodes[i].past.has(a) {
			continue
		}
		switch set := truthOf(m.nodes[i].grants()); {
		case m.counts[i] == yes:
			v = set
		case m.counts[i] == maybe && v != set:
			v = maybe
		}
	}
	return v
}

// heir says whether h is the admin for want of another: concurrent demotions
// and leaves can leave a group without one. Then it is the member who ever was
// an admin, else any member, that was admitted first.
func (m *merge) heir(h *host, scope bits) truth {
	v := m.member(h, scope)
	for _, id := range m.ids {
		if v == no {
			break
		}
		k := m.hosts[id]
		if k == h {
			continue
		}
		member := m.member(k, scope)
		if member == no {
			continue
		}
		everH, everK := m.everAdmin(h, scope), m.everAdmin(k, scope)
		better := max(min(everK, not(everH)), min(m.before(k, h, scope), not(min(everH, not(everK)))))
		v = min(v, not(min(member, max(m.admin(k, scope), better))))
	}
	return v
}

func (m *merge) everAdmin(h *host, scope bits) truth {
	v := no
	for _, grants := range [][]int{h.admissions, h.roles} {
		for _, i := range grants {
			if scope.has(i) && m.nodes[i].grants() {
				v = max(v, m.counts[i])
			}
		}
	}
	return v
}

// before says whether k was admitted before h.
func (m *merge) before(k, h *host, scope bits) truth {
	first := func(h *host) (int, truth) {
		for _, a := range h.admissions {
			if scope.has(a) && m.counts[a] != no {
				return a, m.counts[a]
			}
		}
		return len(m.nodes), yes
	}
	atK, knownK := first(k)
	atH, knownH := first(h)
	if knownK != yes || knownH != yes {
		return maybe
	}
	return truthOf(atK < atH)
}

// redeems says whether the admission at i may use its invite: the invite
// counts, gives this role, and fewer than Uses other hosts come first.
func (m *merge) redeems(i int) truth {
	n := m.nodes[i]
	if n.invite < 0 {
		return no
	}
	invite := m.nodes[n.invite]
	if invite.effect != kindInvite || invite.body.Admin != n.body.Admin {
		return no
	}
	free := yes
	if u := m.uses[n.invite]; u != nil {
		switch same := u.byHost[n.body.Subject]; {
		case same == yes || u.certain+u.maybe < invite.body.Uses:
		case u.certain >= invite.body.Uses:
			free = same
		default:
			free = maybe
		}
	}
	return min(m.counts[n.invite], free)
}

// use notes the admission at i among the uses of its invite.
func (m *merge) use(i int) {
	n := m.nodes[i]
	u := m.uses[n.invite]
	if u == nil {
		u = &inviteUses{byHost: make(map[kith.ID]truth)}
		m.uses[n.invite] = u
	}
	old, v := u.byHost[n.body.Subject], m.counts[i]
	if v <= old {
		return
	}
	u.byHost[n.body.Subject] = v
	if old == maybe {
		u.maybe--
	}
	if v == yes {
		u.certain++
	} else {
		u.maybe++
	}
}

// overrule settles one contradiction among endings that void each other:
// what the most senior author among them says is kept, by setting aside what
// would void it. It reports false when nothing is contested.
func (m *merge) overrule() bool {
	type claim struct{ seniority, at int }
	var senior, junior claim
	var against []int
	contested := false
	for i, n := range m.nodes {
		if m.counts[i] != maybe || (n.effect != kindRevoke && n.effect != kindLeave) {
			continue
		}
		c := claim{m.seniority(i), i}
		if !contested || c.seniority >= junior.seniority {
			junior = c
		}
		if len(against) == 0 || c.seniority < senior.seniority {
			if found := m.against(i, nil, make(map[int]bool)); len(found) > 0 {
				senior, against = c, found
			}
		}
		contested = true
	}
	if !contested {
		return false
	}
	if len(against) == 0 {
		against = []int{junior.at}
	}
	for _, r := range against {
		m.counts[r], m.overruled[r] = no, true
	}
	return true
}

// seniority is the position of the admission by which the author of the entry
// at i stands: less is more senior.
func (m *merge) seniority(i int) int {
	n := m.nodes[i]
	h := m.hosts[n.body.Author]
	for _, a := range h.admissions {
		if n.past.has(a) && m.standsOn(i, a, h, no) != no {
			return a
		}
	}
	return i
}

// against collects the contested endings that would void the entry at i:
// those of its author behind its back, and those that would void what made the
// author a member and an admin.
func (m *merge) against(i int, found []int, seen map[int]bool) []int {
	if seen[i] || m.counts[i] != maybe {
		return found
	}
	seen[i] = true
	n := m.nodes[i]
	h := m.hosts[n.body.Author]
	for _, r := range h.endings {
		if m.counts[r] == maybe && r != i && !seen[r] && !n.past.has(r) && !m.nodes[r].past.has(i) {
			found = append(found, r)
			seen[r] = true
		}
	}
	for _, grounds := range [][]int{h.admissions, h.roles} {
		for _, at := range grounds {
			if n.past.has(at) {
				found = m.against(at, found, seen)
			}
		}
	}
	if n.invite >= 0 {
		found = m.against(n.invite, found, seen)
	}
	return found
}

// entitled marks the admissions and role entries whose authors had the right
// to write them as far as their past says, were nobody ever out.
func (m *merge) entitled() []bool {
	marks := make([]bool, len(m.nodes))
	for i, n := range m.nodes {
		switch n.effect {
		case kindGenesis:
			marks[i] = true
		case kindAdmit, kindRole:
			if h := m.hosts[n.body.Author]; h != nil {
				for _, grounds := range [][]int{h.admissions, h.roles} {
					for _, at := range grounds {
						marks[i] = marks[i] || n.past.has(at) && marks[at] && m.nodes[at].grants()
					}
				}
			}
		}
	}
	return marks
}
