// Package sqlite keeps a node's durable state in one SQLite file. [Open] gives
// a [Store], which is a [kith.Store]. The driver is pure Go
// (modernc.org/sqlite), and nothing outside this package knows it.
//
// On disk, where the path given is kith.db:
//
//	kith.db            everything (0600)
//	kith.db-wal, -shm  what is committed and not yet moved into kith.db
//	kith.db.before-N   copies made before migrations; the newest two are kept
//
// Commits go to the write-ahead log and are synced to the disk before Update
// returns (journal_mode=WAL, synchronous=FULL), so that a process killed or a
// power cut at any moment loses nothing that was acknowledged.
//
// There is one connection that writes; Updates take it in turn. Those that wait at
// the same time share a transaction, begun with BEGIN IMMEDIATE, and its commit,
// which is what takes the time: each has a savepoint of its own, so that one that
// fails, panics or is cancelled leaves the others alone, and all return when the
// commit has reached the disk. Where the disk fails in the middle of it, all that were
// in it fail. Views have a pool of connections that cannot write, each transaction
// a snapshot of its own. A connection keeps the statements that it used last compiled.
//
// Migrations are recorded in the table store_migrations by owner, version and
// checksum. All pending migrations of an owner are applied in one transaction.
// Before the first one that changes an existing database, in each life of a
// Store, the database is copied aside; N counts the migrations it had.
//
// What a file cannot be used for is an error that names the remedy; the file
// is left as it was.
package sqlite
