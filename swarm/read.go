package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/content"
	"kith.alt/kith/proto/bittorrent"
)

// Files lists what is in content whose description is here.
func (s *Swarm) Files(id kith.ContentID) ([]kith.ContentFile, error) {
	d, err := s.described(id)
	if err != nil {
		return nil, err
	}
	h, err := s.holding(id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	complete, x := h.complete, h.exchange
	s.mu.Unlock()
	files := make([]kith.ContentFile, 0, len(d.Files))
	for i, f := range d.Files {
		file := kith.ContentFile{Path: contentPath(d, i), Size: f.Size}
		switch {
		case complete:
			file.Have = f.Size
		case x != nil:
			file.Have = min(f.Size, int64(x.files[i].Have())*content.BlockSize)
		}
		files = append(files, file)
	}
	return files, nil
}

// contentPath is how a file of content is called in it.
func contentPath(d *bittorrent.Description, file int) string {
	if d.Single {
		return ""
	}
	return strings.Join(d.Files[file].Path, "/")
}

// Open reads a file of content; what is not here is fetched.
func (s *Swarm) Open(ctx context.Context, id kith.ContentID, path string) (io.ReadSeekCloser, error) {
	h, err := s.holding(id)
	if err != nil {
		return nil, err
	}
	x, err := s.exchangeOf(id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	h.used = time.Now()
	s.mu.Unlock()
	d := x.description
	for i, f := range d.Files {
		if contentPath(d, i) == path {
			file, err := s.store.File(ctx, f.Root, f.Size)
			if err != nil {
				return nil, fmt.Errorf("open %s: %w", d.Name, err)
			}
			return &reader{ctx: ctx, exchange: x, file: file, size: f.Size, first: d.First(i)}, nil
		}
	}
	return nil, fmt.Errorf("content %s has no file %q: %w", d.Name, path, kith.NotFound)
}

// A reader reads a file of content that may still be on its way.
type reader struct {
	ctx      context.Context
	exchange *exchange
	file     *content.File
	size     int64
	first    int // block
	at       int64
	closed   bool
	block    int // that buffer holds, one more
	buffer   []byte
}

// ahead is how many blocks a reader has fetched before it comes to them.
const ahead = 64

func (r *reader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	block := int(r.at / content.BlockSize)
	if r.block != block+1 {
		if err := r.load(block); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buffer[r.at%content.BlockSize:])
	r.at += int64(n)
	return n, nil
}

func (r *reader) load(block int) error {
	file := r.file
	if r.buffer == nil {
		r.buffer = make([]byte, content.BlockSize)
	}
	for range 3 {
		if !file.Has(block) {
			if err := r.fetch(block); err != nil {
				return err
			}
		}
		n, err := file.ReadBlock(block, r.buffer[:content.BlockSize])
		if err == nil {
			r.buffer, r.block = r.buffer[:n], block+1
			return nil
		}
		if !errors.Is(err, kith.NotFound) {
			return err
		}
		r.exchange.lost(r.first + block)
	}
	return fmt.Errorf("block %d of %s is lost again and again: %w", block, r.exchange.description.Name, kith.Temporary)
}

// fetch waits until a block is here.
func (r *reader) fetch(block int) error {
	for {
		x := r.exchange
		x.want(r.first+block, min(ahead, r.file.Blocks()-block))
		err := x.await(r.ctx, r.first+block)
		if !errors.Is(err, errEnded) {
			return err
		}
		if x, err = x.swarm.exchangeOf(x.id); err != nil {
			return err
		}
		r.exchange = x // it goes on
	}
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d: %w", offset, kith.Invalid)
	}
	r.at = offset
	return offset, nil
}

// Close ends the reading; a second time it has no effect.
func (r *reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	return r.file.Close()
}

// want puts blocks first.
func (x *exchange) want(first, n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.plan.Want(x.now(), first, first+n, x.now())
	x.actLocked()
}
