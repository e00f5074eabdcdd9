CREATE TABLE data_set (customer_id INTEGER, database_id TEXT, last_synced_at TIMESTAMP, deleting BOOLEAN, note TEXT, PRIMARY KEY (customer_id, database_id));
CREATE TABLE row_store (customer_id INTEGER, database_id TEXT NOT NULL, guid TEXT NOT NULL, id INT, i INTEGER, r REAL, t TEXT, b BLOB, n NUMERIC, d DATE, ts DATETIME, bo BOOLEAN, free,
 g TEXT GENERATED ALWAYS AS (coalesce(t, '') || '!') STORED, PRIMARY KEY (customer_id, database_id, guid), FOREIGN KEY (customer_id, database_id) REFERENCES data_set ON DELETE CASCADE);
CREATE TABLE detail (id INTEGER PRIMARY KEY AUTOINCREMENT, customer_id INTEGER, database_id TEXT, guid TEXT, pos INT, FOREIGN KEY (customer_id, database_id, guid) REFERENCES row_store);
CREATE INDEX detail_set ON detail (customer_id, database_id);
CREATE TABLE nasty (id INT, i INTEGER, r REAL, t TEXT, b BLOB, n NUMERIC, d DATE, ts DATETIME, bo BOOLEAN, free);
INSERT INTO nasty (id) VALUES (0);
INSERT INTO nasty VALUES (1, 9223372036854775807, 0.1 + 0.2, 'tab' || char(9) || 'line' || char(10) || char(13) || '\N \. back\slash ''quote'' ä 漢 🙂' || char(0) || 'behind NUL', x'0001ff5c0a09', '12345678901234567890.12', '2026-01-01', '2026-01-01 10:00:00.5', 1, 'a text');
INSERT INTO nasty VALUES (2, 'no number', 9e999, '', x'', 5.5, 'yesterday', 1767225600, 'maybe', 1e-300)
