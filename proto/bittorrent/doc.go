// Package bittorrent has the formats of BitTorrent: what content is called by,
// and what peers and trackers say to each other.
//
//   - [Description]: the info dictionary, which names content by its hash (BEP
//     52), in the form that clients of both versions of the protocol read (hybrid:
//     BEP 3, 27, 47, 52)
//   - [Torrent]: a .torrent file around it (BEP 3, 12, 52); [Magnet]: a link to it (BEP 9)
//   - [Handshake] and [Message]: what peers say (BEP 3, 6, 10, 52), with
//     [ExtendedHandshake] (BEP 10), [Metadata] (BEP 9) and [Exchange] (BEP 11)
//     inside messages
//   - [Announce] and [ParseScrape]: what an HTTP tracker is asked and answers (BEP 3,
//     7, 23, 48)
//
// Everything here is bytes in and bytes out: no sockets, files, goroutines or
// clocks, and no state. All functions are safe for concurrent use, as long as
// nobody changes what they are given. What is read is checked strictly, in
// bounded memory, and an error that wraps [ErrInvalid] says what is wrong with it.
// Bencoding is read in its canonical form only, so that no two texts have one meaning.
package bittorrent

import (
	"errors"
	"fmt"
)

// ErrInvalid is what every error about a text or a message that breaks the rules
// wraps. Other errors are those of the reader.
var ErrInvalid = errors.New("invalid")

// ErrVersion1 is of a torrent of version 1 only. It wraps ErrInvalid.
var ErrVersion1 = fmt.Errorf("a torrent of BitTorrent version 1 only: it has no SHA-256 tree (BEP 52) by which blocks are checked one by one: %w", ErrInvalid)
