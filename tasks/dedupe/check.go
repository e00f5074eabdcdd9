package dedupe

import (
	"encoding/json"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/decide"
)

const specHint = "docs/dedupe.md has the form of a spec"

// strictly reads a spec and refuses what it does not know.
func strictly(spec json.RawMessage, into any) error {
	if err := tasks.DecodeStrictly(spec, into); err != nil {
		return tasks.Permanent(tasks.WithHint(err, specHint, "the spec cannot be read"))
	}
	return nil
}

// faults collects what is wrong with a spec; the first one counts.
type faults struct{ first error }

func (f *faults) when(wrong bool, hint, format string, args ...any) {
	if wrong && f.first == nil {
		f.first = tasks.Permanent(tasks.WithHint(nil, hint, format, args...))
	}
}

func (f *faults) duration(name, text string) {
	if text == "" {
		return
	}
	d, err := time.ParseDuration(text)
	f.when(err != nil || d <= 0, "write it as 90s, 15m or 24h", "%s: %q is no duration above 0", name, text)
}

// Check says what is wrong with the spec of a dedupe job.
func (*Family) Check(raw json.RawMessage) error {
	var s Spec
	if err := strictly(raw, &s); err != nil {
		return err
	}
	var f faults
	f.when(s.Store == "", "name a connection of the configuration", "store: it is not said which store is to be analysed")
	f.rules(s.Rules)
	f.duration("keep_archives", s.KeepArchives)
	if s.Apply != nil {
		f.apply(*s.Apply, s.Rules)
	}
	return f.first
}

func (f *faults) rules(r RuleSpec) {
	share := func(name string, v *float64, zero bool) {
		f.when(v != nil && (*v > 1 || *v < 0 || *v == 0 && !zero), "write a share, such as 0.9 for 90 %", "%s: %v is no share", name, value(v))
	}
	f.when(r.Threshold != nil && *r.Threshold < 1, "25 is the default", "threshold: it has to be 1 or more GUIDs")
	share("containment", r.Containment, false)
	share("max_share_customer", r.MaxShareCustomer, true)
	share("max_share", r.MaxShare, true)
	f.when(r.RecencyDays != nil && !(*r.RecencyDays >= 0 && *r.RecencyDays <= maxDays), "7 is the default", "recency_days: %v is no number of days from 0 to %d", value(r.RecencyDays), maxDays)
	f.when(r.TemplateCustomers != nil && *r.TemplateCustomers < 2, "3 is the default", "template_customers: one customer is no sign of a template row: 2 or more")
}

// maxDays bounds recencies: a hundred years.
const maxDays = 36500

func value(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}

func (f *faults) apply(a ApplySpec, r RuleSpec) {
	f.when(a.Limit < 0, "0 deletes nothing", "limit: %d is no number of data sets", a.Limit)
	f.when(a.Batch < 0 || a.Batch > maxBatch, "5000 is the default", "batch: %d is no number of rows from 1 to %d", a.Batch, maxBatch)
	f.when(a.Busy < 0 || a.Busy > 1, "0.5 is the default", "busy: %v is no share of the time", a.Busy)
	f.when(a.MaxWaiting < 0, "5 is the default", "max_waiting: %d is no number of sessions", a.MaxWaiting)
	f.duration("max_lag", a.MaxLag)
	f.duration("max_probe", a.MaxProbe)
	f.duration("max_age", a.MaxAge)
	if a.RecencyDays != nil {
		least := decide.Defaults().Recency
		if r.RecencyDays != nil {
			least = days(*r.RecencyDays)
		}
		f.when(days(*a.RecencyDays) < least, "analyse again with the shorter one", "recency_days: a deletion cannot go by fewer days (%v) than its analysis", *a.RecencyDays)
		f.when(*a.RecencyDays > maxDays, "7 is the default", "recency_days: %v is more than %d days", *a.RecencyDays, maxDays)
	}
}

// maxBatch bounds transactions: larger ones hold locks for seconds and gain nothing.
const maxBatch = 100_000

// Check says what is wrong with the spec of a deletion.
func (*Deletions) Check(raw json.RawMessage) error {
	var s DeletionSpec
	if err := strictly(raw, &s); err != nil {
		return err
	}
	var f faults
	f.when(s.Job == "", "give the id of the job that made the analysis", "job: it is not said which analysis is to be applied")
	f.when(s.Store == "", "name the connection of the store that was analysed", "store: it is not said which store this is about")
	f.when(s.Digest == "", "give the digest of the analysis: it says that you have seen this one", "digest: it is missing")
	zero := 0.0
	f.apply(s.Apply, RuleSpec{RecencyDays: &zero}) // the analysis itself knows its recency, and is asked when it is read
	return f.first
}

// Check says what is wrong with the spec of a restoration.
func (*Restorations) Check(raw json.RawMessage) error {
	var s RestorationSpec
	if err := strictly(raw, &s); err != nil {
		return err
	}
	var f faults
	f.when(s.Job == "", "give the id of the job that deleted", "job: it is not said which deletion is to be undone")
	f.when(s.Store == "", "name the connection of the store", "store: it is not said which store this is about")
	return f.first
}

// Connections lists what an analysis opens.
func (*Family) Connections(raw json.RawMessage) ([]string, error) { return storeOf(raw) }

// Connections lists what a deletion opens.
func (*Deletions) Connections(raw json.RawMessage) ([]string, error) { return storeOf(raw) }

// Connections lists what a restoration opens.
func (*Restorations) Connections(raw json.RawMessage) ([]string, error) { return storeOf(raw) }

func storeOf(raw json.RawMessage) ([]string, error) {
	var s struct {
		Store string `json:"store"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, tasks.Permanent(tasks.WithHint(err, specHint, "the spec cannot be read"))
	}
	if s.Store == "" {
		return nil, nil
	}
	return []string{s.Store}, nil
}

func days(n float64) time.Duration { return time.Duration(n * 24 * float64(time.Hour)) }

// rules fills in what the spec does not say.
func (r RuleSpec) rules(now time.Time) decide.Rules {
	out := decide.Defaults()
	out.Now, out.Exempt = now, r.Exempt
	if r.Threshold != nil {
		out.Threshold = *r.Threshold
	}
	if r.Containment != nil {
		out.Containment = *r.Containment
	}
	if r.RecencyDays != nil {
		out.Recency = days(*r.RecencyDays)
	}
	if r.MaxShareCustomer != nil {
		out.MaxShareCustomer = *r.MaxShareCustomer
	}
	if r.MaxShare != nil {
		out.MaxShare = *r.MaxShare
	}
	return out
}
