// Package door lets programs of other computers reach services of this host that are
// otherwise for programs on it, where its owner opened them: a phone in the same
// network reads mail. Nobody of the overlay comes through it; these programs are outside of
// the group, and a service has to know for itself whom it serves.
//
// An [Opening] says which of this computer's addresses are open, and to whom. A [Door]
// listens for its services at all of these, each on the port that the service has
// on loopback, and follows the addresses as the computer moves; what comes of it, and why
// not, it can tell. Whoever came in under one opening is put out under the next.
//
// [Answer] tells the local network, by multicast DNS (RFC 6762), that a name below
// .local is this computer, so that a program outside finds it after its address has
// changed.
package door
