package source

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks"
)

// MaxEvents is how many events a file may have: they are held in memory.
const MaxEvents = maxHeld

// maxWindow bounds the memory that the head of a zstd frame may ask for, in bytes: what `zstd --long` asks for, and no more.
const maxWindow = 128 << 20

// ReadEvents reads events from a file, or from stdin when the path is "-": a JSON object on each line, objects one after another, lists
// of them, or answers of Elasticsearch, {"hits": {"hits": [...]}}, such as a saved search; plain, or compressed with gzip or zstd.
// Numbers are json.Number. An event of an answer, or one with _source, is what is in _source, with its _id and _index.
//
// An event without _id gets one that is made of what is in it; a further one that is equal has a number behind. An error names the
// line.
func ReadEvents(path string, stdin io.Reader) ([]map[string]any, error) {
	if path == "-" {
		return readEvents("standard input", stdin)
	}
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, tasks.WithHint(nil, "check the path", "there is no file %s", path)
	case err != nil:
		return nil, tasks.WithHint(err, "check the path, and the rights of this user", "cannot open %s", path)
	}
	defer f.Close()
	return readEvents(path, f)
}

// DocumentsOf makes documents of events, for NewEvents.
func DocumentsOf(events []map[string]any) []docsearch.Document {
	docs := make([]docsearch.Document, len(events))
	for i, e := range events {
		d := docsearch.Document{Source: make(map[string]any, len(e))}
		for name, v := range e {
			switch name {
			case "_id":
				d.ID = document.Text(v)
			case "_index":
				d.Index = document.Text(v)
			default:
				d.Source[name] = v
			}
		}
		docs[i] = d
	}
	return docs
}

// eventReader reads events from JSON, and knows the line that it is at.
type eventReader struct {
	name   string
	lines  *lineCounter
	json   *json.Decoder
	events []map[string]any
	ids    map[string]int // how many events have had this id made for them
}

func readEvents(name string, r io.Reader) ([]map[string]any, error) {
	plain, end, err := decompress(r)
	if err != nil {
		return nil, tasks.WithHint(err, "is the file whole?", "%s cannot be decompressed", name)
	}
	defer end()
	e := &eventReader{name: name, lines: &lineCounter{r: plain}, ids: map[string]int{}}
	e.json = json.NewDecoder(e.lines)
	e.json.UseNumber()
	for {
		var v any
		err := e.json.Decode(&v)
		if errors.Is(err, io.EOF) {
			return e.events, nil
		}
		if err != nil {
			return nil, e.broken(err)
		}
		if err := e.take(v); err != nil {
			return nil, e.at(e.lines.line(e.json.InputOffset()), err)
		}
	}
}

// broken says where JSON stops to be JSON.
func (e *eventReader) broken(err error) error {
	at := e.json.InputOffset()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at = syntax.Offset
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		at, err = e.lines.read, errors.New("the file ends in the middle of a value")
	}
	return e.at(e.lines.line(at), err)
}

func (e *eventReader) at(line int, err error) error {
	return tasks.WithHint(err, "a file of events has a JSON object on each line, a list of objects, or a saved answer {\"hits\": {\"hits\": [...]}}", "%s, line %d", e.name, line)
}

// take takes what stands for one event, or for several.
func (e *eventReader) take(v any) error {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			if _, isList := x.([]any); isList {
				return errors.New("a list within a list is no event")
			}
			if err := e.take(x); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		if outer, ok := v["hits"].(map[string]any); ok {
			if hits, ok := outer["hits"].([]any); ok {
				return e.take(hits)
			}
		}
		return e.add(v)
	}
	return fmt.Errorf("%s is no event", document.Text(v))
}

// add adds one event.
func (e *eventReader) add(doc map[string]any) error {
	if inner, ok := doc["_source"].(map[string]any); ok {
		for _, name := range []string{"_id", "_index"} {
			if v, ok := doc[name]; ok {
				inner[name] = v
			}
		}
		doc = inner
	}
	if len(e.events) == MaxEvents {
		return fmt.Errorf("there are more than %d events", MaxEvents)
	}
	if id, ok := doc["_id"]; ok {
		doc["_id"] = document.Text(id)
	} else {
		b, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		id := hex.EncodeToString(sum[:10])
		if e.ids[id]++; e.ids[id] > 1 {
			id += "-" + strconv.Itoa(e.ids[id])
		}
		doc["_id"] = id
	}
	e.events = append(e.events, doc)
	return nil
}

// decompress looks at the first bytes, whatever the name of the file says.
func decompress(r io.Reader) (plain io.Reader, end func(), err error) {
	b := bufio.NewReader(r)
	head, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(b)
		return z, func() {}, err
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")): // a mark of UTF-8, which JSON does not have
		_, err = b.Discard(3)
		return b, func() {}, err
	}
	return b, func() {}, nil
}

// lineCounter remembers where lines end in what has been read.
type lineCounter struct {
	r    io.Reader
	read int64
	ends []int64 // offsets behind each line end
}

// Read implements io.Reader.
func (l *lineCounter) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	for i, c := range b[:n] {
		if c == '\n' {
			l.ends = append(l.ends, l.read+int64(i)+1)
		}
	}
	l.read += int64(n)
	return n, err
}

// line returns the number of the line, from 1, that the byte before an offset is in.
func (l *lineCounter) line(offset int64) int {
	n := 1
	for _, end := range l.ends {
		if end >= offset {
			break
		}
		n++
	}
	return n
}
