package dedupe

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

var schedules = flag.Int("schedules", 200, "how many random schedules the model is held to; make soak plays 1000")

// The model: what a sync service and its clients do, in days and row numbers.
type (
	world struct {
		*lab
		r         *rand.Rand
		customers []*client
		rows      int // numbers given so far
		now       float64
		present   time.Time // what now is in the store
		told      bool      // the registry says when a first upload has ended
		onlyAdd   bool      // nobody deletes rows: what is deleted in the midst of a deletion comes back when that is stopped
	}
	client struct {
		id      string
		sets    []*upload // also those that are gone
		product []int     // rows that the client's own database has now
	}
	upload struct {
		id       string
		rows     map[int]bool
		synced   float64 // day
		complete bool    // the first upload has ended
		pending  []int   // rows that it still has to bring
		gone     bool
	}
)

const (
	modelCustomers = 50
	modelTemplates = 30 // more than the threshold
	modelDays      = 7.0
)

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{lab: newLab(t, nil), r: rand.New(rand.NewPCG(seed, 5)), now: 1000, present: time.Now().UTC(), told: seed%3 != 0}
	w.exec(`CREATE TABLE data_set (customer_id INTEGER, database_id TEXT, last_synced_at TEXT, complete INTEGER, PRIMARY KEY (customer_id, database_id))`)
	w.exec(`CREATE TABLE entity_row (customer_id INTEGER, database_id TEXT, guid TEXT, payload TEXT, PRIMARY KEY (customer_id, database_id, guid))`)
	w.rows = modelTemplates
	for i := range modelCustomers {
		c := &client{id: fmt.Sprint(i + 1)}
		for range 20 + w.r.IntN(120) {
			c.product = append(c.product, w.row())
		}
		w.customers = append(w.customers, c)
		w.register(c, true)
	}
	return w
}

func (w *world) row() int { w.rows++; return w.rows }

func guidOf(n int) string {
	r := rand.New(rand.NewPCG(uint64(n), 99))
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.Uint32()>>16, r.Uint32()>>20, r.Uint32()>>20, r.Uint64()>>16)
}

// register makes a new data set, and brings all rows of the client's database or the first of them.
func (w *world) register(c *client, whole bool) {
	u := &upload{id: fmt.Sprintf("db-%d", len(c.sets)+1), rows: map[int]bool{}, synced: w.now, complete: true}
	for i := range modelTemplates {
		u.rows[i] = true
	}
	bring := slices.Clone(c.product)
	if !whole {
		n := w.r.IntN(len(bring) + 1)
		u.pending, bring = bring[n:], bring[:n]
		u.complete = false
	}
	for _, n := range bring {
		u.rows[n] = true
	}
	c.sets = append(c.sets, u)
	w.exec("INSERT INTO data_set VALUES (?, ?, ?, ?)", c.id, u.id, w.stamp(u.synced), u.complete || !w.told)
	for n := range u.rows {
		w.insert(c, u, n)
	}
}

func (w *world) insert(c *client, u *upload, n int) {
	w.exec("INSERT INTO entity_row VALUES (?, ?, ?, ?)", c.id, u.id, guidOf(n), fmt.Sprint("row ", n))
}

// stamp turns a day of the model into a time: the model's present is the real one.
func (w *world) stamp(day float64) string {
	return w.present.Add(time.Duration((day-w.now)*24*float64(time.Hour)) - time.Second).Format("2006-01-02 15:04:05.000")
}

// pass lets days go by: everything moves into the past.
func (w *world) pass(days float64) {
	w.now += days
	w.present = time.Now().UTC()
	for _, c := range w.customers {
		for _, u := range c.alive() {
			w.exec("UPDATE data_set SET last_synced_at = ? WHERE customer_id = ? AND database_id = ?", w.stamp(u.synced), c.id, u.id)
		}
	}
}

func (c *client) alive() []*upload {
	return slices.DeleteFunc(slices.Clone(c.sets), func(u *upload) bool { return u.gone })
}

// sync brings what is pending, or what has changed in the client's database.
func (w *world) sync(c *client, u *upload) {
	switch {
	case len(u.pending) > 0:
		n := 1 + w.r.IntN(len(u.pending))
		for _, row := range u.pending[:n] {
			u.rows[row] = true
			w.insert(c, u, row)
		}
		u.pending = u.pending[n:]
		u.complete = len(u.pending) == 0
	default:
		for range w.r.IntN(8) {
			row := w.row()
			c.product = append(c.product, row)
			u.rows[row] = true
			w.insert(c, u, row)
		}
		if !w.onlyAdd && w.r.IntN(2) == 0 && len(c.product) > 10 {
			row := c.product[w.r.IntN(len(c.product))]
			if u.rows[row] {
				c.product = slices.DeleteFunc(c.product, func(n int) bool { return n == row })
				delete(u.rows, row)
				w.exec("DELETE FROM entity_row WHERE customer_id = ? AND database_id = ? AND guid = ?", c.id, u.id, guidOf(row))
			}
		}
	}
	u.synced = w.now
	w.exec("UPDATE data_set SET last_synced_at = ?, complete = ? WHERE customer_id = ? AND database_id = ?", w.stamp(u.synced), u.complete || !w.told, c.id, u.id)
}

// happen lets something happen to a client.
func (w *world) happen(c *client) {
	alive := c.alive()
	switch n := w.r.IntN(10); {
	case n < 4:
		w.sync(c, alive[len(alive)-1])
	case n == 4:
		w.sync(c, alive[w.r.IntN(len(alive))]) // an old installation wakes up
	case n == 5 && len(alive) < 5:
		w.register(c, true)
	case n == 6 && len(alive) < 5:
		w.register(c, false)
	case n == 7 && len(alive) < 5: // a database of its own, which began as a copy
		c.product = c.product[:len(c.product)*2/5]
		for range 30 + w.r.IntN(100) {
			c.product = append(c.product, w.row())
		}
		w.register(c, true)
	}
}

// snapshot is what the model knew when a deletion began.
func (w *world) snapshot() map[datasets.ID]map[int]bool {
	out := map[datasets.ID]map[int]bool{}
	for _, c := range w.customers {
		for _, u := range c.alive() {
			out[datasets.ID{Customer: c.id, Database: u.id}] = maps.Clone(u.rows)
		}
	}
	return out
}

// TestNothingGoesThatShouldStay lets clients sync, register again and stop half way, and analyses and deletes meanwhile, in many
// random schedules: fifty clients in a world, each with a schedule of its own.
func TestNothingGoesThatShouldStay(t *testing.T) {
	t.Parallel()
	for seed := range (*schedules + modelCustomers - 1) / modelCustomers {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, uint64(seed))
			var spared, gone, interrupted int
			for range 6 {
				for _, c := range w.customers {
					for range w.r.IntN(3) {
						w.happen(c)
					}
				}
				w.pass(w.r.Float64() * 6)
				s, g, i := w.cleanUp()
				spared, gone, interrupted = spared+s, gone+g, interrupted+i
			}
			if gone == 0 {
				t.Error("nothing was ever deleted: the model proves nothing")
			}
			t.Logf("%d data sets deleted, %d spared, %d syncs in the midst of deletions", gone, spared, interrupted)
		})
	}
}

// cleanUp analyses and deletes, with syncs in between, and compares what went with the model.
func (w *world) cleanUp() (spared, gone, interrupted int) {
	w.t.Helper()
	one := 1.0
	analysis := w.job(Kind, Spec{Store: "store", Layout: w.layout(), Rules: RuleSpec{MaxShare: &one, MaxShareCustomer: &one}})
	if _, err := w.run(analysis); err != nil {
		w.t.Fatal(err)
	}
	text := w.output(analysis, fileAnalysis)
	for _, c := range w.customers {
		if w.r.IntN(4) == 0 {
			w.happen(c)
		}
	}
	before, dump := w.snapshot(), w.dump("data_set", "entity_row")
	if w.r.IntN(2) == 0 {
		w.onlyAdd = true
		w.between = func() { // somebody syncs while data sets are being deleted
			if w.r.IntN(4) == 0 {
				c := w.customers[w.r.IntN(len(w.customers))]
				if left := w.standing(c); len(left) > 0 {
					u := left[w.r.IntN(len(left))]
					w.sync(c, u)
				}
				interrupted++
			}
		}
	}
	limit := w.r.IntN(30)
	deletion := w.job(KindDeletion, DeletionSpec{Job: analysis.ID, Store: "store", Digest: digestIn(w.t, text), Apply: ApplySpec{Limit: limit, Batch: 1 + w.r.IntN(100), Busy: 1}})
	_, err := w.run(deletion)
	w.between, w.onlyAdd = nil, false
	if err != nil {
		w.t.Fatal(err)
	}
	var went []*upload
	byOutcome := map[record.Outcome]int{}
	for _, d := range w.deletions(deletion) {
		byOutcome[d.Outcome]++
		c, u := w.find(d.Customer, d.Database)
		there := w.stands(c, u)
		if (d.Outcome == record.Deleted) == there {
			w.t.Errorf("%s/%s is said to be %s (%s), and is there: %v", d.Customer, d.Database, d.Outcome, d.Why, there)
		}
		if d.Outcome == record.Deleted {
			went = append(went, u)
			w.judge(c, u, d, before)
		}
		if d.Outcome == record.Spared && d.Why == "" {
			w.t.Errorf("%s/%s was spared, and nobody says why", d.Customer, d.Database)
		}
	}
	if len(went) > limit {
		w.t.Errorf("%d went, the limit is %d", len(went), limit)
	}
	for _, u := range went {
		u.gone = true
	}
	w.sameAsModel()
	if interrupted == 0 && w.r.IntN(2) == 0 {
		w.undo(deletion, went, dump)
	}
	return byOutcome[record.Spared] + byOutcome[record.Stopped], len(went), interrupted
}

func (w *world) layout() datasets.Layout {
	if w.told {
		return datasets.Layout{Registry: datasets.Registry{Complete: "complete"}}
	}
	return datasets.Layout{}
}

// standing lists the data sets of a client that the registry still has.
func (w *world) standing(c *client) []*upload {
	return slices.DeleteFunc(c.alive(), func(u *upload) bool { return !w.stands(c, u) })
}

func (w *world) stands(c *client, u *upload) bool {
	n := 0
	w.query(fmt.Sprintf("SELECT count(*) FROM data_set WHERE customer_id = %s AND database_id = '%s'", c.id, u.id), func(scan func(...any) error) error { return scan(&n) })
	return n > 0
}

func (w *world) find(customer, database string) (*client, *upload) {
	w.t.Helper()
	for _, c := range w.customers {
		for _, u := range c.sets {
			if c.id == customer && u.id == database {
				return c, u
			}
		}
	}
	w.t.Fatalf("%s/%s is none of the model's", customer, database)
	return nil, nil
}

// judge holds one deletion to the rules, by what the model knew when the deletion began.
func (w *world) judge(c *client, u *upload, d record.Deletion, before map[datasets.ID]map[int]bool) {
	w.t.Helper()
	id := datasets.ID{Customer: c.id, Database: u.id}
	rows := before[id]
	if w.now-u.synced < modelDays {
		w.t.Errorf("%v was synced %.2f days ago and went", id, w.now-u.synced)
	}
	_, witness := w.find(d.Customer, d.Witness)
	if witness.gone || !w.stands(c, witness) {
		w.t.Errorf("%v went, and its witness %s is gone too", id, d.Witness)
	}
	if witness.synced <= u.synced {
		w.t.Errorf("%v went by %s, which is not newer", id, d.Witness)
	}
	if w.told && !witness.complete {
		w.t.Errorf("%v went by %s, which is being uploaded", id, d.Witness)
	}
	own, shared, lost := 0, 0, 0
	for n := range rows {
		if n < modelTemplates {
			continue
		}
		own++
		if witness.rows[n] {
			shared++
		}
		elsewhere := false
		for _, other := range w.standing(c) {
			elsewhere = elsewhere || other != u && other.rows[n]
		}
		if !elsewhere {
			lost++
		}
	}
	if shared < 25 || float64(shared) < 0.9*float64(own) {
		w.t.Errorf("%v went by %s, which holds %d of its %d rows", id, d.Witness, shared, own)
	}
	if float64(lost) > 0.1*float64(own) {
		w.t.Errorf("%v went, and %d of its %d rows stand nowhere now", id, lost, own)
	}
	if d.Rows != int64(len(rows))+1 {
		w.t.Errorf("%v: %d rows are said to have gone, with the registry's; it had %d", id, d.Rows, len(rows))
	}
}

// sameAsModel compares the store with the model.
func (w *world) sameAsModel() {
	w.t.Helper()
	have := map[string]int{}
	w.query("SELECT customer_id || '/' || database_id, count(*) FROM entity_row GROUP BY 1", func(scan func(...any) error) error {
		var id string
		var n int
		err := scan(&id, &n)
		have[id] = n
		return err
	})
	for _, c := range w.customers {
		if len(c.alive()) == 0 {
			w.t.Errorf("customer %s has nothing left", c.id)
		}
		for _, u := range c.sets {
			want := len(u.rows)
			if u.gone {
				want = 0
			}
			if got := have[c.id+"/"+u.id]; got != want {
				w.t.Errorf("%s/%s has %d rows, want %d (gone: %v)", c.id, u.id, got, want, u.gone)
			}
		}
	}
}

// undo puts everything back and compares it with what there was.
func (w *world) undo(deletion tasks.Job, went []*upload, dump string) {
	w.t.Helper()
	found, err := w.run(w.job(KindRestoration, RestorationSpec{Job: deletion.ID, Store: "store"}))
	if err != nil || len(found) > 0 {
		w.t.Fatalf("undo: %v, %v", err, found)
	}
	if got := w.dump("data_set", "entity_row"); got != dump {
		w.t.Error("after undo the store is another than before")
	}
	for _, u := range went {
		u.gone = false
	}
}

// deletions reads a deletions file.
func (l *lab) deletions(job tasks.Job) []record.Deletion {
	l.t.Helper()
	r, err := record.NewDeletionReader(strings.NewReader(l.output(job, fileDeletions)))
	if err != nil {
		l.t.Fatal(err)
	}
	var out []record.Deletion
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			l.t.Fatal(err)
		}
		if line.Set != nil {
			out = append(out, *line.Set)
		}
	}
}

// digestIn reads an analysis to its end and returns its digest.
func digestIn(t testing.TB, text string) string {
	t.Helper()
	r, err := record.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return r.Digest()
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
