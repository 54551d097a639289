-- A lane may have had logs before the one that it has (docs/audit.md, "Beginning a new log"). Of each it keeps the key.
ALTER TABLE log_key RENAME COLUMN id TO epoch;
-- epoch: which of the lane's logs, from 0; the lane's is the last
UPDATE log_key SET epoch = epoch - 1;
