package library

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"kith.alt/kith"
)

// A shelf is what one host published. Library.mu guards it.
type shelf struct {
	entries  map[string]*record // by title
	holdings *record
	digest   *digest // of entries; nil when it has to be made anew
}

// A digest is the same for two libraries that have the same.
type digest [16]byte

func newShelf() *shelf { return &shelf{entries: make(map[string]*record)} }

// find returns the record whose place r may take, or nil.
func (s *shelf) find(r *record) *record {
	switch {
	case s == nil:
		return nil
	case r.kind == kindHoldings:
		return s.holdings
	default:
		return s.entries[r.entry.Title]
	}
}

func (s *shelf) put(r *record) {
	if r.kind == kindHoldings {
		s.holdings = r
		return
	}
	s.entries[r.entry.Title] = r
	s.digest = nil
}

// fresh counts the entries that are not expired.
func (s *shelf) fresh(now time.Time) (n int) {
	for _, r := range s.entries {
		if !r.expired(now) {
			n++
		}
	}
	return n
}

// A version is what one host tells another of an entry that it has.
type version struct {
	title, record mark
	number        uint64
}

const versionSize = len(mark{}) + 8 + len(mark{})

func (v version) appendTo(buf []byte) []byte {
	buf = append(buf, v.title[:]...)
	buf = binary.BigEndian.AppendUint64(buf, v.number)
	return append(buf, v.record[:]...)
}

func parseVersion(buf []byte) (v version) {
	buf = buf[copy(v.title[:], buf):]
	v.number = binary.BigEndian.Uint64(buf)
	copy(v.record[:], buf[8:])
	return v
}

// versions lists the entries that are not expired.
func (s *shelf) versions(now time.Time) []version {
	if s == nil {
		return nil
	}
	list := make([]version, 0, len(s.entries))
	for title, r := range s.entries {
		if !r.expired(now) {
			list = append(list, version{title: markOf([]byte(title)), number: r.entry.Version, record: r.mark})
		}
	}
	slices.SortFunc(list, func(a, b version) int { return bytes.Compare(a.title[:], b.title[:]) })
	return list
}

// sum returns the digest of the entries: zero where there are none.
func (s *shelf) sum(now time.Time) digest {
	if s == nil {
		return digest{}
	}
	if s.digest == nil {
		s.digest = new(digest)
		if list := s.versions(now); len(list) > 0 {
			h := sha256.New()
			h.Write([]byte("kith library shelf 1\x00"))
			for _, v := range list {
				h.Write(v.appendTo(nil))
			}
			copy(s.digest[:], h.Sum(nil))
		}
	}
	return *s.digest
}

// missing returns the entries that somebody with the versions has lacks, or has
// older.
func (s *shelf) missing(has []version, now time.Time) []*record {
	if s == nil {
		return nil
	}
	known := make(map[mark]version, len(has))
	for _, v := range has {
		known[v.title] = v
	}
	var list []*record
	for title, r := range s.entries {
		v, ok := known[markOf([]byte(title))]
		if !r.expired(now) && (!ok || r.entry.Version > v.number || r.entry.Version == v.number && r.mark != v.record) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *record) int { return bytes.Compare(a.mark[:], b.mark[:]) })
	return list
}

// A summary is what one host tells another of what a third published.
type summary struct {
	host     kith.ID
	entries  digest
	holdings uint64 // their version; 0 where there are none
}

const summarySize = len(kith.ID{}) + len(digest{}) + 8

func (s summary) appendTo(buf []byte) []byte {
	buf = append(buf, s.host[:]...)
	buf = append(buf, s.entries[:]...)
	return binary.BigEndian.AppendUint64(buf, s.holdings)
}

func parseSummary(buf []byte) (s summary) {
	buf = buf[copy(s.host[:], buf):]
	buf = buf[copy(s.entries[:], buf):]
	s.holdings = binary.BigEndian.Uint64(buf)
	return s
}

func (s *shelf) summary(host kith.ID, now time.Time) summary {
	sum := summary{host: host, entries: s.sum(now)}
	if s != nil && s.holdings != nil {
		sum.holdings = s.holdings.entry.Version
	}
	return sum
}

// summaries lists what there is of members, in order of their IDs, and its
// digest.
func (l *Library) summaries() ([]summary, digest) {
	now := time.Now()
	hosts := slices.DeleteFunc(l.hosts(), func(id kith.ID) bool { return !l.member(id) })
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []summary
	h := sha256.New()
	h.Write([]byte("kith library 1\x00"))
	for _, id := range hosts {
		if sum := l.shelves[id].summary(id, now); sum != (summary{host: id}) && len(list) < maxSummaries {
			list = append(list, sum)
			h.Write(sum.appendTo(nil))
		}
	}
	return list, digest(h.Sum(nil)[:len(digest{})])
}

// place puts a record where it is seen, and into the log. The caller holds mu.
func (l *Library) place(r *record) {
	s := l.shelves[r.host()]
	if s == nil {
		s = newShelf()
		l.shelves[r.host()] = s
	}
	if old := s.find(r); old != nil {
		l.unlog(old)
	}
	l.arrivals++
	r.arrival = l.arrivals
	s.put(r)
	l.log = append(l.log, r)
}

// at is where in the log the first record is that came at arrival or later. The caller holds mu.
func (l *Library) at(arrival uint64) (int, bool) {
	return slices.BinarySearchFunc(l.log, arrival, func(r *record, at uint64) int { return cmp.Compare(r.arrival, at) })
}

// unlog takes a record out of the log: some are large. The caller holds mu.
func (l *Library) unlog(r *record) {
	if i, ok := l.at(r.arrival); ok {
		l.log = slices.Delete(l.log, i, i+1)
	}
}
