CREATE TABLE data_set (customer_id bigint, database_id char(36) CHARACTER SET ascii, last_synced_at datetime(6), deleting boolean, note text, PRIMARY KEY (customer_id, database_id));
CREATE TABLE row_store (customer_id bigint, database_id char(36) CHARACTER SET ascii, guid binary(36), id int, n decimal(40,10), big bigint unsigned, f double, r float, t text CHARACTER SET utf8mb4, l varchar(40) CHARACTER SET latin1, c char(8), b blob, fb binary(6),
 d date, ts datetime(6), tz timestamp(6) NULL, tm time(3), y year, bits bit(12), bo boolean, e enum('a','b''c','') , s set('x','y'), j json, u uuid, ip inet6, p point,
 g varchar(60) GENERATED ALWAYS AS (concat(coalesce(l, ''), '!')) STORED,
 PRIMARY KEY (customer_id, database_id, guid), FOREIGN KEY (customer_id, database_id) REFERENCES data_set (customer_id, database_id) ON DELETE CASCADE);
CREATE TABLE detail (id bigint AUTO_INCREMENT PRIMARY KEY, customer_id bigint, database_id char(36) CHARACTER SET ascii, guid binary(36), pos int, FOREIGN KEY (customer_id, database_id, guid) REFERENCES row_store (customer_id, database_id, guid));
CREATE TABLE nasty (id int, n decimal(40,10), big bigint unsigned, f double, r float, t text CHARACTER SET utf8mb4, l varchar(40) CHARACTER SET latin1, c char(8), b blob, fb binary(6),
 d date, ts datetime(6), tz timestamp(6) NULL, tm time(3), y year, bits bit(12), bo boolean, e enum('a','b''c',''), s set('x','y'), j json, u uuid, ip inet6, p point);
INSERT INTO nasty (id) VALUES (0);
INSERT INTO nasty VALUES (1, 123456789012345678901234567890.0001, 18446744073709551615, 0.1e0 + 0.2e0, 1e0 / 3, concat('tab', char(9), 'line', char(10), char(13), '\N \. back\slash ''quote'' ä 漢 🙂', char(0)), 'äöü', 'ab ', x'0001ff5c0a09', x'0001',
 '9999-12-31', '2026-01-01 00:00:00.000001', '2026-06-01 12:00:00.123456', '-838:59:58.999', 2155, b'101010101010', 1, 'b''c', 'x,y', '{"a" : 1,  "a": 2}', '00000000-0000-4000-8000-000000000001', '::1', point(1.5, -2));
INSERT INTO nasty VALUES (2, -0.0000000001, 0, -1.7976931348623157e308, -3.4028234e38, '', '', '', '', x'', '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '00:00:00', 0, b'0', 0, '', '', '[]', '00000000-0000-0000-0000-000000000000', '::ffff:10.0.0.1', NULL)
