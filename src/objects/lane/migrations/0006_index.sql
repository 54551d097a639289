-- By what lines are found (docs/audit.md, "Reading"). Written with the segment, so that a commit costs no row more than before.
ALTER TABLE segment ADD COLUMN terms BLOB;
-- terms: of its lines, 5 bytes each, ascending; NULL where they are not known: such a segment is looked at line by line
-- Runs of consecutive segments whose terms have an index. They follow each other without gaps.
CREATE TABLE grp (
    first_index INTEGER PRIMARY KEY,   -- of the first line of its first segment
    end_index INTEGER NOT NULL,        -- behind the last line of its last segment
    first_occurred INTEGER NOT NULL,   -- earliest `occurred` in it, ms since the Unix epoch
    last_occurred INTEGER NOT NULL,    -- latest `occurred` in it, ms since the Unix epoch
    unknown BLOB NOT NULL,             -- ordinals of its segments whose terms are not known: count, the first, distances, LEB128
    starts BLOB NOT NULL               -- first indexes of its segments: count, the first, distances, LEB128
);
-- Which segments of a group have a term (crates/core/src/audit/postings.rs).
CREATE TABLE posting (
    slice INTEGER NOT NULL,            -- the five highest bits of its terms
    grp INTEGER NOT NULL,              -- `first_index` of the group
    postings BLOB NOT NULL,            -- terms and ordinals of segments
    PRIMARY KEY (slice, grp)
) WITHOUT ROWID;
-- By which key the terms are made.
CREATE TABLE term_key (
    id INTEGER PRIMARY KEY,            -- always 1
    proof BLOB NOT NULL                -- 8 bytes by which another key is told from it; not the key
);
