package swarm

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/require"
	"kith.alt/kith/proto/bittorrent"
)

// TestProgramsAsOnlySource takes from a standard torrent client that has all of a content, and announces
// itself, while nobody else has it.
func TestProgramsAsOnlySource(t *testing.T) {
	t.Parallel()
	aria2, python := require.Tool(t, "aria2c"), pythonWithLibtorrent(t)
	programs := map[string]func(t *testing.T, file, dir string) *exec.Cmd{
		"aria2": func(t *testing.T, file, dir string) *exec.Cmd {
			return exec.CommandContext(t.Context(), aria2, "--no-conf", "--dir="+dir, "--interface=127.0.0.1", "--listen-port=20000-60000", "--disable-ipv6",
				"--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--file-allocation=none",
				"--check-integrity", "--seed-ratio=0.0", "--bt-tracker-interval=2", file)
		},
		"libtorrent": func(t *testing.T, file, dir string) *exec.Cmd {
			return exec.CommandContext(t.Context(), python, "torrent/testdata/client.py", file, dir)
		},
	}
	for program, command := range programs {
		for kind, sizes := range map[string][]int{"file": {1<<20 + 77}, "folder": oddFiles} {
			for way, taking := range takings {
				if program == "aria2" && strings.HasPrefix(way, "magnet") {
					continue // 1.36 announces another name than the magnet's
				}
				t.Run(program+" "+kind+" by "+way, func(t *testing.T) {
					t.Parallel()
					v := newVillage(t, "maple", "oak")
					oak := v.host("oak")
					text, d, files := orphan(t, v, sizes...)
					if way == "magnet" || way == "magnet of version 1" {
						text, d = inTheOpen(t, text)
					}
					file, dir := layOut(t, oak, text, d, files)
					runClient(t, command(t, file, dir))
					want, err := taking(t, oak, text, d)
					if err != nil {
						t.Fatal(err)
					}
					want.Path = filepath.Join(oak.files, "taken")
					if _, err := oak.Take(t.Context(), want); err != nil {
						t.Fatal(err)
					}
					untilTaken(t, oak, d, files)
				})
			}
		}
	}
}

// takings are the ways to name what a client has.
var takings = map[string]func(*testing.T, *villager, []byte, *bittorrent.Description) (kith.Taking, error){
	"torrent": func(t *testing.T, h *villager, text []byte, _ *bittorrent.Description) (kith.Taking, error) {
		return h.Resolve(t.Context(), text)
	},
	"description": func(t *testing.T, _ *villager, _ []byte, d *bittorrent.Description) (kith.Taking, error) {
		return kith.Taking{Content: d.ID(), Torrent: d.Raw}, nil
	},
	"magnet": func(t *testing.T, h *villager, _ []byte, d *bittorrent.Description) (kith.Taking, error) {
		link := bittorrent.Magnet{ID: d.ID(), IDv1: d.IDv1()}
		return h.Resolve(t.Context(), []byte(link.String()))
	},
	"magnet of version 1": func(t *testing.T, h *villager, _ []byte, d *bittorrent.Description) (want kith.Taking, err error) {
		link := bittorrent.Magnet{IDv1: d.IDv1()}
		awaitReal(t, "announced", func() bool {
			return len(h.torrentServer().Announced([][20]byte{d.IDv1()})) > 0
		})
		return h.Resolve(t.Context(), []byte(link.String()))
	},
}

// inTheOpen makes a torrent that is not private (BEP 27): of one that is libtorrent gives nobody the
// description.
func inTheOpen(t *testing.T, text []byte) ([]byte, *bittorrent.Description) {
	t.Helper()
	parsed, err := bittorrent.ParseTorrent(text)
	if err != nil {
		t.Fatal(err)
	}
	d, err := bittorrent.ParseDescription(bytes.Replace(parsed.Description.Raw, []byte("7:privatei1e"), nil, 1))
	if err != nil {
		t.Fatal(err)
	}
	if text, err = bittorrent.EncodeTorrent(d, parsed.Layers); err != nil {
		t.Fatal(err)
	}
	return text, d
}

// layOut puts files where a client looks for them, the pad files (BEP 47) that aria2 takes for files
// like others among them, and writes a .torrent with a host's tracker.
func layOut(t *testing.T, h *villager, text []byte, d *bittorrent.Description, files [][]byte) (file, dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(path string, data []byte) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, f := range d.Files {
		write(filepath.Join(append([]string{dir, d.Name}, f.Path...)...), files[i])
		if pad := -f.Size & (d.PieceLength - 1); pad > 0 && !d.Single {
			write(filepath.Join(dir, d.Name, ".pad", strconv.FormatInt(pad, 10)), make([]byte, pad))
		}
	}
	parsed, err := bittorrent.ParseTorrent(text)
	if err != nil {
		t.Fatal(err)
	}
	awaitReal(t, "serving torrent clients", func() bool { return h.torrentServer() != nil })
	trackers, _ := h.clientAddresses(d.ID())
	if text, err = bittorrent.EncodeTorrent(d, parsed.Layers, trackers...); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "content.torrent")
	write(file, text)
	return file, dir
}

// runClient runs a program until the test ends.
func runClient(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
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

func pythonWithLibtorrent(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"/usr/bin/python3", require.Tool(t, "python3")} {
		if exec.Command(path, "-c", "import libtorrent").Run() == nil {
			return path
		}
	}
	return require.Tool(t, "python3 with libtorrent")
}
