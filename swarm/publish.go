package swarm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
	"kith.alt/kith/swarm/watch"
)

const (
	maxTitle   = 120 // characters
	leastPiece = 64 << 10
	mostPiece  = 16 << 20
	manyPieces = 256
)

// Publish reads a file or folder and lists it in the library.
func (s *Swarm) Publish(ctx context.Context, p kith.Publication) (kith.Entry, error) {
	if p.Kind == "" {
		p.Kind = kith.EntryFiles
	}
	if !filepath.IsAbs(p.Path) {
		return kith.Entry{}, fmt.Errorf("%s is not an absolute path: %w", p.Path, kith.Invalid)
	}
	p.Path = filepath.Clean(p.Path)
	if s.cfg.Private(p.Path) {
		return kith.Entry{}, fmt.Errorf("%s is, or holds, where kith keeps its own data; share something else: %w", p.Path, kith.Invalid)
	}
	if p.Title == "" {
		p.Title = filepath.Base(p.Path)
	}
	if err := checkTitle(p.Title); err != nil {
		return kith.Entry{}, err
	}
	// As it looks before it is read: what changes from now on is noticed later.
	mark, err := watch.Look(ctx, target(p, watch.Mark{}))
	if err != nil && p.Follow {
		return kith.Entry{}, fmt.Errorf("follow %s: %w", p.Path, err)
	}
	d, err := s.read(ctx, p)
	if err != nil {
		return kith.Entry{}, err
	}
	return s.list(ctx, p, mark, d)
}

func checkTitle(title string) error {
	switch {
	case strings.TrimSpace(title) != title || title == "":
		return fmt.Errorf("title %q is empty or has spaces around it: %w", title, kith.Invalid)
	case !utf8.ValidString(title) || strings.ContainsFunc(title, unicode.IsControl):
		return fmt.Errorf("title %q has characters that nobody can read: %w", title, kith.Invalid)
	case utf8.RuneCountInString(title) > maxTitle:
		return fmt.Errorf("title %.20q... is longer than %d characters: %w", title, maxTitle, kith.Invalid)
	}
	return nil
}

// read hashes what is to be published, and has the store know the files.
func (s *Swarm) read(ctx context.Context, p kith.Publication) (*bittorrent.Description, error) {
	found, err := s.walk(p)
	if err != nil {
		return nil, err
	}
	var total int64
	for _, f := range found {
		total += f.size
	}
	single := len(found) == 1 && len(found[0].name) == 0
	pieceLength := pieceLength(total)
	var done int64 // of the files before
	progress := func(n int64) {
		if p.Progress != nil {
			p.Progress(done+n, total)
		}
	}
	var files []bittorrent.File
	var pieces []byte
	for _, f := range found {
		sum, err := sumFile(ctx, f.path, f.info, pieceLength, !single, progress)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.path, err)
		}
		if sum.Size > 0 {
			if err := s.store.Import(ctx, f.path, sum); err != nil {
				return nil, fmt.Errorf("keep %s: %w", f.path, err)
			}
		}
		done += sum.Size
		files = append(files, bittorrent.File{Path: f.name, Size: sum.Size, Root: sum.Root})
		for _, piece := range sum.Pieces {
			pieces = append(pieces, piece[:]...)
		}
	}
	d, err := bittorrent.Describe(filepath.Base(p.Path), files, single, pieceLength, pieces)
	if err == nil && d.Blocks() > maxBlocks {
		err = fmt.Errorf("%d blocks, at most %d", d.Blocks(), maxBlocks)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be shared: %w: %w", p.Path, err, kith.Invalid)
	}
	return d, nil
}

// sumFile reads the file that was found at a path, and no other that has come there since,
// such as a link out of the folder; nil is any.
func sumFile(ctx context.Context, path string, found fs.FileInfo, pieceLength int64, pad bool, progress func(int64)) (content.Summary, error) {
	f, err := os.Open(path)
	if err != nil {
		return content.Summary{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return content.Summary{}, err
	}
	if found != nil && !os.SameFile(found, info) {
		return content.Summary{}, fmt.Errorf("another file has taken its place; share it again: %w", kith.Temporary)
	}
	sum, err := content.Sum(ctx, f, info.Size(), int(pieceLength), pad, progress)
	if err != nil {
		return sum, err
	}
	if after, err := f.Stat(); err != nil || after.Size() != info.Size() || !after.ModTime().Equal(info.ModTime()) {
		return sum, fmt.Errorf("it changed while it was read; share it when it is finished: %w", kith.Temporary)
	}
	return sum, nil
}

// pieceLength is that of the description, for torrent clients: few pieces, as
// every taker fetches the description whole.
func pieceLength(size int64) int64 {
	length := int64(leastPiece)
	for length < mostPiece && size/length >= manyPieces {
		length *= 2
	}
	return length
}

// list puts what was read into the library, and gives it to whoever asks.
func (s *Swarm) list(ctx context.Context, p kith.Publication, mark watch.Mark, d *bittorrent.Description) (kith.Entry, error) {
	s.listing.Lock()
	defer s.listing.Unlock()
	if err := ctx.Err(); err != nil { // as where it is not followed any more
		return kith.Entry{}, err
	}
	id := kith.ContentID(d.ID())
	before, known := s.library.Entry(s.cfg.Self, p.Title)
	if known && before.Kind != p.Kind && !before.Withdrawn {
		return kith.Entry{}, fmt.Errorf("%q is the title of something else; choose another with --title: %w", p.Title, kith.Exists)
	}
	if err := s.retain(ctx, id, d); err != nil {
		return kith.Entry{}, err
	}
	entry := before
	if !known || before.Withdrawn || before.Content != id {
		var err error
		entry, err = s.library.Publish(ctx, kith.Entry{
			Host: s.cfg.Self, Title: p.Title, Kind: p.Kind, Content: id, Name: d.Name, Size: d.Size(), Files: len(d.Files), Folder: !d.Single, Published: time.Now(),
		})
		if err != nil {
			return kith.Entry{}, fmt.Errorf("list in the library: %w", err)
		}
	}
	s.mu.Lock()
	h := s.holdings[id]
	if h == nil {
		h = &holding{Holding: kith.Holding{Content: id, Added: time.Now()}}
		s.holdings[id] = h
	} else if !h.complete {
		h.haltLocked() // it is here, and need not be fetched any more
	}
	h.describe(d)
	h.Path, h.Entry, h.own, h.complete, h.used = p.Path, entry, true, true, time.Now()
	h.replace, h.full, h.Follow = false, false, p.Follow
	if older := s.holdings[before.Content]; older != nil && !before.Withdrawn && older.Public {
		h.Public = true // who opened it means what stands under the title
	}
	h.State, h.Reason, h.Have = kith.HoldingComplete, "", h.Size
	s.mu.Unlock()
	if err := s.save(ctx, h, d.Raw); err != nil {
		return kith.Entry{}, err
	}
	err := s.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO swarm_publications (title, kind, path, follow, mark, content) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (title) DO UPDATE SET kind = excluded.kind, path = excluded.path, follow = excluded.follow, mark = excluded.mark, content = excluded.content`,
			p.Title, p.Kind, p.Path, p.Follow, mark[:], id[:])
		return err
	})
	if err != nil {
		return kith.Entry{}, fmt.Errorf("store publication: %w", err)
	}
	if known && before.Content != id {
		s.forgetOwn(ctx, before.Content)
	}
	s.announceSoon()
	s.change()
	if p.Follow {
		s.watcher.Watch(target(p, mark))
	} else {
		s.unfollow(ctx, p.Path)
	}
	return entry, nil
}

// forgetOwn drops content that was published here and is not any more, unless
// it stands under another title.
func (s *Swarm) forgetOwn(ctx context.Context, id kith.ContentID) {
	for _, e := range s.library.Entries() {
		if e.Host == s.cfg.Self && e.Content == id {
			return
		}
	}
	if err := s.Drop(ctx, id); err != nil && !errors.Is(err, kith.NotFound) {
		s.log.Warn("older version not dropped", "err", err)
	}
}

// Withdraw takes a title of this host off the library.
func (s *Swarm) Withdraw(ctx context.Context, title string) error {
	entry, ok := s.library.Entry(s.cfg.Self, title)
	if !ok || entry.Withdrawn {
		return fmt.Errorf("this host shares nothing called %q: %w", title, kith.NotFound)
	}
	if err := s.library.Withdraw(ctx, title); err != nil {
		return fmt.Errorf("withdraw %q: %w", title, err)
	}
	var path string
	err := s.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		return tx.QueryRow("DELETE FROM swarm_publications WHERE title = ? RETURNING path", title).Scan(&path)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("withdraw %q: %w", title, err)
	}
	s.forgetOwn(ctx, entry.Content)
	s.unfollow(ctx, path)
	s.change()
	return nil
}

// Library returns the entries that are known.
func (s *Swarm) Library() []kith.Entry { return s.library.Entries() }
