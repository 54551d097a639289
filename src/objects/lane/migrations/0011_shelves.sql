-- Where older events of producers are: runs of lines for which their rows have no room, so that also what comes again much later is compared
-- with the line that is there (docs/adr/0020-a-lanes-memory-of-producers-is-a-log.md).
CREATE TABLE shelf (
    id INTEGER PRIMARY KEY,            -- in the order in which they were made
    producer BLOB NOT NULL,            -- ProducerId
    first_sequence INTEGER NOT NULL,   -- the lowest
    last_sequence INTEGER NOT NULL,    -- the highest
    seen INTEGER NOT NULL,             -- when the producer was seen last by then, ms since the Unix epoch
    runs BLOB NOT NULL                 -- in the wire envelope (`audit/places.rs`)
);
CREATE INDEX shelf_sequence ON shelf (producer, last_sequence);
