package kith

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
)

// A Command is a verb of the command line: "kith publish DIR".
type Command struct {
	Name    string // "publish"; unique among all applications
	Args    string // the words it takes: "DIR", "HOST [PORT]", "TEXT..."
	Summary string // one line
	Help    string // further lines: what it does, what it prints, an example

	// Flags defines the command's own flags; nil is none. A flag of one name
	// takes a value in all commands or in none.
	Flags func(*flag.FlagSet)

	// Run does it, after the flags are set, with as many words as Args asks
	// for. Its error is printed as "kith: ..." and its kind becomes the exit
	// code.
	Run func(ctx context.Context, env Env, words []string) error
}

// Env is what a command sees of the world.
type Env struct {
	API    func(ctx context.Context, method, path string, in, out any) error // JSON to the application's API: path is below /api/<name>
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Dir    string   // the working directory; relative paths of words mean this
	JSON   bool     // print the result as JSON
	Kith   []string // how this program was started: "kith", or "go", "run", "./cmd/kith", with --data where it was given
}

// Print writes the result of a command to standard output: as JSON where that
// is asked for, else as the text, which ends its last line.
func (e Env) Print(result any, text string) error {
	if !e.JSON {
		_, err := io.WriteString(e.Stdout, text)
		return err
	}
	out := json.NewEncoder(e.Stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(result)
}

// Tell explains the result to a person, with a line on standard error. With
// JSON nobody is there to read it.
func (e Env) Tell(format string, args ...any) {
	if !e.JSON {
		fmt.Fprintf(e.Stderr, format+"\n", args...)
	}
}

// Line returns the command line that runs this program with words, for a
// person to paste into a shell.
func (e Env) Line(words ...string) string {
	var line []string
	for _, list := range [][]string{e.Kith, words} {
		for _, word := range list {
			line = append(line, quoted(word))
		}
	}
	return strings.Join(line, " ")
}

// quoted writes a word so that a shell reads it as one.
func quoted(word string) string {
	special := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(`/\.:-_~+@%`, c)
	}
	switch {
	case word != "" && !strings.ContainsFunc(word, special):
		return word
	case strings.Contains(word, `\`): // Windows, where only double quotes quote
		return `"` + word + `"`
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
