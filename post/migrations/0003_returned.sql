-- A copy of the receiver, which stopped, gave it back: to be offered to the receiver again.
ALTER TABLE post_held ADD COLUMN returned INTEGER NOT NULL DEFAULT 0;
