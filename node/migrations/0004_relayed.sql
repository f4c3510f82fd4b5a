-- Bytes relayed for other members on each day, UTC; only the last ones are kept.
CREATE TABLE node_relayed (
	day   INTEGER PRIMARY KEY, -- since 1 January 1970
	bytes INTEGER NOT NULL
);
