CREATE TABLE connection (
    id TEXT PRIMARY KEY,             -- part of subject keys: never given to another, even when removed
    document TEXT,                   -- core's connection::Connection as JSON, its secret sealed; NULL: it stands in the configuration, or was removed
    enabled INTEGER NOT NULL         -- 1: people log in through it; what the document says does not count
) WITHOUT ROWID;
