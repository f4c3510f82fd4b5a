// Package apptest has a host in memory for the tests of applications: package
// memory carries its sockets, its store is a database of package sqlite, its blobs those of package blob, its
// swarm ([Swarm]) has everything at hand, and nobody else need run. [NewHost]
// makes it for one application, [Host.Serve] runs that, and the other methods are
// what the tests do around it: dial it as another member, run its commands, ask its
// API, read what it told the owner.
package apptest
