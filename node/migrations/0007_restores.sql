-- When this host came back from a backup.
CREATE TABLE node_restores (
	at INTEGER NOT NULL -- seconds since 1970
);
