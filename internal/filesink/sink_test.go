package filesink_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/filesink"
	"github.com/stint-run/stint/internal/s3test"
)

// open returns the store of an address: a folder, or endpoint|bucket.
func open(address string) (artifact.Store, error) {
	if endpoint, bucket, ok := strings.Cut(address, "|"); ok {
		return artifact.NewS3(artifact.S3Options{Bucket: bucket, Prefix: "p", Endpoint: endpoint, PathStyle: true,
			AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey, PartSize: 5 << 20})
	}
	return artifact.NewFolder(address)
}

// each runs a test on a folder and on a bucket.
func each(t *testing.T, test func(t *testing.T, address string, store artifact.Store)) {
	t.Helper()
	for _, name := range []string{"folder", "s3"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := t.TempDir()
			if name == "s3" {
				server, bucket := s3test.New(t)
				address = server.Endpoint + "|" + bucket
			}
			store, err := open(address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := store.Close(); err != nil {
					t.Error(err)
				}
			})
			test(t, address, store)
		})
	}
}

func idName(change func(*filesink.Format)) filesink.Format {
	f := filesink.Format{Type: "csv", Columns: columns("id", "name"), Terminator: "lf"}
	if change != nil {
		change(&f)
	}
	return f
}

func sink(t testing.TB, store artifact.Store, f filesink.Format) *filesink.Sink {
	t.Helper()
	s, err := filesink.New(store, filesink.Folder("J 1", "customers"), "Customers", f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rows gives the ids from first up to last.
func rows(first, last int) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for i := first; i <= last; i++ {
			if !yield([]any{int64(i), fmt.Sprintf("name, %d", i)}, nil) {
				return
			}
		}
	}
}

// batch is the part of the ids after from up to to.
func batch(step string, seq, from, to int) filesink.Batch {
	b := filesink.Batch{Step: step, Seq: seq, To: []byte(strconv.Itoa(to))}
	if from > 0 {
		b.From = []byte(strconv.Itoa(from))
	}
	return b
}

func putPart(t testing.TB, s *filesink.Sink, step string, seq, from, to int) filesink.Part {
	t.Helper()
	p, err := s.PutPart(t.Context(), batch(step, seq, from, to), rows(from+1, to), nil)
	if err != nil {
		t.Fatalf("part %d of step %s: %v", seq, step, err)
	}
	return p
}

func finish(t testing.TB, s *filesink.Sink) filesink.Manifest {
	t.Helper()
	m, err := s.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func keys(t testing.TB, store artifact.Store) []string {
	t.Helper()
	list, err := store.List(t.Context(), "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range list {
		out = append(out, strings.TrimPrefix(i.Key, filesink.Folder("J 1", "customers")+"/"))
	}
	return out
}

func read(t testing.TB, store artifact.Store, key string) string {
	t.Helper()
	r, _, err := store.Get(t.Context(), filesink.Folder("J 1", "customers")+"/"+key, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ids reads the first field of each line but the header of each part, as the manifest orders them.
func ids(t testing.TB, store artifact.Store, m filesink.Manifest) []int {
	t.Helper()
	var out []int
	for _, p := range m.Parts {
		lines := strings.Split(strings.TrimSpace(read(t, store, p.Key)), "\n")
		if lines[0] != "id,name" || int64(len(lines)-1) != p.Rows {
			t.Fatalf("part %s begins with %q and has %d lines for %d rows", p.Key, lines[0], len(lines), p.Rows)
		}
		for _, line := range lines[1:] {
			id, _, _ := strings.Cut(line, ",")
			n, err := strconv.Atoi(id)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, n)
		}
	}
	return out
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i + 1
	}
	return out
}

func TestAPartThatIsPutAgainIsThereOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, _ string, store artifact.Store) {
		s := sink(t, store, idName(nil))
		first := putPart(t, s, "0", 0, 0, 10)
		called := func(func([]any, error) bool) { t.Error("the rows of a part that is there are read again") }
		again, err := s.PutPart(t.Context(), batch("0", 0, 0, 10), called, nil)
		if err != nil || again.Key != first.Key || again.Rows != 10 || string(again.To) != "10" {
			t.Errorf("again: %+v, %v", again, err)
		}
		if got := keys(t, store); len(got) != 2 {
			t.Errorf("there are %v", got)
		}
	})
}

func TestARivalThatCutsItsBatchesOtherwiseGoesOnAfterThePartThatCounts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, _ string, store artifact.Store) {
		s := sink(t, store, idName(nil))
		// Both begin at the same time; the other one's record comes first, while ours is being written.
		raced := func(yield func([]any, error) bool) {
			putPart(t, s, "0", 0, 0, 7)
			for row, err := range rows(1, 10) {
				if !yield(row, err) {
					return
				}
			}
		}
		p, err := s.PutPart(t.Context(), batch("0", 0, 0, 10), raced, nil)
		if err != nil || string(p.To) != "7" || p.Rows != 7 {
			t.Fatalf("got %+v, %v", p, err)
		}
		putPart(t, s, "0", 1, 7, 10)
		if got := ids(t, store, finish(t, s)); !slices.Equal(got, upTo(10)) {
			t.Errorf("got %v", got)
		}
		if got := keys(t, store); len(got) != 5 { // two parts, two records, the manifest
			t.Errorf("there are %v", got)
		}
		last, some, err := s.Resume(t.Context(), "0")
		if err != nil || !some || last.Seq != 1 || string(last.To) != "10" {
			t.Errorf("resume: %+v, %v, %v", last, some, err)
		}
		if _, some, err := s.Resume(t.Context(), "1"); some || err != nil {
			t.Errorf("resume of a step that has not begun: %v, %v", some, err)
		}
	})
}

func TestTheManifestHasThePartsInTheOrderOfStepsAndWhatItDoesNotNameGoes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, _ string, store artifact.Store) {
		s := sink(t, store, idName(func(f *filesink.Format) { f.Compress = "" }))
		for step := 11; step >= 0; step-- { // 10 comes after 9
			putPart(t, s, strconv.Itoa(step), 0, step*10, step*10+5)
			putPart(t, s, strconv.Itoa(step), 1, step*10+5, step*10+10)
		}
		stray := filesink.Folder("J 1", "customers") + "/parts/3/000001-ffff.csv"
		if _, err := store.Put(t.Context(), stray, strings.NewReader("id,name\n36,twice\n"), artifact.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		m := finish(t, s)
		if m.Rows != 120 || len(m.Parts) != 24 || !slices.Equal(ids(t, store, m), upTo(120)) {
			t.Errorf("%d rows in %d parts: %v", m.Rows, len(m.Parts), ids(t, store, m))
		}
		if slices.Contains(keys(t, store), strings.TrimPrefix(stray, filesink.Folder("J 1", "customers")+"/")) {
			t.Error("what no record names is still there")
		}
		text := read(t, store, "manifest.json")
		if again := finish(t, s); again.Rows != 120 || read(t, store, "manifest.json") != text {
			t.Error("the manifest is another when it is written again")
		}
		if err := s.Verify(t.Context(), m); err != nil {
			t.Error(err)
		}
		damaged := filesink.Folder("J 1", "customers") + "/" + m.Parts[3].Key
		if _, err := store.Put(t.Context(), damaged, strings.NewReader("id,name\n"), artifact.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(t.Context(), m); !errors.Is(err, artifact.ErrDigest) {
			t.Errorf("a damaged part: %v", err)
		}
	})
}

func TestPartsBecomeOneFile(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, _ string, store artifact.Store) {
		s := sink(t, store, idName(func(f *filesink.Format) { f.Single, f.Compress, f.Encoding = true, "gzip", "utf-8-bom" }))
		for step := range 3 {
			putPart(t, s, strconv.Itoa(step), 0, step*10, step*10+10)
		}
		for range 2 { // the second time there is nothing left to do
			m := finish(t, s)
			if m.File == nil || m.File.Key != "~43ustomers.csv.gz" || m.Rows != 30 {
				t.Fatalf("got %+v", m)
			}
			r, err := gzip.NewReader(strings.NewReader(read(t, store, m.File.Key)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			var want bytes.Buffer
			want.WriteString("\ufeffid,name\n")
			for _, id := range upTo(30) {
				fmt.Fprintf(&want, "%d,\"name, %d\"\n", id, id)
			}
			if err != nil || string(got) != want.String() {
				t.Fatalf("got %q, %v", got, err)
			}
			if err := s.Verify(t.Context(), m); err != nil {
				t.Error(err)
			}
			if got := keys(t, store); len(got) != 5 { // the file, the manifest, three records
				t.Errorf("there are %v", got)
			}
		}
		if p, err := s.PutPart(t.Context(), batch("1", 0, 10, 20), rows(11, 20), nil); err != nil || p.Rows != 10 {
			t.Errorf("a part of the file is put again: %+v, %v", p, err)
		}
		putPart(t, s, "3", 0, 30, 40)
		if _, err := s.Finish(t.Context()); err == nil {
			t.Error("a part that came afterwards is forgotten")
		}
	})
}

func TestADamagedPartDoesNotGetIntoTheFile(t *testing.T) {
	t.Parallel()
	store, err := artifact.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := sink(t, store, idName(func(f *filesink.Format) { f.Single = true }))
	p := putPart(t, s, "0", 0, 0, 10)
	if err := os.WriteFile(filepath.Join(store.String(), filesink.Folder("J 1", "customers"), p.Key), bytes.Repeat([]byte("x"), int(p.Bytes)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish(t.Context()); !errors.Is(err, artifact.ErrDigest) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Manifest(t.Context()); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("there is a manifest: %v", err)
	}
}

func TestAStageWithoutRowsHasAManifestAndItsFileAHeader(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, _ string, store artifact.Store) {
		s := sink(t, store, idName(func(f *filesink.Format) { f.Single = true }))
		m := finish(t, s)
		if m.Rows != 0 || read(t, store, m.File.Key) != "id,name\n" {
			t.Errorf("got %+v", m)
		}
	})
}

func TestABadRowIsRejectedAndTheOthersStay(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, _ string, store artifact.Store) {
		s := sink(t, store, idName(nil))
		bad := func(yield func([]any, error) bool) {
			_ = yield([]any{int64(1), "a"}, nil) && yield([]any{int64(2), "b\xff"}, nil) && yield([]any{int64(3), "c"}, nil)
		}
		if _, err := s.PutPart(t.Context(), batch("0", 0, 0, 3), bad, nil); err == nil {
			t.Error("without reject a bad row passes")
		}
		if got := keys(t, store); len(got) != 0 {
			t.Errorf("there are %v", got)
		}
		var rejected []int64
		p, err := s.PutPart(t.Context(), batch("0", 0, 0, 3), bad, func(row int64, err *filesink.CellError) error {
			if err.Column != "name" {
				t.Errorf("rejected by %v", err)
			}
			rejected = append(rejected, row)
			return nil
		})
		if err != nil || p.Rows != 2 || !slices.Equal(rejected, []int64{1}) || read(t, store, p.Key) != "id,name\n1,a\n3,c\n" {
			t.Errorf("got %+v, %v, rejected %v", p, err, rejected)
		}
		broke := errors.New("the source broke")
		if _, err := s.PutPart(t.Context(), batch("0", 1, 3, 4), func(yield func([]any, error) bool) { yield(nil, broke) }, nil); !errors.Is(err, broke) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRecordsThatDoNotFollowOnEachOtherAreAnError(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, _ string, store artifact.Store) {
		s := sink(t, store, idName(nil))
		putPart(t, s, "0", 0, 0, 10)
		if _, err := s.PutPart(t.Context(), batch("0", 0, 5, 10), rows(6, 10), nil); err == nil {
			t.Error("the same part may begin elsewhere")
		}
		putPart(t, s, "0", 2, 20, 30)
		if _, err := s.Finish(t.Context()); err == nil || !strings.Contains(err.Error(), "part 2 does not go on") {
			t.Errorf("a gap: %v", err)
		}
		putPart(t, s, "0", 1, 10, 19)
		if _, err := s.Finish(t.Context()); err == nil {
			t.Error("parts that do not touch pass")
		}
	})
}

func TestARecordSaysWhatItsPartHas(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, _ string, store artifact.Store) {
		p := putPart(t, sink(t, store, idName(nil)), "Step/1", 0, 0, 10)
		var got filesink.Part
		if err := json.Unmarshal([]byte(read(t, store, "records/~53tep~2f1/000000.json")), &got); err != nil {
			t.Fatal(err)
		}
		if got.Key != p.Key || got.Digest != artifact.DigestOf([]byte(read(t, store, p.Key))) || got.Bytes != int64(len(read(t, store, p.Key))) {
			t.Errorf("got %+v", got)
		}
	})
}
