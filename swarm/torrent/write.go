package torrent

import (
	"fmt"
	"time"

	"kith.alt/kith/proto/bittorrent"
)

// batch is how many bytes are put together before they are written.
const batch = 64 << 10

// lookMost is after how long rates are looked at again, which may have changed.
const lookMost = time.Second / 4

// write sends what is due until reading ends or the connection fails.
func (p *Peer) write() error {
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	room := time.NewTimer(0)
	defer room.Stop()
	var out []byte
	for {
		rest := p.part.Rest()
		var err error
		if out, err = p.compose(out[:0], rest == 0); err != nil {
			return err
		}
		if len(out) > 0 {
			p.conn.SetWriteDeadline(time.Now().Add(writeWithin))
			if _, err := p.conn.Write(out); err != nil {
				return err
			}
			alive.Reset(keepAlive)
			continue
		}
		if rest > 0 {
			room.Reset(min(rest, lookMost))
		}
		select {
		case <-p.wakes:
		case <-room.C:
		case <-alive.C:
			p.mu.Lock()
			p.tell(bittorrent.Message{Type: bittorrent.KeepAlive})
			p.mu.Unlock()
		case <-p.done:
			return nil
		}
	}
}

// compose appends what is to be sent next: messages that wait, one answer of each
// other kind, and blocks where there is room for them.
func (p *Peer) compose(out []byte, room bool) ([]byte, error) {
	p.mu.Lock()
	out = append(out, p.control...)
	p.control = p.control[:0]
	if cap(p.control) > batch {
		p.control = nil
	}
	ask := p.toAsk
	p.toAsk = nil
	for _, block := range ask {
		p.asked[block] = struct{}{}
	}
	hash, hashes := pop(&p.hashes)
	piece, metadata := pop(&p.metadata)
	to := p.metadataID
	p.mu.Unlock()

	for _, block := range ask {
		if p.v2 {
			if m, ok := p.part.HashRequest(block); ok {
				m.Type = bittorrent.HashRequest
				out = bittorrent.AppendMessage(out, m)
			}
		}
		out = bittorrent.AppendMessage(out, p.about(bittorrent.Request, block))
	}
	if hashes {
		out = bittorrent.AppendMessage(out, p.content.HashAnswer(hash))
	}
	if metadata {
		out = p.appendMetadata(out, piece, to)
	}
	for room && len(out) < batch {
		p.mu.Lock()
		m, ok := pop(&p.requests)
		p.mu.Unlock()
		if !ok {
			break
		}
		var err error
		if out, err = p.appendBlock(out, m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// pop takes the first of a queue.
func pop[T any](queue *[]T) (first T, ok bool) {
	if len(*queue) == 0 {
		return first, false
	}
	first = (*queue)[0]
	if *queue = (*queue)[1:]; len(*queue) == 0 {
		*queue = nil
	}
	return first, true
}

// appendMetadata appends a piece of the info dictionary (BEP 9).
func (p *Peer) appendMetadata(out []byte, piece int, to uint8) []byte {
	m := bittorrent.Metadata{Kind: bittorrent.MetadataReject, Piece: piece}
	if start := piece * bittorrent.MetadataPiece; start < len(p.d.Raw) {
		m.Kind, m.Total = bittorrent.MetadataData, len(p.d.Raw)
		m.Data = p.d.Raw[start:min(start+bittorrent.MetadataPiece, len(p.d.Raw))]
	}
	return bittorrent.AppendMessage(out, bittorrent.Message{Type: bittorrent.Extended, ExtendedID: to, Payload: bittorrent.AppendMetadata(nil, m)})
}

// appendBlock appends what a client asked for: some of a piece, and of the zeros
// of a pad file behind it. What is not here is refused.
func (p *Peer) appendBlock(out []byte, m bittorrent.Message) ([]byte, error) {
	span := p.d.Piece(int(m.Index))
	start := len(out)
	answer := bittorrent.Message{Type: bittorrent.Piece, Index: m.Index, Begin: m.Begin, Payload: zeros[:m.Length]}
	out = bittorrent.AppendMessage(out, answer)
	data := out[len(out)-int(m.Length):]
	begin := int64(m.Begin)
	for from := begin; from < min(begin+int64(m.Length), span.Size); {
		n, err := p.readFrom(data[from-begin:], span.First, from)
		if err != nil {
			p.log.Info("a block is not here any more", "piece", m.Index, "err", err)
			if !p.handshake.Fast {
				return nil, fmt.Errorf("a block that is not here cannot be refused: %w", err)
			}
			m.Type = bittorrent.Reject
			return bittorrent.AppendMessage(out[:start], m), nil
		}
		from += int64(n)
	}
	p.part.Sent(int(m.Length))
	p.sent.Add(int64(m.Length))
	p.server.metrics.sent.Add(uint64(m.Length))
	return out, nil
}

// zeros are what pad files consist of.
var zeros [maxRequest]byte

// readFrom fills data with what a piece has from an offset on, up to the end of
// the block there.
func (p *Peer) readFrom(data []byte, first int, from int64) (int, error) {
	block, skip := first+int(from/bittorrent.BlockSize), int(from%bittorrent.BlockSize)
	if skip == 0 && len(data) >= bittorrent.BlockSize {
		return p.content.ReadBlock(block, data[:bittorrent.BlockSize])
	}
	var whole [bittorrent.BlockSize]byte // not in line with our blocks, or of the last
	n, err := p.content.ReadBlock(block, whole[:])
	if err != nil {
		return 0, err
	}
	return copy(data, whole[skip:n]), nil
}
