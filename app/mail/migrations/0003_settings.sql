-- What an account wants done with its mail.
CREATE TABLE mail_settings (
	account TEXT    PRIMARY KEY,
	forward TEXT    NOT NULL, -- an address, '' for none
	keep    INTEGER NOT NULL, -- a copy of what is forwarded
	away    TEXT    NOT NULL  -- answered to senders, '' for nothing
) STRICT;

-- Who was answered that an account is away, so that each is once in a while.
CREATE TABLE mail_answered (
	account TEXT    NOT NULL,
	sender  TEXT    NOT NULL,
	at      INTEGER NOT NULL, -- Unix time
	PRIMARY KEY (account, sender)
) STRICT, WITHOUT ROWID;
