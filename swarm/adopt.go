package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// adopt takes what is in content that an older version of the same entry has,
// so that only what changed is fetched. It needs the hashes of the files that changed,
// which a member gives beforehand; where nobody does, everything is fetched.
func (s *Swarm) adopt(ctx context.Context, h *holding, d *bittorrent.Description) {
	mute := make(map[kith.ID]bool) // members that did not give hashes: not asked for those of each file
	for _, old := range s.olderVersions(h) {
		before := make(map[string]bittorrent.File)
		for i, f := range old.Files {
			before[contentPath(old, i)] = f
		}
		for i, f := range d.Files {
			was, ok := before[contentPath(d, i)]
			if !ok || was.Root == f.Root || was.Size == 0 || f.Size == 0 {
				continue
			}
			n, err := s.adoptFile(ctx, h, f, was, mute)
			if err != nil {
				s.log.Debug("nothing reused of the version before", "file", contentPath(d, i), "err", err)
				continue
			}
			s.log.Info("reused what the version before has", "file", contentPath(d, i), "blocks", n)
		}
	}
}

// olderVersions returns what is here of the entry that a holding is a version of.
func (s *Swarm) olderVersions(h *holding) []*bittorrent.Description {
	s.mu.Lock()
	var ids []kith.ContentID
	for id, other := range s.holdings {
		if id != h.Content && h.Entry.Version > 0 && other.Entry.Host == h.Entry.Host && other.Entry.Title == h.Entry.Title {
			ids = append(ids, id)
		}
	}
	s.mu.Unlock()
	var older []*bittorrent.Description
	for _, id := range ids {
		if d, err := s.described(id); err == nil {
			older = append(older, d)
		}
	}
	return older
}

func (s *Swarm) adoptFile(ctx context.Context, h *holding, f, was bittorrent.File, mute map[kith.ID]bool) (int, error) {
	to, err := s.store.File(ctx, f.Root, f.Size)
	if err != nil {
		return 0, err
	}
	defer to.Close()
	if to.Have() > 0 {
		return 0, nil // it was done before
	}
	from, err := s.store.File(ctx, was.Root, was.Size)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	for _, host := range s.holdersOf(h) {
		if mute[host] {
			continue
		}
		if err = s.fetchHashes(ctx, host, h.Content, to); err == nil {
			return to.Adopt(ctx, from)
		}
		mute[host] = true
		if errors.Is(err, kith.Invalid) {
			s.bans.add(h.Content, host, time.Now())
		}
	}
	return 0, err
}

const (
	// How long one member may take to give the hashes of a file.
	hashesPatience = 20 * time.Second
	hashesEach     = 5 * time.Second // for each request

	hashesAhead = 4 // requests under way
)

// fetchHashes fetches all hashes of a file from a member.
func (s *Swarm) fetchHashes(ctx context.Context, host kith.ID, id kith.ContentID, f *content.File) error {
	ctx, cancel := context.WithTimeout(ctx, hashesPatience+time.Duration(f.Blocks()/maxHashes)*hashesEach)
	defer cancel()
	conn, err := s.dial(ctx, host)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(greetPatience))
	if _, err := conn.Write(greeting{ask: askHashes, content: id}.bytes()); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	r := bufio.NewReader(conn)
	var buffer, text []byte
	var asked []bittorrent.Message // and not answered
	for block := 0; ; {
		text = text[:0]
		for ; block < f.Blocks() && len(asked) < hashesAhead; block += maxHashes {
			if !lacksHashes(f, block, block+maxHashes) {
				continue
			}
			base, index, length, proofs := f.HashGroup(block, maxHashes)
			m := bittorrent.Message{
				Type: bittorrent.HashRequest, Root: f.Root(),
				BaseLayer: uint32(base), Index: uint32(index), HashLength: uint32(length), ProofLayers: uint32(proofs),
			}
			text, asked = bittorrent.AppendMessage(text, m), append(asked, m)
		}
		if len(asked) == 0 {
			return nil
		}
		conn.SetDeadline(time.Now().Add(greetPatience))
		if _, err := conn.Write(text); err != nil {
			return fmt.Errorf("ask for hashes: %w", err)
		}
		answer, err := bittorrent.ReadMessage(r, &buffer, maxMessage)
		if err != nil {
			return fmt.Errorf("read hashes: %w", err)
		}
		if m := asked[0]; answer.Type != bittorrent.Hashes || answer.Root != m.Root || answer.Index != m.Index {
			return fmt.Errorf("it does not give hashes: %w", kith.NotFound)
		}
		if err := setHashes(f, answer); err != nil {
			return err
		}
		asked = asked[1:]
	}
}

// lacksHashes reports whether hashes of blocks from first to before last are
// not here.
func lacksHashes(f *content.File, first, last int) bool {
	for block := first; block < min(last, f.Blocks()); block += group {
		if !f.HasHashes(block) {
			return true
		}
	}
	return false
}

// answerHashes is the other side of fetchHashes.
func (s *Swarm) answerHashes(ctx context.Context, conn net.Conn, peer kith.ID, id kith.ContentID) error {
	h, err := s.holding(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	shared := h.shared()
	s.mu.Unlock()
	d, err := s.described(id)
	if err != nil || !shared {
		return err
	}
	roots := make(map[content.Root]int64)
	for _, f := range d.Files {
		roots[f.Root] = f.Size
	}
	var file *content.File // that was asked about last
	defer func() {
		if file != nil {
			file.Close()
		}
	}()
	r := bufio.NewReader(conn)
	var buffer []byte
	for left := maxHashQuestions + d.Blocks()/group; ; left-- {
		conn.SetDeadline(time.Now().Add(greetPatience))
		m, err := bittorrent.ReadMessage(r, &buffer, maxMessage)
		if err != nil {
			return err
		}
		size, ok := roots[m.Root]
		switch {
		case !s.isMember(peer):
			return fmt.Errorf("host %s is not in the group: %w", peer.Short(), kith.NotMember)
		case m.Type != bittorrent.HashRequest:
			return fmt.Errorf("message %d where hashes are asked for: %w", m.Type, kith.Invalid)
		case !ok || size == 0:
			return fmt.Errorf("hashes of no file of the content: %w", kith.Invalid)
		case left == 0:
			return fmt.Errorf("hashes are asked for again and again: %w", kith.Invalid)
		}
		if file == nil || file.Root() != m.Root {
			if file != nil {
				file.Close()
			}
			if file, err = s.store.File(ctx, m.Root, size); err != nil {
				return err
			}
		}
		answer := bittorrent.AppendMessage(nil, hashAnswer(file, m))
		s.uplink.charge(len(answer) + frameOverhead)
		if _, err := conn.Write(answer); err != nil {
			return err
		}
	}
}

// maxHashQuestions is how many requests for hashes are answered on one socket,
// beyond one for each group.
const maxHashQuestions = 64
