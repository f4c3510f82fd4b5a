package share

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/folders"
	"kith.alt/kith/terminal"
)

// Limits of what is dragged into the dashboard.
const (
	maxUploads   = 8
	maxSlice     = 16 << 20         // bytes of one request
	uploadRest   = 30 * time.Minute // without a slice, after which an upload is given up
	reservedDisk = 256 << 20        // bytes that stay free
	uploadPrefix = ".kith-upload-"  // of files that are not complete
)

// uploads are files that a browser sends, slice by slice. It is safe for
// concurrent use.
type uploads struct {
	mu  sync.Mutex
	all map[string]*upload
}

// An upload is a file that arrives.
type upload struct {
	mu     sync.Mutex // held while a slice is written
	name   string
	size   int64
	have   int64
	file   *os.File
	latest time.Time // of a slice
}

type uploadRequest struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// An Upload is what requests for one answer.
type Upload struct {
	ID   string `json:"id"`
	Have int64  `json:"have"`           // bytes that are here
	Link string `json:"link,omitempty"` // to the page of the share, once it is one
}

// begin makes room for a file in dir.
func (u *uploads) begin(dir string, in uploadRequest) (Upload, error) {
	name := fileName(in.Name)
	if name == "" || in.Size < 0 {
		return Upload{}, fmt.Errorf("%.60q is no name for a file: %w", in.Name, kith.Invalid)
	}
	available, err := folders.Free(dir)
	if err != nil {
		return Upload{}, fmt.Errorf("room in %s: %w", dir, err)
	}
	if in.Size > available-reservedDisk {
		return Upload{}, fmt.Errorf("%s does not fit: the disk has %s left; share it from where it is: %w", name, terminal.Size(max(0, available-reservedDisk)), kith.Quota)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.all) >= maxUploads {
		return Upload{}, fmt.Errorf("%d files are on their way already; try again when one is here: %w", maxUploads, kith.Quota)
	}
	file, err := os.CreateTemp(dir, uploadPrefix)
	if err != nil {
		return Upload{}, fmt.Errorf("make a file in %s: %w", dir, err)
	}
	if u.all == nil {
		u.all = make(map[string]*upload)
	}
	id := rand.Text()
	u.all[id] = &upload{name: name, size: in.Size, file: file, latest: time.Now()}
	return Upload{ID: id}, nil
}

func (u *uploads) find(id string) (*upload, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if found := u.all[id]; found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("this file is not on its way any more; begin again: %w", kith.NotFound)
}

// add writes the slice at offset, which is where the last one ended.
func (u *uploads) add(id string, offset int64, slice io.Reader) (Upload, error) {
	f, err := u.find(id)
	if err != nil {
		return Upload{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil || offset != f.have {
		return Upload{ID: id, Have: f.have}, nil // the browser goes on there
	}
	most := min(maxSlice, f.size-f.have)
	n, err := io.Copy(f.file, io.LimitReader(slice, most+1))
	if err == nil && n > most {
		err = fmt.Errorf("more arrives than was announced: %w", kith.Invalid)
	}
	if err != nil {
		u.drop(id)
		f.discard()
		return Upload{}, fmt.Errorf("write %s: %w", f.name, err)
	}
	f.have += n
	f.latest = time.Now()
	return Upload{ID: id, Have: f.have}, nil
}

// finish gives a file that is complete a name that is free, and returns its path.
func (u *uploads) finish(id string) (string, error) {
	f, err := u.find(id)
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil || f.have != f.size {
		return "", fmt.Errorf("%s has not arrived whole; begin again: %w", f.name, kith.Invalid)
	}
	u.drop(id)
	part := f.file.Name()
	if err := errors.Join(f.file.Sync(), f.file.Close()); err != nil {
		f.discard()
		return "", fmt.Errorf("write %s: %w", f.name, err)
	}
	f.file = nil
	path := free(filepath.Join(filepath.Dir(part), f.name))
	if err := os.Rename(part, path); err != nil {
		os.Remove(part)
		return "", fmt.Errorf("give %s its name: %w", f.name, err)
	}
	return path, nil
}

// cancel gives an upload up.
func (u *uploads) cancel(id string) {
	if f, err := u.find(id); err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		u.drop(id)
		f.discard()
	}
}

// drop forgets an upload.
func (u *uploads) drop(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.all, id)
}

// discard deletes what has arrived. The lock is held.
func (f *upload) discard() {
	if f.file != nil {
		f.file.Close()
		os.Remove(f.file.Name())
		f.file = nil
	}
}

// tend gives up what rests until ctx ends, and then everything.
func (u *uploads) tend(ctx context.Context) {
	tick := time.NewTicker(uploadRest / 10)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			u.giveUp(time.Now().Add(uploadRest))
			return
		case now := <-tick.C:
			u.giveUp(now)
		}
	}
}

func (u *uploads) giveUp(now time.Time) {
	u.mu.Lock()
	all := make(map[string]*upload, len(u.all))
	for id, f := range u.all {
		all[id] = f
	}
	u.mu.Unlock()
	for id, f := range all {
		f.mu.Lock()
		if now.Sub(f.latest) >= uploadRest {
			u.drop(id)
			f.discard()
		}
		f.mu.Unlock()
	}
}

// sweep deletes what a crash left of uploads in dir, which another node may use, too.
func sweep(dir string) {
	const day = 24 * time.Hour
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // nothing was ever dragged in
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && strings.HasPrefix(entry.Name(), uploadPrefix) && info.Mode().IsRegular() && time.Since(info.ModTime()) > day {
			os.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}

// The requests of the dashboard's script.

func (s *share) beginUpload(ctx context.Context, in uploadRequest) (Upload, error) {
	dir, err := s.settings.made(ctx, uploadsFolder)
	if err != nil {
		return Upload{}, err
	}
	return s.uploads.begin(dir, in)
}

func (s *share) addToUpload(w http.ResponseWriter, r *http.Request) {
	offset, err := strconv.ParseInt(r.URL.Query().Get("offset"), 10, 64)
	if err != nil {
		kith.WriteError(w, fmt.Errorf("offset %q is no number: %w", r.URL.Query().Get("offset"), kith.Invalid))
		return
	}
	slice := r.Body
	r.Body = http.NoBody
	kith.Answer(func(context.Context, struct{}) (Upload, error) {
		return s.uploads.add(r.PathValue("id"), offset, slice)
	}).ServeHTTP(w, r)
}

func (s *share) finishUpload(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	kith.Answer(func(ctx context.Context, _ struct{}) (Upload, error) {
		path, err := s.uploads.finish(id)
		if err != nil {
			return Upload{}, err
		}
		item, err := s.publish(ctx, publishRequest{Path: path, Title: s.freeTitle(filepath.Base(path)), Work: id})
		if err != nil {
			return Upload{}, err
		}
		return Upload{ID: id, Have: item.Size, Link: sharePage(item.Content)}, nil
	}).ServeHTTP(w, r)
}

// freeTitle returns title, or one like it that this host does not use yet.
func (s *share) freeTitle(title string) string {
	used := make(map[string]bool)
	for _, e := range s.swarm().Library() {
		if e.Host == s.host.ID() {
			used[e.Title] = true
		}
	}
	ext := filepath.Ext(title)
	for n, stem := 2, strings.TrimSuffix(title, ext); used[title]; n++ {
		title = fmt.Sprintf("%s (%d)%s", stem, n, ext)
	}
	return title
}
