-- Addresses at which members have answered.
CREATE TABLE node_met (
	address TEXT NOT NULL PRIMARY KEY
);
