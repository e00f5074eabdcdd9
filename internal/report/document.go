package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// Document is a report as it is laid out for people, in text that is not escaped yet. Markdown and HTML are made from it.
type Document struct {
	Title   string
	State   tasks.State
	Mood    string   // good, bad, or open: how it went, as a colour
	Verdict []string // what most readers want to know, in sentences
	Parts   []Part
}

// Part is a section of a document; what is empty of it is not shown.
type Part struct {
	ID     string // for links within the page
	Title  string
	Text   []string
	Facts  []Fact
	Tables []Table
	Code   string
	List   []string
}

// Fact is a name and its value.
type Fact struct{ Name, Value string }

// Table is rows of cells.
type Table struct {
	Caption string
	Heads   []Head
	Rows    [][]string
}

// Head names a column. Number sets it to the right, and Moment on one line.
type Head struct {
	Name           string
	Number, Moment bool
}

// heads names columns; those that end in # hold numbers, those in @ times.
func heads(names ...string) []Head {
	list := make([]Head, len(names))
	for i, n := range names {
		name, number := strings.CutSuffix(n, "#")
		name, at := strings.CutSuffix(name, "@")
		list[i] = Head{name, number, at}
	}
	return list
}

// Compose lays a report out. The order is that of the questions: did it go well, what was moved, is it proven, what was in the way,
// and at last what only an engineer reads.
func Compose(r *wire.Report) *Document {
	d := &Document{Title: "Report of job " + r.Job.ID, State: r.Job.State, Mood: mood(r), Verdict: verdict(r)}
	d.Parts = append(d.Parts, Part{ID: "job", Title: "The job", Facts: jobFacts(r)}, stagesPart(r))
	d.Parts = append(d.Parts, proofPart(r)...)
	d.Parts = append(d.Parts, verificationPart(r), workersPart(r), drainsPart(r), lossesPart(r), retriesPart(r))
	d.Parts = append(d.Parts, findingsPart(r)...)
	for i, s := range r.Sections {
		p := Part{ID: "section-" + strconv.Itoa(i+1), Title: s.Title}
		if s.Text != "" {
			p.Text = []string{s.Text}
		}
		if len(s.Columns) > 0 {
			t := Table{}
			for _, name := range s.Columns {
				t.Heads = append(t.Heads, Head{Name: name})
			}
			for _, row := range s.Rows {
				t.Rows = append(t.Rows, fit(row, len(s.Columns)))
			}
			p.Tables = []Table{t}
		}
		d.Parts = append(d.Parts, p)
	}
	d.Parts = append(d.Parts, historyPart(r), specPart(r))
	if len(r.Gaps) > 0 {
		d.Parts = append(d.Parts, Part{ID: "gaps", Title: "What this report lacks", List: r.Gaps})
	}
	made := fmt.Sprintf("Made on %s by stint %s.", moment(&r.Made.At), r.Made.Version)
	d.Parts = append(d.Parts, Part{ID: "digest", Title: "Digest", Code: Plain(r.Digest), Text: []string{
		"Two copies of this report with the same digest say the same. It is the SHA-256 of the report's JSON without its fields digest and made, in the canonical form of RFC 8785.",
		"The report is not signed: the digest tells what it says, not who made it.", made}})
	return d
}

// fit makes a row as long as the heads of its table.
func fit(row []string, n int) []string {
	row = slices.Clone(row[:min(len(row), n)])
	for len(row) < n {
		row = append(row, "")
	}
	return row
}

// differences is how many a job has found, and whether looking for them is what it does. Findings that are no longer kept are those
// of a verification that found very many.
func differences(r *wire.Report) (n int64, known bool) {
	var notes int64
	for _, f := range r.Findings {
		if f.Level == tasks.LevelNote {
			notes++
		}
	}
	if r.Job.Kind == "verification" {
		return r.Job.Findings - notes, true
	}
	return int64(len(r.Findings)) - notes, false
}

// mood is how a job went: bad also when it did not do what it was asked, whatever its state says.
func mood(r *wire.Report) string {
	found, _ := differences(r)
	wrong := slices.ContainsFunc(r.Verifications, func(x wire.Verification) bool { return x.Differences > 0 })
	switch {
	case r.Job.State == tasks.Failed || r.Job.State == tasks.Cancelled || found > 0 || wrong:
		return "bad"
	case r.Job.State != tasks.Succeeded || r.Job.Counters.StepsFailed > 0:
		return "open"
	}
	return "good"
}

// verdict says in sentences whether the job did what it was asked.
func verdict(r *wire.Report) []string {
	v := r.Job
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	switch {
	case v.State == tasks.Succeeded && v.Counters.StepsFailed > 0:
		add("The job ended, but %s failed for good and %s skipped, as its policy says.", plural(v.Counters.StepsFailed, "step"), were(v.Counters.StepsFailed))
	case v.State == tasks.Succeeded:
		add("The job succeeded: all %s ended.", plural(v.Counters.StepsDone, "step"))
	case v.State.Ended():
		add("The job was not carried out to its end: it is %s.", v.State)
	default:
		add("The job has not ended: it is %s. This report is as of now.", v.State)
	}
	if v.Error != nil {
		add("Error: %s", v.Error.Message)
		if v.Error.Hint != "" {
			add("What to do: %s", v.Error.Hint)
		}
	}
	if n, known := differences(r); known {
		add("%s compared: %s equal, %s in quarantine; %s found.", plural(v.Counters.Read, "row"), count(v.Counters.Written), count(v.Counters.Quarantined), plural(n, "difference"))
	} else if c := v.Counters; c.Read > 0 {
		left := c.Read - c.Written - c.Quarantined - c.Skipped
		text := fmt.Sprintf("%s read: %s written, %s set aside", plural(c.Read, "row"), count(c.Written), count(c.Quarantined))
		if n := c.Skipped; n > 0 {
			text += fmt.Sprintf(", %s left out on purpose", count(n))
		}
		if left == 0 {
			text += ". Every row that was read is accounted for."
		} else {
			text += "."
		}
		list = append(list, text)
	}
	for _, x := range r.Verifications {
		if x.State.Ended() {
			list = append(list, verified(x))
			break
		}
	}
	return append(list, interruptions(r))
}

func verified(x wire.Verification) string {
	switch {
	case x.Equal:
		return fmt.Sprintf("Verified row by row by %s: %s compared, no difference.", x.ID, plural(x.Rows, "row"))
	case x.State == tasks.Succeeded:
		return fmt.Sprintf("Verified row by row by %s: %s in %s.", x.ID, plural(x.Differences, "difference"), plural(x.Rows, "row"))
	}
	return fmt.Sprintf("The verification %s proves nothing: it is %s.", x.ID, x.State)
}

// interruptions adds up what was in the way.
func interruptions(r *wire.Report) string {
	var back, failed, lost int64
	for _, w := range r.Workers {
		back, failed, lost = back+w.GivenBack, failed+w.Failed, lost+w.Lost
	}
	if len(r.Drains) == 0 && len(r.Losses) == 0 && back+failed+lost == 0 {
		return "Nothing interrupted it, as far as is known: no worker was drained or lost, and no attempt failed."
	}
	end := ""
	if r.Job.State == tasks.Succeeded && r.Job.Counters.StepsFailed == 0 {
		end = " All that was interrupted ran again, to its end."
	}
	return fmt.Sprintf("Interruptions: %s, %s; %s given back, %s lost, %s failed.", plural(int64(len(r.Drains)), "drain"),
		plural(int64(len(r.Losses)), "lost worker"), plural(back, "attempt"), count(lost), count(failed)) + end
}

func jobFacts(r *wire.Report) []Fact {
	v := r.Job
	var list []Fact
	add := func(name, value string) {
		if value != "" {
			list = append(list, Fact{name, value})
		}
	}
	add("Job", v.ID)
	add("Kind", v.Kind)
	if r.About != nil {
		add("About", r.About.ID)
	}
	add("Tenant", v.Tenant)
	for _, name := range slices.Sorted(maps.Keys(v.Labels)) {
		add("Label "+name, v.Labels[name])
	}
	add("Source", r.Source)
	add("Target", r.Target)
	add("Submitted by", r.SubmittedBy)
	add("Accepted", moment(&v.CreatedAt))
	add("Started", moment(v.StartedAt))
	add("Ended", moment(v.EndedAt))
	if r.DurationMS > 0 {
		add("Duration", length(r.DurationMS))
	}
	add("State", string(v.State))
	add("Held by", v.Held)
	if v.Error != nil {
		add("Error", v.Error.Message)
		add("Hint", v.Error.Hint)
	}
	add("Policy", fmt.Sprintf("a step is tried again up to %s; one that failed for good: %s", plural(int64(r.Policy.Retries), "time"), r.Policy.OnFailure))
	add("Window", plural(int64(v.Window), "step")+" at once")
	add("Engine", strings.Join(r.Versions, ", "))
	if v.Epoch > 1 {
		add("Run", strconv.FormatInt(v.Epoch, 10))
	}
	add("Trace", v.TraceID)
	return list
}

func specPart(r *wire.Report) Part {
	p := Part{ID: "spec", Title: "What was asked for", Text: []string{"As it was frozen when the job was accepted. SHA-256 of its canonical form: " + r.SpecSHA256}}
	var b bytes.Buffer
	if len(r.Job.Spec) > 0 && json.Indent(&b, r.Job.Spec, "", "  ") == nil {
		p.Code = visible(b.String())
	}
	return p
}

// visible writes what plain would replace as JSON does, so that the text of a spec still says what the spec says.
func visible(spec string) string {
	var b strings.Builder
	for _, r := range spec {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Plain keeps control characters, and those that turn the direction of text, out of what is shown: foreign data must not be able to
// move what stands beside it.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n"))
}

// moment writes a time of day, in UTC, to the second; exactly to the millisecond.
func moment(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func exactly(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}

// length writes a duration as people say it.
func length(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case ms < 1000:
		return fmt.Sprintf("%d ms", ms)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%s h %d min", count(int64(d/time.Hour)), d%time.Hour/time.Minute)
}

// count writes 1234567 as 1,234,567.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return count(n) + " " + word + "s"
}

func were(n int64) string {
	if n == 1 {
		return "was"
	}
	return "were"
}
