package share

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"kith.alt/kith"
)

// maxName is the most bytes of a word that names something.
const maxName = 4096

// A subject is what a person named: content, and what is known of it.
type subject struct {
	kith.Link
	Entry   kith.Entry  // of the library; zero if it is not there
	Torrent kith.Taking // what a magnet link or .torrent file says; else zero
}

// torrentSuffix is how names of .torrent files end.
const torrentSuffix = ".torrent"

// wanted finds what a person wants to take: by a .torrent file, given by its absolute path, a magnet, or as
// inLibrary does.
func (s *share) wanted(ctx context.Context, word string) (subject, error) {
	var source []byte
	switch {
	case strings.HasPrefix(word, "magnet:"):
		if len(word) > maxName {
			return subject{}, fmt.Errorf("%.20q... has %d bytes, which no link has: %w", word, len(word), kith.Invalid)
		}
		source = []byte(word)
	case filepath.IsAbs(word) && strings.HasSuffix(strings.ToLower(word), torrentSuffix):
		var err error
		if source, err = readTorrent(word); err != nil {
			return subject{}, err
		}
	default:
		return s.inLibrary(word)
	}
	torrent, err := s.swarm().Resolve(ctx, source)
	if err != nil {
		return subject{}, err
	}
	found := s.linked(kith.Link{Content: torrent.Content, Name: torrent.Name})
	found.Torrent = torrent
	return found, nil
}

// maxTorrent is the most bytes of a .torrent file.
const maxTorrent = 64 << 20

func readTorrent(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s; check its name: %w", path, kith.NotFound)
	} else if err != nil {
		return nil, fmt.Errorf("%s cannot be read; make it readable for you: %w", path, kith.Denied)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxTorrent {
		return nil, fmt.Errorf("%s is no .torrent file: %w", path, kith.Invalid)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxTorrent))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, kith.Denied)
	}
	return text, nil
}

// inLibrary finds what a person wants to take: by a link, a magnet, TITLE or
// HOST/TITLE.
func (s *share) inLibrary(word string) (subject, error) {
	if link, ok, err := parseLink(word); ok || err != nil {
		return s.linked(link), err
	}
	if err := checkWord(word); err != nil {
		return subject{}, err
	}
	found := s.titled(word)
	if len(found) == 0 {
		return subject{}, fmt.Errorf("the library has nothing called %q; kith library lists what it has: %w", word, kith.NotFound)
	}
	for _, e := range found {
		if e.Content != found[0].Content {
			return subject{}, fmt.Errorf("%q may be %s; say which: %w", word, s.choices(found), kith.Invalid)
		}
	}
	from := make([]kith.ID, 0, len(found))
	for _, e := range found[:min(len(found), kith.MaxLinkHosts)] {
		from = append(from, e.Host)
	}
	e := found[0]
	return subject{Link: kith.Link{Content: e.Content, Name: e.Name, From: from}, Entry: e}, nil
}

// here finds what this host has or takes: its own shares before what it took from
// others.
func (s *share) here(word string) (kith.Holding, error) {
	link, ok, err := parseLink(word)
	if err != nil {
		return kith.Holding{}, err
	}
	if ok {
		return s.swarm().Holding(link.Content)
	}
	if err := checkWord(word); err != nil {
		return kith.Holding{}, err
	}
	for _, e := range s.titled(word) {
		if e.Host == s.host.ID() {
			return s.swarm().Holding(e.Content)
		}
	}
	var found []kith.Holding
	for _, h := range s.swarm().Holdings() {
		if h.Name == word || h.Entry.Title == word || s.fullTitle(h.Entry) == word {
			found = append(found, h)
		}
	}
	switch len(found) {
	case 0:
		return kith.Holding{}, fmt.Errorf("this computer neither shares nor takes anything called %q; kith share list shows what it does: %w", word, kith.NotFound)
	case 1:
		return found[0], nil
	}
	var links []string
	for _, h := range found {
		links = append(links, kith.Link{Content: h.Content}.String())
	}
	return kith.Holding{}, fmt.Errorf("%q may be %s; say which: %w", word, alternatives(links), kith.Invalid)
}

// own returns the entry of the library that a person named, if it is this host's.
func (s *share) own(word string) (kith.Entry, bool) {
	link, linked, _ := parseLink(word)
	for _, e := range s.swarm().Library() {
		if e.Host == s.host.ID() && e.Kind == kith.EntryFiles &&
			(linked && e.Content == link.Content || !linked && (e.Title == word || s.fullTitle(e) == word)) {
			return e, true
		}
	}
	return kith.Entry{}, false
}

// titled returns the files of the library with this TITLE, else HOST/TITLE.
func (s *share) titled(word string) []kith.Entry {
	library := s.files()
	exact := slices.DeleteFunc(slices.Clone(library), func(e kith.Entry) bool { return e.Title != word })
	if len(exact) > 0 {
		return exact
	}
	return slices.DeleteFunc(library, func(e kith.Entry) bool { return s.fullTitle(e) != word })
}

// files returns what the library has for people.
func (s *share) files() []kith.Entry {
	return slices.DeleteFunc(s.swarm().Library(), func(e kith.Entry) bool { return e.Kind != kith.EntryFiles })
}

// linked returns what is known of a link.
func (s *share) linked(link kith.Link) subject {
	found := subject{Link: link}
	for _, e := range s.files() {
		if e.Content != link.Content {
			continue
		}
		if found.Entry.Host.IsZero() {
			found.Entry, found.Name = e, e.Name
		}
		if !slices.Contains(found.From, e.Host) && len(found.From) < kith.MaxLinkHosts {
			found.From = append(found.From, e.Host)
		}
	}
	return found
}

// hostName returns the short name of a member, or the beginning of the ID of a host
// that is none any more.
func (s *share) hostName(id kith.ID) string {
	if id.IsZero() {
		return ""
	}
	for _, m := range s.host.Members() {
		if m.ID == id {
			return m.Host
		}
	}
	return id.Short()
}

// fullTitle is HOST/TITLE.
func (s *share) fullTitle(e kith.Entry) string { return s.hostName(e.Host) + "/" + e.Title }

func (s *share) choices(entries []kith.Entry) string {
	var list []string
	for _, e := range entries {
		list = append(list, s.fullTitle(e))
	}
	return alternatives(list)
}

// alternatives lists words as a sentence does, the first few of many.
func alternatives(list []string) string {
	const most = 10
	if len(list) > most {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" or %d others", len(list)-most)
	}
	last := len(list) - 1
	if last < 1 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

// parseLink reads a link or magnet; ok is false for other words.
func parseLink(word string) (link kith.Link, ok bool, err error) {
	switch {
	case len(word) > maxName:
		return link, false, fmt.Errorf("%.20q... has %d bytes, which no link or title has: %w", word, len(word), kith.Invalid)
	case kith.IsLink(word):
		link, err = kith.ParseLink(word)
	case strings.HasPrefix(word, "magnet:"):
		link, err = parseMagnet(word)
	case strings.Contains(word, "://"):
		return link, false, fmt.Errorf("%.60q is an address of the web; kith takes links that begin with kith: or magnet:, and titles: %w", word, kith.Invalid)
	default:
		return link, false, nil
	}
	return link, err == nil, err
}

// parseMagnet reads the content out of a magnet link (BEP 9, BEP 52).
func parseMagnet(text string) (kith.Link, error) {
	u, err := url.Parse(text)
	if err != nil {
		return kith.Link{}, fmt.Errorf("%.40q is no magnet link: %w", text, kith.Invalid)
	}
	const multihash = "urn:btmh:1220" // SHA-256 of 32 bytes
	for _, topic := range u.Query()["xt"] {
		digits, ok := strings.CutPrefix(topic, multihash)
		if !ok {
			continue
		}
		sum, err := hex.DecodeString(digits)
		if err != nil || len(sum) != len(kith.ContentID{}) {
			return kith.Link{}, fmt.Errorf("the hash in this magnet link is damaged; copy it again: %w", kith.Invalid)
		}
		return kith.Link{Content: kith.ContentID(sum), Name: u.Query().Get("dn")}, nil
	}
	return kith.Link{}, fmt.Errorf("this magnet link has no v2 hash (urn:btmh), by which kith names content; name it by its title: %w", kith.Invalid)
}

// checkWord says why a word cannot be a title.
func checkWord(word string) error {
	if word == "" || !utf8.ValidString(word) || strings.ContainsFunc(word, unicode.IsControl) {
		return fmt.Errorf("%q is no title: it is empty or has characters that nobody can read: %w", word, kith.Invalid)
	}
	return nil
}

const maxTitle = 200 // characters

// checkTitle says why nothing can be shared under a title. Nothing that looks like a link
// may be one, nor may HOST/TITLE be ambiguous.
func checkTitle(title string) error {
	switch {
	case title == "":
		return nil // the name of the file or folder
	case !utf8.ValidString(title) || strings.ContainsFunc(title, unicode.IsControl):
		return fmt.Errorf("title %q has characters that nobody can read; use others: %w", title, kith.Invalid)
	case strings.TrimSpace(title) != title:
		return fmt.Errorf("title %q has spaces around it; leave them out: %w", title, kith.Invalid)
	case utf8.RuneCountInString(title) > maxTitle:
		return fmt.Errorf("title %.20q... is longer than %d characters; shorten it: %w", title, maxTitle, kith.Invalid)
	case kith.IsLink(title) || strings.HasPrefix(title, "magnet:") || strings.Contains(title, "://"):
		return fmt.Errorf("title %q looks like a link; choose another: %w", title, kith.Invalid)
	}
	return nil
}
