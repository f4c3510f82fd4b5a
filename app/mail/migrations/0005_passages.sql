-- The letters that a message of an account became, for whoever sent it.
CREATE TABLE mail_passages (
	letter     BLOB PRIMARY KEY,
	account    TEXT NOT NULL,
	message_id TEXT NOT NULL,
	host       BLOB NOT NULL,
	recipients TEXT NOT NULL, -- with a space between them
	sent       INTEGER NOT NULL, -- milliseconds
	status     TEXT NOT NULL DEFAULT '' -- once it has ended, in JSON
) STRICT;
CREATE INDEX mail_passages_message ON mail_passages (account, message_id);
