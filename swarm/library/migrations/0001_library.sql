CREATE TABLE library_entries (
	host      BLOB NOT NULL,
	title     TEXT NOT NULL,
	body      BLOB NOT NULL,
	signature BLOB NOT NULL,
	received  INTEGER NOT NULL,
	PRIMARY KEY (host, title)
) WITHOUT ROWID;
