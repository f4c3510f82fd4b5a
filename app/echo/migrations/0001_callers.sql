CREATE TABLE echo_callers (
	caller TEXT PRIMARY KEY, -- a host's ID, or '' for programs on this computer
	lines  INTEGER NOT NULL
);
