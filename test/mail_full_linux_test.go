package test

import (
	"errors"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"kith.alt/kith/kithtest/require"
)

// fillDisk leaves no room on the disk that has dir, and returns what makes some again.
func fillDisk(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for size := 1 << 20; size > 0; {
		if _, err := file.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// TestMailDisksFull has the disks of the hosts be full one after the other, each host a process with a small disk of its own:
// what was answered with 250 arrives, by who has room, and nothing else is answered so.
func TestMailDisksFull(t *testing.T) {
	if require.SmallDisk(t, 1) == "" { // here are the namespaces for it
		return
	}
	w := newMailWorld(t, "maple", "oak", "elm", "ash")
	maple, oak, elm := w.nodes[0], w.nodes[1], w.nodes[2]
	for _, n := range w.nodes {
		n.stop()
		kept := n.data + ".kept"
		if err := errors.Join(os.Rename(n.data, kept), os.Mkdir(n.data, 0o700), unix.Mount("tmpfs", n.data, "tmpfs", 0, "size=24m,mode=0700")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(n.data, unix.MNT_DETACH) })
		if err := os.CopyFS(n.data, os.DirFS(kept)); err != nil {
			t.Fatal(err)
		}
		n.start(t, "")
	}

	// The disk of a custodian is full: the other holds the mail.
	oak.stop()
	empty := fillDisk(t, elm.data)
	w.many(t, 10)
	w.held(t, 1)
	maple.stop()
	empty()
	elm.stop()
	oak.start(t, "")
	await(t, "all have arrived", func() bool { return len(w.fetch(t, oak)) == len(w.taken) })

	// That of the receiver is.
	elm.start(t, "")
	maple.start(t, "")
	empty = fillDisk(t, oak.data)
	w.many(t, 10)
	await(t, "a reason", func() bool {
		var letters []struct{ State, Reason string }
		if err := maple.control.API(t.Context(), "post", http.MethodGet, "/letters?limit=10000", nil, &letters); err != nil {
			return false
		}
		underWay := 0
		for _, l := range letters {
			if l.State == "queued" || l.State == "held" {
				underWay++
			}
		}
		return underWay > 0
	})
	empty()
	w.settle(t)

	// That of the sender is.
	empty = fillDisk(t, maple.data)
	for n := range 10 {
		c, err := maple.submit()
		if err != nil {
			continue
		}
		var answer *textproto.Error
		if err := w.send(c, n); err == nil || errors.As(err, &answer) && answer.Code/100 != 4 {
			t.Errorf("on a full disk mail is answered with %v", err)
		}
		c.Close()
	}
	empty()
	w.many(t, 10)
	w.settle(t)
	w.audit(t)
	if len(w.taken) != 30 {
		t.Errorf("%d messages were answered with 250", len(w.taken))
	}
}
