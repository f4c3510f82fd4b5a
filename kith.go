// Package kith is the vocabulary of kith: a group's own Internet, run by the
// computers its members already have.
//
// A host is a computer with a key, and its [ID] is that key. A process is
// named by an [Address]: host and port. A [Network] carries bytes between
// processes; the packages below network/ implement it over IP, between the
// processes of one host, by key across NAT, and in memory for tests. An [App]
// is a value: a name, its ports, its migrations and a constructor; it learns
// everything about the node it runs in from a [Host], and never which network
// its callers came by.
//
// Everything else in the module speaks in these words. The package imports the
// standard library only and opens nothing, so that reading it is reading the
// whole vocabulary and no import cycle can begin here.
package kith
