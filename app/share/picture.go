package share

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/ui"
)

// A picture is who has which parts of a share, and who sends to whom.
type picture struct {
	Self  strip
	Peers []strip
	More  int // peers that have no strip
}

// A strip is one host's part of the content.
type strip struct {
	Name   string
	Link   string // to the member's page; "" for a torrent client
	Near   bool
	Have   string // "42%"
	Parts  template.HTML
	Gives  arrow // to this host
	Takes  arrow // from it
	Client bool
}

// An arrow is what moves one way now. Its weight is from 0, nothing, to 4: as much
// as any.
type arrow struct {
	Rate   string
	Weight int
}

// maxStrips is how many peers a picture has.
const maxStrips = 24

// draw puts the most active peers first.
func draw(s Share, self string) picture {
	p := picture{Self: strip{Name: self, Have: percent(s.Have, s.Size), Parts: drawParts(s.Parts, part(s.Have, s.Size))}}
	peers := slices.Clone(s.Peers)
	slices.SortStableFunc(peers, func(a, b Client) int {
		return cmp.Or(cmp.Compare(b.Down+b.Up, a.Down+a.Up), cmp.Compare(b.Have, a.Have), cmp.Compare(a.Name, b.Name))
	})
	fastest := 1.0
	for _, peer := range peers {
		fastest = max(fastest, peer.Down, peer.Up)
	}
	for i, peer := range peers {
		if i == maxStrips {
			p.More = len(peers) - i
			break
		}
		t := strip{
			Name: peer.Name, Near: peer.Near, Client: peer.Host.IsZero(), Have: percent(int64(peer.Have*1e6), 1e6), Parts: drawParts(peer.Parts, peer.Have),
			Gives: newArrow(peer.Down, fastest), Takes: newArrow(peer.Up, fastest),
		}
		if !t.Client {
			t.Link = "/members/" + peer.Name
		}
		p.Peers = append(p.Peers, t)
	}
	return p
}

func newArrow(rate, fastest float64) arrow {
	if rate < 1 {
		return arrow{}
	}
	return arrow{Rate: ui.Size(int64(rate)) + "/s", Weight: 1 + int(math.Round(3*rate/fastest))}
}

func part(have, size int64) float64 {
	if size <= 0 {
		return 0
	}
	return float64(have) / float64(size)
}

// drawParts draws equal parts of a content, side by side, the fuller the darker;
// without parts, so much of it as there is.
func drawParts(parts []byte, have float64) template.HTML {
	if len(parts) == 0 {
		parts = make([]byte, kith.MaxParts)
		for i := range int(have * kith.MaxParts) {
			parts[i] = 255
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="strip" viewBox="0 0 %d 1" preserveAspectRatio="none" shape-rendering="crispEdges" aria-hidden="true">`, len(parts))
	for i := 0; i < len(parts); {
		start, level := i, level(parts[i])
		for i < len(parts) && level == levelAt(parts, i) {
			i++
		}
		if level > 0 {
			fmt.Fprintf(&b, `<rect x="%d" width="%d" height="1" fill-opacity="%.2g"/>`, start, i-start, float64(level)/levels)
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// levels is how many shades a part has.
const levels = 4

// level is from 0, nothing, to levels, all; some is at least 1 and never all.
func level(part byte) int {
	switch part {
	case 0:
		return 0
	case 255:
		return levels
	}
	return 1 + int(part)*(levels-1)/256
}

func levelAt(parts []byte, i int) int { return level(parts[i]) }

// A chart is a curve as a picture.
type chart struct {
	Area, Down, Up template.HTMLAttr // of paths on a field of Width by Height
	Top            string            // the rate at the upper edge; "" where nothing moved
	Label          string            // the picture in words
	Width, Height  int
}

const chartHeight = 40

func newChart(c curve) chart {
	top := max(slices.Max(c.Down[:]), slices.Max(c.Up[:]))
	h := chart{Width: samples - 1, Height: chartHeight, Label: "Nothing moved in the last two minutes."}
	if top < 1 {
		return h
	}
	h.Top = ui.Size(int64(top)) + "/s"
	h.Label = fmt.Sprintf("In the last two minutes at most %s. Now %s in and %s out.", h.Top, now(c.Down), now(c.Up))
	h.Area, h.Down, h.Up = drawCurve(c.Down, top, true), drawCurve(c.Down, top, false), drawCurve(c.Up, top, false)
	return h
}

func now(list [samples]float64) string {
	if list[samples-1] < 1 {
		return "nothing"
	}
	return ui.Size(int64(list[samples-1])) + "/s"
}

// drawCurve draws a line, or closes it to the area below.
func drawCurve(list [samples]float64, top float64, area bool) template.HTMLAttr {
	var b strings.Builder
	b.WriteString(`d="M`)
	for i, value := range list {
		if i > 0 {
			b.WriteByte('L')
		}
		fmt.Fprintf(&b, "%d %.1f", i, 1+(chartHeight-1)*(1-value/top))
	}
	if area {
		fmt.Fprintf(&b, "L%d %dL0 %dZ", samples-1, chartHeight, chartHeight)
	}
	b.WriteByte('"')
	return template.HTMLAttr(b.String())
}
