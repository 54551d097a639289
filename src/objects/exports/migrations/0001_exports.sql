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
CREATE TABLE job (
    id INTEGER PRIMARY KEY,          -- ExportId: ms since the Unix epoch, or a little later
    state INTEGER NOT NULL,          -- 0: to be made, 1: finished, 2: failed, 3: being removed
    due INTEGER NOT NULL,            -- ms since the Unix epoch: when there is something to do about it
    job BLOB NOT NULL                -- core's audit::export::job::Job in the wire envelope; not sealed
);
-- Of which objects in the bucket a file is made, in this order.
CREATE TABLE part (
    job INTEGER NOT NULL,            -- ExportId
    file TEXT NOT NULL,              -- the file's name
    number INTEGER NOT NULL,         -- of the slice that made it; not every slice makes a part of every file
    bytes INTEGER NOT NULL,          -- how long the part is
    PRIMARY KEY (job, file, number)
) WITHOUT ROWID;
-- Which requests began which jobs, as long as those are known.
CREATE TABLE idempotent (
    key BLOB PRIMARY KEY,            -- SHA-256 of caller and Idempotency-Key
    fingerprint BLOB NOT NULL,       -- SHA-256 of the request
    job INTEGER NOT NULL             -- ExportId
) WITHOUT ROWID;
