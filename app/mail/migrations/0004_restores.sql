-- How often the host had come back from a backup when UIDs were last made certain.
CREATE TABLE mail_restores (
	one   INTEGER PRIMARY KEY CHECK (one = 1),
	count INTEGER NOT NULL
) STRICT;
INSERT INTO mail_restores (one, count) VALUES (1, 0);
