package group

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestTwin has a host and a copy of it meet one member in turns, never both: the copy knows by its second turn that the host
// is alive, as that has answered it. Records of a host that is gone make no twin that is alive, in whatever order they come.
func TestTwin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		first := enlarge(t, maple, "oak")
		copied := func(run byte) *Group {
			t.Helper()
			time.Sleep(time.Minute)
			store := openStore(t, filepath.Join(t.TempDir(), "kith.db"))
			if err := first.Save(t.Context(), store); err != nil {
				t.Fatal(err)
			}
			g, err := Open(t.Context(), store, testKey("oak"))
			if err != nil {
				t.Fatal(err)
			}
			if err := g.SetCard(t.Context(), Card{Run: Run{ID: RunID{run}, Started: int64(run)}}); err != nil {
				t.Fatal(err)
			}
			return g
		}
		oak, spare := copied(1), copied(2)
		turn := func(g *Group) Twin {
			stop := connect(t, maple, g)
			time.Sleep(3 * recordPause)
			stop()
			twin, _ := g.Twin()
			return twin
		}
		for i, want := range []struct {
			of    *Group
			run   byte // that it saw
			alive bool
		}{{oak, 0, false}, {spare, 0, false}, {oak, 2, false}, {spare, 1, true}, {oak, 2, true}, {spare, 1, true}} {
			if got := turn(want.of); got.Run.ID != (RunID{want.run}) || got.Alive != want.alive {
				t.Errorf("turn %d: %+v, want run %d, alive %t", i, got, want.run, want.alive)
			}
		}
		if got, err := spare.AwaitTwin(t.Context()); err != nil || got.Run.Started != 1 {
			t.Errorf("spare: %+v, %v", got, err)
		}

		restored := copied(3)
		for sequence := range uint64(5) {
			ahead := must(signRecord(testKey("oak"), recordBody{Group: maple.log.genesis, Sequence: 1<<40 + 10*sequence, Run: Run{ID: RunID{1}}, Saw: RunID{2}}))
			if err := maple.applyRecords(t.Context(), []*record{ahead}); err != nil {
				t.Fatal(err)
			}
			if got := turn(restored); got.Alive || got.Run.ID != (RunID{1}) {
				t.Errorf("restored, once %d old records have come: %+v", sequence+1, got)
			}
		}
	})
}
