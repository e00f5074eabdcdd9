package datasets

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/sqldb"
)

func TestAnArchiveIsReadByAPerson(t *testing.T) {
	t.Parallel()
	for d, want := range map[sqldb.Dialect]string{
		sqldb.Postgres: `{"stint":"deletion","version":1,"dialect":"postgres","table":"item","columns":[{"name":"customer_id","type":"bigint"},{"name":"database_id","type":"character varying(40)"},` +
			`{"name":"guid","type":"character varying(40)"},{"name":"note","type":"character varying(40)"},{"name":"price","type":"double precision"}],` +
			`"job":"j1","customer":"7","database":"` + old.Database + `","part":1}` + "\n7\t" + old.Database + "\ta\t" + `tab\tback\\slash` + "\t0.1\n7\t" + old.Database + "\tb\t\\N\t\\N\n",
		sqldb.MySQL: `{"stint":"deletion","version":1,"dialect":"mysql","table":"item","columns":[{"name":"customer_id","type":"bigint(20)"},{"name":"database_id","type":"varchar(40)"},` +
			`{"name":"guid","type":"varchar(40)"},{"name":"note","type":"varchar(40)"},{"name":"price","type":"double"}],` +
			`"job":"j1","customer":"7","database":"` + old.Database + `","part":1}` + "\n7\t" + old.Database + "\ta\t" + `tab\tback\\slash` + "\t0.1\n7\t" + old.Database + "\tb\t\\N\t\\N\n",
		sqldb.SQLite: `{"stint":"deletion","version":1,"dialect":"sqlite","table":"item","columns":[{"name":"customer_id","type":"bigint"},{"name":"database_id","type":"varchar(40)"},` +
			`{"name":"guid","type":"varchar(40)"},{"name":"note","type":"varchar(40)"},{"name":"price","type":"double precision"}],` +
			`"job":"j1","customer":"7","database":"` + old.Database + `","part":1}` + "\ni7\tt" + old.Database + "\tta\tt" + `tab\tback\\slash` + "\tr0.1\ni7\tt" + old.Database + "\ttb\t\\N\t\\N\n",
	} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			l := madeOf(t, d, Layout{}, plainRegistry, plainSets,
				"CREATE TABLE item (customer_id bigint NOT NULL, database_id varchar(40) NOT NULL, guid varchar(40) NOT NULL, note varchar(40), price double precision, PRIMARY KEY (customer_id, database_id, guid))",
				"INSERT INTO item VALUES (7, '"+old.Database+"', 'a', 'tab\tback\\slash', 0.1), (7, '"+old.Database+"', 'b', NULL, NULL)")
			l.hold("j1")
			part := l.deleteAll("j1", 10)[0]
			if prefix := "deletions/j1/7/" + old.Database + "/000001-item-"; !strings.HasPrefix(part.Key, prefix) || !strings.HasSuffix(part.Key, ".zst") {
				t.Errorf("the key is %s", part.Key)
			}
			compressed, err := os.ReadFile(filepath.Join(l.dir, filepath.FromSlash(part.Key)))
			l.must(err)
			if string(artifact.DigestOf(compressed)) != part.Digest || part.Size != int64(len(compressed)) {
				t.Errorf("%+v", part)
			}
			decoder, err := zstd.NewReader(nil)
			l.must(err)
			defer decoder.Close()
			got, err := decoder.DecodeAll(compressed, nil)
			l.must(err)
			if string(got) != want {
				t.Errorf("it is\n%s\nwant\n%s", got, want)
			}
			if _, rows, _ := strings.Cut(want, "\n"); part.Bytes != int64(len(rows)) {
				t.Errorf("%d bytes of rows, want %d", part.Bytes, len(rows))
			}
		})
	}
}

func TestALargeArchiveGoesThroughAFile(t *testing.T) {
	t.Parallel()
	files, err := artifact.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	table := &sqldb.Table{Name: "t", Columns: []sqldb.Column{{Name: "a"}, {Name: "b"}}}
	a, err := newArchive(newHeader(sqldb.SQLite, table, "j1", old, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	random := rand.New(rand.NewPCG(1, 2)) // what cannot be compressed
	var want [][]byte
	for range 40 {
		cell := make([]byte, spoolMemory/16)
		for i := range cell {
			cell[i] = byte(random.Uint32())
		}
		want = append(want, cell)
		line, err := appendTagged(nil, string(cell))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.buf.Write(append(append(line, '\t'), "\\N\n"...)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := a.put(t.Context(), BatchOptions{Artifacts: files}, old, 1, "t")
	if err != nil {
		t.Fatal(err)
	}
	if a.spool.file == nil || a.rows != 40 {
		t.Errorf("%d rows, in a file: %v", a.rows, a.spool.file != nil)
	}
	part := Part{Job: "j1", Set: old, Number: 1, Table: "t", Key: info.Key, Size: info.Size, Digest: string(info.Digest)}
	r, err := openArchive(t.Context(), files, part)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	cells := make([][]byte, 2)
	for i := range want {
		if err := r.readRow(cells); err != nil {
			t.Fatal(err)
		}
		if got, err := readTagged(cells[0]); err != nil || got != string(want[i]) || string(cells[1]) != `\N` {
			t.Fatalf("row %d is another one: %v", i, err)
		}
	}
	if err := r.readRow(cells); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if err := r.verify(part); err != nil {
		t.Error(err)
	}
}

func TestEveryCellIsReadAsItWas(t *testing.T) {
	t.Parallel()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, text := range [][]byte{{}, all, []byte(`\N`), []byte(`\`), []byte(`\\N`), []byte("\t\n\r\\"), []byte(`\.`)} {
		cell := appendEscaped(nil, text)
		if bytes.ContainsAny(cell, "\t\n\r") {
			t.Errorf("%q ends a row or a cell", cell)
		}
		if got, null, err := unescape(cell); err != nil || null || !bytes.Equal(got, text) {
			t.Errorf("%q became %q (%v, %v)", text, got, null, err)
		}
	}
	for _, cell := range []string{`\`, `a\`, `\q`, "x1", "i1.5", "bzz", ""} {
		if v, err := readTagged([]byte(cell)); err == nil {
			t.Errorf("%q was read as %v", cell, v)
		}
	}
	for text, want := range map[string]bool{"0": true, "-1.5": true, "1e-300": true, "+7": true, "1.7976931348623157e308": true, "": false, "-": false, "1)": false,
		"1 OR 1": false, "x'00'": false, "1-1": false, "e5": false, "NULL": false} {
		if isMySQLNumber([]byte(text)) != want {
			t.Errorf("%q is a number: %v", text, !want)
		}
	}
}
