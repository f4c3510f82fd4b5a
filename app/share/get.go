package share

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/terminal"
)

func getCommand() kith.Command {
	var request takeRequest
	var out string
	return kith.Command{
		Name: "get", Args: "LINK|TITLE|TORRENT",
		Summary: "take what somebody shares: by its link, magnet, title or .torrent file",
		Help: `Fetches it from all members that have it, checks every part, and prints the path
of the file or folder, which appears under its name only when it is complete. Where
two share under one title, name it HOST/TITLE. This computer then gives it to
others, too, until kith share stop.

A magnet link or .torrent file also leads to torrent clients on this computer that have the
files: those that use this node as their tracker, or stand in the link as x.pe. The torrent
has to be of BitTorrent version 2 (BEP 52), such as the hybrid ones that qBittorrent makes.

-o names the file or folder to make, or an existing directory to put it into; that
is the current directory if it is not given. Nothing else that stands there is
replaced without --replace.

Ctrl-C pauses it; the same command goes on where it was. Where the command is killed,
the node goes on by itself, and kith share pause stops it.

Example: kith get "Holiday 2026" -o ~/films/`,
		Flags: func(set *flag.FlagSet) {
			set.StringVar(&out, "o", "", "the `PATH` to make, or a directory to put it into")
			set.BoolVar(&request.Replace, "replace", false, "bring what stands at the path up to date; what was changed there is kept beside it")
			set.BoolVar(&request.Follow, "follow", false, "take each newer version of the title, too")
		},
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			request.What, request.To = torrentPath(env, words[0]), absolute(env, cmp.Or(out, "."))
			g := getting{env: env, show: terminal.Is(env.Stderr) && !env.JSON, line: terminal.Line{W: env.Stderr}}
			share, err := g.get(ctx, request)
			g.line.Clear()
			if err != nil {
				return err
			}
			return env.Print(share, share.Path+"\n")
		},
	}
}

// torrentPath makes the name of a .torrent file absolute; other words stay.
func torrentPath(env kith.Env, word string) string {
	if !strings.HasSuffix(strings.ToLower(word), torrentSuffix) || strings.Contains(word, "://") || strings.HasPrefix(word, "magnet:") || kith.IsLink(word) {
		return word
	}
	path := absolute(env, word)
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return word // maybe a title
	}
	return path
}

// getting is a kith get under way.
type getting struct {
	env  kith.Env
	show bool // somebody watches
	line terminal.Line
	told string // the last reason
}

// get takes something and waits until it is complete. Interrupted, it pauses it.
func (g *getting) get(ctx context.Context, request takeRequest) (Share, error) {
	var share Share
	if err := g.env.API(ctx, http.MethodPost, "/take", request, &share); err != nil {
		return Share{}, err
	}
	if share.Path == "" { // nobody knew the name: it comes with the description
		described, err := g.wait(ctx, share, func(s Share) bool { return s.Files > 0 })
		if err != nil {
			return Share{}, err
		}
		if err := g.env.API(ctx, http.MethodPost, "/take", request, &share); err != nil {
			return Share{}, err
		}
		share.Path = cmp.Or(share.Path, described.Path)
	}
	path := share.Path
	share, err := g.wait(ctx, share, func(s Share) bool { return s.State == kith.HoldingComplete })
	share.Path = path
	return share, err
}

// How long to wait for a change while somebody watches progress, and while nobody does.
const (
	watched   = 250 * time.Millisecond
	unwatched = 2 * time.Second
)

// wait watches a share until it is as wanted.
func (g *getting) wait(ctx context.Context, share Share, wanted func(Share) bool) (Share, error) {
	id, pause := share.Content, unwatched
	if g.show {
		pause = watched
	}
	for {
		switch {
		case wanted(share):
			return share, nil
		case share.State == kith.HoldingPaused && share.Reason != "":
			return share, fmt.Errorf("%s is paused: %s Go on with: %s: %w", share.Title, share.Reason, g.env.Line("get", share.Link), kith.Temporary)
		case share.State == kith.HoldingPaused:
			return share, fmt.Errorf("%s was paused; to go on: %s: %w", share.Title, g.env.Line("share", "resume", share.Link), kith.Temporary)
		}
		if g.show {
			g.line.Show(getText(share))
		} else if share.Reason != "" && share.Reason != g.told {
			g.told = share.Reason
			g.env.Tell("%s", share.Reason)
		}
		query := url.Values{"state": {share.State}, "wait": {strconv.FormatInt(pause.Milliseconds(), 10)}}
		var next Share
		err := g.env.API(ctx, http.MethodGet, "/shares/"+id.String()+"?"+query.Encode(), nil, &next)
		if ctx.Err() != nil {
			return share, g.interrupted(share, ctx.Err())
		}
		if err != nil {
			return share, err
		}
		share = next
	}
}

// interrupted pauses a share, and says how to go on.
func (g *getting) interrupted(share Share, cause error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	g.line.Clear()
	var paused Share
	if err := g.env.API(ctx, http.MethodPost, "/pause", namedRequest{What: kith.Link{Content: share.Content}.String()}, &paused); err != nil {
		return cause
	}
	return interruption{fmt.Sprintf("%s is paused at %s; the same command goes on", share.Title, percent(share.Have, share.Size)), cause}
}

// An interruption is the end of a context, in words.
type interruption struct {
	text  string
	cause error
}

func (i interruption) Error() string { return i.text }
func (i interruption) Unwrap() error { return i.cause }

// getText is how far a share is, on one line.
func getText(s Share) string {
	if s.Files == 0 {
		return s.Title + "  " + cmp.Or(s.Reason, "asking for it")
	}
	title := s.Title
	if runes := []rune(title); len(runes) > 20 {
		title = string(runes[:19]) + "…"
	}
	text := fmt.Sprintf("%s %s", title, terminal.Bar(s.Have, s.Size, 20))
	switch {
	case s.State == kith.HoldingChecking:
		return text + "  checking"
	case s.Down < 1:
		return text + "  " + cmp.Or(s.Reason, "waiting")
	}
	peers := 0
	for _, p := range s.Peers {
		if p.Down >= 1 {
			peers++
		}
	}
	text += fmt.Sprintf(" %s from %d", rate(s.Down), peers)
	if s.Left > 0 {
		text += "  " + clock(s.Left) + " left"
	}
	return text
}
