-- Torrent clients of other computers may have it, where they are let in.
ALTER TABLE swarm_holdings ADD COLUMN public INTEGER NOT NULL DEFAULT 0;

-- Where they are let in: 'lan', 'any' or an address; '' is nowhere.
CREATE TABLE swarm_door (
	id   INTEGER PRIMARY KEY CHECK (id = 1),
	open TEXT NOT NULL
);
