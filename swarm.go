package kith

import (
	"context"
	"io"
	"net/netip"
	"time"
)

// A Swarm shares content: whoever takes some gives it to the next, and every
// block is checked against the content's hash. It is safe for concurrent use.
//
// The group's library lists what is shared: an [Entry] is a title under which a
// host offers content, signed by that host. A [Holding] is content that this
// host has, in whole or in part. Titles of entries are a host's own; who
// changes what stands behind one makes a new version of the entry, and an older one
// never takes its place.
type Swarm interface {
	// Publish reads the file or folder of a publication and lists it in the
	// library; it returns once the content can be had. What was under that title
	// before becomes an older version. The same content again is no new
	// version.
	Publish(ctx context.Context, p Publication) (Entry, error)

	// Withdraw takes a title of this host off the library, and stops giving its
	// content unless something else keeps it. The person's files stay.
	Withdraw(ctx context.Context, title string) error

	// Library returns the newest version of every entry that is known, by title
	// and then host, withdrawn ones left out.
	Library() []Entry

	// Take begins to fetch content, or goes on with it, and returns without
	// waiting for it.
	Take(ctx context.Context, t Taking) (Holding, error)

	// Resolve returns what a magnet link or the bytes of a .torrent file ask for, as a Taking
	// without a place. For a link that names the content by its SHA-1 alone it asks torrent clients of this
	// computer for the description, for some seconds. It fails with kind Invalid where that is no torrent that
	// can be taken, as one of version 1 only, and with NotFound where no client gives the description.
	Resolve(ctx context.Context, source []byte) (Taking, error)

	// Holdings returns what this host has and takes, newest first.
	Holdings() []Holding

	// Holding returns one of them in detail: with peers. It fails with kind NotFound.
	Holding(content ContentID) (Holding, error)

	// Changed returns a channel that is closed when a holding or the library
	// has changed since the call; rates alone change nothing.
	Changed() <-chan struct{}

	Pause(ctx context.Context, content ContentID, paused bool) error
	Pin(ctx context.Context, content ContentID, pinned bool) error // kept although the quota for copies is used up
	Drop(ctx context.Context, content ContentID) error             // stops it; what only the node keeps of it is deleted

	// Follow has a holding follow its entry from now on, or ends that: each newer version is taken
	// to the place of the older one, also one that is there already. What this host publishes follows what is
	// at its path: whenever that changes it is published again. It fails with kind Invalid where there is
	// nothing to follow, as for a bare link that no entry has.
	Follow(ctx context.Context, content ContentID, on bool) error

	// Verify reads all of a holding again; what is not right any more counts as
	// missing. Progress may be nil. It fails with kind Expired where files of this host's
	// owner differ from what was shared.
	Verify(ctx context.Context, content ContentID, progress func(done, total int64)) error

	// Files lists what is in content whose description is here.
	Files(content ContentID) ([]ContentFile, error)

	// Open reads a file of content: "" is the file that is the content itself.
	// Blocks that are not here are fetched first and waited for, until the
	// reader's context ends; the caller closes it. It fails with kind NotFound.
	Open(ctx context.Context, content ContentID, path string) (io.ReadSeekCloser, error)

	// Torrent returns the content as a .torrent file for standard clients, and as a
	// magnet link, both of which lead them to this node.
	Torrent(ctx context.Context, content ContentID) (file []byte, magnet string, err error)

	// MakePublic marks content that this host has for torrent clients on other
	// computers, or takes the mark back, which ends what such clients take. They get it
	// where the door is open, and by its hash alone, without the group's encryption. The mark is
	// of this host: others do not see it. What this host publishes
	// under a title keeps it from one version to the next; what it took from another does not.
	MakePublic(ctx context.Context, content ContentID, public bool) error

	// SetTorrentDoor lets torrent clients on other computers in, on the port that those
	// of this one use, or ends that and what they take: to OpenLAN, OpenAny, an
	// address of this computer, or "". It is remembered. It fails with kind Invalid, with NotFound where this
	// computer does not have the address, and where it can listen on none
	// with what was in the way, such as InUse; then it stays as it was.
	SetTorrentDoor(ctx context.Context, to string) error
	TorrentDoor() TorrentDoor

	Limits() SwarmLimits
	SetLimits(ctx context.Context, limits SwarmLimits) error

	// Contributions tells who gave how much to whom, as far as this host knows.
	Contributions() []Contribution
}

// Kinds of entries.
const (
	EntryFiles = "files" // for people
	EntrySite  = "site"  // a folder that the web application publishes; its title is the path on the site
)

// A Publication is what to list in the library.
type Publication struct {
	Path     string // absolute: a file or a folder
	Title    string // "" is the base name of Path
	Kind     string // "" is EntryFiles
	Follow   bool   // publish again when what is there changes
	Progress func(done, total int64)
}

// An Entry is a version of a line of the library.
type Entry struct {
	Host      ID        `json:"host"`
	Title     string    `json:"title"`
	Kind      string    `json:"kind"`
	Version   uint64    `json:"version"` // rises
	Content   ContentID `json:"content"`
	Name      string    `json:"name"` // of the file or folder
	Size      int64     `json:"size"` // bytes
	Files     int       `json:"files"`
	Folder    bool      `json:"folder"`
	Published time.Time `json:"published"`
	Withdrawn bool      `json:"withdrawn,omitempty"`
}

// A Taking asks for content.
type Taking struct {
	Content ContentID
	Name    string // a hint, until the description is here
	From    []ID   // hosts that are asked first; all members that are awake are asked
	Path    string // absolute: the file or folder to make; "": the node keeps it for itself, as a copy
	Replace bool   // what stands at Path may be brought up to date; what a person changed there is kept beside it
	Entry   Entry  // what it was found as; zero for a bare link
	Follow  bool   // take each newer version of Entry, too

	// What a magnet link or .torrent file tells; none of it is needed.
	Torrent  []byte           // a .torrent file of Content, or the info dictionary out of one
	InfoHash [20]byte         // what BitTorrent version 1 calls it; zero where that is not known
	Clients  []netip.AddrPort // torrent clients of this computer that may have it; at most MaxClients
}

// MaxClients is how many torrent clients a Taking names at most.
const MaxClients = 16

// States of a holding.
const (
	HoldingAsking   = "asking"   // for its description, or for somebody who has it
	HoldingTaking   = "taking"   // blocks arrive, or are waited for
	HoldingComplete = "complete" // all of it is here and given to others
	HoldingPaused   = "paused"   // by the person, or for a reason such as a full disk
	HoldingChecking = "checking" // what is here is read and compared
)

// A Holding is content on this host.
type Holding struct {
	Content  ContentID     `json:"content"`
	Name     string        `json:"name"`
	Path     string        `json:"path"` // where the person's file or folder is or will be; "": a copy that the node keeps
	Size     int64         `json:"size"` // bytes; 0 until the description is here
	Have     int64         `json:"have"` // bytes, verified
	Files    int           `json:"files"`
	State    string        `json:"state"`
	Reason   string        `json:"reason,omitempty"` // why it is paused or does not go on, as a sentence
	Pinned   bool          `json:"pinned"`
	Public   bool          `json:"public"` // for torrent clients on other computers, where they are let in
	Follow   bool          `json:"follow"` // newer versions of Entry are taken, too; of what is published here: changes at Path are published
	Added    time.Time     `json:"added"`
	Entry    Entry         `json:"entry,omitzero"` // of the library, if it is or was there
	Down     float64       `json:"down"`           // bytes a second
	Up       float64       `json:"up"`
	Received int64         `json:"received"` // bytes, ever
	Sent     int64         `json:"sent"`
	Left     time.Duration `json:"left"`            // until it is complete, at this rate; 0: not known
	Parts    []byte        `json:"parts,omitempty"` // at most MaxParts, equal shares of the content: 0 nothing to 255 all of it is here
	Peers    []Taker       `json:"peers,omitempty"` // at present; only of one Holding
}

// MaxParts is how many parts a picture of a holding has at most.
const MaxParts = 128

// A Taker is another host, or a standard client, that takes or gives the same
// content now.
type Taker struct {
	Host     ID      `json:"host,omitzero"`
	Client   string  `json:"client,omitempty"` // a torrent client's own word for itself, where it is no member
	Near     bool    `json:"near"`             // on a network of ours; a client: on this computer
	Have     float64 `json:"have"`             // 0 to 1
	Parts    []byte  `json:"parts,omitempty"`  // as a Holding's
	Down     float64 `json:"down"`             // bytes a second from it
	Up       float64 `json:"up"`
	Received int64   `json:"received"`
	Sent     int64   `json:"sent"`
}

// A ContentFile is a file in content.
type ContentFile struct {
	Path string `json:"path"` // with slashes; "" for content that is one file
	Size int64  `json:"size"`
	Have int64  `json:"have"`
}

// Whom a TorrentDoor may let in, beside those who come to one address.
const (
	OpenLAN = "lan" // this computer's addresses on local networks, for those there
	OpenAny = "any" // all of its addresses, and all who reach them
)

// A TorrentDoor is where torrent clients on other computers, members or not, reach this
// host.
type TorrentDoor struct {
	Open      string           `json:"open"`                // OpenLAN, OpenAny or an address; "": nobody is let in
	Addresses []netip.AddrPort `json:"addresses,omitempty"` // where they are served now
	Problems  []string         `json:"problems,omitempty"`  // why they are not where they should be, as sentences
}

// SwarmLimits are what sharing may use of this host. Rates are in bytes a
// second; zero means no limit.
type SwarmLimits struct {
	Up         int64       `json:"up"`
	Down       int64       `json:"down"`
	MemberUp   int64       `json:"member_up"`   // to each member
	MemberDown int64       `json:"member_down"` // from each member
	Copies     int64       `json:"copies"`      // bytes kept for others alone; 0: DefaultCopies
	MemberDisk int64       `json:"member_disk"` // of these, bytes published by each member; 0: DefaultMemberDisk
	Hours      []RateHours `json:"hours,omitempty"`
}

// What copies for others take of the disk where nothing else was said.
const (
	DefaultCopies     = 2 << 30
	DefaultMemberDisk = 1 << 30
)

// RateHours are rates for some hours of the week, in place of the others. The
// first that contains the time of day, in the computer's zone, holds.
type RateHours struct {
	Days string `json:"days"` // "mon-fri", "sat,sun"; "" every day
	From string `json:"from"` // "08:00"
	To   string `json:"to"`   // "18:00"; before From: of the next day
	Up   int64  `json:"up"`
	Down int64  `json:"down"`
}

// A Contribution is what a member gave to this host and took from it.
type Contribution struct {
	Host     ID    `json:"host"`
	Received int64 `json:"received"` // bytes of content from it, ever
	Sent     int64 `json:"sent"`
}
