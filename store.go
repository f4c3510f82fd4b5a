package kith

import (
	"context"
	"database/sql"
	"io/fs"
)

// A Dialect names the SQL that a store speaks, where owners must know.
type Dialect string

const SQLite Dialect = "sqlite"

// A Store keeps a node's durable state: one database, many owners, each with
// tables of its own under its own prefix ("web_sites"). It is safe for
// concurrent use.
type Store interface {
	// Update runs fn in the one writing transaction at a time and commits
	// when fn returns nil; it is durable when Update returns. Otherwise, and
	// when ctx ends, nothing of fn happened. fn must not keep tx nor call the
	// store again. A full disk is an error of kind Quota.
	Update(ctx context.Context, fn func(tx *sql.Tx) error) error

	// View runs fn in a read-only snapshot; it does not wait for writers. There may be few
	// at a time: fn must not call the store again, nor what does, such as [Blobs].
	View(ctx context.Context, fn func(tx *sql.Tx) error) error

	// Migrate brings the tables of owner to the newest of its migrations:
	// files NNNN_name.sql at the root of migrations, applied once each, in
	// order, never edited, never undone. It fails with kind Invalid when the
	// store has been migrated by a newer program.
	Migrate(ctx context.Context, owner string, migrations fs.FS) error

	Dialect() Dialect
}
