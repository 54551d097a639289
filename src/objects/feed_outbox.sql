-- What was ended and the feed has not confirmed.
CREATE TABLE feed_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which it was ended; never used again: an acknowledgement may come late
    entry BLOB NOT NULL              -- core's feed::Entry in the wire envelope
);
-- Revocations, for whoever asks what became of one.
CREATE TABLE receipt (
    serial INTEGER PRIMARY KEY,      -- ms since the Unix epoch when it was committed, or one more than the last
    waits_for INTEGER,               -- the last row of feed_outbox that it made; NULL: it waits for none
    receipt BLOB NOT NULL,           -- core's feed::receipt::Receipt in the wire envelope
    feed BLOB                        -- where the feed has it, a list of Position; NULL while it waits, or if there was nothing to tell
);
