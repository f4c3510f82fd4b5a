-- When this host signed no receipts, by their numbers: it may have, if it was restored.
CREATE TABLE post_gaps (
	after  INTEGER PRIMARY KEY,
	before INTEGER NOT NULL
) STRICT;
