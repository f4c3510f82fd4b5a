CREATE TABLE group_state (
	one     INTEGER PRIMARY KEY CHECK (one = 1),
	genesis BLOB NOT NULL
);
CREATE TABLE group_entries (
	position  INTEGER PRIMARY KEY,
	body      BLOB NOT NULL,
	signature BLOB NOT NULL,
	received  INTEGER NOT NULL
);
CREATE TABLE group_records (
	host      BLOB PRIMARY KEY,
	body      BLOB NOT NULL,
	signature BLOB NOT NULL,
	received  INTEGER NOT NULL
);
