package torrent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
	"kith.alt/kith/store/sqlite"
)

// A share is a Content with the simplest of engines: it asks whoever has a block.
type share struct {
	d     *bittorrent.Description
	files []*content.File

	mu       sync.Mutex
	parts    map[*part]struct{}
	asked    map[int]*part
	hashed   map[int]bool // groups of hashes that were asked for
	complete chan struct{}
}

// A part is a client's part in it.
type part struct {
	share   *share
	peer    *Peer
	has     []bool
	choked  bool
	refused map[int]bool
}

func (s *share) Description() *bittorrent.Description { return s.d }

func (s *share) here(block int) bool {
	file, at, _ := s.d.Locate(block)
	return s.files[file].Has(at)
}

func (s *share) Bitmap() content.Bitmap {
	bitmap := content.NewBitmap(s.d.Blocks())
	for block := range s.d.Blocks() {
		if s.here(block) {
			bitmap.Set(block)
		}
	}
	return bitmap
}

func (s *share) ReadBlock(block int, p []byte) (int, error) {
	file, at, _ := s.d.Locate(block)
	return s.files[file].ReadBlock(at, p)
}

func (s *share) fileOf(root [32]byte) *content.File {
	for _, f := range s.files {
		if f.Root() == root && f.Size() > 0 {
			return f
		}
	}
	return nil
}

func (s *share) HashAnswer(m bittorrent.Message) bittorrent.Message {
	if f := s.fileOf(m.Root); f != nil {
		hashes, err := f.Hashes(int(m.BaseLayer), int(m.Index), int(m.HashLength), int(m.ProofLayers))
		if err == nil {
			m.Type, m.Hashes = bittorrent.Hashes, nil
			for _, h := range hashes {
				m.Hashes = append(m.Hashes, h[:]...)
			}
			return m
		}
	}
	m.Type = bittorrent.HashReject
	return m
}

func (s *share) Join(p *Peer) (Part, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := &part{share: s, peer: p, has: make([]bool, s.d.Blocks()), choked: true, refused: make(map[int]bool)}
	s.parts[part] = struct{}{}
	return part, nil
}

// ask has every part asked for what it has. The caller holds s.mu.
func (s *share) ask() {
	for p := range s.parts {
		for block := range p.has {
			if s.asked[block] == nil && p.has[block] && !p.choked && !p.refused[block] && !s.here(block) {
				s.asked[block] = p
				p.peer.Request(block)
			}
		}
	}
}

func (p *part) Sent(int)            {}
func (p *part) Rest() time.Duration { return 0 }
func (p *part) Received(int)        {}

func (p *part) Has(first, count int) {
	p.share.mu.Lock()
	defer p.share.mu.Unlock()
	for block := first; block < first+count; block++ {
		if p.has[block] {
			panic("told twice")
		}
		p.has[block] = true
	}
	p.share.ask()
}

func (p *part) release() {
	for block, asked := range p.share.asked {
		if asked == p {
			delete(p.share.asked, block)
		}
	}
}

func (p *part) Chokes(choked bool) {
	p.share.mu.Lock()
	defer p.share.mu.Unlock()
	p.choked = choked
	if choked {
		p.release()
	}
	p.share.ask()
}

func (p *part) Refused(block int) {
	p.share.mu.Lock()
	defer p.share.mu.Unlock()
	p.refused[block] = true
	if p.share.asked[block] == p {
		delete(p.share.asked, block)
	}
	p.share.ask()
}

func (p *part) Arrived(block int, data []byte) error {
	s := p.share
	file, at, _ := s.d.Locate(block)
	if err := s.files[file].Claim(at, data); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asked, block)
	s.tell()
	return nil
}

// tell tells clients what is here. The caller holds s.mu.
func (s *share) tell() {
	for block := range s.d.Blocks() {
		if s.here(block) {
			for other := range s.parts {
				other.peer.Have(block)
			}
		}
	}
	for _, f := range s.files {
		if f.Have() < f.Blocks() {
			return
		}
	}
	select {
	case <-s.complete:
	default:
		close(s.complete)
	}
}

func (p *part) HashRequest(block int) (m bittorrent.Message, ok bool) {
	s := p.share
	file, at, _ := s.d.Locate(block)
	f := s.files[file]
	base, index, length, proofs := f.HashGroup(at, 32)
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := s.d.First(file) + index; length == 0 || f.HasHashes(at) || s.hashed[key] {
		return m, false
	} else {
		s.hashed[key] = true
	}
	return bittorrent.Message{Root: f.Root(), BaseLayer: uint32(base), Index: uint32(index), HashLength: uint32(length), ProofLayers: uint32(proofs)}, true
}

func (p *part) Hashes(m bittorrent.Message) error {
	f := p.share.fileOf(m.Root)
	if f == nil || m.Type == bittorrent.HashReject {
		return nil
	}
	var hashes []content.Root
	for h := range slices.Chunk(m.Hashes, 32) {
		hashes = append(hashes, content.Root(h))
	}
	if err := f.SetHashes(int(m.BaseLayer), int(m.Index), int(m.HashLength), int(m.ProofLayers), hashes); err != nil {
		return err
	}
	p.share.mu.Lock()
	defer p.share.mu.Unlock()
	p.share.tell()
	return nil
}

func (p *part) Leave() {
	p.share.mu.Lock()
	defer p.share.mu.Unlock()
	delete(p.share.parts, p)
	p.release()
	p.share.ask()
}

// A folder is what is shared in a test: files, by path with slashes.
type folder map[string][]byte

// oddSizes is a folder with files of every kind of size.
func oddSizes() folder {
	f := folder{"empty": nil, "one": []byte("1")}
	for i, size := range []int{content.BlockSize - 1, content.BlockSize, content.BlockSize + 1, 65536, 3 * 65536, 100000, 1<<20 + 12345} {
		f[fmt.Sprintf("sub folder/%d/%c é.bin", i%2, 'a'+i)] = madeUp(i, size)
	}
	return f
}

// madeUp are bytes that no two seeds share.
func madeUp(seed, size int) []byte {
	var b []byte
	for i := 0; len(b) < size; i++ {
		h := sha256.Sum256(fmt.Appendf(nil, "%d %d", seed, i))
		b = append(b, h[:]...)
	}
	return b[:size]
}

func (f folder) write(t testing.TB, dir string) {
	t.Helper()
	for path, data := range f {
		path = filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (f folder) check(t testing.TB, dir string) {
	t.Helper()
	for path, want := range f {
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
		if err != nil {
			t.Error(err)
		} else if sha256.Sum256(got) != sha256.Sum256(want) {
			t.Errorf("%s: %d bytes, %d expected, and not the same", path, len(got), len(want))
		}
	}
}

const pieceLength = 65536

// describe returns the description of a folder, or of its only file where single is
// its path; and a .torrent file.
func (f folder) describe(t testing.TB, name string, single bool) (*bittorrent.Description, []content.Summary, func(announce string) []byte) {
	t.Helper()
	var files []bittorrent.File
	var sums []content.Summary
	var pieces []byte
	layers := make(map[[32]byte][]byte)
	var paths []string
	for path := range f {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, func(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) })
	for _, path := range paths {
		sum, err := content.Sum(t.Context(), bytes.NewReader(f[path]), int64(len(f[path])), pieceLength, !single, nil)
		if err != nil {
			t.Fatal(err)
		}
		file := bittorrent.File{Size: sum.Size, Root: sum.Root}
		if !single {
			file.Path = strings.Split(path, "/")
		}
		files, sums = append(files, file), append(sums, sum)
		for _, piece := range sum.Pieces {
			pieces = append(pieces, piece[:]...)
		}
		if sum.Size > pieceLength {
			for leaves := range slices.Chunk(sum.Leaves, pieceLength/content.BlockSize) {
				four := append(slices.Clone(leaves), make([]content.Root, 4-len(leaves))...)
				left, right := sha256.Sum256(append(four[0][:], four[1][:]...)), sha256.Sum256(append(four[2][:], four[3][:]...))
				h := sha256.Sum256(append(left[:], right[:]...))
				layers[sum.Root] = append(layers[sum.Root], h[:]...)
			}
		}
	}
	d, err := bittorrent.Describe(name, files, single, pieceLength, pieces)
	if err != nil {
		t.Fatal(err)
	}
	return d, sums, func(announce string) []byte {
		text, err := bittorrent.EncodeTorrent(d, layers, announce)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}

// newShare makes a content of which nothing is here, in a store of its own.
func newShare(t testing.TB, d *bittorrent.Description) (*share, *content.Store) {
	t.Helper()
	dir := t.TempDir()
	tables, err := sqlite.Open(t.Context(), filepath.Join(dir, "kith.db"))
	if err != nil {
		t.Fatal(err)
	}
	store := content.NewStore(content.Config{Dir: filepath.Join(dir, "content"), Store: tables, Log: slog.New(slog.DiscardHandler)})
	if err := store.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &share{d: d, parts: make(map[*part]struct{}), asked: make(map[int]*part), hashed: make(map[int]bool), complete: make(chan struct{})}
	for _, f := range d.Files {
		file, err := store.File(t.Context(), f.Root, f.Size)
		if err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, file)
	}
	t.Cleanup(func() {
		for _, f := range s.files {
			f.Close()
		}
		if err := errors.Join(store.Close(), tables.Close()); err != nil {
			t.Error(err)
		}
	})
	return s, store
}

// fill has all of a folder be here, or, where only is not nil, hashes and those
// blocks.
func (s *share) fill(t testing.TB, sums []content.Summary, f folder, only func(block int) bool) {
	t.Helper()
	for i, file := range s.files {
		data := f.at(s.d, i)
		for at := range file.Blocks() {
			if !file.HasHashes(at) { // all of them at once: the files are small
				leaves := make([]content.Root, 1<<bits.Len(uint(file.Blocks()-1)))
				copy(leaves, sums[i].Leaves)
				if err := file.SetHashes(0, 0, len(leaves), 0, leaves); err != nil {
					t.Fatal(err)
				}
			}
			if only == nil || only(s.d.First(i)+at) {
				if err := file.WriteBlock(at, data[at*content.BlockSize:min((at+1)*content.BlockSize, len(data))]); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// at returns a file of a description.
func (f folder) at(d *bittorrent.Description, i int) []byte {
	if d.Single {
		return f[d.Name]
	}
	return f[strings.Join(d.Files[i].Path, "/")]
}

// check reads all of a content.
func (s *share) check(t testing.TB, f folder) {
	t.Helper()
	block := make([]byte, content.BlockSize)
	for i, file := range s.files {
		var data []byte
		for at := range file.Blocks() {
			n, err := file.ReadBlock(at, block)
			if err != nil {
				t.Fatal(err)
			}
			data = append(data, block[:n]...)
		}
		if sha256.Sum256(data) != sha256.Sum256(f.at(s.d, i)) {
			t.Errorf("%s is not what was given", s.d.Files[i].Path)
		}
	}
}

// serve serves contents on loopback, until the test ends.
func serve(t testing.TB, contents ...Content) (*Server, net.Addr) {
	t.Helper()
	return serveLogged(t, t.Output(), contents...)
}

func serveLogged(t testing.TB, log io.Writer, contents ...Content) (*Server, net.Addr) {
	t.Helper()
	s := newServer(log, func(_ netip.Addr, infoHash [20]byte) (Content, error) {
		for _, c := range contents {
			if slices.Contains(c.Description().InfoHashes(), infoHash) {
				return c, nil
			}
		}
		return nil, fmt.Errorf("not here: %w", kith.NotFound)
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return s, serveOn(t, s, ln)
}

func newServer(log io.Writer, content func(netip.Addr, [20]byte) (Content, error)) *Server {
	return New(Config{
		Content: content, Client: "kith test", Metrics: new(kith.Metrics),
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
}

// serveOn has a server serve a listener, until the test ends.
func serveOn(t testing.TB, s *Server, ln net.Listener) net.Addr {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the server does not end")
		}
	})
	return ln.Addr()
}
