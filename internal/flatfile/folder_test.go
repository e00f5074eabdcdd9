package flatfile_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/flatfile"
	"github.com/stint-run/stint/internal/sqldb"
)

func TestTablesAreFilesAndFoldersOfParts(t *testing.T) {
	t.Parallel()
	outside := folder(t, map[string]string{"data": "a,b\n9,9\n"})
	dir := folder(t, map[string]string{
		"customers.csv":         "id,name\n1,x\n",
		"ledger/2024.csv":       "id,sum\n1,10\n2,20\n",
		"ledger/2023.csv.gz":    gzipped(t, "id,sum\n0,5\n"),
		"ledger/2025.CSV.zst":   zstandard(t, "sum,id,note\n30,3,\"new\"\n"),
		"ledger/.hidden.csv":    "x",
		"ledger/deep/x.csv":     "a\n",
		"ledger/notes.md":       "x",
		".git/config.csv":       "x",
		"readme.md":             "x",
		"empty.csv":             "",
		"nothing/other.json":    "x",
		"invoices.2024.csv.gz":  gzipped(t, "a\n"),
		"no-members/of-it/y.md": "",
	})
	if err := os.Symlink(filepath.Join(outside, "data"), filepath.Join(dir, "linked.csv")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "gone"), filepath.Join(dir, "broken.csv")); err != nil {
		t.Fatal(err)
	}
	f := open(t, "csv:"+dir)
	s := schema(t, f)
	var names []string
	for _, tab := range s.Tables {
		names = append(names, tab.Name)
		if !tab.Place || sqldb.WalkOf(&tab).Kind != sqldb.WalkPlace {
			t.Errorf("%s is not walked by places", tab.Name)
		}
	}
	if want := []string{"customers", "invoices.2024", "ledger", "linked"}; !reflect.DeepEqual(names, want) {
		t.Errorf("got the tables %v, want %v", names, want)
	}
	for _, want := range []string{"readme.md is no csv file", "ledger/notes.md is no csv file", "ledger/deep is no csv file", "broken.csv cannot be read",
		"empty.csv is empty", "The folder nothing has no csv files", "The folder no-members has no csv files"} {
		if !slices.ContainsFunc(s.Notes, func(n string) bool { return strings.Contains(n, want) }) {
			t.Errorf("no note says %q: %q", want, s.Notes)
		}
	}
	if all := strings.Join(s.Notes, " "); strings.Contains(all, "hidden") || strings.Contains(all, ".git") {
		t.Errorf("hidden files are noted: %s", all)
	}
	ledger := table(t, f, "ledger")
	rows := wantRows(t, f, ledger, `"0" "5" NULL`, `"1" "10" NULL`, `"2" "20" NULL`, `"3" "30" "new"`)
	if want := (sqldb.RowKey{"ledger/2024.csv", int64(7)}); !rows[1].key.Equal(want) {
		t.Errorf("the key of the second row is %s, want %s", rows[1].key, want)
	}
	if !strings.Contains(strings.Join(ledger.Notes, " "), "ledger/2024.csv has no column note") {
		t.Errorf("no note about the missing column: %q", ledger.Notes)
	}
	if err := checkChunks(f, ledger, 1, 2); err != nil {
		t.Error(err)
	}
	if keys, err := borders(f, ledger, 1, 1); err != nil || len(keys) != 3 {
		t.Errorf("got the borders %v, %v; want each compressed file, and each row of the other", keys, err)
	}
	wantRows(t, f, table(t, f, "linked"), `"9" "9"`)
}

func TestOneFileIsATableToo(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.tsv": "x\ty\n1\t2\n", "b.export": "x,y\n1,2\n"})
	f := open(t, "tsv:"+filepath.Join(dir, "a.tsv"))
	rows := wantRows(t, f, table(t, f, "a"), `"1" "2"`)
	if want := (sqldb.RowKey{"a.tsv", int64(4)}); !rows[0].key.Equal(want) {
		t.Errorf("the key is %s, want %s", rows[0].key, want)
	}
	g := open(t, "csv:"+filepath.Join(dir, "b.export"))
	wantRows(t, g, table(t, g, "b"), `"1" "2"`)
}

func TestPartsAreChunkedAcross(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for i := range 7 {
		files[fmt.Sprintf("t/%d.csv", i)] = "a,b\n" + strings.Repeat(fmt.Sprintf("%d,x\n", i), i)
	}
	f := open(t, "csv:"+folder(t, files))
	tab := table(t, f, "t")
	for rows := 1; rows < 9; rows++ {
		for limit := 1; limit < 4; limit++ {
			if err := checkChunks(f, tab, rows, limit); err != nil {
				t.Error(err)
			}
		}
		keys, err := borders(f, tab, rows, 100)
		if err != nil || len(keys) != 20/rows {
			t.Errorf("%d borders of %d rows each: %v", len(keys), rows, err)
		}
	}
}

func TestWithoutAHeaderTheFirstPartSaysHowManyColumnsThereAre(t *testing.T) {
	t.Parallel()
	f := open(t, "csv:"+folder(t, map[string]string{"t/0.csv": "", "t/1.csv": "1,2\n", "t/2.csv": "1,2,3\n4,5\n"})+"?header=false")
	wantRows(t, f, table(t, f, "t"), `"1" "2"`, "!the row has 3 fields where the table has 2", `"4" "5"`)
}

func TestFilesThatAreNoTextSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	for content, hint := range map[string]string{gzipped(t, "a\n"): "call it t.csv.gz", zstandard(t, "a\n"): "call it t.csv.zst", "PK\x03\x04....": "save it as text"} {
		_, err := open(t, "csv:"+folder(t, map[string]string{"t.csv": content})).Schema(context.Background())
		wantError(t, err, "t.csv is ", hint)
	}
	f := open(t, "csv:"+folder(t, map[string]string{"t.csv": "id;name;city\n1;a;b\n"}))
	if notes := strings.Join(table(t, f, "t").Notes, " "); !strings.Contains(notes, "delimiter=semicolon is missing") {
		t.Errorf("no note about the delimiter: %s", notes)
	}
}

func TestTheNumberOfRowsIsEstimated(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	r := rand.New(rand.NewPCG(1, 2))
	b.WriteString("a,b\n")
	for range 200_000 {
		fmt.Fprintf(&b, "%d,x\n", r.IntN(1e9))
	}
	f := open(t, "csv:"+folder(t, map[string]string{"plain.csv": b.String(), "squeezed.csv.gz": gzipped(t, b.String())}))
	for _, tab := range schema(t, f).Tables {
		if tab.Rows < 50_000 || tab.Rows > 400_000 {
			t.Errorf("%s has about %d rows, want 200,000", tab.Name, tab.Rows)
		}
	}
}

func TestNamesOfColumnsAreMadeUnique(t *testing.T) {
	t.Parallel()
	f := open(t, "csv:"+folder(t, map[string]string{"t.csv": "a, a ,,a_2,\n1,2,3,4,\n"}))
	tab := table(t, f, "t")
	var names []string
	for _, c := range tab.Columns {
		names = append(names, c.Name)
	}
	if want := []string{"a", "a_2", "c3", "a_2_2", "c5"}; !reflect.DeepEqual(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	wantRows(t, f, tab, `"1" "2" "3" "4" NULL`)
	if len(tab.Notes) != 4 {
		t.Errorf("got the notes %q, want one for each column that is called otherwise", tab.Notes)
	}
}

func TestURLsThatCannotBeSayWhatToDo(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.csv": "x\n"})
	for _, c := range []struct{ url, message, hint string }{
		{"csv:" + dir + "/none", "there is no", "relative paths"},
		{"csv:" + dir + "?delimeter=%3B", "delimeter cannot be used: it is not known", "did you mean delimiter?"},
		{"csv:" + dir + "?memo=ignore", "memo cannot be used", "csv URLs have: encoding"},
		{"dbf:" + dir + "?header=no", "header cannot be used", "dbf URLs have: encoding, trim"},
		{"csv:" + dir + "?quote=ab", `quote cannot be used: "ab" is not one character`, "single"},
		{"csv:" + dir + "?quote=comma", "must differ", "own character"},
		{"csv:" + dir + "?delimiter=none", "rows need a delimiter", "semicolon"},
		{"csv:" + dir + "?encoding=cp1525", `the encoding "cp1525" is not known`, "did you mean cp125"},
		{"csv:" + dir + "?encoding=utf-7", `encoding "utf-7"`, ""},
		{"csv:" + dir + "?encoding=cp037", `"cp037" cannot be read`, "iconv -f cp037"},
		{"csv:" + dir + "?encoding=iso-2022-jp", "cannot be read", "iconv"},
		{"csv:" + dir + "?encoding=gbk&delimiter=pipe", "part of another character", "iconv"},
		{"csv:" + dir + "?skip=x", `skip cannot be used: "x" is no number`, "skip="},
		{"csv:" + dir + "?header=perhaps", `"perhaps" is not known`, "true"},
		{"csv:" + dir + "?header=no&header=yes", "given twice", "leave one"},
		{"ndjson:" + dir + "?rest=drop", `"drop" is not known`, "column, reject"},
	} {
		f, err := tryOpen(c.url)
		wantError(t, err, c.message, c.hint)
		if f != nil {
			t.Errorf("%s was opened", c.url)
		}
	}
	_, err := flatfile.Open(sqldb.Location{}, flatfile.Options{})
	wantError(t, err, "no folder of files", "csv:DIR")
}

func TestTwoFilesOfOneTableAreAnError(t *testing.T) {
	t.Parallel()
	_, err := open(t, "csv:"+folder(t, map[string]string{"a.csv": "x\n", "a.csv.gz": gzipped(t, "x\n")})).Schema(context.Background())
	wantError(t, err, "the table a would come from both a.csv and a.csv.gz", "subfolder")
}

func TestFilesThatChangedSinceTheirChunksWerePlannedAreNoticed(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"t/1.csv": "a,b\n1,2\n3,4\n5,6\n", "t/2.csv": "a,b\n7,8\n"})
	f := open(t, "csv:"+dir)
	tab := table(t, f, "t")
	keys, err := borders(f, tab, 2, 10)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	rewrite := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "t", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ content, from, to string }{
		{"a,b\n1,22\n3,4\n5,6\n", "no row begins here", "no row begins here"},
		{"a,b\n1,2\n", "it ends before this row", "it ends before this row"},
		{"a,b\n1,2\n3,\"\n5,6\"\n7,8\n", "", "no row begins here"},
		{"a,c\n1,2\n3,4\n5,6\n", "", ""},
	} {
		rewrite("1.csv", c.content)
		for _, r := range []struct {
			from, to sqldb.RowKey
			want     string
		}{{keys[0], nil, c.from}, {nil, keys[0], c.to}} {
			_, err := read(f, tab, r.from, r.to)
			switch {
			case r.want != "":
				wantError(t, err, r.want, "put the old file back")
			case err != nil:
				t.Errorf("%q: %v", c.content, err)
			}
		}
	}
	rewrite("1.csv", "a,c\n1,2\n")
	rewrite("2.csv", "a,c\n1,2\n")
	_, err = read(f, tab, nil, nil)
	wantError(t, err, "the files of t have no column b", "make the plan anew")
	if err := os.Remove(filepath.Join(dir, "t", "1.csv")); err != nil {
		t.Fatal(err)
	}
	_, err = read(f, tab, keys[0], nil)
	wantError(t, err, "has no file t/1.csv any more", "put it back")
	_, err = read(f, &sqldb.Table{Name: "tt"}, nil, nil)
	wantError(t, err, "holds the table tt", "did you mean t?")
}

func TestCompressedFilesThatAreCutOffAreAnError(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("1,2\n", 100_000)
	whole := map[string]string{"g.csv.gz": gzipped(t, "a,b\n"+long), "z.csv.zst": zstandard(t, "a,b\n"+long)}
	f := open(t, "csv:"+folder(t, whole))
	tables := []*sqldb.Table{table(t, f, "g"), table(t, f, "z")}
	for name := range whole {
		whole[name] = whole[name][:len(whole[name])*2/3]
	}
	cut := open(t, "csv:"+folder(t, whole))
	for _, tab := range tables {
		if rows := readAll(t, f, tab); len(rows) != 100_000 {
			t.Errorf("%s has %d rows", tab.Name, len(rows))
		}
		_, err := read(cut, tab, nil, nil)
		wantError(t, err, "cannot be decompressed", "cut off")
	}
}

func TestOnlyTheColumnsAskedForAreRead(t *testing.T) {
	t.Parallel()
	f := open(t, "csv:"+folder(t, map[string]string{"t.csv": "a,b,c\n1,2,3\n"}))
	tab := table(t, f, "t")
	r, err := f.Read(context.Background(), tab, []int{2, 0}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	cells := make([]sqldb.Cell, 4)
	if ok, err := r.Next(cells); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if cells[0].Value() != "3" || cells[1].Value() != "1" || cells[2].Value() != "t.csv" || cells[3].Value() != int64(6) {
		t.Errorf("got %v %v %v %v", cells[0].Value(), cells[1].Value(), cells[2].Value(), cells[3].Value())
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, err = f.Read(ctx, tab, []int{0}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(cells); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled reading goes on: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
