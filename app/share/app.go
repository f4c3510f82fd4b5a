package share

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"

	"kith.alt/kith"
)

//go:embed migrations
var migrationFiles embed.FS

// App returns the application.
func App() kith.App {
	migrations, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the name is a constant
	}
	return kith.App{
		Name:       "share",
		Title:      "Share",
		Migrations: migrations,
		Commands: []kith.Command{
			shareCommand(), getCommand(), libraryCommand(),
			listCommand(), stopCommand(), verifyCommand(),
			pauseCommand(), resumeCommand(), pinCommand(), unpinCommand(),
			limitCommand(), torrentCommand(),
		},
		New: func(host kith.Host) (kith.Service, error) {
			s := newShare(host)
			return kith.Service{Serve: s.serve, API: s.api()}, nil
		},
	}
}

// share is the application on one host.
type share struct {
	host     kith.Host
	log      *slog.Logger
	work     works
	settings settings
}

func newShare(host kith.Host) *share {
	return &share{host: host, log: host.Log(), settings: settings{store: host.Store()}}
}

// serve has nothing to do: requests are answered as they come.
func (s *share) serve(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// swarm is asked for each time, as the node makes it when it starts.
func (s *share) swarm() kith.Swarm { return s.host.Swarm() }
