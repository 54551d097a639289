-- What seals personal fields in lines (docs/audit.md, "What is personal"). A row for each person and each day; a person has
-- several only if SERVICE_KEY was changed in between.
CREATE TABLE person_key (
    owner BLOB NOT NULL,               -- 1 and a SubjectKey (16 bytes), or 2 and a day in UTC (big-endian u32, from the Unix epoch)
    created_at INTEGER NOT NULL,       -- ms since the Unix epoch
    sealed BLOB NOT NULL,              -- 32 random bytes, sealed under a key derived from SERVICE_KEY
    PRIMARY KEY (owner, created_at)
) WITHOUT ROWID;
-- Whose keys were destroyed; of days a row for each.
CREATE TABLE erasure (
    owner BLOB PRIMARY KEY,            -- as in person_key
    erased_at INTEGER NOT NULL         -- the last time, ms since the Unix epoch
) WITHOUT ROWID;
