package post

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// TestRestored has a receiver go back to an old copy of its disk: what it received since comes again where
// members kept it, and is listed where nobody did. Nothing comes twice.
func TestRestored(t *testing.T) {
	for _, margin := range []bool{true, false} {
		name := "kept for a week"
		if !margin {
			name = "kept by nobody"
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVillage(t, "maple", "oak", "elm")
				v.acquaint(t)
				defer v.sleepAll()
				maple, oak := v.hosts[0], v.hosts[1]
				if err := oak.SetLimits(t.Context(), kith.PostLimits{Margin: margin}); err != nil {
					t.Fatal(err)
				}
				before := maple.post(t, oak, []byte("before the backup"), nil)
				v.until(t, "the first letter", func() bool { return oak.received() == 1 })
				oak.sleep()
				backup := t.TempDir()
				if err := os.CopyFS(backup, os.DirFS(oak.dir)); err != nil {
					t.Fatal(err)
				}
				after := maple.post(t, oak, []byte("after the backup"), nil) // elm holds it
				v.until(t, "custody", func() bool { return len(maple.state(t, after).Held) == 1 })
				oak.wake(t)
				v.until(t, "the second letter", func() bool { return oak.received() == 2 })
				v.until(t, "its receipt", func() bool { return maple.state(t, after).State == kith.LetterDelivered })
				time.Sleep(time.Minute)
				oak.sleep()
				oak.dir = backup
				oak.wake(t)
				if margin {
					v.until(t, "the second letter again", func() bool { return oak.received() == 3 })
				}
				time.Sleep(time.Hour)
				lost, err := oak.Lost(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case margin && (oak.received() != 3 || oak.got[2].ID != after || len(lost) != 0):
					t.Errorf("received %d letters, lost %+v", oak.received(), lost)
				case !margin && (oak.received() != 2 || len(lost) != 1 || lost[0].ID != after || lost[0].From != maple.id):
					t.Errorf("received %d letters, lost %+v", oak.received(), lost)
				}
				third := maple.post(t, oak, []byte("after the restore"), nil)
				v.until(t, "its receipt", func() bool { return maple.state(t, third).State == kith.LetterDelivered })
				if maple.state(t, before).State != kith.LetterDelivered {
					t.Error("the first letter is in another state")
				}
			})
		})
	}
}
