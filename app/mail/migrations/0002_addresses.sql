-- Other names of accounts of this host.
CREATE TABLE mail_aliases (
	name    TEXT PRIMARY KEY,
	account TEXT NOT NULL
) STRICT;

-- Lists that this host keeps. What cannot be delivered comes back to the owner.
CREATE TABLE mail_lists (
	name  TEXT PRIMARY KEY,
	owner TEXT NOT NULL
) STRICT;
CREATE TABLE mail_list_members (
	list    TEXT NOT NULL REFERENCES mail_lists (name),
	address TEXT NOT NULL,
	PRIMARY KEY (list, address)
) STRICT, WITHOUT ROWID;
