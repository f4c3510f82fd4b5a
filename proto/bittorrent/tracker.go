package bittorrent

import (
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// An Announce is what a client asks a tracker: who else has content (BEP 3).
type Announce struct {
	InfoHash   [20]byte
	PeerID     [20]byte
	Port       uint16 // on which the client listens
	Uploaded   int64  // bytes, since it began
	Downloaded int64
	Left       int64  // bytes that it lacks
	Event      string // started, completed or stopped; "" at regular intervals
	Want       int    // peers; -1 where it does not say
}

// Events of an [Announce].
const (
	EventStarted   = "started"
	EventCompleted = "completed"
	EventStopped   = "stopped"
)

// maxQuery is how long the query of a request may be, in bytes.
const maxQuery = 8 << 10

// ParseAnnounce reads the query of an announce request. Parameters that it does
// not know are ignored, and so is "ip": who asks is known by its address. Its
// error wraps [ErrInvalid] and may be shown to the client.
func ParseAnnounce(query string) (Announce, error) {
	a := Announce{Want: -1}
	var hashes, ids int
	err := parameters(query, func(key, value string) (err error) {
		switch key {
		case "info_hash":
			hashes++
			a.InfoHash, err = identifier(value)
		case "peer_id":
			ids++
			a.PeerID, err = identifier(value)
		case "port":
			var port int64
			port, err = decimal(value, math.MaxUint16)
			a.Port = uint16(port)
		case "uploaded":
			a.Uploaded, err = decimal(value, math.MaxInt64)
		case "downloaded":
			a.Downloaded, err = decimal(value, math.MaxInt64)
		case "left":
			a.Left, err = decimal(value, math.MaxInt64)
		case "event":
			switch value {
			case EventStarted, EventCompleted, EventStopped:
				a.Event = value
			}
		case "numwant":
			if strings.HasPrefix(value, "-") { // as many as the tracker likes
				return nil
			}
			var n int64
			n, err = decimal(value, math.MaxInt32)
			a.Want = int(n)
		}
		return err
	})
	switch {
	case err != nil:
		return Announce{}, err
	case hashes != 1 || ids != 1:
		return Announce{}, fmt.Errorf("%d info_hash and %d peer_id, one each expected: %w", hashes, ids, ErrInvalid)
	case a.Port == 0 && a.Event != EventStopped:
		return Announce{}, fmt.Errorf("port is missing: %w", ErrInvalid)
	}
	return a, nil
}

// maxScrape is how many torrents one request asks for at most.
const maxScrape = 64

// ParseScrape reads the query of a scrape request (BEP 48): the torrents whose
// numbers are wanted.
func ParseScrape(query string) ([][20]byte, error) {
	var hashes [][20]byte
	err := parameters(query, func(key, value string) error {
		if key != "info_hash" {
			return nil
		}
		hash, err := identifier(value)
		if hashes = append(hashes, hash); err == nil && len(hashes) > maxScrape {
			err = fmt.Errorf("more than %d torrents: %w", maxScrape, ErrInvalid)
		}
		return err
	})
	if err == nil && len(hashes) == 0 {
		err = fmt.Errorf("info_hash is missing: %w", ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	return hashes, nil
}

// parameters calls each with the parameters of a query. Values are arbitrary
// bytes; a semicolon is nothing special.
func parameters(query string, each func(key, value string) error) error {
	if len(query) > maxQuery {
		return fmt.Errorf("query of %d bytes, at most %d: %w", len(query), maxQuery, ErrInvalid)
	}
	for parameter := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(parameter, "=")
		value, err := url.QueryUnescape(value)
		if err != nil {
			return fmt.Errorf("%s: %v: %w", printable(key), err, ErrInvalid)
		}
		if err := each(key, value); err != nil {
			return at(key, err)
		}
	}
	return nil
}

func identifier(value string) (id [20]byte, err error) {
	if len(value) != len(id) {
		return id, fmt.Errorf("%d bytes, not %d: %w", len(value), len(id), ErrInvalid)
	}
	return [20]byte([]byte(value)), nil
}

func decimal(value string, most int64) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%.24q is not a number from 0 to %d: %w", value, most, ErrInvalid)
	}
	return n, nil
}

// A Swarm is what a tracker knows of a torrent.
type Swarm struct {
	Seeds     int // peers that have all of it
	Takers    int // others
	Completed int // downloads, ever
}

// AppendAnswer appends the answer to an announce: peers in the compact form (BEP
// 23, and BEP 7 for IPv6), whether it was asked for or not, and when to ask
// again.
func AppendAnswer(b []byte, interval time.Duration, swarm Swarm, peers []netip.AddrPort) []byte {
	four, six := compact(peers)
	b = appendIntegerEntry(append(b, 'd'), "complete", int64(swarm.Seeds))
	b = appendIntegerEntry(b, "incomplete", int64(swarm.Takers))
	b = appendIntegerEntry(b, "interval", int64(interval/time.Second))
	b = appendTextEntry(b, "peers", four)
	if len(six) > 0 {
		b = appendTextEntry(b, "peers6", six)
	}
	return append(b, 'e')
}

// AppendFailure appends the answer to a request that is not served, and why.
func AppendFailure(b []byte, reason string) []byte {
	return append(appendTextEntry(append(b, 'd'), "failure reason", reason), 'e')
}

// AppendScrape appends the answer to a scrape (BEP 48): what is known of the
// torrents that were asked for, sorted by hash, none twice.
func AppendScrape(b []byte, hashes [][20]byte, swarms []Swarm) []byte {
	b = append(appendText(append(b, 'd'), "files"), 'd')
	for i, hash := range hashes {
		b = append(appendText(b, hash[:]), 'd')
		b = appendIntegerEntry(b, "complete", int64(swarms[i].Seeds))
		b = appendIntegerEntry(b, "downloaded", int64(swarms[i].Completed))
		b = append(appendIntegerEntry(b, "incomplete", int64(swarms[i].Takers)), 'e')
	}
	return append(b, 'e', 'e')
}
