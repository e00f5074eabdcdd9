package store

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// measured is for how long a stage has to have been seen reading before anybody is told when it will be done: what the first
// moments say is mostly wrong.
const measured = 5 * time.Second

// pace says how many rows a second a stage has read over its whole time so far.
func pace(st wire.Stage, now time.Time) (perSecond float64) {
	if st.StartedAt == nil || st.Counters.Read == 0 {
		return 0
	}
	if st.EndedAt != nil && st.State == "done" {
		now = *st.EndedAt
	}
	took := max(now.Sub(*st.StartedAt), time.Millisecond)
	return math.Round(float64(st.Counters.Read)/took.Seconds()*10) / 10
}

// marksOf reads what the sweep has noted of how far a job was by when ("first ms;tenths of a second,rows read;...").
func marksOf(text string) (list []wire.PacePoint) {
	first, rest, _ := strings.Cut(text, ";")
	from := time.UnixMilli(toInt(first)).UTC()
	for mark := range strings.SplitSeq(rest, ";") {
		at, read, whole := strings.Cut(mark, ",")
		if whole {
			list = append(list, wire.PacePoint{At: from.Add(time.Duration(toInt(at)) * 100 * time.Millisecond), Read: toInt(read)})
		}
	}
	return list
}

// speed is how many rows a second an open stage reads just now, as the sweep has smoothed it ("read|ms|rows a second|ms seen"), or,
// where nobody sweeps, over its whole time; 0 when it was not seen for long enough.
func speed(st wire.Stage, sample string, now time.Time) float64 {
	p := strings.Split(sample, "|")
	if len(p) != 4 {
		if st.StartedAt == nil || now.Sub(*st.StartedAt) < measured {
			return 0
		}
		return pace(st, now)
	}
	perSecond, err := strconv.ParseFloat(p[2], 64)
	if err != nil || time.Duration(toInt(p[3]))*time.Millisecond < measured {
		return 0
	}
	return perSecond
}

// forecast says when the stages of a job, and the job, will have read their rows: along the longest way through those that wait
// for one another, and not before all that is left is read at the rate of all. samples are those of the stages. What is not known
// stays nil: nothing moves, or not for long enough, or it hangs on a stage of which nobody knows how long it is.
func forecast(v *wire.Job, samples []string, now time.Time) {
	if v.State != tasks.Running || v.Held != "" {
		return
	}
	f := forecaster{now: now, stages: v.Stages, speeds: make([]float64, len(v.Stages)), byName: map[string]int{}, seen: map[int]end{}}
	var left int64
	for i, st := range v.Stages {
		f.byName[st.Name] = i
		if st.State == "open" {
			f.speeds[i] = speed(st, samples[i], now)
			f.total += f.speeds[i]
		}
		if st.State != "done" {
			left += max(st.Rows-st.Counters.Read, 0)
		}
	}
	if f.total <= 0 || left == 0 {
		return
	}
	last := now.Add(seconds(float64(left) / f.total))
	for i := range v.Stages {
		e := f.end(i)
		if e.at.After(last) {
			last = e.at
		}
		if e.known && v.Stages[i].State != "done" {
			v.Stages[i].ETA = whole(e.at)
		}
	}
	v.ETA = whole(last)
}

// end is when a stage will be done; not known when there is one on its way whose size nobody knows: then it is without that.
type end struct {
	at    time.Time
	known bool
}

type forecaster struct {
	now    time.Time
	stages []wire.Stage
	speeds []float64 // of open stages
	total  float64   // of all of them: what one that waits will have when its turn comes
	byName map[string]int
	seen   map[int]end
}

func (f *forecaster) end(i int) end {
	if e, ok := f.seen[i]; ok {
		return e
	}
	st := f.stages[i]
	e := end{f.now, true}
	f.seen[i] = e // stages wait for no circle; one from elsewhere must not hang a request
	left := float64(max(st.Rows-st.Counters.Read, 0))
	switch st.State {
	case "done":
	case "open":
		if f.speeds[i] > 0 {
			e = end{f.now.Add(seconds(left / f.speeds[i])), left > 0}
		} else {
			e = end{f.now.Add(seconds(left / f.total)), false} // its turn has not come
		}
	default:
		e.known = st.Rows > 0
		for _, name := range st.After {
			before := f.end(f.byName[name])
			e.known = e.known && before.known
			if before.at.After(e.at) {
				e.at = before.at
			}
		}
		e.at = e.at.Add(seconds(left / f.total))
	}
	f.seen[i] = e
	return e
}

// farOff is the longest time that is told; more is no estimate.
const farOff = 10 * 365 * 24 * time.Hour

func seconds(s float64) time.Duration {
	return time.Duration(min(s, farOff.Seconds()) * float64(time.Second))
}

func whole(t time.Time) *time.Time {
	t = t.UTC().Truncate(time.Second)
	return &t
}
