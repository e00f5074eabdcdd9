package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
)

// schedule makes one that starts a job of the family "test".
func (h *house) schedule(name string, d wire.ScheduleDefinition) *wire.Schedule {
	h.t.Helper()
	if d.Job.Kind == "" {
		d.Job = wire.ScheduleJob{Kind: "test", Spec: json.RawMessage(`{"stages":[1],"word":"` + evil + `"}`), Labels: map[string]string{"word": evil}}
	}
	sc, err := h.client.PutSchedule(h.t.Context(), name, "", d)
	if err != nil {
		h.t.Fatal(err)
	}
	return sc
}

func TestSchedulesSayInWordsWhenTheyAreDue(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.schedule("nightly", wire.ScheduleDefinition{Cron: "30 2 * * *", Timezone: "Europe/Berlin", Jitter: "5m", Missed: "last", Overlap: "queue"})
	h.schedule("tidy", wire.ScheduleDefinition{Every: "6h", Paused: true})
	b := h.browser(h.token("viewer"))
	p := b.get("/schedules")
	p.shows(t, "every day at 02:30", "Europe/Berlin", "every 6 hours", "paused", "on time", `href="/schedules/nightly"`)
	p.hides(t, "Run now", "New schedule", evil)
	p = b.get("/schedules/nightly")
	p.shows(t, "Due next", "02:30 CE", "fires up to 5m later", "later than 1m is missed", "the latest fires, late as it is", "waits until that job has ended", "None was due yet", "word=&lt;script&gt;")
	p.hides(t, "/run", "Delete", evil)
	if n := strings.Count(p.Body, `data-name="UTC"`); n != 5 {
		t.Errorf("%d times are due next", n)
	}
	b.get("/schedules/tidy").shows(t, "Would be due", "It is paused and fires nothing")
	if p := b.get("/schedules/none"); p.Code != http.StatusNotFound {
		t.Errorf("none: %d", p.Code)
	}
	newHouse(t).browser("").get("/schedules").shows(t, "No schedule is set up", `href="/new/schedule"`)
}

func TestAScheduleThatNobodyFiresIsOverdue(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.schedule("often", wire.ScheduleDefinition{Every: "1s"})
	b := h.browser("")
	b.awaits("/schedules", "overdue for").shows(t, "A schedule is overdue", "stint scheduler", "1 overdue")
	b.get("/schedules/often").shows(t, "Overdue for")
}

func TestAScheduleIsRunPausedAndResumed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.schedule("nightly", wire.ScheduleDefinition{Cron: "30 2 * * *"})
	b := h.browser(h.token("operator"))
	p := b.post("/schedules/nightly", "/schedules/nightly/run", nil)
	ticks, err := h.client.Ticks(t.Context(), "nightly", 10)
	if err != nil || len(ticks) != 1 || ticks[0].Outcome != wire.TickFired || !ticks[0].Manual {
		t.Fatalf("%v, %v", ticks, err)
	}
	p.shows(t, "nightly runs now, as the job "+ticks[0].Job, "by hand", `href="/jobs/`+ticks[0].Job+`"`, "1 fired")
	b.post("/schedules", "/schedules/nightly/run", nil).shows(t, "Nightly does not run now", ticks[0].Job)
	b.get("/schedules/nightly").shows(t, "skipped", "1 fired, 1 skipped")
	b.post("/schedules/nightly", "/schedules/nightly/pause", nil).shows(t, "nightly is paused", "Resume")
	if sc, err := h.client.Schedule(t.Context(), "nightly"); err != nil || !sc.Paused {
		t.Errorf("%+v, %v", sc, err)
	}
	b.post("/schedules", "/schedules/nightly/resume", nil).shows(t, "nightly is resumed; it is due next on", "02:30 UTC.")
	if sc, err := h.client.Schedule(t.Context(), "nightly"); err != nil || sc.Paused {
		t.Errorf("%+v, %v", sc, err)
	}
}

func TestAScheduleIsMadeAndWhatIsWrongComesBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser(h.token("operator"))
	send := func(change url.Values) *page {
		f := url.Values{"name": {"proof"}, "cron": {"0 7 * * 1-5"}, "timezone": {"Europe/Berlin"}, "every": {""}, "jitter": {""}, "deadline": {"10m"}, "missed": {"last"}, "overlap": {"queue"},
			"kind": {"test"}, "spec": {`{"stages": [2]}`}, "labels": {"team=data, zone=a"}}
		for name, v := range change {
			f[name] = v
		}
		return b.post("/new/schedule", "/new/schedule", f)
	}
	for _, c := range []struct{ field, value, says string }{
		{"cron", "0 7 * *", "is no cron expression"},
		{"cron", "", "neither a cron expression nor an interval"},
		{"every", "1h", "both a cron expression and an interval"},
		{"timezone", "Nowhere/" + evil, "there is no time zone"},
		{"spec", "{", "is no JSON"},
		{"labels", "team", "has no value"},
		{"name", "", "has no name"},
		{"name", "No Name", "is no name for a schedule"},
		{"kind", "none", "none"},
		{"deadline", "soon", "deadline"},
	} {
		p := send(url.Values{c.field: {c.value}})
		if p.Path != "/new/schedule" || p.Code < 400 {
			t.Errorf("%s %q leads to %s with %d", c.field, c.value, p.Path, p.Code)
		}
		p.shows(t, c.says, `role="alert"`, "team")
		p.hides(t, evil)
		if c.field != "spec" {
			p.shows(t, `{&#34;stages&#34;: [2]}`)
		}
	}
	if all, err := h.client.Schedules(t.Context()); err != nil || len(all) != 0 {
		t.Fatalf("%v, %v", all, err)
	}
	if p := send(nil); p.Path != "/schedules/proof" {
		t.Errorf("it leads to %s", p.Path)
	} else {
		p.shows(t, "proof is made", "every weekday at 07:00", "team=data")
	}
	sc, err := h.client.Schedule(t.Context(), "proof")
	if err != nil || sc.Cron != "0 7 * * 1-5" || sc.Timezone != "Europe/Berlin" || sc.Missed != "last" || sc.Overlap != "queue" || sc.Deadline != "10m0s" && sc.Deadline != "10m" || sc.Job.Labels["zone"] != "a" {
		t.Errorf("%+v, %v", sc, err)
	}
	send(nil).shows(t, "There is a schedule proof already")
	v := h.browser(h.token("viewer")).get("/new/schedule")
	v.shows(t, "a token that has the role operator")
	v.hides(t, `method="post" action="/new/schedule"`)
}

func TestAScheduleIsChangedUnlessSomebodyElseHas(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	sc := h.schedule("nightly", wire.ScheduleDefinition{Cron: "30 2 * * *", Paused: true, Job: wire.ScheduleJob{Kind: "test", Spec: json.RawMessage(`{"stages":[1]}`), Priority: 7}})
	b := h.browser(h.token("operator"))
	const at = "/schedules/nightly/edit"
	b.get(at).shows(t, `value="30 2 * * *"`, sc.Version, `value="1m"`)
	f := url.Values{"version": {sc.Version}, "cron": {"0 4 * * *"}, "timezone": {"Europe/Berlin"}, "missed": {"all"}, "overlap": {"allow"}, "deadline": {"2m"}, "spec": {`{"stages":[2]}`}}
	bad := url.Values{}
	for k, v := range f {
		bad[k] = v
	}
	bad.Set("cron", "nonsense")
	b.post(at, at, bad).shows(t, "is no cron expression", `value="nonsense"`, `value="2m"`)
	b.post(at, at, f).shows(t, "nightly is changed", "every day at 04:00", "each fires, in order")
	now, err := h.client.Schedule(t.Context(), "nightly")
	if err != nil || now.Cron != "0 4 * * *" || now.Overlap != "allow" || !now.Paused || now.Job.Priority != 7 || string(now.Job.Spec) != `{"stages":[2]}` {
		t.Errorf("%+v, %v", now, err)
	}
	f.Set("cron", "0 5 * * *") // and the version is the old one
	p := b.post(at, at, f)
	p.shows(t, "Somebody has changed nightly", `value="0 5 * * *"`)
	if now, err := h.client.Schedule(t.Context(), "nightly"); err != nil || now.Cron != "0 4 * * *" {
		t.Errorf("%+v, %v", now, err)
	}
	b.get(at).shows(t, `value="0 4 * * *"`)
	h.browser(h.token("viewer")).get(at).hides(t, `name="cron"`)
}

func TestAScheduleIsDeletedWithATick(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.schedule("nightly", wire.ScheduleDefinition{Cron: "30 2 * * *"})
	b := h.browser(h.token("operator"))
	const at = "/schedules/nightly"
	b.post(at, at+"/delete", nil).shows(t, "Nothing was deleted", "yes, delete it")
	if p := b.post(at, at+"/delete", url.Values{"sure": {"yes"}}); p.Path != "/schedules" {
		t.Errorf("it leads to %s", p.Path)
	} else {
		p.shows(t, "nightly is deleted")
	}
	if _, err := h.client.Schedule(t.Context(), "nightly"); !isNotFound(err) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestAScheduleOfTheConfigurationIsNotChangedHere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	sc := wire.Schedule{Name: "nightly", Cron: "30 2 * * *", Job: wire.ScheduleJob{Kind: "test", Spec: json.RawMessage(`{"stages":[1]}`)}}
	if _, _, err := h.st.PutSchedule(t.Context(), sc, wire.OriginConfig, ""); err != nil {
		t.Fatal(err)
	}
	b := h.browser(h.token("operator"))
	p := b.get("/schedules/nightly")
	p.shows(t, "of the configuration: changed there", "Run now")
	p.hides(t, "/edit", "/delete")
	b.get("/schedules/nightly/edit").shows(t, "comes from the configuration, and is changed there")
}

func TestCronExpressionsInWords(t *testing.T) {
	t.Parallel()
	for cron, want := range map[string]string{
		"30 2 * * *": "every day at 02:30", "@daily": "every day at 00:00", "@hourly": "every hour, on the hour", "0 3,15 * * *": "every day at 03:00 and 15:00",
		"* * * * *": "every minute", "*/5 * * * *": "every 5 minutes", "*/7 * * * *": "by the cron expression */7 * * * *", "15 * * * *": "every hour at minute 15",
		"0 */2 * * *": "every 2 hours, on the hour", "0 */5 * * *": "by the cron expression 0 */5 * * *", "0 7 * * 1-5": "every weekday at 07:00", "0 7 * * MON,fri": "every Monday and Friday at 07:00",
		"*/15 8-18 * * 1-5": "every 15 minutes between 08:00 and 18:59, every weekday", "0 0 1 * *": "on the 1st of every month at 00:00", "0 0 1,15 1-3 *": "on the 1st and 15th of January, February and March at 00:00",
		"0 0 13 * 5": "on the 13th of every month and every Friday at 00:00", "0 0 * JUN *": "every day in June at 00:00", "1-59/2 * * * *": "by the cron expression 1-59/2 * * * *", "nonsense": "nonsense",
	} {
		if got := whenWords(cron, ""); got != want {
			t.Errorf("%s: %q, want %q", cron, got, want)
		}
	}
	for every, want := range map[string]string{"6h": "every 6 hours", "1h0m0s": "every hour", "90s": "every 90 seconds", "24h": "every day", "15m": "every 15 minutes", "1.5s": "every 1.5s"} {
		if got := whenWords("", every); got != want {
			t.Errorf("%s: %q, want %q", every, got, want)
		}
	}
	for text, want := range map[string]string{"1m0s": "1m", "1h0m0s": "1h", "1h30m0s": "1h30m", "10s": "10s", "10m0s": "10m", "": ""} {
		if got := brief(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestTheTimesToComeFollowTheClockOfTheZone(t *testing.T) {
	t.Parallel()
	next := time.Date(2030, 3, 30, 1, 30, 0, 0, time.UTC) // the clock is put forward the night after
	list := nextTimes(wire.Schedule{Name: "n", Cron: "30 2 * * *", Timezone: "Europe/Berlin", NextAt: &next}, 3)
	var got []string
	for _, c := range list {
		got = append(got, c.Wall)
	}
	if want := "Sat 30 Mar 2030, 02:30 CET|Sun 31 Mar 2030, 03:00 CEST|Mon 1 Apr 2030, 02:30 CEST"; strings.Join(got, "|") != want {
		t.Errorf("%s", strings.Join(got, "|"))
	}
}
