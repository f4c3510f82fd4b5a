package library

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// Config is what a library needs of its node. Its functions are called while
// changes wait for each other: they must not call the library.
type Config struct {
	Key     ed25519.PrivateKey // of this host
	Store   kith.Store         // nil keeps nothing
	Group   func() [32]byte    // names the group that this host is in; nil is always the same
	Member  func(kith.ID) bool // is in the group
	Changed func()             // entries or holdings have changed; may be nil
	Log     *slog.Logger
}

// Library is this host's copy of the group's library. It is safe for concurrent
// use once Open has returned.
type Library struct {
	cfg Config
	id  kith.ID

	group atomic.Pointer[[32]byte] // whose library this is; changes with changing and mu held

	changing sync.Mutex // held by whoever changes records
	pruned   time.Time
	paces    map[kith.ID]*gossip.Pace // of what each host publishes

	mu       sync.Mutex
	shelves  map[kith.ID]*shelf
	arrivals uint64
	log      []*record     // those on the shelves, by arrival
	grown    chan struct{} // closed at the next arrival
	syncs    map[kith.ID][]*stream
	leases   map[kith.ID]lease // by whose entries are asked for
}

// New makes a library. It opens nothing.
func New(cfg Config) *Library {
	l := &Library{
		cfg: cfg, id: kith.IDOf(cfg.Key.Public().(ed25519.PublicKey)),
		paces: make(map[kith.ID]*gossip.Pace), shelves: make(map[kith.ID]*shelf), grown: make(chan struct{}), syncs: make(map[kith.ID][]*stream), leases: make(map[kith.ID]lease),
	}
	l.group.Store(new([32]byte))
	return l
}

// member reports whether what the host id publishes is in the library.
func (l *Library) member(id kith.ID) bool {
	return l.inGroup() == *l.group.Load() && (id == l.id || l.cfg.Member(id))
}

// Publish lists an entry of this host: its title, kind, content, name, size,
// files and folder; the rest is the library's to say. It is durable when Publish
// returns, and members that have a conversation learn it at once. What is listed so
// already is returned as it is. It fails with kind Invalid for a title of none or
// more than [MaxTitle] characters or with control characters, and with
// kind Quota where the host has [MaxEntries] titles.
func (l *Library) Publish(ctx context.Context, e kith.Entry) (kith.Entry, error) {
	e.Host, e.Withdrawn = l.id, false
	if err := checkEntry(&e); err != nil {
		return kith.Entry{}, fmt.Errorf("publish: %w", err)
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	if err := errors.Join(l.regroup(ctx), l.prune(ctx)); err != nil {
		return kith.Entry{}, fmt.Errorf("publish: %w", err)
	}
	old, titles := l.own(e.Title)
	if old != nil {
		same := old.entry
		e.Version, e.Published = same.Version, same.Published
		if e == same {
			return same, nil
		}
	}
	if titles >= MaxEntries && (old == nil || old.expired(time.Now())) {
		return kith.Entry{}, fmt.Errorf("publish %q: this host has %d titles, or withdrew some of them within 90 days: %w", e.Title, titles, kith.Quota)
	}
	r, err := l.issue(ctx, e, old)
	if err != nil {
		return kith.Entry{}, fmt.Errorf("publish: %w", err)
	}
	return r.entry, nil
}

// Withdraw takes a title of this host off the library: a tombstone takes its
// place, durable when Withdraw returns. It fails with kind NotFound.
func (l *Library) Withdraw(ctx context.Context, title string) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	if err := l.regroup(ctx); err != nil {
		return fmt.Errorf("withdraw: %w", err)
	}
	old, _ := l.own(title)
	if old == nil || old.entry.Withdrawn {
		return fmt.Errorf("withdraw %.80q: this host lists no such title: %w", title, kith.NotFound)
	}
	if _, err := l.issue(ctx, tombstone(old), old); err != nil {
		return fmt.Errorf("withdraw: %w", err)
	}
	return nil
}

func tombstone(r *record) kith.Entry {
	return kith.Entry{Host: r.host(), Title: r.entry.Title, Kind: r.entry.Kind, Withdrawn: true}
}

// own returns this host's record of a title, or nil, and how many titles count.
func (l *Library) own(title string) (r *record, titles int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.shelves[l.id]; s != nil {
		return s.entries[title], s.fresh(time.Now())
	}
	return nil, 0
}

// issue signs e in the place of old, which may be nil, and keeps it. The caller
// holds changing.
func (l *Library) issue(ctx context.Context, e kith.Entry, old *record) (*record, error) {
	e.Version, e.Published = 1, stamp(time.Now(), old)
	if old != nil {
		e.Version = above(old.entry.Version)
	}
	r, err := signEntry(l.cfg.Key, *l.group.Load(), e)
	if err != nil {
		return nil, err
	}
	return r, l.keep(ctx, []*record{r}, nil)
}

// Entries returns the newest version of every entry of members, by title and
// then host, withdrawn ones left out.
func (l *Library) Entries() []kith.Entry {
	var entries []kith.Entry
	for _, s := range l.members() {
		for _, r := range s {
			if !r.entry.Withdrawn {
				entries = append(entries, r.entry)
			}
		}
	}
	slices.SortFunc(entries, func(a, b kith.Entry) int {
		return cmp.Or(strings.Compare(a.Title, b.Title), bytes.Compare(a.Host[:], b.Host[:]))
	})
	return entries
}

// members returns the entries of each member.
func (l *Library) members() [][]*record {
	hosts := l.hosts()
	hosts = slices.DeleteFunc(hosts, func(id kith.ID) bool { return !l.member(id) })
	l.mu.Lock()
	defer l.mu.Unlock()
	var shelves [][]*record
	for _, id := range hosts {
		if s := l.shelves[id]; s != nil {
			records := make([]*record, 0, len(s.entries))
			for _, r := range s.entries {
				records = append(records, r)
			}
			shelves = append(shelves, records)
		}
	}
	return shelves
}

// hosts returns those of whom there are records, members or not, in order.
func (l *Library) hosts() []kith.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	hosts := make([]kith.ID, 0, len(l.shelves))
	for id := range l.shelves {
		hosts = append(hosts, id)
	}
	slices.SortFunc(hosts, func(a, b kith.ID) int { return bytes.Compare(a[:], b[:]) })
	return hosts
}

// Entry returns the newest version of an entry of a member; it may be
// withdrawn.
func (l *Library) Entry(host kith.ID, title string) (kith.Entry, bool) {
	if !l.member(host) {
		return kith.Entry{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.shelves[host]; s != nil && s.entries[title] != nil {
		return s.entries[title].entry, true
	}
	return kith.Entry{}, false
}

// SetHoldings tells the group which contents this host has, complete or in part,
// so that takers know whom to ask; of more than [MaxHoldings] the first ones in
// the order of their IDs. The same again costs nothing. Nothing is stored.
func (l *Library) SetHoldings(contents []kith.ContentID) {
	prefixes := make([]uint64, 0, len(contents))
	for _, content := range contents {
		prefixes = append(prefixes, prefixOf(content))
	}
	slices.Sort(prefixes)
	prefixes = slices.Compact(prefixes)
	prefixes = prefixes[:min(len(prefixes), MaxHoldings)]

	l.changing.Lock()
	defer l.changing.Unlock()
	err := l.regroup(context.Background())
	if err == nil {
		err = l.hold(context.Background(), prefixes)
	}
	if err != nil {
		l.cfg.Log.Warn("holdings not announced", "err", err)
	}
}

// holds returns the record of this host's holdings, or nil.
func (l *Library) holds() *record {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.shelves[l.id]; s != nil {
		return s.holdings
	}
	return nil
}

// hold announces holdings that have not been. The caller holds changing.
func (l *Library) hold(ctx context.Context, prefixes []uint64) error {
	old := l.holds()
	if old == nil && len(prefixes) == 0 || old != nil && slices.Equal(old.contents, prefixes) {
		return nil
	}
	// Numbers begin at the clock, so that a host that starts again goes on above
	// itself.
	version := min(uint64(max(time.Now().UnixMilli(), 1)), MaxVersion)
	if old != nil {
		version = max(version, above(old.entry.Version))
	}
	r, err := signHoldings(l.cfg.Key, *l.group.Load(), l.id, prefixes, version, stamp(time.Now(), old))
	if err != nil {
		return err
	}
	return l.keep(ctx, []*record{r}, nil)
}

// Holders returns the members that said they have the content, complete or in
// part, in the order of their IDs. It is a hint: they may have dropped it since,
// or be asleep.
func (l *Library) Holders(content kith.ContentID) []kith.ID {
	prefix := prefixOf(content)
	l.mu.Lock()
	var holders []kith.ID
	for id, s := range l.shelves {
		if s.holdings == nil {
			continue
		}
		if _, ok := slices.BinarySearch(s.holdings.contents, prefix); ok {
			holders = append(holders, id)
		}
	}
	l.mu.Unlock()
	holders = slices.DeleteFunc(holders, func(id kith.ID) bool { return !l.member(id) })
	slices.SortFunc(holders, func(a, b kith.ID) int { return bytes.Compare(a[:], b[:]) })
	return holders
}
