-- How much of the log is in the archive.
CREATE TABLE archive (
    id INTEGER PRIMARY KEY,            -- always 1
    tiles INTEGER NOT NULL             -- full tiles of level 0 that are there, each with its bundle and what it completed above
);
