package swarm

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
	"kith.alt/kith/swarm/torrent"
)

// A person may begin with what torrent clients begin with: a .torrent file, or a magnet link. These
// lead to clients of this computer, which are asked for the description (BEP 9) where
// no member gives it, and for blocks. Clients on other computers are never dialled.

const (
	resolvePatience = 20 * time.Second // for the description of what has no other name
	visitEvery      = 5 * time.Second  // clients that are not connected
)

// Leads are what is known of torrent clients that may have a content.
type leads struct {
	InfoHash [20]byte         `json:"info_hash,omitzero"` // of version 1
	Clients  []netip.AddrPort `json:"clients,omitempty"`
}

func (l leads) json() []byte {
	if l.InfoHash == [20]byte{} && len(l.Clients) == 0 {
		return nil
	}
	text, _ := json.Marshal(l) // it has nothing that cannot be
	return text
}

// add adds what somebody tells who asks for the content. Swarm.mu is held.
func (l *leads) add(t kith.Taking) {
	if t.InfoHash != [20]byte{} {
		l.InfoHash = t.InfoHash
	}
	for _, client := range t.Clients {
		if usableClient(client) && !slices.Contains(l.Clients, client) {
			l.Clients = append(slices.Clone(l.Clients), client) // the newest stay
		}
	}
	l.Clients = l.Clients[max(0, len(l.Clients)-kith.MaxClients):]
}

func usableClient(client netip.AddrPort) bool {
	return client.IsValid() && client.Port() != 0 && !torrent.IsOutside(client.Addr())
}

// Resolve returns what a magnet link or a .torrent file asks for.
func (s *Swarm) Resolve(ctx context.Context, source []byte) (kith.Taking, error) {
	if !bytes.HasPrefix(bytes.ToLower(source[:min(len(source), 7)]), []byte("magnet:")) {
		return resolveTorrent(source)
	}
	m, err := bittorrent.ParseMagnet(string(source))
	if err != nil {
		return kith.Taking{}, fmt.Errorf("magnet link: %w: %w", err, kith.Invalid)
	}
	t := kith.Taking{Content: m.ID, Name: m.Name, InfoHash: m.IDv1}
	for _, peer := range m.Peers {
		if client, err := netip.ParseAddrPort(peer); err == nil && usableClient(client) && len(t.Clients) < kith.MaxClients {
			t.Clients = append(t.Clients, client)
		}
	}
	if !t.Content.IsZero() {
		return t, nil
	}
	if t.Content = s.called(m.IDv1); !t.Content.IsZero() {
		return t, nil
	}
	raw, err := s.askForName(ctx, m.IDv1, t.Clients)
	if err != nil {
		return kith.Taking{}, err
	}
	d, err := readable(bittorrent.ParseDescription(raw))
	if err != nil {
		return kith.Taking{}, err
	}
	t.Content, t.Name, t.Torrent = d.ID(), d.Name, raw
	return t, nil
}

func resolveTorrent(text []byte) (kith.Taking, error) {
	file, err := bittorrent.ParseTorrent(text)
	if err != nil {
		_, err = readable(nil, err)
		return kith.Taking{}, err
	}
	d := file.Description
	return kith.Taking{Content: d.ID(), Name: d.Name, InfoHash: d.IDv1(), Torrent: text}, nil
}

// readable says in people's words why a torrent cannot be taken.
func readable(d *bittorrent.Description, err error) (*bittorrent.Description, error) {
	switch {
	case errors.Is(err, bittorrent.ErrVersion1):
		return nil, fmt.Errorf("this torrent has no SHA-256 tree (BEP 52), by which kith names and checks content; a torrent client can take it, or make a hybrid torrent (v1 and v2) of its files: %w", kith.Invalid)
	case err != nil:
		return nil, fmt.Errorf("torrent: %w: %w", err, kith.Invalid)
	}
	return d, nil
}

// called returns the content that torrent clients of version 1 call by a name, zero where there is
// none here.
func (s *Swarm) called(name [20]byte) kith.ContentID {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, h := range s.holdings {
		if slices.Contains(h.names, name) || h.leads.InfoHash == name {
			return id
		}
	}
	return kith.ContentID{}
}

// askForName asks clients for an info dictionary of which only the SHA-1 is known.
func (s *Swarm) askForName(ctx context.Context, name [20]byte, clients []netip.AddrPort) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, resolvePatience)
	defer cancel()
	raw, err := s.askForMetadata(ctx, [][20]byte{name}, clients, func(raw []byte) bool { return sha1.Sum(raw) == name })
	if err != nil {
		return nil, fmt.Errorf("this magnet link has the hash of BitTorrent version 1 alone (urn:btih), and no torrent client of this computer gives what it is of; "+
			"take one with urn:btmh, or the .torrent file: %w", kith.NotFound)
	}
	return raw, nil
}

// askForMetadata asks clients, all at a time, those that announced the content among them. The first
// right answer counts.
func (s *Swarm) askForMetadata(ctx context.Context, names [][20]byte, clients []netip.AddrPort, right func([]byte) bool) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := s.torrentServer()
	if server == nil {
		return nil, fmt.Errorf("torrent clients are not served: %w", kith.NotFound)
	}
	clients = s.clientsOf(server, names, clients)
	answers := make(chan []byte, len(clients))
	var asking sync.WaitGroup
	for _, client := range clients {
		asking.Go(func() {
			raw, err := server.Metadata(ctx, client, names, right)
			if err != nil {
				s.log.Debug("no description from torrent client", "remote", client, "err", err)
				return
			}
			answers <- raw
			cancel()
		})
	}
	asking.Wait()
	select {
	case raw := <-answers:
		return raw, nil
	default:
		return nil, fmt.Errorf("no torrent client gives the description: %w", kith.NotFound)
	}
}

// clientsOf adds those that announced themselves to clients, this host left out.
func (s *Swarm) clientsOf(server *torrent.Server, names [][20]byte, clients []netip.AddrPort) []netip.AddrPort {
	list := slices.Clone(clients)
	for _, client := range server.Announced(names) {
		if !slices.Contains(list, client) && len(list) < 2*kith.MaxClients {
			list = append(list, client)
		}
	}
	s.mu.Lock()
	own, _ := netip.ParseAddrPort(s.clientAddress.String())
	s.mu.Unlock()
	return slices.DeleteFunc(list, func(client netip.AddrPort) bool { return client == own })
}

// torrentServer returns what speaks with torrent clients; nil where nothing does.
func (s *Swarm) torrentServer() *torrent.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clientServer
}

// askClients asks torrent clients for the description of a holding. It fails with errUnusable as
// askAll does.
func (s *Swarm) askClients(ctx context.Context, h *holding) (*bittorrent.Description, error) {
	s.mu.Lock()
	leads := h.leads
	s.mu.Unlock()
	names := [][20]byte{[20]byte(h.Content[:])}
	if leads.InfoHash != [20]byte{} {
		names = [][20]byte{leads.InfoHash, names[0]}
	}
	raw, err := s.askForMetadata(ctx, names, leads.Clients, func(raw []byte) bool { return sha256.Sum256(raw) == h.Content })
	if err != nil {
		return nil, err
	}
	return usableDescription(raw)
}

// visitClients dials the clients that may have a holding, until ctx ends.
func (s *Swarm) visitClients(ctx context.Context, h *holding, d *bittorrent.Description) {
	visiting := make(map[netip.AddrPort]bool)
	left := make(chan netip.AddrPort)
	var visits sync.WaitGroup
	defer visits.Wait()
	tick := time.NewTicker(visitEvery)
	defer tick.Stop()
	for {
		s.mu.Lock()
		clients := h.leads.Clients
		s.mu.Unlock()
		server := s.torrentServer()
		if server != nil {
			clients = s.clientsOf(server, d.InfoHashes(), clients)
		}
		for _, client := range clients {
			x, err := s.exchangeOf(h.Content)
			if server == nil || err != nil || visiting[client] || x.isComplete() {
				continue
			}
			visiting[client] = true
			visits.Go(func() {
				if err := server.Visit(ctx, client, clientContent{x}); err != nil {
					s.log.Debug("torrent client not visited", "remote", client, "err", err)
				}
				select {
				case left <- client:
				case <-ctx.Done():
				}
			})
		}
		select {
		case client := <-left:
			delete(visiting, client)
			select { // not at once again
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// parseTorrent reads what a taking knows of its content: nil where that is nothing.
func parseTorrent(t kith.Taking) (*bittorrent.Torrent, error) {
	if t.Torrent == nil {
		return nil, nil
	}
	text, err := bittorrent.ParseTorrent(t.Torrent)
	if err != nil {
		d, plain := bittorrent.ParseDescription(t.Torrent)
		if plain != nil {
			_, err = readable(nil, err)
			return nil, err
		}
		text = &bittorrent.Torrent{Description: d}
	}
	if text.Description.ID() != t.Content {
		return nil, fmt.Errorf("the torrent is of other content than %s: %w", t.Content, kith.Invalid)
	}
	return text, nil
}

// noteTorrent keeps a description that a person brought, and the hashes of pieces with it.
func (s *Swarm) noteTorrent(ctx context.Context, h *holding, t *bittorrent.Torrent) error {
	if t == nil || h.complete {
		return nil
	}
	d := t.Description
	if d.Blocks() > maxBlocks {
		return fmt.Errorf("%d blocks, at most %d: %w", d.Blocks(), maxBlocks, kith.Invalid)
	}
	if err := s.noteDescription(ctx, h, d); err != nil {
		return err
	}
	if err := s.retain(ctx, h.Content, d); err != nil {
		return err
	}
	layer := bits.Len64(uint64(d.PieceLength/content.BlockSize)) - 1
	for _, f := range d.Files {
		if hashes := t.Layers[f.Root]; hashes != nil {
			if err := s.setLayer(ctx, f, layer, hashes); err != nil {
				return fmt.Errorf("hashes of pieces: %w", err)
			}
		}
	}
	return nil
}

func (s *Swarm) setLayer(ctx context.Context, f bittorrent.File, layer int, hashes []byte) error {
	file, err := s.store.File(ctx, f.Root, f.Size)
	if err != nil {
		return err
	}
	defer file.Close()
	if file.Have() == file.Blocks() {
		return nil
	}
	return file.SetLayer(layer, hashList(hashes))
}
