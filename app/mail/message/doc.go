// Package message reads mail: the header of a message (RFC 5322), its MIME parts
// (RFC 2045, 2046, 2183) with the places where they begin and end, and its
// words. [Parse] reads it once, when it arrives, and [Message.MarshalBinary] keeps what it found in a
// few hundred bytes, from which all that IMAP tells of a message without showing
// it is answered.
//
// Nothing is too broken: what cannot be understood is left out or taken for plain text,
// headers in some 8-bit encoding are guessed at, and what goes beyond a limit (depth,
// number of parts, size of a header) is one part that nobody looks into. Only an error of the reader
// is an error. A message is never held in memory: parts are named by their offsets,
// so that a part is shown byte for byte as it came.
//
// The types of envelopes and structures are those of package go-imap.
package message
