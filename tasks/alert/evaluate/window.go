package evaluate

import (
	"time"

	"github.com/stint-run/stint/tasks/alert/rule"
)

// start returns where the events of an evaluation that ends at end begin.
func (s *State) start(r *rule.Rule, end time.Time) time.Time {
	if r.ScanEntire && !r.Aggregates() {
		return end.Add(-r.Timeframe)
	}
	if r.UseCountQuery || r.UseTermsQuery || r.Aggregates() && r.UseRunEverySize {
		if !s.End.IsZero() {
			return s.End
		}
		return end.Add(-r.RunEvery)
	}
	buffer := end.Add(-r.BufferTime)
	switch {
	case s.MinStart.After(buffer):
		return s.align(r, s.MinStart)
	case !s.End.IsZero() && s.End.Before(buffer):
		start := s.End
		if r.Aggregates() && r.AllowOverlap && r.BufferTime > r.RunEvery {
			start = start.Add(-(r.BufferTime - r.RunEvery))
		}
		return s.align(r, start)
	}
	return s.align(r, buffer)
}

// reach is how far back evaluations ask for events that earlier ones have seen.
func reach(r *rule.Rule) time.Duration {
	if r.ScanEntire && !r.Aggregates() {
		return max(r.BufferTime, r.Timeframe)
	}
	return r.BufferTime
}

// align moves the start of a metric's window to the border of a bucket, where the rule wants that.
func (s *State) align(r *rule.Rule, start time.Time) time.Time {
	if r.Aggregates() && r.BucketInterval > 0 && r.SyncBuckets {
		return start.Truncate(r.BucketInterval)
	}
	return start
}

// segment returns the length of one query: what lies further back is asked for in several.
func segment(r *rule.Rule) time.Duration {
	if r.UseCountQuery || r.UseTermsQuery || r.Aggregates() && r.UseRunEverySize {
		return r.RunEvery
	}
	return r.BufferTime
}

// span is one query's time.
type span struct{ start, end time.Time }

// spans cuts (start, end] into queries. Those of metrics have to be whole, so that each value is of as much time as the others: what is
// left over waits for the next evaluation.
func spans(r *rule.Rule, start, end time.Time) []span {
	var out []span
	size := segment(r)
	for end.Sub(start) > size {
		out = append(out, span{start, start.Add(size)})
		start = start.Add(size)
	}
	if end.After(start) && (!r.Aggregates() || end.Sub(start) == size) {
		out = append(out, span{start, end})
	}
	return out
}

// NextDue returns the first time of a rule's grid after the one that was evaluated last; of a rule that never was, the last one up to
// now. The grid counts from the beginning of 1970 in UTC.
func (s *State) NextDue(r *rule.Rule, now time.Time) time.Time {
	if s.Due.IsZero() {
		return Grid(now, r.RunEvery)
	}
	next := Grid(s.Due, r.RunEvery).Add(r.RunEvery)
	if oldest := Grid(now.Add(-OldQueryLimit), r.RunEvery); next.Before(oldest) {
		return oldest
	}
	return next
}

// Grid returns the last time of a grid up to a time.
func Grid(at time.Time, every time.Duration) time.Time {
	if every <= 0 {
		return at
	}
	since := time.Duration(at.UnixNano())
	return time.Unix(0, int64(since-since%every)).UTC()
}
