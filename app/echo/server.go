package echo

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"net"
	"sync"
	"time"

	"kith.alt/kith"
)

// The limits of everything that callers send.
const (
	maxConns = 64
	maxLine  = 4 << 10 // bytes
	patience = time.Minute
)

// A server is the application on one host.
type server struct {
	host  kith.Host
	lines *kith.Counter
}

func newServer(host kith.Host) *server {
	return &server{host: host, lines: host.Metrics().Counter("kith_echo_lines_total", "Lines answered.")}
}

// serve answers connections until ctx ends, and then ends them.
func (s *server) serve(ctx context.Context) error {
	listener, err := s.host.Listen(ctx, "echo")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	var conns sync.WaitGroup
	defer conns.Wait()
	slots := make(chan struct{}, maxConns)
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case slots <- struct{}{}:
			conns.Go(func() {
				defer func() { <-slots }()
				s.answer(ctx, conn)
			})
		default:
			conn.Close()
		}
	}
}

// answer speaks with one caller, and then stores how many lines it said.
func (s *server) answer(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	said := 0
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxLine)
	for {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil || !lines.Scan() {
			break
		}
		said++
		s.lines.Add(1)
		if _, err := conn.Write(append(bytes.ToUpper(lines.Bytes()), '\n')); err != nil {
			break
		}
	}
	caller := ""
	if peer, ok := kith.PeerOf(conn); ok {
		caller = peer.ID.String()
	}
	if err := s.count(context.WithoutCancel(ctx), caller, said); err != nil {
		s.host.Log().Error("lines are not counted", "peer", caller, "err", err)
	}
}

func (s *server) count(ctx context.Context, caller string, lines int) error {
	return s.host.Store().Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO echo_callers (caller, lines) VALUES (?, ?) ON CONFLICT (caller) DO UPDATE SET lines = lines + excluded.lines",
			caller, lines)
		return err
	})
}

// total returns how many lines all callers said.
func (s *server) total(ctx context.Context) (n int, err error) {
	err = s.host.Store().View(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT coalesce(sum(lines), 0) FROM echo_callers").Scan(&n)
	})
	return n, err
}
