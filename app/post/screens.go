package post

import (
	"cmp"
	"context"
	"embed"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/ui"
)

// Where the dashboard shows the screens.
const (
	screenPath = "/post/"
	heldScreen = screenPath + "held"
)

const (
	gibi      = 1 << 30
	maxDisk   = 1 << 20 // GiB
	maxCopies = 8       // as the node has it
	maxShown  = 50      // letters in each part of the page
)

//go:embed templates
var templateFiles embed.FS

var pages = ui.Parse(templateFiles, "templates/*.html")

var tabs = []ui.Entry{{Href: screenPath, Title: "Yours"}, {Href: heldScreen, Title: "Held for others"}}

func (p *post) screens() []kith.Screen {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.screenLetters)
	mux.HandleFunc("GET /held", func(w http.ResponseWriter, r *http.Request) { p.screenHeld(w, r, nil) })
	mux.HandleFunc("POST /held", p.formLimits)
	mux.HandleFunc("GET /events", p.events("live-letters", func(ctx context.Context) (any, error) { return p.lettersPage(ctx) }))
	mux.HandleFunc("GET /events/held", p.events("live-held", func(context.Context) (any, error) { return p.heldPage(), nil }))
	return []kith.Screen{{Path: "/", Title: "Letters", Icon: "sent", Handler: mux}}
}

// events streams the changes of a page: of the template, and the element, of that name.
func (p *post) events(id string, page func(context.Context) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.streams.Serve(w, r, time.Second, func(ctx context.Context) ([]ui.Fragment, error) {
			shown, err := page(ctx)
			return []ui.Fragment{{ID: id, Body: pages.Body(id, shown)}}, err
		})
	}
}

// A lettersPage is the letters of this host.
type lettersPage struct {
	UnderWay, Ended         []line
	MoreUnderWay, MoreEnded int // that are not listed
	Lost                    []Lost
	MoreLost                int
}

// A line is a letter of the page.
type line struct {
	Letter
	Way ui.Letter
}

func (p *post) lettersPage(ctx context.Context) (lettersPage, error) {
	var page lettersPage
	list, err := p.host.Post().Letters(ctx, "", maxLetters)
	if err != nil {
		return page, err
	}
	g, now := p.group(), time.Now()
	for _, s := range list {
		lines, more := &page.UnderWay, &page.MoreUnderWay
		if s.Ended() {
			lines, more = &page.Ended, &page.MoreEnded
		}
		if len(*lines) == maxShown {
			*more++
			continue
		}
		l := g.describe(s, now)
		*lines = append(*lines, line{l, l.way(g)})
	}
	page.Lost, err = p.lost(ctx)
	if more := len(page.Lost) - maxShown; more > 0 {
		page.Lost, page.MoreLost = page.Lost[:maxShown], more
	}
	return page, err
}

func (p *post) screenLetters(w http.ResponseWriter, r *http.Request) {
	page, err := p.lettersPage(r.Context())
	if err != nil {
		ui.Message(w, r, http.StatusInternalServerError, "Letters", kith.Sentence(err))
		return
	}
	ui.Write(w, r, http.StatusOK, ui.Page{
		Title: "Letters", Active: screenPath, Tabs: tabs, Tab: screenPath, Live: screenPath + "events",
		Lead: "What this computer has sent to others, and how far it is.",
		Body: pages.Body("letters.html", page),
	})
}

// A heldPage is what this host holds for others, and how much it may be.
type heldPage struct {
	Held           []Held
	Letters        int
	Bytes          int64
	Total, Sender  int64 // the limits
	Problem        string
	TotalField     ui.Field
	SenderField    ui.Field
	Copies, Margin ui.Field
	CSRF           template.HTML
}

func (p *post) heldPage() heldPage {
	l := p.host.Post().Limits()
	page := heldPage{Held: p.held(), Total: cmp.Or(l.Total, kith.DefaultCustody), Sender: cmp.Or(l.Sender, kith.DefaultSenderCustody)}
	for _, h := range page.Held {
		page.Letters += h.Letters
		page.Bytes += h.Bytes
	}
	page.TotalField = ui.Field{Name: "total", Label: "Room for letters of others, in GiB", Value: number(page.Total), Required: true, Autocomplete: "off", MaxLength: 12}
	page.SenderField = ui.Field{Name: "sender", Label: "Of these, of each sender", Value: number(page.Sender), Required: true, Autocomplete: "off", MaxLength: 12}
	page.Copies = ui.Field{Name: "copies", Label: "Members that hold each letter of yours", Type: "number", Min: "1", Max: strconv.Itoa(maxCopies), Required: true,
		Value: strconv.Itoa(cmp.Or(l.Copies, kith.DefaultLetterCopies)), Hint: "While its receiver sleeps."}
	page.Margin = ui.Field{Name: "margin", Label: "After delivery to this computer", Radio: true, Value: "off", Options: []ui.Option{
		{Value: "off", Title: "Members forget the letter", Hint: "It needs the least room."},
		{Value: "on", Title: "Members keep it for a week", Hint: "So that it is there again after this computer is restored from a backup."},
	}}
	if l.Margin {
		page.Margin.Value = "on"
	}
	return page
}

// number writes bytes in GiB, with as many digits as are needed to tell.
func number(bytes int64) string {
	return strconv.FormatFloat(math.Round(float64(bytes)/gibi*1000)/1000, 'f', -1, 64)
}

// read takes what was typed, and reports whether it can be.
func (page *heldPage) read(r *http.Request) (l kith.PostLimits, ok bool) {
	ok = true
	for _, f := range []*ui.Field{&page.TotalField, &page.SenderField, &page.Copies, &page.Margin} {
		f.Value = strings.TrimSpace(r.PostFormValue(f.Name))
	}
	size := func(f *ui.Field) int64 {
		value, err := strconv.ParseFloat(strings.Replace(f.Value, ",", ".", 1), 64)
		if err != nil || !(value >= 0.001 && value <= maxDisk) {
			f.Error, ok = "A number from 0.001 to "+strconv.Itoa(maxDisk)+".", false
			return 0
		}
		return int64(value * gibi)
	}
	l.Total, l.Sender = size(&page.TotalField), size(&page.SenderField)
	var err error
	if l.Copies, err = strconv.Atoi(page.Copies.Value); err != nil || l.Copies < 1 || l.Copies > maxCopies {
		page.Copies.Error, ok = "A number from 1 to "+strconv.Itoa(maxCopies)+".", false
	}
	l.Margin = page.Margin.Value == "on"
	return l, ok
}

// screenHeld shows what is held and the form; with what was typed and was wrong, if
// form is set.
func (p *post) screenHeld(w http.ResponseWriter, r *http.Request, form *heldPage) {
	status := http.StatusUnprocessableEntity
	if form == nil {
		page := p.heldPage()
		form, status = &page, http.StatusOK
	}
	form.CSRF = ui.CSRF(r)
	ui.Write(w, r, status, ui.Page{
		Title: "Letters", Active: screenPath, Tabs: tabs, Tab: heldScreen, Live: screenPath + "events/held",
		Lead: "What this computer keeps for hosts that are asleep. It cannot read any of it.",
		Body: pages.Body("held.html", form),
	})
}

func (p *post) formLimits(w http.ResponseWriter, r *http.Request) {
	form := p.heldPage()
	limits, ok := form.read(r)
	if !ok {
		form.Problem = "Something cannot be as it was typed. It is marked below."
		p.screenHeld(w, r, &form)
		return
	}
	if err := p.host.Post().SetLimits(r.Context(), limits); err != nil {
		form.Problem = kith.Sentence(err)
		p.screenHeld(w, r, &form)
		return
	}
	ui.Redirect(w, r, heldScreen, "The limits hold from now on.")
}
