package web

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"kith.alt/kith"
)

func commands() []kith.Command {
	return []kith.Command{
		{
			Name: "publish", Args: "DIR [--at PATH]",
			Summary: "show a folder to your group as your site",
			Help: `Shows the folder DIR as this host's site, in place of the sample page, or
below PATH of the site. What changes in the folder changes at once. Dot files and
links that lead out of the folder are not shown. Returns once it is served and
prints the address.

Example: kith publish ~/holidays --at /holidays`,
			Run: runPublish,
		},
		{
			Name: "unpublish", Args: "PATH",
			Summary: "stop showing the folder at a path of your site",
			Help:    `PATH is / for the site itself. The folder and its files stay as they are.`,
			Run:     runUnpublish,
		},
		{
			Name: "sites", Args: "",
			Summary: "list what is published and exposed, and whether it works",
			Run:     runSites,
		},
		{
			Name: "expose", Args: "PORT [--to P] [--as NAME]",
			Summary: "make a port of this computer reachable for your group",
			Help: `Makes 127.0.0.1:PORT of this computer reachable for members as port P of
this host (PORT itself if --to is not given). With --as, what speaks HTTP there
is also shown below /NAME/ of your site, WebSockets included. The local
service learns who calls from the header Kith-Peer. Prints the address.

Example: kith expose 3000 --as wiki`,
			Run: runExpose,
		},
		{
			Name: "unexpose", Args: "PORT",
			Summary: "close a port that was exposed",
			Help:    `PORT is the port that members see. Connections through it end.`,
			Run:     runUnexpose,
		},
	}
}

func runPublish(ctx context.Context, env kith.Env, args []string) error {
	flags := newFlags(&env)
	at := flags.String("at", "/", "")
	args, err := parse(flags, args, "publish DIR [--at PATH]", 1)
	if err != nil {
		return err
	}
	dir := args[0]
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(env.Dir, dir)
	}
	var site Site
	if err := env.API(ctx, http.MethodPut, "/sites", siteRequest{Path: *at, Dir: dir}, &site); err != nil {
		return err
	}
	if !env.JSON && site.Replaced != "" {
		fmt.Fprintf(env.Stderr, "This takes the place of %s.\n", site.Replaced)
	}
	return show(env, site, site.URL)
}

func runUnpublish(ctx context.Context, env kith.Env, args []string) error {
	args, err := parse(newFlags(&env), args, "unpublish PATH", 1)
	if err != nil {
		return err
	}
	var site Site
	if err := env.API(ctx, http.MethodDelete, "/sites", siteRequest{Path: args[0]}, &site); err != nil {
		return err
	}
	return show(env, site, fmt.Sprintf("%s is no longer published. To undo: %s publish %s --at %s", site.Dir, env.Kith, quoted(site.Dir), site.Path))
}

func runExpose(ctx context.Context, env kith.Env, args []string) error {
	flags := newFlags(&env)
	to := flags.String("to", "", "")
	name := flags.String("as", "", "")
	args, err := parse(flags, args, "expose PORT [--to P] [--as NAME]", 1)
	if err != nil {
		return err
	}
	request := exposeRequest{Name: *name}
	if request.Target, err = parsePort(args[0]); err != nil {
		return err
	}
	if *to != "" {
		if request.Port, err = parsePort(*to); err != nil {
			return err
		}
	}
	var e Exposed
	if err := env.API(ctx, http.MethodPut, "/exposed", request, &e); err != nil {
		return err
	}
	if !env.JSON && !e.OK {
		fmt.Fprintf(env.Stderr, "It is %s.\n", e.State)
	}
	text := e.Address
	if e.URL != "" {
		text += "\n" + e.URL
	}
	return show(env, e, text)
}

func runUnexpose(ctx context.Context, env kith.Env, args []string) error {
	args, err := parse(newFlags(&env), args, "unexpose PORT", 1)
	if err != nil {
		return err
	}
	port, err := parsePort(args[0])
	if err != nil {
		return err
	}
	var e Exposed
	if err := env.API(ctx, http.MethodDelete, "/exposed", exposeRequest{Port: port}, &e); err != nil {
		return err
	}
	return show(env, e, fmt.Sprintf("%s is closed.", e.Address))
}

func runSites(ctx context.Context, env kith.Env, args []string) error {
	if _, err := parse(newFlags(&env), args, "sites", 0); err != nil {
		return err
	}
	var o Overview
	if err := env.API(ctx, http.MethodGet, "/sites", nil, &o); err != nil {
		return err
	}
	if env.JSON {
		return show(env, o, "")
	}
	table := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
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
	if err := table.Flush(); err != nil {
		return err
	}
	if o.Sample && len(o.Sites) == 0 {
		fmt.Fprintf(env.Stderr, "To show a folder of yours: %s publish DIR\n", env.Kith)
	}
	return nil
}

// newFlags returns the flags of a command, among them --json, which may stand
// with the command, too.
func newFlags(env *kith.Env) *flag.FlagSet {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&env.JSON, "json", env.JSON, "")
	return flags
}

// parse reads flags before, among and after exactly want arguments, and
// returns these.
func parse(flags *flag.FlagSet, args []string, usage string, want int) ([]string, error) {
	var plain []string
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				err = errors.New("see kith help")
			}
			return nil, fmt.Errorf("%v; usage: kith %s: %w", err, usage, kith.Invalid)
		}
		rest := flags.Args()
		if n := len(args) - len(rest); n > 0 && args[n-1] == "--" {
			plain = append(plain, rest...)
			break
		}
		if len(rest) == 0 {
			break
		}
		plain, args = append(plain, rest[0]), rest[1:]
	}
	if len(plain) != want {
		return nil, fmt.Errorf("%d arguments, want %d; usage: kith %s: %w", len(plain), want, usage, kith.Invalid)
	}
	return plain, nil
}

func parsePort(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%q is no port; name one from 1 to 65535: %w", text, kith.Invalid)
	}
	return uint16(port), nil
}

// show writes the result of a command, as JSON when that is asked for.
func show(env kith.Env, result any, text string) error {
	if env.JSON {
		out := json.NewEncoder(env.Stdout)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		return out.Encode(result)
	}
	_, err := fmt.Fprintln(env.Stdout, text)
	return err
}

// quoted writes a path so that it can be pasted into a shell.
func quoted(path string) string {
	for _, c := range path {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '/' && c != '.' && c != '-' && c != '_' && c != '~' && c != ':' && c != '\\' {
			return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
		}
	}
	return path
}
