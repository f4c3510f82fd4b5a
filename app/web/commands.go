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

	"kith.alt/kith"
)

func publishCommand() kith.Command {
	var at string
	return kith.Command{
		Name: "publish", Args: "DIR",
		Summary: "show a folder to your group as your site",
		Help: `Shows the folder DIR as this host's site, in place of the sample page, or
below PATH of the site. What changes in the folder changes at once. Dot files and
links that lead out of the folder are not shown. Returns once it is served and
prints the address.

Example: kith publish ~/holidays --at /holidays`,
		Flags: func(set *flag.FlagSet) {
			set.StringVar(&at, "at", "/", "the `PATH` of the site where it stands")
		},
		Run: func(ctx context.Context, env kith.Env, words []string) error {
			dir := words[0]
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(env.Dir, dir)
			}
			var site Site
			if err := env.API(ctx, http.MethodPut, "/sites", siteRequest{Path: at, Dir: dir}, &site); err != nil {
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
	return kith.Command{
		Name:    "sites",
		Summary: "list what is published and exposed, and whether it works",
		Run: func(ctx context.Context, env kith.Env, _ []string) error {
			var o Overview
			if err := env.API(ctx, http.MethodGet, "/sites", nil, &o); err != nil {
				return err
			}
			if err := env.Print(o, sitesTable(o)); err != nil {
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
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.URL, s.Dir, s.State)
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
