package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/datasets/datasetstest"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe"
	"github.com/stint-run/stint/tasks/dedupe/decide"
	"github.com/stint-run/stint/tasks/dedupe/record"
	"github.com/stint-run/stint/worker"
)

// works starts a worker of the house's families, and a scheduler.
func (h *house) works(families []tasks.Family) {
	h.t.Helper()
	s := scheduler.New(h.rdb, h.st, scheduler.Options{Log: h.log.Logger()})
	s.Start()
	w := worker.New(h.rdb, h.st, worker.Options{Concurrency: 4, Families: families, Log: h.log.Logger()})
	if err := w.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), enginetest.Patience)
		defer cancel()
		if _, err := w.Stop(ctx); err != nil {
			h.t.Error(err)
		}
		s.Stop()
	})
}

// newDedupeHouse starts a house whose worker finds duplicates in a store in SQLite, which has some. It returns the store as well.
func newDedupeHouse(t *testing.T) (*house, *sqldb.DB) {
	t.Helper()
	at, err := sqldb.ParseURL("sqlite:" + filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(t.Context(), at, sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := datasetstest.Generate(t.Context(), db, datasetstest.Spec{Seed: 9, Customers: 12, Rows: 3000, Payload: 10}); err != nil {
		t.Fatal(err)
	}
	folder, err := artifact.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	families := dedupe.Families(dedupe.Options{Version: "test", Artifacts: func() (artifact.Store, error) { return folder, nil },
		Open: func(_ context.Context, name string, _ bool) (*sqldb.DB, error) {
			if name != "sync" {
				return nil, tasks.Permanent(fmt.Errorf("there is no connection %s", name))
			}
			return db, nil
		}})
	h := newHouse(t, func(o *api.Options) { o.Families = append(o.Families, families...) })
	h.works(families)
	return h, db
}

func rowsIn(t *testing.T, db *sqldb.DB) (n int) {
	t.Helper()
	if err := db.SQL.QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM data_set) + (SELECT count(*) FROM entity_row) + (SELECT count(*) FROM entity_note)").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

var digestField = regexp.MustCompile(`name="digest" value="(sha256:[0-9a-f]{64})"`)

func shows(text string) func(*page) bool {
	return func(p *page) bool { return strings.Contains(p.Body, text) }
}

func TestAnAnalysisIsMadeApprovedCarriedOutAndUndone(t *testing.T) {
	t.Parallel()
	h, db := newDedupeHouse(t)
	all := rowsIn(t, db)
	b := h.browser(h.token("operator"))
	b.get("/dedupe").shows(t, "Nothing was analysed yet.", "New analysis")
	form := b.get("/dedupe/new")
	once := regexp.MustCompile(`name="once" value="([^"]+)"`).FindStringSubmatch(form.Body)[1]
	fields := url.Values{"once": {once}, "store": {"sync"}, "threshold": {"25"}, "containment": {"0.9"}, "recency_days": {"7"}}
	made := b.post("/dedupe/new", "/dedupe/new", fields)
	id := strings.TrimPrefix(made.Path, "/dedupe/")
	if !strings.HasPrefix(id, "ded-") {
		t.Fatalf("it leads to %s: %s", made.Path, made.Body)
	}
	if again := b.post("/dedupe/new", "/dedupe/new", fields); again.Path != made.Path {
		t.Errorf("the same form once more leads to %s", again.Path)
	}
	at := "/dedupe/" + id
	whole := func(p *page) bool { return shows("Approve and delete")(p) && shows("analysis.csv")(p) } // the files come last
	p := b.await(at, "the analysis", whole)
	p.shows(t, "In short", "a newer, whole copy stays", "may go", "stand in", "Who loses most", "analysis.csv", "GUIDs were left out of all comparisons", "25 GUIDs or more", "within 7 days")
	digest := digestField.FindStringSubmatch(p.Body)
	if digest == nil {
		t.Fatal("the form does not say what was seen")
	}
	goes := b.get(at + "?decision=delete")
	goes.shows(t, "which was synced")
	goes.hides(t, "the only one of its customer</td>", "has no other data set")
	file := b.get(at + "/files/analysis.jsonl")
	if sum := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(file.Body))); sum != digest[1] || !strings.HasPrefix(file.Head.Get("Content-Disposition"), "attachment") {
		t.Errorf("the file is %s, the page says %s; %v", sum, digest[1], file.Head)
	}
	b.await("/dedupe", "the list", shows(`href="/dedupe/`+id+`"`)).shows(t, "succeeded", "sqlite:")

	for said, f := range map[string]url.Values{
		"how many data sets may go?": {"digest": {digest[1]}, "sure": {"yes"}}, "is no number of data sets": {"limit": {"ten"}, "digest": {digest[1]}, "sure": {"yes"}},
		"yes, delete” as well": {"limit": {"1"}, "digest": {digest[1]}}, "which analysis was seen": {"limit": {"1"}, "sure": {"yes"}},
		"not the one that was seen": {"limit": {"1"}, "digest": {"sha256:" + strings.Repeat("0", 64)}, "sure": {"yes"}},
	} {
		b.post(at, at+"/apply", f).shows(t, said, `role="alert"`)
	}
	if list, err := h.client.Jobs(t.Context(), client.Filter{Kind: dedupe.KindDeletion}); err != nil || len(list.Jobs) != 0 {
		t.Fatalf("something was approved by a form that is wrong: %+v %v", list, err)
	}
	approval := url.Values{"limit": {"2"}, "digest": {digest[1]}, "sure": {"yes"}, "newest": {""}, "recency_days": {"8"}}
	gone := b.post(at, at+"/apply", approval)
	if twice := b.send(at+"/apply", approval); twice.Path != gone.Path { // post has put the secret in
		t.Errorf("a second click leads to %s, and not to %s", twice.Path, gone.Path)
	}
	approval.Set("limit", "3")
	b.send(at+"/apply", approval).shows(t, "since you looked, the deletion del-", `role="alert"`)
	gone.shows(t, "Approved: at most 2 data sets may go.", "approved by operator")
	del := strings.TrimPrefix(gone.Path, "/dedupe/deletions/")
	done := b.await(gone.Path, "the deletion", shows("Put back all that is gone"))
	done.shows(t, "Data sets gone", "gone, and archived", "over the limit", "entity_row: ", "deletions.jsonl", `href="`+at+`"`)
	j, err := h.client.Job(t.Context(), del)
	if err != nil || j.State != tasks.Succeeded || j.Labels[wire.LabelApprovedBy] != "operator" || !strings.Contains(string(j.Spec), `"limit":2,"recency_days":8`) || !strings.Contains(string(j.Spec), digest[1]) {
		t.Fatalf("%+v %v", j, err)
	}
	if n := rowsIn(t, db); n >= all {
		t.Fatalf("%d rows before, %d after", all, n)
	}
	b.get(gone.Path+"?outcome=deleted").shows(t, "deleted alone", "as the analysis said")
	b.await(at, "the deletion", shows(`href="/dedupe/deletions/`+del+`"`))
	viewer := h.browser(h.token("viewer"))
	viewer.get(at).hides(t, at+"/apply", at+"/again")
	viewer.get(gone.Path).hides(t, "/undo", "Put back the chosen")

	undo := gone.Path + "/undo"
	b.post(gone.Path, undo, url.Values{"what": {"all"}}).shows(t, "Nothing was put back")
	b.post(gone.Path, undo, url.Values{"what": {"chosen"}, "sure": {"yes"}}).shows(t, "No data set is chosen")
	set := regexp.MustCompile(`name="set" value="([^"]+)"`).FindStringSubmatch(done.Body)
	if set == nil {
		t.Fatal("no data set can be chosen")
	}
	b.post(gone.Path, undo, url.Values{"what": {"chosen"}, "set": {set[1]}, "sure": {"yes"}}).shows(t, "It is being put back, by job res-")
	b.await(gone.Path, "the first restoration", func(p *page) bool {
		return strings.Contains(p.Body, ">res-") && strings.Contains(p.Body, "Put back all")
	})
	some := rowsIn(t, db)
	b.post(gone.Path, undo, url.Values{"what": {"all"}, "sure": {"yes"}}).shows(t, "It is being put back, by job res-")
	b.await(gone.Path, "the second restoration", func(p *page) bool {
		return strings.Count(p.Body, ">res-") == 2 && strings.Contains(p.Body, "Put back all")
	})
	if n := rowsIn(t, db); n != all || some >= all || some <= all-1000 && some == n {
		t.Errorf("%d rows before, %d with one of two back, %d at the end", all, some, n)
	}
	b.await("/dedupe", "what was put back", shows("Rows put back"))
	if next := b.post(at, at+"/again", nil); next.Path == at || !strings.HasPrefix(next.Path, "/dedupe/ded-") {
		t.Errorf("analysed again it leads to %s", next.Path)
	}
}

// shelf is a family of dedupe whose jobs do nothing, and have left files behind.
type shelf struct {
	enginetest.Family
	kind string

	mu    sync.Mutex
	quiet bool              // it does not keep digests
	files map[string][]byte // by job/name
}

func (f *shelf) Kind() string { return f.kind }

func (f *shelf) put(job, name string, text []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[job+"/"+name] = text
}

func (f *shelf) get(job, name string) ([]byte, tasks.Output, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, ok := f.files[job+"/"+name]
	o := tasks.Output{Name: name, Size: int64(len(text)), Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(text)), ContentType: "application/x-ndjson"}
	if f.quiet {
		o.Digest = ""
	}
	return text, o, ok
}

func (f *shelf) Outputs(_ context.Context, job tasks.Job) (list []tasks.Output, err error) {
	for _, name := range []string{dedupe.OutputAnalysis, dedupe.OutputDeletions} {
		if _, o, ok := f.get(job.ID, name); ok {
			list = append(list, o)
		}
	}
	return list, nil
}

func (f *shelf) OpenOutput(_ context.Context, job tasks.Job, name string) (io.ReadCloser, tasks.Output, error) {
	text, o, ok := f.get(job.ID, name)
	if !ok {
		return nil, tasks.Output{}, tasks.ErrNoOutput
	}
	return io.NopCloser(bytes.NewReader(text)), o, nil
}

// newShelfHouse starts a house whose dedupe jobs end at once, and leave behind what the test has put there.
func newShelfHouse(t *testing.T) (*house, map[string]*shelf) {
	t.Helper()
	kinds := map[string]*shelf{}
	var families []tasks.Family
	h := newHouse(t, func(o *api.Options) {
		for _, kind := range []string{dedupe.Kind, dedupe.KindDeletion, dedupe.KindRestoration} {
			kinds[kind] = &shelf{Family: enginetest.Family{Effects: o.Families[0].(*enginetest.Family).Effects}, kind: kind, files: map[string][]byte{}}
			families = append(families, kinds[kind])
		}
		o.Families = append(o.Families, families...)
	})
	h.works(families)
	return h, kinds
}

// does submits a job and waits for its end.
func (h *house) does(kind, key, spec string) string {
	h.t.Helper()
	done, err := h.client.Submit(h.t.Context(), key, wire.Submission{Kind: kind, Spec: []byte(spec)})
	if err != nil {
		h.t.Fatal(err)
	}
	enginetest.WaitState(h.t, h.st, done.ID, tasks.Succeeded)
	return done.ID
}

// analysisText writes an analysis of customers, each with a data set that goes and its witness, and one with a name of markup.
func analysisText(t *testing.T, job string, at time.Time, customers int, bound float64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := record.NewWriter(&b, record.Header{Job: job, At: at, Store: "sqlite:" + markupText, Entity: "entity_row", Tables: []string{"entity_row"}, Notes: []string{"a note " + markupText},
		Rules:     decide.Rules{Threshold: 25, Containment: 0.9, Recency: 7 * 24 * time.Hour, MaxShareCustomer: bound, MaxShare: bound, Now: at},
		Templates: record.Templates{Customers: 3, GUIDs: 1, List: []string{"guid-1"}, How: "How " + markupText}})
	for i := range customers {
		id := fmt.Sprintf("c%04d", i)
		if i == 0 {
			id = markupText
		}
		newer, older := at.Add(-30*24*time.Hour), at.Add(-60*24*time.Hour)
		c := decide.Customer{ID: id, Sets: []decide.Set{
			{Database: "new/" + fmt.Sprint(i), LastSync: &newer, Complete: true, Rows: 1000, GUIDs: 1000, Fingerprint: "a"}, {Database: "old/" + fmt.Sprint(i), LastSync: &older, Complete: true, Rows: 100, GUIDs: 100, Fingerprint: "b"}},
			Signatures: []decide.Signature{{Sets: []int{0}, GUIDs: 905}, {Sets: []int{0, 1}, GUIDs: 95}, {Sets: []int{1}, GUIDs: 5, Samples: []string{"only-" + fmt.Sprint(i)}}}}
		if err := w.Add(c, decide.Decide(c, decide.Rules{Threshold: 25, Containment: 0.9, Recency: 7 * 24 * time.Hour, MaxShareCustomer: bound, MaxShare: bound, Now: at})); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const shelfSpec = `{"store":"sync","layout":{"registry":{}},"rules":{},"stages":[1]}`

func TestAnAnalysisSaysWhyInPagesAndAllNamesAreText(t *testing.T) {
	t.Parallel()
	h, kinds := newShelfHouse(t)
	id := h.does(dedupe.Kind, "one", shelfSpec)
	text := analysisText(t, id, time.Now().Add(-time.Hour), 60, 0.9)
	kinds[dedupe.Kind].put(id, dedupe.OutputAnalysis, text)
	b := h.browser(h.token("operator"))
	at := "/dedupe/" + id
	p := b.get(at)
	p.shows(t, "60 data sets are copies", "6,000 rows become reusable", "300 of them stand in no data set that stays", "9.1 %", "guid-1", "sqlite:&lt;script&gt;", "a note &lt;script&gt;", "How &lt;script&gt;",
		"&lt;script&gt;alert(1)&lt;/script&gt;</a>/<wbr>new/0", "95.0 % of this one, 9.5 % of that", "only-0", "60 of 60 customers", `href="`+at+`?page=2#sets"`)
	p.hides(t, markupText, "c0030")
	two := b.get(at + "?page=2")
	two.shows(t, "51 and on", "c0030", "Before", "Next")
	two.hides(t, "only-0<")
	last := b.get(at + "?page=3")
	last.shows(t, "101 and on", "c0059")
	last.hides(t, ">Next</a>")
	goes := b.get(at + "?decision=delete&page=2")
	goes.shows(t, "old/59")
	goes.hides(t, "c0059</a>/<wbr>new/59")
	one := b.get(at + "?customer=c0007")
	one.shows(t, "Data sets of customer c0007", "old/7", "new/7", "Pairs of customer c0007", "What follows")
	one.hides(t, "c0008</a>/<wbr>", "c0006</a>/<wbr>")
	b.get(at+"?customer="+url.QueryEscape(markupText)).shows(t, "Data sets of customer &lt;script&gt;")
	b.get(at+"?customer=nobody").shows(t, "No data set is like that.")
	b.get(at+"?reason=newest").hides(t, "only-0<")
	b.get("/dedupe").shows(t, "6,000", "9.1 %")
}

func TestAnAnalysisThatMustNotBeCarriedOutHasNoFormForIt(t *testing.T) {
	t.Parallel()
	h, kinds := newShelfHouse(t)
	b := h.browser(h.token("operator"))
	for name, c := range map[string]struct {
		at    time.Time
		bound float64
		says  string
	}{"stopped": {time.Now(), 0.01, "Nothing of it may be carried out"}, "stale": {time.Now().Add(-48 * time.Hour), 0.9, "analyse again, and approve that"}} {
		id := h.does(dedupe.Kind, name, shelfSpec)
		kinds[dedupe.Kind].put(id, dedupe.OutputAnalysis, analysisText(t, id, c.at, 2, c.bound))
		p := b.get("/dedupe/" + id)
		p.shows(t, c.says)
		p.hides(t, "/apply")
	}
	id := h.does(dedupe.Kind, "damaged", shelfSpec)
	text := analysisText(t, id, time.Now(), 2, 0.9)
	kinds[dedupe.Kind].put(id, dedupe.OutputAnalysis, text[:len(text)-100])
	p := b.get("/dedupe/" + id)
	p.shows(t, "The analysis cannot be read")
	p.hides(t, "/apply")
	b.get("/dedupe").shows(t, id, "cut off")
	none := h.does(dedupe.Kind, "none", shelfSpec)
	b.get("/dedupe/"+none).shows(t, "It has left no analysis behind.")
	both := h.does(dedupe.Kind, "both", `{"store":"sync","apply":{"limit":1},"stages":[1]}`)
	kinds[dedupe.Kind].put(both, dedupe.OutputAnalysis, analysisText(t, both, time.Now(), 2, 0.9))
	p = b.get("/dedupe/" + both)
	p.shows(t, "Its own job has carried it out", `href="/dedupe/deletions/`+both+`"`)
	p.hides(t, "/apply")
}

func TestAnAnalysisThatHasChangedSinceItWasSeenIsNotCarriedOut(t *testing.T) {
	t.Parallel()
	for _, quiet := range []bool{false, true} {
		t.Run(fmt.Sprintf("quiet %v", quiet), func(t *testing.T) {
			t.Parallel()
			h, kinds := newShelfHouse(t)
			kinds[dedupe.Kind].quiet = quiet
			id := h.does(dedupe.Kind, "one", shelfSpec)
			kinds[dedupe.Kind].put(id, dedupe.OutputAnalysis, analysisText(t, id, time.Now().Add(-time.Hour), 2, 0.9))
			b := h.browser(h.token("operator"))
			at := "/dedupe/" + id
			seen := digestField.FindStringSubmatch(b.get(at).Body)[1]
			kinds[dedupe.Kind].put(id, dedupe.OutputAnalysis, analysisText(t, id, time.Now().Add(-time.Minute), 3, 0.9))
			b.post(at, at+"/apply", url.Values{"limit": {"1"}, "sure": {"yes"}, "digest": {seen}}).shows(t, "not the one that was seen", "Read the analysis again")
			now := digestField.FindStringSubmatch(b.await(at, "the other one", shows("3 data sets are copies")).Body)[1]
			if now == seen {
				t.Error("the page goes on with what was seen")
			}
			for role, want := range map[string]int{"viewer": http.StatusForbidden, "submitter": http.StatusForbidden} {
				other := h.browser(h.token(role))
				form := formSecret.FindStringSubmatch(other.get(at).Body)[1]
				if p := other.send(at+"/apply", url.Values{"form": {form}, "limit": {"1"}, "sure": {"yes"}, "digest": {now}}); p.Code != want {
					t.Errorf("a %s approves: %d", role, p.Code)
				}
			}
		})
	}
}

func TestADeletionTellsWhatWasSparedAndWhyAndWhatIsThereIsText(t *testing.T) {
	t.Parallel()
	h, kinds := newShelfHouse(t)
	id := h.does(dedupe.KindDeletion, "one", `{"job":"ded-1","store":"sync","apply":{"limit":3},"stages":[1]}`)
	var text bytes.Buffer
	w := record.NewDeletionWriter(&text, record.DeletionHeader{Job: id, Analysis: "ded-1", Digest: "d", At: time.Now(), Store: "sqlite:x", Limit: 3, RecencyDays: 7})
	now := time.Now()
	for _, x := range []record.Deletion{
		{Customer: "7/" + markupText, Database: "old", Outcome: record.Deleted, Witness: "new", Rows: 4711, Bytes: 99, Tables: map[string]int64{markupText: 4711}, Started: &now, Ended: &now, Archive: record.Archive{Prefix: "p", Parts: 2, Size: 2048, Digest: "x"}},
		{Customer: "8", Database: "old", Outcome: record.Spared, Why: "it was synced 3 minutes ago " + markupText, Witness: "new"},
		{Customer: "9", Database: "old", Outcome: record.OverLimit, Witness: "new"},
	} {
		if err := w.Add(x); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	kinds[dedupe.KindDeletion].put(id, dedupe.OutputDeletions, text.Bytes())
	b := h.browser(h.token("operator"))
	at := "/dedupe/deletions/" + id
	p := b.get(at)
	p.shows(t, "4,711", "2 KiB", "it was synced 3 minutes ago &lt;script&gt;", "spared", "checked again, and left alone", "over limit", "7/&lt;script&gt;", "1 min", `href="/dedupe/ded-1"`)
	p.hides(t, markupText)
	if n := strings.Count(p.Body, `name="set"`); n != 1 {
		t.Errorf("%d data sets can be chosen, want the one that is gone", n)
	}
	b.get(at+"?outcome=spared").hides(t, `name="set"`)
	set := regexp.MustCompile(`name="set" value="([^"]+)"`).FindStringSubmatch(p.Body)[1]
	back := b.post(at, at+"/undo", url.Values{"what": {"chosen"}, "set": {set}, "sure": {"yes"}})
	job := regexp.MustCompile(`by job (res-[a-z0-9]+)`).FindStringSubmatch(back.Body)
	if job == nil {
		t.Fatalf("nothing is put back: %s", back.Body)
	}
	j, err := h.client.Job(t.Context(), job[1])
	if err != nil || !strings.Contains(string(j.Spec), `"sets":[{"customer":"7/\u003cscript\u003ealert(1)\u003c/script\u003e","database":"old"}]`) {
		t.Errorf("%s %v", j.Spec, err)
	}
	if p := b.get("/dedupe/deletions/" + h.submit("other", 1)); p.Code != http.StatusNotFound {
		t.Errorf("a job that deletes nothing: %d", p.Code)
	}
	b.get("/dedupe").shows(t, id, "4,711", `href="/dedupe/ded-1"`)
}

func TestWhatIsTypedForAnAnalysisIsChecked(t *testing.T) {
	t.Parallel()
	h, _ := newShelfHouse(t)
	b := h.browser(h.token("submitter"))
	for said, f := range map[string]url.Values{"which store": {}, "a threshold of": {"store": {"x"}, "threshold": {"0"}}, "cannot be the containment": {"store": {"x"}, "containment": {"2"}}, "cannot be the recency days": {"store": {"x"}, "recency_days": {"NaN"}}} {
		f.Set("once", "x")
		p := b.post("/dedupe/new", "/dedupe/new", f)
		p.shows(t, `role="alert"`)
		if !strings.Contains(strings.ToLower(p.Body), said) {
			t.Errorf("%v does not say %q: %s", f, said, p.Body)
		}
	}
	p := b.post("/dedupe/new", "/dedupe/new", url.Values{"once": {"x"}, "store": {"sync"}, "containment": {"0.95"}, "threshold": {"30"}, "recency_days": {"14"}, "exempt": {"7, 12"}})
	j, err := h.client.Job(t.Context(), strings.TrimPrefix(p.Path, "/dedupe/"))
	if err != nil || !strings.Contains(string(j.Spec), `"rules":{"threshold":30,"containment":0.95,"recency_days":14,"exempt":["7","12"]}`) || strings.Contains(string(j.Spec), "apply") {
		t.Errorf("%+v %v", j, err)
	}
	v := h.browser(h.token("viewer"))
	v.get("/dedupe").hides(t, "New analysis")
	v.get("/dedupe/new").shows(t, "needs the role submitter")
}

func TestWhatIsKeptOfFilesIsBoundedAndMadeOnce(t *testing.T) {
	t.Parallel()
	c := newLately[int](2)
	made := 0
	get := func(name string, err error) (int, error) {
		return c.get(t.Context(), name, func() (int, error) { made++; return made, err })
	}
	for _, name := range []string{"a", "a", "b", "c", "c"} {
		if _, err := get(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	if made != 3 || len(c.kept) != 2 || len(c.order) != 2 {
		t.Errorf("%d were made, %d are kept", made, len(c.kept))
	}
	if n, err := get("a", nil); n != 4 || err != nil {
		t.Errorf("what was let go is not made again: %d %v", n, err)
	}
	if _, err := get("d", errors.New("no")); err == nil {
		t.Error("no error")
	}
	if n, err := get("d", nil); n != 6 || err != nil {
		t.Errorf("an error is kept: %d %v", n, err)
	}
}
