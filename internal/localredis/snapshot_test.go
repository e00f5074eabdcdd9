package localredis_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/localredis"
)

// awaitSnapshot returns when a word stands in the snapshot of a folder; a snapshot is written within about a second.
func awaitSnapshot(t *testing.T, dir, word string) {
	t.Helper()
	ctx := context30(t)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		content, err := os.ReadFile(filepath.Join(dir, "snapshot.gob"))
		if err == nil && strings.Contains(string(content), word) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no snapshot with %q (%v)", word, err)
		case <-tick.C:
		}
	}
}

func TestARedisInMemoryKeepsEveryTypeAcrossARestart(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	o := localredis.Options{Dir: dir, Mode: localredis.InProcess}
	s := start(t, o)
	c := dial(t, s)
	ctx := t.Context()
	binary := string([]byte{0, 1, 255, '\r', '\n', 200})
	p := c.Pipeline()
	p.Set(ctx, "string", binary, 0)
	p.Set(ctx, "empty", "", 0)
	p.Set(ctx, "ending", "x", time.Hour)
	p.HSet(ctx, "hash", "b", "2", "a", binary, "empty", "")
	p.RPush(ctx, "list", "3", "1", binary, "1")
	p.SAdd(ctx, "set", "z", "a", binary)
	p.ZAdd(ctx, "zset", redis.Z{Score: 1.25, Member: "m"}, redis.Z{Score: -1e300, Member: binary}, redis.Z{Score: 1753000000.123, Member: "t"})
	p.XAdd(ctx, &redis.XAddArgs{Stream: "stream", ID: "5-1", Values: []string{"k", binary, "l", ""}})
	p.XAdd(ctx, &redis.XAddArgs{Stream: "stream", ID: "5-2", Values: []string{"k", "v"}})
	if _, err := p.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	before := read(t, c)
	closeNow(t, s)
	s = start(t, o)
	c = dial(t, s)
	if after := read(t, c); !reflect.DeepEqual(before, after) {
		t.Errorf("before the restart\n%q\nafter\n%q", before, after)
	}
	if ttl := c.PTTL(ctx, "ending").Val(); ttl <= 59*time.Minute || ttl > time.Hour {
		t.Errorf("an hour became %s", ttl)
	}
	if ttl := c.PTTL(ctx, "string").Val(); ttl != -1 {
		t.Errorf("a key that does not end now ends in %s", ttl)
	}
	if err := c.XAdd(ctx, &redis.XAddArgs{Stream: "stream", ID: "5-2", Values: []string{"k", "v"}}).Err(); err == nil {
		t.Error("the stream forgot its last id")
	}
}

// read returns all that is in a database, by key.
func read(t *testing.T, c *redis.Client) map[string]any {
	t.Helper()
	ctx := t.Context()
	got := map[string]any{
		"string": c.Get(ctx, "string").Val(),
		"empty":  c.Get(ctx, "empty").Val(),
		"ending": c.Get(ctx, "ending").Val(),
		"hash":   c.HGetAll(ctx, "hash").Val(),
		"list":   c.LRange(ctx, "list", 0, -1).Val(),
		"set":    c.SMembersMap(ctx, "set").Val(),
		"zset":   c.ZRangeWithScores(ctx, "zset", 0, -1).Val(),
		"stream": c.XRange(ctx, "stream", "-", "+").Val(),
		"keys":   c.DBSize(ctx).Val(),
	}
	if got["keys"] != int64(8) {
		t.Fatalf("there are %v keys, want 8", got["keys"])
	}
	return got
}

func TestTimePassesInARedisInMemory(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	s := start(t, localredis.Options{Dir: dir, Mode: localredis.InProcess})
	c := dial(t, s)
	if err := c.Set(t.Context(), "short", "x", 500*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	ctx := context30(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for c.Exists(ctx, "short").Val() != 0 {
		select {
		case <-ctx.Done():
			t.Fatal("the key never ended")
		case <-tick.C:
		}
	}
}

func TestADamagedSnapshotIsSetAside(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	o := localredis.Options{Dir: dir, Mode: localredis.InProcess}
	s := start(t, o)
	set(t, dial(t, s), "a", "1")
	closeNow(t, s)
	path := filepath.Join(dir, "snapshot.gob")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content[:len(content)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	s = start(t, o)
	if n := dial(t, s).DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("there are %d keys, want an empty queue", n)
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
}
