package swarm

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// hold keeps a block until its hashes come, and asks the peer for them, who must
// have them: another who was asked may never answer. What is too much is let go; it
// is asked for again.
func (l *link) hold(block int, data []byte) {
	l.mu.Lock()
	if len(l.held) < maxHeld {
		l.held[block] = slices.Clone(data)
	}
	l.mu.Unlock()
	x := l.exchange
	file, at, _ := x.description.Locate(block)
	if x.files[file].HasHashes(at) { // they came this moment
		l.release(block, block+1)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if key := block - at%group; x.groups[key] != l {
		delete(x.groups, key)
		x.askHashesLocked(l, block)
		l.wake()
	}
}

// proved takes hashes that a peer sent, and the blocks that waited for them. It
// fails with kind Invalid when they are wrong.
func (x *exchange) proved(m bittorrent.Message) error {
	groups := x.groupsOf(m)
	if len(groups) == 0 {
		return fmt.Errorf("hashes of no file of the content: %w", kith.Invalid)
	}
	if err := setHashes(x.files[x.roots[m.Root][0]], m); errors.Is(err, kith.Invalid) {
		return err
	} else if err != nil {
		x.fail(err)
		return nil
	}
	x.mu.Lock()
	for _, first := range groups {
		delete(x.groups, first)
	}
	links := slices.Collect(maps.Values(x.links))
	x.mu.Unlock()
	for _, l := range links {
		for _, first := range groups {
			l.release(first, first+int(m.HashLength)<<m.BaseLayer)
		}
	}
	x.settled(m)
	return nil
}

// release takes up the blocks from first to before last that waited.
func (l *link) release(first, last int) {
	l.mu.Lock()
	held := make(map[int][]byte)
	for block, data := range l.held {
		if block >= first && block < last {
			held[block] = data
		}
	}
	maps.DeleteFunc(l.held, func(block int, _ []byte) bool { return held[block] != nil })
	l.mu.Unlock()
	for block, data := range held {
		if err := l.exchange.arrived(l, block, data); err != nil {
			l.exchange.ban(l, err.Error())
			return
		}
	}
}

// hashAnswer answers a request for hashes.
func (x *exchange) hashAnswer(m bittorrent.Message) bittorrent.Message {
	if same := x.roots[m.Root]; len(same) > 0 {
		return hashAnswer(x.files[same[0]], m)
	}
	m.Type = bittorrent.HashReject
	return m
}

func hashAnswer(f *content.File, m bittorrent.Message) bittorrent.Message {
	m.Type = bittorrent.HashReject
	if m.HashLength > maxHashes {
		return m
	}
	hashes, err := f.Hashes(int(m.BaseLayer), int(m.Index), int(m.HashLength), int(m.ProofLayers))
	if err == nil {
		m.Type, m.Hashes = bittorrent.Hashes, hashBytes(hashes)
	}
	return m
}

// maxHashes is how many hashes are given at a time, as in BEP 52.
const maxHashes = 512

// groupsOf returns the first block of what a message about hashes is of, in each
// file that has these hashes.
func (x *exchange) groupsOf(m bittorrent.Message) []int {
	var groups []int
	for _, file := range x.roots[m.Root] {
		groups = append(groups, x.blockOf(file, int(m.Index)<<min(m.BaseLayer, 30)))
	}
	return groups
}

// blockOf is the number in the content of a block of a file.
func (x *exchange) blockOf(file, at int) int { return x.description.First(file) + at }

// hashRequest asks for the hashes of the group of a block of a file; its length is 0
// where none are needed.
func hashRequest(f *content.File, at int) bittorrent.Message {
	base, index, length, proofs := f.HashGroup(at, group)
	return bittorrent.Message{Root: f.Root(), BaseLayer: uint32(base), Index: uint32(index), HashLength: uint32(length), ProofLayers: uint32(proofs)}
}

func setHashes(f *content.File, m bittorrent.Message) error {
	if err := f.SetHashes(int(m.BaseLayer), int(m.Index), int(m.HashLength), int(m.ProofLayers), hashList(m.Hashes)); err != nil {
		return fmt.Errorf("hashes: %w", err)
	}
	return nil
}

// hashBytes and hashList turn hashes into what messages have, and back.
func hashBytes(hashes []content.Root) []byte {
	text := make([]byte, 0, len(hashes)*len(content.Root{}))
	for _, h := range hashes {
		text = append(text, h[:]...)
	}
	return text
}

func hashList(text []byte) []content.Root {
	hashes := make([]content.Root, 0, len(text)/len(content.Root{}))
	for part := range slices.Chunk(text, len(content.Root{})) {
		hashes = append(hashes, content.Root(part))
	}
	return hashes
}
