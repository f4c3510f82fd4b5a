package sqlite

import (
	"container/list"
	"context"
	"database/sql/driver"
)

// maxStatements is how many statements a connection keeps, some kilobytes each.
const maxStatements = 64

// A connector makes connections that keep their statements.
type connector struct{ driver.Connector }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &keeper{driverConn: conn.(driverConn), kept: make(map[string]*list.Element)}, nil
}

// A keeper is a connection that keeps the statements it has compiled, of those that were used last: compiling
// one takes longer than running it, mostly. It is used by one goroutine at a time, as connections are.
type keeper struct {
	driverConn
	kept map[string]*list.Element
	used list.List // of *statement; the one used last is in front
}

// A statement is one that is kept.
type statement struct {
	driverStmt
	query string
	busy  bool // its rows are being read
}

// statement returns a compiled statement that is not in use; nil where that is to be left to the driver.
func (k *keeper) statement(ctx context.Context, query string) (*statement, error) {
	if e := k.kept[query]; e != nil {
		s := e.Value.(*statement)
		if s.busy { // within its own rows
			return nil, nil
		}
		k.used.MoveToFront(e)
		return s, nil
	}
	compiled, err := k.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &statement{driverStmt: compiled.(driverStmt), query: query}
	k.kept[query] = k.used.PushFront(s)
	for k.used.Len() > maxStatements {
		e := k.used.Back()
		if e.Value.(*statement).busy {
			k.used.MoveToFront(e)
			break
		}
		if err := k.forget(e); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (k *keeper) forget(e *list.Element) error {
	s := k.used.Remove(e).(*statement)
	delete(k.kept, s.query)
	return s.Close()
}

func (k *keeper) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 { // may be several statements, or one that is not seen twice
		return k.driverConn.ExecContext(ctx, query, args)
	}
	s, err := k.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return k.driverConn.ExecContext(ctx, query, args)
	}
	return s.ExecContext(ctx, args)
}

func (k *keeper) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := k.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return k.driverConn.QueryContext(ctx, query, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return keptRows{rows, s}, nil
}

// Close ends the statements and the connection.
func (k *keeper) Close() error {
	for e := k.used.Front(); e != nil; e = k.used.Front() {
		if err := k.forget(e); err != nil {
			return err
		}
	}
	return k.driverConn.Close()
}

// keptRows are the rows of a statement that is kept.
type keptRows struct {
	driver.Rows
	statement *statement
}

func (r keptRows) Close() error {
	r.statement.busy = false
	return r.Rows.Close()
}
