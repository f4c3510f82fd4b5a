package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"

	"kith.alt/kith"
)

// What the savepoint of an Update is called, and what an Update is told whose
// transaction was undone by what another did.
const savepoint = "kith_update"

var (
	errLost     = fmt.Errorf("the transaction was undone by the database: %w", kith.Temporary)
	errDeferred = errors.New("a row refers to one that does not exist")
)

// driverConn is what is used of the driver's connection.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	sqlite.DBStatus
	sqlite.HookRegisterer
	pageCopier
}

// guardConnector makes the connection that writes.
type guardConnector struct{ driver.Connector }

func (c guardConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	g := &guard{driverConn: conn.(driverConn)}
	g.RegisterRollbackHook(g.rolledBack)
	return g, nil
}

// A guard is the connection that writes. What is a transaction for database/sql is
// a savepoint in that of a [group], and the guard keeps Updates of one group from
// harming each other.
//
// There are errors after which SQLite rolls back not only the statement but the
// whole transaction, and runs what follows without one. The guard notices and lets
// nothing follow. Most of them come from the disk; but the interruption of a
// statement that writes is one, too. So where others are in the transaction, such a
// statement is not interrupted when its context ends.
type guard struct {
	driverConn
	active bool  // in a transaction
	shared bool  // an Update before has done something
	lost   error // why the transaction is no more
}

// begin begins the transaction of a group.
func (g *guard) begin(ctx context.Context) error {
	if err := g.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	g.active = true
	return nil
}

// end commits the transaction, or returns why it could not.
func (g *guard) end() error {
	err := g.lost
	g.active, g.shared, g.lost = false, false, nil
	if err == nil {
		err = g.exec(context.Background(), "COMMIT")
	}
	if err != nil {
		g.exec(context.Background(), "ROLLBACK") // fails where that has been done
	}
	return err
}

// rolledBack learns that SQLite rolls back the transaction.
func (g *guard) rolledBack() {
	if g.active && g.lost == nil {
		g.lost = errLost
	}
}

// note returns what a statement returned, and keeps it where it says why the transaction
// is lost.
func (g *guard) note(err error) error {
	if err != nil && g.lost == errLost {
		g.lost = err
	}
	return err
}

func (g *guard) exec(ctx context.Context, text string) error {
	_, err := g.driverConn.ExecContext(ctx, text, nil)
	return err
}

// BeginTx begins an Update.
func (g *guard) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	if g.lost != nil {
		return nil, g.lost
	}
	if err := g.exec(context.Background(), "SAVEPOINT "+savepoint); err != nil {
		return nil, g.note(err)
	}
	return part{g}, nil
}

// A part is an Update's part of the transaction.
type part struct{ guard *guard }

// Commit makes it stay when the transaction is committed.
func (p part) Commit() error {
	g := p.guard
	if g.lost != nil {
		return g.lost
	}
	deferred, _, err := g.Status(sqlite.DBStatusDeferredFKs, false) // the commit would fail, for all
	if err == nil && deferred != 0 {
		err = errDeferred
	}
	if err == nil {
		err = g.note(g.exec(context.Background(), "RELEASE "+savepoint))
	}
	if err != nil {
		return errors.Join(err, p.Rollback())
	}
	g.shared = true
	return nil
}

// Rollback undoes it.
func (p part) Rollback() error {
	g := p.guard
	if g.lost != nil {
		return nil
	}
	if err := g.exec(context.Background(), "ROLLBACK TO "+savepoint+"; RELEASE "+savepoint); err != nil {
		g.lost = err
		return err
	}
	return nil
}

// shield returns the context with which a statement may run.
func (g *guard) shield(ctx context.Context, query string) context.Context {
	const reads = "SELECT"
	if !g.shared || len(query) > len(reads) && strings.EqualFold(query[:len(reads)], reads) {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// The methods of a driver's connection.

func (g *guard) Close() error {
	g.RegisterRollbackHook(nil)
	return g.driverConn.Close()
}

func (g *guard) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if g.lost != nil {
		return nil, g.lost
	}
	result, err := g.driverConn.ExecContext(g.shield(ctx, query), query, args)
	return result, g.note(err)
}

func (g *guard) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if g.lost != nil {
		return nil, g.lost
	}
	rows, err := g.driverConn.QueryContext(g.shield(ctx, query), query, args)
	return rows, g.note(err)
}

func (g *guard) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	stmt, err := g.driverConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &guardStmt{stmt.(driverStmt), g, query}, nil
}

// driverStmt is what database/sql uses of the driver's statement.
type driverStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// A guardStmt is a statement of a guard.
type guardStmt struct {
	driverStmt
	guard *guard
	query string
}

func (s *guardStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if s.guard.lost != nil {
		return nil, s.guard.lost
	}
	result, err := s.driverStmt.ExecContext(s.guard.shield(ctx, s.query), args)
	return result, s.guard.note(err)
}

func (s *guardStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.guard.lost != nil {
		return nil, s.guard.lost
	}
	rows, err := s.driverStmt.QueryContext(s.guard.shield(ctx, s.query), args)
	return rows, s.guard.note(err)
}
