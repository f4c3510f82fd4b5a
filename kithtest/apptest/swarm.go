package apptest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"kith.alt/kith"
)

// A Swarm is a [kith.Swarm] in memory: what its host publishes, and what tests
// say that others offer, can be taken at once, or when the test says so. It moves
// no bytes and knows no limits; it keeps those that it is told. What it has of a
// content are whole files. It is safe for concurrent use.
type Swarm struct {
	self kith.ID

	mu            sync.Mutex
	changed       chan struct{}
	content       map[kith.ContentID]files
	library       []kith.Entry
	holdings      []*holding // newest first
	limits        kith.SwarmLimits
	contributions []kith.Contribution
	open          string // of the door
	held          bool
}

// files of a content by path; that of a content of one file is "".
type files map[string][]byte

type holding struct {
	kith.Holding
	taking kith.Taking
}

var _ kith.Swarm = (*Swarm)(nil)

// NewSwarm makes the swarm of a host.
func NewSwarm(self kith.ID) *Swarm {
	return &Swarm{self: self, changed: make(chan struct{}), content: make(map[kith.ContentID]files)}
}

// Offer has another host publish under entry's title: Host, Title and Name are
// the caller's. Content is files by path, "" for a content of one file.
func (s *Swarm) Offer(entry kith.Entry, content map[string]string) kith.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(files)
	for path, text := range content {
		all[path] = []byte(text)
	}
	return s.list(entry, all)
}

// Hold has what is taken from now on wait, until Arrive.
func (s *Swarm) Hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = true
}

// Arrive has so many more bytes of a content arrive here, where that is taken and
// not paused. The first call also brings the description.
func (s *Swarm) Arrive(content kith.ContentID, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.find(content); h != nil {
		s.arrive(h, bytes)
	}
}

// Set changes what is told of a holding, such as its peers.
func (s *Swarm) Set(content kith.ContentID, change func(*kith.Holding)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.find(content); h != nil {
		change(&h.Holding)
		s.tell()
	}
}

// Contribute sets what Contributions returns.
func (s *Swarm) Contribute(list ...kith.Contribution) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contributions = list
}

// The methods below are those of kith.Swarm, and what they need; those that are not
// exported are called with the lock held.

func (s *Swarm) Publish(ctx context.Context, p kith.Publication) (kith.Entry, error) {
	all, err := readAll(p.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return kith.Entry{}, fmt.Errorf("there is no file or folder %s: %w", p.Path, kith.NotFound)
	} else if err != nil {
		return kith.Entry{}, err
	}
	if p.Progress != nil {
		p.Progress(all.size(), all.size())
	}
	if err := ctx.Err(); err != nil {
		return kith.Entry{}, err
	}
	entry := kith.Entry{Host: s.self, Title: p.Title, Kind: p.Kind, Name: filepath.Base(p.Path)}
	if entry.Title == "" {
		entry.Title = entry.Name
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	entry = s.list(entry, all)
	h := s.find(entry.Content)
	if h == nil {
		h = &holding{Holding: kith.Holding{Content: entry.Content, Added: time.Now()}}
		s.holdings = slices.Insert(s.holdings, 0, h)
	}
	h.Name, h.Path, h.Size, h.Have, h.Files, h.State, h.Entry = entry.Name, p.Path, entry.Size, entry.Size, entry.Files, kith.HoldingComplete, entry
	h.Follow = p.Follow
	return entry, nil
}

// Resolve knows magnet links with the ID of a content; .torrent files it does not know.
func (s *Swarm) Resolve(ctx context.Context, source []byte) (kith.Taking, error) {
	_, digits, ok := strings.Cut(string(source), "urn:btmh:1220")
	id, err := hex.DecodeString(digits[:min(len(digits), 2*len(kith.ContentID{}))])
	if !ok || err != nil || len(id) != len(kith.ContentID{}) {
		return kith.Taking{}, fmt.Errorf("this is no magnet link with the ID of a content: %w", kith.Invalid)
	}
	t := kith.Taking{Content: kith.ContentID(id)}
	if u, err := url.Parse(string(source)); err == nil {
		t.Name = u.Query().Get("dn")
	}
	return t, nil
}

func readAll(path string) (files, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	all := make(files)
	if !info.IsDir() {
		all[""], err = os.ReadFile(path)
		return all, err
	}
	return all, filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		below, err := filepath.Rel(path, name)
		if err != nil {
			return err
		}
		all[filepath.ToSlash(below)], err = os.ReadFile(name)
		return err
	})
}

func (f files) size() (total int64) {
	for _, text := range f {
		total += int64(len(text))
	}
	return total
}

// list puts content into the library, as a new version of its title.
func (s *Swarm) list(entry kith.Entry, all files) kith.Entry {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n", entry.Name)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(sum, "%s %d\n%s", path, len(all[path]), all[path])
	}
	entry.Content = kith.ContentID(sum.Sum(nil))
	s.content[entry.Content] = all
	if entry.Kind == "" {
		entry.Kind = kith.EntryFiles
	}
	_, single := all[""]
	entry.Size, entry.Files, entry.Folder = all.size(), len(all), !single
	if entry.Published.IsZero() {
		entry.Published = time.Now()
	}
	i := slices.IndexFunc(s.library, func(e kith.Entry) bool { return e.Host == entry.Host && e.Title == entry.Title })
	switch {
	case i < 0:
		entry.Version = 1
		s.library = append(s.library, entry)
	case s.library[i].Content == entry.Content && !s.library[i].Withdrawn:
		return s.library[i]
	default:
		entry.Version = s.library[i].Version + 1
		s.library[i] = entry
	}
	slices.SortFunc(s.library, func(a, b kith.Entry) int {
		if order := strings.Compare(a.Title, b.Title); order != 0 {
			return order
		}
		return bytes.Compare(a.Host[:], b.Host[:])
	})
	s.tell()
	return entry
}

func (s *Swarm) Withdraw(_ context.Context, title string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.library {
		if e.Host == s.self && e.Title == title && !e.Withdrawn {
			s.library[i].Withdrawn = true
			s.drop(e.Content)
			s.tell()
			return nil
		}
	}
	return fmt.Errorf("this host shares nothing called %q: %w", title, kith.NotFound)
}

func (s *Swarm) Library() []kith.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.library), func(e kith.Entry) bool { return e.Withdrawn })
}

func (s *Swarm) Take(_ context.Context, t kith.Taking) (kith.Holding, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.find(t.Content)
	if h == nil {
		h = &holding{Holding: kith.Holding{Content: t.Content, Name: t.Name, State: kith.HoldingAsking, Entry: t.Entry, Added: time.Now()}}
		s.holdings = slices.Insert(s.holdings, 0, h)
	}
	h.taking, h.Follow = t, h.Follow || t.Follow
	if t.Path != "" {
		h.Path = t.Path
	}
	switch {
	case h.State == kith.HoldingComplete:
		return h.Holding, s.export(h)
	case h.State == kith.HoldingPaused && h.Size > 0:
		h.State = kith.HoldingTaking
	case h.State == kith.HoldingPaused:
		h.State = kith.HoldingAsking
	}
	if !s.held {
		s.arrive(h, s.content[t.Content].size())
	}
	s.tell()
	return h.Holding, nil
}

func (s *Swarm) arrive(h *holding, n int64) {
	all, known := s.content[h.Content]
	if !known || h.State == kith.HoldingPaused {
		return
	}
	if h.Size = all.size(); h.Name == "" {
		for _, e := range s.library {
			if e.Content == h.Content {
				h.Name = e.Name
			}
		}
	}
	h.Files, h.State = len(all), kith.HoldingTaking
	h.Have = min(h.Have+n, h.Size)
	h.Received = h.Have
	if h.Have == h.Size {
		h.State = kith.HoldingComplete
		if err := s.export(h); err != nil {
			h.State, h.Reason = kith.HoldingPaused, kith.Sentence(err)
		}
	}
	s.tell()
}

// export makes the person's file or folder.
func (s *Swarm) export(h *holding) error {
	if h.Path == "" {
		return nil
	}
	if _, err := os.Lstat(h.Path); err == nil && !h.taking.Replace {
		return fmt.Errorf("%s exists already: %w", h.Path, kith.Exists)
	}
	for path, text := range s.content[h.Content] {
		name := filepath.Join(h.Path, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *Swarm) Holdings() []kith.Holding {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]kith.Holding, 0, len(s.holdings))
	for _, h := range s.holdings {
		shown := h.Holding
		shown.Peers = nil
		list = append(list, shown)
	}
	return list
}

func (s *Swarm) Holding(content kith.ContentID) (shown kith.Holding, err error) {
	return shown, s.with(content, func(h *holding) {
		shown = h.Holding
		shown.Peers = slices.Clone(h.Peers)
	})
}

func (s *Swarm) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Swarm) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Swarm) find(content kith.ContentID) *holding {
	i := slices.IndexFunc(s.holdings, func(h *holding) bool { return h.Content == content })
	if i < 0 {
		return nil
	}
	return s.holdings[i]
}

func (s *Swarm) drop(content kith.ContentID) {
	s.holdings = slices.DeleteFunc(s.holdings, func(h *holding) bool { return h.Content == content })
}

func (s *Swarm) with(content kith.ContentID, do func(*holding)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.find(content)
	if h == nil {
		return fmt.Errorf("this host has nothing of %s: %w", content, kith.NotFound)
	}
	do(h)
	return nil
}

func (s *Swarm) Pause(_ context.Context, content kith.ContentID, paused bool) error {
	return s.with(content, func(h *holding) {
		switch {
		case paused:
			h.State = kith.HoldingPaused
		case h.Size > 0 && h.Have == h.Size:
			h.State = kith.HoldingComplete
		default:
			h.State = kith.HoldingTaking
		}
		s.tell()
	})
}

func (s *Swarm) Pin(_ context.Context, content kith.ContentID, pinned bool) error {
	return s.with(content, func(h *holding) {
		h.Pinned = pinned
		s.tell()
	})
}

// Follow notes what it is told; newer versions do not come by themselves.
func (s *Swarm) Follow(_ context.Context, content kith.ContentID, on bool) (err error) {
	missing := s.with(content, func(h *holding) {
		if on && h.Entry.Version == 0 {
			err = fmt.Errorf("no title of the library leads to %s: %w", content, kith.Invalid)
			return
		}
		h.Follow = on
		s.tell()
	})
	return errors.Join(missing, err)
}

func (s *Swarm) Drop(_ context.Context, content kith.ContentID) error {
	return s.with(content, func(*holding) {
		s.drop(content)
		s.tell()
	})
}

// Verify finds what is not at its path as it was.
func (s *Swarm) Verify(_ context.Context, content kith.ContentID, progress func(done, total int64)) error {
	return s.with(content, func(h *holding) {
		found, err := readAll(h.Path)
		if h.Path != "" && (err != nil || !maps.EqualFunc(found, s.content[content], bytes.Equal)) {
			h.Have, h.State = 0, kith.HoldingTaking
			s.tell()
		}
		if progress != nil {
			progress(h.Size, h.Size)
		}
	})
}

func (s *Swarm) Files(content kith.ContentID) (list []kith.ContentFile, err error) {
	return list, s.with(content, func(h *holding) {
		for _, path := range slices.Sorted(maps.Keys(s.content[content])) {
			size := int64(len(s.content[content][path]))
			f := kith.ContentFile{Path: path, Size: size}
			if h.State == kith.HoldingComplete {
				f.Have = size
			}
			list = append(list, f)
		}
	})
}

// Open has all of a content, whether it has arrived or not.
func (s *Swarm) Open(_ context.Context, content kith.ContentID, path string) (io.ReadSeekCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, ok := s.content[content][path]
	if !ok {
		return nil, fmt.Errorf("there is no %q in %s: %w", path, content, kith.NotFound)
	}
	return reader{bytes.NewReader(text)}, nil
}

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

// Torrent returns a file that no client reads, and a magnet that has the ID.
func (s *Swarm) Torrent(_ context.Context, content kith.ContentID) (file []byte, magnet string, err error) {
	err = s.with(content, func(h *holding) {
		file = []byte("d8:announce5:never4:name" + h.Name + "e")
		magnet = fmt.Sprintf("magnet:?xt=urn:btmh:1220%x&x.pe=127.0.0.1:6881", content[:])
	})
	return file, magnet, err
}

func (s *Swarm) MakePublic(_ context.Context, content kith.ContentID, public bool) error {
	return s.with(content, func(h *holding) {
		h.Public = public
		s.tell()
	})
}

// Own addresses of the computer of a [Swarm].
var (
	OnLAN      = netip.MustParseAddr("192.168.1.7")
	OnInternet = netip.MustParseAddr("203.0.113.7")
)

// TorrentDoor serves clients at port 6881.
func (s *Swarm) TorrentDoor() kith.TorrentDoor {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := kith.TorrentDoor{Open: s.open}
	for _, a := range []netip.Addr{OnLAN, OnInternet} {
		if s.open == kith.OpenAny || s.open == kith.OpenLAN && a.IsPrivate() || s.open == a.String() {
			d.Addresses = append(d.Addresses, netip.AddrPortFrom(a, 6881))
		}
	}
	return d
}

func (s *Swarm) SetTorrentDoor(_ context.Context, to string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, err := netip.ParseAddr(to); err == nil && a != OnLAN && a != OnInternet {
		return fmt.Errorf("%s is no address of this computer; it has %s, %s: %w", a, OnLAN, OnInternet, kith.NotFound)
	} else if err != nil && !slices.Contains([]string{"", kith.OpenLAN, kith.OpenAny}, to) {
		return fmt.Errorf("%q is no address: %w", to, kith.Invalid)
	}
	s.open = to
	s.tell()
	return nil
}

func (s *Swarm) Limits() kith.SwarmLimits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits
}

func (s *Swarm) SetLimits(_ context.Context, limits kith.SwarmLimits) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = limits
	return nil
}

func (s *Swarm) Contributions() []kith.Contribution {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.contributions)
}
