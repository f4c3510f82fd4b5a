CREATE TABLE content_retained (
    content BLOB NOT NULL, -- needs the file
    root    BLOB NOT NULL, -- of the file
    PRIMARY KEY (content, root)
) STRICT, WITHOUT ROWID;

CREATE INDEX content_retained_by_root ON content_retained (root);
