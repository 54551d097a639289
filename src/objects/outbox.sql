-- Who this object is as a producer of audit events.
CREATE TABLE outbox_producer (
    id INTEGER PRIMARY KEY,          -- always 1
    producer BLOB NOT NULL,          -- 16 random bytes, made with the first event
    next_sequence INTEGER NOT NULL   -- of the next event, counted from 1; never goes back
);
-- Events that the lane has not confirmed, a row per transaction that made some.
CREATE TABLE outbox (
    first_sequence INTEGER PRIMARY KEY,  -- of the first event in the pack
    pack BLOB NOT NULL                   -- core's audit::pack::Pack in the wire envelope; not sealed
);
