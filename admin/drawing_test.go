package admin

import (
	"flag"
	"fmt"
	"math"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write golden files")

func TestDrawing(t *testing.T) {
	svg, err := draw(newFake(7).status, 664, 376).SVG()
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/group-7.svg"
	if *update {
		if err := os.WriteFile(golden, []byte(svg), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(svg) {
		t.Errorf("the drawing differs from %s; run with -update and look at it", golden)
	}
}

// However many members there are, dots lie within the picture and apart.
func TestDrawingHasRoom(t *testing.T) {
	for n := 1; n <= len(treeNames); n++ {
		status := newFake(n).status
		p := picturesOf(status)
		for name, d := range map[string]drawing{"narrow": p.Narrow, "wide": p.Wide, "large": draw(status, 1022, 480)} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				for i, a := range d.Dots {
					if a.X-a.R < 0 || a.X+a.R > float64(d.Width) || a.Y-a.R < 0 || a.Host != "" && a.NameY > float64(d.Height) {
						t.Errorf("%s lies outside: %v", a.Host, a)
					}
					for _, b := range d.Dots[:i] {
						if distance := math.Hypot(a.X-b.X, a.Y-b.Y); distance < a.R+b.R+4 {
							t.Errorf("%s and %s are %.0f apart", a.Host, b.Host, distance)
						}
					}
				}
			})
		}
	}
}

// Nobody moves when somebody falls asleep.
func TestDrawingKeepsPlaces(t *testing.T) {
	n := newFake(7)
	before := draw(n.status, 664, 376)
	n.status.Members[1].State = "offline"
	after := draw(n.status, 664, 376)
	for i := range before.Dots {
		if before.Dots[i].X != after.Dots[i].X || before.Dots[i].Y != after.Dots[i].Y {
			t.Errorf("%s moved", before.Dots[i].Host)
		}
	}
}

func TestClip(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "elm is awake.": "elm is awake.",
		"the-old-laptop-in-the-kitchen-next-to-the-window is awake.": "the-old-laptop-in-the-k… is awake.",
	} {
		if got := clip(text); got != want {
			t.Errorf("clip(%q) = %q, want %q", text, got, want)
		}
	}
}

// A large group has a part of its table on the first page.
func TestBriefTable(t *testing.T) {
	members := newFake(40).status.Members
	if few := briefTable(members[:mostRows]); len(few.Rows) != mostRows || few.All != 0 {
		t.Errorf("%d members: %d rows, All %d", mostRows, len(few.Rows), few.All)
	}
	many := briefTable(members)
	if len(many.Rows) != mostRows || many.All != len(members) {
		t.Errorf("%d members: %d rows, All %d", len(members), len(many.Rows), many.All)
	}
	for _, m := range many.Rows {
		if m.State != "online" {
			t.Errorf("%s, which is asleep, stands before others that are awake", m.Host)
		}
	}
}
