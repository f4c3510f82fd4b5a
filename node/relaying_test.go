package node

import (
	"crypto/ed25519"
	"io/fs"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"kith.alt/kith/config"
	"kith.alt/kith/network/overlay"
	"kith.alt/kith/store/sqlite"
)

// TestRelayedToday: what was relayed today counts after a restart, and what was
// relayed yesterday does not.
func TestRelayedToday(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	dir, err := config.Open(t.TempDir(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "kith.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	own, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context(), "node", own); err != nil {
		t.Fatal(err)
	}
	_, key, _ := ed25519.GenerateKey(nil)
	n := &Node{log: log, dir: dir, store: store, overlay: overlay.New(overlay.Config{Key: key})}
	today := n.overlay.Relayed().Day
	for _, use := range []overlay.RelayUse{{Day: today - 1, Today: 1000}, {Day: today, Today: 7}, {Day: today, Today: 42}} {
		if err := n.storeRelayed(use); err != nil {
			t.Fatal(err)
		}
	}
	run := &supervisor{log: log, failed: func(string, error) {}}
	defer run.stop(time.Minute)
	if err := n.startRelaying(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if got := n.relaying(); got.Today != 42 && n.overlay.Relayed().Day == today {
		t.Errorf("relayed today: %+v, want 42 bytes", got)
	}
}
