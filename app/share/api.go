package share

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"kith.alt/kith"
)

// An Item is an entry of the library, as the API tells of it.
type Item struct {
	kith.Entry
	From string `json:"from"` // the short name of Host
	Link string `json:"link"`
	Have bool   `json:"have"` // this host has all of it
}

// A Share is a holding, as the API tells of it.
type Share struct {
	kith.Holding
	Title string   `json:"title"` // in the library; else its name
	From  string   `json:"from"`  // the short name of the host whose entry it is; "" for a bare link
	Own   bool     `json:"own"`   // this host shares it in the library
	Link  string   `json:"link"`
	Peers []Client `json:"peers,omitempty"`
}

// A Client is one of a Share's peers.
type Client struct {
	kith.Taker
	Name string `json:"name"`
}

type publishRequest struct {
	Path   string `json:"path"`
	Title  string `json:"title,omitempty"`
	Follow bool   `json:"follow,omitempty"`
	Work   string `json:"work,omitempty"` // by which GET /work/WORK tells how far it is
}

type takeRequest struct {
	What    string `json:"what"` // link, magnet, TITLE, HOST/TITLE or the absolute path of a .torrent file
	To      string `json:"to"`   // absolute: the file or folder to make, or an existing directory
	Replace bool   `json:"replace,omitempty"`
	Follow  bool   `json:"follow,omitempty"`
}

type namedRequest struct {
	What string `json:"what"`
	Work string `json:"work,omitempty"`
}

// Stopped is what DELETE /shares answers.
type Stopped struct {
	Title string `json:"title"`
	Path  string `json:"path"` // where the person's file or folder stays; "" if only the node had it
	Own   bool   `json:"own"`
}

// Verified is what POST /verify answers.
type Verified struct {
	Share
	Whole bool `json:"whole"` // all of it is right
}

// Torrent is content for a standard client.
type Torrent struct {
	Name   string `json:"name"` // for the file
	File   []byte `json:"file"`
	Magnet string `json:"magnet"`
	Public bool   `json:"public"` // clients on other computers may take it, where they are let in
}

// api is what the command line speaks to: JSON, and errors with their kind.
func (s *share) api() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /library", kith.Answer(func(context.Context, struct{}) ([]Item, error) { return s.items(), nil }))
	mux.Handle("GET /shares", kith.Answer(func(context.Context, struct{}) ([]Share, error) { return s.shares(), nil }))
	mux.HandleFunc("GET /shares/{content}", s.watchShare)
	mux.Handle("PUT /shares", kith.Answer(s.publish))
	mux.Handle("DELETE /shares", kith.Answer(func(ctx context.Context, in namedRequest) (Stopped, error) { return s.stop(ctx, in.What) }))
	mux.Handle("POST /take", kith.Answer(s.take))
	for verb, state := range map[string]func(context.Context, kith.ContentID) error{
		"pause":    func(ctx context.Context, id kith.ContentID) error { return s.swarm().Pause(ctx, id, true) },
		"resume":   func(ctx context.Context, id kith.ContentID) error { return s.swarm().Pause(ctx, id, false) },
		"pin":      func(ctx context.Context, id kith.ContentID) error { return s.swarm().Pin(ctx, id, true) },
		"unpin":    func(ctx context.Context, id kith.ContentID) error { return s.swarm().Pin(ctx, id, false) },
		"follow":   func(ctx context.Context, id kith.ContentID) error { return s.swarm().Follow(ctx, id, true) },
		"unfollow": func(ctx context.Context, id kith.ContentID) error { return s.swarm().Follow(ctx, id, false) },

		"make-public":  func(ctx context.Context, id kith.ContentID) error { return s.makePublic(ctx, id, true) },
		"make-private": func(ctx context.Context, id kith.ContentID) error { return s.makePublic(ctx, id, false) },
	} {
		mux.Handle("POST /"+verb, kith.Answer(func(ctx context.Context, in namedRequest) (Share, error) {
			return s.change(ctx, in.What, state)
		}))
	}
	mux.Handle("POST /verify", kith.Answer(s.verify))
	mux.Handle("POST /torrent", kith.Answer(func(ctx context.Context, in namedRequest) (Torrent, error) { return s.torrent(ctx, in.What) }))
	mux.Handle("GET /limits", kith.Answer(func(context.Context, struct{}) (kith.SwarmLimits, error) { return s.swarm().Limits(), nil }))
	mux.Handle("PUT /limits", kith.Answer(func(ctx context.Context, in kith.SwarmLimits) (kith.SwarmLimits, error) {
		return in, s.swarm().SetLimits(ctx, in)
	}))
	mux.Handle("GET /door", kith.Answer(func(context.Context, struct{}) (Door, error) { return s.door(), nil }))
	mux.Handle("PUT /door", kith.Answer(s.setDoor))
	mux.HandleFunc("GET /work/{word}", func(w http.ResponseWriter, r *http.Request) {
		kith.Answer(func(context.Context, struct{}) (Progress, error) { return s.work.progress(r.PathValue("word")), nil }).ServeHTTP(w, r)
	})
	return mux
}

// items returns what the library has for people.
func (s *share) items() []Item {
	have := make(map[kith.ContentID]bool)
	for _, h := range s.swarm().Holdings() {
		have[h.Content] = h.State == kith.HoldingComplete
	}
	items := []Item{}
	for _, e := range s.files() {
		items = append(items, Item{Entry: e, From: s.hostName(e.Host), Link: linkOf(e.Content, e.Name, e.Host), Have: have[e.Content]})
	}
	slices.SortStableFunc(items, func(a, b Item) int { return strings.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)) })
	return items
}

func linkOf(content kith.ContentID, name string, from ...kith.ID) string {
	return kith.Link{Content: content, Name: name, From: from}.String()
}

// shares returns what this host shares and takes.
func (s *share) shares() []Share {
	shares := []Share{}
	for _, h := range s.swarm().Holdings() {
		shares = append(shares, s.described(h))
	}
	return shares
}

// titleOf is what people call a holding.
func (s *share) titleOf(h kith.Holding) string {
	switch host := s.hostName(h.Entry.Host); {
	case h.Entry.Kind == kith.EntrySite && h.Entry.Title == "/":
		return "The site of " + host
	case h.Entry.Kind == kith.EntrySite:
		return h.Entry.Title + " on the site of " + host
	}
	return cmp.Or(h.Entry.Title, h.Name, h.Content.String()[:8])
}

// described says of a holding what people want to know.
func (s *share) described(h kith.Holding) Share {
	d := Share{Holding: h, Title: s.titleOf(h), From: s.hostName(h.Entry.Host), Link: linkOf(h.Content, h.Name, s.host.ID())}
	d.Own = slices.ContainsFunc(s.swarm().Library(), func(e kith.Entry) bool {
		return e.Host == s.host.ID() && e.Content == h.Content && e.Kind == kith.EntryFiles
	})
	for _, p := range h.Peers {
		name := s.hostName(p.Host)
		if p.Host.IsZero() {
			name = cmp.Or(p.Client, "a torrent client")
		}
		d.Peers = append(d.Peers, Client{Taker: p, Name: name})
	}
	d.Holding.Peers = nil
	return d
}

// publish lists a file or folder in the library.
func (s *share) publish(ctx context.Context, in publishRequest) (Item, error) {
	if err := checkTitle(in.Title); err != nil {
		return Item{}, err
	}
	if err := s.checkShared(in.Path); err != nil {
		return Item{}, err
	}
	path := filepath.Clean(in.Path)
	title := cmp.Or(in.Title, filepath.Base(path))
	if err := checkTitle(title); err != nil {
		return Item{}, fmt.Errorf("%w (--title chooses another)", err)
	}
	progress, end := s.work.begin(in.Work)
	defer end()
	known := slices.ContainsFunc(s.swarm().Library(), func(e kith.Entry) bool { return e.Host == s.host.ID() && e.Title == title })
	entry, err := s.swarm().Publish(ctx, kith.Publication{Path: path, Title: title, Kind: kith.EntryFiles, Follow: in.Follow, Progress: progress})
	if err != nil {
		return Item{}, err
	}
	s.stopped.remove(title)
	if !known {
		s.host.Event(fmt.Sprintf("You share %s.", title))
	}
	return Item{Entry: entry, From: s.host.Name().Host, Link: linkOf(entry.Content, entry.Name, entry.Host), Have: true}, nil
}

// stop takes a share off the library, or ends what is taken.
func (s *share) stop(ctx context.Context, what string) (Stopped, error) {
	if e, ok := s.own(what); ok {
		stopped := Stopped{Title: e.Title, Own: true}
		if h, err := s.swarm().Holding(e.Content); err == nil {
			stopped.Path = h.Path
		}
		if err := s.swarm().Withdraw(ctx, e.Title); err != nil {
			return Stopped{}, err
		}
		s.host.Event(fmt.Sprintf("You no longer share %s.", e.Title))
		return stopped, nil
	}
	h, err := s.here(what)
	if err != nil {
		return Stopped{}, err
	}
	stopped := Stopped{Title: s.titleOf(h), Path: h.Path}
	if h.State != kith.HoldingComplete {
		stopped.Path = "" // nothing stands there yet
	}
	return stopped, s.swarm().Drop(ctx, h.Content)
}

// change does something with a holding, and says how it is then.
func (s *share) change(ctx context.Context, what string, change func(context.Context, kith.ContentID) error) (Share, error) {
	h, err := s.here(what)
	if err != nil {
		return Share{}, err
	}
	if err := change(ctx, h.Content); err != nil {
		return Share{}, err
	}
	h, err = s.swarm().Holding(h.Content)
	return s.described(h), err
}

// verify reads a holding again.
func (s *share) verify(ctx context.Context, in namedRequest) (Verified, error) {
	h, err := s.here(in.What)
	if err != nil {
		return Verified{}, err
	}
	progress, end := s.work.begin(in.Work)
	defer end()
	if err := s.swarm().Verify(ctx, h.Content, progress); err != nil {
		return Verified{}, err
	}
	after, err := s.swarm().Holding(h.Content)
	return Verified{s.described(after), after.Have == after.Size && (after.State == kith.HoldingComplete || after.State == h.State)}, err
}

func (s *share) torrent(ctx context.Context, what string) (Torrent, error) {
	h, err := s.here(what)
	if err != nil {
		return Torrent{}, err
	}
	file, magnet, err := s.swarm().Torrent(ctx, h.Content)
	return Torrent{cmp.Or(fileName(h.Name), "kith") + ".torrent", file, magnet, h.Public}, err
}

// take begins to fetch something, or goes on with it. What it answers has no
// path where the name is not known yet: the caller asks again when the description
// is here.
func (s *share) take(ctx context.Context, in takeRequest) (Share, error) {
	found, err := s.wanted(ctx, in.What)
	if err != nil {
		return Share{}, err
	}
	if in.Follow && found.Entry.Host.IsZero() {
		return Share{}, fmt.Errorf("a link names one version for ever, and no title of the library leads to this one; follow a title: %w", kith.Invalid)
	}
	held, err := s.swarm().Holding(found.Content)
	switch {
	case err == nil && held.Files > 0:
		found.Name = held.Name
	case err != nil && !errors.Is(err, kith.NotFound):
		return Share{}, err
	}
	taking := kith.Taking{Content: found.Content, Name: found.Name, From: found.From, Replace: in.Replace, Entry: found.Entry, Follow: in.Follow}
	taking.Torrent, taking.InfoHash, taking.Clients = found.Torrent.Torrent, found.Torrent.InfoHash, found.Torrent.Clients
	path, known, err := placeFor(in.To, found.Name)
	if err != nil {
		return Share{}, err
	}
	if typed := filepath.Clean(in.To); typed == held.Path { // the same command again, which made this folder
		path, known = typed, true
	}
	if known {
		taking.Path = path
		_, err := os.Lstat(path)
		stands, complete := err == nil, held.State == kith.HoldingComplete
		if stands && complete && s.isAt(ctx, held, path) {
			held.Path = path
			return s.described(held), nil
		}
		if stands && !in.Replace {
			return Share{}, fmt.Errorf("%s exists already, and is something else; choose another place with -o, or --replace it: %w", path, kith.Exists)
		}
		if complete && path == held.Path { // somebody changed or deleted it
			if err := s.swarm().Verify(ctx, held.Content, nil); err != nil {
				return Share{}, err
			}
		}
	}
	h, err := s.swarm().Take(ctx, taking)
	if err != nil {
		return Share{}, err
	}
	switch {
	case !known:
		h.Path = ""
	case path == held.Path && h.State == kith.HoldingComplete && !s.isAt(ctx, h, path):
		return Share{}, fmt.Errorf("what was at %s was changed or deleted since it came; kith share stop %s, then get it again: %w", path, linkOf(h.Content, ""), kith.Exists)
	}
	return s.described(h), nil
}

// longest is how long a request waits for something to change.
const longest = 30 * time.Second

// watchShare tells of a holding: at once, or with ?state=S&wait=MS when its state
// is no longer S, after so many milliseconds at the latest.
func (s *share) watchShare(w http.ResponseWriter, r *http.Request) {
	kith.Answer(func(ctx context.Context, _ struct{}) (Share, error) {
		id, err := kith.ParseContentID(r.PathValue("content"))
		if err != nil {
			return Share{}, err
		}
		wait, _ := strconv.Atoi(r.URL.Query().Get("wait"))
		timer := time.NewTimer(min(time.Duration(wait)*time.Millisecond, longest))
		defer timer.Stop()
		for {
			changed := s.swarm().Changed()
			h, err := s.swarm().Holding(id)
			if err != nil || h.State != r.URL.Query().Get("state") {
				return s.described(h), err
			}
			select {
			case <-changed:
			case <-timer.C:
				return s.described(h), nil
			case <-ctx.Done():
				return Share{}, ctx.Err()
			}
		}
	}).ServeHTTP(w, r)
}
