-- What a magnet link or .torrent file told of torrent clients that may have it: JSON.
ALTER TABLE swarm_holdings ADD COLUMN leads BLOB;
