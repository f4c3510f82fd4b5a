package node_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/config"
	"kith.alt/kith/control"
	"kith.alt/kith/kithtest"
	"kith.alt/kith/node"
)

// TestCopy starts a copy of a host's data directory beside the host: the copy stops, and says why. When the host
// is gone for good, as where the copy was restored from a backup, it goes on.
func TestCopy(t *testing.T) {
	m := kithtest.New(t, "maple", "oak")
	oak := m.Nodes[1]
	oak.Stop()
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(oak.Config.Data)); err != nil {
		t.Fatal(err)
	}
	m.Start(oak)
	m.Met()
	cfg := oak.Config
	cfg.Data, cfg.PortBase, cfg.OverlayPort = copied, config.AnyPort, 0
	serve := func(ctx context.Context) (*node.Node, chan error) {
		t.Helper()
		cfg.Log = slog.New(slog.DiscardHandler)
		twin, err := node.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- twin.Serve(ctx) }()
		return twin, done
	}
	_, done := serve(t.Context())
	select {
	case err := <-done:
		if !errors.Is(err, kith.Exists) {
			t.Errorf("the copy ends with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the copy goes on")
	}
	m.Met()

	oak.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, done = serve(ctx)
	m.Nodes = m.Nodes[:1]
	m.Until(m.Nodes[0], "oak again", func(s control.Status) bool { return member(s, "oak").State == control.Online })
	select {
	case err := <-done:
		t.Errorf("the restored host ends with %v", err)
	case <-time.After(3 * time.Second):
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
