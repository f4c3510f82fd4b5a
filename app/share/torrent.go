package share

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"

	"kith.alt/kith"
)

// torrentFlags are those of a line.
type torrentFlags struct {
	out                     string
	open                    string
	close                   bool
	makePublic, makePrivate bool
}

func torrentCommand() kith.Command {
	var flags torrentFlags
	return kith.Command{
		Name: "share torrent", Args: "[TITLE]",
		Summary: "write a .torrent file for standard clients, and let in those on other computers",
		Help: `Writes the file and prints the magnet link. A torrent client on this computer then
takes TITLE from this node, and gives it back. -o names the file to make, or an existing
directory to put it into; that is the current directory if it is not given.

Torrent clients on other computers get nothing, unless you say so twice. --make-public
marks TITLE, in all versions that you share under it; what you took from others is
marked one version at a time. --open lets them in: on your local networks (lan),
wherever this computer is reached (any), or at one of its addresses. Then anybody who
can reach that address and has the torrent's hash gets the files, without the group's
encryption. --close and --make-private take it back, and end what runs. Both are
remembered, and these four write no file. Without TITLE it shows what is open and public.

Example: kith share torrent Holiday --make-public
         kith share torrent --open lan
         kith share torrent Holiday`,
		Flags: func(set *flag.FlagSet) {
			flags.open = ""
			set.StringVar(&flags.out, "o", "", "the `PATH` to make, or a directory to put it into")
			set.BoolVar(&flags.makePublic, "make-public", false, "torrent clients on other computers may take TITLE")
			set.BoolVar(&flags.makePrivate, "make-private", false, "only the group may, and this computer")
			set.BoolVar(&flags.close, "close", false, "let no torrent clients on other computers in")
			set.Func("open", "let them in: lan, any or an `ADDRESS` of this computer", func(text string) error {
				if flags.open = text; text == "" {
					return fmt.Errorf("say lan, any or an address of this computer: %w", kith.Invalid)
				}
				return nil
			})
		},
		Run: func(ctx context.Context, env kith.Env, words []string) error { return flags.run(ctx, env, words) },
	}
}

func (f torrentFlags) run(ctx context.Context, env kith.Env, words []string) error {
	marks := f.makePublic || f.makePrivate
	switch {
	case f.makePublic && f.makePrivate:
		return fmt.Errorf("--make-public or --make-private, not both: %w", kith.Invalid)
	case f.open != "" && f.close:
		return fmt.Errorf("--open or --close, not both: %w", kith.Invalid)
	case marks && len(words) == 0:
		return fmt.Errorf("what is to be %s? Give a TITLE: %w", map[bool]string{true: "public", false: "private"}[f.makePublic], kith.Invalid)
	case f.out != "" && (marks || len(words) == 0):
		return fmt.Errorf("-o names the file that is written for a TITLE, and this line writes none: %w", kith.Invalid)
	}
	if marks {
		verb := map[bool]string{true: "/make-public", false: "/make-private"}[f.makePublic]
		if err := env.API(ctx, http.MethodPost, verb, namedRequest{What: words[0]}, new(Share)); err != nil {
			return err
		}
	}
	if f.open != "" || f.close {
		if err := env.API(ctx, http.MethodPut, "/door", doorRequest{Open: f.open}, new(Door)); err != nil {
			return err
		}
	}
	if len(words) > 0 && !marks {
		return writeTorrent(ctx, env, words[0], f.out)
	}
	var d Door
	if err := env.API(ctx, http.MethodGet, "/door", nil, &d); err != nil {
		return err
	}
	if err := env.Print(d, doorText(d)); err != nil {
		return err
	}
	tell(env, d)
	return nil
}

// writeTorrent makes a .torrent file.
func writeTorrent(ctx context.Context, env kith.Env, title, out string) error {
	var torrent Torrent
	if err := env.API(ctx, http.MethodPost, "/torrent", namedRequest{What: title}, &torrent); err != nil {
		return err
	}
	path, _, err := placeFor(absolute(env, cmp.Or(out, ".")), torrent.Name)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if os.IsExist(err) {
		return fmt.Errorf("%s exists already; choose another place with -o: %w", path, kith.Exists)
	} else if err != nil {
		return err
	}
	_, err = f.Write(torrent.File)
	if err := cmp.Or(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	env.Tell("Written: %s", path)
	err = env.Print(struct {
		Path   string `json:"path"`
		Magnet string `json:"magnet"`
	}{path, torrent.Magnet}, torrent.Magnet+"\n")
	if err == nil && torrent.Public {
		err = tellDoor(ctx, env)
	}
	return err
}

// doorText says who is let in, and to what.
func doorText(d Door) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	at := ""
	if len(d.Addresses) > 0 {
		at = ", at " + join(d.Addresses, ", ")
	}
	fmt.Fprintf(w, "Open to\t%s%s\n", cmp.Or(d.Open, "nobody"), at)
	for _, problem := range d.Problems {
		fmt.Fprintf(w, "Problem\t%s\n", problem)
	}
	fmt.Fprintf(w, "Public\t%s\n", cmp.Or(strings.Join(d.Public, ", "), "nothing"))
	w.Flush() // to a strings.Builder, which does not fail
	return b.String()
}

// tell warns of what strangers get, or says what they lack to get it.
func tell(env kith.Env, d Door) {
	switch open, public := d.Open != "", len(d.Public) > 0; {
	case open && public:
		env.Tell("Warning: anybody who can reach %s and has the torrent's hash gets what is public,\nwithout the group's encryption.", cmp.Or(d.At(), "this computer there"))
	case open:
		env.Tell("Nobody gets anything, as nothing is public. To make something public: %s", env.Line("share", "torrent", "TITLE", "--make-public"))
	case public:
		env.Tell("Nobody outside of the group gets it, as they are not let in. To let them in: %s", env.Line("share", "torrent", "--open", kith.OpenLAN))
	}
}

// tellDoor says who gets what is public.
func tellDoor(ctx context.Context, env kith.Env) error {
	var d Door
	if err := env.API(ctx, http.MethodGet, "/door", nil, &d); err != nil {
		return err
	}
	tell(env, d)
	return nil
}
