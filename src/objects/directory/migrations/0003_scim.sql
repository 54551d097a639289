-- Of a user's last change: the clock's ms or one more. 1: not changed since before there were versions.
ALTER TABLE user ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
CREATE INDEX user_by_external_id ON user (external_id, folded_name) WHERE external_id IS NOT NULL;
