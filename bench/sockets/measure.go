package main

import (
	"context"
	"errors"
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
	blockSize   = 64 << 10
	callTime    = 10 * time.Second // for a dial, a call, a block
)

// received counts what all servers have read and forgotten.
var received atomic.Uint64

// serve answers on a listener until ctx ends.
func serve(ctx context.Context, l net.Listener) {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go answer(conn)
	}
}

func answer(conn net.Conn) {
	defer conn.Close()
	block := make([]byte, blockSize)
	if _, err := io.ReadFull(conn, block[:1]); err != nil {
		return
	}
	if block[0] == echo {
		for {
			if _, err := io.ReadFull(conn, block[:messageSize]); err != nil {
				return
			}
			if _, err := conn.Write(block[:messageSize]); err != nil {
				return
			}
		}
	}
	for {
		n, err := conn.Read(block)
		received.Add(uint64(n))
		if err != nil {
			return
		}
	}
}

// open dials and says what the server is to do.
func open(ctx context.Context, w way, first []byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	conn, err := w.dial(ctx)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(callTime))
	if _, err := conn.Write(first); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// throughput returns the MiB/s that arrive on so many streams together.
func throughput(ctx context.Context, w way, streams int, lasts time.Duration) (float64, error) {
	var conns []net.Conn
	var writers sync.WaitGroup
	defer writers.Wait()
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	for range streams {
		conn, err := open(ctx, w, []byte{sink})
		if err != nil {
			return 0, err
		}
		conn.SetDeadline(time.Now().Add(lasts + callTime))
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		writers.Go(func() {
			for block := make([]byte, blockSize); ; {
				if _, err := conn.Write(block); err != nil {
					return
				}
			}
		})
	}
	<-time.After(lasts / 5) // windows grow
	before, began := received.Load(), time.Now()
	<-time.After(lasts)
	return float64(received.Load()-before) / time.Since(began).Seconds() / (1 << 20), ctx.Err()
}

func roundTrips(ctx context.Context, w way, calls int) ([]time.Duration, error) {
	conn, err := open(ctx, w, []byte{echo})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var list []time.Duration
	var message [messageSize]byte
	for range calls {
		began := time.Now()
		conn.SetDeadline(began.Add(callTime))
		if _, err := conn.Write(message[:]); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(conn, message[:]); err != nil {
			return nil, err
		}
		list = append(list, time.Since(began))
	}
	return list, ctx.Err()
}

func firstReplies(ctx context.Context, w way, opens int) ([]time.Duration, error) {
	var list []time.Duration
	message := make([]byte, 1+messageSize)
	for range opens {
		message[0] = echo
		began := time.Now()
		conn, err := open(ctx, w, message)
		if err != nil {
			return nil, err
		}
		_, err = io.ReadFull(conn, message[1:])
		list = append(list, time.Since(began))
		conn.Close()
		if err != nil {
			return nil, err
		}
	}
	return list, ctx.Err()
}
