package torrent

import (
	"bufio"
	"errors"
	"fmt"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// read takes what the client says until the connection ends.
func (p *Peer) read(r *bufio.Reader) error {
	var buffer []byte
	for {
		p.conn.SetReadDeadline(time.Now().Add(idle))
		m, err := bittorrent.ReadMessage(r, &buffer, maxMessage)
		if err != nil {
			return err
		}
		if err := p.handle(m); err != nil {
			return err
		}
	}
}

func (p *Peer) handle(m bittorrent.Message) error {
	switch m.Type {
	case bittorrent.Choke, bittorrent.Unchoke:
		p.choked(m.Type == bittorrent.Choke)
	case bittorrent.Interested:
		p.setInterested(true)
		p.server.unchoke(p)
	case bittorrent.NotInterested:
		p.setInterested(false)
		p.server.choke(p)
	case bittorrent.Have:
		if int64(m.Index) >= int64(len(p.theirs)) {
			return fmt.Errorf("piece %d of %d: %w", m.Index, len(p.theirs), bittorrent.ErrInvalid)
		}
		p.has(int(m.Index), int(m.Index)+1, func(int) bool { return true })
	case bittorrent.Bitfield:
		return p.bitfield(m.Payload)
	case bittorrent.HaveAll:
		p.has(0, len(p.theirs), func(int) bool { return true })
	case bittorrent.Request:
		return p.requested(m)
	case bittorrent.Cancel:
		p.cancelled(m)
	case bittorrent.Piece:
		return p.piece(m)
	case bittorrent.Reject:
		return p.rejected(m)
	case bittorrent.HashRequest:
		return p.hashRequested(m)
	case bittorrent.Hashes, bittorrent.HashReject:
		return p.hashesCame(m)
	case bittorrent.Extended:
		return p.extended(m)
	}
	return nil // what we do not know, or do not need
}

func (p *Peer) choked(choked bool) {
	p.mu.Lock()
	if p.choking == choked {
		p.mu.Unlock()
		return
	}
	p.choking = choked
	if choked {
		p.toAsk = nil
		if !p.handshake.Fast { // BEP 6 has each of them answered
			clear(p.asked)
		}
	}
	p.mu.Unlock()
	p.part.Chokes(choked)
}

func (p *Peer) setInterested(interested bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.interested = interested
}

// note notes a piece, and reports whether that is news.
func (p *Peer) note(piece int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.theirs[piece] {
		return false
	}
	p.theirs[piece] = true
	if p.lacking[piece] > 0 {
		p.wanted++
		p.tellInterest()
	}
	return true
}

// has notes what of the pieces from first to before end the client has, and tells
// of it in runs.
func (p *Peer) has(first, end int, has func(piece int) bool) {
	start, n := 0, 0
	flush := func() {
		if n > 0 {
			p.part.Has(start, n)
		}
		n = 0
	}
	for piece := first; piece < end; piece++ {
		if !has(piece) || !p.note(piece) {
			flush()
			continue
		}
		span := p.d.Piece(piece)
		if n == 0 {
			start = span.First
		}
		n += span.Blocks
	}
	flush()
}

// bitfield takes all that the client has. BEP 3 has it come once and first; aria2
// repeats itself.
func (p *Peer) bitfield(bitmap []byte) error {
	pieces := len(p.theirs)
	if len(bitmap) != (pieces+7)/8 || pieces%8 != 0 && bitmap[len(bitmap)-1]&(0xff>>(pieces%8)) != 0 {
		return fmt.Errorf("bitfield of %d bytes for %d pieces: %w", len(bitmap), pieces, bittorrent.ErrInvalid)
	}
	p.has(0, pieces, content.Bitmap(bitmap).Has)
	return nil
}

// requested queues what the client wants.
func (p *Peer) requested(m bittorrent.Message) error {
	if int64(m.Index) >= int64(len(p.theirs)) || m.Length == 0 || m.Length > maxRequest ||
		int64(m.Begin)+int64(m.Length) > p.d.Piece(int(m.Index)).Padded {
		return fmt.Errorf("request for %d bytes from %d of piece %d: %w", m.Length, m.Begin, m.Index, bittorrent.ErrInvalid)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.unchoked:
		p.refuse(m)
	case len(p.requests) >= maxRequests:
		return errFlood
	default:
		p.requests = append(p.requests, m)
		p.wake()
	}
	return nil
}

// cancelled takes back what waits.
func (p *Peer) cancelled(m bittorrent.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range p.requests {
		if r.Index == m.Index && r.Begin == m.Begin && r.Length == m.Length {
			p.requests = append(p.requests[:i:i], p.requests[i+1:]...)
			p.refuse(m)
			return
		}
	}
}

// blockOf returns the block that a message is about.
func (p *Peer) blockOf(m bittorrent.Message, length int) (int, error) {
	if int64(m.Index) < int64(len(p.theirs)) && m.Begin%bittorrent.BlockSize == 0 {
		if span := p.d.Piece(int(m.Index)); int64(m.Begin) < span.Size {
			block := span.First + int(m.Begin/bittorrent.BlockSize)
			if _, _, want := p.d.Locate(block); want == length {
				return block, nil
			}
		}
	}
	return 0, fmt.Errorf("%d bytes from %d of piece %d were not asked for: %w", length, m.Begin, m.Index, bittorrent.ErrInvalid)
}

// answered notes the answer to a request, and reports whether there was one.
func (p *Peer) answered(block int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, asked := p.asked[block]
	delete(p.asked, block)
	return asked
}

// piece takes a block.
func (p *Peer) piece(m bittorrent.Message) error {
	block, err := p.blockOf(m, len(m.Payload))
	if err != nil {
		return err
	}
	if !p.answered(block) {
		if p.handshake.Fast { // BEP 6: such a client is to be left
			return fmt.Errorf("block %d was not asked for: %w", block, bittorrent.ErrInvalid)
		}
		return nil // it was taken back
	}
	p.received.Add(int64(len(m.Payload)))
	p.server.metrics.received.Add(uint64(len(m.Payload)))
	if err := p.part.Arrived(block, m.Payload); errors.Is(err, kith.Invalid) {
		return fmt.Errorf("%w: %w", errWrong, err)
	}
	p.part.Received(len(m.Payload))
	return nil
}

func (p *Peer) rejected(m bittorrent.Message) error {
	block, err := p.blockOf(m, int(m.Length))
	if err != nil {
		return err
	}
	if p.answered(block) {
		p.part.Refused(block)
	}
	return nil
}

func (p *Peer) hashRequested(m bittorrent.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.hashes) >= maxAnswers {
		return errFlood
	}
	m.Hashes = nil // they are in the buffer
	p.hashes = append(p.hashes, m)
	p.wake()
	return nil
}

func (p *Peer) hashesCame(m bittorrent.Message) error {
	if err := p.part.Hashes(m); errors.Is(err, kith.Invalid) {
		return fmt.Errorf("%w: %w", errWrong, err)
	}
	return nil
}

// extended takes a message of BEP 10.
func (p *Peer) extended(m bittorrent.Message) error {
	switch m.ExtendedID {
	case bittorrent.HandshakeID:
		h, err := bittorrent.ParseExtendedHandshake(m.Payload)
		if err != nil {
			return fmt.Errorf("extended handshake: %w", err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.metadataID = h.Metadata
		if h.Client != "" {
			p.client = h.Client
		}
	case metadataID:
		request, err := bittorrent.ParseMetadata(m.Payload)
		if err != nil {
			return fmt.Errorf("metadata: %w", err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if request.Kind != bittorrent.MetadataRequest || p.metadataID == 0 {
			return nil
		}
		if len(p.metadata) >= maxAnswers {
			return errFlood
		}
		p.metadata = append(p.metadata, request.Piece)
		p.wake()
	}
	return nil
}
