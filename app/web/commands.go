package web

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/ui"
)

func publishCommand() kith.Command {
	var at string
	var noCopies bool
	return kith.Command{
		Name: "publish", Args: "DIR",
		Summary: "show a folder to your group as your site",
		Help: `Shows the folder DIR as this host's site, in place of the sample page, or
below PATH of the site. What changes in the folder changes at once. Dot files and
links that lead out of the folder are not shown. Returns once it is served and
prints the address.

Members who visit keep a copy, which they show to each other while this
computer sleeps; --no-copies prevents that.

Example: kith publish ~/holidays --at /holidays`,
		Flags: func(set *flag.FlagSet) {
			set.StringVar(&at, "at", "/", "the `PATH` of the site where it stands")
			set.BoolVar(&noCopies, "no-copies", false, "members keep no copies of it")
		},
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			dir := words[0]
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(env.Dir, dir)
			}
			var site Site
			if err := env.API(ctx, http.MethodPut, "/sites", siteRequest{Path: at, Dir: dir, NoCopies: noCopies}, &site); err != nil {
				return err
			}
			if site.Replaced != "" {
				env.Tell("This takes the place of %s.", site.Replaced)
			}
			return env.Print(site, site.URL+"\n")
		},
	}
}

func unpublishCommand() kith.Command {
	return kith.Command{
		Name: "unpublish", Args: "PATH",
		Summary: "stop showing the folder at a path of your site",
		Help:    `PATH is / for the site itself. The folder and its files stay as they are.`,
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			var site Site
			if err := env.API(ctx, http.MethodDelete, "/sites", siteRequest{Path: words[0]}, &site); err != nil {
				return err
			}
			return env.Print(site, fmt.Sprintf("%s is no longer published. To undo: %s\n",
				site.Dir, env.Line("publish", site.Dir, "--at", site.Path)))
		},
	}
}

func sitesCommand() kith.Command {
	var keep *bool
	var forget string
	return kith.Command{
		Name:    "sites",
		Summary: "list what is published and exposed, and whether it works",
		Help: `Lists, too, the copies that are kept here of sites of others. A site that a
browser on this computer has opened is kept, within the quota for copies, and
shown to this computer and to other members while its host sleeps.
With --keep-visited=false none are kept.`,
		Flags: func(set *flag.FlagSet) {
			set.BoolFunc("keep-visited", "keep sites that are visited: true, as in the beginning, or false", func(text string) error {
				value, err := strconv.ParseBool(text)
				keep = &value
				return err
			})
			set.StringVar(&forget, "forget", "", "delete the copies of the sites of `HOST`")
		},
		Run: func(ctx context.Context, env kith.Env, _ []string) error {
			var o Overview
			if keep != nil {
				if err := env.API(ctx, http.MethodPut, "/settings", settingsRequest{*keep}, &o); err != nil {
					return err
				}
			}
			if forget != "" {
				if err := env.API(ctx, http.MethodDelete, "/kept", forgetRequest{Host: forget}, &o); err != nil {
					return err
				}
			}
			if err := env.API(ctx, http.MethodGet, "/sites", nil, &o); err != nil {
				return err
			}
			if err := env.Print(o, sitesTable(o)+keptTable(o)); err != nil {
				return err
			}
			if o.Sample && len(o.Sites) == 0 {
				env.Tell("To show a folder of yours: %s", env.Line("publish", "DIR"))
			}
			return nil
		},
	}
}

func sitesTable(o Overview) string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if o.Sample {
		fmt.Fprintf(table, "%s\t(the sample page)\tserved\n", o.URL)
	}
	for _, s := range o.Sites {
		fmt.Fprintf(table, "%s\t%s\t%s%s\n", s.URL, s.Dir, s.State, copiesNote(s))
	}
	for _, e := range o.Exposed {
		fmt.Fprintf(table, "%s\tport %d of this computer\t%s\n", e.Address, e.Target, e.State)
		if e.URL != "" {
			fmt.Fprintf(table, "%s\tport %d of this computer\t%s\n", e.URL, e.Target, e.State)
		}
	}
	table.Flush() // to a strings.Builder, which does not fail
	return b.String()
}

// copiesNote says what is out of the ordinary with copies of a site.
func copiesNote(s Site) string {
	switch s.Copies {
	case copiesAllowed, copiesSoon:
		return ""
	case copiesOff:
		return "; members keep no copies"
	}
	return "; members can keep no copies: " + s.Copies
}

// keptTable lists the copies of others' sites.
func keptTable(o Overview) string {
	if len(o.Kept) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\nCopies of others' sites:\n")
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, k := range o.Kept {
		fmt.Fprintf(table, "%s%s\t%s\t%s\n", k.Host, k.Path, ui.Size(k.Size), k.state())
	}
	table.Flush() // to a strings.Builder, which does not fail
	return b.String()
}

// state says in a few words how old a copy is, or what it lacks.
func (k Kept) state() string {
	switch {
	case k.Problem != "":
		return k.Problem
	case k.Content == "" || k.Size == 0 && k.Have == 0:
		return "on its way"
	case k.Have < k.Size:
		return fmt.Sprintf("%d %% are here", k.Have*100/k.Size)
	}
	return "published " + ui.Relative(time.Until(k.Published))
}

func exposeCommand() kith.Command {
	var to, name string
	return kith.Command{
		Name: "expose", Args: "PORT",
		Summary: "make a port of this computer reachable for your group",
		Help: `Makes 127.0.0.1:PORT of this computer reachable for members as port P of
this host (PORT itself if --to is not given). With --as, what speaks HTTP there
is also shown below /NAME/ of your site, WebSockets included. The local
service learns who calls from the header Kith-Peer. Prints the address.

Example: kith expose 3000 --as wiki`,
		Flags: func(set *flag.FlagSet) {
			set.StringVar(&to, "to", "", "the port `P` that members see; without it, PORT")
			set.StringVar(&name, "as", "", "show it below /`NAME`/ of the site, too")
		},
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			request := exposeRequest{Name: name}
			var err error
			if request.Target, err = parsePort(words[0]); err != nil {
				return err
			}
			if to != "" {
				if request.Port, err = parsePort(to); err != nil {
					return err
				}
			}
			var e Exposed
			if err := env.API(ctx, http.MethodPut, "/exposed", request, &e); err != nil {
				return err
			}
			if !e.OK {
				env.Tell("It is %s.", e.State)
			}
			text := e.Address + "\n"
			if e.URL != "" {
				text += e.URL + "\n"
			}
			return env.Print(e, text)
		},
	}
}

func unexposeCommand() kith.Command {
	return kith.Command{
		Name: "unexpose", Args: "PORT",
		Summary: "close a port that was exposed",
		Help:    `PORT is the port that members see. Connections through it end.`,
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			port, err := parsePort(words[0])
			if err != nil {
				return err
			}
			var e Exposed
			if err := env.API(ctx, http.MethodDelete, "/exposed", exposeRequest{Port: port}, &e); err != nil {
				return err
			}
			return env.Print(e, fmt.Sprintf("%s is closed.\n", e.Address))
		},
	}
}

func parsePort(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%q is no port; name one from 1 to 65535: %w", text, kith.Invalid)
	}
	return uint16(port), nil
}
