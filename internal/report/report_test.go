package report

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

var keep = flag.String("keep", "", "write the reports of the tests into this folder, to be looked at")

// nasty is what customers and their data may put into any text.
const nasty = "<script>alert(1)</script> | a\n# b\r\n**c** `d` [e](javascript:f) <img src=x onerror=g> \\| & &lt; \u202Eh\u2066 \x1b[31m http://i.example"

func at(s string) *time.Time {
	t, err := time.Parse("15:04:05.000", s)
	if err != nil {
		panic(err)
	}
	t = t.AddDate(2026, 0, 30)
	return &t
}

// sample is a report in which everything occurs; bad stands in each text that is not ours.
func sample(bad string) *wire.Report {
	counters := func(steps, rows, set int64) wire.Counters {
		return wire.Counters{StepsKnown: steps, StepsDone: steps, Counters: tasks.Counters{Read: rows, Written: rows - set, Quarantined: set, Bytes: rows * 57}}
	}
	all := counters(412, 4_120_000, 4)
	all.Skipped = 12
	v := &wire.Job{ID: "mig-w3dyn4ha5pgp4qrz", Kind: "migration", Tenant: "acme" + bad, State: tasks.Succeeded, Labels: map[string]string{"team": "billing", "ticket" + bad: "42" + bad},
		Queue: "default", CreatedAt: *at("11:58:00.120"), StartedAt: at("11:58:00.320"), EndedAt: at("12:14:09.875"), Counters: all, Findings: 1200, Window: 8, Epoch: 1,
		Spec: json.RawMessage(`{"source":"legacy","target":"cloud","chunk_rows":10000,"note":` + string(must(json.Marshal("```"+bad))) + `}`)}
	names := []string{"schema", "load:customer" + bad, "load:invoice", "indexes", "foreign keys"}
	r := &wire.Report{Form: 1, Job: v, SubmittedBy: "ada" + bad, Source: "legacy" + bad, Target: "postgres://app@db.internal/cloud", Policy: wire.ReportPolicy{Retries: 8, OnFailure: "stop"},
		SpecSHA256: strings.Repeat("5e", 32), DurationMS: 969_555, Versions: []string{"1.2.0", "1.3.0" + bad}, Made: wire.Made{At: *at("14:00:00.000"), Version: "1.3.0"},
		Reasons:  []wire.AttemptReason{{What: "given_back", Reason: "drained", Times: 8}, {What: "failed", Reason: "deadlock detected (SQLSTATE 40P01)" + bad, Times: 3}},
		Findings: []tasks.Finding{{Level: "note", Subject: "invoice" + bad, Message: "view open_invoices is left out" + bad}}, FailedSteps: []wire.FailedStep{},
		Verifications: []wire.Verification{{JobLink: wire.JobLink{ID: "ver-3k2m5n7q9r1t4v6x", Kind: "verification", State: tasks.Succeeded}, Equal: true, Rows: 4_119_984, Quarantined: 4, EndedAt: at("12:31:00.000")}},
		Gaps:          []string{"The history lacks its oldest 212 events: only about the newest 1000 are kept. Counts are complete all the same."}}
	for i, name := range names {
		c := counters(2, 0, 0)
		if i == 1 || i == 2 {
			c = counters(int64(100*i), int64(1_000_000*i), int64(2*i-2))
		}
		v.Stages = append(v.Stages, wire.Stage{Name: name, State: "done", Counters: c, StartedAt: at(fmt.Sprintf("12:0%d:00.500", i)), EndedAt: at(fmt.Sprintf("12:0%d:58.250", i)), Rate: 17_316.4})
		r.Stages = append(r.Stages, wire.StageReport{Name: name, DurationMS: 57_750, BusyMS: 431_020, RowsPerBusySecond: 2320.1, Failed: int64(i)})
	}
	v.Counters.Written -= 12
	v.Stages[1].Counters.Written -= 12
	r.Stages[1].Proof = &tasks.StageProof{Stage: names[1], Hash: "9f2c51d0a4e7b386", HashOf: "the sum modulo 2^64 of the checksums of all rows of the ledger" + bad, Rows: 1_000_000, Commits: 200,
		FirstCommit: at("12:01:00.700"), LastCommit: at("12:01:58.200"), Workers: []string{"vm-1-aa", "vm-2-bb" + bad}, Quarantined: []tasks.RowReason{{Reason: "22021 invalid byte sequence" + bad, Rows: 2}},
		Skipped: []tasks.RowReason{{Reason: "the condition of the mapping", Rows: 12}}}
	for i, id := range []string{"vm-14418-7f21cc", "vm-14419-bed87d" + bad, "vm-15002-0c9d11", ""} {
		r.Workers = append(r.Workers, wire.WorkerReport{ID: id, Version: "1.2.0", Done: 100, Planned: int64(i), GivenBack: 4, Lost: 2, BusyMS: 700_000, FirstAt: at("11:58:00.320"), LastAt: at("12:14:09.875")})
	}
	r.Drains = []wire.Drain{{Worker: "vm-14418-7f21cc" + bad, By: "deploy" + bad, Why: "request", AskedAt: at("12:00:00.000"), State: wire.DrainSafe, OverAt: at("12:00:00.412"), Held: 4, GivenBack: 4},
		{Worker: "vm-14419-bed87d", Why: "process", AskedAt: at("12:05:00.000"), State: wire.DrainAsked, Held: 4}}
	r.Losses = []wire.Loss{{Worker: "vm-14419-bed87d" + bad, NoticedAt: at("12:05:03.100"), Steps: 2, Again: 2, LastAgain: at("12:05:03.160"),
		List: []wire.LostStep{{Stage: names[2], Step: "66", LostAt: *at("12:05:03.100"), Again: at("12:05:03.140"), By: "vm-15002-0c9d11"}, {Stage: names[2], Step: "67" + bad, LostAt: *at("12:05:03.100")}}}}
	r.Sections = []tasks.ReportSection{{Title: "Rounding" + bad, Text: "No value was rounded." + bad, Columns: []string{"Column" + bad, "Values"}, Rows: [][]string{{"total" + bad, "0"}, {"short"}}}}
	for i, kind := range []string{"accepted", "planned", "stage_started", "worker_draining", "given_back", "begun_again", "attempt_failed", "lost", "pause", "succeeded"} {
		r.History = append(r.History, wire.Happening{At: *at(fmt.Sprintf("12:0%d:00.123", i)), Type: kind, Stage: names[i%5], Step: "66", Worker: "vm-14418-7f21cc", By: bad, Reason: "why" + bad, More: map[string]string{"again_ms": "1500" + bad}})
	}
	if err := Seal(r); err != nil {
		panic(err)
	}
	return r
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func rendered(t *testing.T, r *wire.Report, f Format) string {
	t.Helper()
	text, err := Render(r, f)
	if err != nil {
		t.Fatal(err)
	}
	if *keep != "" {
		ending := map[Format]string{JSON: ".json", Markdown: ".md", HTML: ".html"}[f]
		if err := os.WriteFile(fmt.Sprintf("%s/%s-%d%s", *keep, t.Name(), len(text), ending), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return string(text)
}

func TestAReportSaysTheSameInEachFormat(t *testing.T) {
	t.Parallel()
	r := sample("")
	_ = rendered(t, r, JSON)
	for _, f := range []Format{Markdown, HTML} {
		text := rendered(t, r, f)
		if f == Markdown {
			text = regexp.MustCompile(`\\([[:punct:]])`).ReplaceAllString(text, "$1")
		}
		for _, want := range []string{"Report of job mig-w3dyn4ha5pgp4qrz", "The job succeeded: all 412 steps ended.", "4,120,000 rows read: 4,119,984 written, 4 set aside, 12 left out on purpose. Every row that was read is accounted for.", "Verified row by row by ver-3k2m5n7q9r1t4v6x",
			"2026-01-31 11:58:00 UTC", "16 min 9 s", "load:invoice", "postgres", "app@db.internal/cloud", "9f2c51d0a4e7b386", "22021 invalid byte sequence", "12:00:00.412", "412 ms", "not known", "60 ms", "deadlock detected",
			"view open_invoices", "all others", "No value was rounded.", "lacks its oldest 212 events", r.Digest, "not signed", "chunk_rows", r.SpecSHA256} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q", f, want)
			}
		}
	}
}

func TestNothingThatADataBaseSaysGetsOutOfItsPlaceInHTML(t *testing.T) {
	t.Parallel()
	text := rendered(t, sample(nasty), HTML)
	harmless := rendered(t, sample("x"), HTML)
	tags := regexp.MustCompile(`<[a-zA-Z!/][^>]*>`)
	strip := func(s string) []string {
		list := tags.FindAllString(s, -1)
		for i := range list {
			list[i] = regexp.MustCompile(`aria-label="[^"]*"`).ReplaceAllString(list[i], "")
		}
		return list
	}
	got, want := strip(text), strip(harmless)
	if len(got) != len(want) {
		t.Fatalf("%d tags, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("the data has become the tag %s, want %s", got[i], want[i])
		}
	}
	for _, r := range []string{"\u202E", "\u2066", "\x1b", "<script", "<img"} {
		if strings.Contains(text, r) {
			t.Errorf("there is a %q", r)
		}
	}
	for _, outside := range []string{"src=", "url(", "@import", "<link", "<iframe"} {
		if strings.Contains(strings.ReplaceAll(text, "img src=x", ""), outside) {
			t.Errorf("the page wants something from outside: %s", outside)
		}
	}
}

func TestATableOfMarkdownSurvivesWhatIsInItsCells(t *testing.T) {
	t.Parallel()
	text := rendered(t, sample(nasty), Markdown)
	harmless := rendered(t, sample("x"), Markdown)
	if got, want := strings.Count(text, "\n"), strings.Count(harmless, "\n"); got != want {
		t.Errorf("%d lines, want %d", got, want)
	}
	cell := regexp.MustCompile(`(^|[^\\])\|`)
	lines, same := strings.Split(text, "\n"), strings.Split(harmless, "\n")
	code := false
	for i, line := range lines {
		if strings.HasPrefix(line, "````") {
			code = !code
		}
		if code || i >= len(same) {
			continue
		}
		if got, want := len(cell.FindAllString(line, -1)), len(cell.FindAllString(same[i], -1)); got != want {
			t.Errorf("%d cells, want %d: %s", got, want, line)
		}
		for _, raw := range []string{"<", "**c**", "`d`", "[e](", "://i.example", "\x1b"} {
			if strings.Contains(line, raw) && !strings.HasPrefix(line, "```") {
				t.Errorf("there is %q in: %s", raw, line)
			}
		}
	}
	if code {
		t.Error("the code of the spec does not end")
	}
}

func TestADigestIsThatOfTheContentAndOfNothingElse(t *testing.T) {
	t.Parallel()
	r, later := sample(nasty), sample(nasty)
	later.Made = wire.Made{At: *at("23:00:00.000"), Version: "9.9.9"}
	later.Digest = ""
	if err := Seal(later); err != nil || later.Digest != r.Digest || !strings.HasPrefix(r.Digest, "sha256:") || len(r.Digest) != 7+64 {
		t.Errorf("%s, %s, %v", r.Digest, later.Digest, err)
	}
	for _, text := range []string{rendered(t, r, JSON), string(must(json.Marshal(r)))} { // however it is laid out and escaped
		if got, err := Digest([]byte(text)); err != nil || got != r.Digest {
			t.Errorf("%s, %v; want %s", got, err, r.Digest)
		}
	}
	r.Job.Stages[1].Counters.Written--
	before := r.Digest
	if err := Seal(r); err != nil || r.Digest == before {
		t.Errorf("another content has the same digest, %v", err)
	}
	grown := strings.Replace(rendered(t, later, JSON), `"form": 1,`, `"form": 1, "of_a_later_build": [1],`, 1)
	if got, err := Digest([]byte(grown)); err != nil || got == later.Digest {
		t.Errorf("a field that this build does not know is no part of the digest: %v", err)
	}
}

func TestTheCanonicalFormIsThatOfRFC8785(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001], "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}`: `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		`{"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7}`:                                                                                       "{\"\\r\":2,\"1\":4,\"\u0080\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\ufb33\":3}",
		"[-0, 0, 1e21, 100000000000000000000, 1e-7, 0.000001, \"\u2028<&\"]":                                                                                                             "[0,0,1e+21,100000000000000000000,1e-7,0.000001,\"\u2028<&\"]",
	} {
		if got, err := Canonical([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%s\nbecomes %s, %v\nwant    %s", in, got, err, want)
		}
	}
	for _, broken := range []string{"", "{", "1 2", "1e400"} {
		if got, err := Canonical([]byte(broken)); err == nil {
			t.Errorf("%q becomes %s", broken, got)
		}
	}
}

func TestAReportOfAJobThatHasJustBeenAcceptedCanBeRendered(t *testing.T) {
	t.Parallel()
	r := &wire.Report{Form: 1, Job: &wire.Job{ID: "tes-1", Kind: "test", State: tasks.Accepted, Window: 1, Epoch: 1}, About: &wire.JobLink{ID: "gone"}}
	for _, f := range []Format{Markdown, HTML} {
		text := rendered(t, r, f)
		for _, want := range []string{"has not ended", "has not been planned", "gone, which is not kept any more", "Nothing interrupted it"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q:\n%s", f, want, text)
			}
		}
	}
}

func TestAFileSaysItsFormat(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Format{"r.json": JSON, "a/B.MD": Markdown, "x.markdown": Markdown, "r.html": HTML, "r.htm": HTML, "r.pdf": "", "html": ""} {
		if got, ok := OfFile(name); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
	}
}
