package web

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
)

// eventsLook is a page of what happened to a job, the newest first.
type eventsLook struct {
	What   string // which of eventKinds is shown
	Kinds  []eventKind
	Events []eventLook
	More   string // the address of older ones
	First  string // the address of the newest; "" on it
	Old    string // since when events are kept, if the first are not
}

// eventKind chooses events.
type eventKind struct{ Name, Says string }

var eventKinds = []eventKind{{"", "Everything"}, {"trouble", "Failures"}, {"workers", "Workers"}, {"people", "People"}, {"stages", "Stages"}}

// eventLook is an event in words.
type eventLook struct {
	At     time.Time
	Tone   string // a state, for its mark
	Text   string
	Step   string
	Worker string
	Reason string
	kind   string
}

const eventsOnPage = 100

func (s *Site) jobEvents(v *visit) (content, error) {
	b, err := s.jobPage(v, tabEvents)
	if err != nil {
		return content{}, err
	}
	list, err := eventsAfter(v.ctx, v, b.ID, "")
	if err != nil {
		return content{}, err
	}
	q := v.URL.Query()
	l := &eventsLook{What: q.Get("what"), Kinds: eventKinds}
	if len(list) > 0 && list[0].Type != "accepted" {
		l.Old = stamp(list[0].At)
	}
	after := q.Get("after")
	passed, last := after == "", ""
	for _, e := range slices.Backward(list) {
		if !passed {
			passed = e.ID == after
			continue
		}
		x := eventInWords(b.Job, e)
		if l.What != "" && x.kind != l.What {
			continue
		}
		if len(l.Events) == eventsOnPage {
			l.More = pageAfter(v.URL, last)
			break
		}
		l.Events, last = append(l.Events, x), e.ID
	}
	if after != "" {
		l.First = pageAfter(v.URL, "")
	}
	b.Events = l
	return content{Title: b.ID + " · Events", Body: b, Still: after != "" || b.State.Ended()}, nil
}

// stepName says what a step key stands for: a step by its stage and id.
func stepName(j *wire.Job, key string) string {
	if key == "" {
		return ""
	}
	kind, i, id := store.ParseKey(key)
	stage := strconv.Itoa(i)
	if i >= 0 && i < len(j.Stages) {
		stage = j.Stages[i].Name
	}
	switch kind {
	case store.PlanKey:
		return "the plan"
	case store.SplitKey:
		return "dividing " + stage
	}
	return stage + " / " + id
}

// eventWords are the events whose sentence needs none of their fields: text, mark, and what choice they belong to.
var eventWords = map[string][3]string{
	"running":     {"The job runs", "running", "stages"},
	"planning":    {"Planning began", "running", "stages"},
	"succeeded":   {"The job succeeded", "succeeded", "stages"},
	"failed":      {"The job failed", "failed", "trouble"},
	"redelivered": {"Handed out once more, as nobody had begun it", "calm", "workers"},
	"revoked":     {"Taken back: the queue had forgotten that it ended", "warning", "workers"},
	"lost":        {"Its worker vanished; it is handed out again", "lost", "workers"},
	"pause":       {"Paused", "paused", "people"},
	"resume":      {"Resumed", "running", "people"},
	"cancel":      {"Cancelled", "cancelled", "people"},
	"retry":       {"Failed steps are tried again", "running", "people"},
	"restart":     {"Begun anew", "running", "people"},
	"admit":       {"Let in: nothing holds it any more", "running", "stages"},
}

// eventInWords makes a sentence of an event. One that this version does not know is shown by its name and fields.
func eventInWords(j *wire.Job, e wire.Event) eventLook {
	f := e.Fields
	x := eventLook{At: e.At, Step: stepName(j, f["step"]), Worker: f["worker"], Reason: f["reason"]}
	if w, known := eventWords[e.Type]; known {
		x.Text, x.Tone, x.kind = w[0], w[1], w[2]
		if f["by"] != "" {
			x.Text += " by " + f["by"]
		}
		return x
	}
	switch e.Type {
	case "accepted":
		x.Text, x.Tone, x.kind = "Accepted", "calm", "people"
		if f["by"] != "" {
			x.Text += ", submitted by " + f["by"]
		}
		if f["held"] != "" {
			x.Text += "; held: " + f["held"]
		}
	case "planned":
		x.Text, x.Tone, x.kind = "Planned: "+countedText(f["stages"], "stage", "stages"), "done", "stages"
	case "stage_started":
		x.Text, x.Tone, x.kind = "Stage "+f["stage"]+" began", "running", "stages"
	case "stage_ended":
		x.Text, x.Tone, x.kind = "Stage "+f["stage"]+" is done", "done", "stages"
	case "attempt_failed":
		x.Text, x.Tone, x.kind = "Failed for the "+nthTime(f["failed"])+" time", "warning", "trouble"
		if ms, err := strconv.ParseInt(f["again_ms"], 10, 64); err == nil {
			x.Text += "; tried again after " + duration(time.Duration(ms)*time.Millisecond)
		}
	case "step_failed":
		x.Text, x.Tone, x.kind = "Failed for good", "failed", "trouble"
	case "given_back":
		x.Text, x.Tone, x.kind = "Given back", "calm", "workers"
	case "begun_again":
		x.Text, x.Tone, x.kind = "Begun again", "done", "workers"
		if ms, err := strconv.ParseInt(f["waited_ms"], 10, 64); err == nil {
			x.Text += " after " + duration(time.Duration(ms)*time.Millisecond)
		}
		if f["from"] != "" {
			x.Text += "; before it was at " + f["from"]
		}
	case "worker_draining":
		x.Text, x.Tone, x.kind = "The worker drains; it holds "+countedText(f["held"], "step", "steps")+" of the job", "draining", "workers"
		if f["by"] != "" {
			x.Text += "; asked for by " + f["by"]
		}
	case "worker_drained", "worker_undrained":
		x.Text, x.Tone, x.kind = "The worker is drained: safe to stop", "drained", "workers"
		if e.Type == "worker_undrained" {
			x.Text, x.Tone = "The worker's drain was taken back", "active"
		}
		if ms, err := strconv.ParseInt(f["took_ms"], 10, 64); err == nil {
			x.Text += ", after " + duration(time.Duration(ms)*time.Millisecond)
		}
		x.Text += fmt.Sprintf("; %s given back, %s ended", cmp.Or(f["given_back"], "0"), cmp.Or(f["ended"], "0"))
	default:
		x.unknown(e)
	}
	return x
}

// unknown shows an event by its name and fields.
func (x *eventLook) unknown(e wire.Event) {
	x.Text, x.Tone, x.kind = sentenceStart(words(e.Type)), "calm", "stages"
	var rest []string
	for name, value := range e.Fields {
		if name != "step" && name != "worker" && name != "reason" && value != "" {
			rest = append(rest, words(name)+" "+value)
		}
	}
	slices.Sort(rest)
	if len(rest) > 0 {
		x.Text += ": " + strings.Join(rest, ", ")
	}
}

// countedText is counted of a number that came as text.
func countedText(n, one, more string) string {
	i, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		return n + " " + more
	}
	return counted(i, one, more)
}

// nthTime writes which time it is: first, second, third, 4th ...
func nthTime(n string) string {
	switch n {
	case "", "1":
		return "first"
	case "2":
		return "second"
	case "3":
		return "third"
	}
	return n + "th"
}
