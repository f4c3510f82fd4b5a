package torrent

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"kith.alt/kith/kithtest/require"
	"kith.alt/kith/proto/bittorrent"
)

// patience is how long a client may take, where something waits for it.
const patience = 45 * time.Second

// A program is a torrent client. Run has it take or check what is in dir, and give
// it until the test ends; it returns once the client has all of it.
type program struct {
	name string
	v2   bool // knows version 2
	run  func(t *testing.T, source, dir string)
}

func programs(t *testing.T) []program {
	return []program{{"aria2", false, aria2(t)}, {"libtorrent", true, libtorrent(t)}}
}

// aria2 knows version 1 only.
func aria2(t *testing.T) func(t *testing.T, source, dir string) {
	aria2c := require.Tool(t, "aria2c")
	return func(t *testing.T, source, dir string) {
		finished := filepath.Join(t.TempDir(), "finished")
		hook := finished + ".sh"
		if err := os.WriteFile(hook, []byte("#!/bin/sh\n: >'"+finished+"'\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		start(t, exec.CommandContext(t.Context(), aria2c, "--no-conf", "--dir="+dir, "--interface=127.0.0.1", "--listen-port=20000-60000", "--disable-ipv6",
			"--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--file-allocation=none",
			"--check-integrity", "--seed-ratio=0.0", "--bt-tracker-interval=2", "--on-bt-download-complete="+hook, "--console-log-level=notice", source))
		await(t, func() bool { _, err := os.Stat(finished); return err == nil })
	}
}

// libtorrent knows both versions.
func libtorrent(t *testing.T) func(t *testing.T, source, dir string) {
	python := ""
	for _, path := range []string{require.Tool(t, "python3"), "/usr/bin/python3"} {
		if exec.Command(path, "-c", "import libtorrent").Run() == nil {
			python = path
		}
	}
	if python == "" {
		python = require.Tool(t, "python3 with libtorrent")
	}
	return func(t *testing.T, source, dir string) {
		cmd := exec.CommandContext(t.Context(), python, "testdata/client.py", source, dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		start(t, cmd)
		complete := make(chan string, 1)
		go func() {
			line, _ := bufio.NewReader(out).ReadString('\n')
			complete <- line
		}()
		select {
		case line := <-complete:
			if line != "complete\n" {
				t.Fatalf("the client says %q", line)
			}
		case <-time.After(patience):
			t.Fatal("the client does not get all of it")
		}
	}
}

// start starts a program, and ends it with the test.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		log.Close()
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("%s\n%s", cmd, text)
		}
	})
}

func await(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it does not happen")
		}
	}
}

// sources are the ways to name a content to a client.
func sources(t *testing.T, d *bittorrent.Description, torrent func(string) []byte, address net.Addr, v2 bool) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "content.torrent")
	if err := os.WriteFile(file, torrent(AnnounceURL(address)), 0o600); err != nil {
		t.Fatal(err)
	}
	magnet := bittorrent.Magnet{ID: d.ID(), IDv1: d.IDv1(), Name: d.Name}
	tracked, direct, second := magnet, magnet, magnet
	tracked.Trackers = []string{AnnounceURL(address)}
	direct.Peers = []string{address.String()}
	second.IDv1, second.Trackers = [20]byte{}, tracked.Trackers
	all := map[string]string{"torrent": file, "magnet with tracker": tracked.String()}
	if v2 {
		all["magnet with peer"] = direct.String() // aria2 does not know x.pe
		all["magnet of version 2"] = second.String()
	}
	return all
}

func TestClientsTake(t *testing.T) {
	t.Parallel()
	shared := map[string]struct {
		files  folder
		single bool
	}{
		"oak":     {oddSizes(), false},
		"one.bin": {folder{"one.bin": madeUp(42, 300001)}, true},
	}
	for _, program := range programs(t) {
		for name, test := range shared {
			d, sums, torrent := test.files.describe(t, name, test.single)
			seed, _ := newShare(t, d)
			seed.fill(t, sums, test.files, nil)
			_, address := serve(t, seed)
			for way, source := range sources(t, d, torrent, address, program.v2) {
				if test.single && !program.v2 && way != "torrent" {
					continue // aria2 takes its time
				}
				t.Run(program.name+" "+name+" "+way, func(t *testing.T) {
					t.Parallel()
					dir := t.TempDir()
					program.run(t, source, dir)
					if !test.single {
						dir = filepath.Join(dir, name)
					}
					test.files.check(t, dir)
				})
			}
		}
	}
}

// padding is the pad files (BEP 47), which aria2 takes for files like others.
func padding(d *bittorrent.Description) folder {
	f := folder{}
	for _, file := range d.Files {
		if n := -file.Size & (d.PieceLength - 1); n > 0 {
			f[".pad/"+strconv.FormatInt(n, 10)] = make([]byte, n)
		}
	}
	return f
}

func TestClientsGive(t *testing.T) {
	t.Parallel()
	files := oddSizes()
	d, sums, torrent := files.describe(t, "oak", false)
	for _, program := range programs(t) {
		t.Run(program.name, func(t *testing.T) {
			t.Parallel()
			taker, _ := newShare(t, d)
			if !program.v2 { // it has no hashes to give
				taker.fill(t, sums, files, func(int) bool { return false })
			}
			_, address := serve(t, taker)
			dir := t.TempDir()
			files.write(t, filepath.Join(dir, "oak"))
			padding(d).write(t, filepath.Join(dir, "oak"))
			program.run(t, sources(t, d, torrent, address, false)["torrent"], dir)
			select {
			case <-taker.complete:
				taker.check(t, files)
			case <-time.After(patience):
				t.Error("not all of it came")
			}
		})
	}
}

// TestPartsFromBothSides has a client and this host each lack what the other has.
func TestPartsFromBothSides(t *testing.T) {
	t.Parallel()
	files := oddSizes()
	d, sums, torrent := files.describe(t, "oak", false)
	for _, program := range programs(t) {
		t.Run(program.name, func(t *testing.T) {
			t.Parallel()
			half, _ := newShare(t, d)
			first := d.First(len(d.Files) / 2)
			half.fill(t, sums, files, func(block int) bool { return block < first })
			_, address := serve(t, half)
			dir := t.TempDir()
			other := folder{}
			for path, data := range files {
				other[path] = data
			}
			// The client lacks what this host has in the first, and has the rest.
			for i := range d.Files {
				if d.First(i) < first {
					delete(other, filepath.ToSlash(filepath.Join(d.Files[i].Path...)))
				}
			}
			other.write(t, filepath.Join(dir, "oak"))
			padding(d).write(t, filepath.Join(dir, "oak"))
			program.run(t, sources(t, d, torrent, address, false)["torrent"], dir)
			files.check(t, filepath.Join(dir, "oak"))
			select {
			case <-half.complete:
				half.check(t, files)
			case <-time.After(patience):
				t.Error("not all of it came")
			}
		})
	}
}
