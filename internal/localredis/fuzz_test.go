package localredis

import (
	"bytes"
	"encoding/gob"
	"io"
	"log/slog"
	"math"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// loaded is a database that has read a snapshot file, and whether the file was set aside.
func loaded(t *testing.T, content []byte, now time.Time) (e *inProcess, aside bool) {
	t.Helper()
	e = &inProcess{dir: t.TempDir(), log: slog.New(slog.NewTextHandler(io.Discard, nil)), redis: miniredis.NewMiniRedis()}
	if err := os.WriteFile(snapshotPath(e.dir), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.load(now); err != nil {
		t.Fatalf("the queue does not begin: %v", err)
	}
	_, err := os.Stat(snapshotPath(e.dir))
	if aside = err != nil; aside && len(e.redis.Keys()) > 0 {
		t.Errorf("the file was set aside, and there are the keys %q", e.redis.Keys())
	}
	return e, aside
}

// saved writes what a database has to its file, as it is written while it serves, and returns the file.
func saved(t *testing.T, e *inProcess) []byte {
	t.Helper()
	if err := e.redis.StartAddr("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer e.redis.Close()
	e.client = redis.NewClient(&redis.Options{Addr: e.redis.Addr(), PoolSize: 1})
	defer e.client.Close()
	if err := e.save(""); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(snapshotPath(e.dir))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// fileOf is the file of a snapshot.
func fileOf(t testing.TB, s snapshot) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(s); err != nil {
		t.Fatal(err)
	}
	return append(checksum(b.Bytes()), b.Bytes()...)
}

// keysOf are the keys of a file that was written, without their ends.
func keysOf(t *testing.T, content []byte) []savedKey {
	t.Helper()
	s, err := decodeSnapshot(content)
	if err != nil {
		t.Fatalf("what was written is damaged: %v", err)
	}
	for i := range s.Keys {
		s.Keys[i].Expires = 0
	}
	return s.Keys
}

// FuzzAnySnapshotIsTheQueueThatWasWrittenOrDamaged holds that the queue begins with any file: with what was written into it, however often it
// is written and read, or, where the file is damaged, with nothing, and the file set aside. A small file makes no large queue.
func FuzzAnySnapshotIsTheQueueThatWasWrittenOrDamaged(f *testing.F) {
	seal := func(s snapshot) []byte { return fileOf(f, s)[32:] }
	for _, k := range []savedKey{
		{Name: "s", Type: "string", Values: []string{"\x00\xff\r\n"}}, {Name: "e", Type: "string", Values: []string{""}, Expires: math.MaxInt64}, {Name: "h", Type: "hash", Values: []string{"a", "1", "b", ""}},
		{Name: "l", Type: "list", Values: []string{"3", "1", "1"}}, {Name: "t", Type: "set", Values: []string{"a", "z"}}, {Name: "z", Type: "zset", Values: []string{"m", "1.25", "t", "1753000000.123"}},
		{Name: "x", Type: "stream", Entries: []savedEntry{{ID: "5-1", Values: []string{"k", "v"}}, {ID: "5-2", Values: []string{"k", ""}}}},
		// What nothing here writes.
		{Name: "s", Type: "string"}, {Name: "h", Type: "hash", Values: []string{"a"}}, {Name: "z", Type: "zset", Values: []string{"a"}}, {Name: "z", Type: "zset", Values: []string{"a", "NaN"}}, {Name: "l", Type: "list"},
		{Name: "x", Type: "stream", Entries: []savedEntry{{ID: "*", Values: []string{"k"}}}}, {Name: "", Type: "?", Values: []string{"a"}}, {Name: "s", Type: "string", Values: []string{"a"}, Expires: -1},
	} {
		f.Add(seal(snapshot{snapshotVersion, []savedKey{k}}), true, k.Name, 0.0)
		f.Add(seal(snapshot{snapshotVersion, []savedKey{k, k}}), true, k.Name, 1e300)
	}
	f.Add(seal(snapshot{Version: 2}), true, "\xff", 1753000000.1234567)
	f.Add(fileOf(f, snapshot{Version: snapshotVersion}), false, "", math.Inf(1))
	f.Add([]byte("short"), false, "a", -1e-300)
	f.Fuzz(func(t *testing.T, content []byte, sealed bool, text string, score float64) {
		if sealed { // else hardly any file comes as far as to be read
			content = append(checksum(content), content...)
		}
		now := time.Now()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		e, aside := loaded(t, content, now)
		runtime.ReadMemStats(&after)
		if made := after.TotalAlloc - before.TotalAlloc; made > 16<<20+1000*uint64(len(content)) {
			t.Errorf("%d bytes made %d", len(content), made)
		}
		if !aside {
			first := saved(t, e)
			e, aside = loaded(t, first, now)
			if second := saved(t, e); aside || !reflect.DeepEqual(keysOf(t, first), keysOf(t, second)) {
				t.Errorf("written and read again, %+v is %+v", keysOf(t, first), keysOf(t, second))
			}
		}
		if score != score {
			return
		}
		want := []savedKey{
			{Name: "hash" + text, Type: "hash", Values: []string{"f" + text, text}},
			{Name: "list" + text, Type: "list", Values: []string{text, "", text}},
			{Name: "set" + text, Type: "set", Values: []string{text}},
			{Name: "stream" + text, Type: "stream", Entries: []savedEntry{{ID: "0-1", Values: []string{text, text}}, {ID: "9-0", Values: []string{"", text}}}},
			{Name: "string" + text, Type: "string", Values: []string{text}},
			{Name: "zset" + text, Type: "zset", Values: []string{text, strconv.FormatFloat(score, 'g', -1, 64)}},
		}
		e, aside = loaded(t, fileOf(t, snapshot{snapshotVersion, want}), now)
		got := keysOf(t, saved(t, e))
		if n := len(want) - 1; !aside && len(got) == len(want) && len(got[n].Values) == 2 {
			if x, err := strconv.ParseFloat(got[n].Values[1], 64); err == nil && x == score {
				got[n].Values[1] = want[n].Values[1] // the same number may be written in two ways
			}
		}
		if aside || !reflect.DeepEqual(got, want) {
			t.Errorf("written was %+v, read is %+v", want, got)
		}
	})
}
