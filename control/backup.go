package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"kith.alt/kith"
)

// A Backup is a node as package backup streams it. Who asked for it reads all of it at
// once, as the node deletes nothing meanwhile, and closes it.
type Backup struct {
	Size int64 // bytes
	io.ReadCloser
}

// What an answer with a stream has besides.
const (
	sizeHeader  = "Kith-Size"
	errorHeader = "Kith-Error" // a trailer: why it ended early
)

// backup answers with a stream, as long as somebody reads it.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) {
	stream, err := s.cfg.Node.Backup(r.Context())
	if err != nil {
		kith.WriteError(w, err)
		return
	}
	defer stream.Close()
	w.Header().Set("Content-Type", "application/x-tar")
	w.Header().Set(sizeHeader, strconv.FormatInt(stream.Size, 10))
	w.Header().Set("Trailer", errorHeader)
	conn := http.NewResponseController(w)
	defer conn.SetWriteDeadline(time.Time{})
	buffer := make([]byte, 256<<10)
	for {
		n, err := stream.Read(buffer)
		conn.SetWriteDeadline(time.Now().Add(stallTime))
		if _, gone := w.Write(buffer[:n]); gone != nil {
			return
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			s.cfg.Log.Error("backup ended early", "err", err)
			w.Header().Set(errorHeader, err.Error())
			return
		}
	}
}

// Backup is [Node.Backup].
func (c *Client) Backup(ctx context.Context) (Backup, error) {
	resp, err := c.send(ctx, http.MethodPost, prefix+"backup", nil)
	if err != nil {
		return Backup{}, err
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return Backup{}, kith.ReadError(resp)
	}
	size, err := strconv.ParseInt(resp.Header.Get(sizeHeader), 10, 64)
	if err != nil {
		resp.Body.Close()
		return Backup{}, fmt.Errorf("read the node's answer: %w", err)
	}
	return Backup{Size: size, ReadCloser: &streamBody{resp, size}}, nil
}

// A streamBody is read to the end that was announced, or tells why it ended before.
type streamBody struct {
	resp *http.Response
	left int64
}

func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.resp.Body.Read(p)
	b.left -= int64(n)
	switch {
	case err == nil, errors.Is(err, io.EOF) && b.left == 0:
		return n, err
	case errors.Is(err, io.EOF) && b.resp.Trailer.Get(errorHeader) != "":
		err = errors.New(b.resp.Trailer.Get(errorHeader))
	}
	return n, fmt.Errorf("the node ended early: %w (%w)", kith.Temporary, err)
}

func (b *streamBody) Close() error { return b.resp.Body.Close() }
