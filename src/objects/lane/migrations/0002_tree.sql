-- The tree over the lines (docs/audit.md, "A log that anyone can check"). Both columns are written with their segment, so
-- that a commit costs no row more than before; NULL until the tree reaches lines from before there was one.
ALTER TABLE segment ADD COLUMN hashes BLOB;
-- hashes: leaf hashes of the segment's lines, 32 bytes each, in order
ALTER TABLE segment ADD COLUMN edge BLOB;
-- edge: roots of the complete subtrees of the tree that ends with this segment, the largest first, 32 bytes each
CREATE TABLE tile (
    level INTEGER NOT NULL,            -- from 1; level 0 is in the segments
    number INTEGER NOT NULL,           -- within the level
    hashes BLOB NOT NULL,              -- 32 bytes each, 256 at most; each the root of a full tile below
    PRIMARY KEY (level, number)
) WITHOUT ROWID;
-- How far the tree over older lines is built; no row when there is nothing to build.
CREATE TABLE unbuilt (
    id INTEGER PRIMARY KEY,            -- always 1
    next_index INTEGER NOT NULL        -- of the first line that is not in the tree
);
INSERT INTO unbuilt (id, next_index) SELECT 1, 0 WHERE EXISTS (SELECT 1 FROM segment);
-- The key of this log's checkpoints. It is made once and for this log alone.
CREATE TABLE log_key (
    id INTEGER PRIMARY KEY,            -- always 1
    origin TEXT NOT NULL,              -- the log's name, as its checkpoints have it
    public BLOB NOT NULL,              -- Ed25519, 32 bytes
    sealed BLOB NOT NULL,              -- the private seed, sealed under a key derived from SERVICE_KEY
    created_at INTEGER NOT NULL        -- ms since the Unix epoch
);
