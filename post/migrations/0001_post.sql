-- Letters that this host sent. Payload and sealed are blobs, kept until the letter has ended.
CREATE TABLE post_letters (
	number   INTEGER PRIMARY KEY AUTOINCREMENT,
	id       BLOB    NOT NULL UNIQUE,
	receiver BLOB    NOT NULL,
	app      TEXT    NOT NULL,
	payload  BLOB    NOT NULL,
	size     INTEGER NOT NULL,
	sent     INTEGER NOT NULL, -- milliseconds
	expires  INTEGER NOT NULL, -- seconds
	stream   BLOB,             -- NULL: not ordered
	sequence INTEGER NOT NULL,
	seal     INTEGER NOT NULL DEFAULT 0, -- how often it was sealed
	header   BLOB,
	signature BLOB,
	state    TEXT    NOT NULL,
	reason   TEXT    NOT NULL DEFAULT '',
	since    INTEGER NOT NULL, -- milliseconds
	told     INTEGER NOT NULL DEFAULT 0 -- the application knows how it ended
) STRICT;
CREATE INDEX post_letters_untold ON post_letters (told, state);
CREATE INDEX post_letters_app ON post_letters (app, number);

-- Sealed letters of others: for this host, not opened yet, and for others, in custody.
CREATE TABLE post_held (
	sender    BLOB    NOT NULL,
	letter    BLOB    NOT NULL,
	receiver  BLOB    NOT NULL,
	header    BLOB    NOT NULL,
	signature BLOB    NOT NULL,
	arrived   INTEGER NOT NULL, -- milliseconds
	until     INTEGER NOT NULL, -- seconds
	done      INTEGER NOT NULL DEFAULT 0, -- it was delivered and is kept for the receiver's safety
	PRIMARY KEY (sender, letter)
) STRICT;

-- Who has which sealed letter beside this host, as far as it knows.
CREATE TABLE post_holders (
	sender BLOB NOT NULL,
	letter BLOB NOT NULL,
	host   BLOB NOT NULL,
	PRIMARY KEY (sender, letter, host)
) STRICT;

-- What receivers said became of letters. Those of this host are its marks against duplicates.
CREATE TABLE post_receipts (
	arrival   INTEGER PRIMARY KEY AUTOINCREMENT,
	receiver  BLOB    NOT NULL,
	number    INTEGER NOT NULL,
	sender    BLOB    NOT NULL,
	letter    BLOB    NOT NULL,
	outcome   TEXT    NOT NULL,
	expires   INTEGER NOT NULL, -- of the letter, in seconds
	body      BLOB    NOT NULL,
	signature BLOB    NOT NULL,
	UNIQUE (receiver, number)
) STRICT;
CREATE INDEX post_receipts_letter ON post_receipts (sender, letter, receiver);

-- Receipts of this host that others know and it does not, as it was restored: letters to be asked for again.
CREATE TABLE post_lost (
	number  INTEGER PRIMARY KEY,
	sender  BLOB    NOT NULL,
	letter  BLOB    NOT NULL,
	outcome TEXT    NOT NULL,
	time    INTEGER NOT NULL, -- milliseconds
	expires INTEGER NOT NULL,
	here    INTEGER NOT NULL DEFAULT 0 -- it has come again
) STRICT;

-- Keys that letters to this host are sealed to.
CREATE TABLE post_keys (
	public  BLOB PRIMARY KEY,
	private BLOB    NOT NULL,
	made    INTEGER NOT NULL,
	retired INTEGER NOT NULL DEFAULT 0 -- seconds; 0: in use
) STRICT;

-- Ordered letters: the next number to each receiver and from each sender.
CREATE TABLE post_sequences (
	receiver BLOB NOT NULL,
	app      TEXT NOT NULL,
	stream   BLOB NOT NULL,
	next     INTEGER NOT NULL,
	PRIMARY KEY (receiver, app)
) STRICT;
CREATE TABLE post_order (
	sender BLOB NOT NULL,
	app    TEXT NOT NULL,
	stream BLOB NOT NULL,
	next   INTEGER NOT NULL,
	PRIMARY KEY (sender, app)
) STRICT;

-- How members do as custodians.
CREATE TABLE post_hosts (
	host   BLOB PRIMARY KEY,
	uptime REAL NOT NULL
) STRICT;

CREATE TABLE post_limits (
	one    INTEGER PRIMARY KEY CHECK (one = 1),
	limits TEXT NOT NULL
) STRICT;
