package cli

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/app/all"
)

var update = flag.Bool("update", false, "write docs/cli.md")

func allApps() []kith.App { return all.Apps() }

type declaredFlag struct {
	name       string
	takesValue bool
}

// flagsOf lists the flags of a command, with those of every command.
func flagsOf(c command) (list []declaredFlag) {
	c.flagSet(new(commonFlags)).VisitAll(func(f *flag.Flag) { list = append(list, declaredFlag{f.Name, !isBool(f)}) })
	return list
}

// TestManual: the reference in docs/cli.md is what kith help says.
func TestManual(t *testing.T) {
	const file, mark = "../docs/cli.md", "<!-- From here on: go test ./cli -run TestManual -update -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	prose, _, ok := strings.Cut(string(text), mark)
	if !ok {
		t.Fatalf("%s has no line %s", file, mark)
	}
	var b strings.Builder
	e := &env{Env: kith.Env{Stdout: &b, Kith: []string{"kith"}}, apps: allApps()}
	b.WriteString("\n## Commands\n\n```\n")
	e.writeOverview(e.commands())
	b.WriteString("```\n")
	for _, c := range e.commands() {
		fmt.Fprintf(&b, "\n### kith %s\n\n```\n", c.name)
		e.writeHelp(c)
		b.WriteString("```\n")
	}
	b.WriteString("\n## Exit codes\n\n```\n")
	writeExitCodes(&b)
	b.WriteString("```\n")
	want := prose + mark + b.String()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s differs from what kith help says; go test ./cli -run TestManual -update", file)
	}
}
