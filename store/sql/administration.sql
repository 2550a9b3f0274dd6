-- Who administered what: users, groups and their members.
CREATE TABLE store.admin_events (
    seq     bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor   text        NOT NULL DEFAULT session_user,
    action  text        NOT NULL CHECK (action IN ('USER_ADDED', 'USER_CHANGED', 'USER_DISABLED', 'USER_ENABLED',
                                                   'GROUP_CREATED', 'GROUP_DROPPED', 'MEMBER_ADDED',
                                                   'MEMBER_REMOVED')),
    subject text        NOT NULL,                         -- the user or the group
    detail  text                                          -- the member; what a user was made
);

-- '' stands for those who read all, so that it must never be a group's name.
ALTER TABLE store.groups ADD CONSTRAINT legal_name CHECK (octet_length(group_name) BETWEEN 1 AND 63);
