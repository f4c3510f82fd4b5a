package share

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"sync"

	"kith.alt/kith"
	"kith.alt/kith/ui"
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
			pauseCommand(), resumeCommand(), followCommand(), unfollowCommand(), pinCommand(), unpinCommand(),
			limitCommand(), torrentCommand(),
		},
		New: func(host kith.Host) (kith.Service, error) { return newShare(host).service(), nil },
	}
}

// share is the application on one host.
type share struct {
	host     kith.Host
	log      *slog.Logger
	work     works
	settings settings
	uploads  uploads
	rates    rates
	jobs     *jobs
	stopped  stoppedList
	streams  ui.Streams
}

func newShare(host kith.Host) *share {
	return &share{
		host: host, log: host.Log(), settings: settings{store: host.Store()}, jobs: newJobs(),
	}
}

func (s *share) service() kith.Service {
	return kith.Service{Serve: s.serve, API: s.api(), Screens: s.screens()}
}

// serve does what is to be done between requests, until ctx ends.
func (s *share) serve(ctx context.Context) error {
	if dir, err := s.settings.folder(ctx, uploadsFolder); err == nil {
		sweep(dir)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() { s.jobs.serve(ctx) })
	tasks.Go(func() { s.uploads.tend(ctx) })
	tasks.Go(func() { s.rates.sample(ctx, func() []kith.Holding { return s.swarm().Holdings() }) })
	tasks.Wait()
	return nil
}

// swarm is asked for each time, as the node makes it when it starts.
func (s *share) swarm() kith.Swarm { return s.host.Swarm() }
