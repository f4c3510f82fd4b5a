package post

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
)

func (f *fixture) run(t *testing.T, verb string, args ...string) (out, told string) {
	t.Helper()
	out, told, err := f.Run(t.Context(), t.TempDir(), verb, args...)
	if err != nil {
		t.Fatalf("kith %s %q: %v", verb, args, err)
	}
	return out, told
}

func wantAll(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s\nlacks %q", text, want)
		}
	}
}

func TestList(t *testing.T) {
	f := start(t)
	if out, told := f.run(t, "post"); out != "" || !strings.Contains(told, "kith post list --all") {
		t.Errorf("nothing: %q, %q", out, told)
	}
	f.household()
	out, _ := f.run(t, "post")
	wantAll(t, out, "birch", "queued: birch sleeps, and others are asked to hold it", "held by elm and fir", "delivered ", "refused: nobody here is called bob", "expired\n", kith.ID{99}.Short())
	if strings.Contains(out, "\x1b") || strings.Count(out, "\n") != 6 {
		t.Errorf("the list is %q", out)
	}
	if all, _ := f.run(t, "post list", "--all"); strings.Count(all, "\n") != 7 {
		t.Errorf("all is %q", all)
	}
	if chat, _ := f.run(t, "post list", "--application", "chat"); strings.Count(chat, "\n") != 2 {
		t.Errorf("of chat there is %q", chat)
	}
	out, told := f.run(t, "post list", "--limit", "2")
	if wantAll(t, told, "--limit"); strings.Count(out, "\n") != 3 {
		t.Errorf("two are %q", out)
	}
	if _, _, err := f.Run(t.Context(), "", "post list", "--limit", "0"); !errors.Is(err, kith.Invalid) {
		t.Errorf("none at all: %v", err)
	}
	out, _ = f.run(t, "post list", "--json")
	var letters []Letter
	if err := json.Unmarshal([]byte(out), &letters); err != nil || len(letters) != 5 || letters[1].ToName != "birch" || strings.Join(letters[1].HeldBy, " ") != "elm fir" {
		t.Errorf("as JSON: %v %+v", err, letters)
	}
}

func TestShow(t *testing.T) {
	f := start(t)
	f.household()
	for _, l := range f.post.letters {
		for _, name := range []string{l.ID.String(), strings.ToUpper(l.ID.String()[:5])} {
			out, _ := f.run(t, "post show", name)
			wantAll(t, out, l.ID.String(), "written", l.State, l.To.String())
			if l.Ended() == strings.Contains(out, "expires, if") {
				t.Errorf("%s: %s", l.State, out)
			}
		}
	}
	f.add(1, kith.LetterStatus{State: kith.LetterQueued})
	for name, kind := range map[string]error{f.post.letters[0].ID.String()[:3]: kith.Invalid, "zzz": kith.NotFound, kith.LetterID{200}.String(): kith.NotFound, "../held": kith.NotFound} {
		if _, _, err := f.Run(t.Context(), "", "post show", name); !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", name, err, kind)
		}
	}
}

func TestStates(t *testing.T) {
	now := time.Date(2026, 5, 7, 12, 30, 0, 0, time.Local)
	maple, oak, elm, fir := kith.ID{1}, kith.ID{2}, kith.ID{3}, kith.ID{4}
	members := func(awake ...kith.ID) group {
		g := group{maple, map[kith.ID]kith.Member{maple: {Host: "maple", Online: true}, oak: {Host: "oak"}, elm: {Host: "elm"}, fir: {Host: "fir"}}}
		for _, id := range awake {
			m := g.members[id]
			m.Online = true
			g.members[id] = m
		}
		return g
	}
	for want, c := range map[string]struct {
		g group
		s kith.LetterStatus
	}{
		"queued: oak sleeps, nobody else is there to hold it":      {members(), kith.LetterStatus{State: "queued"}},
		"queued: oak sleeps, and others are asked to hold it":      {members(elm), kith.LetterStatus{State: "queued"}},
		"queued: it is on its way to oak":                          {members(oak), kith.LetterStatus{State: "queued"}},
		"queued: the receiver has not said yet":                    {members(), kith.LetterStatus{State: "queued", Reason: "The receiver has not said yet."}},
		"held by elm, fir and oak: it is there, and not taken yet": {members(), kith.LetterStatus{State: "held", Held: []kith.ID{oak, fir, elm}, Reason: "It is there, and not taken yet."}},
		"held by elm":                        {members(), kith.LetterStatus{State: "held", Held: []kith.ID{elm}}},
		"delivered 12:03":                    {members(), kith.LetterStatus{State: "delivered", Since: now.Add(-27 * time.Minute)}},
		"delivered 6 May 12:30":              {members(), kith.LetterStatus{State: "delivered", Since: now.AddDate(0, 0, -1)}},
		"delivered 7 May 2025 12:30":         {members(), kith.LetterStatus{State: "delivered", Since: now.AddDate(-1, 0, 0)}},
		"refused: nobody here is called bob": {members(), kith.LetterStatus{State: "refused", Reason: "nobody here is called bob"}},
		"refused: DNS is down":               {members(), kith.LetterStatus{State: "refused", Reason: "DNS is down"}},
		"refused":                            {members(), kith.LetterStatus{State: "refused"}},
		"expired":                            {members(), kith.LetterStatus{State: "expired", Reason: "No receipt came in time."}},
	} {
		c.s.To = oak
		if got := c.g.describe(c.s, now).Text; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for text, want := range map[string]string{"": "", "A": "a", "É": "é", "x.": "x"} {
		if got := clause(text); got != want {
			t.Errorf("clause of %q is %q, want %q", text, got, want)
		}
	}
}

func TestHeldAndLimits(t *testing.T) {
	f := start(t)
	if out, told := f.run(t, "post held"); out != "" || !strings.Contains(told, "no letters for others") {
		t.Errorf("nothing: %q, %q", out, told)
	}
	f.household()
	out, _ := f.run(t, "post held")
	wantAll(t, out, "birch", "12", "3.0 MiB")
	out, _ = f.run(t, "post limit")
	wantAll(t, out, "2.0 GiB", "512.0 MiB", "Copies of each letter  3", "Margin                 off")
	out, _ = f.run(t, "post limit", "--total", "4GiB", "--sender", "1GiB", "--copies", "5", "--margin", "on")
	wantAll(t, out, "4.0 GiB", "1.0 GiB", "5", "on")
	if l := f.post.Limits(); l != (kith.PostLimits{Total: 4 << 30, Sender: 1 << 30, Copies: 5, Margin: true}) {
		t.Errorf("limits: %+v", l)
	}
	f.run(t, "post limit", "--margin", "off")
	if l := f.post.Limits(); l != (kith.PostLimits{Total: 4 << 30, Sender: 1 << 30, Copies: 5}) {
		t.Errorf("limits: %+v", l)
	}
	for _, args := range [][]string{{"--total", "much"}, {"--sender", "-1"}, {"--copies", "9"}, {"--copies", "0"}, {"--margin", "maybe"}} {
		if _, _, err := f.Run(t.Context(), "", "post limit", args...); !errors.Is(err, kith.Invalid) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestLost(t *testing.T) {
	f := start(t)
	if out, told := f.run(t, "post lost"); out != "" || !strings.Contains(told, "Nothing is lost") {
		t.Errorf("nothing: %q, %q", out, told)
	}
	now := time.Now()
	f.post.lost = []kith.LostLetter{{ID: kith.LetterID{7}, From: f.Admit("birch", true), Received: now, Expires: now.Add(time.Hour)}}
	out, _ := f.run(t, "post lost")
	wantAll(t, out, kith.LetterID{7}.String()[:shortID], "birch", clock(now, now))
	page(t, f.visit("GET", screenPath, nil), 200, "Lost in the restore", "<b>birch</b>")
}
