-- How long lines are kept, and how far they were removed (docs/audit.md, "Retention"). No row: all are kept for good.
CREATE TABLE retention (
    id INTEGER PRIMARY KEY,            -- always 1
    keep_ms INTEGER,                   -- how long lines are kept, in ms; NULL: for good
    pruned_to INTEGER NOT NULL,        -- index of the first line that is kept, a multiple of 256; segments before it have no lines
    pruned_until INTEGER,              -- when the latest line that is gone was committed, ms since the Unix epoch; NULL: none is
    archive_pruned_to INTEGER NOT NULL -- the same index of the archive's bundles, which are removed afterwards
);
-- Legal holds: while there is one, nothing is removed.
CREATE TABLE hold (
    name TEXT PRIMARY KEY,             -- given by an operator
    subject BLOB,                      -- SubjectKey, 16 bytes: of whom; NULL: of everything
    placed_at INTEGER NOT NULL,        -- ms since the Unix epoch
    placed_by TEXT NOT NULL            -- an operator's role
) WITHOUT ROWID;
