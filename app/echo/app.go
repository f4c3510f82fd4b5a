package echo

import (
	"embed"
	"io/fs"

	"kith.alt/kith"
)

//go:embed migrations
var files embed.FS

// App returns the echo application.
func App() kith.App {
	migrations, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the name is a constant
	}
	return kith.App{
		Name:       "echo",
		Title:      "Echo",
		Summary:    "Answers every line in capitals.",
		Ports:      []kith.Port{{Protocol: "echo", Overlay: 7, Local: kith.LocalNone}},
		Migrations: migrations,
		Commands: []kith.Command{{
			Name: "echo", Args: "TEXT",
			Summary: "say TEXT in capitals",
			Help:    "Prints what the node on this computer makes of TEXT.",
			Run:     run,
		}},
		New: func(host kith.Host) (kith.Service, error) {
			s := newServer(host)
			return kith.Service{
				Serve:   s.serve,
				API:     s.api(),
				Screens: []kith.Screen{{Path: "/", Title: "Echo", Icon: "chat", Handler: s.screen()}},
			}, nil
		},
	}
}
