-- Who has a letter has signed that it does. Those of before are asked again.
DROP TABLE post_holders;
CREATE TABLE post_holders (
	sender BLOB NOT NULL,
	letter BLOB NOT NULL,
	host   BLOB NOT NULL,
	proof  BLOB NOT NULL,
	PRIMARY KEY (sender, letter, host)
) STRICT;
