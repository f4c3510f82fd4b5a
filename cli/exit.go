package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/control"
)

// exits are the exit codes and what they mean. The order decides where an error
// is several things.
var exits = []struct {
	code    int
	is      error
	meaning string
}{
	{3, control.ErrNotRunning, "no node runs on the data directory"},
	{4, kith.Invalid, "the input can never work: a mistyped name, a damaged ticket"},
	{5, kith.NotFound, "what was named does not exist"},
	{6, kith.Exists, "what was to be made exists already"},
	{7, kith.Denied, "not allowed: only an admin may, or the other host refuses; also a ticket that is used up"},
	{8, kith.NotMember, "one side is not, or no longer, in the other's group"},
	{9, kith.Refused, "the host answered: nobody listens on that port"},
	{10, kith.Unreachable, "no path to the host"},
	{11, kith.InUse, "another process holds the port or the directory"},
	{12, kith.Expired, "it was valid, and is not any longer"},
	{13, kith.Quota, "a limit is reached, or the disk is full"},
	{14, kith.Temporary, "the same command may succeed later"},
	{130, context.Canceled, "interrupted, by Ctrl-C for example"},
}

const (
	exitFailure = 1
	exitUsage   = 2
)

// exitCode is the exit code for err.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if usage := (usage{}); errors.As(err, &usage) {
		return exitUsage
	}
	for _, e := range exits {
		if errors.Is(err, e.is) {
			return e.code
		}
	}
	return exitFailure
}

func writeExitCodes(w io.Writer) {
	fmt.Fprint(w, "Exit codes:\n\n")
	fmt.Fprintf(w, "  %3d  %s\n", 0, "done; for up and join also: stopped by a signal or kith stop")
	fmt.Fprintf(w, "  %3d  %s\n", exitFailure, "anything not named below; doctor: there is a problem")
	fmt.Fprintf(w, "  %3d  %s\n", exitUsage, "the command line is wrong")
	for _, e := range exits {
		fmt.Fprintf(w, "  %3d  %s\n", e.code, e.meaning)
	}
}

// A remedied error says what to do about it.
type remedied struct {
	error
	remedy string
}

func (r remedied) Unwrap() error { return r.error }

// explain takes err apart for a person: what happened, and what to do about
// it, or "". Most errors end in their kind, which says nothing that is not before
// it; applications put advice before that, after a semicolon. The network's
// errors are lists of reasons, and only the kind says what came of them.
func (e *env) explain(verb string, err error) (what, remedy string) {
	what, remedy = err.Error(), e.remedy(verb, err)
	var kind kith.Kind
	if !errors.As(err, &kind) || kind == kith.NotMember || kind == kith.Refused || kind == kith.Unreachable {
		return what, remedy
	}
	what, ok := strings.CutSuffix(what, ": "+kind.Error())
	if i := strings.LastIndex(what, "; "); ok && i >= 0 {
		if advice := what[i+2:]; remedy == "" || kind == kith.Temporary {
			remedy = sentenceCase(advice)
		}
		what = what[:i]
	}
	return what, remedy
}

// sentenceCase begins text with a capital, where it does not begin with a
// command.
func sentenceCase(text string) string {
	if text == "" || strings.HasPrefix(text, "kith ") {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// remedy returns what to do about err, a line for a person, or "".
func (e *env) remedy(verb string, err error) string {
	var own remedied
	switch {
	case errors.As(err, &own):
		return own.remedy
	case errors.As(err, new(usage)):
		if verb == "" || verb == "help" {
			return "See: " + e.Line("help")
		}
		return "See: " + e.Line(append([]string{"help"}, strings.Fields(verb)...)...)
	case e.isDirectoryTrouble(err):
		return "Choose another folder: " + kith.Env{Kith: e.program}.Line("--data", "DIR")
	case errors.Is(err, control.ErrNotRunning):
		return "Start it: " + e.Line("up")
	case errors.Is(err, kith.Unreachable), errors.Is(err, kith.Temporary):
		return "To find out why: " + e.Line("doctor")
	case errors.Is(err, kith.NotMember):
		return "To see who is in the group: " + e.Line("members")
	}
	return ""
}

// isDirectoryTrouble reports whether err is about the data directory, or what
// lies in it or above it.
func (e *env) isDirectoryTrouble(err error) bool {
	path, ok := errors.AsType[*fs.PathError](err)
	if !ok || e.data == "" {
		return false
	}
	data, absErr := filepath.Abs(e.data)
	return absErr == nil && (within(path.Path, data) || within(data, path.Path))
}

// within reports whether path is dir or lies in it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
