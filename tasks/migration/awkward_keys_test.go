package migration_test

var awkwardKeys = []awkward{
	{"keys that are floats", []passage{
		{from: "sqlite", to: "postgres mariadb sqlite", setup: `CREATE TABLE f (k REAL PRIMARY KEY NOT NULL, v INTEGER);
INSERT INTO f VALUES (0.1, 1), (0.30000000000000004, 2), (0.3, 3), (-1e300, 4), (1e-300, 5), (0.2, 6), (1e15, 7);`, rows: 2,
			proof: "SELECT v FROM f WHERE k < 0.25 ORDER BY v", want: "1\n4\n5\n6"},
		{from: "postgres", to: "sqlite mariadb postgres", setup: `CREATE TABLE f (k float8 PRIMARY KEY, v int);
INSERT INTO f SELECT i / 3.0::float8, i FROM generate_series(-9, 9) i;`, rows: 4, proof: "SELECT count(*) FROM f", want: "19"},
		{from: "mariadb", to: "postgres", setup: `CREATE TABLE f (k FLOAT PRIMARY KEY, v INT);
INSERT INTO f VALUES (0.1, 1), (0.2, 2), (0.3, 3);`, rows: 2, proof: "SELECT k FROM f ORDER BY k", want: "0.1\n0.2\n0.3"},
	}},
	{"keys with gaps, huge and negative ones", []passage{
		{from: "sqlite", to: "postgres mariadb sqlite", setup: `CREATE TABLE g (id INTEGER PRIMARY KEY);
INSERT INTO g VALUES (-9223372036854775808), (-1), (0), (1), (2), (4611686018427387904), (9223372036854775807);`, rows: 2, proof: "SELECT count(*) FROM g", want: "7"},
		{from: "postgres", to: "sqlite mariadb", setup: `CREATE TABLE g (id bigint PRIMARY KEY);
INSERT INTO g VALUES (-9223372036854775808), (-9223372036854775807), (9223372036854775806), (9223372036854775807);`, rows: 1, proof: "SELECT count(*) FROM g", want: "4"},
		{from: "mariadb", to: "postgres", setup: `CREATE TABLE g (id BIGINT PRIMARY KEY);
INSERT INTO g VALUES (-9223372036854775808), (0), (9223372036854775807);`, rows: 1, proof: "SELECT count(*) FROM g", want: "3"},
	}},
	{"keys of several columns of different types", []passage{
		{from: "sqlite", to: "postgres mariadb", setup: `CREATE TABLE c (b TEXT NOT NULL COLLATE NOCASE, a INTEGER NOT NULL, d DATE NOT NULL, v INTEGER, PRIMARY KEY (b, a, d));
INSERT INTO c SELECT substr('aBcDe', value % 5 + 1, 1), value % 3, '2024-01-0' || (value % 7 + 1), value FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]');`, rows: 3,
			proof: "SELECT count(*), max(v) FROM c", want: "20|20"},
		{from: "postgres", to: "mariadb sqlite", setup: `CREATE TABLE c (b text, a numeric(6,2), u uuid, PRIMARY KEY (b, a, u));
INSERT INTO c SELECT chr(97 + i % 4), i / 4.0, gen_random_uuid() FROM generate_series(1, 23) i;`, rows: 4, proof: "SELECT count(*) FROM c", want: "23"},
		{from: "firebird", to: "postgres", setup: `CREATE TABLE C (B CHAR(3) NOT NULL, A SMALLINT NOT NULL, D DATE NOT NULL, PRIMARY KEY (B, A, D));
INSERT INTO C SELECT 'a', 1, CURRENT_DATE FROM RDB$DATABASE;
INSERT INTO C SELECT 'a', 2, CURRENT_DATE FROM RDB$DATABASE;
INSERT INTO C SELECT 'B', 1, CURRENT_DATE FROM RDB$DATABASE;
`, rows: 1, proof: `SELECT count(*) FROM "C"`, want: "3"},
	}},
	{"text keys that databases sort differently", []passage{
		{from: "postgres", to: "sqlite mariadb postgres", setup: `CREATE TABLE s (k text COLLATE "und-x-icu" PRIMARY KEY);
INSERT INTO s VALUES ('a'), ('B'), ('ä'), ('Z'), ('z'), ('_'), ('1'), ('10'), ('2'), ('é'), ('e'), ('É'), ('a b'), ('ab'), ('a-b');`, rows: 2, proof: "SELECT count(*) FROM s", want: "15"},
		{from: "mariadb", to: "postgres sqlite", setup: `CREATE TABLE s (k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_german2_ci PRIMARY KEY);
INSERT INTO s VALUES ('a'), ('B'), ('ö'), ('of'), ('p'), ('oa'), ('Z'), ('_'), ('1'), ('10'), ('2');`, rows: 2, proof: "SELECT count(*) FROM s", want: "11"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE s (k TEXT COLLATE RTRIM PRIMARY KEY NOT NULL);
INSERT INTO s VALUES ('a'), ('B'), ('b '), ('c  '), ('ä');`, rows: 1, proof: "SELECT count(*) FROM s", want: "5"},
	}},
	{"keys that differ by case, accent or composition alone", []passage{
		{from: "sqlite", to: "postgres mariadb", setup: `CREATE TABLE d (k TEXT PRIMARY KEY NOT NULL, v INTEGER);
INSERT INTO d VALUES ('val', 1), ('Val', 2), ('vál', 3), ('va' || char(0x301) || 'l', 4), ('VAL', 5);`, rows: 2, proof: "SELECT count(*) FROM d", want: "5"},
		{from: "sqlite", to: "mariadb", setup: `CREATE TABLE d (k TEXT PRIMARY KEY NOT NULL, v INTEGER);
INSERT INTO d VALUES ('val', 1), ('Val', 2), ('other', 3);`, before: "CREATE TABLE d (k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, v BIGINT)",
			aside: []setAside{{"d", `["val"]`, "", "23505", "Duplicate"}}, proof: "SELECT v FROM d ORDER BY v", want: "2\n3"},
	}},
	{"tables without a key, and rows that are there twice", []passage{
		{from: "sqlite", to: "postgres mariadb sqlite", setup: `CREATE TABLE n (a INTEGER, b TEXT);
INSERT INTO n VALUES (1, 'x'), (1, 'x'), (1, 'x'), (NULL, NULL), (NULL, NULL), (2, 'y');`, rows: 2, proof: "SELECT count(*) FROM n WHERE a = 1", want: "3"},
		{from: "postgres", to: "sqlite mariadb", setup: `CREATE TABLE n (a int, b text);
INSERT INTO n SELECT i % 3, 'x' FROM generate_series(1, 30) i;`, proof: "SELECT a, count(*) FROM n GROUP BY a ORDER BY a", want: "0|10\n1|10\n2|10"},
		{from: "mariadb", to: "postgres", setup: `CREATE TABLE n (a INT, b TEXT);
INSERT INTO n VALUES (1, 'x'), (1, 'x'), (1, 'x'), (NULL, NULL), (NULL, NULL);`, proof: "SELECT count(*) FROM n WHERE a = 1", want: "3"},
		{from: "firebird", to: "postgres", setup: `CREATE TABLE N (A INTEGER);
INSERT INTO N VALUES (1);
INSERT INTO N VALUES (1);
INSERT INTO N VALUES (NULL);
`, proof: `SELECT count(*) FROM "N"`, want: "3"},
	}},
	{"primary keys that are NULL", []passage{
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE k (k TEXT PRIMARY KEY, v INTEGER);
INSERT INTO k VALUES (NULL, 1), (NULL, 2), ('a', 3), ('b', 4);`, rows: 2, aside: []setAside{{"k", "[1]", "k", "23502", "NULL"}, {"k", "[2]", "k", "23502", "NULL"}}, proof: "SELECT count(*) FROM k", want: "2"},
		{from: "sqlite", to: "sqlite", setup: `CREATE TABLE k (k TEXT PRIMARY KEY, v INTEGER);
INSERT INTO k VALUES (NULL, 1), (NULL, 2), ('a', 3);`, proof: "SELECT count(*) FROM k WHERE k IS NULL", want: "2"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE k (a TEXT, b TEXT, v INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID;
INSERT INTO k VALUES ('x', 'y', 1), ('x', 'z', 2);`, rows: 1, proof: "SELECT count(*) FROM k", want: "2"},
	}},
	{"very long keys", []passage{
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE l (k TEXT PRIMARY KEY NOT NULL);
INSERT INTO l VALUES (hex(randomblob(5000))), ('short'), (hex(randomblob(100)));`, aside: []setAside{{"l", "", "", "54000", "index row"}}, proof: "SELECT count(*) FROM l", want: "2"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE l (k TEXT PRIMARY KEY NOT NULL);
INSERT INTO l VALUES (hex(randomblob(5000))), ('short'), (hex(randomblob(5100))), (hex(randomblob(100)));`, before: "CREATE TABLE l (k text, m text GENERATED ALWAYS AS (md5(k)) STORED PRIMARY KEY);", rows: 1,
			plan:  "source: old\ntarget: new\nstages:\n  - {name: l, from: {table: l}, map: {k: k}, to: {table: l, mode: insert}}\n",
			proof: "SELECT count(*), max(length(k)) FROM l", want: "4|10200"},
		{from: "sqlite", to: "mariadb", setup: `CREATE TABLE l (k TEXT PRIMARY KEY NOT NULL);
INSERT INTO l VALUES (hex(randomblob(5000))), ('short'), (hex(randomblob(5100)));`, before: "CREATE TABLE l (k longtext NOT NULL, m char(32) AS (md5(k)) STORED, UNIQUE (m));", rows: 1,
			plan:  "source: old\ntarget: new\nstages:\n  - {name: l, from: {table: l}, map: {k: k}, to: {table: l, mode: insert}}\n",
			proof: "SELECT count(*), max(length(k)) FROM l", want: "3|10200"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE l (id INTEGER PRIMARY KEY, k TEXT);
CREATE INDEX by_k ON l(k);
INSERT INTO l VALUES (1, hex(randomblob(5000))), (2, 'short');`, notes: []string{"index by_k is left out", "index row"}, proof: "SELECT count(*) FROM l", want: "2"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE l (id INTEGER PRIMARY KEY, k TEXT UNIQUE);
INSERT INTO l VALUES (1, hex(randomblob(5000))), (2, 'short');`, fails: []string{"index row", "shorten the values"}},
		{from: "sqlite", to: "sqlite", setup: `CREATE TABLE l (k TEXT PRIMARY KEY NOT NULL);
INSERT INTO l VALUES (hex(randomblob(5000))), ('short'), (hex(randomblob(100)));`, rows: 1, proof: "SELECT count(*) FROM l", want: "3"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE l (k TEXT PRIMARY KEY NOT NULL);
INSERT INTO l VALUES (hex(randomblob(1000))), ('short'), (hex(randomblob(900)));`, rows: 1, proof: "SELECT count(*) FROM l", want: "3"},
		{from: "sqlite", to: "mariadb", setup: `CREATE TABLE l (k TEXT PRIMARY KEY NOT NULL);
INSERT INTO l VALUES ('` + longText + `'), ('short');`, aside: []setAside{{"l", `["` + longText + `"]`, "k", "22001", "longer than the 255"}}, proof: "SELECT k FROM l", want: "short"},
	}},
	{"rows that refer to their own table, and circles", []passage{
		{from: "sqlite", to: "postgres mariadb sqlite", setup: `CREATE TABLE e (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES e(id), dept INTEGER REFERENCES dept(id));
CREATE TABLE dept (id INTEGER PRIMARY KEY, head INTEGER REFERENCES e(id));
INSERT INTO e VALUES (1, 9, 1), (2, 2, 1), (3, 4, 2), (4, 3, 2), (9, NULL, NULL);
INSERT INTO dept VALUES (1, 9), (2, 3);`, rows: 1, proof: "SELECT count(*) FROM e JOIN dept ON head = e.id", want: "2"},
		{from: "postgres", to: "postgres", setup: `CREATE TABLE e (id int PRIMARY KEY, boss int NOT NULL REFERENCES e DEFERRABLE);
INSERT INTO e SELECT i, (i % 20) + 1 FROM generate_series(1, 20) i;`, rows: 3, proof: "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated", want: "1"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE e (id INTEGER PRIMARY KEY, boss INTEGER);
INSERT INTO e VALUES (1, 9), (2, 2), (3, 4), (4, 3), (9, NULL);`, before: "CREATE TABLE e (id uuid PRIMARY KEY, old bigint UNIQUE, boss uuid)",
			plan:  `{name: p, stages: [{name: e, from: {table: e}, map: {id: 'uuid5("dns", "e", id)', old: id, boss: 'ref("e", boss)'}, to: {table: e, id: id, key: [id]}}]}`,
			aside: []setAside{{"e", "[2]", "boss", "23503", "has no 2"}, {"e", "[3]", "boss", "23503", "has no 4"}, {"e", "[4]", "boss", "23503", "has no 3"}},
			proof: "SELECT e.old, b.old FROM e LEFT JOIN e b ON b.id = e.boss ORDER BY 1", want: "1|9\n9|NULL"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE e (id INTEGER PRIMARY KEY, boss INTEGER);
INSERT INTO e VALUES (1, 9), (2, 2), (3, 4), (4, 3), (9, NULL);`, before: "CREATE TABLE e (id uuid PRIMARY KEY, old bigint UNIQUE, boss uuid)",
			plan:  `{name: p, stages: [{name: e, from: {table: e}, map: {id: 'uuid5("dns", "e", id)', old: id, boss: 'uuid5("dns", "e", boss)'}, to: {table: e}}]}`,
			proof: "SELECT e.old, b.old FROM e LEFT JOIN e b ON b.id = e.boss ORDER BY 1", want: "1|9\n2|2\n3|4\n4|3\n9|NULL"},
	}},
	{"rows that refer to a row that is not there", []passage{
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent(id));
PRAGMA foreign_keys = 0;
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (1, 1), (2, 99), (3, NULL), (4, 98);`, notes: []string{"2 rows name a row of parent that is not there", "stays unvalidated"}, proof: "SELECT count(*) FROM child", want: "4"},
		{from: "sqlite", to: "sqlite mariadb", setup: `CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent(id));
PRAGMA foreign_keys = 0;
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (1, 1), (2, 99), (3, NULL);`, notes: []string{"1 rows name a row of parent that is not there"}, proof: "SELECT count(*) FROM child", want: "3"},
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER);
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (1, 1), (2, 99), (3, NULL);`, before: "CREATE TABLE parent (id bigint PRIMARY KEY);\nCREATE TABLE child (id bigint PRIMARY KEY, parent bigint)",
			plan: `{name: p, stages: [{name: parent, from: {table: parent}, map: {id: id + 100}, to: {table: parent, key: [id]}},
 {name: child, from: {table: child}, map: {id: id, parent: 'ref("parent", parent)'}, to: {table: child, key: [id]}}]}`,
			aside: []setAside{{"child", "[2]", "parent", "23503", "99"}}, proof: "SELECT id, parent FROM child ORDER BY id", want: "1|101\n3|NULL"},
	}},
	{"rows that are not unique, as the target wants them", []passage{
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE q (id INTEGER PRIMARY KEY, mail TEXT);
INSERT INTO q VALUES (1, 'a'), (2, 'b'), (3, 'a'), (4, NULL), (5, NULL);`, before: "CREATE TABLE q (id bigint PRIMARY KEY, mail text UNIQUE)",
			aside: []setAside{{"q", "[3]", "", "23505", "q_mail_key"}}, proof: "SELECT count(*) FROM q", want: "4"},
	}},
	{"rows that change behind the reader", []passage{
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE r (id INTEGER PRIMARY KEY, v TEXT);
INSERT INTO r SELECT value, 'old' FROM json_each('[10,20,30,40,50,60,70,80,90]');`, rows: 3,
			during: "UPDATE r SET v = 'new' WHERE id IN (10, 90);\nINSERT INTO r VALUES (5, 'new'), (95, 'new');\nDELETE FROM r WHERE id IN (20, 80)",
			proof:  "SELECT string_agg(id || v, ' ' ORDER BY id) FROM r", want: "10old 20old 30old 40old 50old 60old 70old 90new 95new",
			differ: []string{`r [10] v: source has "new", target has "old"`, "r [5] : the row is missing in the target", "r [20] : the row is in the target only"}},
	}},
	{"numbers that were given out and are gone", []passage{
		{from: "sqlite", to: "postgres mariadb sqlite", setup: `CREATE TABLE s (id INTEGER PRIMARY KEY AUTOINCREMENT, v INTEGER);
INSERT INTO s (v) VALUES (1), (2), (3), (4);
DELETE FROM s WHERE id > 2;`, proof: "SELECT count(*) FROM s", want: "2", after: "INSERT INTO s (v) VALUES (9)", then: "SELECT id FROM s WHERE v = 9", is: "5"},
	}},
}
