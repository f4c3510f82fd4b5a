package share

import (
	"cmp"
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/folders"
	"kith.alt/kith/ui"
)

// Where the dashboard shows the screens.
const (
	screenPath   = "/share/"
	mineScreen   = screenPath + "mine"
	limitsScreen = screenPath + "limits"
	newScreen    = screenPath + "new"
)

// sharePage is where the page of a content is.
func sharePage(id kith.ContentID) string { return screenPath + "x/" + id.String() }

var tabs = []ui.Entry{{Href: screenPath, Title: "Library"}, {Href: mineScreen, Title: "This computer"}, {Href: limitsScreen, Title: "Limits"}}

func (s *share) screens() []kith.Screen {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.screenLibrary)
	mux.HandleFunc("GET /mine", s.screenMine)
	mux.HandleFunc("GET /limits", func(w http.ResponseWriter, r *http.Request) { s.screenLimits(w, r, nil) })
	mux.HandleFunc("POST /limits", s.formLimits)
	mux.HandleFunc("POST /folders", s.formFolders)
	mux.HandleFunc("POST /door", s.formDoor)
	mux.HandleFunc("GET /new", func(w http.ResponseWriter, r *http.Request) { s.screenNew(w, r, nil) })
	mux.HandleFunc("POST /new", s.formNew)
	mux.HandleFunc("POST /get", s.formGet)
	mux.HandleFunc("POST /jobs/{word}", func(w http.ResponseWriter, r *http.Request) {
		s.jobs.stop(r.PathValue("word"))
		http.Redirect(w, r, mineScreen, http.StatusSeeOther)
	})
	mux.HandleFunc("GET /x/{content}", s.screenShare)
	mux.HandleFunc("GET /x/{content}/torrent", s.downloadTorrent)
	mux.HandleFunc("POST /x/{content}/{verb}", s.formChange)
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /events/mine", s.events)
	mux.HandleFunc("GET /events/x/{content}", s.events)
	mux.Handle("POST /uploads", kith.Answer(s.beginUpload))
	mux.HandleFunc("PUT /uploads/{id}", s.addToUpload)
	mux.HandleFunc("POST /uploads/{id}", s.finishUpload)
	mux.HandleFunc("DELETE /uploads/{id}", func(w http.ResponseWriter, r *http.Request) { s.uploads.cancel(r.PathValue("id")) })
	mux.HandleFunc("GET /uploads/{id}", func(w http.ResponseWriter, r *http.Request) {
		kith.Answer(func(context.Context, struct{}) (Progress, error) { return s.work.progress(r.PathValue("id")), nil }).ServeHTTP(w, r)
	})
	mux.Handle("GET /-/{name}", assets)
	return []kith.Screen{{Path: "/", Title: "Share", Icon: "publish", Handler: mux}}
}

// A view is what a page that changes by itself shows.
type view interface {
	live() []string // names of the templates that change, and ids of the elements around them
}

// view gathers what the page shows whose changes a request is for.
func (s *share) view(r *http.Request) (view, error) {
	switch {
	case r.PathValue("content") != "":
		return s.sharePage(r)
	case strings.HasSuffix(r.URL.Path, "/mine"):
		return s.minePage(r), nil
	}
	return s.libraryPage(r), nil
}

// events streams the changes of a page.
func (s *share) events(w http.ResponseWriter, r *http.Request) {
	if _, err := s.view(r); err != nil {
		http.Error(w, "no such view", http.StatusNotFound)
		return
	}
	s.streams.Serve(w, r, time.Second, func(context.Context) ([]ui.Fragment, error) {
		shown, err := s.view(r)
		if err != nil {
			return nil, err
		}
		var fragments []ui.Fragment
		for _, id := range shown.live() {
			fragments = append(fragments, ui.Fragment{ID: id, Body: pages.Body(id, shown)})
		}
		return fragments, nil
	})
}

// A libraryPage is what the group shares.
type libraryPage struct {
	Items              []item
	All                int    // in the library
	Found              int    // of these, that the search fits
	Query              string // what is searched for
	Group              string
	Alone              bool   // a group of one
	Downloads, Uploads string // folders
	CSRF               template.HTML
}

// An item is a line of the library.
type item struct {
	Item
	State  string // of this host's holding; "" if it has none
	Done   string // "42%"
	Own    bool
	Update bool // an older version of it is here
}

// maxItems is how many lines a page has; the search finds the others.
const maxItems = 60

func (libraryPage) live() []string { return []string{"live-library"} }

func (s *share) libraryPage(r *http.Request) libraryPage {
	p := libraryPage{Query: strings.TrimSpace(r.URL.Query().Get("q")), Group: s.host.Name().Group, Alone: len(s.host.Members()) < 2, CSRF: ui.CSRF(r)}
	p.Downloads, _ = s.settings.folder(r.Context(), downloadsFolder) // hints
	p.Uploads, _ = s.settings.folder(r.Context(), uploadsFolder)
	holdings := s.swarm().Holdings()
	for _, i := range s.items() {
		p.All++
		if !fits(p.Query, i.Title, i.Name, i.From) {
			continue
		}
		if p.Found++; p.Found > maxItems {
			continue
		}
		line := item{Item: i, Own: i.Host == s.host.ID()}
		for _, h := range holdings {
			if h.Content == i.Content {
				line.State, line.Done = h.State, percent(h.Have, h.Size)
			} else if h.Entry.Host == i.Host && h.Entry.Title == i.Title && h.Entry.Version < i.Version && h.Path != "" {
				line.Update = true
			}
		}
		p.Items = append(p.Items, line)
	}
	return p
}

// fits reports whether every word of a query is in one of the texts.
func fits(query string, texts ...string) bool {
	all := strings.ToLower(strings.Join(texts, "\n"))
	for word := range strings.FieldsSeq(strings.ToLower(query)) {
		if !strings.Contains(all, word) {
			return false
		}
	}
	return true
}

func (s *share) screenLibrary(w http.ResponseWriter, r *http.Request) {
	p := s.libraryPage(r)
	live := screenPath + "events"
	if p.Query != "" {
		live += "?" + url.Values{"q": {p.Query}}.Encode()
	}
	ui.Write(w, r, http.StatusOK, ui.Page{
		Title: "Share", Active: screenPath, Tabs: tabs, Tab: screenPath, Live: live,
		Lead:   "What " + p.Group + " shares. Whoever takes something gives it to the next, so it is fast for all.",
		Action: ui.Entry{Href: newScreen, Title: "Share something", Icon: "plus"},
		Body:   pages.Body("library.html", p),
	})
}

// formGet takes something into the folder for downloads.
func (s *share) formGet(w http.ResponseWriter, r *http.Request) {
	share, err := s.getHere(r.Context(), strings.TrimSpace(r.FormValue("what")))
	if err != nil {
		ui.RedirectError(w, r, screenPath, kith.Sentence(err))
		return
	}
	text := "It goes to " + share.Path + "."
	if share.State == kith.HoldingComplete {
		text = "It is at " + share.Path + "."
	}
	ui.Redirect(w, r, sharePage(share.Content), text)
}

// getHere takes something to a name that is free in the folder for downloads, or
// goes on with it, or brings the version before up to date.
func (s *share) getHere(ctx context.Context, what string) (Share, error) {
	found, err := s.inLibrary(what)
	if err != nil {
		return Share{}, err
	}
	taking := kith.Taking{Content: found.Content, Name: found.Name, From: found.From, Entry: found.Entry}
	held, err := s.swarm().Holding(found.Content)
	if err == nil && held.Path != "" && held.State == kith.HoldingComplete {
		return s.described(held), nil
	}
	if err == nil && held.Files > 0 {
		taking.Name = held.Name
	}
	taking.Path = held.Path
	if taking.Path == "" {
		taking.Path = s.before(found.Entry)
		taking.Replace = taking.Path != ""
	}
	if taking.Path == "" {
		dir, err := s.settings.made(ctx, downloadsFolder)
		if err != nil {
			return Share{}, err
		}
		taking.Path = free(filepath.Join(dir, cmp.Or(fileName(taking.Name), "kith-"+found.Content.String()[:8])))
	}
	h, err := s.swarm().Take(ctx, taking)
	return s.described(h), err
}

// before returns where an older version of an entry is here, "" if nowhere.
func (s *share) before(e kith.Entry) string {
	for _, h := range s.swarm().Holdings() {
		if h.Entry.Version > 0 && h.Entry.Version < e.Version && h.Entry.Host == e.Host && h.Entry.Title == e.Title && h.Content != e.Content {
			return h.Path
		}
	}
	return ""
}

// screenNew shows the form for a file or folder, with what was wrong with it.
func (s *share) screenNew(w http.ResponseWriter, r *http.Request, problem error) {
	status, text := http.StatusOK, ""
	if problem != nil {
		status, text = http.StatusUnprocessableEntity, kith.Sentence(problem)
	}
	folder, _ := s.settings.folder(r.Context(), uploadsFolder)
	ui.Write(w, r, status, ui.Page{
		Title: "Share something", Active: screenPath, Back: ui.Entry{Href: screenPath, Title: "Share"},
		Lead: "Everyone in " + s.host.Name().Group + " finds it in the library, and can take it.",
		Body: pages.Body("new.html", newPage{
			Problem: text, Folder: folder, Follow: r.FormValue("follow") != "", CSRF: ui.CSRF(r),
			Path: ui.Field{Name: "path", Label: "File or folder", Value: r.FormValue("path"), Required: true, MaxLength: maxName,
				Hint: "Its whole path on this computer, such as " + filepath.Join(folders.Home(), "films", "holiday.mp4") + "."},
			Title: ui.Field{Name: "title", Label: "Title in the library", Value: r.FormValue("title"), MaxLength: maxTitle,
				Hint: "Empty: the name of the file or folder."},
		}),
	})
}

type newPage struct {
	Problem     string
	Path, Title ui.Field
	Follow      bool
	Folder      string // where what is dragged in goes
	CSRF        template.HTML
}

func (s *share) formNew(w http.ResponseWriter, r *http.Request) {
	request := publishRequest{Path: folders.Expand(r.FormValue("path")), Title: strings.TrimSpace(r.FormValue("title")), Follow: r.FormValue("follow") != ""}
	title := cmp.Or(request.Title, filepath.Base(request.Path))
	var item Item
	over, err := s.jobs.start(title, func(ctx context.Context, word string) (err error) {
		request.Work = word
		item, err = s.publish(ctx, request)
		return err
	})
	switch {
	case err != nil:
		s.screenNew(w, r, err)
	case over:
		ui.Redirect(w, r, sharePage(item.Content), item.Title+" is in the library.")
	default:
		ui.Redirect(w, r, mineScreen, title+" is being read. It is in the library as soon as that is done.")
	}
}

// A minePage is what this host shares, takes and keeps.
type minePage struct {
	Shared, Taken []Share
	Copies        copies
	Members       []contribution // who gave most
	MoreMembers   int
	Jobs          []reading
	Stopped       []kith.Publication
	Host          string
	CSRF          template.HTML
}

// A reading is a job, and how far it is.
type reading struct {
	job
	Progress
}

// copies are what the node keeps for others alone.
type copies struct {
	List  []Share
	Size  int64
	Limit int64
}

// A contribution is what a member gave to this host, and took.
type contribution struct {
	kith.Contribution
	Name string
}

// maxMembers is how many a page lists.
const maxMembers = 15

func (minePage) live() []string { return []string{"live-mine"} }

func (s *share) minePage(r *http.Request) minePage {
	p := minePage{Host: s.host.Name().Host, Stopped: s.stopped.list(), CSRF: ui.CSRF(r)}
	p.Copies.Limit = cmp.Or(s.swarm().Limits().Copies, kith.DefaultCopies)
	for _, job := range s.jobs.all() {
		p.Jobs = append(p.Jobs, reading{job, s.work.progress(job.Word)})
	}
	for _, share := range s.shares() {
		switch {
		case share.Own:
			p.Shared = append(p.Shared, share)
		case share.Path != "" && share.Entry.Host != s.host.ID():
			p.Taken = append(p.Taken, share)
		case share.Path == "":
			p.Copies.List = append(p.Copies.List, share)
			p.Copies.Size += share.Have
		}
	}
	for _, c := range s.swarm().Contributions() {
		p.Members = append(p.Members, contribution{c, s.hostName(c.Host)})
	}
	slices.SortStableFunc(p.Members, func(a, b contribution) int { return cmp.Compare(b.Received, a.Received) })
	if more := len(p.Members) - maxMembers; more > 0 {
		p.Members, p.MoreMembers = p.Members[:maxMembers], more
	}
	return p
}

func (s *share) screenMine(w http.ResponseWriter, r *http.Request) {
	p := s.minePage(r)
	ui.Write(w, r, http.StatusOK, ui.Page{
		Title: "Share", Active: screenPath, Tabs: tabs, Tab: mineScreen, Live: screenPath + "events/mine",
		Lead:   "What " + p.Host + " gives and takes.",
		Action: ui.Entry{Href: newScreen, Title: "Share something", Icon: "plus"},
		Body:   pages.Body("mine.html", p),
	})
}

// A stoppedList is what was stopped last, so that it can be undone. It is safe for
// concurrent use.
type stoppedList struct {
	mu  sync.Mutex
	all []kith.Publication // newest first
}

func (l *stoppedList) add(p kith.Publication) {
	const most = 5
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = slices.DeleteFunc(l.all, func(other kith.Publication) bool { return other.Title == p.Title })
	l.all = slices.Insert(l.all, 0, p)
	l.all = l.all[:min(len(l.all), most)]
}

func (l *stoppedList) remove(title string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = slices.DeleteFunc(l.all, func(p kith.Publication) bool { return p.Title == title })
}

func (l *stoppedList) list() []kith.Publication {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// refuse answers with a page that says why something was not done.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusUnprocessableEntity
	if errors.Is(err, kith.NotFound) {
		status = http.StatusNotFound
	}
	ui.Message(w, r, status, "Share", kith.Sentence(err))
}
