-- Conversations, and what a list shows of a message.
ALTER TABLE mail_contents ADD COLUMN thread INTEGER NOT NULL DEFAULT 0; -- conversation; below 0: not put together yet
ALTER TABLE mail_contents ADD COLUMN files INTEGER NOT NULL DEFAULT 0; -- that are attached
ALTER TABLE mail_contents ADD COLUMN snippet TEXT; -- the first words, once it was indexed
UPDATE mail_contents SET thread = -id;
CREATE INDEX mail_contents_thread ON mail_contents (thread);
CREATE INDEX mail_messages_received ON mail_messages (folder, received, uid);

-- Where a message belongs that has one of these IDs, or names it.
CREATE TABLE mail_threads (
	account    TEXT    NOT NULL,
	message_id TEXT    NOT NULL,
	thread     INTEGER NOT NULL,
	PRIMARY KEY (account, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX mail_threads_thread ON mail_threads (thread);
CREATE TRIGGER mail_contents_delete AFTER DELETE ON mail_contents WHEN NOT EXISTS (SELECT 1 FROM mail_contents WHERE thread = old.thread) BEGIN
	DELETE FROM mail_threads WHERE thread = old.thread;
END;
