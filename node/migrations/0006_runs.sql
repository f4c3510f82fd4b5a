-- Each start of this host.
CREATE TABLE node_runs (
	number  INTEGER PRIMARY KEY AUTOINCREMENT,
	id      BLOB    NOT NULL,
	started INTEGER NOT NULL -- milliseconds since 1970
);
