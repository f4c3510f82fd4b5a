package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

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
	e := &env{
		Env:  kith.Env{Stdin: stdin, Stdout: stdout, Stderr: stderr, Kith: startedAs(os.Executable, os.Args[0])},
		apps: all.Apps(), newNode: newNode,
	}
	return e.main(ctx, args)
}

// env is what commands see of the world: what those of applications see but
// for the API, and the node's data.
type env struct {
	kith.Env
	apps    []kith.App
	newNode func(node.Config) (runner, error)
	data    string   // the data directory
	program []string // Kith without --data
}

// A command is a verb.
type command struct {
	name    string // "invite", "account add"
	args    string // the words it takes: "HOST PORT", "[HOST]"
	summary string // one line, for the list
	help    string // further lines
	group   string // heading in the list

	flags func(*flag.FlagSet)

	// One of these does it: ask, with the node that runs, or run.
	ask func(ctx context.Context, e *env, node *control.Client, words []string) error
	run func(ctx context.Context, e *env, words []string) error
}

// commands are all verbs, in the order of the list that help prints.
func (e *env) commands() []command {
	list := []command{
		upCommand(), inviteCommand(), joinCommand(), membersCommand(),
		revokeCommand(), trustCommand(), leaveCommand(), renameCommand(), adminCommand("add"), adminCommand("remove"),
		pingCommand(), traceCommand(),
		dialCommand(),
		accountAddCommand(), accountLinkCommand(), accountListCommand(), caCommand(), openCommand(), closeCommand(),
		statusCommand(), doctorCommand(), relayCommand(), stopCommand(),
		backupCommand(), backupVerifyCommand(), restoreCommand(),
		serviceCommand("install"), serviceCommand("remove"), serviceCommand("status"),
		versionCommand(), completionCommand(), helpCommand(),
	}
	for _, app := range e.apps {
		for _, c := range app.Commands {
			list = append(list, appCommand(app, c))
		}
	}
	return list
}

func (e *env) main(ctx context.Context, args []string) int {
	verb, err := e.run(ctx, args)
	if err == nil || errors.Is(err, errSilent) {
		return exitCode(err)
	}
	what, remedy := e.explain(verb, err)
	fmt.Fprintf(e.Stderr, "kith: %s\n", what)
	if remedy != "" {
		fmt.Fprintln(e.Stderr, remedy)
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
	l.nameVerb()
	c, words, err := find(commands, l.words)
	if err != nil {
		return "", err
	}
	var common commonFlags
	if err := l.apply(c.flagSet(&common), c.name); err != nil {
		return c.name, err
	}
	if e.JSON = common.json; common.help {
		e.writeHelp(c)
		return c.name, nil
	}
	if err := checkWords(words, parseArguments(c.args), c.name); err != nil {
		return c.name, err
	}
	e.program = e.Kith
	if e.data = common.data; e.data == "" {
		if e.data, err = config.DefaultDir(); err != nil {
			return c.name, err
		}
	} else {
		e.Kith = slices.Concat(e.Kith, []string{"--data", e.data})
	}
	if c.run != nil {
		return c.name, c.run(ctx, e, words)
	}
	node := control.NewClient(e.data)
	defer node.Close()
	return c.name, c.ask(ctx, e, node, words)
}

// commonFlags are the flags of every command.
type commonFlags struct {
	data       string
	json, help bool
}

// flagSet returns the command's flags and those of every command.
func (c command) flagSet(common *commonFlags) *flag.FlagSet {
	set := flag.NewFlagSet(c.name, flag.ContinueOnError)
	set.StringVar(&common.data, "data", "", "the node's data `DIR`ectory, instead of $KITH_DATA or the default")
	set.BoolVar(&common.json, "json", false, "print the result as JSON")
	set.BoolVar(&common.help, "help", false, "explain the command")
	set.BoolVar(&common.help, "h", false, "")
	if c.flags != nil {
		c.flags(set)
	}
	return set
}

// takesValue knows the flags of every command. Flags of one name agree on it.
func takesValue(commands []command) func(string) bool {
	values := make(map[string]bool)
	for _, c := range commands {
		c.flagSet(new(commonFlags)).VisitAll(func(f *flag.Flag) {
			if !isBool(f) {
				values[f.Name] = true
			}
		})
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
		last := len(second) - 1
		return command{}, nil, usageError("%s needs %s or %s", words[0], strings.Join(second[:last], ", "), second[last])
	}
	err := usageError("there is no command %q", words[0])
	if name := nearest(commands, words[0]); name != "" {
		err = remedied{err, "Did you mean " + name + "?"}
	}
	return command{}, nil, err
}

// client returns a client of the running node.
func (e *env) client(ctx context.Context) (*control.Client, error) {
	return control.Dial(ctx, e.data)
}
