package admin

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"kith.alt/kith/control"
	"kith.alt/kith/ui"
)

const (
	mebi        = 1 << 20
	gibi        = 1 << 30
	maxRate     = 10_000 // MiB a second
	maxDaily    = 100_000
	maxRelaying = 10_000
)

// A relayForm is what this computer may relay, as people set it.
type relayForm struct {
	On, Rate, Daily, Streams ui.Field
}

func newRelayForm(l control.RelayLimits) relayForm {
	number := func(bytes int64, unit float64) string {
		return strconv.FormatFloat(math.Round(float64(bytes)/unit*10)/10, 'f', -1, 64)
	}
	on := "yes"
	if l.Off {
		on = "no"
	}
	return relayForm{
		On: ui.Field{Name: "on", Label: "For members that cannot reach each other", Value: on, Radio: true, Options: []ui.Option{
			{Value: "yes", Title: "Pass on what they send", Hint: "It is sealed: this computer cannot read it."},
			{Value: "no", Title: "Pass on nothing"}}},
		Rate: ui.Field{Name: "rate", Label: "At most, in MiB a second", Value: number(l.BytesPerSecond, mebi), Required: true, Autocomplete: "off",
			Hint: "Both directions together."},
		Daily:   ui.Field{Name: "daily", Label: "At most, in GiB a day", Value: number(l.BytesPerDay, gibi), Required: true, Autocomplete: "off"},
		Streams: ui.Field{Name: "streams", Label: "Connections at once", Type: "number", Min: "1", Max: strconv.Itoa(maxRelaying), Value: strconv.Itoa(l.Streams), Required: true},
	}
}

// read takes what was typed, and reports whether it can be.
func (f *relayForm) read(r *http.Request) (l control.RelayLimits, ok bool) {
	ok = true
	wrong := func(field *ui.Field, text string) {
		field.Error, ok = text, false
	}
	size := func(field *ui.Field, unit, most float64) int64 {
		field.Value = strings.TrimSpace(r.PostForm.Get(field.Name))
		value, err := strconv.ParseFloat(field.Value, 64)
		if err != nil || !(value >= 0.01 && value <= most) {
			wrong(field, "A number from 0.01 to "+strconv.FormatFloat(most, 'f', 0, 64)+".")
			return 0
		}
		return int64(value * unit)
	}
	if f.On.Value = r.PostForm.Get("on"); !f.On.Offers() {
		wrong(&f.On, "One of these.")
	}
	l.Off = f.On.Value == "no"
	l.BytesPerSecond = size(&f.Rate, mebi, maxRate)
	l.BytesPerDay = size(&f.Daily, gibi, maxDaily)
	f.Streams.Value = strings.TrimSpace(r.PostForm.Get("streams"))
	streams, err := strconv.Atoi(f.Streams.Value)
	if err != nil || streams < 1 || streams > maxRelaying {
		wrong(&f.Streams, "A number from 1 to "+strconv.Itoa(maxRelaying)+".")
	}
	l.Streams = streams
	return l, ok
}

func (a *Admin) setRelay(w http.ResponseWriter, r *http.Request, v visit) {
	form := newRelayForm(v.status.Relaying.Limits)
	limits, ok := form.read(r)
	names := control.RenameRequest{Host: v.status.Host, Group: v.status.Group}
	if !ok {
		a.showComputer(w, r, v, http.StatusUnprocessableEntity, computerForms{names: names, relay: form})
		return
	}
	if err := a.node.Configure(r.Context(), control.Settings{Relay: &limits}); err != nil {
		form.On.Error = a.explain(err)
		a.showComputer(w, r, v, statusOf(err), computerForms{names: names, relay: form})
		return
	}
	text := "This computer relays for others within these limits from now on."
	if limits.Off {
		text = "This computer relays nothing for others from now on."
	}
	ui.Redirect(w, r, "/settings/", text)
}
