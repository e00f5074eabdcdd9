package migration_test

var awkwardNumbers = []awkward{
	{"money", []passage{
		{from: "sqlite", to: "postgres mariadb", setup: `CREATE TABLE m (id INTEGER PRIMARY KEY, a DECIMAL(10,2));
INSERT INTO m VALUES (1, 19.99), (2, 1.15), (3, 0.29), (4, '-0.01'), (5, 99999999.99), (6, 1.005), (7, 100000000);`,
			aside: []setAside{{"m", "[6]", "a", "22003", "1.005"}, {"m", "[7]", "a", "22003", "100000000"}},
			proof: "SELECT id FROM m WHERE a IN (19.99, 1.15, 0.29, -0.01, 99999999.99) ORDER BY id", want: "1\n2\n3\n4\n5"},
		{from: "postgres", to: "sqlite mariadb", setup: `CREATE TABLE m (id int PRIMARY KEY, a numeric(12,2));
INSERT INTO m VALUES (1, 19.99), (2, 0.29), (3, -9999999999.99), (4, NULL);`, proof: "SELECT id FROM m WHERE a = 0.29", want: "2"},
		{from: "firebird", to: "postgres", setup: `CREATE TABLE M (ID INTEGER NOT NULL PRIMARY KEY, A NUMERIC(18,2));
INSERT INTO M VALUES (1, 90071992547409.93);
`, proof: `SELECT "A"::text FROM "M"`, want: "90071992547409.93"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE m (id INTEGER PRIMARY KEY, a REAL);
INSERT INTO m VALUES (1, 19.99), (2, 1.15), (3, 0.29);`, before: "CREATE TABLE m (id bigint PRIMARY KEY, cents int)",
			plan:  "{name: p, stages: [{name: m, from: {table: m}, map: {id: id, cents: int(round(decimal(text(a)) * 100))}, to: {table: m}}]}",
			proof: "SELECT cents FROM m ORDER BY id", want: "1999\n115\n29"},
	}},
	{"decimals with many digits", []passage{
		{from: "postgres", to: "sqlite", setup: `CREATE TABLE d (id int PRIMARY KEY, a numeric(40,20), b numeric);
INSERT INTO d VALUES (1, 12345678901234567890.00000000000000000001, 1e-40);`, proof: "SELECT a, b FROM d", want: "12345678901234567890.00000000000000000001|0.0000000000000000000000000000000000000001"},
		{from: "postgres", to: "mariadb", setup: `CREATE TABLE d (id int PRIMARY KEY, a numeric(40,20), b numeric);
INSERT INTO d VALUES (1, 12345678901234567890.00000000000000000001, 1e-40), (2, 1, 2);`, aside: []setAside{{"d", "[1]", "b", "22003", "0.0000"}}},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE d (id INTEGER PRIMARY KEY, a TEXT);
INSERT INTO d VALUES (1, '12345678901234567.8901');`, before: "CREATE TABLE d (id bigint PRIMARY KEY, a numeric)", proof: "SELECT a::text FROM d", want: "12345678901234567.8901"},
		{from: "postgres", to: "postgres mariadb", setup: `CREATE TABLE d (id int PRIMARY KEY, a numeric, b numeric);
INSERT INTO d VALUES (1, 0.10, 1.2345678901234567891), (2, 1234567890123456.789, 1), (3, 12345678901234567890.5, 2);`, before: "CREATE TABLE d (id bigint PRIMARY KEY, a double precision, b double precision, c double precision)",
			plan:  `{name: p, stages: [{name: d, from: {table: d}, map: {id: id, a: a, b: float(b), c: id / 3}, to: {table: d}}]}`,
			aside: []setAside{{"d", "[2]", "a", "22003", "has more digits than double"}, {"d", "[3]", "a", "22003", "12345678901234567890.5"}},
			proof: "SELECT a, b, c FROM d", want: "0.1|1.2345678901234567|0.3333333333333333"},
	}},
	{"integers of which one is too large", []passage{
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE i (id INTEGER PRIMARY KEY, n INTEGER);
INSERT INTO i VALUES (1, 1), (2, 2147483648), (3, 3), (4, -2147483649), (5, 2147483647);`, before: "CREATE TABLE i (id bigint PRIMARY KEY, n int)",
			aside: []setAside{{"i", "[2]", "n", "22003", "2147483648"}, {"i", "[4]", "n", "22003", "-2147483649"}}, proof: "SELECT sum(id)::int FROM i", want: "9"},
		{from: "postgres", to: "mariadb", setup: `CREATE TABLE i (id int PRIMARY KEY, n bigint);
INSERT INTO i SELECT i, CASE i WHEN 11 THEN 40000 ELSE i END FROM generate_series(1, 20) i;`, before: "CREATE TABLE i (id int PRIMARY KEY, n smallint)",
			aside: []setAside{{"i", "[11]", "n", "22003", "40000"}}, proof: "SELECT count(*) FROM i", want: "19"},
	}},
	{"unsigned 64-bit integers", []passage{
		{from: "mariadb", to: "postgres sqlite mariadb", setup: `CREATE TABLE u (id BIGINT UNSIGNED PRIMARY KEY, v BIGINT UNSIGNED);
INSERT INTO u VALUES (0, 1), (9223372036854775807, 2), (9223372036854775808, 3), (18446744073709551615, 18446744073709551615);`, rows: 2,
			proof: "SELECT CASE WHEN v = '18446744073709551615' THEN 'greatest' ELSE 'other' END FROM u WHERE id IN ('9223372036854775808', '18446744073709551615') ORDER BY 1", want: "greatest\nother"},
		{from: "mariadb", to: "postgres", setup: `CREATE TABLE u (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, v INT UNSIGNED);
INSERT INTO u VALUES (7, 4294967295), (9223372036854775808, 3);`, aside: []setAside{{"u", `["9223372036854775808"]`, "id", "22003", "9223372036854775808"}},
			proof: "SELECT v FROM u", want: "4294967295"},
	}},
	{"infinity and NaN", []passage{
		{from: "postgres", to: "mariadb", setup: `CREATE TABLE f (id int PRIMARY KEY, v float8, n numeric);
INSERT INTO f VALUES (1, 'NaN', 1), (2, 'Infinity', 1), (3, 1, 'NaN'), (4, 1e308, 1);`,
			aside: []setAside{{"f", "[1]", "v", "22003", "NaN"}, {"f", "[2]", "v", "22003", "Inf"}, {"f", "[3]", "n", "22003", "NaN"}}, proof: "SELECT id FROM f", want: "4"},
		{from: "postgres", to: "sqlite", setup: `CREATE TABLE f (id int PRIMARY KEY, v float8, n numeric);
INSERT INTO f VALUES (1, 'NaN', 1), (2, '-Infinity', 1), (3, 1, 'NaN');`, aside: []setAside{{"f", "[1]", "v", "22P02", "NaN would become NULL"}}, proof: "SELECT v, n FROM f ORDER BY id", want: "-Inf|1\n1|NaN"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE f (id INTEGER PRIMARY KEY, v REAL, n DECIMAL(10,2));
INSERT INTO f VALUES (1, 1e400, 1), (2, 1, 1e400), (3, 1, 'NaN');`, aside: []setAside{{"f", "[2]", "n", "22003", "Inf"}, {"f", "[3]", "n", "22P02", "NaN"}}, proof: "SELECT v::text FROM f", want: "Infinity"},
	}},
	{"booleans that are Y and N, or -1 and 0", []passage{
		{from: "sqlite", to: "postgres mariadb", setup: `CREATE TABLE b (id INTEGER PRIMARY KEY, v BOOLEAN);
INSERT INTO b VALUES (1, 'Y'), (2, 'n'), (3, 'TRUE'), (4, 0), (5, -1), (6, 2), (7, 'J');`,
			aside: []setAside{{"b", "[5]", "v", "22P02", "-1"}, {"b", "[6]", "v", "22P02", "2"}, {"b", "[7]", "v", "22P02", "J"}},
			proof: "SELECT count(*) FROM b WHERE v", want: "2"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE b (id INTEGER PRIMARY KEY, v INTEGER, j TEXT);
INSERT INTO b VALUES (1, -1, 'J'), (2, 0, 'N');`, before: "CREATE TABLE b (id bigint PRIMARY KEY, v boolean NOT NULL, j boolean NOT NULL)",
			plan:  `{name: p, stages: [{name: b, from: {table: b}, map: {id: id, v: v != 0, j: 'j == "J"'}, to: {table: b}}]}`,
			proof: "SELECT v, j FROM b ORDER BY id", want: "true|true\nfalse|false"},
		{from: "mariadb", to: "postgres", setup: `CREATE TABLE b (id INT PRIMARY KEY, v TINYINT(1), w BIT(1));
INSERT INTO b VALUES (1, 1, 1), (2, -1, 0), (3, 0, NULL);`, aside: []setAside{{"b", "[2]", "v", "22P02", "-1"}}, proof: "SELECT w FROM b ORDER BY id", want: "true\nNULL"},
	}},
	{"values of another type than their column's", []passage{
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE v (id INTEGER PRIMARY KEY, n INTEGER, d DECIMAL(8,2), t TEXT, r REAL);
INSERT INTO v VALUES (1, 'twelve', 1, 1, 1), (2, 2.5, 1, 1, 1), (3, 3, '1,50', 1, 1), (4, x'01', 1, 1, 1), (5, 5, 5, x'ff', 5), (6, '6', '6.50', 6, '6.5'), (7, 7.0, 7, 7.5, 7);`,
			aside: []setAside{{"v", "[1]", "n", "22P02", "twelve"}, {"v", "[2]", "n", "22P02", "2.5"}, {"v", "[3]", "d", "22P02", "1,50"}, {"v", "[4]", "n", "42804", "bytes"}, {"v", "[5]", "t", "22021", "UTF-8"}},
			proof: "SELECT n, d::text, t, r FROM v ORDER BY id", want: "6|6.50|6|6.5\n7|7.00|7.5|7"},
		{from: "sqlite", to: "sqlite", setup: `CREATE TABLE v (id INTEGER PRIMARY KEY, n INTEGER, t TEXT);
INSERT INTO v VALUES (1, 'twelve', 1), (2, 2.5, x'ff');`, proof: "SELECT typeof(n), typeof(t) FROM v ORDER BY id", want: "text|text\nreal|blob"},
	}},
	{"text that looks like a number", []passage{
		{from: "postgres", to: "sqlite mariadb", setup: `CREATE TABLE z (code text PRIMARY KEY, u varchar(10), d numeric);
INSERT INTO z VALUES ('007', '1e3', 1.50), ('7', '1000', 2), ('7.0', '+1', 3.000);`, proof: "SELECT code, u FROM z ORDER BY code", want: "007|1e3\n7|1000\n7.0|+1"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE z (code TEXT PRIMARY KEY NOT NULL, n);
INSERT INTO z VALUES ('007', '0x10'), ('7', 10), ('0000000000000000001', '1e3');`, proof: "SELECT code, n FROM z ORDER BY code COLLATE \"C\"", want: "0000000000000000001|1e3\n007|0x10\n7|10"},
	}},
}

var awkwardTimes = []awkward{
	{"zero dates, and days that no calendar has", []passage{
		{from: "sqlite", to: "postgres mariadb", setup: `CREATE TABLE z (id INTEGER PRIMARY KEY, d DATE, t DATETIME);
INSERT INTO z VALUES (1, '0000-00-00', NULL), (2, NULL, '0000-00-00 00:00:00'), (3, '2020-02-30', NULL), (4, '30.12.1999', NULL), (5, '2020-02-29', '2020-02-29 23:59:59'), (6, NULL, '2023-01-01 24:30:00');`,
			aside: []setAside{{"z", "[1]", "d", "22008", "0000-00-00"}, {"z", "[2]", "t", "22008", "0000-00-00"}, {"z", "[3]", "d", "22008", "2020-02-30"}, {"z", "[4]", "d", "22007", "30.12.1999"}, {"z", "[6]", "t", "22008", "24:30"}},
			proof: "SELECT id FROM z", want: "5"},
		{from: "mariadb", to: "postgres", setup: `CREATE TABLE z (id INT PRIMARY KEY, d DATE, t DATETIME);
INSERT INTO z VALUES (1, '0000-00-00', NULL), (2, '2020-00-15', NULL), (3, NULL, '0000-00-00 00:00:00'), (4, '2020-02-29', NULL);`,
			aside: []setAside{{"z", "[1]", "d", "22008", "0000-00-00"}, {"z", "[2]", "d", "22008", "2020-00-15"}, {"z", "[3]", "t", "22008", "0000-00-00"}}, proof: "SELECT id FROM z", want: "4"},
		{from: "mariadb", to: "mariadb sqlite", setup: `CREATE TABLE z (id INT PRIMARY KEY, d DATE, t DATETIME);
INSERT INTO z VALUES (1, '0000-00-00', NULL), (2, '2020-00-15', '0000-00-00 00:00:00');`, proof: "SELECT CAST(d AS CHAR(10)) AS d FROM z ORDER BY id", want: "0000-00-00\n2020-00-15"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE z (id INTEGER PRIMARY KEY, d TEXT);
INSERT INTO z VALUES (1, '0000-00-00'), (2, '30.12.1999');`, before: "CREATE TABLE z (id bigint PRIMARY KEY, d date)",
			plan:  `{name: p, stages: [{name: z, from: {table: z}, map: {id: id, d: 'd == "0000-00-00" ? nil : parse_date(d, "02.01.2006")'}, to: {table: z}}]}`,
			proof: "SELECT d::text FROM z ORDER BY id", want: "NULL\n1999-12-30"},
	}},
	{"local times that clocks skipped or showed twice", []passage{
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE l (id INTEGER PRIMARY KEY, at TEXT);
INSERT INTO l VALUES (1, '2024-03-31 02:30:00'), (2, '2024-10-27 02:30:00'), (3, '2024-06-01 12:00:00'), (4, '1890-01-01 12:00:00');`, before: "CREATE TABLE l (id bigint PRIMARY KEY, at timestamptz, late timestamptz)",
			plan:  `{name: p, stages: [{name: l, from: {table: l}, map: {id: id, at: 'to_moment(timestamp(at), "Europe/Oslo")', late: 'to_moment(timestamp(at), "Europe/Oslo", "later")'}, to: {table: l}}]}`,
			proof: "SELECT at AT TIME ZONE 'UTC' || '', late AT TIME ZONE 'UTC' || '' FROM l ORDER BY id",
			want:  "2024-03-31 01:30:00|2024-03-31 00:30:00\n2024-10-27 00:30:00|2024-10-27 01:30:00\n2024-06-01 10:00:00|2024-06-01 10:00:00\n1890-01-01 11:17:00|1890-01-01 11:17:00"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE l (id INTEGER PRIMARY KEY, at TEXT);
INSERT INTO l VALUES (1, '2024-03-31 02:30:00'), (2, '2024-10-27 02:30:00'), (3, '2024-06-01 12:00:00');`, before: "CREATE TABLE l (id bigint PRIMARY KEY, at timestamptz)",
			plan:  `{name: p, stages: [{name: l, from: {table: l}, map: {id: id, at: 'to_moment(timestamp(at), "Europe/Oslo", "reject")'}, to: {table: l}}]}`,
			aside: []setAside{{"l", "[1]", "at", "22008", "Oslo"}, {"l", "[2]", "at", "22008", "Oslo"}}, proof: "SELECT id FROM l", want: "3"},
	}},
	{"the years 1, 9 and 9999", []passage{
		{from: "sqlite", to: "postgres mariadb sqlite", setup: `CREATE TABLE y (id INTEGER PRIMARY KEY, d DATE, t DATETIME);
INSERT INTO y VALUES (1, '0001-01-01', '0001-01-01 00:00:00'), (2, '0009-12-04', '0009-12-04 01:02:03'), (3, '9999-12-31', '9999-12-31 23:59:59.999999');`,
			proof: "SELECT CAST(d AS CHAR(10)) AS d FROM y ORDER BY id", want: "0001-01-01\n0009-12-04\n9999-12-31"},
		{from: "mariadb", to: "postgres sqlite", setup: `CREATE TABLE y (id INT PRIMARY KEY, d DATE, t DATETIME(6));
INSERT INTO y VALUES (1, '0001-01-01', '0001-01-01 00:00:00'), (3, '9999-12-31', '9999-12-31 23:59:59.999999');`, proof: "SELECT CAST(d AS CHAR(10)) AS d FROM y ORDER BY id", want: "0001-01-01\n9999-12-31"},
		{from: "firebird", to: "postgres sqlite mariadb", setup: `CREATE TABLE Y (ID INTEGER NOT NULL PRIMARY KEY, D DATE, T TIMESTAMP);
INSERT INTO Y VALUES (1, DATE '0001-01-01', TIMESTAMP '0001-01-01 00:00:00');
INSERT INTO Y VALUES (3, DATE '9999-12-31', TIMESTAMP '9999-12-31 23:59:59.9999');
`, proof: `SELECT CAST("D" AS CHAR(10)) AS d FROM "Y" ORDER BY "ID"`, want: "0001-01-01\n9999-12-31"},
	}},
	{"times before the year 1, after 9999, and infinite ones", []passage{
		{from: "postgres", to: "mariadb", setup: `CREATE TABLE y (id int PRIMARY KEY, d date, t timestamp);
INSERT INTO y VALUES (1, '0044-03-15 BC', NULL), (2, '10000-01-01', NULL), (3, 'infinity', NULL), (4, NULL, '-infinity'), (5, '2000-01-01', now());`,
			aside: []setAside{{"y", "[1]", "d", "22007", "BC"}, {"y", "[2]", "d", "22008", "10000"}, {"y", "[3]", "d", "22007", "infinity"}, {"y", "[4]", "t", "22007", "infinity"}}, proof: "SELECT id FROM y", want: "5"},
		{from: "postgres", to: "sqlite postgres", setup: `CREATE TABLE y (id int PRIMARY KEY, d date, t timestamp);
INSERT INTO y VALUES (1, '0044-03-15 BC', NULL), (2, '10000-01-01', NULL), (3, 'infinity', '-infinity');`, proof: "SELECT CAST(d AS text) FROM y ORDER BY id", want: "0044-03-15 BC\n10000-01-01\ninfinity"},
	}},
	{"nanoseconds", []passage{
		{from: "sqlite", to: "postgres mariadb", setup: `CREATE TABLE n (id INTEGER PRIMARY KEY, t DATETIME);
INSERT INTO n VALUES (1, '2024-01-01 00:00:00.123456'), (2, '2024-01-01 00:00:00.123456789'), (3, '2024-01-01 00:00:00.123456000');`,
			aside: []setAside{{"n", "[2]", "t", "22008", "microsecond"}}, proof: "SELECT id FROM n ORDER BY id", want: "1\n3"},
		{from: "postgres", to: "mariadb", setup: `CREATE TABLE n (id int PRIMARY KEY, t timestamp);
INSERT INTO n VALUES (1, '2024-01-01 00:00:00.123456'), (2, '2024-01-01 00:00:00.120');`, before: "CREATE TABLE n (id int PRIMARY KEY, t datetime(3))",
			aside: []setAside{{"n", "[1]", "t", "22008", ""}}, proof: "SELECT id FROM n ORDER BY id", want: "2"},
	}},
	{"times of day beyond 24 hours", []passage{
		{from: "mariadb", to: "postgres", setup: `CREATE TABLE h (id INT PRIMARY KEY, t TIME(3));
INSERT INTO h VALUES (1, '-01:00:00'), (2, '838:59:59'), (3, '23:59:59.999');`, aside: []setAside{{"h", "[1]", "t", "22007", "-01:00:00"}, {"h", "[2]", "t", "22007", "838:59:59"}}, proof: "SELECT t::text FROM h", want: "23:59:59.999"},
		{from: "mariadb", to: "sqlite mariadb", setup: `CREATE TABLE h (id INT PRIMARY KEY, t TIME(3));
INSERT INTO h VALUES (1, '-01:00:00'), (2, '838:59:59');`, proof: "SELECT CAST(t AS CHAR(20)) AS t FROM h ORDER BY id", want: "-01:00:00.000\n838:59:59.000"},
	}},
}
