package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"kith.alt/kith"
	"kith.alt/kith/app/all"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/node"
)

// Main runs the command line args, without the program's name, and returns the
// exit code. When ctx ends, commands give up and a node stops, within five
// seconds.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &env{stdin: stdin, stdout: stdout, stderr: stderr, kith: startedAs(os.Executable, os.Args[0]), apps: all.Apps(), newNode: newNode}
	return e.main(ctx, args)
}

// env is what commands see of the world.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	kith           string // how the program was started, for next steps: "kith", "go run ./cmd/kith"
	apps           []kith.App
	newNode        func(node.Config) (runner, error)

	data string // the data directory
	json bool
}

// A command is a verb.
type command struct {
	name    string // "invite", "account add"
	args    string // "HOST PORT", "[HOST]"
	summary string // one line, for the list
	help    string // further lines
	group   string // heading in the list

	flags func(*flag.FlagSet)
	run   func(ctx context.Context, e *env, words []string) error

	app     *kith.App // whose command it is; nil: the node's
	foreign *kith.Command
}

// commands are all verbs, in the order of the list that help prints.
func (e *env) commands() []command {
	list := []command{
		upCommand(), inviteCommand(), joinCommand(), membersCommand(),
		revokeCommand(), trustCommand(), leaveCommand(), renameCommand(), adminCommand("add"), adminCommand("remove"),
		dialCommand(),
		accountAddCommand(), accountListCommand(),
		statusCommand(), doctorCommand(), stopCommand(),
		serviceCommand("install"), serviceCommand("remove"), serviceCommand("status"),
		versionCommand(), completionCommand(), helpCommand(),
	}
	for _, app := range e.apps {
		for _, c := range app.Commands {
			list = append(list, appCommand(&app, c))
		}
	}
	return list
}

func (e *env) main(ctx context.Context, args []string) int {
	verb, err := e.run(ctx, args)
	if err == nil || errors.Is(err, errSilent) {
		return exitCode(err)
	}
	fmt.Fprintf(e.stderr, "kith: %v\n", err)
	if remedy := e.remedy(verb, err); remedy != "" {
		fmt.Fprintln(e.stderr, remedy)
	}
	return exitCode(err)
}

// errSilent is a failure that has been told already.
var errSilent = errors.New("told already")

func (e *env) run(ctx context.Context, args []string) (verb string, err error) {
	commands := e.commands()
	l, err := split(args, takesValue(commands))
	if err != nil {
		return "", err
	}
	c, words, err := find(commands, l.words)
	if err != nil {
		return "", err
	}
	l.words = words

	set := flag.NewFlagSet(c.name, flag.ContinueOnError)
	common := e.commonFlags(set)
	if c.flags != nil {
		c.flags(set)
	}
	if c.foreign != nil { // its own flags are its own business
		own := line{words: l.words}
		l.flags = slices.DeleteFunc(l.flags, func(f setFlag) bool {
			foreign := set.Lookup(f.name) == nil
			if foreign {
				own.flags = append(own.flags, f)
			}
			return foreign
		})
		words = own.text()
	}
	if err := l.apply(set, c.name); err != nil {
		return c.name, err
	}
	if common.help {
		e.writeHelp(c)
		return c.name, nil
	}
	if c.foreign == nil {
		if err := checkWords(words, parseArguments(c.args), c.name); err != nil {
			return c.name, err
		}
	}
	if e.data = common.data; e.data == "" {
		if e.data, err = config.DefaultDir(); err != nil {
			return c.name, err
		}
	} else {
		e.kith += " --data " + quoted(e.data)
	}
	return c.name, c.run(ctx, e, words)
}

// common are the flags of every command.
type common struct {
	data string
	help bool
}

func (e *env) commonFlags(set *flag.FlagSet) *common {
	c := new(common)
	set.StringVar(&c.data, "data", "", "the node's data `DIR`ectory, instead of $KITH_DATA or the default")
	set.BoolVar(&e.json, "json", false, "print the result as JSON")
	set.BoolVar(&c.help, "help", false, "explain the command")
	set.BoolVar(&c.help, "h", false, "")
	return c
}

// takesValue knows the flags of every command. Flags of one name agree on it.
func takesValue(commands []command) func(string) bool {
	values := make(map[string]bool)
	for _, c := range commands {
		set := flag.NewFlagSet("", flag.ContinueOnError)
		new(env).commonFlags(set)
		if c.flags != nil {
			c.flags(set)
		}
		set.VisitAll(func(f *flag.Flag) {
			if !isBool(f) {
				values[f.Name] = true
			}
		})
		if c.foreign != nil {
			for _, a := range parseArguments(c.args) {
				if a.value != "" {
					values[strings.TrimLeft(a.name, "-")] = true
				}
			}
		}
	}
	return func(name string) bool { return values[name] }
}

// find finds the command that words begin with, of one word or two; without
// words it is up.
func find(commands []command, words []string) (command, []string, error) {
	if len(words) == 0 {
		words = []string{"up"}
	}
	for n := min(2, len(words)); n > 0; n-- {
		name := strings.Join(words[:n], " ")
		for _, c := range commands {
			if c.name == name {
				return c, words[n:], nil
			}
		}
	}
	var second []string
	for _, c := range commands {
		if after, ok := strings.CutPrefix(c.name, words[0]+" "); ok {
			second = append(second, after)
		}
	}
	if second != nil {
		return command{}, nil, usageError("%s is followed by %s", words[0], strings.Join(second, " or "))
	}
	return command{}, nil, usageError("there is no command %q", words[0])
}

// client returns a client of the running node.
func (e *env) client(ctx context.Context) (*control.Client, error) {
	return control.Dial(ctx, e.data)
}

// print writes the result of a command: as JSON when that is asked for, else
// as the text.
func (e *env) print(result any, text string) error {
	if !e.json {
		_, err := io.WriteString(e.stdout, text)
		return err
	}
	enc := json.NewEncoder(e.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(result)
}

// tell explains something to a person, beside the result.
func (e *env) tell(format string, args ...any) {
	if !e.json {
		fmt.Fprintf(e.stderr, format+"\n", args...)
	}
}

// isTerminal reports whether a person is at the end of f.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
