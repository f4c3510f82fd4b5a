package swarm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
)

const (
	// askSoon is how long a taker waits at least before it asks again for a description,
	// though much changes meanwhile.
	askSoon = 250 * time.Millisecond

	maxAsked         = 8                      // members that are asked for a description at a time
	askNext          = 250 * time.Millisecond // before the next one is asked, too
	describePatience = 5 * time.Second        // how long one may take while others could give it

	maxBlocks = 1 << 26 // of a content: 1 TiB
)

// errUnusable is of content that nobody can take: its description is the one that
// its ID names, and breaks the rules.
var errUnusable = errors.New("its description breaks the rules")

// describe returns the description of a holding, which is fetched from members
// if it is not here, as long as it takes.
func (s *Swarm) describe(ctx context.Context, h *holding) (*bittorrent.Description, error) {
	if text := s.description(h.Content); text != nil {
		return bittorrent.ParseDescription(text)
	}
	for pause := time.Second; ; pause = min(2*pause, askAgain) {
		changed := s.Changed()
		d, err := s.askAll(ctx, h.Content, s.holdersOf(h))
		if errors.Is(err, kith.NotFound) {
			d, err = s.askClients(ctx, h)
		}
		if err == nil {
			return d, s.noteDescription(ctx, h, d)
		}
		if errors.Is(err, errUnusable) {
			return nil, err
		}
		select {
		case <-time.After(askSoon):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		select {
		case <-time.After(pause):
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// noteDescription stores a description before the holding says that it has one.
func (s *Swarm) noteDescription(ctx context.Context, h *holding, d *bittorrent.Description) error {
	if err := s.save(ctx, h, d.Raw); err != nil {
		return err
	}
	s.mu.Lock()
	h.describe(d)
	s.mu.Unlock()
	s.change()
	return nil
}

// askAll asks hosts for the description of a content, in their order: the next one
// when one does not give it, or takes a moment. The first right answer counts. It
// fails with errUnusable, or when nobody gives it.
func (s *Swarm) askAll(ctx context.Context, id kith.ContentID, hosts []kith.ID) (*bittorrent.Description, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		d   *bittorrent.Description
		err error
	}
	answers := make(chan answer, maxAsked)
	for asked := 0; len(hosts) > 0 || asked > 0; {
		var next <-chan time.Time
		if len(hosts) > 0 && asked < maxAsked {
			host := hosts[0]
			hosts = hosts[1:]
			if s.bans.holds(id, host, time.Now()) {
				continue
			}
			asked++
			s.work.Go(func() {
				d, err := s.describeFrom(ctx, id, host)
				answers <- answer{d, err}
			})
			if len(hosts) > 0 && asked < maxAsked {
				next = time.After(askNext)
			}
		}
		select {
		case a := <-answers:
			asked--
			if a.err == nil || errors.Is(a.err, errUnusable) {
				return a.d, a.err
			}
		case <-next:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, fmt.Errorf("nobody gives the description of %s: %w", id, kith.NotFound)
}

// describeFrom asks one host for a description. One that gives another is banned.
func (s *Swarm) describeFrom(ctx context.Context, id kith.ContentID, host kith.ID) (*bittorrent.Description, error) {
	ctx, cancel := context.WithTimeout(ctx, describePatience)
	defer cancel()
	d, err := s.readDescription(ctx, id, host)
	switch {
	case err == nil, errors.Is(err, errUnusable):
	case errors.Is(err, kith.Invalid):
		s.bans.add(id, host, time.Now())
		s.log.Warn("member gave a wrong description", "peer", host.Short(), "host", s.hostName(host), "err", err)
	default:
		s.log.Debug("no description from member", "peer", host.Short(), "err", err)
	}
	return d, err
}

func (s *Swarm) readDescription(ctx context.Context, id kith.ContentID, host kith.ID) (*bittorrent.Description, error) {
	conn, err := s.dial(ctx, host)
	if err != nil {
		return nil, err
	}
	text, err := fetchDescription(ctx, conn, id)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(text) != id {
		return nil, fmt.Errorf("description with another hash: %w", kith.Invalid)
	}
	return usableDescription(text)
}

// usableDescription reads a description that has the right hash.
func usableDescription(text []byte) (*bittorrent.Description, error) {
	d, err := bittorrent.ParseDescription(text)
	if err == nil && d.Blocks() > maxBlocks {
		err = fmt.Errorf("%d blocks, at most %d", d.Blocks(), maxBlocks)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w: %w", errUnusable, err, kith.Invalid)
	}
	return d, nil
}

// holdersOf returns whom to ask for a content: hosts named with it, those that say
// they have it, all others that are awake.
func (s *Swarm) holdersOf(h *holding) []kith.ID {
	s.mu.Lock()
	hosts := slices.Clone(h.hosts)
	s.mu.Unlock()
	hosts = append(hosts, s.library.Holders(h.Content)...)
	members := s.memberView()
	for id, m := range members {
		if m.Online {
			hosts = append(hosts, id)
		}
	}
	var awake []kith.ID
	seen := make(map[kith.ID]bool)
	for _, id := range hosts {
		if m, ok := members[id]; ok && m.Online && id != s.cfg.Self && !seen[id] {
			seen[id] = true
			awake = append(awake, id)
		}
	}
	return awake
}
