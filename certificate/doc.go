// Package certificate is the host's own certificate authority: with its
// certificate in their list of trusted ones, client programs of this host speak
// TLS to it without a warning. [Authority] has the configuration for listeners.
//
// # What it may vouch for
//
// There is one authority for each host and never one for a group: who trusts it
// trusts this computer and nobody else. Its certificate says so itself, in critical
// name constraints (RFC 5280 4.2.1.10), so that a stolen key deceives nobody about
// other places: localhost with all names below it, which no other computer has
// (RFC 6761 6.3), the loopback addresses, and the names in Config.Names. It signs
// certificates of servers alone: path length zero, key usage keyCertSign, extended key
// usage serverAuth. Keys are ECDSA on P-256, which all clients know; the authority's
// certificate is good for ten years.
//
// Ports beyond loopback need no more than another name: a phone on the same network
// reaches a computer by its multicast name (maple.local) or its address, and either
// of them in Config.Names is permitted and certified, by itself and nothing around it.
//
// # Certificates of listeners
//
// Each certificate has one name: the one that the client asked for (RFC 6066 3), or
// localhost with 127.0.0.1 and ::1 where it asked for none or for a name that is not
// permitted. They live for 90 days; the first handshake in the last 30 of them
// makes a new one, so that listeners change over by themselves, and a computer that
// slept for a year does so when it wakes. No limit of any client is near: Apple's is 825
// days where the authority was installed by a person.
//
// # Another name
//
// When the names change, a new certificate of the authority permits the new ones, with
// the same key and the same subject. Who has the old one goes on as before, as far
// as its constraints go: at localhost, where client programs usually are, nothing
// changes. Only who uses a new name must install the new certificate, and the owner
// is told ([Config].Event).
//
// # On disk
//
// The folder has mode 0700, and two files with mode 0600, each a private key (PKCS #8)
// and its certificate in PEM (RFC 7468), replaced as a whole or not at all:
// "authority", and "localhost", which is kept so that clients whose people chose to
// trust just that certificate are asked no more often than it changes. The others
// share its key and are made again after a start.
//
// A mutex guards the state; it is held while a file is written, which happens a
// few times a year.
package certificate
