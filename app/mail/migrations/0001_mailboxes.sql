-- The folders of accounts. uid_next and modseq only grow; uid_validity is used once in each account.
CREATE TABLE mail_folders (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	account      TEXT    NOT NULL,
	name         TEXT    NOT NULL,
	use          TEXT    NOT NULL DEFAULT '', -- \Sent and so on
	subscribed   INTEGER NOT NULL DEFAULT 1,
	uid_validity INTEGER NOT NULL,
	uid_next     INTEGER NOT NULL DEFAULT 1,
	modseq       INTEGER NOT NULL DEFAULT 1,
	-- what the triggers below keep:
	messages     INTEGER NOT NULL DEFAULT 0,
	unseen       INTEGER NOT NULL DEFAULT 0,
	deleted      INTEGER NOT NULL DEFAULT 0,
	bytes        INTEGER NOT NULL DEFAULT 0,
	UNIQUE (account, name)
) STRICT;

CREATE TABLE mail_accounts (
	account      TEXT    PRIMARY KEY,
	uid_validity INTEGER NOT NULL -- the last one
) STRICT;

-- What a message holds; copies of it in other folders hold the same.
CREATE TABLE mail_contents (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	blob       BLOB    NOT NULL,
	size       INTEGER NOT NULL,
	message_id TEXT    NOT NULL,
	sent       INTEGER NOT NULL, -- midnight of the day in its Date, as if in UTC; 0 for none
	summary    BLOB    NOT NULL, -- envelope and structure, as package message has them
	indexed    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX mail_contents_pending ON mail_contents (id) WHERE indexed = 0;
CREATE INDEX mail_contents_message ON mail_contents (message_id) WHERE message_id <> '';

CREATE TABLE mail_messages (
	folder   INTEGER NOT NULL REFERENCES mail_folders (id),
	uid      INTEGER NOT NULL,
	content  INTEGER NOT NULL REFERENCES mail_contents (id),
	flags    INTEGER NOT NULL, -- 1 seen, 2 answered, 4 flagged, 8 deleted, 16 draft
	keywords TEXT    NOT NULL DEFAULT '', -- with a space before and after each
	modseq   INTEGER NOT NULL,
	received INTEGER NOT NULL, -- Unix time
	zone     INTEGER NOT NULL, -- seconds east of UTC
	size     INTEGER NOT NULL,
	PRIMARY KEY (folder, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX mail_messages_content ON mail_messages (content);
CREATE INDEX mail_messages_modseq ON mail_messages (folder, modseq);
CREATE INDEX mail_messages_keywords ON mail_messages (folder, keywords) WHERE keywords <> '';
CREATE INDEX mail_messages_deleted ON mail_messages (folder) WHERE flags & 8;

-- Messages that are gone, for those who saw them.
CREATE TABLE mail_expunged (
	folder INTEGER NOT NULL,
	modseq INTEGER NOT NULL,
	uid    INTEGER NOT NULL,
	PRIMARY KEY (folder, modseq, uid)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER mail_messages_insert AFTER INSERT ON mail_messages BEGIN
	UPDATE mail_folders SET messages = messages + 1, bytes = bytes + new.size,
		unseen = unseen + ((new.flags & 1) = 0), deleted = deleted + ((new.flags & 8) <> 0) WHERE id = new.folder;
END;
CREATE TRIGGER mail_messages_delete AFTER DELETE ON mail_messages BEGIN
	UPDATE mail_folders SET messages = messages - 1, bytes = bytes - old.size,
		unseen = unseen - ((old.flags & 1) = 0), deleted = deleted - ((old.flags & 8) <> 0) WHERE id = old.folder;
END;
CREATE TRIGGER mail_messages_update AFTER UPDATE OF flags ON mail_messages WHEN (old.flags & 9) <> (new.flags & 9) BEGIN
	UPDATE mail_folders SET
		unseen = unseen + ((new.flags & 1) = 0) - ((old.flags & 1) = 0),
		deleted = deleted + ((new.flags & 8) <> 0) - ((old.flags & 8) <> 0) WHERE id = new.folder;
END;

-- The words of contents, by their id. It keeps no text.
CREATE VIRTUAL TABLE mail_words USING fts5 (
	subject, sender, recipient, copy, body,
	content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
