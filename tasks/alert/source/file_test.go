package source_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/source"
)

func TestEventsAreReadInEachFormThatTheyAreSavedIn(t *testing.T) {
	t.Parallel()
	want := []map[string]any{{"_id": "1", "n": json.Number("9007199254740993")}, {"_id": "b", "n": json.Number("2.50"), "o": map[string]any{"p": nil}}}
	for name, text := range map[string]string{
		"lines":                `{"_id": 1, "n": 9007199254740993}` + "\n\n" + `{"_id": "b", "n": 2.50, "o": {"p": null}}` + "\n",
		"a list":               `[{"_id": 1, "n": 9007199254740993}, {"_id": "b", "n": 2.50, "o": {"p": null}}]`,
		"over several lines":   "{\n \"_id\": 1,\n \"n\": 9007199254740993\n}\n{\"_id\": \"b\", \"n\": 2.50, \"o\": {\"p\": null}}",
		"an answer":            `{"took": 3, "hits": {"total": {"value": 2}, "hits": [{"_id": "1", "_source": {"n": 9007199254740993}}, {"_id": "b", "_score": 1, "_source": {"n": 2.50, "o": {"p": null}}}]}}`,
		"hits on lines":        `{"_id": "1", "_source": {"n": 9007199254740993}}` + "\r\n" + `{"_id": "b", "_source": {"n": 2.50, "o": {"p": null}}}`,
		"with a mark of UTF-8": "\xef\xbb\xbf" + `[{"_id": 1, "n": 9007199254740993}, {"_id": "b", "n": 2.50, "o": {"p": null}}]`,
	} {
		got, err := source.ReadEvents("-", strings.NewReader(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := source.ReadEvents("-", strings.NewReader("")); err != nil || len(got) != 0 {
		t.Errorf("of nothing: %v, %v", got, err)
	}
	if got, err := source.ReadEvents("-", strings.NewReader(`[{"_id": "x", "_index": "logs", "_source": {"a": 1}}]`)); err != nil || got[0]["_index"] != "logs" || got[0]["_id"] != "x" {
		t.Errorf("a hit of an index: %v, %v", got, err)
	}
}

func TestEventsOfACompressedFileAreReadWhateverItIsCalled(t *testing.T) {
	t.Parallel()
	plain := strings.Repeat(`{"a": 1}`+"\n", 1000)
	var z bytes.Buffer
	gz := gzip.NewWriter(&z)
	_, _ = gz.Write([]byte(plain))
	_ = gz.Close()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"gzip": z.Bytes(), "zstd": enc.EncodeAll([]byte(plain), nil), "plain": []byte(plain)} {
		path := filepath.Join(t.TempDir(), "events")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := source.ReadEvents(path, nil)
		if err != nil || len(got) != 1000 {
			t.Errorf("%s: %d events, %v", name, len(got), err)
		}
		if _, err := source.ReadEvents("-", bytes.NewReader(content[:len(content)-5])); err == nil {
			t.Errorf("%s: a file that is cut is whole", name)
		}
	}
}

func TestAFewBytesOfZstdDoNotAskForMuchMemory(t *testing.T) {
	t.Parallel()
	// RFC 8878, 3.1.1: magic number, a descriptor without a size, the window (ten and its upper five bits as a power of two), one raw block.
	frame := func(window byte) io.Reader {
		return strings.NewReader("\x28\xb5\x2f\xfd\x00" + string([]byte{window}) + "\x11\x00\x00[]")
	}
	if got, err := source.ReadEvents("-", frame(17<<3)); err != nil || len(got) != 0 {
		t.Errorf("a window of 128 MiB, as zstd --long has it: %v, %v", got, err)
	}
	if _, err := source.ReadEvents("-", frame(18<<3)); !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("a window of 256 MiB: %v", err)
	}
}

func TestEventsWithoutAnIDGetOneThatIsTheSameTheNextTime(t *testing.T) {
	t.Parallel()
	const text = `{"b": 1, "a": 2}` + "\n" + `{"a": 2, "b": 1}` + "\n" + `{"a": 2, "b": 2}`
	first, err := source.ReadEvents("-", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	again, _ := source.ReadEvents("-", strings.NewReader(text))
	ids := map[any]bool{}
	for i, e := range first {
		ids[e["_id"]] = true
		if e["_id"] == "" || e["_id"] != again[i]["_id"] {
			t.Errorf("event %d has the ids %v and %v", i, e["_id"], again[i]["_id"])
		}
	}
	if len(ids) != 3 || first[1]["_id"] != first[0]["_id"].(string)+"-2" {
		t.Errorf("the ids are %v", ids)
	}
}

func TestEventsOfAFileAreASource(t *testing.T) {
	t.Parallel()
	events, err := source.ReadEvents("-", strings.NewReader(`{"_index": "logs", "happened": "2026-03-01T12:00:01Z"}`+"\n"+`{"happened": "2026-03-01T12:00:09Z", "n": 1}`))
	if err != nil {
		t.Fatal(err)
	}
	q := windowOf(0, 5*time.Second)
	q.Index = "logs"
	hits := searchAll(t, source.NewEvents(source.Events{Documents: source.DocumentsOf(events)}), q)
	if len(hits) != 1 || hits[0].ID != events[0]["_id"] || hits[0].Doc["_index"] != "logs" {
		t.Errorf("got %v", hits)
	}
}

func TestAMistakeInAFileOfEventsIsFoundByItsLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{\"a\": 1}\n{\"a\": }\n{\"a\": 3}":                 "line 2",
		"{\"a\": 1}\n\n{\"a\": 1\n":                         "line 3",
		"{\"a\": 1}\n7\n":                                   "line 2",
		"[{\"a\": 1},\n\"x\"\n]":                            "line 3", // a list is read as a whole
		"[[{\"a\": 1}]]":                                    "line 1",
		strings.Repeat("{\"a\": 1}\n", 20_000) + "{'a': 1}": "line 20001",
		"{\"a\": 1}\n{\"b\" \"c\"}":                         "line 2",
	} {
		_, err := source.ReadEvents("-", strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want+":") || tasks.HintOf(err) == "" {
			t.Errorf("%.40q: %v; want %s", text, err, want)
		}
	}
	if _, err := source.ReadEvents(filepath.Join(t.TempDir(), "gone"), nil); err == nil || tasks.HintOf(err) == "" {
		t.Errorf("a file that is not there: %v", err)
	}
}
