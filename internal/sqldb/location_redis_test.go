package sqldb_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

func TestARedisIsAPlaceForIDsAndNoDatabase(t *testing.T) {
	t.Parallel()
	same := [][]string{
		{"redis://localhost", "redis://localhost:6379/0", "redis://me:secret@LOCALHOST:6379", "rediss://localhost/"},
		{"redis://localhost/1"},
		{"redis://localhost:6380"},
		{"redis://a:1?addr=b:2&addr=c", "redis://b:2?addr=c:6379&addr=a:1"},
		{"redis://a:1?master_name=m"},
		{"unix:///run/redis.sock", "unix:///run/redis.sock?db="},
		{"unix:///run/redis.sock?db=3"},
		{"redis://[::1]:6379/0", "redis://[::1]"},
	}
	seen := map[string]int{}
	for i, urls := range same {
		for _, url := range urls {
			at, err := sqldb.ParseURL(url)
			if err != nil {
				t.Fatalf("%s: %v", url, err)
			}
			if j, there := seen[at.ID()]; there && j != i || !there && url != urls[0] {
				t.Errorf("%s is taken for another place", url)
			}
			seen[at.ID()] = i
			if at.IsDatabase() || at.Redis() != url || at.Dialect != sqldb.Redis {
				t.Errorf("%s is %+v", url, at)
			}
			if text := fmt.Sprintf("%v %#v %s", at, at, at.Redacted()); strings.Contains(text, "secret") {
				t.Errorf("the password is in %s", text)
			}
		}
	}
	for url, want := range map[string]string{"redis:": "names no host", "redis:///1": "names no host", "redis://h/x": "is no number", "redis://h/-1": "is no number",
		"redis://:se cret@h": "cannot be read", "unix:": "names no socket"} {
		if _, err := sqldb.ParseURL(url); err == nil || !strings.Contains(err.Error(), want) || tasks.HintOf(err) == "" || strings.Contains(err.Error(), "cret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if at, err := sqldb.ParseURL("sqlite:x.db"); err != nil || at.Redis() != "" {
		t.Errorf("an SQLite file is a Redis: %v", err)
	}
	if _, err := sqldb.ParseURL("reddis://h"); err == nil || !strings.Contains(tasks.HintOf(err), "did you mean redis") {
		t.Errorf("a typo: %v", err)
	}
}
