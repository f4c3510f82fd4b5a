package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// perSender is how many messages each of so many senders has.
var perSender = map[int]int{1: 500, 8: 250, 32: 100}

// message is one of 4 KiB with a number, a word that is in all, and one that is in every thousandth.
func message(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "From: <ann@localhost>\r\nTo: <ann@localhost>\r\nSubject: number %d\r\nMessage-ID: <%d.%d@bench>\r\nDate: Mon, 23 Nov 2026 09:00:00 +0000\r\n\r\n", n, n, time.Now().UnixNano())
	if n%1000 == 7 {
		b.WriteString("There is a quince in it.\r\n")
	}
	for i := 0; b.Len() < 4096-80; i++ {
		fmt.Fprintf(&b, "line %d of %d: a garden has apples, pears, plums and %d bees\r\n", i, n, (i*7919+n*104729)%100_000)
	}
	return b.String()
}

// A submitter is one connection to a submission server.
type submitter struct {
	conn net.Conn
	r    *bufio.Reader
	from string
	to   string
}

func submit(ctx context.Context, s side) (*submitter, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.smtp())
	if err != nil {
		return nil, err
	}
	m := &submitter{conn: conn, r: bufio.NewReader(conn), from: s.recipient(), to: s.recipient()}
	steps := []string{"", "EHLO bench"}
	if s.signsIn() {
		user, password := s.credentials(0)
		steps = append(steps, "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)))
	}
	for _, step := range steps {
		if err := m.say(step); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return m, nil
}

// say says a line, "" for nothing, and reads an answer that is no refusal.
func (m *submitter) say(line string) error {
	if line != "" {
		if _, err := m.conn.Write([]byte(line + "\r\n")); err != nil {
			return err
		}
	}
	for {
		answer, err := m.r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("after %.20q: %w", line, err)
		}
		if len(answer) < 4 || answer[0] != '2' && answer[0] != '3' {
			return fmt.Errorf("to %.20q the server says %q", line, answer)
		}
		if answer[3] == ' ' {
			return nil
		}
	}
}

func (m *submitter) send(text string) error {
	for _, line := range []string{"MAIL FROM:<" + m.from + ">", "RCPT TO:<" + m.to + ">", "DATA", text + "."} {
		if err := m.say(line); err != nil {
			return err
		}
	}
	return nil
}

func measureSubmission(ctx context.Context, s side, senders int, r *results) error {
	watch, err := signIn(ctx, s, 0)
	if err != nil {
		return err
	}
	defer watch.close()
	before, err := watch.count()
	if err != nil {
		return err
	}
	each := perSender[senders]
	all := senders * each
	texts := make([]string, all)
	for i := range texts {
		texts[i] = message(before + i)
	}
	lines := make([]*submitter, senders)
	for i := range lines {
		if lines[i], err = submit(ctx, s); err != nil {
			return err
		}
		defer lines[i].conn.Close()
	}
	began := time.Now()
	failed := make(chan error, senders)
	var work sync.WaitGroup
	for i, m := range lines {
		work.Go(func() {
			for _, text := range texts[i*each : (i+1)*each] {
				if err := m.send(text); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	work.Wait()
	accepted := time.Since(began)
	select {
	case err := <-failed:
		return err
	default:
	}
	for {
		n, err := watch.count()
		if err != nil {
			return err
		}
		if n >= before+all {
			break
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("%d of %d messages arrived", n-before, all)
		}
		time.Sleep(5 * time.Millisecond)
	}
	arrived := time.Since(began)
	who := fmt.Sprintf("%d senders", senders)
	if senders == 1 {
		who = "1 sender"
	}
	r.add(figure{"accepted from " + who, "messages/s", true}, s, float64(all)/accepted.Seconds())
	r.add(figure{"in the mailbox from " + who, "messages/s", true}, s, float64(all)/arrived.Seconds())
	return nil
}

// fill submits until a mailbox has so many messages.
func fill(ctx context.Context, s side, want int) error {
	watch, err := signIn(ctx, s, 0)
	if err != nil {
		return err
	}
	defer watch.close()
	have, err := watch.count()
	if err != nil {
		return err
	}
	var work sync.WaitGroup
	numbers, failed := make(chan int), make(chan error, 8)
	for range cap(failed) {
		m, err := submit(ctx, s)
		if err != nil {
			return err
		}
		defer m.conn.Close()
		work.Go(func() {
			for n := range numbers {
				if err := m.send(message(n)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	for n := have; n < want; n++ {
		select {
		case numbers <- n:
		case err := <-failed:
			return err
		}
	}
	close(numbers)
	work.Wait()
	for have < want {
		time.Sleep(100 * time.Millisecond)
		if have, err = watch.count(); err != nil {
			return err
		}
	}
	return nil
}
