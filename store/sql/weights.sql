-- What an object may come to when it is written out: 24 MiB, six times what PostgreSQL may keep of it, which is how long
-- its letters can become. A number of twelve bytes can become 16 thousand digits: of 20 KB came a gigabyte, which PostgreSQL
-- does not hand out, and no backup and no listener got past that. Of less than 16000 bytes come no 24 MiB.
-- Not asked of what is there, which would keep an upgrade from being made: it holds for each change from now on.
ALTER TABLE store.object_heads
    DROP CONSTRAINT object_size,
    ADD CONSTRAINT object_size CHECK (
        CASE WHEN pg_column_size(data) < 16000 THEN true
             ELSE pg_column_size(data) <= 4194304 AND octet_length(data::text) <= 25165824 END) NOT VALID;
