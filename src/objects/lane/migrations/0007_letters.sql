-- Dead letters: what could not be taken into the log (docs/audit.md, "Dead letters").
CREATE TABLE letter (
    number INTEGER PRIMARY KEY,        -- the order in which they were kept
    id BLOB NOT NULL UNIQUE,           -- LetterId, 16 bytes: of reason and content
    reason TEXT NOT NULL,              -- why it is not in the log, by name
    kept_at INTEGER NOT NULL,          -- ms since the Unix epoch
    size INTEGER NOT NULL,             -- of the content, in bytes
    digest BLOB NOT NULL,              -- SHA-256 of the content
    sealed BLOB,                       -- the content, sealed under a key derived from SERVICE_KEY; NULL once it is over
    ended TEXT,                        -- what became of it: replayed, discarded; NULL while it waits
    ended_at INTEGER                   -- ms since the Unix epoch; NULL while it waits
);
-- What waits, for counting without reading what is sealed.
CREATE INDEX letter_ended ON letter (ended, reason, size);
-- The oldest message last seen of each queue in which messages waited.
CREATE TABLE backlog (
    queue TEXT PRIMARY KEY,            -- its name
    sent INTEGER NOT NULL,             -- when the queue got the message, ms since the Unix epoch
    seen INTEGER NOT NULL              -- when it was seen, ms since the Unix epoch
) WITHOUT ROWID;
