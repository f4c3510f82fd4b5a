CREATE TABLE web_sites (
	path      TEXT PRIMARY KEY, -- '/' or '/docs'
	dir       TEXT NOT NULL,    -- absolute
	published INTEGER NOT NULL  -- seconds since 1970
);

CREATE TABLE web_exposed (
	port    INTEGER PRIMARY KEY, -- on the overlay
	target  INTEGER NOT NULL,    -- on this computer
	name    TEXT NOT NULL,       -- below it on the site, '' for none
	exposed INTEGER NOT NULL     -- seconds since 1970
);
