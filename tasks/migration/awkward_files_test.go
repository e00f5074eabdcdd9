package migration_test

import (
	"encoding/binary"
	"strings"
)

// dbf writes a file of dBase III: fields are name, type and width; rows are its records with their mark of deletion.
func dbf(fields [][3]string, rows ...string) string {
	head, record := []byte{0x03, 124, 1, 1}, 1
	var defs []byte
	for _, f := range fields {
		width := len(f[2])
		def := make([]byte, 32)
		copy(def, f[0])
		def[11], def[16] = f[1][0], byte(width)
		defs, record = append(defs, def...), record+width
	}
	head = binary.LittleEndian.AppendUint32(head, uint32(len(rows)))
	head = binary.LittleEndian.AppendUint16(head, uint16(32+len(defs)+1))
	head = binary.LittleEndian.AppendUint16(head, uint16(record))
	head = append(head, make([]byte, 20)...)
	return string(head) + string(defs) + "\r" + strings.Join(rows, "") + "\x1a"
}

var awkwardFiles = []awkward{
	{"CSV with odd ends of lines, quotes and embedded lines", []passage{
		{from: "csv", to: "postgres sqlite mariadb", files: map[string]string{
			"unix.csv": "\xef\xbb\xbfid,v\n1,\"a\nb\"\n2,\"say \"\"hi\"\"\"\n3,5\" pipe\n4,\"x,y\"",
			"dos.csv":  "id,v\r\n1,\"a\r\nb\"\r\n2,b\r\n\x1a", "mac.csv": "id,v\r1,a\r2,b\r", "mixed/1.csv": "id,v\n1,a\r\n2,b\r", "mixed/2.csv": "v,id\nc,3\n"},
			proof: "SELECT (SELECT count(*) FROM unix), (SELECT count(*) FROM dos), (SELECT count(*) FROM mac), (SELECT count(*) FROM mixed), (SELECT max(length(v)) FROM dos)", want: "4|2|2|3|4"},
		{from: "csv", to: "postgres", files: map[string]string{"bad.csv": "id,v\n1,a\n2\n3,b,c\n4,\"d\"e\n5,f\n6,\"never closed\n7,g\n"},
			aside: []setAside{{"bad", "", "", "22P04", "1 field"}, {"bad", "", "", "22P04", "3 fields"}, {"bad", "", "", "22P04", "quote"}, {"bad", "", "", "22P04", "line 7"}},
			proof: "SELECT id, v FROM bad ORDER BY 1", want: "1|a\n5|f"},
		{from: "csv?types=infer&sample=2", to: "postgres sqlite mariadb", files: map[string]string{"g.csv": "id,d\n1,0.5\n2,7\n02139,1\n+4711,1\n3,07\n5,\n"},
			aside: []setAside{{"g", "", "id", "22P02", `"02139" is no whole number`}, {"g", "", "id", "22P02", `"+4711" is no whole number`}, {"g", "", "d", "22P02", `"07" is no decimal`}}, proof: "SELECT id FROM g ORDER BY 1", want: "1\n2\n5"},
		{from: "csv?types=infer&sample=1", to: "postgres sqlite", files: map[string]string{"g.csv": "id,zip,n\n1,10115,1\n2,02139,1.5\n03,1,1\n"},
			plan:  "name: said\nstages:\n  - {name: g, from: {table: g, as: {zip: text, n: decimal}}, map: {id: id, zip: trim(zip), n: n + 1}, to: {table: h, key: id}}\n",
			aside: []setAside{{"g", "", "id", "22P02", `"03" is no whole number`}}, proof: "SELECT zip FROM h ORDER BY id", want: "10115\n02139"},
	}},
	{"NDJSON whose rows differ", []passage{
		{from: "ndjson", to: "postgres", files: map[string]string{"e.ndjson": `{"id":1,"v":"a","deep":{"x":[1,2]}}` + "\n" + `{"id":2,"v":3}` + "\n\n" + `{"v":null,"id":12345678901234567890}` + "\n" + `{"id":4,"id":5}` + "\n" + `{"id":6,"v":"\ud800"}` + "\n" + `{broken` + "\n"},
			aside: []setAside{{"e", "", "", "", "twice"}, {"e", "", "v", "22021", ""}, {"e", "", "", "", ""}}, proof: "SELECT id::text, v, deep::text FROM e ORDER BY length(id::text), 1", want: `1|a|{"x":[1,2]}` + "\n2|3|NULL\n12345678901234567890|NULL|NULL"},
		{from: "ndjson?sample=1", to: "postgres sqlite mariadb", files: map[string]string{"e.ndjson": `{"id":1,"on":true}` + "\n" + `{"id":"02139"}` + "\n" + `{"on":"yes"}` + "\n" + `{"id":2,"on":null}` + "\n"},
			aside: []setAside{{"e", "", "id", "22P02", `"02139" is no whole number`}, {"e", "", "on", "22P02", `"yes" is neither true nor false`}}, proof: "SELECT id FROM e ORDER BY 1", want: "1\n2"},
	}},
	{"DBF with deleted records, stars and blanks", []passage{
		{from: "dbf?encoding=cp850", to: "postgres mariadb", files: map[string]string{"T.DBF": dbf([][3]string{{"NAME", "C", "123456"}, {"N", "N", "1234"}, {"D", "D", "12345678"}, {"L", "L", "1"}},
			" "+"M\x82lon "+"   7"+"20240229"+"T", "*"+"gone  "+"   0"+"20240101"+"F", " "+"b     "+"****"+"        "+"?", " "+"      "+"  12"+"30.1.24 "+"F")},
			aside: []setAside{{"T", "", "D", "22007", "30.1.24"}}, proof: `SELECT "NAME", "N" FROM "T" WHERE "NAME" <> '' ORDER BY "D" IS NOT NULL`, want: "b|NULL\nMélon|7"},
		{from: "dbf", to: "sqlite", files: map[string]string{"T.DBF": dbf([][3]string{{"D", "D", "12345678"}}, " 30.1.24 ", " 20240229", "         ")}, proof: `SELECT "D" || '' FROM "T"`, want: "30.1.24\n2024-02-29\nNULL"},
	}},
}
