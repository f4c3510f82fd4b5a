package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// build is how this program was built.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Changed bool   `json:"changed,omitempty"` // not exactly that commit
	Go      string `json:"go"`
	OS      string `json:"os"`
}

func readBuild() build {
	b := build{Version: "development", Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Changed = s.Value == "true"
		}
	}
	return b
}

func (b build) String() string {
	parts := []string{"kith " + b.Version}
	if b.Commit != "" {
		commit := "commit " + b.Commit[:min(12, len(b.Commit))]
		if b.Changed {
			commit += " with changes"
		}
		parts = append(parts, commit)
	}
	return strings.Join(append(parts, b.Go, b.OS), ", ")
}

func versionCommand() command {
	return command{
		name: "version", summary: "print version, commit, Go and system", group: groupMore,
		run: func(_ context.Context, e *env, _ []string) error {
			b := readBuild()
			return e.Print(b, fmt.Sprintln(b))
		},
	}
}
