CREATE TABLE share_settings (
	name  TEXT PRIMARY KEY, -- 'downloads' or 'uploads'
	value TEXT NOT NULL     -- a folder, absolute
);
