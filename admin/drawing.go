package admin

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"unicode"

	"kith.alt/kith/control"
	"kith.alt/kith/ui"
)

// A drawing is the group as a picture: this host in the middle, the others on
// ellipses around it in the order of the roster, so that nobody moves when
// somebody wakes. Lines are the paths to those that are awake.
type drawing struct {
	Width, Height int
	Label         string // the picture in words
	Orbits        []orbit
	Lines         []line
	Dots          []dot
	X, Y          float64 // the middle
}

type orbit struct{ RX, RY float64 }

type line struct {
	Class          string // "direct" or "relayed"
	X1, Y1, X2, Y2 float64
	Text           string // round-trip time, beside the line
	TextX, TextY   float64
}

type dot struct {
	Class, Host, Title string
	Initial            string
	Note               string // below the name: "asleep", "via elm"
	X, Y, R            float64
	NameY, NoteY       float64
	Name               string
}

// dense is from how many others on a picture leaves details to the table.
const dense = 16

// draw lays the group out on a picture of width and height pixels.
func draw(status control.Status, width, height int) drawing {
	self := status.Host
	var others []control.Member
	for _, m := range status.Members {
		if m.Path == control.PathSelf {
			self = m.Host
		} else if m.State != control.Revoked {
			others = append(others, m)
		}
	}
	d := drawing{Width: width, Height: height, X: float64(width) / 2, Y: float64(height)/2 - 8, Label: inWords(self, others)}
	crowded := len(others) > dense
	r, labelWidth := 16.0, 96.0
	if crowded {
		r, labelWidth = 11, 84
	}
	names := true
	switch narrow := width < 400; {
	case narrow && crowded:
		r, labelWidth, names = 9, 40, false
	case narrow:
		r, labelWidth = r-2, labelWidth-14
	}
	rx := min(float64(width)/2-labelWidth/2-4, 150+40*float64(len(others))) // few stand near
	orbits := orbitsFor(len(others), rx, float64(height)/2-r-28, labelWidth)
	d.Orbits = orbits.ellipses
	for i, m := range others {
		at := orbits.places[i]
		p := dot{Class: m.State, Host: m.Host, Title: describe(m), Initial: initial(m.Host), X: d.X + at.x, Y: d.Y + at.y, R: r}
		if names {
			p.Name = shorten(m.Host, int(labelWidth/7.2))
		}
		p.NameY, p.NoteY = p.Y+r+16, p.Y+r+30
		if m.State == control.Online {
			l := line{Class: "direct", X1: d.X, Y1: d.Y, X2: p.X, Y2: p.Y}
			if m.Path == control.PathRelayed {
				l.Class = "relayed"
			}
			if !crowded {
				l.Text = ui.Millis(m.RTT)
				l.TextX, l.TextY = d.X+at.x*0.52, d.Y+at.y*0.52+4
				if m.Via != "" {
					p.Note = shorten("via "+m.Via, int(labelWidth/6))
				}
			}
			d.Lines = append(d.Lines, l)
		} else if !crowded {
			p.Note = "asleep"
		}
		d.Dots = append(d.Dots, p)
	}
	switch len(others) {
	case 1: // the other side is free
		d.Dots = append(d.Dots, dot{Class: "ghost", X: d.X - orbits.places[0].x, Y: d.Y, R: r - 3})
	case 0:
		const room = 6
		orbits := orbitsFor(room, float64(width)/2-40, float64(height)/2-24, labelWidth)
		d.Y = float64(height) / 2
		d.Orbits = orbits.ellipses
		for _, at := range orbits.places {
			d.Dots = append(d.Dots, dot{Class: "ghost", X: d.X + at.x, Y: d.Y + at.y, R: 13})
		}
	}
	middle := dot{Class: "self", Host: self, Title: self + ", this computer", Initial: initial(self), X: d.X, Y: d.Y, R: r + 8,
		Name: shorten(self, 16)}
	middle.NameY, middle.NoteY = d.Y+middle.R+18, d.Y+middle.R+32
	d.Dots = append(d.Dots, middle)
	return d
}

type place struct{ x, y float64 }

type layout struct {
	ellipses []orbit
	places   []place
}

// orbitsFor spreads n places over as few ellipses within rx and ry as leave
// each label the room it needs.
func orbitsFor(n int, rx, ry, labelWidth float64) layout {
	if n == 0 {
		return layout{}
	}
	const most = 5
	var counts []int
	for rings := 1; rings <= most; rings++ {
		counts = counts[:0]
		room := 0.0
		capacity := make([]float64, rings)
		for ring := range rings {
			f := ringScale(ring, rings)
			capacity[ring] = max(1, perimeter(rx*f, ry*f)/labelWidth)
			room += capacity[ring]
		}
		if room < float64(n) && rings < most {
			continue
		}
		left := n
		for ring := range rings {
			share := min(left, int(math.Round(float64(n)*capacity[ring]/room)))
			if ring == rings-1 {
				share = left
			}
			counts = append(counts, share)
			left -= share
		}
		break
	}
	var l layout
	taken := []float64{math.Pi / 2}
	for ring, count := range counts {
		f := ringScale(ring, len(counts))
		l.ellipses = append(l.ellipses, orbit{rx * f, ry * f})
		var best []float64
		switch widest := -1.0; {
		case len(counts) > 1:
			// Turn the ring so that its lines keep away from those already
			// there, and from straight below: there stands the middle's name.
			const turns = 36
			for turn := range turns {
				start := -math.Pi/2 + 2*math.Pi*float64(turn)/float64(turns*count)
				angles := evenly(count, start, rx*f, ry*f)
				if gap := narrowest(angles, taken); gap > widest+1e-6 {
					widest, best = gap, angles
				}
			}
		case count <= 2:
			best = evenly(count, 0, rx*f, ry*f) // side by side
		case count%2 == 1:
			best = evenly(count, -math.Pi/2, rx*f, ry*f)
		default: // the same, turned by half a step: straight below stays free
			for i, angle := range evenly(2*count, -math.Pi/2, rx*f, ry*f) {
				if i%2 == 1 {
					best = append(best, angle)
				}
			}
		}
		taken = append(taken, best...)
		for _, angle := range best {
			l.places = append(l.places, place{rx * f * math.Cos(angle), ry * f * math.Sin(angle)})
		}
	}
	return l
}

// narrowest is the smallest angle between one of angles and one of others.
func narrowest(angles, others []float64) float64 {
	least := math.Pi
	for _, a := range angles {
		for _, b := range others {
			least = min(least, math.Abs(math.Remainder(a-b, 2*math.Pi)))
		}
	}
	return least
}

// ringScale is how far out a ring lies, 1 for the outermost.
func ringScale(ring, rings int) float64 {
	if rings == 1 {
		return 1
	}
	const inner = 0.42
	return inner + (1-inner)*float64(ring)/float64(rings-1)
}

// perimeter of an ellipse, by Ramanujan's approximation.
func perimeter(a, b float64) float64 {
	return math.Pi * (3*(a+b) - math.Sqrt((3*a+b)*(a+3*b)))
}

// evenly returns count angles that lie at equal distances along an ellipse,
// from the angle start on.
func evenly(count int, start, rx, ry float64) []float64 {
	const steps = 720
	lengths := make([]float64, steps+1)
	at := func(i int) float64 { return start + 2*math.Pi*float64(i)/steps }
	for i := 1; i <= steps; i++ {
		dx := rx * (math.Cos(at(i)) - math.Cos(at(i-1)))
		dy := ry * (math.Sin(at(i)) - math.Sin(at(i-1)))
		lengths[i] = lengths[i-1] + math.Hypot(dx, dy)
	}
	angles := make([]float64, 0, count)
	step := 0
	for i := range count {
		want := lengths[steps] * float64(i) / float64(count)
		for step < steps && lengths[step+1] < want {
			step++
		}
		part := 0.0
		if step < steps && lengths[step+1] > lengths[step] {
			part = (want - lengths[step]) / (lengths[step+1] - lengths[step])
		}
		angles = append(angles, start+2*math.Pi*(float64(step)+part)/steps)
	}
	return angles
}

func initial(host string) string {
	for _, c := range host {
		return string(unicode.ToUpper(c))
	}
	return "?"
}

// shorten cuts text to at most n characters.
func shorten(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:max(n-1, 1)]) + "…"
}

// clip shortens the long words of a sentence, which are names.
func clip(text string) string {
	const longest = 24
	words := strings.Split(text, " ")
	for i, word := range words {
		words[i] = shorten(word, longest)
	}
	return strings.Join(words, " ")
}

// describe says how a member is reached, in a sentence's middle.
func describe(m control.Member) string {
	switch {
	case m.State == control.Revoked:
		return m.Host + " is revoked"
	case m.State != control.Online:
		return m.Host + " is asleep"
	}
	text := m.Host + " is awake, " + pathInWords(m)
	if rtt := ui.Millis(m.RTT); rtt != "" {
		text += ", " + rtt
	}
	return text
}

func pathInWords(m control.Member) string {
	switch m.Path {
	case control.PathSelf:
		return "this computer"
	case control.PathLAN:
		return "same network"
	case control.PathDirect:
		return "direct"
	case control.PathRelayed:
		if m.Via != "" {
			return "through " + m.Via
		}
		return "relayed"
	}
	return "no path"
}

func carrierInWords(carrier string) string {
	switch carrier {
	case "quic":
		return "QUIC"
	case "tls":
		return "TLS over TCP"
	}
	return carrier
}

func inWords(self string, others []control.Member) string {
	if len(others) == 0 {
		return self + " is a group of one."
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The group seen from %s.", self)
	for _, m := range others {
		b.WriteString(" " + describe(m) + ".")
	}
	return b.String()
}

// SVG draws the picture.
func (d drawing) SVG() (template.HTML, error) {
	var b strings.Builder
	if err := pages.Body("drawing.html", d)(&b); err != nil {
		return "", err
	}
	return template.HTML(b.String()), nil
}
