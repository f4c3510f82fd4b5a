-- What this host has and takes.
CREATE TABLE swarm_holdings (
	content     BLOB PRIMARY KEY,
	description BLOB,                        -- NULL until it is known
	name        TEXT NOT NULL,
	path        TEXT NOT NULL,               -- '' for a copy that the node keeps
	replaces    INTEGER NOT NULL DEFAULT 0,  -- what stands at path may be brought up to date
	complete    INTEGER NOT NULL DEFAULT 0,  -- and under its name at path
	paused      INTEGER NOT NULL DEFAULT 0,
	pinned      INTEGER NOT NULL DEFAULT 0,
	follow      INTEGER NOT NULL DEFAULT 0,
	own         INTEGER NOT NULL DEFAULT 0,  -- published here
	entry       BLOB,                        -- JSON of the library's entry, if it is or was one
	hosts       BLOB NOT NULL DEFAULT '',    -- IDs of hosts that are asked first
	added       INTEGER NOT NULL,            -- Unix seconds
	used        INTEGER NOT NULL,            -- last, Unix seconds
	have        INTEGER NOT NULL DEFAULT 0,  -- bytes, when it was last counted
	received    INTEGER NOT NULL DEFAULT 0,
	sent        INTEGER NOT NULL DEFAULT 0
);

-- What this host publishes.
CREATE TABLE swarm_publications (
	title   TEXT PRIMARY KEY,
	kind    TEXT NOT NULL,
	path    TEXT NOT NULL,
	follow  INTEGER NOT NULL,
	mark    BLOB NOT NULL,   -- how it looked before it was read (package watch)
	content BLOB NOT NULL
);

CREATE TABLE swarm_limits (
	id     INTEGER PRIMARY KEY CHECK (id = 1),
	limits BLOB NOT NULL -- JSON
);

-- What members gave to this host and took from it, in bytes of content.
CREATE TABLE swarm_contributions (
	host     BLOB PRIMARY KEY,
	received INTEGER NOT NULL,
	sent     INTEGER NOT NULL
);
