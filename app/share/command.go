package share

import (
	"cmp"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/terminal"
)

func shareCommand() kith.Command {
	var request publishRequest
	return kith.Command{
		Name: "share", Args: "PATH",
		Summary: "share a file or folder with your group",
		Help: `Lists PATH in the group's library and prints the link alone. Everybody in the group
can take it with kith get, by the link or by its title. Your files stay where they
are. On a terminal it also shows a QR code, and the magnet link for torrent clients.
To share a file that is called like a verb, write ./list.

Example: kith share ~/films/holiday.mp4 --title "Holiday 2026"`,
		Flags: func(set *flag.FlagSet) {
			set.StringVar(&request.Title, "title", "", "the `TITLE` in the library; without it, the name of the file or folder")
			set.BoolVar(&request.Follow, "follow", false, "share it anew whenever it changes")
		},
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			request.Path, request.Work = absolute(env, words[0]), rand.Text()
			var item Item
			err := working(ctx, env, request.Work, "reading", func() error {
				return env.API(ctx, http.MethodPut, "/shares", request, &item)
			})
			if err != nil {
				return err
			}
			if terminal.Is(env.Stderr) {
				env.Tell("%q is in the library: %s.", item.Title, contents(item.Entry))
				var torrent Torrent
				if err := env.API(ctx, http.MethodPost, "/torrent", namedRequest{What: item.Link}, &torrent); err == nil {
					env.Tell("For torrent clients on this computer: %s", torrent.Magnet)
				}
				if !env.JSON && len(item.Link) <= maxCode {
					env.Tell("")
					if err := terminal.QR(env.Stderr, item.Link); err != nil {
						return err
					}
				}
			}
			return env.Print(item, item.Link+"\n")
		},
	}
}

// maxCode is the longest link whose QR code fits on a terminal of 80 columns.
const maxCode = 400

func libraryCommand() kith.Command {
	return kith.Command{
		Name:    "library",
		Summary: "list what the group shares",
		Help:    "Take something with kith get TITLE, or HOST/TITLE where two share under one title.",
		Run: func(ctx context.Context, env kith.Env, _ []string) error {
			var items []Item
			if err := env.API(ctx, http.MethodGet, "/library", nil, &items); err != nil {
				return err
			}
			if err := env.Print(items, libraryTable(items, time.Now())); err != nil {
				return err
			}
			if len(items) == 0 {
				env.Tell("The library is empty. To share something: %s", env.Line("share", "PATH"))
			}
			return nil
		},
	}
}

func libraryTable(items []Item, now time.Time) string {
	return table(len(items), "TITLE\tHOST\tSIZE\tFILES\tSHARED", func(row func(string, ...any)) {
		for _, i := range items {
			row("%s\t%s\t%s\t%d\t%s", i.Title, i.From, terminal.Size(i.Size), i.Files, day(i.Published, now))
		}
	})
}

// day writes a moment as listings of files do.
func day(t, now time.Time) string {
	if now.Sub(t) < 180*24*time.Hour {
		return t.Local().Format("2 Jan 15:04")
	}
	return t.Local().Format("2 Jan 2006")
}

func listCommand() kith.Command {
	return kith.Command{
		Name:    "share list",
		Summary: "list what this computer shares, takes and keeps for others",
		Run: func(ctx context.Context, env kith.Env, _ []string) error {
			var shares []Share
			if err := env.API(ctx, http.MethodGet, "/shares", nil, &shares); err != nil {
				return err
			}
			if err := env.Print(shares, sharesTable(shares)); err != nil {
				return err
			}
			if len(shares) == 0 {
				env.Tell("This computer shares nothing. To share something: %s", env.Line("share", "PATH"))
			}
			if slices.ContainsFunc(shares, func(s Share) bool { return s.Public }) {
				return tellDoor(ctx, env)
			}
			return nil
		},
	}
}

func sharesTable(shares []Share) string {
	return table(len(shares), "TITLE\tHOST\tSIZE\tSTATE\tDOWN\tUP\tSENT\tPATH", func(row func(string, ...any)) {
		for _, s := range shares {
			path := s.Path
			if path == "" {
				path = "(a copy for others)"
			}
			row("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", s.Title, cmp.Or(s.From, "-"), terminal.Size(s.Size), stateText(s.Holding), rate(s.Down), rate(s.Up), terminal.Size(s.Sent), path)
		}
	})
}

// stateText is a holding's state in a few words.
func stateText(h kith.Holding) string {
	text := h.State
	switch {
	case h.State == kith.HoldingComplete:
		text = "shared"
	case h.State == kith.HoldingTaking || h.State == kith.HoldingPaused && h.Size > 0:
		text += " " + percent(h.Have, h.Size)
	}
	if h.Follow {
		text += ", followed"
	}
	if h.Pinned {
		text += ", pinned"
	}
	if h.Public {
		text += ", public"
	}
	return text
}

// percent is never 100 before all is there.
func percent(have, size int64) string {
	if size <= 0 {
		return "0%"
	}
	return fmt.Sprintf("%d%%", int(100*(float64(have)/float64(size))))
}

// rate writes bytes a second, "-" where nothing moves.
func rate(bytes float64) string {
	if bytes < 1 {
		return "-"
	}
	return terminal.Size(int64(bytes)) + "/s"
}

// table writes rows below their heading; no rows are no table.
func table(rows int, heading string, write func(row func(format string, args ...any))) string {
	if rows == 0 {
		return ""
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, heading)
	write(func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) })
	w.Flush() // to a strings.Builder, which does not fail
	return b.String()
}

func stopCommand() kith.Command {
	return kith.Command{
		Name: "share stop", Args: "TITLE",
		Summary: "stop sharing, or taking, something",
		Help: `Takes TITLE off the library, if this computer put it there; else it stops taking
it, and giving it to others. Your own files stay; what only the node kept is
deleted.`,
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			var stopped Stopped
			if err := env.API(ctx, http.MethodDelete, "/shares", namedRequest{What: words[0]}, &stopped); err != nil {
				return err
			}
			text := fmt.Sprintf("%s is stopped.\n", stopped.Title)
			switch {
			case stopped.Own && stopped.Path != "":
				line := []string{"share", stopped.Path}
				if filepath.Base(stopped.Path) != stopped.Title {
					line = append(line, "--title", stopped.Title)
				}
				text = fmt.Sprintf("%s is no longer shared. To undo: %s\n", stopped.Title, env.Line(line...))
			case stopped.Path != "":
				text = fmt.Sprintf("%s is no longer given to others. It stays at %s.\n", stopped.Title, stopped.Path)
			}
			return env.Print(stopped, text)
		},
	}
}

func verifyCommand() kith.Command {
	return kith.Command{
		Name: "share verify", Args: "TITLE",
		Summary: "read all of it again, and fetch anew what is damaged",
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			request := namedRequest{What: words[0], Work: rand.Text()}
			var verified Verified
			err := working(ctx, env, request.Work, "checking", func() error {
				return env.API(ctx, http.MethodPost, "/verify", request, &verified)
			})
			if err != nil {
				return err
			}
			text := fmt.Sprintf("All of %s is as it was: %s.\n", verified.Title, terminal.Size(verified.Size))
			if !verified.Whole {
				text = fmt.Sprintf("Some of %s is missing or damaged, and is fetched again from others that have it.\n", verified.Title)
			}
			return env.Print(verified, text)
		},
	}
}

func pauseCommand() kith.Command {
	return changeCommand("pause", "neither give nor take it for now", "%s is paused. To go on: %s\n", "resume")
}

func resumeCommand() kith.Command {
	return changeCommand("resume", "go on after a pause", "%s goes on.\n", "")
}

func followCommand() kith.Command {
	c := changeCommand("follow", "take, or share, each newer version of it, too", "%s is followed. To end that: %s\n", "unfollow")
	c.Help = `From now on each newer version of TITLE takes the place of the older one, as after
kith get --follow; one that is there already comes at once. What you changed in yours is
kept beside it. What this computer shares follows your file or folder: it is shared anew
whenever that changes, as after kith share --follow.`
	return c
}

func unfollowCommand() kith.Command {
	return changeCommand("unfollow", "end that: stay at the version that is here", "%s stays as it is.\n", "")
}

func pinCommand() kith.Command {
	return changeCommand("pin", "keep a copy although the room for copies is used up", "%s is kept. To undo: %s\n", "unpin")
}

func unpinCommand() kith.Command {
	return changeCommand("unpin", "let a copy go when its room is needed", "%s may go when its room is needed.\n", "")
}

// changeCommand is "share VERB TITLE"; undo is the verb that takes it back.
func changeCommand(verb, summary, told, undo string) kith.Command {
	return kith.Command{
		Name: "share " + verb, Args: "TITLE", Summary: summary,
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			var share Share
			if err := env.API(ctx, http.MethodPost, "/"+verb, namedRequest{What: words[0]}, &share); err != nil {
				return err
			}
			args := []any{share.Title}
			if undo != "" {
				args = append(args, env.Line("share", undo, words[0]))
			}
			return env.Print(share, fmt.Sprintf(told, args...))
		},
	}
}

// absolute returns the path that a word means. A slash at its end stays, as it says
// that a directory is meant.
func absolute(env kith.Env, word string) string {
	if filepath.IsAbs(word) {
		return word
	}
	path := filepath.Join(env.Dir, word)
	if word != "" && os.IsPathSeparator(word[len(word)-1]) {
		path += string(filepath.Separator)
	}
	return path
}

func contents(e kith.Entry) string {
	if !e.Folder {
		return terminal.Size(e.Size)
	}
	return fmt.Sprintf("%s in %d files", terminal.Size(e.Size), e.Files)
}

// patience is how long work takes before its progress is shown.
const patience = time.Second

// working does something that may take long, and shows on a terminal how far it is.
func working(ctx context.Context, env kith.Env, work, verb string, do func() error) error {
	if !terminal.Is(env.Stderr) || env.JSON {
		return do()
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	line := terminal.Line{W: env.Stderr}
	defer line.Clear()
	begun := time.Now()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			var p Progress
			if time.Since(begun) < patience || env.API(ctx, http.MethodGet, "/work/"+work, nil, &p) != nil || p.Total == 0 {
				continue
			}
			line.Show(workText(verb, p, time.Since(begun)))
		}
	}
}

// workText is how far work is: bar, rate and time left.
func workText(verb string, p Progress, since time.Duration) string {
	text := fmt.Sprintf("%s %s", verb, terminal.Bar(p.Done, p.Total, 30))
	if perSecond := float64(p.Done) / since.Seconds(); perSecond >= 1 {
		text += fmt.Sprintf("  %s/s  %s left", terminal.Size(int64(perSecond)), clock(time.Duration(float64(p.Total-p.Done)/perSecond*float64(time.Second))))
	}
	return text
}

// clock writes a time to wait as 4:05 or 1:02:03.
func clock(d time.Duration) string {
	seconds := int(d.Round(time.Second) / time.Second)
	if seconds < 3600 {
		return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}
