package migration_test

const pairs = "CREATE TABLE p (id INTEGER PRIMARY KEY, v TEXT);\nINSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'c')"

var awkwardTargets = []awkward{
	{"a target that holds rows already", []passage{
		{from: "sqlite", to: "postgres mariadb sqlite", setup: pairs, before: "CREATE TABLE p (id bigint PRIMARY KEY, v text);\nINSERT INTO p VALUES (7, 'mine')", fails: []string{"table p", "holds rows already", "empty the table"}},
		{from: "sqlite", to: "postgres mariadb sqlite", setup: pairs, before: "CREATE TABLE p (id bigint PRIMARY KEY, v text);\nINSERT INTO p VALUES (2, 'mine')",
			plan:  "{name: p, stages: [{name: p, from: {table: p}, map: {id: id, v: v}, to: {table: p, mode: upsert, key: [id]}}]}",
			proof: "SELECT id, v FROM p ORDER BY id", want: "1|a\n2|b\n3|c"},
		{from: "sqlite", to: "postgres mariadb sqlite", setup: pairs, before: "CREATE TABLE p (id bigint PRIMARY KEY, v text);\nINSERT INTO p VALUES (2, 'mine')",
			plan:  "{name: p, stages: [{name: p, from: {table: p}, map: {id: id, v: v}, to: {table: p, key: [id]}}]}",
			aside: []setAside{{"p", "[2]", "", "", ""}}, proof: "SELECT id, v FROM p ORDER BY id", want: "1|a\n2|mine\n3|c"},
	}},
	{"a target of another shape", []passage{
		{from: "sqlite", to: "postgres mariadb sqlite", setup: pairs, before: "CREATE TABLE p (id bigint PRIMARY KEY, w text)", fails: []string{"column v", "is missing", "column w", "is not in the source", "alter the table"}},
		{from: "sqlite", to: "postgres", setup: pairs, before: "CREATE TABLE p (id bigint PRIMARY KEY, v bytea)", fails: []string{"column v is bytea, but would be text"}},
		{from: "sqlite", to: "postgres", setup: pairs, before: "CREATE TABLE p (id bigint PRIMARY KEY, v varchar(1) NOT NULL CHECK (v <> 'b'))",
			aside: []setAside{{"p", "[2]", "", "23514", "p_v_check"}}, proof: "SELECT id FROM p ORDER BY id", want: "1\n3"},
		{from: "sqlite", to: "mariadb", setup: pairs, before: "CREATE TABLE p (id bigint PRIMARY KEY, v varchar(9) CHECK (v <> 'b'))",
			aside: []setAside{{"p", "[2]", "", "23514", "failed"}}, proof: "SELECT id FROM p ORDER BY id", want: "1\n3"},
		{from: "sqlite", to: "postgres", setup: "CREATE TABLE p (id INTEGER PRIMARY KEY, v TEXT);\nINSERT INTO p VALUES (1, 'abc'), (2, NULL), (3, 'abcd'), (4, 'äöü')", before: "CREATE TABLE p (id smallint PRIMARY KEY, v varchar(3) NOT NULL)",
			aside: []setAside{{"p", "[2]", "v", "23502", "NOT NULL"}, {"p", "[3]", "v", "22001", "longer than the 3"}}, proof: "SELECT v FROM p ORDER BY id", want: "abc\näöü"},
		{from: "sqlite", to: "postgres", setup: "CREATE TABLE p (id INTEGER PRIMARY KEY, v DECIMAL(10,3));\nINSERT INTO p VALUES (1, 12.34), (2, 1.005), (3, 12345.6), (4, 7)", before: "CREATE TABLE p (id bigint PRIMARY KEY, v numeric(6,2))",
			aside: []setAside{{"p", "[2]", "v", "22003", "1.005"}, {"p", "[3]", "v", "22003", "12345.6"}}, proof: "SELECT v::text FROM p ORDER BY id", want: "12.34\n7.00"},
	}},
	{"a trigger that drops or changes rows", []passage{
		{from: "sqlite", to: "postgres", setup: pairs, before: "CREATE TABLE p (id bigint PRIMARY KEY, v text);\nCREATE FUNCTION off() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';\nCREATE TRIGGER off BEFORE INSERT ON p FOR EACH ROW EXECUTE FUNCTION off()",
			fails: []string{"trigger off", "DISABLE TRIGGER off"}},
		{from: "sqlite", to: "mariadb", setup: pairs, before: "CREATE TABLE p (id bigint PRIMARY KEY, v text);\nCREATE TRIGGER off BEFORE INSERT ON p FOR EACH ROW SET NEW.v = 'x'", fails: []string{"trigger off", "DROP TRIGGER"}},
		{from: "sqlite", to: "sqlite", setup: pairs, before: "CREATE TABLE p (id bigint PRIMARY KEY, v text);\nCREATE TRIGGER off BEFORE INSERT ON p BEGIN SELECT RAISE(IGNORE); END", fails: []string{"trigger off", "DROP TRIGGER"}},
		{from: "sqlite", to: "postgres", setup: pairs, before: "CREATE TABLE p (id bigint PRIMARY KEY, v text);\nCREATE RULE off AS ON INSERT TO p DO INSTEAD NOTHING", proof: "SELECT count(*) FROM p", want: "3"},
	}},
	{"foreign keys that are there before the rows", []passage{
		{from: "sqlite", to: "postgres mariadb", setup: pairs, before: "CREATE TABLE q (id bigint PRIMARY KEY);\nCREATE TABLE p (id bigint PRIMARY KEY, v text, CONSTRAINT pq FOREIGN KEY (id) REFERENCES q (id))", fails: []string{"foreign key pq", "DROP"}},
	}},
	{"a view where a table should be", []passage{
		{from: "sqlite", to: "postgres mariadb sqlite", setup: pairs, before: "CREATE TABLE q (id bigint PRIMARY KEY, v text);\nCREATE VIEW p AS SELECT * FROM q", fails: []string{"p is a view", "rename or drop the view"}},
	}},
}
