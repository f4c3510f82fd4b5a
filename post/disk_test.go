package post

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/blob"
	"kith.alt/kith/store/sqlite"
)

// A disk is the [blob.FS] of a host, which can be full and can fail. Its store is [failing].
type disk struct {
	blob.Disk

	mu     sync.Mutex
	broken error // what all calls fail with
	files  bool  // but not commits
	calls  int   // that write
	failAt int   // the one that fails; 0: none
	late   bool  // it is a commit that is on the disk although it fails
	failed bool  // its turn has come
}

// write counts a call that writes, and fails when it is to.
func (d *disk) write() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	switch {
	case d.broken != nil:
		return d.broken
	case d.calls == d.failAt:
		d.failed = true
		return syscall.EIO
	}
	return nil
}

// fail has all calls fail, or none.
func (d *disk) fail(with error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = with
}

// failIn has the nth call from now on fail.
func (d *disk) failIn(n int, late bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failAt, d.late, d.failed = d.calls+n, late, false
}

func (d *disk) isLate() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.late
}

// failFiles has all calls fail but for commits.
func (d *disk) failFiles(with error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken, d.files = with, true
}

// commit is the disk's part of a commit.
func (d *disk) commit() error {
	d.mu.Lock()
	files := d.files
	d.mu.Unlock()
	if files {
		return nil
	}
	return d.write()
}

// heal has no call fail, and reports whether one has.
func (d *disk) heal() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failAt = 0
	return d.failed
}

func (d *disk) SyncDir(path string) error {
	return errors.Join(d.write(), d.Disk.SyncDir(path))
}

func (d *disk) Rename(from, to string) error {
	if err := d.write(); err != nil {
		return err
	}
	return d.Disk.Rename(from, to)
}

func (d *disk) Create(path string) (blob.File, error) {
	if err := d.write(); err != nil {
		return nil, err
	}
	file, err := d.Disk.Create(path)
	return written{file, d}, err
}

// A written file fails with its disk.
type written struct {
	blob.File
	disk *disk
}

func (w written) Write(p []byte) (int, error) {
	if err := w.disk.write(); err != nil {
		n, _ := w.File.Write(p[:len(p)/2])
		return n, err
	}
	return w.File.Write(p)
}

func (w written) Sync() error { return errors.Join(w.disk.write(), w.File.Sync()) }

// A failing store has commits fail as its disk does.
type failing struct {
	*sqlite.Store
	disk *disk
}

func (f failing) Update(ctx context.Context, fn func(tx *sql.Tx) error) error {
	var failed error
	err := f.Store.Update(ctx, func(tx *sql.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		switch failed = f.disk.commit(); {
		case errors.Is(failed, syscall.ENOSPC):
			failed = fmt.Errorf("the disk of /home/somebody/kith.db is full: %w", kith.Quota)
		case errors.Is(failed, syscall.EACCES):
			failed = fmt.Errorf("/home/somebody/kith.db cannot be written: %w", kith.Denied)
		case failed != nil:
			failed = fmt.Errorf("the disk fails: %w", kith.Temporary)
		}
		if f.disk.isLate() {
			return nil
		}
		return failed
	})
	return errors.Join(err, failed)
}

// try sends a letter from a disk that may fail.
func (h *villager) try(t testing.TB, to *villager, body []byte) (id kith.LetterID, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b, err := h.blobs.Write(ctx, bytes.NewReader(body), kith.MaxLetter)
	if err != nil {
		return id, err
	}
	err = failing{h.store, h.disk}.Update(ctx, func(tx *sql.Tx) (err error) {
		id, err = h.For("echo").Send(ctx, tx, kith.Draft{To: to.id, Payload: b})
		return err
	})
	return id, err
}

// effects returns what took effect and stayed, by letter.
func (h *villager) effects(t testing.TB) map[kith.LetterID][]byte {
	t.Helper()
	all := make(map[kith.LetterID][]byte)
	err := h.store.View(t.Context(), func(tx *sql.Tx) error {
		rows, err := tx.Query(`SELECT id, body FROM echo_letters`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, body []byte
			if err := rows.Scan(&id, &body); err != nil {
				return err
			}
			all[kith.LetterID(id)] = body
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// newFragile makes a village whose hosts have disks that can fail.
func newFragile(t testing.TB, names ...string) *village {
	v := newVillage(t, names...)
	for _, h := range v.hosts {
		h.disk = new(disk)
	}
	v.acquaint(t)
	return v
}

// TestCustodianFull has the disk of a member be full: others hold the letters, and it does when there is room.
func TestCustodianFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newFragile(t, "maple", "oak", "elm", "ash")
		defer v.sleepAll()
		maple, oak, elm, ash := v.hosts[0], v.hosts[1], v.hosts[2], v.hosts[3]
		oak.sleep()
		elm.disk.fail(syscall.ENOSPC)
		bodies := make(map[kith.LetterID][]byte)
		for i := range 4 {
			body := bytes.Repeat([]byte{byte(i)}, 1+i*20_000) // rows, and files
			bodies[maple.post(t, oak, body, nil)] = body
		}
		v.until(t, "ash to hold them", func() bool {
			return maple.all(t, func(s kith.LetterStatus) bool { return slices.Equal(s.Held, []kith.ID{ash.id}) })
		})
		elm.disk.fail(nil)
		v.until(t, "elm to hold them", func() bool {
			return maple.all(t, func(s kith.LetterStatus) bool { return len(s.Held) == 2 })
		})
		maple.sleep()
		ash.sleep()
		oak.wake(t)
		v.until(t, "delivery", func() bool { return oak.received() == len(bodies) })
		for id, body := range oak.effects(t) {
			if !bytes.Equal(body, bodies[id]) {
				t.Errorf("letter %s has %d bytes", id, len(body))
			}
		}
	})
}

// TestAllFull has nobody have room: the sender says why, and nothing of where.
func TestAllFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newFragile(t, "maple", "oak", "elm")
		defer v.sleepAll()
		maple, oak, elm := v.hosts[0], v.hosts[1], v.hosts[2]
		oak.sleep()
		elm.disk.fail(syscall.ENOSPC)
		for _, size := range []int{100, 100_000} {
			id := maple.post(t, oak, make([]byte, size), nil)
			time.Sleep(time.Minute)
			if s := maple.state(t, id); s.State != kith.LetterQueued || s.Reason != "elm does not take it: its disk is full." {
				t.Errorf("%s: %s", s.State, s.Reason)
			}
		}
	})
}

// TestReceiverFails has the disk of the receiver be full, or be nobody's to write: it says nothing was delivered until
// it was, and refuses nothing.
func TestReceiverFails(t *testing.T) {
	for _, why := range []error{syscall.ENOSPC, syscall.EACCES, syscall.EIO} {
		t.Run(why.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { receiverFails(t, why) })
		})
	}
}

func receiverFails(t *testing.T, why error) {
	v := newFragile(t, "maple", "oak", "elm")
	defer v.sleepAll()
	maple, oak := v.hosts[0], v.hosts[1]
	bodies := make(map[kith.LetterID][]byte)
	post := func() {
		for i := range 4 {
			body := bytes.Repeat([]byte{byte(i)}, 1+i*20_000)
			bodies[maple.post(t, oak, body, nil)] = body
		}
	}
	post()
	v.until(t, "receipts", func() bool {
		return maple.all(t, func(s kith.LetterStatus) bool { return s.State == kith.LetterDelivered })
	})
	oak.disk.fail(why)
	post()
	time.Sleep(5 * time.Minute)
	if n := len(oak.effects(t)); n != 4 {
		t.Errorf("%d letters took effect, 4 before the disk failed", n)
	}
	delivered := 0
	for id := range bodies {
		switch s := maple.state(t, id); s.State {
		case kith.LetterDelivered:
			delivered++
		case kith.LetterRefused, kith.LetterExpired:
			t.Errorf("%s: %s", s.State, s.Reason)
		}
	}
	if delivered != 4 {
		t.Errorf("%d letters are delivered", delivered)
	}
	maple.sleep() // elm has them, too
	oak.disk.fail(nil)
	repaired := time.Now()
	v.until(t, "delivery", func() bool { return len(oak.effects(t)) == len(bodies) })
	if d := time.Since(repaired); d > 6*time.Minute {
		t.Errorf("that there is room again is noticed after %v", d)
	}
	maple.wake(t)
	v.until(t, "receipts", func() bool {
		return maple.all(t, func(s kith.LetterStatus) bool { return s.State == kith.LetterDelivered })
	})
	for id, body := range oak.effects(t) {
		if !bytes.Equal(body, bodies[id]) {
			t.Errorf("letter %s has %d bytes", id, len(body))
		}
	}
}

// TestOpeningFails has the disk fail when a letter is there already, and is to be opened.
func TestOpeningFails(t *testing.T) {
	for _, why := range []error{syscall.ENOSPC, syscall.EACCES, syscall.EIO} {
		t.Run(why.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newFragile(t, "maple", "oak")
				defer v.sleepAll()
				maple, oak := v.hosts[0], v.hosts[1]
				oak.mu.Lock()
				oak.refuse = fmt.Errorf("not now: %w", kith.Temporary)
				oak.mu.Unlock()
				id := maple.post(t, oak, make([]byte, 100_000), nil)
				v.until(t, "the letter to be there", func() bool { return len(maple.state(t, id).Held) == 1 })
				oak.disk.failFiles(why)
				oak.mu.Lock()
				oak.refuse = nil
				oak.mu.Unlock()
				time.Sleep(5 * time.Minute)
				oak.disk.fail(nil)
				v.until(t, "the end", func() bool { return maple.state(t, id).Ended() })
				if s := maple.state(t, id); s.State != kith.LetterDelivered || len(oak.effects(t)) != 1 {
					t.Errorf("%s: %s", s.State, s.Reason)
				}
			})
		})
	}
}

// TestSenderFull has the sender's disk be full: what is not acknowledged is not sent.
func TestSenderFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newFragile(t, "maple", "oak")
		defer v.sleepAll()
		maple, oak := v.hosts[0], v.hosts[1]
		maple.disk.fail(syscall.ENOSPC)
		for _, size := range []int{10, 100_000} {
			if _, err := maple.try(t, oak, make([]byte, size)); !errors.Is(err, kith.Quota) {
				t.Errorf("%d bytes: %v, want kind %q", size, err, kith.Quota)
			}
		}
		time.Sleep(5 * time.Minute)
		maple.disk.fail(nil)
		id, err := maple.try(t, oak, []byte("there is room"))
		if err != nil {
			t.Fatal(err)
		}
		v.until(t, "the receipt", func() bool { return maple.state(t, id).State == kith.LetterDelivered })
		time.Sleep(5 * time.Minute)
		if got := oak.effects(t); len(got) != 1 || got[id] == nil {
			t.Errorf("%d letters took effect", len(got))
		}
	})
}

// TestDiskFails has each call to each disk fail, one at a time; at the sender also where what it was to write
// is there nevertheless. What was acknowledged takes effect once, whole; what was not, once at most.
func TestDiskFails(t *testing.T) {
	for i, name := range []string{"sender", "receiver", "custodian"} {
		for _, late := range []bool{false, true} {
			if late && name != "sender" {
				continue // what the others say again is theirs to find out
			}
			t.Run(fmt.Sprintf("%s, late %v", name, late), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { diskFails(t, i, late) })
			})
		}
	}
}

func diskFails(t *testing.T, which int, late bool) {
	v := newFragile(t, "maple", "oak", "elm")
	defer v.sleepAll()
	maple, oak := v.hosts[0], v.hosts[1]
	acknowledged, other := make(map[kith.LetterID][]byte), make(map[kith.LetterID][]byte)
	failures := 0
	for n := 1; n <= many(24); n++ {
		if which == 2 {
			oak.sleep()
		}
		failed := v.hosts[which].disk
		failed.failIn(n, late)
		for _, size := range []int{100, 40_000} {
			body := bytes.Repeat([]byte{byte(n)}, size+n)
			id, err := maple.try(t, oak, body)
			if err == nil {
				acknowledged[id] = body
			} else if other[id] = body; !errors.Is(err, kith.Temporary) {
				t.Errorf("call %d: %v, want kind %q", n, err, kith.Temporary)
			}
		}
		if which == 2 {
			v.until(t, "custody", func() bool {
				return maple.all(t, func(s kith.LetterStatus) bool { return s.Ended() || len(s.Held) == 1 })
			})
			maple.sleep()
			oak.wake(t)
			v.until(t, "delivery", func() bool { return len(oak.effects(t)) >= len(acknowledged) })
			maple.wake(t)
		}
		v.until(t, "the end of all letters", func() bool { return maple.all(t, kith.LetterStatus.Ended) })
		if failed.heal() {
			failures++
		}
	}
	time.Sleep(5 * time.Minute)
	got := oak.effects(t)
	for id, body := range acknowledged {
		if !bytes.Equal(got[id], body) {
			t.Errorf("letter %s has %d bytes, want %d", id, len(got[id]), len(body))
		}
		delete(got, id)
	}
	for id, body := range got {
		if !bytes.Equal(other[id], body) {
			t.Errorf("letter %s of %d bytes was never sent", id, len(body))
		}
	}
	if failures < many(10) {
		t.Errorf("%d calls failed", failures)
	}
	t.Logf("%d calls failed, %d letters were acknowledged, %d not", failures, len(acknowledged), len(other))
}
