package post

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/blob"
	"kith.alt/kith/kithtest/require"
	"kith.alt/kith/store/sqlite"
)

var kills = flag.Int("kills", 0, "`ROUNDS` of TestKill; 0: 6, or 100 under KITH_TEST=all")

const (
	childVariable = "KITH_POST_TEST_CHILD" // in a child: its name, and the folder of all
	crashVariable = "KITH_POST_TEST_CRASH" // in a child: the Update at which it dies, before (-) or after (+) it has committed
	unsettled     = 150                    // letters at which the sender pauses
)

var killNames = []string{"maple", "elm", "oak"} // sender, custodian, receiver

// TestKill has three processes pass on letters and kills one after another, at random moments and at
// random transactions. In the end every letter that was acknowledged has taken effect
// once, byte for byte.
func TestKill(t *testing.T) {
	rounds := 6
	if *kills > 0 {
		rounds = *kills
	} else if require.Everything() {
		rounds = 100
	}
	p := &parade{dir: t.TempDir(), sent: make(map[string]string)}
	children := make(map[string]*child)
	for _, name := range killNames {
		children[name] = p.start(t, name, "")
	}
	for range rounds {
		name := killNames[rand.IntN(len(killNames))]
		c := children[name]
		if rand.IntN(2) == 0 {
			time.Sleep(rand.N(300 * time.Millisecond))
			c.cmd.Process.Kill()
		} else {
			c.crashSoon(t)
		}
		c.wait()
		crash := ""
		if rand.IntN(2) == 0 {
			crash = []string{"-", "+"}[rand.IntN(2)] + strconv.Itoa(1+rand.IntN(80))
		}
		children[name] = p.start(t, name, crash)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "enough"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range killNames { // without crash points
		children[name].cmd.Process.Kill()
		children[name].wait()
		children[name] = p.start(t, name, "")
	}
	select {
	case <-children["maple"].settled:
	case <-time.After(2 * time.Minute):
		t.Error("letters are still under way")
	}
	for _, c := range children {
		c.cmd.Process.Signal(os.Interrupt)
		c.wait()
	}
	p.audit(t)
	t.Logf("%d rounds, %d letters", rounds, len(p.sent))
}

// A parade is three processes that pass on letters, and what the sender said it sent.
type parade struct {
	dir string

	mu   sync.Mutex
	sent map[string]string // letter: hash
}

type child struct {
	cmd     *exec.Cmd
	out     sync.WaitGroup
	settled chan struct{}
}

func (p *parade) start(t *testing.T, name, crash string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0], "-test.run=^TestKillChild$"), settled: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), childVariable+"="+name+" "+p.dir, crashVariable+"="+crash)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill() })
	c.out.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			switch words := strings.Fields(lines.Text()); {
			case len(words) == 3 && words[0] == "sent":
				p.mu.Lock()
				p.sent[words[1]] = words[2]
				p.mu.Unlock()
			case len(words) == 1 && words[0] == "settled":
				close(c.settled)
			}
		}
	})
	return c
}

// crashSoon waits for a child to die at its crash point, if it has one, and kills it otherwise.
func (c *child) crashSoon(t *testing.T) {
	dead := make(chan struct{})
	go func() { c.out.Wait(); close(dead) }()
	select {
	case <-dead:
	case <-time.After(300 * time.Millisecond):
		c.cmd.Process.Kill()
	}
}

func (c *child) wait() {
	c.out.Wait()
	c.cmd.Wait()
}

// audit compares what was sent with what took effect.
func (p *parade) audit(t *testing.T) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(p.dir, "oak", "kith.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	got := make(map[string][]string)
	err = store.View(t.Context(), func(tx *sql.Tx) error {
		rows, err := tx.Query(`SELECT id, hash FROM echo_audit`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, hash string
			if err := rows.Scan(&id, &hash); err != nil {
				return err
			}
			got[id] = append(got[id], hash)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, hash := range p.sent {
		if !slices.Equal(got[id], []string{hash}) {
			t.Errorf("letter %s with hash %s took effect as %v", id, hash, got[id])
		}
	}
	for id, hashes := range got {
		if len(hashes) > 1 {
			t.Errorf("letter %s took effect %d times", id, len(hashes))
		}
	}
}

// TestKillChild is a process of TestKill.
func TestKillChild(t *testing.T) {
	name, dir, ok := strings.Cut(os.Getenv(childVariable), " ")
	if !ok {
		return // only within TestKill
	}
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	defer stop()
	ids := make(map[string]kith.ID)
	keys := make(map[string]ed25519.PrivateKey)
	var members []kith.Member
	for i, name := range killNames {
		seed := make([]byte, ed25519.SeedSize)
		seed[0] = byte(i + 1)
		keys[name] = ed25519.NewKeyFromSeed(seed)
		ids[name] = kith.IDOf(keys[name].Public().(ed25519.PublicKey))
		members = append(members, kith.Member{ID: ids[name], Host: name, Online: true})
	}
	nameOf := func(id kith.ID) string {
		for name, other := range ids {
			if other == id {
				return name
			}
		}
		panic("no host " + id.Short())
	}
	own := filepath.Join(dir, name)
	if err := os.MkdirAll(own, 0o700); err != nil {
		t.Fatal(err)
	}
	opened, err := sqlite.Open(ctx, filepath.Join(own, "kith.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if err := opened.Migrate(ctx, "echo", echoTables); err != nil {
		t.Fatal(err)
	}
	store := newCrashing(opened, os.Getenv(crashVariable))
	log := slog.New(slog.DiscardHandler)
	blobs := blob.New(blob.Config{Dir: filepath.Join(own, "blobs"), Store: store, Log: log})
	if err := blobs.Load(ctx); err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	var p *Post
	p = New(Config{
		Self: ids[name], Key: keys[name], Store: store, Blobs: blobs, Log: log, Metrics: new(kith.Metrics),
		Dial: func(ctx context.Context, a kith.Address) (net.Conn, error) {
			id, err := kith.ParseID(a.Host)
			if err != nil {
				return nil, err
			}
			return dialChild(ctx, filepath.Join(dir, nameOf(id)+".sock"), ids[name], id)
		},
		Listen: func(context.Context) (net.Listener, error) {
			path := filepath.Join(dir, name+".sock")
			os.Remove(path)
			ln, err := net.Listen("unix", path)
			return childListener{ln}, err
		},
		Group: func() [32]byte { return [32]byte{7} }, Members: func() []kith.Member { return members }, Connected: func(kith.ID) bool { return true },
		SealKey: func(id kith.ID) []byte {
			public, err := os.ReadFile(filepath.Join(dir, nameOf(id)+".key"))
			if err != nil {
				return nil
			}
			return public
		},
		ShowKey: func(context.Context) error {
			path := filepath.Join(dir, name+".key")
			if err := os.WriteFile(path+".new", p.OwnSealKey(), 0o600); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
	})
	if err := p.Load(ctx); err != nil {
		t.Fatal(err)
	}
	p.Register(map[string]Receiver{"echo": {Receive: func(ctx context.Context, tx *sql.Tx, l kith.Letter) error {
		r, err := blobs.Open(ctx, l.Payload.ID)
		if err != nil {
			return err
		}
		defer r.Close()
		hash := sha256.New()
		if _, err := io.Copy(hash, r); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO echo_audit (id, hash) VALUES (?, ?)`, l.ID.String(), hex.EncodeToString(hash.Sum(nil)))
		return err
	}}})
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx) }()
	if name == "maple" {
		write(ctx, t, p, store, blobs, ids["oak"], filepath.Join(dir, "enough"))
	}
	<-ctx.Done()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// write sends letters and prints each once it is acknowledged, until the file enough is there, and
// then that all have ended.
func write(ctx context.Context, t *testing.T, p *Post, store kith.Store, blobs kith.Blobs, to kith.ID, enough string) {
	mine := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.mine
	}
	for n := 0; ctx.Err() == nil; n++ {
		if _, err := os.Stat(enough); err == nil {
			break
		}
		if mine() > unsettled {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		size := rand.IntN(6 << 10)
		if n%20 == 0 {
			size = 16<<10 + rand.IntN(200<<10) // a file
		}
		body := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(n), byte(rand.Uint32())}).Read(body)
		sending, cancel := context.WithCancel(ctx)
		b, err := blobs.Write(sending, bytes.NewReader(body), kith.MaxLetter)
		if err != nil {
			t.Fatal(err)
		}
		var id kith.LetterID
		err = store.Update(sending, func(tx *sql.Tx) (err error) {
			id, err = p.For("echo").Send(sending, tx, kith.Draft{To: to, Payload: b})
			return err
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(body)
		fmt.Printf("sent %s %x\n", id, sum)
	}
	for ctx.Err() == nil && mine() > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("settled")
}

// A crashing store ends the process around one of its transactions.
type crashing struct {
	*sqlite.Store
	before, after int64
	updates       atomic.Int64
}

func newCrashing(s *sqlite.Store, when string) *crashing {
	c := &crashing{Store: s}
	if n, err := strconv.ParseInt(when, 10, 64); err == nil {
		c.before, c.after = max(0, -n), max(0, n)
	}
	return c
}

func (c *crashing) Update(ctx context.Context, fn func(tx *sql.Tx) error) error {
	n := c.updates.Add(1)
	err := c.Store.Update(ctx, func(tx *sql.Tx) error {
		err := fn(tx)
		if n == c.before {
			die()
		}
		return err
	})
	if n == c.after {
		die()
	}
	return err
}

func die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		self.Kill()
	}
	select {}
}

// Children know each other by an ID at the beginning of each connection.
func dialChild(ctx context.Context, path string, self, peer kith.ID) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, kith.Unreachable)
	}
	if _, err := conn.Write(self[:]); err != nil {
		conn.Close()
		return nil, err
	}
	return childConn{conn, peer}, nil
}

type childListener struct{ net.Listener }

func (l childListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var id kith.ID
		if _, err := io.ReadFull(conn, id[:]); err == nil {
			return childConn{conn, id}, nil
		}
		conn.Close()
	}
}

type childConn struct {
	net.Conn
	peer kith.ID
}

func (c childConn) Peer() kith.Peer { return kith.Peer{ID: c.peer} }
