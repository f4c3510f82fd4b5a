package netlab

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A File is what a member shares.
type File struct {
	Link string
	Size int64
	Hash [32]byte // SHA-256
}

// Share makes a file of random bytes and shares it under its name.
func (m *Member) Share(name string, size int64) File {
	m.t.Helper()
	path := filepath.Join(m.Home, name)
	w, err := os.Create(path)
	if err != nil {
		m.t.Fatal(err)
	}
	hash := sha256.New()
	fresh := mathrand.NewChaCha8([32]byte{byte(mathrand.Uint32()), byte(mathrand.Uint32()), byte(mathrand.Uint32()), byte(mathrand.Uint32())})
	if _, err := io.CopyN(io.MultiWriter(w, hash), fresh, size); err != nil {
		m.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		m.t.Fatal(err)
	}
	link, _, _ := strings.Cut(m.Must("kith share '"+path+"'", m.Home), "\n")
	return File{link, size, [32]byte(hash.Sum(nil))}
}

// A Getting is a "kith get" that runs.
type Getting struct {
	Path  string // of the file
	Ended time.Time
	Err   error // why it ended, nil when the file is there

	file File
	cmd  *exec.Cmd
	done chan struct{}
}

// Get begins to take a file, or goes on with it. It belongs under this name in the
// member's home.
func (m *Member) Get(file File, name string) *Getting {
	m.t.Helper()
	g := &Getting{Path: filepath.Join(m.Home, name), file: file, done: make(chan struct{})}
	g.cmd = m.Command(fmt.Sprintf("exec kith get '%s' -o '%s'", file.Link, g.Path), m.Home)
	var errors bytes.Buffer
	g.cmd.Stderr = &errors
	if err := g.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(g.Kill)
	go func() {
		defer close(g.done)
		if err := g.cmd.Wait(); err != nil {
			g.Err = fmt.Errorf("kith get on %s: %w: %s", m.Name, err, errors.String())
		}
		g.Ended = time.Now()
	}()
	return g
}

// Done is closed when the command has ended: then Ended and Err are set.
func (g *Getting) Done() <-chan struct{} { return g.done }

// Kill ends the command; the node goes on with what it was told.
func (g *Getting) Kill() {
	select {
	case <-g.done:
	default:
		syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
		<-g.done
	}
}

// Check compares what was taken with the file.
func (g *Getting) Check() error {
	got, err := os.Open(g.Path)
	if err != nil {
		return err
	}
	defer got.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, got)
	if err != nil {
		return err
	}
	if n != g.file.Size || [32]byte(hash.Sum(nil)) != g.file.Hash {
		return fmt.Errorf("%s has %d bytes of %d, SHA-256 %x, not %x", g.Path, n, g.file.Size, hash.Sum(nil), g.file.Hash)
	}
	return nil
}
