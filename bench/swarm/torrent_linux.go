package main

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"kith.alt/kith/bench/harness"
	"kith.alt/kith/proto/bittorrent"
)

// writeTorrent describes a file to torrent clients (BEP 3). A tracker may be "".
func writeTorrent(path, file, announce string, pieceLength int64) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var pieces []byte
	var size int64
	for {
		hash := sha1.New()
		n, err := io.CopyN(hash, f, pieceLength)
		if size += n; n > 0 {
			pieces = hash.Sum(pieces)
		}
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	return os.WriteFile(path, encodeTorrent(filepath.Base(file), announce, size, pieceLength, pieces), 0o644)
}

func encodeTorrent(name, announce string, size, pieceLength int64, pieces []byte) []byte {
	b := []byte("d")
	if announce != "" {
		b = fmt.Appendf(b, "8:announce%d:%s", len(announce), announce)
	}
	b = fmt.Appendf(b, "4:infod6:lengthi%de4:name%d:%s12:piece lengthi%de6:pieces%d:", size, len(name), name, pieceLength, len(pieces))
	return append(append(b, pieces...), "ee"...)
}

// pieceLength is what clients choose for a file of such a size: the smallest of
// 64 KiB and its doubles that give 2048 pieces at most.
func pieceLength(size int64) int64 {
	length := int64(64 << 10)
	for size > 2048*length {
		length *= 2
	}
	return length
}

const trackerPort = "6969"

// seedTorrent writes the torrent and starts its tracker on the seed's host.
func (s *swarm) seedTorrent() {
	h := s.seed()
	s.torrent = filepath.Join(h.dir, "file.torrent")
	if err := writeTorrent(s.torrent, s.file, "http://"+h.address+":"+trackerPort+"/announce", pieceLength(s.size)); err != nil {
		s.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(self, h.address+":"+trackerPort)
	cmd.Env = append(os.Environ(), harness.AsRole(trackerRole))
	h.says(h.run(cmd), "ready")
}

// awaitSeed waits until the tracker knows a peer that has everything.
func (s *swarm) awaitSeed() {
	h := s.seed()
	h.eventually("the tracker knows of no seed", func() bool {
		out, err := h.On(exec.Command("curl", "-sf", "http://"+h.address+":"+trackerPort+"/seeds")).Output()
		return err == nil && string(out) != "0"
	})
}

const trackerRole = "tracker"

// serveTracker is the role of a tracker for one torrent: whoever announces itself
// hears of all others at once.
func serveTracker(ctx context.Context, args []string, ready func(string)) error {
	ln, err := net.Listen("tcp4", args[0])
	if err != nil {
		return err
	}
	t := &tracker{left: make(map[netip.AddrPort]int64)}
	mux := http.NewServeMux()
	mux.HandleFunc("/announce", t.announce)
	mux.HandleFunc("/seeds", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strconv.Itoa(t.swarm().Seeds)) })
	server := &http.Server{Handler: mux}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	ready("ready")
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type tracker struct {
	mu   sync.Mutex
	left map[netip.AddrPort]int64 // bytes that a peer lacks
}

func (t *tracker) announce(w http.ResponseWriter, r *http.Request) {
	w.Header()["Date"] = nil
	a, err := bittorrent.ParseAnnounce(r.URL.RawQuery)
	from, addressErr := netip.ParseAddrPort(r.RemoteAddr)
	if err = errors.Join(err, addressErr); err != nil {
		w.Write(bittorrent.AppendFailure(nil, err.Error()))
		return
	}
	others := t.note(netip.AddrPortFrom(from.Addr(), a.Port), a)
	w.Write(bittorrent.AppendAnswer(nil, 2*time.Minute, t.swarm(), others))
}

// note takes an announce and returns the others that are of use to who sent it.
func (t *tracker) note(self netip.AddrPort, a bittorrent.Announce) (others []netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.Event == bittorrent.EventStopped {
		delete(t.left, self)
		return nil
	}
	t.left[self] = a.Left
	for peer, left := range t.left {
		if peer != self && (a.Left > 0 || left > 0) {
			others = append(others, peer)
		}
	}
	return others
}

func (t *tracker) swarm() (s bittorrent.Swarm) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, left := range t.left {
		if left == 0 {
			s.Seeds++
		} else {
			s.Takers++
		}
	}
	return s
}
