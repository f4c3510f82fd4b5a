package share

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rsc.io/qr"

	"kith.alt/kith"
	"kith.alt/kith/ui"
)

//go:embed templates
var templateFiles embed.FS

var pages = ui.ParseWith(template.FuncMap{
	"file":    assets.Asset,
	"percent": percent,
	"rate":    rate,
	"span":    func(d time.Duration) string { return ui.Duration(d) },
}, templateFiles, "templates/*.html")

// A shareView is the page of one share.
type shareView struct {
	Share
	Picture picture
	Chart   chart
	Files   []kith.ContentFile
	More    int // files that are not listed
	Magnet  string
	Door    Door
	Peer    string // where a torrent client finds this node; "" if it is not told
	Code    template.HTML
	CSRF    template.HTML
	Host    string
	Here    bool // this host takes or has it; else it is in the library only
	Moves   bool
}

// maxFiles is how many files a page lists.
const maxFiles = 200

func (shareView) live() []string { return []string{"live-lead", "live-share", "live-facts"} }

// sharePage gathers what the page of a share shows.
func (s *share) sharePage(r *http.Request) (shareView, error) {
	id, err := kith.ParseContentID(r.PathValue("content"))
	if err != nil {
		return shareView{}, err
	}
	v := shareView{Host: s.host.Name().Host, CSRF: ui.CSRF(r)}
	h, err := s.swarm().Holding(id)
	if err != nil {
		found := s.linked(kith.Link{Content: id})
		if found.Entry.Host.IsZero() {
			return shareView{}, fmt.Errorf("this computer has nothing of it, and the library does not list it: %w", kith.NotFound)
		}
		e := found.Entry
		h = kith.Holding{Content: id, Name: e.Name, Size: e.Size, Files: e.Files, Entry: e}
	} else {
		v.Here = true
	}
	v.Share = s.described(h)
	v.Door = s.door()
	v.Picture = draw(v.Share, v.Host)
	v.Chart = newChart(s.rates.of(id))
	v.Moves = v.Down >= 1 || v.Up >= 1 || v.Chart.Top != ""
	return v, nil
}

// Lead says how it is, in a sentence.
func (v shareView) Lead() string {
	size := ui.Size(v.Size)
	if v.Holding.Files > 1 {
		size += " in " + ui.Plural(v.Holding.Files, "file", "files")
	}
	switch {
	case !v.Here:
		return fmt.Sprintf("%s, shared by %s.", size, v.From)
	case v.Reason != "" && v.State != kith.HoldingComplete:
		return v.Reason
	case v.State == kith.HoldingAsking:
		return "Asking the others for it."
	case v.State == kith.HoldingTaking && v.Down >= 1 && v.Left > 0:
		return fmt.Sprintf("%s of %s are here. The rest takes about %s.", ui.Size(v.Have), size, ui.Duration(v.Left))
	case v.State == kith.HoldingTaking && v.Down < 1:
		return fmt.Sprintf("%s of %s are here. It goes on when somebody who has more is awake.", ui.Size(v.Have), size)
	case v.State == kith.HoldingTaking:
		return fmt.Sprintf("%s of %s are here.", ui.Size(v.Have), size)
	case v.State == kith.HoldingPaused:
		return fmt.Sprintf("Paused, with %s of %s here.", ui.Size(v.Have), size)
	case v.State == kith.HoldingChecking:
		return "What is here is read again, and compared."
	case v.Own:
		return fmt.Sprintf("%s, shared by this computer.", size)
	case v.Path == "":
		return fmt.Sprintf("%s, a copy that this computer keeps for others.", size)
	}
	return fmt.Sprintf("%s, complete, and given to whoever asks.", size)
}

// Follows says what becomes of newer versions or, of what is shared here, of changes; "" where
// there is nothing to follow.
func (v shareView) Follows() string {
	switch {
	case v.Path == "" || v.Entry.Version == 0 || v.Entry.Kind == kith.EntrySite:
		return ""
	case v.Own && v.Follow:
		return "shared as they come"
	case v.Own:
		return "shared only when you share it again"
	case v.Follow:
		return "taken as they come"
	}
	return "not taken"
}

func (s *share) screenShare(w http.ResponseWriter, r *http.Request) {
	v, err := s.sharePage(r)
	if err != nil {
		refuse(w, r, err)
		return
	}
	if v.Here {
		v.Files, _ = s.swarm().Files(v.Content) // none before the description is here
		if len(v.Files) > maxFiles {
			v.More = len(v.Files) - maxFiles
			v.Files = v.Files[:maxFiles]
		}
		if _, magnet, err := s.swarm().Torrent(r.Context(), v.Content); err == nil {
			v.Magnet, v.Peer = magnet, peerOf(magnet)
		}
	}
	if code, err := qr.Encode(v.Link, qr.L); err == nil {
		v.Code = ui.Bitmap(code.Size, code.Black, "The link as a QR code")
	}
	ui.Write(w, r, http.StatusOK, ui.Page{
		Title: v.Title, Active: screenPath, Back: ui.Entry{Href: screenPath, Title: "Share"},
		Lead: v.Lead(), Live: screenPath + "events/x/" + v.Content.String(), Body: pages.Body("share.html", v),
	})
}

// peerOf returns the address in a magnet link where the node listens (BEP 9, x.pe).
func peerOf(magnet string) string {
	u, err := url.Parse(magnet)
	if err != nil {
		return ""
	}
	return u.Query().Get("x.pe")
}

// downloadTorrent serves the .torrent file of a share.
func (s *share) downloadTorrent(w http.ResponseWriter, r *http.Request) {
	torrent, err := s.torrent(r.Context(), "kith:"+r.PathValue("content"))
	if err != nil {
		refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-bittorrent")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": torrent.Name}))
	_, _ = w.Write(torrent.File) // fails where the reader has gone
}

// formChange does what a button of a share's page says.
func (s *share) formChange(w http.ResponseWriter, r *http.Request) {
	link := "kith:" + r.PathValue("content")
	back := screenPath + "x/" + r.PathValue("content")
	var text string
	var err error
	swarm := s.swarm()
	change := func(told string, do func(context.Context, kith.ContentID) error) {
		var share Share
		if share, err = s.change(r.Context(), link, do); err == nil {
			text = fmt.Sprintf(told, share.Title)
		}
	}
	switch r.PathValue("verb") {
	case "pause":
		change("%s is paused.", func(ctx context.Context, id kith.ContentID) error { return swarm.Pause(ctx, id, true) })
	case "resume":
		change("%s goes on.", func(ctx context.Context, id kith.ContentID) error { return swarm.Pause(ctx, id, false) })
	case "pin":
		change("%s is kept.", func(ctx context.Context, id kith.ContentID) error { return swarm.Pin(ctx, id, true) })
	case "unpin":
		change("%s may go when its room is needed.", func(ctx context.Context, id kith.ContentID) error { return swarm.Pin(ctx, id, false) })
	case "follow":
		change("%s is followed from now on.", func(ctx context.Context, id kith.ContentID) error { return swarm.Follow(ctx, id, true) })
	case "unfollow":
		change("%s is not followed any more.", func(ctx context.Context, id kith.ContentID) error { return swarm.Follow(ctx, id, false) })
	case "make-public":
		change("%s is public.", func(ctx context.Context, id kith.ContentID) error { return s.makePublic(ctx, id, true) })
	case "make-private":
		change("%s is for the group alone.", func(ctx context.Context, id kith.ContentID) error { return s.makePublic(ctx, id, false) })
	case "verify":
		var verified Verified
		var over bool
		over, err = s.jobs.start("Checking", func(ctx context.Context, word string) (err error) {
			verified, err = s.verify(ctx, namedRequest{What: link, Work: word})
			return err
		})
		switch {
		case !over:
			text = "It is being read and compared."
		case verified.Whole:
			text = "All of it is as it was."
		default:
			text = "Some of it is missing or damaged, and is fetched again from others that have it."
		}
	case "stop":
		var stopped Stopped
		if stopped, err = s.stop(r.Context(), link); err == nil {
			text = stoppedText(stopped)
			back = mineScreen
			if stopped.Own && stopped.Path != "" {
				s.stopped.add(kith.Publication{Path: stopped.Path, Title: stopped.Title})
			}
		}
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		ui.RedirectError(w, r, back, kith.Sentence(err))
		return
	}
	ui.Redirect(w, r, back, text)
}

func stoppedText(s Stopped) string {
	switch {
	case s.Own:
		return s.Title + " is no longer shared. Your files stay as they are."
	case s.Path != "":
		return s.Title + " is no longer given to others. It stays at " + s.Path + "."
	}
	return cmp.Or(s.Title, "It") + " is no longer taken."
}

// NearText says how a peer is reached, "" if there is nothing to say.
func (s strip) NearText() string {
	switch {
	case s.Client && !s.Near:
		return "outside the group"
	case s.Client:
		return "torrent client"
	case s.Near:
		return "same network"
	}
	return ""
}

// Word is what names the share on a command line.
func (v shareView) Word() string {
	if v.Entry.Host.IsZero() || v.Entry.Kind != kith.EntryFiles || v.From == "" {
		return quoted(v.Link)
	}
	return quoted(v.From + "/" + v.Entry.Title)
}

// SavedName is what a torrent file of the share is called.
func (v shareView) SavedName() string {
	return cmp.Or(fileName(v.Name), "kith") + ".torrent"
}

// Quoted is the saved name as a shell reads it.
func (v shareView) Quoted() string { return quoted(v.SavedName()) }

func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
