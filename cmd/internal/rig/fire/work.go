package fire

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/client/webhook"
	"github.com/stint-run/stint/cmd/internal/rig"
)

// Job is something that the town was asked to do.
type Job struct {
	Name string
	ID   string
	Rows int64 // that it reads
	Runs int   // how often it was submitted

	args []string
}

// records is how many go to the API.
const records = 240

// Begin submits the work of the town: the sooner it is faced with faults, the better.
func (t *Town) Begin() {
	t.T.Helper()
	t.began = time.Now()
	t.Jobs = append(t.Jobs, &Job{Name: "rows", Rows: t.source.Rows, args: []string{"migrate", "--from", "legacy", "--to", "cloud", "--tenant", "acme", "--chunk-rows", fmt.Sprint(t.O.Rows / 60),
		"--batch-rows", fmt.Sprint(t.O.Rows / 240), "--window", "6", "--wait=false"}})
	t.Jobs = append(t.Jobs, &Job{Name: "records", Rows: records, args: []string{"migrate", t.recordPlan(), "--tenant", "umbrella", "--wait=false"}})
	if t.O.Maria {
		t.Jobs = append(t.Jobs, &Job{Name: "goods", Rows: mariaRows, args: []string{"migrate", "--from", "maria", "--to", "cloud", "--tenant", "hooli", "--chunk-rows", "60", "--batch-rows", "20", "--window", "6", "--wait=false"}})
	}
	for _, j := range t.Jobs {
		if err := t.submit(j, time.Minute); err != nil {
			t.T.Fatal(err)
		}
	}
}

// submit says a job's command, for the first time or again.
func (t *Town) submit(j *Job, limit time.Duration) error {
	out, err := t.command(limit, j.args...)
	if err != nil {
		return err
	}
	var answer struct{ ID string }
	if err := json.Unmarshal(out, &answer); err != nil {
		return fmt.Errorf("%w in %s", err, out)
	}
	if j.ID != "" && j.ID != answer.ID {
		return fmt.Errorf("job %s, submitted again, is %s and no more %s", j.Name, answer.ID, j.ID)
	}
	j.ID = answer.ID
	j.Runs++
	return nil
}

// recordSource makes the file that the records come from.
func (t *Town) recordSource() string {
	t.T.Helper()
	file := filepath.Join(t.T.TempDir(), "records.db")
	if err := rig.Execute(context.Background(), "sqlite:"+file, "CREATE TABLE record (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
		fmt.Sprintf("INSERT INTO record WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i, 'Record ' || i FROM n", records)); err != nil {
		t.T.Fatal(err)
	}
	return file
}

// recordPlan writes the plan that sends the records.
func (t *Town) recordPlan() string {
	t.T.Helper()
	file := filepath.Join(t.R.Dir, "records.yaml")
	if err := os.WriteFile(file, []byte(recordText("")), 0o600); err != nil {
		t.T.Fatal(err)
	}
	return file
}

// recordText is a plan that sends the records, under names with a prefix.
func recordText(prefix string) string {
	return "name: records\nsource: lists\ntarget: api\nstate: cloud\npolicy: {retries: 100}\nwindow: 6\nstages:\n  - name: records\n    from: {table: record}\n" +
		"    chunk: {rows: 4}\n    map: {legacy_id: '\"" + prefix + "\" + text(id)', name: name}\n    to: {http: {path: /v1/records/batch, batch: 2, partial: {items: $.results, status: $.status, id: $.id, error: $.error, match: $.legacy_id}, timeout: 2s}}\nverify: {rows: none}\n"
}

// hookSecret signs what a town's webhook is told.
const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// Told is one message that has arrived, however often.
type Told struct {
	ID, Event, Job string
	Epoch          int64
	Times          int
}

// Hook is a receiver of webhooks.
type Hook struct {
	URL string

	mu     sync.Mutex
	secret webhook.Secret
	told   map[string]*Told
	wrong  []string
	random *rand.Rand
}

func newHook(t testing.TB) *Hook {
	t.Helper()
	secret, err := webhook.ParseSecret(hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	h := &Hook{secret: secret, told: map[string]*Told{}, random: rand.New(rand.NewPCG(1, 1))}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	h.URL = s.URL + "/hook"
	return h
}

// ServeHTTP takes a message, and answers one in ten with an error after it has taken it.
func (h *Hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest) // it was cut off: nobody hears this
		return
	}
	var m struct {
		ID, Event string
		Job       *struct {
			ID    string
			Epoch int64
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	// The clock of the sender may be days off: its signature is looked at as of its own time.
	if err := webhook.Verify(h.secret, r.Header, body, timestamp(r)); err != nil {
		h.wrong = append(h.wrong, err.Error())
	}
	if err := json.Unmarshal(body, &m); err != nil || m.Job == nil || m.ID != r.Header.Get("webhook-id") {
		h.wrong = append(h.wrong, fmt.Sprintf("%v in %s", err, body))
		return
	}
	if h.told[m.ID] == nil {
		h.told[m.ID] = &Told{ID: m.ID, Event: m.Event, Job: m.Job.ID, Epoch: m.Job.Epoch}
	}
	h.told[m.ID].Times++
	if h.random.IntN(10) == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// timestamp is when a message says that it was sent.
func timestamp(r *http.Request) time.Time {
	var seconds int64
	if _, err := fmt.Sscan(r.Header.Get("webhook-timestamp"), &seconds); err != nil {
		return time.Now()
	}
	return time.Unix(seconds, 0)
}

// All lists the messages that have arrived, and what was wrong with some.
func (h *Hook) All() (list []Told, wrong []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.told {
		list = append(list, *m)
	}
	return list, h.wrong
}
