ALTER TABLE web_sites ADD COLUMN copies INTEGER NOT NULL DEFAULT 1; -- members may keep a copy

CREATE TABLE web_settings (
	name  TEXT PRIMARY KEY,
	value INTEGER NOT NULL
);
