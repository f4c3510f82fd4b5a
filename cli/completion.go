package cli

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"flag"
	"slices"
	"strings"
	"text/template"
)

//go:embed completion/*
var completionFiles embed.FS

func completionCommand() command {
	return command{
		name: "completion", args: "SHELL", summary: "print a completion script for bash, zsh or fish", group: groupMore,
		help: `bash: kith completion bash > ~/.local/share/bash-completion/completions/kith
zsh:  kith completion zsh > a file _kith in a directory of $fpath
fish: kith completion fish > ~/.config/fish/completions/kith.fish`,
		run: func(_ context.Context, e *env, words []string) error {
			text, err := completionScript(words[0], e.commands())
			if err != nil {
				return err
			}
			_, err = e.Stdout.Write(text)
			return err
		},
	}
}

// A completedVerb is the first word of commands, with what may follow it.
type completedVerb struct {
	Name, Summary string
	Second        []string // second words, such as "add"
	Flags         []completedFlag
	Files         bool // takes a file or folder
}

type completedFlag struct {
	Name, Summary string
	Value         bool
}

func completionScript(shell string, commands []command) ([]byte, error) {
	switch shell {
	case "bash", "zsh", "fish":
	default:
		return nil, usageError("completion knows bash, zsh and fish, not %q", shell)
	}
	t, err := template.New(shell).Funcs(template.FuncMap{
		"join":  strings.Join,
		"quote": func(s string) string { return strings.ReplaceAll(s, "'", "") },
	}).ParseFS(completionFiles, "completion/"+shell)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, completedVerbs(commands))
	return b.Bytes(), err
}

func completedVerbs(commands []command) []completedVerb {
	var verbs []completedVerb
	for _, c := range commands {
		first, second, _ := strings.Cut(c.name, " ")
		i := slices.IndexFunc(verbs, func(v completedVerb) bool { return v.Name == first })
		if i < 0 {
			i = len(verbs)
			verbs = append(verbs, completedVerb{Name: first, Summary: c.summary})
		}
		v := &verbs[i]
		if second != "" {
			v.Second = append(v.Second, second)
			v.Summary = first + " " + strings.Join(v.Second, ", ")
		}
		c.flagSet(new(commonFlags)).VisitAll(func(f *flag.Flag) {
			if len(f.Name) > 1 {
				_, text := flag.UnquoteUsage(f)
				v.add(completedFlag{dashed(f.Name), text, !isBool(f)})
			}
		})
		for _, a := range parseArguments(c.args) {
			switch a.name {
			case "DIR", "PATH":
				v.Files = true
			case "SHELL":
				v.Second = []string{"bash", "zsh", "fish"}
			}
		}
	}
	return verbs
}

func (v *completedVerb) add(f completedFlag) {
	i, found := slices.BinarySearchFunc(v.Flags, f, func(a, b completedFlag) int { return cmp.Compare(a.Name, b.Name) })
	if !found {
		v.Flags = slices.Insert(v.Flags, i, f)
	}
}
