CREATE TABLE data_set (customer_id bigint, database_id uuid, last_synced_at timestamptz, deleting boolean, note text, PRIMARY KEY (customer_id, database_id));
CREATE TABLE row_store (customer_id bigint, database_id uuid, guid uuid, id int, n numeric, big bigint, f float8, r real, t text, v varchar(40), c char(8), b bytea,
 d date, ts timestamp, tz timestamptz, tm time, iv interval, j json, jb jsonb, a int[], ta text[], u uuid, bo boolean, m money, ip inet, x xml, bits bit(5), rng int4range,
 g text GENERATED ALWAYS AS (coalesce(t, '') || '!') STORED, seq bigint GENERATED ALWAYS AS IDENTITY,
 PRIMARY KEY (customer_id, database_id, guid), FOREIGN KEY (customer_id, database_id) REFERENCES data_set ON DELETE CASCADE);
CREATE TABLE detail (id bigserial PRIMARY KEY, customer_id bigint, database_id uuid, guid uuid, pos int, FOREIGN KEY (customer_id, database_id, guid) REFERENCES row_store);
CREATE INDEX ON detail (customer_id, database_id);
CREATE TABLE nasty (id int, n numeric, big bigint, f float8, r real, t text, v varchar(40), c char(8), b bytea,
 d date, ts timestamp, tz timestamptz, tm time, iv interval, j json, jb jsonb, a int[], ta text[], u uuid, bo boolean, m money, ip inet, x xml, bits bit(5), rng int4range);
INSERT INTO nasty (id) VALUES (0);
INSERT INTO nasty VALUES (1, 1234567890123456789012345678.00010, 9223372036854775807, 0.1::float8 + 0.2::float8, 1::real / 3, E'tab\there\nline\r\\N \\. back\\slash ''quote'' "double" \x01 ä 漢 🙂', '\N', 'ab ', '\x0001ff5c0a09',
 '4713-01-01 BC', '294276-12-31 23:59:59.999999', '2026-01-01 00:00:00.000001+13:45', '24:00:00', '-1 year 2 mons -3 days 04:05:06.789', '{"a" : 1,  "a": 2}', '{"b":[1,2.50]}', '{{1,2},{3,NULL}}', ARRAY['a,b', NULL, '"', ''], '00000000-0000-0000-0000-000000000000',
 true, 1234.56, '10.0.0.1/8', '<a>&amp;</a>', B'10101', '[1,5)');
INSERT INTO nasty VALUES (2, 'NaN', -9223372036854775808, '-Infinity', 'NaN', '', '', '', '', 'infinity', '-infinity', 'infinity', '00:00', '0', 'null', 'null', '{}', '{}', NULL, false, -0.01, '::1', '', B'00000', 'empty')
