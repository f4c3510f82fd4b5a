package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/store/sqlite"
)

const patience = 30 * time.Second

// A bench is a store on a disk in memory.
type bench struct {
	*Store
	t      testing.TB
	tables *sqlite.Store
	disk   *testDisk
}

func newBench(t testing.TB) *bench {
	t.Helper()
	tables, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "kith.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tables.Close() })
	b := &bench{t: t, tables: tables, disk: newTestDisk(t)}
	b.start()
	return b
}

// start makes the store on what is on the disk, as a new process does. The sweeper
// does not run; settle stands for it.
func (b *bench) start() {
	b.t.Helper()
	b.Store = New(Config{Dir: "blobs", Store: b.tables, FS: b.disk})
	if err := b.prepare(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) write(data []byte) (kith.Blob, context.CancelFunc) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	blob, err := b.Write(ctx, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		b.t.Fatal(err)
	}
	if blob.Size != int64(len(data)) {
		b.t.Errorf("size %d, want %d", blob.Size, len(data))
	}
	return blob, cancel
}

func (b *bench) update(do func(context.Context, *sql.Tx, kith.BlobID) error, id kith.BlobID) error {
	return b.tables.Update(b.t.Context(), func(tx *sql.Tx) error { return do(b.t.Context(), tx, id) })
}

func (b *bench) expect(id kith.BlobID, want []byte) {
	b.t.Helper()
	if err := b.check(id, want); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) check(id kith.BlobID, want []byte) error {
	r, err := b.Open(b.t.Context(), id)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("blob %s: %d bytes, want other %d", id, len(got), len(want))
	}
	return err
}

func (b *bench) expectNone(id kith.BlobID) {
	b.t.Helper()
	if r, err := b.Open(b.t.Context(), id); !errors.Is(err, kith.NotFound) {
		b.t.Errorf("open: %v, %v; want kind %q", r, err, kith.NotFound)
	}
}

// settle waits until the contexts that were cancelled have told the store so, of
// which so many are of writers that go on, and has it sweep.
func (b *bench) settle(live int) {
	b.t.Helper()
	if err := b.trySettle(live); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) trySettle(live int) error {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		n := 0
		b.mu.Lock()
		for _, u := range b.uses {
			n += u.live
		}
		b.mu.Unlock()
		if n == live {
			break
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%d writers live, want %d", n, live)
		}
		runtime.Gosched()
	}
	return b.sweep(b.t.Context())
}

func (b *bench) expectFiles(want int) {
	b.t.Helper()
	if files := b.disk.files(); len(files) != want {
		b.t.Errorf("files %s, want %d", files, want)
	}
}

func idOf(data []byte) kith.BlobID { return sha256.Sum256(data) }

func random(size int, seed uint64) []byte {
	data := make([]byte, size)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	rand.NewChaCha8(key).Read(data)
	return data
}

// TestStore goes through the life of a blob, in a row and in a file.
func TestStore(t *testing.T) {
	for _, size := range []int{0, 1, MaxRow, MaxRow + 1, 100_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			b := newBench(t)
			data := random(size, 1)
			file := 0
			if size > MaxRow {
				file = 1
			}

			blob, end := b.write(data)
			b.expect(blob.ID, data)
			b.expectFiles(file)
			end()
			b.settle(0)
			b.expectNone(blob.ID)
			b.expectFiles(0)
			for name, do := range map[string]func(context.Context, *sql.Tx, kith.BlobID) error{"keep": b.Keep, "release": b.Release} {
				if err := b.update(do, blob.ID); !errors.Is(err, kith.NotFound) {
					t.Errorf("%s what is not there: %v, want kind %q", name, err, kith.NotFound)
				}
			}

			blob, end = b.write(data)
			mine := errors.New("mine")
			if err := b.tables.Update(t.Context(), func(tx *sql.Tx) error {
				return errors.Join(b.Keep(t.Context(), tx, blob.ID), mine)
			}); !errors.Is(err, mine) {
				t.Error(err)
			}
			end()
			b.settle(0)
			b.expectNone(blob.ID)
			b.expectFiles(0)

			blob, end = b.write(data)
			if err := b.update(b.Keep, blob.ID); err != nil {
				t.Fatal(err)
			}
			end()
			b.settle(0)
			b.expect(blob.ID, data)
			b.start()
			b.expect(blob.ID, data)
			b.expectFiles(file)

			if err := b.update(b.Keep, blob.ID); err != nil {
				t.Error(err)
			}
			again, end := b.write(data)
			if again != blob {
				t.Errorf("the same bytes are %v, then %v", blob, again)
			}
			b.expectFiles(file)
			if err := b.update(b.Keep, blob.ID); err != nil {
				t.Error(err)
			}
			end()
			for range 3 {
				b.settle(0)
				b.expect(blob.ID, data)
				if err := b.tables.Update(t.Context(), func(tx *sql.Tx) error {
					return errors.Join(b.Release(t.Context(), tx, blob.ID), mine)
				}); !errors.Is(err, mine) {
					t.Error(err)
				}
				b.settle(0)
				b.expect(blob.ID, data)
				if err := b.update(b.Release, blob.ID); err != nil {
					t.Error(err)
				}
			}
			b.expectNone(blob.ID)
			b.settle(0)
			b.expectFiles(0)
			if len(b.uses) != 0 || len(b.ended) != 0 || len(b.suspects) != 0 {
				t.Errorf("in memory remain %v, %v, %v", b.uses, b.ended, b.suspects)
			}
		})
	}
}

// TestReleaseUnderWriter checks that a writer's context keeps what others
// release, and that a reader reads on.
func TestReleaseUnderWriter(t *testing.T) {
	for _, size := range []int{100, 100_000} {
		b := newBench(t)
		data := random(size, 2)
		blob, end := b.write(data)
		for _, do := range []func(context.Context, *sql.Tx, kith.BlobID) error{b.Keep, b.Release} {
			if err := b.update(do, blob.ID); err != nil {
				t.Fatal(err)
			}
		}
		b.settle(1)
		b.expect(blob.ID, data)
		reader, err := b.Open(t.Context(), blob.ID)
		if err != nil {
			t.Fatal(err)
		}
		end()
		b.settle(0)
		b.settle(0)
		b.expectNone(blob.ID)
		if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, data) {
			t.Errorf("read what was released: %d bytes, %v", len(got), err)
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
		b.settle(0)
		b.expectFiles(0)
	}
}

// TestLateCommit has a transaction that keeps a blob last longer than the writer's
// context.
func TestLateCommit(t *testing.T) {
	b := newBench(t)
	data := random(50_000, 3)
	blob, end := b.write(data)
	swept := make(chan error, 1)
	err := b.tables.Update(t.Context(), func(tx *sql.Tx) error {
		if err := b.Keep(t.Context(), tx, blob.ID); err != nil {
			return err
		}
		end()
		for { // until the store knows
			b.mu.Lock()
			n := len(b.ended)
			b.mu.Unlock()
			if n > 0 {
				break
			}
			runtime.Gosched()
		}
		go func() { swept <- b.sweep(t.Context()) }()
		for { // until the sweep is under way
			b.mu.Lock()
			n := len(b.ended)
			b.mu.Unlock()
			if n == 0 {
				return nil
			}
			runtime.Gosched()
		}
	})
	if err := errors.Join(err, <-swept); err != nil {
		t.Fatal(err)
	}
	b.settle(0)
	b.expect(blob.ID, data)
}

func TestWriteFails(t *testing.T) {
	b := newBench(t)
	mine := errors.New("mine")
	ended, end := context.WithCancel(t.Context())
	end()
	for name, c := range map[string]struct {
		ctx   context.Context
		r     io.Reader
		limit int64
		want  error
	}{
		"limit, row":     {t.Context(), strings.NewReader("12345"), 4, kith.Invalid},
		"limit, nothing": {t.Context(), strings.NewReader("1"), 0, kith.Invalid},
		"limit, less":    {t.Context(), strings.NewReader(""), -1, kith.Invalid},
		"limit, file":    {t.Context(), bytes.NewReader(random(50_000, 4)), 49_999, kith.Invalid},
		"reader, row":    {t.Context(), io.MultiReader(strings.NewReader("1"), iotest.ErrReader(mine)), 1 << 62, mine},
		"reader, file":   {t.Context(), io.MultiReader(bytes.NewReader(random(50_000, 4)), iotest.ErrReader(mine)), 1<<63 - 1, mine},
		"context":        {ended, strings.NewReader("1"), 10, context.Canceled},
	} {
		if _, err := b.Write(c.ctx, c.r, c.limit); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	b.settle(0)
	b.expectFiles(0)
}

func TestHold(t *testing.T) {
	b := newBench(t)
	data := random(50_000, 5)
	blob, end := b.write(data)
	if err := b.update(b.Keep, blob.ID); err != nil {
		t.Fatal(err)
	}
	end()
	b.settle(0)
	hold := b.Hold()
	if err := b.update(b.Release, blob.ID); err != nil {
		t.Fatal(err)
	}
	b.settle(0)
	b.expectNone(blob.ID)
	b.expectFiles(1)
	r, err := hold.Open(blob.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	r.Close()
	if _, err := hold.Open(kith.BlobID{1}); !errors.Is(err, kith.NotFound) {
		t.Errorf("open what is not there: %v", err)
	}
	hold.Close()
	hold.Close()
	b.settle(0)
	b.expectFiles(0)
}

// TestMany has many write, keep, read and release the same few blobs, while the
// sweeper runs, and then compares rows and files.
func TestMany(t *testing.T) {
	const writers, rounds = 8, 40
	b := newBench(t)
	ctx, stop := context.WithCancel(t.Context())
	var sweeper, work sync.WaitGroup
	sweeper.Go(func() {
		for ctx.Err() == nil {
			if err := b.sweep(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			runtime.Gosched()
		}
	})
	keeps := make([][3]int, writers)
	for w := range writers {
		work.Go(func() {
			for range rounds {
				n := rand.IntN(3)
				data := random(MaxRow+n*1000, uint64(n)) // one is a row
				blob, end := b.write(data)
				b.expect(blob.ID, data)
				if rand.IntN(3) > 0 {
					if err := b.update(b.Keep, blob.ID); err != nil {
						t.Error(err)
					}
					keeps[w][n]++
				}
				end()
				if keeps[w][n] > 0 {
					b.expect(blob.ID, data)
				}
				if keeps[w][n] > 0 && rand.IntN(2) == 0 {
					if err := b.update(b.Release, blob.ID); err != nil {
						t.Error(err)
					}
					keeps[w][n]--
				}
			}
		})
	}
	work.Wait()
	stop()
	sweeper.Wait()
	b.settle(0)
	for n := range 3 {
		data := random(MaxRow+n*1000, uint64(n))
		total := 0
		for w := range writers {
			total += keeps[w][n]
		}
		blob, end := b.write(data)
		end()
		b.settle(0)
		if total > 0 {
			b.expect(blob.ID, data)
		} else {
			b.expectNone(blob.ID)
		}
		for range total {
			if err := b.update(b.Release, blob.ID); err != nil {
				t.Error(err)
			}
		}
		b.expectNone(blob.ID)
	}
	b.settle(0)
	b.expectFiles(0)
}

// TestSweeper lets the real one do its work.
func TestSweeper(t *testing.T) {
	b := newBench(t)
	b.Store = New(Config{Dir: "blobs", Store: b.tables, FS: b.disk})
	if err := b.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, end := b.write(random(50_000, 6))
	b.expectFiles(1)
	end()
	for deadline := time.Now().Add(patience); len(b.disk.files()) > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("a file that nobody kept stays")
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
