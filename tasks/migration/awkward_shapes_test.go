package migration_test

import (
	"fmt"
	"strings"
)

// longText is longer than a key of MariaDB may be by itself.
var longText = strings.Repeat("k", 300)

// Names that are the same up to PostgreSQL's 63 bytes.
var longName = strings.Repeat("x", 62)

// columns writes n definitions of columns.
func columns(n int, format string) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return strings.Join(all, ", ")
}

var awkwardNames = []awkward{
	{"names that are words of SQL, with blanks and quotes", []passage{
		{from: "sqlite", to: "postgres mariadb sqlite", setup: `CREATE TABLE "order" ("select" INTEGER PRIMARY KEY, "group by" TEXT, "it""s" TEXT, "a.b" INTEGER, "Ünï" TEXT, "per%cent" TEXT, "$1" TEXT, "back` + "`" + `tick" TEXT);
INSERT INTO "order" VALUES (1, 'a', 'b', 3, 'c', 'd', 'e', 'f');
CREATE INDEX "in dex" ON "order" ("group by");`, proof: `SELECT "group by", "a.b", "per%cent", "$1" FROM "order"`, want: "a|3|d|e"},
		{from: "postgres", to: "mariadb sqlite", setup: `CREATE SCHEMA "My Schema";
CREATE TABLE "My Schema"."user" ("from" int PRIMARY KEY, "To" text);
INSERT INTO "My Schema"."user" VALUES (1, 'x');`, proof: `SELECT "To" FROM "user"`, want: "x"},
		{from: "mariadb", to: "postgres sqlite", setup: "CREATE TABLE `table` (`key` INT PRIMARY KEY, `a b` TEXT, `d\"q` TEXT);\nINSERT INTO `table` VALUES (1, 'x', 'y')", proof: `SELECT "a b", "d""q" FROM "table"`, want: "x|y"},
	}},
	{"names longer than 63 bytes that would be the same", []passage{
		{from: "sqlite", to: "postgres mariadb", setup: fmt.Sprintf(`CREATE TABLE %[1]saaaa (id INTEGER PRIMARY KEY, %[1]sbbb TEXT, %[1]sbbc TEXT);
CREATE TABLE %[1]saaab (id INTEGER PRIMARY KEY);
INSERT INTO %[1]saaaa VALUES (1, 'p', 'q');
INSERT INTO %[1]saaab VALUES (2);`, longName), notes: []string{" becomes " + longName}, proof: "SELECT count(*) FROM information_schema.columns WHERE table_name LIKE '" + longName[:40] + "%'", want: "4"},
	}},
	{"names that differ by case alone", []passage{
		{from: "postgres", to: "sqlite mariadb", setup: `CREATE TABLE "T" (id int PRIMARY KEY, "A" int, a int);
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO "T" VALUES (1, 2, 3);
INSERT INTO t VALUES (7);`, notes: []string{"the name is taken there"}, proof: `SELECT "A", a_2 FROM "T"`, want: "2|3"},
	}},
}

var awkwardShapes = []awkward{
	{"empty tables", []passage{
		{from: "sqlite", to: "postgres mariadb sqlite", setup: "CREATE TABLE e (id INTEGER PRIMARY KEY, v TEXT);\nCREATE TABLE f (v TEXT)", proof: "SELECT count(*) FROM e", want: "0"},
		{from: "postgres", to: "sqlite mariadb", setup: "CREATE TABLE e (id int PRIMARY KEY);\nCREATE TABLE f (v text)", proof: "SELECT count(*) FROM f", want: "0"},
		{from: "firebird", to: "postgres", setup: "CREATE TABLE E (ID INTEGER NOT NULL PRIMARY KEY);\n", proof: `SELECT count(*) FROM "E"`, want: "0"},
		{from: "csv", to: "postgres", files: map[string]string{"e.csv": "id,v\n"}, proof: "SELECT count(*) FROM e", want: "0"},
	}},
	{"tables of 300 columns", []passage{
		{from: "sqlite", to: "postgres mariadb sqlite", setup: "CREATE TABLE w (id INTEGER PRIMARY KEY, " + columns(300, "c%d VARCHAR(200)") + ");\nINSERT INTO w (id, c0, c299) VALUES (1, 'first', 'last'), (2, NULL, 'x')",
			proof: "SELECT c0, c150, c299 FROM w ORDER BY id", want: "first|NULL|last\nNULL|NULL|x"},
		{from: "postgres", to: "mariadb sqlite", setup: "CREATE TABLE w (id int PRIMARY KEY, " + columns(300, "c%d varchar(200)") + ");\nINSERT INTO w (id, c0, c299) VALUES (1, 'first', 'last')",
			proof: "SELECT c0, c150, c299 FROM w", want: "first|NULL|last"},
	}},
	{"columns that are computed", []passage{
		{from: "sqlite", to: "postgres mariadb", setup: `CREATE TABLE g (id INTEGER PRIMARY KEY, n INTEGER, twice INTEGER GENERATED ALWAYS AS (n * 2) VIRTUAL, kept INTEGER AS (n + 1) STORED);
INSERT INTO g (id, n) VALUES (1, 4);`, notes: []string{"is computed in the source"}, proof: "SELECT twice, kept FROM g", want: "8|5"},
		{from: "postgres", to: "sqlite postgres", setup: `CREATE TABLE g (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED);
INSERT INTO g (id, n) VALUES (1, 4);`, notes: []string{"is computed in the source"}, proof: "SELECT twice FROM g", want: "8"},
		{from: "mariadb", to: "postgres", setup: `CREATE TABLE g (id INT PRIMARY KEY, n INT, twice INT AS (n * 2) VIRTUAL, kept INT AS (n + 1) STORED);
INSERT INTO g (id, n) VALUES (1, 4);`, notes: []string{"is computed in the source"}, proof: "SELECT twice, kept FROM g", want: "8|5"},
		{from: "sqlite", to: "postgres", setup: "CREATE TABLE g (id INTEGER PRIMARY KEY, n INTEGER);\nINSERT INTO g VALUES (1, 4)", before: "CREATE TABLE g (id bigint PRIMARY KEY, n bigint GENERATED ALWAYS AS (id * 2) STORED)",
			fails: []string{"column n is computed there", "alter the table"}},
	}},
	{"arrays, ranges and other types of one database alone", []passage{
		{from: "postgres", to: "sqlite mariadb", setup: `CREATE TYPE mood AS ENUM ('sad', 'it''s fine');
CREATE TABLE a (id int PRIMARY KEY, i int[], t text[], r int4range, n inet, v interval, m mood, p point, b bit(5), h money);
INSERT INTO a VALUES (1, '{1,NULL,3}', '{"a,b","c\"d",NULL}', '[1,5)', '10.0.0.0/8', '1 year 2 days', 'it''s fine', '(1,2)', '10101', 12.5);`,
			proof: "SELECT i, t, r, n, v, m, p, b FROM a", want: `{1,NULL,3}|{"a,b","c\"d",NULL}|[1,5)|10.0.0.0/8|1 year 2 days|it's fine|(1,2)|10101`},
		{from: "mariadb", to: "postgres sqlite", setup: `CREATE TABLE a (id INT PRIMARY KEY, e ENUM('x', 'y', ''), s SET('a', 'b', 'c'), y YEAR, n INET6, b BIT(9));
INSERT INTO a VALUES (1, 'y', 'a,c', 1999, '::1', b'101010101'), (2, '', '', 2155, NULL, 0);`, proof: "SELECT e, s, y, b FROM a ORDER BY id", want: "y|a,c|1999|341\n||2155|0"},
	}},
	{"JSON with doubled members, large numbers and NUL characters", []passage{
		{from: "sqlite", to: "postgres mariadb", setup: `CREATE TABLE j (id INTEGER PRIMARY KEY, d JSON);
INSERT INTO j VALUES (1, '{"b":1, "a":2, "a":3}'), (2, '[12345678901234567890123, 1.0, 1e2]'), (3, 'null'), (4, '{broken');`, aside: []setAside{{"j", "[4]", "d", "22P02", "broken"}},
			proof: "SELECT CAST(d AS CHAR(35)) AS d FROM j WHERE id = 2", want: "[12345678901234567890123, 1.0, 1e2]"},
		{from: "sqlite", to: "postgres", setup: "CREATE TABLE j (id INTEGER PRIMARY KEY, d JSON);\nINSERT INTO j VALUES (1, '\"a\\u0000b\"'), (2, '1')", before: "CREATE TABLE j (id bigint PRIMARY KEY, d jsonb)",
			aside: []setAside{{"j", "[1]", "d", "22P05", "u0000"}}, proof: "SELECT id FROM j", want: "2"},
	}},
	{"identifiers written in many ways", []passage{
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE u (id INTEGER PRIMARY KEY, g UUID);
INSERT INTO u VALUES (1, '{6F9619FF-8B86-D011-B42D-00C04FC964FF}'), (2, '6f9619ff8b86d011b42d00c04fc964ff'), (3, 'none'), (4, x'6F9619FF8B86D011B42D00C04FC964FF');`,
			aside: []setAside{{"u", "[3]", "g", "22P02", "none"}}, proof: "SELECT count(*), count(DISTINCT g) FROM u", want: "3|1"},
	}},
	{"rows too large for the server", []passage{
		{from: "sqlite", to: "mariadb", setup: `CREATE TABLE h (id INTEGER PRIMARY KEY, b BLOB);
INSERT INTO h VALUES (1, x'01'), (2, zeroblob(17000000)), (3, x'03');`, aside: []setAside{{"h", "[2]", "", "54000", "max_allowed_packet"}}, proof: "SELECT id FROM h ORDER BY id", want: "1\n3"},
	}},
	{"a source whose tables change after the plan", []passage{
		{from: "sqlite", to: "postgres", setup: "CREATE TABLE c (id INTEGER PRIMARY KEY, v TEXT);\nINSERT INTO c SELECT value, 'v' FROM json_each('[1,2,3,4,5,6]')", rows: 2,
			during: "ALTER TABLE c RENAME COLUMN v TO w", fails: []string{"v", "was the schema changed"}},
		{from: "postgres", to: "sqlite", setup: "CREATE TABLE c (id int PRIMARY KEY, v text);\nINSERT INTO c SELECT i, 'v' FROM generate_series(1, 6) i", rows: 2,
			during: "ALTER TABLE c DROP COLUMN v", fails: []string{"v", "was the schema changed"}},
		{from: "mariadb", to: "postgres", setup: "CREATE TABLE c (id INT PRIMARY KEY, v TEXT);\nINSERT INTO c SELECT seq, 'v' FROM seq_1_to_6", rows: 2,
			during: "DROP TABLE c", fails: []string{"c", "was the schema changed"}},
		{from: "postgres", to: "postgres", setup: "CREATE TABLE c (id int PRIMARY KEY, v int, w text);\nINSERT INTO c SELECT i, i, i FROM generate_series(1, 6) i", rows: 2,
			during: "ALTER TABLE c ALTER v TYPE bigint, ALTER w TYPE int USING w::int", proof: "SELECT max(v), max(w) FROM c", want: "6|6"},
	}},
}
