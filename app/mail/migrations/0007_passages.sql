-- How the letters of a message ended is told as long as an account here has the message.
CREATE INDEX mail_passages_by_id ON mail_passages (message_id);
CREATE TRIGGER mail_passages_forget AFTER DELETE ON mail_contents BEGIN
	DELETE FROM mail_passages WHERE message_id = old.message_id AND status <> ''
		AND NOT EXISTS (SELECT 1 FROM mail_contents WHERE message_id = old.message_id);
END;
