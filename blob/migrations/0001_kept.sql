CREATE TABLE blob_kept (
    id    BLOB    NOT NULL PRIMARY KEY, -- SHA-256 of the bytes
    size  INTEGER NOT NULL,             -- bytes
    keeps INTEGER NOT NULL,             -- how often it was kept and not released, 1 or more
    data  BLOB                          -- the bytes; NULL where a file has them
) STRICT;
