package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

var midday = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// stageAt reads "name<after,after state read/rows rate": an open one was seen reading at that rate for a minute.
func stageAt(t *testing.T, text string) (wire.Stage, string) {
	t.Helper()
	var name, state string
	var read, rows int64
	var rate float64
	if _, err := fmt.Sscanf(text, "%s %s %d/%d %f", &name, &state, &read, &rows, &rate); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	name, after, _ := strings.Cut(name, "<")
	started := midday.Add(-time.Minute)
	st := wire.Stage{Name: name, State: state, Rows: rows, After: []string{}}
	st.Counters.Read = read
	if after != "" {
		st.After = strings.Split(after, ",")
	}
	sample := ""
	if state != "waiting" {
		st.StartedAt = &started
	}
	if state == "open" {
		sample = fmt.Sprintf("%d|0|%.3f|60000", read, rate)
	}
	return st, sample
}

func inSeconds(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return fmt.Sprint(at.Sub(midday).Seconds())
}

func TestWhenStagesAndJobsWillHaveReadTheirRows(t *testing.T) {
	t.Parallel()
	for _, w := range []struct {
		name   string
		stages string
		want   string // of each stage, and of the job
	}{
		{"one stage", "a open 400/1000 10", "60 | 60"},
		{"two at once, each at its own rate", "a open 0/1000 10; b open 0/100 10", "100 10 | 100"},
		{"one that waits comes after the one before it, at the rate of all", "a open 0/1000 10; b<a waiting 0/500 0", "100 150 | 150"},
		{"the longest way counts", "a open 0/1000 10; b open 0/100 10; c<a,b waiting 0/200 0; d<b waiting 0/200 0", "100 10 110 20 | 110"},
		{"a chain", "a done 100/100 0; b<a open 50/100 5; c<b waiting 0/100 0; d<c waiting 0/100 0", "- 10 30 50 | 50"},
		{"no sooner than all that is left is read at the rate of all", "a open 0/100 10; b open 0/900 0", "10 - | 100"},
		{"what waits for one of unknown size is not known itself; the job is, without it", "a open 0/100 10; b<a waiting 0/0 0; c<b waiting 0/100 0", "10 - - | 20"},
		{"an open one of unknown size", "a open 500/0 10; b open 0/100 10", "- 10 | 10"},
		{"one that has read more than was thought", "a open 150/100 10; b<a waiting 0/100 0", "- - | 10"},
		{"nothing moves", "a open 100/1000 0; b<a waiting 0/100 0", "- - | -"},
		{"nothing is left of known size", "a done 10/10 0; b<a open 0/0 0", "- - | -"},
	} {
		v := &wire.Job{State: tasks.Running}
		var samples []string
		for text := range strings.SplitSeq(w.stages, "; ") {
			st, sample := stageAt(t, text)
			v.Stages, samples = append(v.Stages, st), append(samples, sample)
		}
		for _, state := range []tasks.State{tasks.Paused, tasks.Failed, tasks.Running} {
			for _, held := range []string{"limit", ""} {
				v.State, v.Held = state, held
				forecast(v, samples, midday)
				if (state != tasks.Running || held != "") && v.ETA != nil {
					t.Errorf("%s: an eta while it is %s, held %q", w.name, state, held)
				}
			}
		}
		var got []string
		for _, st := range v.Stages {
			got = append(got, inSeconds(st.ETA))
		}
		if text := strings.Join(got, " ") + " | " + inSeconds(v.ETA); text != w.want {
			t.Errorf("%s: %s, want %s", w.name, text, w.want)
		}
	}
}

func TestAtTheBeginningNoEndIsTold(t *testing.T) {
	t.Parallel()
	for sample, want := range map[string]string{"100|0|10.000|4999": "-", "100|0|10.000|5000": "90", "": "-", "100|0|x|9000": "-"} {
		st, _ := stageAt(t, "a open 100/1000 0")
		started := midday.Add(-4 * time.Second)
		st.StartedAt = &started
		v := &wire.Job{State: tasks.Running, Stages: []wire.Stage{st}}
		if forecast(v, []string{sample}, midday); inSeconds(v.ETA) != want {
			t.Errorf("%q: %s, want %s", sample, inSeconds(v.ETA), want)
		}
	}
	// Where nobody sweeps, the whole time counts.
	st, _ := stageAt(t, "a open 600/1200 0")
	v := &wire.Job{State: tasks.Running, Stages: []wire.Stage{st}}
	if forecast(v, []string{""}, midday); inSeconds(v.ETA) != "60" {
		t.Errorf("without samples: %s", inSeconds(v.ETA))
	}
}

func TestACircleOfStagesEnds(t *testing.T) {
	t.Parallel()
	v := &wire.Job{State: tasks.Running, Stages: []wire.Stage{{Name: "a", State: "waiting", After: []string{"b"}, Rows: 1}, {Name: "b", State: "waiting", After: []string{"a"}, Rows: 1},
		{Name: "c", State: "open", Rows: 100}}}
	forecast(v, []string{"", "", "0|0|10.000|60000"}, midday)
	if v.ETA == nil {
		t.Error("no eta")
	}
}

// back moves the last sample of the first stage into the past, as if the sweep had come that long ago.
func (b *bench) back(d time.Duration) {
	b.t.Helper()
	text := b.rdb.HGet(b.ctx(), stagesKey(b.job.ID), "0:sample").Val()
	p := strings.Split(text, "|")
	if len(p) != 4 {
		b.t.Fatalf("no sample: %q", text)
	}
	p[1] = fmt.Sprint(toInt(p[1]) - d.Milliseconds())
	b.rdb.HSet(b.ctx(), stagesKey(b.job.ID), "0:sample", strings.Join(p, "|"))
	b.rdb.HDel(b.ctx(), jobKey(b.job.ID), "sampled")
}

func (b *bench) speed() float64 {
	b.t.Helper()
	return speed(b.view().Stages[0], b.rdb.HGet(b.ctx(), stagesKey(b.job.ID), "0:sample").Val(), time.Now())
}

func TestTheSweepSmoothsHowFastAStageReadsAndLeavesPausesOut(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	r := b.take("0/1")
	a := b.lease(r, "w")
	read := int64(0)
	after := func(d time.Duration, more int64) {
		t.Helper()
		read += more
		if _, err := b.Save(b.ctx(), r, a, nil, false, tasks.Counters{Read: read}); err != nil {
			t.Fatal(err)
		}
		b.back(d)
		b.sweep("w")
	}
	near := func(what string, want float64) {
		t.Helper()
		if got := b.speed(); got < want*0.93 || got > want*1.03 { // the test takes its time, too
			t.Errorf("%s: %.1f rows a second, want %.1f", what, got, want)
		}
	}
	b.sweep("w")
	after(3*time.Second, 3000)
	if got := b.speed(); got != 0 {
		t.Errorf("after three seconds: %v", got)
	}
	after(3*time.Second, 6000)
	near("the mean of the first moments", 1500)
	after(30*time.Second, 90_000)
	near("what is newer counts more", 1500+(3000-1500)*0.833) // 30 of 36 seconds
	for range 5 {
		after(30*time.Second, 30_000)
	}
	near("and in the end alone", 1000)
	b.control(Pause)
	for range 3 {
		b.back(10 * time.Minute)
		b.sweep("w")
	}
	b.control(Resume)
	near("a pause changes nothing", 1000)
}
