-- What the application said of the payload.
ALTER TABLE post_letters ADD COLUMN note BLOB NOT NULL DEFAULT X'';
