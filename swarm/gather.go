package swarm

import (
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
	"kith.alt/kith/swarm/scheduler"
)

// Torrent clients of version 1 give blocks, and no hashes. Such blocks are held: on disk as claims
// (package content), in the plan as neither lacking nor here, so that nobody is told of them or given
// them. Once all of a piece came, somebody has to vouch for it. Where the hash of the tree
// above the piece is known, from the .torrent file or a peer, that decides, and the piece is
// here. Else its SHA-1 in the description decides whether it is held on, until the last piece of
// the file closes the tree and the root is compared. What SHA-1 alone vouches for is given to nobody:
// whoever makes a description could make two pieces with one SHA-1.
//
// Hashes from a peer that knows them come before all of this: they are asked for as soon as
// there is one.

const (
	lookAfter   = time.Second      // at pieces that are gathered
	maxQuestion = 64               // groups of hashes that are asked for at a time
	patientOne  = 30 * time.Second // with a client of which alone a piece is asked
)

// A gathering is a piece of which blocks are held. Of files that are the same only the first is
// gathered.
type gathering struct {
	lacking  int  // blocks that are neither here nor held
	held     int  // blocks that were when it passed
	passed   bool // its SHA-1 is right
	checking bool

	// A piece to which several clients gave was wrong: it is asked of one at a time, and the
	// others' blocks compared once it is right.
	only     scheduler.Peer // 0: of all
	since    time.Time      // when that began, or gave something
	tried    map[scheduler.Peer]bool
	suspects map[int]suspect // by block
}

type suspect struct {
	giver scheduler.Peer
	sum   [sha256.Size]byte
}

// errContradiction is of a torrent whose two halves are of different files.
var errContradiction = fmt.Errorf("the torrent contradicts itself: what its SHA-1 hashes are of is not what its SHA-256 tree is of; nobody can take it: %w", kith.Invalid)

// canonical returns the first block that has the bytes of a block, and its piece.
func (x *exchange) canonical(block int) (first, piece int) {
	file, at, _ := x.description.Locate(block)
	first = x.blockOf(x.roots[x.description.Files[file].Root][0], at)
	piece, _ = x.description.PieceOf(first)
	return first, piece
}

// eachTwin calls visit with each block that has the bytes of a block, itself included.
func (x *exchange) eachTwin(block int, visit func(block int)) {
	file, at, _ := x.description.Locate(block)
	for _, twin := range x.roots[x.description.Files[file].Root] {
		visit(x.blockOf(twin, at))
	}
}

// resumeClaims holds what was held before the last stop.
func (x *exchange) resumeClaims() {
	for i, f := range x.files {
		if x.roots[x.description.Files[i].Root][0] != i {
			continue
		}
		claimed, _ := f.Claimed()
		if claimed == nil {
			continue
		}
		for at := range f.Blocks() {
			if claimed.Has(at) {
				x.eachTwin(x.blockOf(i, at), func(block int) { x.plan.Held(x.now(), 0, block) })
			}
		}
		for at := range f.Blocks() {
			if claimed.Has(at) {
				_, piece := x.canonical(x.blockOf(i, at))
				x.gatherLocked(piece)
			}
		}
	}
}

// gatherLocked returns the gathering of a piece, and begins it if there is none.
func (x *exchange) gatherLocked(piece int) *gathering {
	g := x.pieces[piece]
	if g == nil {
		g = new(gathering)
		x.pieces[piece] = g
		x.countLocked(piece, g)
	}
	return g
}

// countLocked counts what a piece lacks.
func (x *exchange) countLocked(piece int, g *gathering) {
	span := x.description.Piece(piece)
	g.lacking = 0
	for block := span.First; block < span.First+span.Blocks; block++ {
		if !x.plan.Has(block) && !x.plan.Holds(block) {
			g.lacking++
		}
	}
}

// cameLocked notes a block that comes now, before the plan is told.
func (x *exchange) cameLocked(block int) {
	if len(x.pieces) == 0 {
		return
	}
	first, piece := x.canonical(block)
	if g := x.pieces[piece]; g != nil && first == block && !x.plan.Has(block) && !x.plan.Holds(block) {
		g.lacking--
	}
}

// claim holds a block that a client gave and whose hash nobody knows yet. It fails with kind
// Invalid where the client is to be let go.
func (x *exchange) claim(c *client, block int, data []byte) error {
	block, piece := x.canonical(block)
	file, at, _ := x.description.Locate(block)
	x.mu.Lock()
	g := x.gatherLocked(piece)
	late := g.passed || g.only != 0 && g.only != c.number
	x.mu.Unlock()
	if late {
		return nil
	}
	if err := x.files[file].Claim(at, data); errors.Is(err, kith.Invalid) {
		return err
	} else if err != nil {
		x.fail(err)
		return nil
	}
	x.mu.Lock()
	g = x.gatherLocked(piece)
	if !x.plan.Holds(block) {
		x.cameLocked(block)
		if x.givers == nil {
			x.givers = make([]uint32, x.description.Blocks())
		}
		x.givers[block] = uint32(c.number)
	}
	x.eachTwin(block, func(twin int) { x.plan.Held(x.now(), c.number, twin) })
	g.since = time.Now()
	x.settleLocked(block, 1, true)
	whole := x.takeUpLocked(piece)
	x.actLocked()
	x.mu.Unlock()
	if whole {
		x.check(piece)
	}
	return nil
}

// takeUpLocked reports whether a piece is to be checked now, by the caller.
func (x *exchange) takeUpLocked(piece int) bool {
	g := x.pieces[piece]
	due := g != nil && g.lacking == 0 && !g.passed && !g.checking
	if due {
		g.checking = true
	}
	return due
}

// settleLocked tells the plan what became of blocks that were held: those that are here
// now, and those that are claims no more. Where blame, these were compared with their hashes, and
// whoever gave one is let go.
func (x *exchange) settleLocked(first, n int, blame bool) {
	now, was := x.now(), x.plan.Complete()
	touched := make(map[int]bool)
	liars := make(map[scheduler.Peer]bool)
	for block := first; block < first+n; block++ {
		if !x.plan.Holds(block) {
			continue
		}
		file, at, _ := x.description.Locate(block)
		_, piece := x.canonical(block)
		touched[piece] = true
		switch f := x.files[file]; {
		case f.Has(at):
			x.eachTwin(block, func(twin int) { x.plan.Arrived(now, 0, twin) })
		case !f.IsClaimed(at):
			x.eachTwin(block, func(twin int) { x.plan.Unheld(now, twin) })
			if g := x.pieces[piece]; g != nil {
				g.lacking++
			}
			if blame && x.givers != nil && x.givers[block] != 0 {
				liars[scheduler.Peer(x.givers[block])] = true
			}
		}
	}
	for piece := range touched {
		x.endGatheringLocked(piece)
	}
	for liar := range liars {
		x.forsakeLocked(liar, fmt.Errorf("it gave blocks that are not of the content: %w", kith.Invalid))
	}
	if !was && x.plan.Complete() {
		close(x.done)
	}
	if len(touched) > 0 && x.progress != nil {
		close(x.progress)
		x.progress = nil
	}
}

// endGatheringLocked forgets a piece of which nothing is held.
func (x *exchange) endGatheringLocked(piece int) {
	g := x.pieces[piece]
	if g == nil || g.only != 0 {
		return
	}
	span := x.description.Piece(piece)
	for block := span.First; block < span.First+span.Blocks; block++ {
		if x.plan.Holds(block) {
			return
		}
	}
	delete(x.pieces, piece)
}

// settled does so for the blocks whose hashes a peer gave.
func (x *exchange) settled(m bittorrent.Message) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.pieces) == 0 || len(x.roots[m.Root]) == 0 {
		return
	}
	file := x.roots[m.Root][0]
	from := int(m.Index) << min(m.BaseLayer, 30)
	n := min(int(m.HashLength)<<min(m.BaseLayer, 30), x.files[file].Blocks()-from)
	x.settleLocked(x.blockOf(file, from), n, true)
	x.actLocked()
}

// check finds out whether a piece is right of which all blocks came.
func (x *exchange) check(piece int) {
	span := x.description.Piece(piece)
	f, first := x.files[span.File], int(span.Offset/content.BlockSize)
	err := f.Prove(first, int(x.description.PieceLength/content.BlockSize))
	proved := err == nil
	if errors.Is(err, content.ErrNoHashes) {
		err = x.checkV1(piece, span)
	}
	var sums map[int][sha256.Size]byte
	if errors.Is(err, kith.Invalid) || x.isSuspect(piece) {
		sums = x.sums(span)
	}
	x.mu.Lock()
	if g := x.pieces[piece]; g != nil {
		g.checking = false
	}
	switch {
	case err == nil:
		x.rightLocked(piece, span, sums, proved)
	case errors.Is(err, kith.Invalid):
		err = x.wrongLocked(piece, span, sums)
	case errors.Is(err, kith.NotFound): // something was lost meanwhile
		x.settleLocked(span.First, span.Blocks, false)
		if g := x.pieces[piece]; g != nil {
			x.countLocked(piece, g)
		}
		err = nil
	}
	x.actLocked()
	x.mu.Unlock()
	if err == nil && !proved {
		err = x.close(span.File)
	}
	if err != nil && !errors.Is(err, errEnded) {
		x.fail(err)
	}
}

func (x *exchange) isSuspect(piece int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	g := x.pieces[piece]
	return g != nil && len(g.suspects) > 0
}

// sums returns the SHA-256 of each block of a piece that can be read.
func (x *exchange) sums(span bittorrent.Span) map[int][sha256.Size]byte {
	sums := make(map[int][sha256.Size]byte)
	x.eachBlock(span, func(block int, data []byte) { sums[block] = sha256.Sum256(data) })
	return sums
}

// checkV1 compares a piece with its SHA-1, where the description has one.
func (x *exchange) checkV1(piece int, span bittorrent.Span) error {
	if !x.description.Hybrid {
		return nil
	}
	sum := sha1.New()
	if err := x.eachBlock(span, func(_ int, data []byte) { sum.Write(data) }); err != nil {
		return err
	}
	for left := span.Padded - span.Size; left > 0; { // BEP 47
		n := min(left, int64(len(x.swarm.blank)))
		sum.Write(x.swarm.blank[:n])
		left -= n
	}
	if want := x.description.Pieces[piece*sha1.Size:][:sha1.Size]; string(sum.Sum(nil)) != string(want) {
		return fmt.Errorf("piece %d is not what its SHA-1 says: %w", piece, kith.Invalid)
	}
	return nil
}

// eachBlock reads a piece, from what is here and what is held.
func (x *exchange) eachBlock(span bittorrent.Span, visit func(block int, data []byte)) error {
	buf := make([]byte, content.BlockSize)
	for i := range span.Blocks {
		select {
		case <-x.quit:
			return errEnded
		default:
		}
		at := int(span.Offset/content.BlockSize) + i
		n, err := x.files[span.File].ReadClaim(at, buf)
		if err != nil {
			n, err = x.files[span.File].ReadBlock(at, buf)
		}
		if err != nil {
			return err
		}
		visit(span.First+i, buf[:n])
	}
	return nil
}

// rightLocked takes a piece that is right: all of it is here if it is proved, else it is
// held on.
func (x *exchange) rightLocked(piece int, span bittorrent.Span, sums map[int][sha256.Size]byte, proved bool) {
	g := x.pieces[piece]
	if g == nil {
		return
	}
	liars := make(map[scheduler.Peer]bool)
	for block, s := range g.suspects {
		if sum, ok := sums[block]; ok && s.sum != sum && s.giver != 0 {
			liars[s.giver] = true
		}
	}
	g.suspects = nil
	for liar := range liars {
		x.forsakeLocked(liar, fmt.Errorf("it gave blocks of piece %d that are wrong: %w", piece, kith.Invalid))
	}
	if g.only != 0 {
		x.askAllLocked(span, g)
	}
	if proved {
		x.settleLocked(span.First, span.Blocks, true)
		return
	}
	g.passed, g.held = true, 0
	for block := span.First; block < span.First+span.Blocks; block++ {
		if x.plan.Holds(block) {
			g.held++
		}
	}
}

// wrongLocked drops what is held of a piece. Whoever gave all of that is let go; where
// several did, one is asked at a time from now on.
func (x *exchange) wrongLocked(piece int, span bittorrent.Span, sums map[int][sha256.Size]byte) error {
	givers := make(map[scheduler.Peer]bool)
	suspects := make(map[int]suspect)
	for block, sum := range sums {
		if x.plan.Holds(block) {
			giver := x.giverLocked(block)
			givers[giver] = true
			suspects[block] = suspect{giver, sum}
		}
	}
	x.log.Warn("a piece that torrent clients gave is wrong", "piece", piece, "clients", len(givers))
	if err := x.unclaimLocked(span.File, int(span.Offset/content.BlockSize), span.Blocks); err != nil {
		return err
	}
	g := x.gatherLocked(piece)
	if len(givers) == 1 && !givers[0] {
		for giver := range givers {
			x.forsakeLocked(giver, fmt.Errorf("all of piece %d that it gave is wrong: %w", piece, kith.Invalid))
			if g.only != 0 {
				g.tried[giver] = true
			}
		}
		if g.only != 0 {
			x.askOneLocked(span, g)
		}
		return nil
	}
	g.suspects, g.tried = suspects, make(map[scheduler.Peer]bool)
	x.askOneLocked(span, g)
	return nil
}

func (x *exchange) giverLocked(block int) scheduler.Peer {
	if x.givers == nil {
		return 0
	}
	return scheduler.Peer(x.givers[block])
}

// unclaimLocked drops what is held of n blocks of a file.
func (x *exchange) unclaimLocked(file, at, n int) error {
	err := x.files[file].Unclaim(at, n)
	x.settleLocked(x.blockOf(file, at), n, false)
	return err
}

// forsakeLocked lets a client go, and drops what it gave of pieces that did not pass.
func (x *exchange) forsakeLocked(liar scheduler.Peer, why error) {
	if c := x.clients[liar]; c != nil {
		c.peer.Ban(why)
	}
	for piece, g := range x.pieces {
		if g.passed || g.checking {
			continue
		}
		span := x.description.Piece(piece)
		for block := span.First; block < span.First+span.Blocks; block++ {
			if x.plan.Holds(block) && x.giverLocked(block) == liar {
				_, at, _ := x.description.Locate(block)
				if err := x.unclaimLocked(span.File, at, 1); err != nil {
					x.log.Warn("blocks of a client not dropped", "err", err)
					return
				}
			}
		}
	}
}

// close compares a file with its root, once all pieces of it passed.
func (x *exchange) close(file int) error {
	f := x.files[file]
	claimed, missing := f.Claimed()
	if claimed == nil || missing > 0 {
		return nil
	}
	first, blocks := x.description.First(file), f.Blocks()
	x.mu.Lock()
	from, _ := x.description.PieceOf(first)
	to, _ := x.description.PieceOf(first + blocks - 1)
	for piece := from; piece <= to; piece++ {
		if g := x.pieces[piece]; g != nil && !g.passed {
			x.mu.Unlock()
			return nil
		}
	}
	x.mu.Unlock()
	err := f.Prove(0, blocks)
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case err == nil:
		x.settleLocked(first, blocks, true)
	case errors.Is(err, kith.Invalid):
		x.unclaimLocked(file, 0, blocks)
		err = errContradiction
	case errors.Is(err, content.ErrNoHashes):
		err = nil
	}
	x.actLocked()
	return err
}
