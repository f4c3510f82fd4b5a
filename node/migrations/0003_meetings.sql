-- Secrets of tickets by which newcomers are met in the DHT.
CREATE TABLE node_meetings (
	secret BLOB NOT NULL PRIMARY KEY,
	until  INTEGER NOT NULL -- seconds since 1970
);
