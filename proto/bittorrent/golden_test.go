package bittorrent

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Content of the golden torrents, which testdata/make.py makes with libtorrent.
var goldenFiles = []struct {
	path string
	size int
}{{"Z", 65536}, {"a.txt", 100000}, {"empty", 0}, {"sub/b.bin", 70000}, {"sub.txt", 16384}, {"z.end", 1}}

const goldenPieceLength = 65536

// madeUp are bytes that no two seeds share.
func madeUp(seed, size int) []byte {
	var b []byte
	for i := 0; len(b) < size; i++ {
		h := sha256.Sum256(fmt.Appendf(nil, "%d %d", seed, i))
		b = append(b, h[:]...)
	}
	return b[:size]
}

// plainRoot computes a root as BEP 52 describes it: a whole tree.
func plainRoot(data []byte) (root [32]byte) {
	var level [][32]byte
	for chunk := range slices.Chunk(data, BlockSize) {
		level = append(level, sha256.Sum256(chunk))
	}
	if len(level) == 0 {
		return root
	}
	for len(level)&(len(level)-1) != 0 {
		level = append(level, [32]byte{})
	}
	for ; len(level) > 1; level = level[:len(level)/2] {
		for i := range len(level) / 2 {
			level[i] = parent(level[2*i][:], level[2*i+1][:])
		}
	}
	return level[0]
}

func plainPieces(data []byte, pad bool) (sums []byte) {
	for piece := range slices.Chunk(data, goldenPieceLength) {
		if pad {
			piece = append(slices.Clone(piece), make([]byte, goldenPieceLength-len(piece))...)
		}
		h := sha1.Sum(piece)
		sums = append(sums, h[:]...)
	}
	return sums
}

// plainLayer is the hashes of the pieces of a file.
func plainLayer(data []byte) (layer []byte) {
	for piece := range slices.Chunk(data, goldenPieceLength) {
		var leaves [goldenPieceLength / BlockSize][32]byte
		i := 0
		for chunk := range slices.Chunk(piece, BlockSize) {
			leaves[i] = sha256.Sum256(chunk)
			i++
		}
		left, right := parent(leaves[0][:], leaves[1][:]), parent(leaves[2][:], leaves[3][:])
		h := parent(left[:], right[:])
		layer = append(layer, h[:]...)
	}
	return layer
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// describeGolden makes by hand what libtorrent made of the same files.
func describeGolden(t testing.TB, single bool) (*Description, map[[32]byte][]byte) {
	t.Helper()
	var files []File
	var pieces []byte
	layers := make(map[[32]byte][]byte)
	name := "oak"
	for seed, f := range goldenFiles {
		if single && f.path != "a.txt" {
			continue
		}
		data := madeUp(seed, f.size)
		file := File{Path: strings.Split(f.path, "/"), Size: int64(f.size), Root: plainRoot(data)}
		if single {
			name, file.Path = f.path, nil
		}
		files = append(files, file)
		pieces = append(pieces, plainPieces(data, !single)...)
		if f.size > goldenPieceLength {
			layers[file.Root] = plainLayer(data)
		}
	}
	d, err := Describe(name, files, single, goldenPieceLength, pieces)
	if err != nil {
		t.Fatal(err)
	}
	return d, layers
}

func TestTorrentsAreThoseOfLibtorrent(t *testing.T) {
	for _, test := range []struct {
		file   string
		single bool
	}{{"folder.torrent", false}, {"file.torrent", true}} {
		d, layers := describeGolden(t, test.single)
		got, err := EncodeTorrent(d, layers, "http://127.0.0.1:6881/announce")
		if want := golden(t, test.file); !bytes.Equal(got, want) || err != nil {
			t.Errorf("%s:\n%q\n%v, want\n%q", test.file, got, err, want)
		}
	}
}

func TestParseTorrent(t *testing.T) {
	for _, test := range []struct {
		file           string
		single, hybrid bool
	}{
		{"folder.torrent", false, true}, {"file.torrent", true, true},
		{"folder-v2.torrent", false, false}, {"file-v2.torrent", true, false},
	} {
		got, err := ParseTorrent(golden(t, test.file))
		if err != nil {
			t.Errorf("%s: %v", test.file, err)
			continue
		}
		want, layers := describeGolden(t, test.single)
		d := got.Description
		if d.Name != want.Name || d.PieceLength != want.PieceLength || d.Single != test.single || d.Hybrid != test.hybrid || !reflect.DeepEqual(d.Files, want.Files) {
			t.Errorf("%s: %+v, want %+v", test.file, d, want)
		}
		if d.Size() != want.Size() || d.Blocks() != want.Blocks() || d.PieceCount() != want.PieceCount() {
			t.Errorf("%s: %d bytes, %d blocks, %d pieces", test.file, d.Size(), d.Blocks(), d.PieceCount())
		}
		if test.hybrid && (d.ID() != want.ID() || d.IDv1() != want.IDv1() || !bytes.Equal(d.Pieces, want.Pieces)) {
			t.Errorf("%s: ID %x, %x", test.file, d.ID(), d.IDv1())
		}
		if d.IDv1() == [20]byte{} == test.hybrid {
			t.Errorf("%s: version 1 calls it %x", test.file, d.IDv1())
		}
		if !reflect.DeepEqual(got.Layers, layers) || !slices.Equal(got.Trackers, []string{"http://127.0.0.1:6881/announce"}) {
			t.Errorf("%s: layers %x, trackers %q", test.file, got.Layers, got.Trackers)
		}
	}
}

// As aria2 1.36 has it: aria2c -S testdata/folder.torrent.
func TestMistakenInfoHash(t *testing.T) {
	for single, want := range map[bool]string{false: "6f6ccb1b345125690cc24c096997262992a7a7f0", true: "ce133dbcd7b4192a44fe077e4d11434eb0eaaa05"} {
		d, _ := describeGolden(t, single)
		id := d.ID()
		hashes := d.InfoHashes()
		if len(hashes) != 3 || hashes[0] != [20]byte(id[:]) || hashes[1] != d.IDv1() || hex.EncodeToString(hashes[2][:]) != want {
			t.Errorf("%x", hashes)
		}
	}
	torrent, err := ParseTorrent(golden(t, "folder-v2.torrent"))
	if err != nil || len(torrent.Description.InfoHashes()) != 1 {
		t.Errorf("%x, %v", torrent.Description.InfoHashes(), err)
	}
}

func TestTorrentOfVersion1(t *testing.T) {
	_, err := ParseTorrent(golden(t, "folder-v1.torrent"))
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "version 1 only") {
		t.Error(err)
	}
}

func TestParseTorrentRefuses(t *testing.T) {
	text := string(golden(t, "folder.torrent"))
	for title, in := range map[string]string{
		"nothing":           "",
		"no dictionary":     "le",
		"no info":           "de",
		"cut off":           text[:len(text)-1],
		"more behind":       text + "e",
		"a wrong layer":     strings.Replace(text, "\xd7\x48\xcc\x14", "\xd7\x48\xcc\x15", 1),
		"no layers":         text[:strings.Index(text, "12:piece layers")] + "e",
		"layers of no file": strings.Replace(text, "d32:\xa8\xc5", "d32:\xa8\xc4", 1),
		"announce":          strings.Replace(text, "8:announce30:http://127.0.0.1:6881/announce", "8:announcei7e", 1),
		"large":             strings.Repeat("x", maxTorrent+1),
	} {
		if in == text {
			t.Fatalf("%s: unchanged", title)
		}
		if _, err := ParseTorrent([]byte(in)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", title, err)
		}
	}
	d, _ := describeGolden(t, false)
	if _, err := EncodeTorrent(d, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("made without layers: %v", err)
	}
}

func TestTrackers(t *testing.T) {
	text := golden(t, "file.torrent")
	text = bytes.Replace(text, []byte("4:info"), []byte("13:announce-listll1:a1:bel1:c30:http://127.0.0.1:6881/announceee4:info"), 1)
	torrent, err := ParseTorrent(text)
	if want := []string{"http://127.0.0.1:6881/announce", "a", "b", "c"}; err != nil || !slices.Equal(torrent.Trackers, want) {
		t.Errorf("%+v, %v", torrent, err)
	}
}

func TestEncodeTrackers(t *testing.T) {
	d, layers := describeGolden(t, true)
	all := []string{"http://127.0.0.1:6881/announce", "http://192.168.1.7:6881/announce", "http://[fd00::7]:6881/announce"}
	for trackers, want := range [][]byte{
		[]byte("d4:info"),
		[]byte("d8:announce30:http://127.0.0.1:6881/announce4:info"),
		[]byte("d8:announce30:http://127.0.0.1:6881/announce13:announce-listll30:http://127.0.0.1:6881/announceel32:http://192.168.1.7:6881/announceee4:info"),
		[]byte("d8:announce30:http://127.0.0.1:6881/announce13:announce-listll30:http://127.0.0.1:6881/announceel32:http://192.168.1.7:6881/announceel30:http://[fd00::7]:6881/announceee4:info"),
	} {
		text, err := EncodeTorrent(d, layers, all[:trackers]...)
		if err != nil || !bytes.HasPrefix(text, want) {
			t.Errorf("%d trackers: %q, %v", trackers, text[:min(len(text), len(want))], err)
			continue
		}
		if torrent, err := ParseTorrent(text); err != nil || !slices.Equal(torrent.Trackers, all[:trackers]) {
			t.Errorf("%d trackers are read as %+v, %v", trackers, torrent, err)
		}
	}
}

func FuzzParseTorrent(f *testing.F) {
	for _, name := range []string{"folder.torrent", "file.torrent", "folder-v2.torrent", "folder-v1.torrent"} {
		f.Add(golden(f, name))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		torrent, err := ParseTorrent(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		again, err := EncodeTorrent(torrent.Description, torrent.Layers)
		if err != nil {
			t.Fatal(err)
		}
		if parsed, err := ParseTorrent(again); err != nil || parsed.Description.ID() != torrent.Description.ID() {
			t.Fatalf("%q: %v", again, err)
		}
	})
}
