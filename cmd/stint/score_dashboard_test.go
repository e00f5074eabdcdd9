package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

// shots is where pictures of the pages go: go test ./cmd/stint -run Dashboard -shots ../../docs/screens
var shots = flag.String("shots", "", "the folder into which pictures of the dashboard go")

// axe looks for what keeps people from using a page; see testdata/axe/LICENSE.
//
//go:embed testdata/axe/axe.min.js
var axe string

// hostile is a text that does harm where it is taken for HTML.
const hostile = `<img src=x onerror=alert(1)><script>alert(2)</script>'"`

// stage is a stint with everything in it that pages can show: versions, a migration that runs for long, one that failed, alerts, an
// analysis of data sets, a build.
type stage struct {
	*rig.Rig
	server
	client  *client.Client
	secret  string
	running string // a migration that goes on until it is told otherwise
	failed  string
	done    string // a migration that has succeeded and has set rows aside
	strange string // one whose tables and rows have names that do harm as HTML
	alert   string
	dedupe  string
	// deletion carries that analysis out; play approves it.
	deletion string
	build    string
	log      string // one of its logs
	// repository is what it builds.
	repository string
	sync       string       // the database of data sets
	old        *rig.Process // a worker of the old version
	oldID      string
}

func setStage(t *testing.T) *stage {
	t.Helper()
	src := rig.Legacy(t, 20_000)
	dir := t.TempDir()
	sqlite := func(name string) string { return "sqlite:" + filepath.Join(dir, name) }
	s := &stage{Rig: rig.New(t, redistest.New(t), rig.Connection{Name: "legacy", URL: src.URL()}, rig.Connection{Name: "cloud", URL: sqlite("cloud.db")}, rig.Connection{Name: "other", URL: sqlite("other.db")},
		rig.Connection{Name: "third", URL: sqlite("third.db")}, rig.Connection{Name: "strange", URL: sqlite("strange.db")}, rig.Connection{Name: "copy", URL: sqlite("copy.db")}, rig.Connection{Name: "broken", URL: sqlite("<b>not there/x.db")}, rig.Connection{Name: "sync", URL: sqlite("sync.db")}, rig.Connection{Name: "logs", URL: sqlite("logs.db")})}
	s.repository = pushed(t, "hello-go")
	rules := filepath.Join(dir, "rules")
	write(t, filepath.Join(rules, "logins.yaml"), "name: logins\ntype: any\nsource: logs\nindex: logins\ntimestamp_field: at\ntimestamp_type: unix\nquery_key: name\nalert: chat\nescalate:\n- {after: 15m, to: [chat]}\n- {after: 1h, to: [chat], repeat: 1h}\n")
	s.Configure(fmt.Sprintf("alerts:\n  rules: %q\n  run_every: 1s\n  channels:\n    - {name: chat, type: debug}\nartifacts: {url: %q}\nbuilds:\n  environment: [PATH, GOCACHE]\n  repositories: ['%s']\n  targets: [{name: releases, type: folder, dir: %q}]\nwebhooks:\n  - {name: hook, url: 'http://127.0.0.1:9/<b>', private: true, secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}\n",
		rules, "file:"+filepath.Join(dir, "artifacts"), s.repository, filepath.Join(dir, "releases")))
	execute(t, sqlite("logs.db"), "CREATE TABLE logins (id INTEGER PRIMARY KEY, name TEXT, at INTEGER)")
	execute(t, sqlite("strange.db"), `CREATE TABLE "<img src=x onerror=alert(1)>" (id INTEGER PRIMARY KEY, "<b>name" TEXT)`, `INSERT INTO "<img src=x onerror=alert(1)>" VALUES (1, '<script>alert(3)</script>')`)
	execute(t, sqlite("sync.db"), `CREATE TABLE data_set (customer_id INTEGER, database_id INTEGER, last_synced_at TEXT, PRIMARY KEY (customer_id, database_id))`,
		`CREATE TABLE contact (customer_id INTEGER NOT NULL, database_id INTEGER NOT NULL, guid TEXT NOT NULL, name TEXT, PRIMARY KEY (customer_id, database_id, guid))`,
		`INSERT INTO data_set VALUES (1, 11, datetime('now', '-40 days')), (1, 12, datetime('now', '-1 day')), (2, 21, datetime('now', '-30 days')), (2, 22, datetime('now', '-2 days')), (3, 31, datetime('now', '-3 days'))`,
		`INSERT INTO contact WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT customer_id, database_id, printf('10000000-0000-4000-8000-%06x%06x', customer_id, i), '<b>' || i FROM data_set, n`)
	s.sync = sqlite("sync.db")
	old := s.As(rig.BuildVersion(t, oldVersion))
	s.As(rig.BuildVersion(t, newVersion)).Start("scheduler")
	s.server = serve(t, s.As(rig.BuildVersion(t, newVersion)), "token")
	secret, err := os.ReadFile(filepath.Join(s.Dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	s.secret = strings.TrimSpace(string(secret))
	if s.client, err = client.New(client.Options{Server: s.url, Token: s.secret}); err != nil {
		t.Fatal(err)
	}
	s.old = old.Worker("--label", "zone=a")
	s.oldID = s.Ready(s.old)
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	s.Ready(s.As(rig.BuildVersion(t, newVersion)).StartEnv([]string{"GOCACHE=" + strings.TrimSpace(string(cache)), "STINT_BUILDS_DIR=" + filepath.Join(dir, "agent")}, "worker", "--label", "zone=b", "--label", "go=true"))
	s.fill(t, sqlite("logs.db"))
	return s
}

// fill submits what the pages show.
func (s *stage) fill(t *testing.T, logs string) {
	t.Helper()
	for _, tenant := range []string{"slow", "unhurried"} {
		if err := s.client.SetLimits(t.Context(), tenant, wire.Limits{StepsPerSecond: 1}); err != nil {
			t.Fatal(err)
		}
	}
	submit := func(key, kind, spec, tenant string, labels map[string]string) string {
		t.Helper()
		done, err := s.client.Submit(t.Context(), key, wire.Submission{Kind: kind, Spec: json.RawMessage(spec), Tenant: tenant, Labels: labels, Policy: &tasks.Policy{Retries: -1}})
		if err != nil {
			t.Fatal(err)
		}
		return done.ID
	}
	s.done = submit("done", "migration", `{"source":"legacy","target":"other"}`, "acme", map[string]string{"team": "billing", "note": hostile})
	s.strange = submit("strange", "migration", `{"source":"strange","target":"copy"}`, "", nil)
	s.failed = submit("failed", "migration", `{"source":"legacy","target":"broken"}`, "", nil)
	s.running = submit("running", "migration", `{"source":"legacy","target":"cloud","chunk_rows":100}`, "slow", nil)
	execute(t, logs, fmt.Sprintf("INSERT INTO logins (name, at) VALUES ('%s', CAST(strftime('%%s', 'now') AS INTEGER))", strings.ReplaceAll(hostile, "'", "''")))
	if p := s.Start("dedupe", append([]string{"analyze", "-c", "sync", "-a", filepath.Join(s.Dir, "analysis.jsonl"), "--max-share", "1", "--max-share-customer", "1"}, s.flags...)...); p.Wait(3*time.Minute) != 0 {
		t.Fatalf("the analysis failed\n%s", p.Log())
	}
	s.Ended(s.done, 3*time.Minute)
	s.Ended(s.strange, 3*time.Minute)
	var built struct{ Job string }
	s.JSON(&built, append([]string{"build", "run", "--repository", s.repository, "--ref", "main", "--detach"}, s.flags...)...)
	s.build = built.Job
	list, err := s.client.Jobs(t.Context(), client.Filter{Kind: "dedupe"})
	if err != nil || len(list.Jobs) != 1 {
		t.Fatalf("%v analyses: %v", list, err)
	}
	s.dedupe = list.Jobs[0].ID
	err = rig.Poll(3*time.Minute, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		list, err := s.client.Alerts(ctx, client.AlertFilter{})
		if err != nil || len(list.Alerts) == 0 {
			return false, err
		}
		s.alert = list.Alerts[0].ID
		return true, nil
	})
	if err != nil {
		t.Fatalf("no alert: %v", err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	if err := rig.Execute(t.Context(), url, statements...); err != nil {
		t.Fatal(err)
	}
}

// pages are all that the dashboard has, by the names of their pictures.
func (s *stage) pages() [][2]string {
	return [][2]string{
		{"overview", "/"}, {"jobs", "/jobs"}, {"job", "/jobs/" + s.running}, {"job-failed", "/jobs/" + s.failed}, {"job-strange", "/jobs/" + s.strange}, {"job-events", "/jobs/" + s.done + "/events"},
		{"job-rejects", "/jobs/" + s.done + "/rejects"}, {"job-report", "/jobs/" + s.done + "/report"}, {"job-spec", "/jobs/" + s.done + "/spec"}, {"job-cancel", "/jobs/" + s.running + "/cancel"},
		{"job-new", "/jobs/new?kind=migration"}, {"fleet", "/fleet"}, {"worker", "/fleet/" + s.oldID}, {"drain", "/fleet/drain?version=" + oldVersion}, {"fence", "/fleet/fence"}, {"queues", "/queues"},
		{"schedules", "/schedules"}, {"schedule", "/schedules/cleanup"}, {"schedule-new", "/new/schedule"}, {"alerts", "/alerts"}, {"alert", "/alerts/" + s.alert}, {"alert-rules", "/alerts/rules"},
		{"alert-silences", "/alerts/silences"}, {"dedupe", "/dedupe"}, {"dedupe-new", "/dedupe/new"}, {"dedupe-analysis", "/dedupe/" + s.dedupe}, {"dedupe-deletion", "/dedupe/deletions/" + s.deletion},
		{"builds", "/builds"}, {"build", "/builds/" + s.build}, {"build-log", "/builds/" + s.build + "/logs/" + s.log}, {"build-new", "/builds/new"}, {"audit", "/audit"}, {"access", "/access"}, {"webhook", "/access/webhooks/hook"}, {"missing", "/nothing"},
	}
}

// widths are the windows in which pages are looked at.
var widths = []struct {
	name          string
	width, height int64
	dark          bool
}{{"light", 1400, 900, false}, {"dark", 1400, 900, true}, {"phone", 390, 844, false}}

// finding is what axe has against a page.
type finding struct {
	ID    string `json:"id"`
	Help  string `json:"help"`
	Nodes []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// TestScoreDashboard plays what people do with the dashboard: a real browser, before a real stint with a migration that runs.
func TestScoreDashboard(t *testing.T) {
	t.Parallel()
	s := setStage(t)
	b := rig.NewBrowser(t)
	b.Size(1400, 900)
	s.login(t, b)
	s.play(t, b)
	s.Ended(s.build, 5*time.Minute)
	logs, err := s.client.Logs(t.Context(), s.build)
	if err != nil || len(logs) == 0 {
		t.Fatalf("%v logs of the build: %v", logs, err)
	}
	s.log = logs[0]
	s.look(t, b)
	if list := b.Complaints(); len(list) > 0 {
		t.Errorf("the browser complains: %q", list)
	}
}

func (s *stage) login(t *testing.T, b *rig.Browser) {
	b.Open(s.url + "/jobs?state=running")
	s.examine(t, b, "/login", "light")
	b.Fill("Token", "stint_wrong")
	b.Go("Log in")
	b.AwaitText("No such token")
	b.Fill("Token", s.secret)
	b.Go("Log in")
	b.AwaitText(s.running) // it leads to where somebody wanted to be
	b.Complaints()         // the refused login
}

// play does what people do, each with a click.
func (s *stage) play(t *testing.T, b *rig.Browser) {
	state := func(id string) tasks.State {
		t.Helper()
		v, err := s.client.Job(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return v.State
	}
	// Somebody starts a migration, after a look at what it would do.
	b.Go("Jobs")
	b.Go("New job")
	b.Open(s.url + "/jobs/new?kind=migration")
	b.Fill("From", "legacy")
	b.Fill("To", "third")
	b.Fill("Tenant", "unhurried") // two jobs of "slow" would wait for each other
	b.Go("Show what it would do")
	b.AwaitText("It can be started")
	b.AwaitText("invoice_line")
	b.Go("Start")
	b.Await("the page of the job", `/^\/jobs\/mig-/.test(location.pathname)`)
	id := strings.TrimPrefix(rig.Value[string](b, "location.pathname"), "/jobs/")
	// They watch it, without loading the page again.
	b.AwaitText("In flight")
	b.Await("steps that are done", `[...document.querySelectorAll("dl.figures div")].some(d => d.innerText.startsWith("Steps done") && parseInt(d.querySelector("dd").innerText) > 0)`)
	// They pause it, and let it go on.
	b.Go("Pause")
	b.AwaitText("It is paused")
	if got := state(id); got != tasks.Paused {
		t.Errorf("after Pause it is %s", got)
	}
	b.Go("Resume")
	b.AwaitText("running")
	// Somebody drains the worker of the old version, and waits until it is safe to stop.
	b.Open(s.url + "/fleet/" + s.oldID)
	b.Go("Drain")
	b.AwaitText("It holds nothing and claims nothing")
	if w, err := s.client.Worker(t.Context(), s.oldID); err != nil || !w.SafeToStop {
		t.Errorf("the page says that it is safe to stop; the API says %+v, %v", w, err)
	}
	if got := state(s.running); got != tasks.Running {
		t.Errorf("the job that had steps there is %s", got)
	}
	b.Go("Let it work again")
	b.AwaitText("active")
	// Somebody cancels the job, and is asked before.
	b.Open(s.url + "/jobs/" + id)
	b.Go("Cancel …")
	b.AwaitText("No, go back")
	if got := state(id); got.Ended() {
		t.Errorf("it was %s before anybody said yes", got)
	}
	b.Go("Yes, cancel it")
	b.AwaitText("cancelled")
	if got := state(id); got != tasks.Cancelled {
		t.Errorf("after Cancel it is %s", got)
	}
	// Somebody who was woken takes the alert.
	b.Open(s.url + "/alerts/" + s.alert)
	b.Fill("Why", "looking into it")
	b.Go("Acknowledge")
	b.AwaitText("acknowledged")
	if a, err := s.client.Alert(t.Context(), s.alert); err != nil || a.State != wire.AlertAcknowledged || a.Reason != "looking into it" {
		t.Errorf("the alert: %+v, %v", a, err)
	}
	s.approve(t, b)
	s.choose(t, b)
	// Somebody takes the report along.
	b.Open(s.url + "/jobs/" + s.done + "/report")
	for kind, has := range map[string]string{"json": `"spec_sha256"`, "md": "# ", "html": "<!doctype html>"} {
		text := rig.Value[string](b, fmt.Sprintf(`(async () => { const a = [...document.querySelectorAll("main a")].find(a => a.pathname.endsWith("/report.%s")); const r = await fetch(a.href); return r.headers.get("Content-Disposition") + "\n" + await r.text() })()`, kind))
		if !strings.HasPrefix(text, "attachment;") || !strings.Contains(strings.ToLower(text), strings.ToLower(has)) || !strings.Contains(text, s.done) {
			t.Errorf("report.%s: %.200s", kind, text)
		}
	}
}

// approve lets the analysis be carried out, for one data set, and looks into the database.
func (s *stage) approve(t *testing.T, b *rig.Browser) {
	b.Open(s.url + "/dedupe/" + s.dedupe)
	b.Fill("At most so many data sets", "1")
	b.Go("Approve and delete")
	b.AwaitText("yes, delete") // it is asked for once more
	b.Fill("At most so many data sets", "1")
	b.Fill("yes, delete", "yes")
	b.Go("Approve and delete")
	err := rig.Poll(3*time.Minute, 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		a, err := s.client.Analysis(ctx, s.dedupe)
		if err != nil || len(a.Deletions) == 0 {
			return false, err
		}
		s.deletion = a.Deletions[0].ID
		return a.Deletions[0].State.Ended(), nil
	})
	if err != nil {
		t.Fatalf("no deletion: %v", err)
	}
	db, err := rig.Look(t.Context(), s.sync)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if n, err := db.Number(t.Context(), "SELECT count(*) FROM data_set"); err != nil || n != 4 {
		t.Errorf("%d data sets are left, want 4: %v", n, err)
	}
	b.Open(s.url + "/dedupe/deletions/" + s.deletion)
	b.AwaitText("Put back all that is gone")
}

// choose ticks a box in a list that moves on by itself: the tick stays with its row, and the button acts on that.
func (s *stage) choose(t *testing.T, b *rig.Browser) {
	b.Open(s.url + "/jobs")
	first := rig.Value[string](b, `document.querySelector("main tbody input[name=id]").value`)
	b.Fill("Choose "+first, "yes")
	b.Await("newer jobs above it", fmt.Sprintf(`[...document.querySelectorAll("main tbody input[name=id]")].findIndex(i => i.value === %q) >= 2`, first))
	if got := rig.Value[string](b, `[...document.querySelectorAll("main tbody input[name=id]")].filter(i => i.checked).map(i => i.value).join()`); got != first {
		t.Errorf("ticked are %s, want %s alone", got, first)
	}
}

// look goes through all pages in light, dark and on a phone: nothing that axe finds, nothing that the browser complains about, nothing
// that is too wide, and texts that would do harm are texts.
func (s *stage) look(t *testing.T, b *rig.Browser) {
	for _, w := range widths {
		b.Size(w.width, w.height)
		b.Dark(w.dark)
		for _, p := range s.pages() {
			b.Open(s.url + p[1])
			b.Await("the page "+p[1], `document.readyState === "complete" && document.querySelectorAll("h1").length === 1`)
			s.examine(t, b, p[1], w.name)
			if *shots != "" { // of a machine that is nobody's
				rig.Value[bool](b, `(() => { const w = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); while (w.nextNode()) w.currentNode.data = w.currentNode.data.replace(/\/tmp\/[A-Za-z-]+\d*\/(\d+\/)?/g, "/srv/").replace(/\bvm-/g, "worker-"); return true })()`)
				b.Shoot(filepath.Join(*shots, p[0]+"-"+w.name+".webp"))
			}
		}
	}
}

// examine looks at the page that is open.
func (s *stage) examine(t *testing.T, b *rig.Browser, path, width string) {
	t.Helper()
	if list := b.Complaints(); len(list) > 0 {
		t.Errorf("%s: the browser complains: %q", path, list)
	}
	if n := rig.Value[int](b, `document.querySelectorAll("main img, main script, main b").length`); n > 0 {
		t.Errorf("%s: %d elements come from what somebody else wrote", path, n)
	}
	if wide := rig.Value[int](b, `Math.max(0, document.scrollingElement.scrollWidth - innerWidth)`); wide > 0 {
		t.Errorf("%s is %d pixels too wide for %s", path, wide, width)
	}
	rig.Value[bool](b, axe+";true")
	only := `["wcag2a","wcag2aa","wcag21a","wcag21aa","wcag22aa","best-practice"]`
	if width == "dark" && !*long { // nothing else is other than in light
		only = `{type: "rule", values: ["color-contrast", "link-in-text-block"]}`
	}
	text := rig.Value[string](b, `axe.run(document, {runOnly: `+only+`, resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations))`)
	var found []finding
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Errorf("%s, %s: %s: %s: %s %s", path, width, f.ID, f.Help, f.Nodes[0].HTML, f.Nodes[0].Summary)
	}
}
