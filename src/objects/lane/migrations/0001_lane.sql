-- Runs of consecutive events in commit order. Few and large: a row written is what costs.
CREATE TABLE segment (
    first_index INTEGER PRIMARY KEY,   -- of the first line; segments follow each other without gaps
    count INTEGER NOT NULL,            -- lines in it
    first_occurred INTEGER NOT NULL,   -- earliest `occurred` in it, ms since the Unix epoch
    last_occurred INTEGER NOT NULL,    -- latest `occurred` in it, ms since the Unix epoch
    lines BLOB NOT NULL                -- JSON lines, UTF-8, each ended by a line feed; not sealed
);
-- Which events of each producer are in the log.
CREATE TABLE producer (
    producer BLOB PRIMARY KEY,         -- ProducerId, 16 bytes
    ranges BLOB NOT NULL               -- (first, last) sequences in the wire envelope, ascending
) WITHOUT ROWID;
-- The lane as a producer of its own events.
CREATE TABLE lane (
    id INTEGER PRIMARY KEY,            -- always 1
    producer BLOB NOT NULL,            -- ProducerId, 16 random bytes
    next_sequence INTEGER NOT NULL     -- of its own next event, from 1
);
