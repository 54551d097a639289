-- The lives of keys (core's keyring). Rows of 0001 get their `kid` and `point` when they are next
-- read, and signed from the moment they were made. `sealed` is empty once a key is retired or
-- compromised: its private half is destroyed.
-- kid: RFC 7638 thumbprint; NULL only in rows of 0001
ALTER TABLE signing_key ADD COLUMN kid TEXT;
-- point: the public half, an uncompressed point (65 bytes); NULL only in rows of 0001; not sealed
ALTER TABLE signing_key ADD COLUMN point BLOB;
-- signs_from: ms since the Unix epoch; NULL: created_at
ALTER TABLE signing_key ADD COLUMN signs_from INTEGER;
-- compromised_at: ms since the Unix epoch; NULL: never was
ALTER TABLE signing_key ADD COLUMN compromised_at INTEGER;
-- told_policy: 1 once the policy has committed that a compromised key counts no more; else NULL
ALTER TABLE signing_key ADD COLUMN told_policy INTEGER;
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
