package migration_test

var awkwardText = []awkward{
	{"bytes of cp1252 in text", []passage{
		{from: "sqlite", to: "postgres mariadb", setup: `CREATE TABLE place (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO place VALUES (1, 'Oslo'), (2, CAST(x'4DE96C6F6E' AS TEXT)), (3, 'Mélon');`,
			aside: []setAside{{"place", "[2]", "name", "22021", "UTF-8"}}, proof: "SELECT id, name FROM place ORDER BY id", want: "1|Oslo\n3|Mélon"},
		{from: "sqlite", to: "sqlite", setup: `CREATE TABLE place (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO place VALUES (2, CAST(x'4DE96C6F6E' AS TEXT));`, proof: "SELECT hex(name), typeof(name) FROM place", want: "4DE96C6F6E|text"},
		{from: "csv?encoding=cp1252", to: "postgres sqlite mariadb", files: map[string]string{"place.csv": "id,name\n1,M\xe9lon\n2,\x80 5\n"},
			proof: "SELECT name FROM place ORDER BY id", want: "Mélon\n€ 5"},
		{from: "firebird?DEFAULT CHARACTER SET WIN1252", to: "postgres sqlite mariadb", setup: "CREATE TABLE PLACE (ID INTEGER NOT NULL PRIMARY KEY, NAME VARCHAR(20));\nINSERT INTO PLACE VALUES (1, _WIN1252 x'4DE96C6F6E');\n",
			proof: `SELECT "NAME" FROM "PLACE"`, want: "Mélon"},
		{from: "mariadb", to: "postgres sqlite", setup: `CREATE TABLE place (id INT PRIMARY KEY, name VARCHAR(20) CHARACTER SET latin1);
INSERT INTO place VALUES (1, x'4DE96C6F6E'), (2, x'80');`, proof: "SELECT name FROM place ORDER BY id", want: "Mélon\n€"},
	}},
	{"NUL characters in text", []passage{
		{from: "sqlite", to: "postgres", setup: `CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT);
INSERT INTO note VALUES (1, 'a' || char(0) || 'b'), (2, 'ab');`, aside: []setAside{{"note", "[1]", "text", "22021", "NUL"}}, proof: "SELECT id FROM note", want: "2"},
		{from: "sqlite", to: "sqlite mariadb", setup: `CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT);
INSERT INTO note VALUES (1, 'a' || char(0) || 'b');`, proof: "SELECT hex(text) FROM note", want: "610062"},
		{from: "mariadb", to: "postgres", setup: `CREATE TABLE note (id INT PRIMARY KEY, text TEXT);
INSERT INTO note VALUES (1, x'610062'), (2, 'ab');`, aside: []setAside{{"note", "[1]", "text", "22021", "NUL"}}},
	}},
	{"blanks at the end", []passage{
		{from: "sqlite", to: "postgres mariadb sqlite", setup: `CREATE TABLE tag (name VARCHAR(10) PRIMARY KEY NOT NULL, n INTEGER);
INSERT INTO tag VALUES ('a', 1), ('a ', 2), ('a  ', 3);`, proof: "SELECT n FROM tag WHERE length(name) > 1 ORDER BY n", want: "2\n3"},
		{from: "firebird", to: "postgres sqlite", setup: `CREATE TABLE TAG (NAME CHAR(6) NOT NULL PRIMARY KEY, TEXT VARCHAR(6));
INSERT INTO TAG VALUES ('a', 'b  ');
INSERT INTO TAG VALUES ('c', '');
`, proof: `SELECT "NAME", length("NAME"), length("TEXT") FROM "TAG" ORDER BY 1`, want: "a|1|3\nc|1|0"},
		{from: "mariadb", to: "postgres", setup: `CREATE TABLE tag (id INT PRIMARY KEY, c CHAR(6), v VARCHAR(6));
INSERT INTO tag VALUES (1, 'a ', 'a ');`, proof: "SELECT length(c), length(v) FROM tag", want: "1|2"},
	}},
	{"the empty string and NULL", []passage{
		{from: "sqlite", to: "postgres mariadb", setup: `CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT, d DATE, b BLOB);
INSERT INTO t VALUES (1, '', NULL, x''), (2, NULL, '', NULL);`, aside: []setAside{{"t", "[2]", "d", "22007", "date"}},
			proof: "SELECT id, length(s), length(b) FROM t", want: "1|0|0"},
		{from: "csv", to: "postgres sqlite", files: map[string]string{"t.csv": "id,s\n1,\n2,\"\"\n3,x\n"}, proof: "SELECT id FROM t WHERE s IS NULL OR s = 'x' ORDER BY id",
			want: "1\n3"},
	}},
}
