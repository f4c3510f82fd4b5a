package measure

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	sink = 's' // the server reads and forgets
	echo = 'e' // the server answers each message of messageSize

	messageSize = 64
	blockSize   = 128 << 10
)

// A Way leads to the server, in the same process.
type Way struct {
	Name   string
	Beside string // the way whose throughput it is compared with; "": none
	Dial   func(context.Context) (net.Conn, error)
}

// Options say how much is measured.
type Options struct {
	Rounds int           // in each of which all ways take their turn, so that a noisy machine disturbs them alike
	Time   time.Duration // of each measurement of throughput
	Calls  int           // round trips on an open stream
	Opens  int           // streams to open
}

// A Row is what was measured of a way.
type Row struct {
	Way
	One, Eight     []float64 // bytes/s on one and on eight streams, by round
	Price          []float64 // CPU-s/GB on one stream, by round
	Trips, Replies []time.Duration
}

// A Server is where ways lead to. Its zero value is ready to use.
type Server struct{ received atomic.Uint64 }

// Serve answers on a listener until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go s.Answer(conn)
	}
}

// Answer answers on one connection and closes it.
func (s *Server) Answer(conn net.Conn) {
	defer conn.Close()
	var mode [1]byte
	if _, err := io.ReadFull(conn, mode[:]); err != nil {
		return
	}
	if mode[0] == echo {
		var message [messageSize]byte
		for {
			if _, err := io.ReadFull(conn, message[:]); err != nil {
				return
			}
			if _, err := conn.Write(message[:]); err != nil {
				return
			}
		}
	}
	block := make([]byte, blockSize)
	for {
		n, err := conn.Read(block)
		s.received.Add(uint64(n))
		if err != nil {
			return
		}
	}
}

// Measure measures all ways to the server.
func (s *Server) Measure(ctx context.Context, ways []Way, o Options) ([]Row, error) {
	rows := make([]Row, len(ways))
	for i, w := range ways {
		rows[i].Way = w
	}
	for range o.Rounds {
		for i := range rows {
			if err := s.round(ctx, &rows[i], o); err != nil {
				return nil, fmt.Errorf("%s: %w", rows[i].Name, err)
			}
		}
	}
	return rows, nil
}

func (s *Server) round(ctx context.Context, r *Row, o Options) error {
	for _, m := range []struct {
		streams int
		to      *[]float64
	}{{1, &r.One}, {8, &r.Eight}} {
		rate, price, err := s.Throughput(ctx, r.Way, m.streams, o.Time)
		if err != nil {
			return err
		}
		*m.to = append(*m.to, rate)
		if m.streams == 1 {
			r.Price = append(r.Price, price)
		}
	}
	trips, err := roundTrips(ctx, r.Way, o.Calls/o.Rounds)
	if err != nil {
		return err
	}
	replies, err := firstReplies(ctx, r.Way, o.Opens/o.Rounds)
	if err != nil {
		return err
	}
	r.Trips, r.Replies = append(r.Trips, trips...), append(r.Replies, replies...)
	return nil
}

// Throughput returns the bytes/s that arrive on so many streams together, and
// the CPU-s that a gigabyte costs at both ends and between them.
func (s *Server) Throughput(ctx context.Context, w Way, streams int, lasts time.Duration) (rate, price float64, err error) {
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	for range streams {
		conn, err := w.Dial(ctx)
		if err != nil {
			return 0, 0, err
		}
		conns = append(conns, conn)
		if _, err := conn.Write([]byte{sink}); err != nil {
			return 0, 0, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var writers sync.WaitGroup
	for _, conn := range conns {
		writers.Go(func() {
			block := make([]byte, blockSize)
			for ctx.Err() == nil {
				if _, err := conn.Write(block); err != nil {
					return
				}
			}
		})
	}
	<-time.After(lasts / 5) // windows grow
	before, cpu, began := s.received.Load(), cpuTime(), time.Now()
	<-time.After(lasts)
	bytes := float64(s.received.Load() - before)
	rate, price = bytes/time.Since(began).Seconds(), (cpuTime()-cpu).Seconds()/(bytes/1e9)
	cancel()
	writers.Wait()
	return rate, price, nil
}

func roundTrips(ctx context.Context, w Way, calls int) ([]time.Duration, error) {
	conn, err := w.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{echo}); err != nil {
		return nil, err
	}
	list := make([]time.Duration, 0, calls)
	var message [messageSize]byte
	for range calls {
		began := time.Now()
		if _, err := conn.Write(message[:]); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(conn, message[:]); err != nil {
			return nil, err
		}
		list = append(list, time.Since(began))
	}
	return list, nil
}

func firstReplies(ctx context.Context, w Way, opens int) ([]time.Duration, error) {
	list := make([]time.Duration, 0, opens)
	message := make([]byte, 1+messageSize)
	message[0] = echo
	for range opens {
		began := time.Now()
		conn, err := w.Dial(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := conn.Write(message); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(conn, message[1:]); err != nil {
			return nil, err
		}
		list = append(list, time.Since(began))
		conn.Close()
	}
	return list, nil
}

// Report prints the rows as a Markdown table. goals are the shares that ways
// are to have of those beside them, by name.
func Report(rows []Row, goals map[string]float64) {
	fmt.Println("| engine | 1 stream, Gbit/s | 8 streams | beside | 1 stream | 8 streams | goal | CPU-s/GB | 64-byte round trip p50/p99 | open to first reply p50/p99 |")
	fmt.Println("|---|---:|---:|---|---:|---:|---:|---:|---:|---:|")
	beside := make(map[string]Row)
	for _, r := range rows {
		beside[r.Name] = r
	}
	for _, r := range rows {
		peer, goal := beside[r.Beside], ""
		if g := goals[r.Name]; g != 0 {
			goal = fmt.Sprint(g)
		}
		fmt.Printf("| %s | %.1f | %.1f | %s | %s | %s | %s | %.2f | %s | %s |\n", r.Name,
			Median(r.One)*8/1e9, Median(r.Eight)*8/1e9, peer.Name, Ratios(r.One, peer.One), Ratios(r.Eight, peer.Eight), goal,
			Median(r.Price), Times(r.Trips), Times(r.Replies))
	}
}
