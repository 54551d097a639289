-- What the lane remembers of producers is a log, too (docs/adr/0020-a-lanes-memory-of-producers-is-a-log.md): a segment says whose lines it
-- has, and rows of producers are brought up to date for many segments at a time.
ALTER TABLE segment ADD COLUMN packs BLOB;
-- packs: whose lines these are, in the wire envelope (`audit/runs.rs`); NULL in segments from before, of which `producer` has everything
ALTER TABLE producer ADD COLUMN notes BLOB;
-- notes: places, gaps and conflicts in the wire envelope (`audit/remembered.rs`); NULL where nothing but the ranges is known
ALTER TABLE producer ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
-- seen: when it last committed something, or something occurred by its clock if that is later, ms since the Unix epoch
ALTER TABLE producer ADD COLUMN gap_due INTEGER;
-- gap_due: when holes that were noticed are logged, ms since the Unix epoch; NULL when there are none
UPDATE producer SET seen = coalesce((SELECT max(last_occurred) FROM segment), 0);
CREATE INDEX producer_gap ON producer (gap_due) WHERE gap_due IS NOT NULL;
-- How far the rows of producers are. `lane.next_sequence` stays what it was: the lane's own row is one of them.
CREATE TABLE folded (
    id INTEGER PRIMARY KEY,            -- always 1
    next_index INTEGER NOT NULL,       -- of the first line that they do not have
    sweep_at INTEGER NOT NULL,         -- when the next of them are looked at that may have been silent long enough, ms since the Unix epoch
    swept BLOB                         -- ProducerId of the last that was looked at; NULL: begin with the first
);
INSERT INTO folded (id, next_index, sweep_at) VALUES (1, coalesce((SELECT first_index + count FROM segment ORDER BY first_index DESC LIMIT 1), 0), 0);
