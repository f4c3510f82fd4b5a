package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/zstd"

	"kith.alt/kith"
	"kith.alt/kith/blob"
	"kith.alt/kith/store/sqlite"
)

// A host is a data directory with something in it.
type host struct {
	Source
	t testing.TB
}

func newHost(t testing.TB, dir string) *host {
	t.Helper()
	for name, text := range map[string]string{"key": "a secret", "config.json": "{}", "certificate/authority": "another", "lock": "", "content/ab/cd": "others have it"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return openHost(t, dir)
}

func openHost(t testing.TB, dir string) *host {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(dir, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context(), "test", fstest.MapFS{"0001_texts.sql": {Data: []byte(`CREATE TABLE test_texts (text TEXT NOT NULL)`)}}); err != nil {
		t.Fatal(err)
	}
	blobs := blob.New(blob.Config{Dir: filepath.Join(dir, blobsName), Store: store})
	if err := blobs.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := &host{Source: Source{Dir: dir, Store: store, Blobs: blobs, ID: kith.ID{7}, Name: "maple.home.kith.alt", Version: "v1"}, t: t}
	t.Cleanup(h.close)
	return h
}

func (h *host) close() {
	if err := errors.Join(h.Blobs.Close(), h.Store.Close()); err != nil {
		h.t.Error(err)
	}
}

// keep writes and keeps a blob.
func (h *host) keep(data []byte) kith.BlobID {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	defer cancel()
	b, err := h.Blobs.Write(ctx, bytes.NewReader(data), 1<<30)
	if err == nil {
		err = h.Store.Update(ctx, func(tx *sql.Tx) error { return h.Blobs.Keep(ctx, tx, b.ID) })
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return b.ID
}

func (h *host) release(id kith.BlobID) {
	h.t.Helper()
	if err := h.Store.Update(h.t.Context(), func(tx *sql.Tx) error { return h.Blobs.Release(h.t.Context(), tx, id) }); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) note(text string) {
	h.t.Helper()
	err := h.Store.Update(h.t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO test_texts (text) VALUES (?)`, text)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) texts() (list []string) {
	h.t.Helper()
	err := h.Store.View(h.t.Context(), func(tx *sql.Tx) error {
		rows, err := tx.Query(`SELECT text FROM test_texts`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			list = append(list, text)
		}
		return rows.Err()
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

func (h *host) expect(id kith.BlobID, want []byte) {
	h.t.Helper()
	r, err := h.Blobs.Open(h.t.Context(), id)
	if err != nil {
		h.t.Error(err)
		return
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		h.t.Errorf("blob %s: %d bytes, %v", id, len(got), err)
	}
}

// save puts the host into a file.
func (h *host) save(path string) Manifest {
	h.t.Helper()
	stream, err := Begin(h.t.Context(), h.Source)
	if err != nil {
		h.t.Fatal(err)
	}
	var last int64
	m, err := Save(h.t.Context(), path, false, stream, stream.Size, func(done, total int64) {
		if total != stream.Size || done < last || done > total {
			h.t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	})
	if err := errors.Join(err, stream.Close()); err != nil {
		h.t.Fatal(err)
	}
	if last != stream.Size {
		h.t.Errorf("the stream has %d bytes, announced were %d", last, stream.Size)
	}
	return m
}

func data(size int, seed byte) []byte { return bytes.Repeat([]byte{seed, 'k', 'i', 't', 'h'}, size/5) }

// TestBackup saves a host that goes on, and restores it.
func TestBackup(t *testing.T) {
	top := t.TempDir()
	h := newHost(t, filepath.Join(top, "kith"))
	small, large, gone := data(1000, 1), data(100_000, 2), data(200_000, 3)
	smallID, largeID, goneID := h.keep(small), h.keep(large), h.keep(gone)
	h.note("before")

	stream, err := Begin(t.Context(), h.Source)
	if err != nil {
		t.Fatal(err)
	}
	h.note("after")
	h.release(goneID)
	h.keep(data(300_000, 4))
	path := filepath.Join(top, "a [backup].kith")
	m, err := Save(t.Context(), path, false, stream, stream.Size, nil)
	if err := errors.Join(err, stream.Close()); err != nil {
		t.Fatal(err)
	}
	if m.ID != h.ID || m.Name != h.Name || m.Kith != "v1" || m.Blobs != 2 || m.BlobBytes != 300_000 || m.Made.IsZero() || len(m.Files) != 4 {
		t.Errorf("manifest %+v", m)
	}
	if left, _ := filepath.Glob(filepath.Join(h.Dir, "*backup*")); left != nil {
		t.Errorf("left behind: %s", left)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Save(t.Context(), path, false, stream, stream.Size, nil); !errors.Is(err, kith.Exists) {
		t.Errorf("save over a file: %v, want kind %q", err, kith.Exists)
	}
	if _, err := Save(t.Context(), h.Dir, true, stream, stream.Size, nil); !errors.Is(err, kith.Invalid) {
		t.Errorf("save over a directory: %v, want kind %q", err, kith.Invalid)
	}
	h.note("much later")
	if again, err := Begin(t.Context(), h.Source); err != nil {
		t.Error(err)
	} else {
		second := filepath.Join(top, "second")
		if err := os.WriteFile(second, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Save(t.Context(), second, true, again, again.Size, nil); err != nil {
			t.Errorf("save in place of a file: %v", err)
		}
		again.Close()
		if _, err := Verify(t.Context(), second, nil); err != nil {
			t.Error(err)
		}
	}

	verified, err := Verify(t.Context(), path, nil)
	if err != nil || verified.Made != m.Made {
		t.Errorf("verify: %+v, %v", verified, err)
	}
	dir := filepath.Join(top, "new", "kith")
	if _, err := Restore(t.Context(), path, h.Dir, nil); !errors.Is(err, kith.Exists) {
		t.Errorf("restore over a host: %v, want kind %q", err, kith.Exists)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil { // an empty one is fine
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), path, dir, nil); err != nil {
		t.Fatal(err)
	}
	expectOnly(t, filepath.Dir(dir), "kith")
	for name, want := range map[string]string{"key": "a secret", "config.json": "{}", "certificate/authority": "another"} {
		if got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))); string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"lock", "content", "certificate/localhost"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there, too (%v)", name, err)
		}
	}
	filepath.WalkDir(dir, func(path string, entry fs.DirEntry, _ error) error {
		if info, err := entry.Info(); err != nil || runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
		return nil
	})
	restored := openHost(t, dir)
	restored.expect(smallID, small)
	restored.expect(largeID, large)
	restored.expect(goneID, gone)
	if texts := restored.texts(); len(texts) != 1 || texts[0] != "before" {
		t.Errorf("texts %q", texts)
	}
}

func expectOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("%s has %q, want %q", dir, got, names)
	}
}

// TestDamaged has bytes of a file changed and cut off: nothing is made of it. A change that
// unpacks to the same is none: some bits of a packed file mean nothing.
func TestDamaged(t *testing.T) {
	top := t.TempDir()
	h := newHost(t, filepath.Join(top, "kith"))
	h.keep(data(50_000, 1))
	h.note("here")
	whole := filepath.Join(top, "whole")
	h.save(whole)
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	content, err := unpacked(good)
	if err != nil {
		t.Fatal(err)
	}
	damage := make(map[string][]byte)
	for i := 0; i < len(good); i += 1 + len(good)/60 {
		changed := bytes.Clone(good)
		changed[i] ^= 0x20
		if text, err := unpacked(changed); err != nil || !bytes.Equal(text, content) {
			damage[fmt.Sprint("byte ", i)] = changed
		}
		damage[fmt.Sprint("cut at ", i)] = good[:i]
	}
	damage["cut at the end"] = good[:len(good)-1]
	damage["more"] = append(bytes.Clone(good), "more"...)
	path, dir := filepath.Join(top, "damaged"), filepath.Join(top, "new", "kith")
	for name, text := range damage {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(t.Context(), path, nil); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: verify: %v, want kind %q", name, err, kith.Invalid)
		}
		if _, err := Restore(t.Context(), path, dir, nil); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: restore: %v, want kind %q", name, err, kith.Invalid)
		}
		expectOnly(t, filepath.Dir(dir))
	}
	if _, err := Verify(t.Context(), filepath.Join(top, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("verify what is not there: %v", err)
	}
}

// unpacked returns the archive that is packed in text.
func unpacked(text []byte) ([]byte, error) {
	r, err := zstd.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// An entry is a file of an archive that a test makes.
type entry struct{ name, text string }

// pack makes an archive with a manifest that change may change.
func pack(t testing.TB, change func(*Manifest), entries ...entry) []byte {
	t.Helper()
	m := Manifest{Version: version, ID: kith.ID{7}, Name: "maple.home.kith.alt"}
	for _, e := range entries {
		if strings.HasPrefix(e.name, blobsName+"/") {
			m.Blobs++
			m.BlobBytes += int64(len(e.text))
			continue
		}
		sum := sha256.Sum256([]byte(e.text))
		m.Files = append(m.Files, File{e.name, int64(len(e.text)), hex.EncodeToString(sum[:])})
	}
	if change != nil {
		change(&m)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, e := range append([]entry{{manifestName, string(text)}}, entries...) {
		err := archive.WriteHeader(&tar.Header{Format: tar.FormatGNU, Typeflag: tar.TypeReg, Name: e.name, Size: int64(len(e.text)), Mode: 0o600})
		if _, more := archive.Write([]byte(e.text)); errors.Join(err, more) != nil {
			t.Fatal(err, more)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func blobEntry(text string) entry {
	return entry{blobsName + "/" + blob.Path(sha256.Sum256([]byte(text))), text}
}

// TestStrange reads files that no kith makes.
func TestStrange(t *testing.T) {
	top := t.TempDir()
	h := newHost(t, filepath.Join(top, "kith"))
	b := data(20_000, 1)
	h.keep(b)
	if err := errors.Join(h.Blobs.Close(), h.Store.Close()); err != nil {
		t.Fatal(err)
	}
	database, err := os.ReadFile(filepath.Join(h.Dir, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	key, db, kept := entry{"key", "secret"}, entry{databaseName, string(database)}, blobEntry(string(b))
	torn := bytes.Clone(database)
	for i := 5000; i < len(torn); i += 7 {
		torn[i] = 0xA5
	}
	other := blobEntry("other")
	for name, c := range map[string]struct {
		archive []byte
		want    string // "": it is good
	}{
		"good":              {pack(t, nil, key, db, kept), ""},
		"newer":             {pack(t, func(m *Manifest) { m.Version = 2 }, key, db, kept), "use a newer kith"},
		"no key":            {pack(t, nil, db, kept), "does not name key"},
		"no database":       {pack(t, nil, key, kept), "does not name kith.db"},
		"out of order":      {pack(t, nil, db, key, kept), "does not name key"},
		"foreign file":      {pack(t, nil, key, db, entry{"../evil", "x"}), "names"},
		"missing blob":      {pack(t, nil, key, db), "is not in the file"},
		"another blob":      {pack(t, nil, key, db, other), "is not in the file"},
		"one blob more":     {pack(t, nil, key, db, first(kept, other), second(kept, other)), "is not in"},
		"blob twice":        {pack(t, nil, key, db, kept, kept), "where a blob should be"},
		"blob outside":      {pack(t, nil, key, db, entry{"blobs/../../evil", "x"}), "where a blob should be"},
		"wrong blob":        {pack(t, nil, key, db, entry{kept.name, "other bytes"}), "is not what was saved"},
		"wrong key":         {pack(t, func(m *Manifest) { m.Files[0].SHA256 = m.Files[1].SHA256 }, key, db, kept), "is not what was saved"},
		"blob size":         {pack(t, func(m *Manifest) { m.BlobBytes-- }, key, db, kept), "not of the size"},
		"fewer blobs":       {pack(t, func(m *Manifest) { m.Blobs++ }, key, db, kept), "damaged"},
		"more blobs":        {pack(t, func(m *Manifest) { m.Blobs, m.BlobBytes = 0, 0 }, key, db, kept), "more than its manifest"},
		"damaged database":  {pack(t, nil, key, entry{databaseName, string(torn)}, kept), "damaged"},
		"no database, text": {pack(t, nil, key, entry{databaseName, strings.Repeat("hello", 1000)}, kept), "damaged"},
		"huge manifest":     {pack(t, func(m *Manifest) { m.Name = strings.Repeat("x", maxManifest) }, key, db, kept), "does not begin with"},
		"nothing":           {nil, "damaged"},
	} {
		path := filepath.Join(top, "strange")
		packer, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, packer.EncodeAll(c.archive, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(top, "new", "kith")
		for what, do := range map[string]func() error{
			"verify":  func() error { _, err := Verify(t.Context(), path, nil); return err },
			"restore": func() error { _, err := Restore(t.Context(), path, dir, nil); return err },
		} {
			err := do()
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, kith.Invalid) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: %s: %v, want %q", name, what, err, c.want)
			}
		}
		if c.want == "" {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		expectOnly(t, filepath.Dir(dir))
	}
}

func first(a, b entry) entry {
	if a.name < b.name {
		return a
	}
	return b
}

func second(a, b entry) entry {
	if a.name < b.name {
		return b
	}
	return a
}

// TestStops has contexts and streams end early.
func TestStops(t *testing.T) {
	top := t.TempDir()
	h := newHost(t, filepath.Join(top, "kith"))
	h.keep(data(5_000_000, 1))
	path := filepath.Join(top, "out", "file")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, 100_000, 4_000_000} {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := Begin(ctx, h.Source)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Save(ctx, path, false, stream, stream.Size, func(done, _ int64) {
			if done > at {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("save: %v, want context.Canceled", err)
		}
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
		expectOnly(t, filepath.Dir(path))
	}
	if err := os.WriteFile(filepath.Join(h.Dir, snapshotPrefix+"1"), nil, 0o600); err != nil { // of a killed process
		t.Fatal(err)
	}
	if err := Sweep(h.Dir); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Begin(ended, h.Source); !errors.Is(err, context.Canceled) {
		t.Errorf("begin: %v, want context.Canceled", err)
	}
	h.save(path)
	if _, err := Restore(ended, path, filepath.Join(top, "new"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("restore: %v, want context.Canceled", err)
	}
	expectOnly(t, top, "kith", "out")
	if left, _ := filepath.Glob(filepath.Join(h.Dir, "*backup*")); left != nil {
		t.Errorf("left behind: %s", left)
	}
}

// FuzzRead: whatever is read is a backup, or wrong input.
func FuzzRead(f *testing.F) {
	key, db := entry{"key", "secret"}, entry{databaseName, "database"}
	f.Add(pack(f, nil, key, db, blobEntry("blob")))
	f.Add(pack(f, nil, key, entry{"config.json", "{}"}, db))
	f.Add(pack(f, func(m *Manifest) { m.Blobs = 1 << 40 }, key, db))
	f.Fuzz(func(t *testing.T, archive []byte) {
		if _, err := read(bytes.NewReader(archive), skip()); err != nil && !errors.Is(err, kith.Invalid) {
			t.Errorf("%v is not of kind Invalid", err)
		}
	})
}
