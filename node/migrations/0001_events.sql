CREATE TABLE node_events (
	id   INTEGER PRIMARY KEY,
	at   INTEGER NOT NULL, -- microseconds since 1970
	text TEXT NOT NULL
);
