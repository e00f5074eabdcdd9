package fire

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/cmd/internal/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// listener hears what a check has to say instead of the test.
type listener struct {
	testing.TB
	said []string
}

func (l *listener) Helper() {}

func (l *listener) Errorf(format string, args ...any) {
	l.said = append(l.said, fmt.Sprintf(format, args...))
}

func (l *listener) Error(args ...any) { l.said = append(l.said, fmt.Sprint(args...)) }

// A check that finds nothing may have looked at nothing: it says of everything that can be wrong that it is.
func TestTheCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	town := New(t, Options{})
	town.Begin()
	town.Settle()
	town.Check()
	if t.Failed() {
		return
	}
	town.patience = time.Second
	rdb, ctx := town.Redis.Client(), t.Context()
	key := func(pattern string) string {
		keys, err := rdb.Keys(ctx, pattern).Result()
		if err != nil || len(keys) != 1 {
			t.Fatalf("keys like %s: %v, %v", pattern, keys, err)
		}
		return keys[0]
	}
	rows, sent := town.Jobs[0].ID, town.Jobs[1].ID
	run := func(statement string) func() error {
		return func() error { return rig.Execute(ctx, town.cloud, statement) }
	}
	for _, c := range []struct {
		name, says string
		do         func() error
	}{
		{"a row is lost", "lost=1", run("DELETE FROM invoice_line WHERE ctid = (SELECT min(ctid) FROM invoice_line)")},
		{"a row is there twice", "twice=1", run("INSERT INTO audit_log SELECT * FROM audit_log LIMIT 1")},
		{"a cell is another", "customer: ", run("UPDATE customer SET name = 'x' WHERE id = 1")},
		{"a batch is not in the ledger", "the ledger has", run("DELETE FROM stint_ledger WHERE ctid = (SELECT min(ctid) FROM stint_ledger WHERE rows_written > 0 AND job = '" + rows + "')")},
		{"a counter is wrong", "job records: it counts 241 read", func() error { return rdb.HIncrBy(ctx, key("*{"+sent+"}:stages"), "0:read", 1).Err() }},
		{"an event comes after the end", "stage_started of records", func() error {
			return rdb.XAdd(ctx, &redis.XAddArgs{Stream: key("*{" + sent + "}:events"), Values: []any{"type", "stage_started", "at", "1", "stage", "records"}}).Err()
		}},
		{"the end is told under two ids", `"succeeded" of rows came in 2 messages`, func() error {
			town.Hook.mu.Lock()
			defer town.Hook.mu.Unlock()
			town.Hook.told["other"] = &Told{ID: "other", Event: "succeeded", Job: rows, Times: 1}
			return nil
		}},
		{"the beginning is never told", `"started" of records came in 0 messages`, func() error {
			town.Hook.mu.Lock()
			defer town.Hook.mu.Unlock()
			for id, m := range town.Hook.told {
				if m.Event == "started" && m.Job == sent {
					delete(town.Hook.told, id)
				}
			}
			return nil
		}},
		{"a message is not signed", "webhooks: [", func() error {
			resp, err := scraper.Post(town.Hook.URL, "application/json", strings.NewReader("{}"))
			if err == nil {
				err = resp.Body.Close()
			}
			return err
		}},
		{"a tick is missing", "is there 0 times", func() error { return rdb.ZRemRangeByRank(ctx, key("*ticks:beat"), -6, -6).Err() }},
	} {
		heard := &listener{TB: t}
		town.T = heard
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		town.Check()
		if !strings.Contains(strings.Join(heard.said, "\n"), c.says) {
			t.Errorf("%s: it says %q, and nothing of %q", c.name, heard.said, c.says)
		}
	}
	town.T = t
	town.End()
}

func TestAJobThatStandsStillIsSaidToDoSo(t *testing.T) {
	t.Parallel()
	town := New(t, Options{Rows: 2_000})
	town.Begin()
	for _, m := range town.Of("worker") {
		m.hurt = true // nobody starts them again
		m.P.Kill()
	}
	town.patience = 2 * time.Second
	heard := &quitter{listener: listener{TB: t}}
	town.T = heard
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		town.Settle()
	}()
	<-done
	if s := strings.Join(heard.said, " "); !strings.Contains(s, "stands still") || !strings.Contains(s, "out ") {
		t.Errorf("it says %q", s)
	}
}

// quitter is a listener whose test ends where it fails.
type quitter struct{ listener }

func (q *quitter) Fatalf(format string, args ...any) {
	q.Errorf(format, args...)
	panic("the test ends here")
}

func TestKeysAreToldByKind(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"stint:{a1b2}":              "job",
		"stint:{a1b2}:ready:0":      "job ready",
		"stint:{webhooks}:d:17":     "webhooks d",
		"stint:{fleet}:worker:x":    "fleet worker",
		"stint:audit":               "stint audit",
		"stint:idem:00ff":           "stint idem",
		"asynq:{default.p2}:t:a:1":  "asynq t",
		"asynq:{default.p2}:active": "asynq active",
		"asynq:queues":              "asynq queues",
	} {
		if got := kindOfKey(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}
