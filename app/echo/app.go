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
		Ports:      []kith.Port{{Protocol: "echo", Overlay: 7, Local: kith.LocalNone}},
		Migrations: migrations,
		Commands:   []kith.Command{echoCommand()},
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
