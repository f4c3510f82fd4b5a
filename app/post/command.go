package post

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/terminal"
)

// shortID is how much of a letter's name lists show.
const shortID = 8

// listCommand has two names, as a list is what people want most.
func listCommand(name string) kith.Command {
	var app string
	var all bool
	var limit int
	return kith.Command{
		Name:    name,
		Summary: "list the letters of this computer, and how they are doing",
		Help: `Letters are what applications, such as mail, leave for hosts that may be asleep. Lists
those under way and those that ended within a day, the newest first.`,
		Flags: func(set *flag.FlagSet) {
			set.StringVar(&app, "application", "", "letters of one application only, `NAME`")
			set.BoolVar(&all, "all", false, "those that ended long ago, too")
			set.IntVar(&limit, "limit", 50, "at most so many, `N`")
		},
		Run: func(ctx context.Context, env kith.Env, _ []string) error {
			query := url.Values{"app": {app}, "limit": {strconv.Itoa(limit)}}
			if all {
				query.Set("all", "yes")
			}
			var letters []Letter
			if err := env.API(ctx, http.MethodGet, "/letters?"+query.Encode(), nil, &letters); err != nil {
				return err
			}
			if err := env.Print(letters, lettersTable(letters)); err != nil {
				return err
			}
			switch {
			case len(letters) == 0 && !all:
				env.Tell("No letters are under way. Those that ended: %s", env.Line("post", "list", "--all"))
			case len(letters) == 0:
				env.Tell("This computer has sent no letters.")
			case len(letters) == limit:
				env.Tell("There may be more: --limit shows them.")
			}
			return nil
		},
	}
}

func lettersTable(letters []Letter) string {
	return table(len(letters), "LETTER\tAPP\tTO\tSENT\tSTATE", func(row func(string, ...any)) {
		for _, l := range letters {
			row("%s\t%s\t%s\t%s\t%s", l.ID.String()[:shortID], l.App, l.ToName, clock(l.Sent, time.Now()), l.Text)
		}
	})
}

func table(rows int, heading string, write func(row func(format string, args ...any))) string {
	if rows == 0 {
		return ""
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if heading != "" {
		fmt.Fprintln(w, heading)
	}
	write(func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) })
	w.Flush() // to a strings.Builder, which does not fail
	return b.String()
}

func showCommand() kith.Command {
	return kith.Command{
		Name: "post show", Args: "LETTER",
		Summary: "show one letter of this computer, and its way so far",
		Help:    `LETTER is its name of 26 letters and digits, or so much of its beginning that it is the only one.`,
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			var l Letter
			if err := env.API(ctx, http.MethodGet, "/letters/"+url.PathEscape(words[0]), nil, &l); err != nil {
				return err
			}
			return env.Print(l, letterText(l, time.Now()))
		},
	}
}

func letterText(l Letter, now time.Time) string {
	return table(1, "", func(row func(string, ...any)) {
		row("Letter\t%s", l.ID)
		row("Of\t%s", l.App)
		row("To\t%s (%s)", l.ToName, l.To)
		row("Size\t%s", terminal.Size(l.Size))
		row("%s\twritten", clock(l.Sent, now))
		if l.Ended() {
			text := l.State
			if l.Reason != "" {
				text += ": " + clause(l.Reason)
			}
			row("%s\t%s", clock(l.Since, now), text)
			return
		}
		row("now\t%s", l.Text)
		row("%s\texpires, if it is not delivered before", clock(l.Expires, now))
	})
}

func heldCommand() kith.Command {
	return kith.Command{
		Name:    "post held",
		Summary: "list whose letters this computer holds for others",
		Help:    `They are sealed: nobody but their receivers can read them.`,
		Run: func(ctx context.Context, env kith.Env, _ []string) error {
			var held []Held
			if err := env.API(ctx, http.MethodGet, "/held", nil, &held); err != nil {
				return err
			}
			text := table(len(held), "OF\tLETTERS\tSIZE", func(row func(string, ...any)) {
				for _, h := range held {
					row("%s\t%d\t%s", h.Name, h.Letters, terminal.Size(h.Bytes))
				}
			})
			if err := env.Print(held, text); err != nil {
				return err
			}
			if len(held) == 0 {
				env.Tell("This computer holds no letters for others.")
			}
			return nil
		},
	}
}

func lostCommand() kith.Command {
	return kith.Command{
		Name:    "post lost",
		Summary: "list letters that this computer lost when it was restored",
		Help: `They had come after the backup was made. Whoever still holds one is asked for it, and
it leaves the list when it is here again.`,
		Run: func(ctx context.Context, env kith.Env, _ []string) error {
			var lost []Lost
			if err := env.API(ctx, http.MethodGet, "/lost", nil, &lost); err != nil {
				return err
			}
			now := time.Now()
			text := table(len(lost), "LETTER\tFROM\tCAME\tMAY COME UNTIL", func(row func(string, ...any)) {
				for _, l := range lost {
					row("%s\t%s\t%s\t%s", l.ID.String()[:shortID], l.Name, clock(l.Received, now), clock(l.Expires, now))
				}
			})
			if err := env.Print(lost, text); err != nil {
				return err
			}
			if len(lost) == 0 {
				env.Tell("Nothing is lost.")
			}
			return nil
		},
	}
}

func limitCommand() kith.Command {
	var change limitFlags
	return kith.Command{
		Name:    "post limit",
		Summary: "show, or limit, what letters may use of this computer",
		Help: `With --margin on, members keep what was delivered to this computer for a week, so that it is
there again after a restore from a backup.

Example: kith post limit --total 4GB --sender 1GB`,
		Flags: change.define,
		Run: func(ctx context.Context, env kith.Env, _ []string) error {
			var limits kith.PostLimits
			if err := env.API(ctx, http.MethodGet, "/limits", nil, &limits); err != nil {
				return err
			}
			if len(change) > 0 {
				for _, apply := range change {
					apply(&limits)
				}
				if err := env.API(ctx, http.MethodPut, "/limits", limits, &limits); err != nil {
					return err
				}
			}
			return env.Print(limits, limitsText(limits))
		},
	}
}

// limitFlags are what the flags of a line change.
type limitFlags []func(*kith.PostLimits)

func (f *limitFlags) define(set *flag.FlagSet) {
	*f = nil
	for _, size := range []struct {
		name, usage string
		field       func(*kith.PostLimits) *int64
	}{
		{"total", "hold at most so many bytes of letters for others, `SIZE`", func(l *kith.PostLimits) *int64 { return &l.Total }},
		{"sender", "of these, at most so many of each sender, `SIZE`", func(l *kith.PostLimits) *int64 { return &l.Sender }},
	} {
		set.Func(size.name, size.usage, func(text string) error {
			value, err := terminal.ParseSize(text)
			if err != nil {
				return fmt.Errorf("%w: %w", err, kith.Invalid)
			}
			*f = append(*f, func(l *kith.PostLimits) { *size.field(l) = value })
			return nil
		})
	}
	set.Func("copies", "have so many members hold each letter of this computer, `N`", func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxCopies {
			return fmt.Errorf("%q is no number from 1 to %d: %w", text, maxCopies, kith.Invalid)
		}
		*f = append(*f, func(l *kith.PostLimits) { l.Copies = n })
		return nil
	})
	set.Func("margin", "have members keep for a week what was delivered here, `on|off`", func(text string) error {
		if text != "on" && text != "off" {
			return fmt.Errorf("%q is neither on nor off: %w", text, kith.Invalid)
		}
		*f = append(*f, func(l *kith.PostLimits) { l.Margin = text == "on" })
		return nil
	})
}

func limitsText(l kith.PostLimits) string {
	margin := "off"
	if l.Margin {
		margin = "on"
	}
	return table(1, "", func(row func(string, ...any)) {
		row("Letters for others\t%s", terminal.Size(cmp.Or(l.Total, kith.DefaultCustody)))
		row("Of each sender\t%s", terminal.Size(cmp.Or(l.Sender, kith.DefaultSenderCustody)))
		row("Copies of each letter\t%d", cmp.Or(l.Copies, kith.DefaultLetterCopies))
		row("Margin\t%s", margin)
	})
}
