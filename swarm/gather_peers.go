package swarm

import (
	"time"

	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
	"kith.alt/kith/swarm/scheduler"
)

// lookLocked looks at the pieces that are gathered, once in a while: those that are whole
// are checked, those that one client should give and does not are asked of another, and
// hashes are asked for of whoever has them.
func (x *exchange) lookLocked() {
	now := time.Now()
	if len(x.pieces) == 0 || now.Sub(x.looked) < lookAfter || x.ending {
		return
	}
	x.looked = now
	var due []int
	passed := make(map[int]bool) // files of pieces that did
	for piece, g := range x.pieces {
		if g.only != 0 && !g.checking && (x.clients[g.only] == nil || now.Sub(g.since) > patientOne) {
			span := x.description.Piece(piece)
			g.tried[g.only] = true
			if err := x.unclaimLocked(span.File, int(span.Offset/content.BlockSize), span.Blocks); err != nil {
				x.log.Warn("a piece is not dropped", "piece", piece, "err", err)
			}
			x.askOneLocked(span, g)
		}
		if x.takeUpLocked(piece) {
			due = append(due, piece)
		}
		if g.passed {
			passed[x.description.Piece(piece).File] = true
		}
	}
	x.askVouchersLocked()
	if len(due)+len(passed) == 0 {
		return
	}
	x.work.Go(func() {
		for _, piece := range due {
			x.check(piece)
		}
		for file := range passed { // members may have given what it lacked
			if err := x.close(file); err != nil {
				x.fail(err)
			}
		}
	})
}

// askOneLocked has a piece asked of one client alone, the first that was not tried; of
// all again where there is none.
func (x *exchange) askOneLocked(span bittorrent.Span, g *gathering) {
	var one *client
	for _, c := range x.clients {
		if !g.tried[c.number] && c.has.Has(span.First) && (one == nil || c.number < one.number) {
			one = c
		}
	}
	if one == nil {
		x.askAllLocked(span, g)
		return
	}
	g.only, g.since = one.number, time.Now()
	x.offerLocked(span, func(c *client) bool { return c == one })
}

func (x *exchange) askAllLocked(span bittorrent.Span, g *gathering) {
	g.only, g.tried = 0, nil
	x.offerLocked(span, func(*client) bool { return true })
}

// offerLocked has the plan ask only those clients for a piece that may be asked.
func (x *exchange) offerLocked(span bittorrent.Span, may func(*client) bool) {
	now := x.now()
	for _, c := range x.clients {
		for first := span.First; first < span.First+span.Blocks; first++ {
			x.eachTwin(first, func(block int) {
				switch {
				case !may(c):
					x.plan.PeerLacks(now, c.number, block)
				case c.has.Has(block):
					x.plan.PeerHas(now, c.number, block)
				}
			})
		}
	}
}

// mayAskLocked reports whether a client may be asked for a block.
func (x *exchange) mayAskLocked(c scheduler.Peer, block int) bool {
	if len(x.pieces) == 0 {
		return true
	}
	_, piece := x.canonical(block)
	g := x.pieces[piece]
	return g == nil || g.only == 0 || g.only == c
}

// askVouchersLocked asks whoever has them for hashes of blocks that are held.
func (x *exchange) askVouchersLocked() {
	questions := 0
	for piece := range x.pieces {
		span := x.description.Piece(piece)
		for first := span.First; first < span.First+span.Blocks; first += group {
			for block := first; block < min(first+group, span.First+span.Blocks); block++ {
				if x.plan.Holds(block) {
					if x.askVoucherLocked(block) {
						questions++
					}
					break
				}
			}
			if questions >= maxQuestion {
				return
			}
		}
	}
}

func (x *exchange) askVoucherLocked(block int) bool {
	file, at, _ := x.description.Locate(block)
	key := block - at%group
	if x.groups[key] != nil {
		return false
	}
	for _, l := range x.links {
		if content.Bitmap(l.has).Has(block) {
			x.askHashesLocked(l, block)
			l.wake()
			return true
		}
	}
	for _, c := range x.clients {
		if c.mute || c.asked[key] || !c.has.Has(block) || x.files[file].HasHashes(at) {
			continue
		}
		if c.peer.AskHashes(hashRequest(x.files[file], at)) {
			c.asked[key] = true
			return true
		}
	}
	return false
}

// heldLocked is how many blocks that are held passed.
func (x *exchange) heldLocked() (held int) {
	for _, g := range x.pieces {
		if g.passed {
			held += g.held
		}
	}
	return held
}
