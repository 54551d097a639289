CREATE TABLE feed (
    id INTEGER PRIMARY KEY,          -- always 1
    incarnation BLOB NOT NULL,       -- 16 random bytes: which life of the feed this is
    began_at INTEGER NOT NULL,       -- ms since the Unix epoch: when it began
    sequence INTEGER NOT NULL        -- of the newest entry; never goes back within a life
);
-- One row a target: its newest entry.
CREATE TABLE entry (
    sequence INTEGER PRIMARY KEY,    -- when it came in, in order; counted from 1
    target BLOB NOT NULL UNIQUE,     -- core's feed::Target in the wire envelope
    ends_at INTEGER,                 -- ms since the Unix epoch: from then on it covers nothing; NULL: until replaced
    entry BLOB NOT NULL              -- core's feed::Entry in the wire envelope
);
-- What has ended is found without a look at the rest.
CREATE INDEX entry_ends_at ON entry (ends_at) WHERE ends_at IS NOT NULL;
