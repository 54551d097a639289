CREATE TABLE scim_group (
    id BLOB PRIMARY KEY,               -- GroupId, 16 random bytes
    display_name TEXT NOT NULL,        -- as the provider wrote it; not sealed
    folded_name TEXT NOT NULL UNIQUE,  -- the same in lower case: roles go by names, so no two may look the same
    external_id TEXT,                  -- the provider's own id; NULL: none
    attributes TEXT NOT NULL,          -- JSON object of every other attribute but members; not sealed
    created INTEGER NOT NULL,          -- ms since the Unix epoch
    modified INTEGER NOT NULL,         -- ms since the Unix epoch
    version INTEGER NOT NULL           -- of the last change of it or its members: the clock's ms or one more
) WITHOUT ROWID;
CREATE INDEX scim_group_by_external_id ON scim_group (external_id, folded_name) WHERE external_id IS NOT NULL;
-- Who is in which group. Only users are members.
CREATE TABLE member (
    grp BLOB NOT NULL,                 -- GroupId
    user BLOB NOT NULL,                -- UserId
    PRIMARY KEY (grp, user)
) WITHOUT ROWID;
CREATE INDEX member_by_user ON member (user, grp);
