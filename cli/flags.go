package cli

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"kith.alt/kith"
)

// A line is a command line taken apart: flags may stand before, among and after
// the words.
type line struct {
	words []string
	flags []setFlag
}

type setFlag struct {
	name     string
	value    string
	hasValue bool
}

// split takes args apart. takesValue says which flags are followed by their
// value; it knows the flags of every command, as the command is not known yet.
// After "--" come only words.
func split(args []string, takesValue func(name string) bool) (line, error) {
	var l line
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			l.words = append(l.words, args[i+1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			l.words = append(l.words, arg)
			continue
		}
		var f setFlag
		f.name, f.value, f.hasValue = strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		if !f.hasValue && takesValue(f.name) {
			if i++; i == len(args) {
				return l, usageError("%s needs a value", arg)
			}
			f.value, f.hasValue = args[i], true
		}
		l.flags = append(l.flags, f)
	}
	return l, nil
}

// apply sets the flags of the line in set.
func (l line) apply(set *flag.FlagSet, verb string) error {
	for _, f := range l.flags {
		def := set.Lookup(f.name)
		if def == nil {
			return usageError("%s has no flag %s", verb, dashed(f.name))
		}
		value := f.value
		if !f.hasValue {
			value = "true"
		}
		if err := def.Value.Set(value); err != nil {
			if errors.Is(err, kith.Invalid) {
				return fmt.Errorf("%s: %w", dashed(f.name), err)
			}
			var hint string
			if isDuration(def) {
				hint = "; write a time such as 30m or 24h"
			}
			return usageError("%s cannot be %q%s", dashed(f.name), f.value, hint)
		}
	}
	return nil
}

// nameVerb has a line of flags alone that asks for help, or the version, do what
// the verb of that name does.
func (l *line) nameVerb() {
	if len(l.words) > 0 {
		return
	}
	for i, f := range l.flags {
		switch f.name {
		case "h", "help":
			l.words = []string{"help"}
		case "version":
			l.words = []string{"version"}
		default:
			continue
		}
		l.flags = slices.Delete(l.flags, i, i+1)
		return
	}
}

func isDuration(f *flag.Flag) bool {
	getter, ok := f.Value.(flag.Getter)
	if !ok {
		return false
	}
	_, ok = getter.Get().(time.Duration)
	return ok
}

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// An argument is a word in the text that describes what a command takes:
// "HOST [PORT]", "TEXT...".
type argument struct {
	name     string
	optional bool
	repeated bool
}

// parseArguments reads such a text.
func parseArguments(text string) []argument {
	var list []argument
	for _, field := range strings.Fields(text) {
		var a argument
		a.optional = strings.HasPrefix(field, "[")
		a.name, a.repeated = strings.CutSuffix(strings.Trim(field, "[]"), "...")
		list = append(list, a)
	}
	return list
}

// checkWords compares the words of a line with what a command takes.
func checkWords(words []string, arguments []argument, verb string) error {
	least, most := 0, 0
	var missing string
	for _, a := range arguments {
		if a.repeated {
			most = len(words)
		}
		most++
		if !a.optional {
			if least++; least > len(words) && missing == "" {
				missing = a.name
			}
		}
	}
	switch {
	case missing != "":
		return usageError("%s needs %s", verb, missing)
	case len(words) > most:
		return usageError("%s does not take %q", verb, words[most])
	}
	return nil
}

// A usage is an error in the command line itself.
type usage struct{ text string }

func (u usage) Error() string { return u.text }

func (u usage) Unwrap() error { return kith.Invalid }

func usageError(format string, args ...any) error {
	return usage{fmt.Sprintf(format, args...)}
}
