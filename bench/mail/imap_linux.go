package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"kith.alt/kith/bench/measure"
)

// An reader is one connection to an IMAP server.
type reader struct {
	conn net.Conn
	r    *bufio.Reader
	tag  int
}

func signIn(ctx context.Context, s side, person int) (*reader, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.imap())
	if err != nil {
		return nil, err
	}
	c := &reader{conn: conn, r: bufio.NewReaderSize(conn, 256<<10)}
	if _, err := c.r.ReadString('\n'); err != nil {
		conn.Close()
		return nil, err
	}
	user, password := s.credentials(person)
	if _, err := c.ask("LOGIN %s %s", user, password); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *reader) close() { c.conn.Close() }

// ask sends a command and reads to its end. It returns the last untagged line that has the wanted beginning "* ", cut
// to what may be of use.
func (c *reader) ask(format string, args ...any) (last string, err error) {
	tag, err := c.begin(format, args...)
	if err != nil {
		return "", err
	}
	return c.end(tag)
}

func (c *reader) begin(format string, args ...any) (tag string, err error) {
	c.tag++
	tag = "t" + strconv.Itoa(c.tag)
	_, err = fmt.Fprintf(c.conn, tag+" "+format+"\r\n", args...)
	return tag, err
}

func (c *reader) end(tag string) (last string, err error) {
	for {
		line, err := c.r.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			continue // of a long answer to SEARCH
		} else if err != nil {
			return "", fmt.Errorf("waiting for the answer to %s: %w", tag, err)
		}
		if bytes.HasPrefix(line, []byte("* ")) && len(line) < 1000 {
			last = string(line)
		}
		if bytes.HasPrefix(line, []byte(tag+" ")) {
			if !bytes.HasPrefix(line, []byte(tag+" OK")) {
				return "", fmt.Errorf("the server says %q", line)
			}
			return last, nil
		}
	}
}

// count returns how many messages INBOX has.
func (c *reader) count() (int, error) {
	line, err := c.ask("STATUS INBOX (MESSAGES)")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(line, "MESSAGES ")
	n, err := strconv.Atoi(strings.TrimRight(rest, ")\r\n "))
	if err != nil {
		return 0, fmt.Errorf("status %q: %w", line, err)
	}
	return n, nil
}

// timed measures a command in milliseconds.
func (c *reader) timed(format string, args ...any) (float64, error) {
	began := time.Now()
	_, err := c.ask(format, args...)
	return float64(time.Since(began).Microseconds()) / 1000, err
}

const appends = 200

func measureIMAP(ctx context.Context, s side, mailbox, round int, r *results) error {
	c, err := signIn(ctx, s, 0)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.ask("SELECT INBOX"); err != nil {
		return err
	}
	set := "+FLAGS.SILENT"
	if round%2 == 1 {
		set = "-FLAGS.SILENT"
	}
	for _, one := range []struct{ what, command string }{
		{"fetch of all bodies", fmt.Sprintf("FETCH 1:%d (UID BODY.PEEK[])", mailbox)},
		{"fetch of all envelopes", fmt.Sprintf("FETCH 1:%d ALL", mailbox)},
		{"fetch of all flags", fmt.Sprintf("FETCH 1:%d (UID FLAGS)", mailbox)},
		{"1,000 flags at once", `STORE 1:1000 ` + set + ` (\Seen)`},
		{"search for a subject", `SEARCH SUBJECT "number 77"`},
		{"search for a rare word", `SEARCH TEXT "quince"`},
		{"search for a word in all", `SEARCH TEXT "apples"`},
		{"search for what is unseen", `SEARCH UNSEEN`},
	} {
		took, err := c.timed("%s", one.command)
		if err != nil {
			return fmt.Errorf("%s: %w", one.what, err)
		}
		r.add(figure{one.what, "ms", false}, s, took)
	}
	began := time.Now()
	for n := range 1000 {
		if _, err := c.ask(`STORE %d %s (\Flagged)`, n+1, set); err != nil {
			return err
		}
	}
	r.add(figure{"1,000 flags one by one", "ms", false}, s, float64(time.Since(began).Microseconds())/1000)
	return measureIdle(ctx, s, r)
}

// measureIdle measures from an APPEND to what an idle connection is told.
func measureIdle(ctx context.Context, s side, r *results) error {
	waiting, err := signIn(ctx, s, 0)
	if err != nil {
		return err
	}
	defer waiting.close()
	writing, err := signIn(ctx, s, 0)
	if err != nil {
		return err
	}
	defer writing.close()
	const folder = "Beside"
	writing.ask("CREATE %s", folder) // it may be there
	if _, err := waiting.ask("SELECT %s", folder); err != nil {
		return err
	}
	tag, err := waiting.begin("IDLE")
	if err != nil {
		return err
	}
	if line, err := waiting.r.ReadString('\n'); err != nil || line[0] != '+' {
		return fmt.Errorf("to IDLE the server says %q, %v", line, err)
	}
	text := message(1)
	var whole, told []time.Duration
	for range appends {
		began := time.Now()
		appended, err := writing.begin("APPEND %s {%d}", folder, len(text))
		if err != nil {
			return err
		}
		if line, err := writing.r.ReadString('\n'); err != nil || line[0] != '+' {
			return fmt.Errorf("to APPEND the server says %q, %v", line, err)
		}
		if _, err := writing.conn.Write([]byte(text + "\r\n")); err != nil {
			return err
		}
		heard := make(chan error, 1)
		go func() {
			for {
				line, err := waiting.r.ReadString('\n')
				if err != nil || strings.HasSuffix(line, " EXISTS\r\n") {
					heard <- err
					return
				}
			}
		}()
		if _, err := writing.end(appended); err != nil {
			return err
		}
		whole = append(whole, time.Since(began))
		if err := <-heard; err != nil {
			return err
		}
		told = append(told, time.Since(began))
	}
	if _, err := fmt.Fprintf(waiting.conn, "DONE\r\n"); err != nil {
		return err
	}
	if _, err := waiting.end(tag); err != nil {
		return err
	}
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	r.add(figure{"APPEND, to its answer, median", "ms", false}, s, milliseconds(measure.Median(whole)))
	r.add(figure{"APPEND, to EXISTS at an idle connection, median", "ms", false}, s, milliseconds(measure.Median(told)))
	r.add(figure{"the same, 99th percentile", "ms", false}, s, milliseconds(measure.Quantile(told, 0.99)))
	return nil
}

// measureMemory measures what idle connections cost.
func measureMemory(ctx context.Context, s side, count int, r *results) error {
	before, err := proportional(s)
	if err != nil {
		return err
	}
	for n := range count {
		c, err := signIn(ctx, s, 1+n/idleEach)
		if err != nil {
			return err
		}
		defer c.close()
		if _, err := c.ask("SELECT INBOX"); err != nil {
			return err
		}
		if _, err := c.begin("IDLE"); err != nil {
			return err
		}
		if _, err := c.r.ReadString('\n'); err != nil {
			return err
		}
	}
	time.Sleep(5 * time.Second) // for what is given back
	after, err := proportional(s)
	if err != nil {
		return err
	}
	r.add(figure{fmt.Sprintf("memory of an idle connection, of %d", count), "KiB", false}, s, float64(after-before)/float64(count))
	return nil
}

// proportional is the PSS of a side's processes, in KiB.
func proportional(s side) (sum int, err error) {
	pids, err := s.processes()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
				n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
				if err != nil {
					return 0, err
				}
				sum += n
			}
		}
	}
	return sum, nil
}
