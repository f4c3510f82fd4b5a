package share

import (
	"cmp"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/folders"
	"kith.alt/kith/ui"
)

const (
	mebi    = 1 << 20
	gibi    = 1 << 30
	maxRate = 100_000 // MiB a second
	maxDisk = 1 << 20 // GiB
	hours   = 4       // rows of the schedule, at least; one is free
)

// A limitsPage is what sharing may use of this host, as people set it.
type limitsPage struct {
	Problem                                        string
	Up, Down, MemberUp, MemberDown, Copies, Member ui.Field
	Hours                                          []hoursRow
	Downloads, Uploads                             ui.Field
	Door                                           Door
	LetIn                                          ui.Field
	CSRF                                           template.HTML
}

type hoursRow struct{ Days, From, To, Up, Down ui.Field }

// days are the choices of a row; others that the command line set are added.
var days = []ui.Option{
	{Value: "", Title: "Every day"}, {Value: "mon-fri", Title: "Monday to Friday"}, {Value: "sat,sun", Title: "At the weekend"},
	{Value: "mon", Title: "Mondays"}, {Value: "tue", Title: "Tuesdays"}, {Value: "wed", Title: "Wednesdays"}, {Value: "thu", Title: "Thursdays"},
	{Value: "fri", Title: "Fridays"}, {Value: "sat", Title: "Saturdays"}, {Value: "sun", Title: "Sundays"},
}

func newLimitsPage(l kith.SwarmLimits) limitsPage {
	rate := func(name, label string, bytes int64) ui.Field {
		return ui.Field{Name: name, Label: label, Value: number(bytes, mebi), Autocomplete: "off", MaxLength: 12}
	}
	p := limitsPage{
		Up: rate("up", "Give at most, in MiB a second", l.Up), Down: rate("down", "Take at most, in MiB a second", l.Down),
		MemberUp: rate("member-up", "To each member", l.MemberUp), MemberDown: rate("member-down", "From each member", l.MemberDown),
		Copies: ui.Field{Name: "copies", Label: "Room for copies, in GiB", Value: number(cmp.Or(l.Copies, kith.DefaultCopies), gibi), Required: true, Autocomplete: "off",
			Hint: "Of sites and files that this computer keeps only so that others can have them."},
		Member: ui.Field{Name: "member-disk", Label: "Of these, from each member", Value: number(cmp.Or(l.MemberDisk, kith.DefaultMemberDisk), gibi), Required: true, Autocomplete: "off"},
	}
	p.Up.Hint, p.Down.Hint = "Empty: no limit. It gives way to whatever else you do in any case.", "Empty: no limit."
	for i := range max(hours, len(l.Hours)+1) {
		var h kith.RateHours
		if i < len(l.Hours) {
			h = l.Hours[i]
		}
		p.Hours = append(p.Hours, newHoursRow(i, h))
	}
	return p
}

func newHoursRow(i int, h kith.RateHours) hoursRow {
	n := strconv.Itoa(i)
	row := hoursRow{
		Days: ui.Field{Name: "days" + n, Label: "Days", Value: h.Days, Options: days},
		From: ui.Field{Name: "from" + n, Label: "From", Type: "time", Value: h.From},
		To:   ui.Field{Name: "to" + n, Label: "To", Type: "time", Value: h.To},
		Up:   ui.Field{Name: "up" + n, Label: "Give", Value: number(h.Up, mebi), Autocomplete: "off", MaxLength: 12},
		Down: ui.Field{Name: "down" + n, Label: "Take", Value: number(h.Down, mebi), Autocomplete: "off", MaxLength: 12},
	}
	if !row.Days.Offers() {
		row.Days.Options = append([]ui.Option{{Value: h.Days, Title: h.Days}}, days...)
	}
	return row
}

// number writes bytes in a unit, rounded to a thousandth; 0 is no limit, and nothing.
func number(bytes int64, unit float64) string {
	if bytes == 0 {
		return ""
	}
	return strconv.FormatFloat(math.Round(float64(bytes)/unit*1000)/1000, 'f', -1, 64)
}

// read takes what was typed, and reports whether it can be. What was left as the page shows
// it stays as it is in now, which may be no round number of the page's unit.
func (p *limitsPage) read(r *http.Request, now kith.SwarmLimits) (l kith.SwarmLimits, ok bool) {
	ok = true
	get := func(f *ui.Field, now int64, unit, most float64) int64 {
		shown := f.Value
		f.Value = strings.TrimSpace(r.PostForm.Get(f.Name))
		if f.Value == shown {
			return now
		}
		if f.Value == "" && !f.Required {
			return 0
		}
		value, err := strconv.ParseFloat(strings.Replace(f.Value, ",", ".", 1), 64)
		if err != nil || !(value >= 0.001 && value <= most) {
			f.Error, ok = "A number from 0.001 to "+strconv.FormatFloat(most, 'f', 0, 64)+".", false
			return 0
		}
		return int64(value * unit)
	}
	l.Up, l.Down = get(&p.Up, now.Up, mebi, maxRate), get(&p.Down, now.Down, mebi, maxRate)
	l.MemberUp, l.MemberDown = get(&p.MemberUp, now.MemberUp, mebi, maxRate), get(&p.MemberDown, now.MemberDown, mebi, maxRate)
	l.Copies, l.MemberDisk = get(&p.Copies, now.Copies, gibi, maxDisk), get(&p.Member, now.MemberDisk, gibi, maxDisk)
	for i := range p.Hours {
		row := &p.Hours[i]
		var was kith.RateHours
		if i < len(now.Hours) {
			was = now.Hours[i]
		}
		for _, f := range []*ui.Field{&row.Days, &row.From, &row.To} {
			f.Value = strings.TrimSpace(r.PostForm.Get(f.Name))
		}
		h := kith.RateHours{Days: row.Days.Value, From: row.From.Value, To: row.To.Value,
			Up: get(&row.Up, was.Up, mebi, maxRate), Down: get(&row.Down, was.Down, mebi, maxRate)}
		switch {
		case h.From == "" && h.To == "":
		case h.From == "":
			row.From.Error, ok = "From when?", false
		case h.To == "":
			row.To.Error, ok = "Until when?", false
		default:
			l.Hours = append(l.Hours, h)
		}
	}
	return l, ok
}

func (s *share) limitsForm(r *http.Request, now kith.SwarmLimits) limitsPage {
	p := newLimitsPage(now)
	p.CSRF = ui.CSRF(r)
	p.Door = s.door()
	p.LetIn = letInField(p.Door)
	taken, _ := s.settings.folder(r.Context(), downloadsFolder) // without one the field is empty
	dragged, _ := s.settings.folder(r.Context(), uploadsFolder)
	p.Downloads = ui.Field{Name: downloadsFolder, Label: "What you get goes to", Value: taken, Required: true, MaxLength: maxName}
	p.Uploads = ui.Field{Name: uploadsFolder, Label: "What you drag in goes to", Value: dragged, Required: true, MaxLength: maxName}
	return p
}

// screenLimits shows the forms; with what was typed and was wrong, if form is set.
func (s *share) screenLimits(w http.ResponseWriter, r *http.Request, form *limitsPage) {
	status := http.StatusUnprocessableEntity
	if form == nil {
		p := s.limitsForm(r, s.swarm().Limits())
		form, status = &p, http.StatusOK
	}
	ui.Write(w, r, status, ui.Page{
		Title: "Share", Active: screenPath, Tabs: tabs, Tab: limitsScreen,
		Lead: "What sharing may use of this computer.",
		Body: pages.Body("limits.html", form),
	})
}

func (s *share) formLimits(w http.ResponseWriter, r *http.Request) {
	now := s.swarm().Limits()
	form := s.limitsForm(r, now)
	_ = r.ParseForm() // what cannot be read is empty
	limits, ok := form.read(r, now)
	if !ok {
		form.Problem = "Something cannot be as it was typed. It is marked below."
		s.screenLimits(w, r, &form)
		return
	}
	if err := s.swarm().SetLimits(r.Context(), limits); err != nil {
		form.Problem = kith.Sentence(err)
		s.screenLimits(w, r, &form)
		return
	}
	ui.Redirect(w, r, limitsScreen, "The limits hold from now on.")
}

func (s *share) formFolders(w http.ResponseWriter, r *http.Request) {
	form := s.limitsForm(r, s.swarm().Limits())
	for _, field := range []*ui.Field{&form.Downloads, &form.Uploads} {
		field.Value = strings.TrimSpace(r.PostFormValue(field.Name))
		if dir := folders.Expand(field.Value); s.host.PrivateDir(dir) && !folders.HoldsHome(dir) {
			field.Error = "Kith keeps its key there. Choose another folder."
		} else if err := s.settings.set(r.Context(), field.Name, dir); err != nil {
			field.Error = kith.Sentence(err)
		}
	}
	if form.Downloads.Error+form.Uploads.Error != "" {
		s.screenLimits(w, r, &form)
		return
	}
	ui.Redirect(w, r, limitsScreen, "From now on it goes to these folders.")
}
