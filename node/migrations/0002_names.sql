-- The key that each name meant when it was first used here.
CREATE TABLE node_names (
	genesis TEXT NOT NULL,
	name    TEXT NOT NULL,
	id      TEXT NOT NULL,
	PRIMARY KEY (genesis, name)
);
