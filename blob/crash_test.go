package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"syscall"
	"testing"

	"kith.alt/kith"
)

// TestCrashPoints has each call to the disk fail in turn, or the power, and checks
// that what was acknowledged is there, that what was not is gone, and that the kind
// of the error is right.
func TestCrashPoints(t *testing.T) {
	b := newBench(t)
	begun := b.disk.calls
	live(b)
	calls := b.disk.calls - begun
	t.Logf("%d calls to the disk", calls)
	for _, fault := range []struct {
		name  string
		with  error
		names bool // that were not synced reach the disk when the power is cut
		kind  kith.Kind
	}{
		{"a fault", errDisk, false, kith.Temporary},
		{"a full disk", syscall.ENOSPC, false, kith.Quota},
		{"a power cut", errPower, false, ""},
		{"a power cut that leaves names", errPower, true, ""},
	} {
		for at := 1; at <= calls; at++ {
			clear(b)
			b.disk = newTestDisk(t)
			b.start()
			b.disk.failAt, b.disk.with = at+b.disk.calls, fault.with
			kept, errs := live(b)
			for _, err := range errs {
				if fault.kind != "" && !errors.Is(err, fault.kind) {
					t.Errorf("%s at call %d: %v, want kind %q", fault.name, at, err, fault.kind)
				}
			}
			if fault.with != errPower {
				b.disk.failAt = 0
				expectKept(t, b, kept)
			}
			b.disk = b.disk.cut(fault.names)
			b.start()
			expectKept(t, b, kept)
			if files := b.disk.files(); len(files) != len(kept) {
				t.Errorf("%d files, want %d", len(files), len(kept))
			}
			if t.Failed() {
				t.Fatalf("%s at call %d", fault.name, at)
			}
		}
	}
}

// clear empties the table.
func clear(b *bench) {
	if err := b.tables.Update(b.t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM blob_kept`)
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
}

func expectKept(t *testing.T, b *bench, kept map[kith.BlobID][]byte) {
	t.Helper()
	for id, data := range kept {
		if err := b.check(id, data); err != nil {
			t.Errorf("acknowledged: %v", err)
		}
	}
}

// live writes, keeps and releases files until the power fails. It returns those
// that are kept for certain, and what failed.
func live(b *bench) (kept map[kith.BlobID][]byte, errs []error) {
	kept = make(map[kith.BlobID][]byte)
	one, two := siblings()
	other := random(MaxRow+1, 9)
	settle := func() {
		if err := b.trySettle(0); err != nil {
			errs = append(errs, err)
		}
	}
	write := func(data []byte, keep bool) {
		if b.disk.dead() {
			return
		}
		ctx, end := context.WithCancel(b.t.Context())
		defer settle()
		defer end()
		blob, err := b.Write(ctx, bytes.NewReader(data), 1<<20)
		if err != nil {
			errs = append(errs, err)
		} else if keep && !b.disk.dead() {
			if err := b.update(b.Keep, blob.ID); err != nil {
				b.t.Error(err)
			}
			kept[blob.ID] = data
		}
	}
	release := func(data []byte) {
		id := kith.BlobID(sha256.Sum256(data))
		if b.disk.dead() || kept[id] == nil {
			return
		}
		if err := b.update(b.Release, id); err != nil {
			b.t.Error(err)
		}
		delete(kept, id)
		settle()
	}
	write(one, true)
	write(two, true) // in the same directory
	write(other, false)
	release(one)
	write(one, true)
	write(one, false)
	write(other, true)
	release(two)
	write(two, true)
	return kept, errs
}

// siblings returns two files in the same directory.
func siblings() (one, two []byte) {
	one = random(MaxRow+1, 7)
	first := sha256.Sum256(one)
	for seed := uint64(10); ; seed++ {
		two = random(MaxRow+1, seed)
		if second := sha256.Sum256(two); second[0] == first[0] {
			return one, two
		}
	}
}
