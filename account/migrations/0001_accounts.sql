CREATE TABLE account_people (
	number   BIGINT NOT NULL UNIQUE, -- in the order in which they were added
	name     TEXT   NOT NULL PRIMARY KEY,
	password TEXT   NOT NULL,        -- Argon2id in the PHC string format; '' for none
	created  BIGINT NOT NULL         -- Unix seconds, as all times here
);

CREATE TABLE account_app_passwords (
	id         TEXT   NOT NULL PRIMARY KEY,
	account    TEXT   NOT NULL REFERENCES account_people (name) ON DELETE CASCADE,
	label      TEXT   NOT NULL,
	stored_key TEXT   NOT NULL,      -- RFC 5802 3, base64
	server_key TEXT   NOT NULL,
	created    BIGINT NOT NULL,
	used       BIGINT NOT NULL       -- 0: never
);
CREATE INDEX account_app_passwords_account ON account_app_passwords (account);

CREATE TABLE account_sessions (
	id      TEXT   NOT NULL PRIMARY KEY, -- hash of the token
	account TEXT   NOT NULL REFERENCES account_people (name) ON DELETE CASCADE,
	agent   TEXT   NOT NULL,
	created BIGINT NOT NULL,
	used    BIGINT NOT NULL
);
CREATE INDEX account_sessions_account ON account_sessions (account);

CREATE TABLE account_secret (
	secret TEXT NOT NULL                 -- from which SCRAM salts follow, base64
);
