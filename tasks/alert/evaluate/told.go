package evaluate

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// tell decides what becomes of the matches of an evaluation.
func (e *evaluation) tell(matches []condition.Match) error {
	for _, m := range matches {
		m["num_hits"], m["num_matches"] = e.out.Hits, len(matches)
		key, name := e.keyOf(m), e.rule.RealertKey
		if key != nil {
			name += "." + *key
		}
		told := text(key)
		if e.rule.Aggregation.On() {
			told = text(named(m, e.rule.Aggregation.Key))
		}
		if open, ok := e.state.Open[told]; ok {
			open.Last = e.now
			e.state.Open[told] = open
		}
		if s, ok := e.state.Silences[name]; ok && e.now.Before(s.Until) {
			continue
		}
		if e.rule.Realert > 0 {
			e.silence(name)
		}
		if err := e.topCounts(m); err != nil {
			return err
		}
		if e.rule.Aggregation.On() {
			if err := e.group(m); err != nil {
				return err
			}
			continue
		}
		e.alert(Alert{Key: text(key), At: e.now, Matches: []condition.Match{m}})
	}
	return nil
}

func text(key *string) string {
	if key == nil {
		return ""
	}
	return *key
}

// alert adds an alert and remembers that it is open.
func (e *evaluation) alert(a Alert) {
	e.out.Alerts = append(e.out.Alerts, a)
	if e.state.Open == nil {
		e.state.Open = map[string]Open{}
	}
	e.state.Open[a.Key] = Open{Last: e.now}
}

// keyOf returns the key of a match; nil where it has none.
func (e *evaluation) keyOf(m condition.Match) *string {
	if e.rule.Type == rule.Flatline {
		if v, ok := m["key"]; ok {
			key := document.Text(v)
			return &key
		}
	}
	return named(m, e.rule.QueryKey)
}

// named returns the value of a key of one or several fields in a match.
func named(m condition.Match, fields []string) *string {
	if len(fields) == 0 {
		return nil
	}
	name := fields[0]
	for _, f := range fields[1:] {
		name += "," + f
	}
	v := document.Value(m, name)
	if v == nil {
		return nil
	}
	key := document.Text(v)
	return &key
}

// silence holds back further matches of a name: for the rule's realert, or for longer each time where that is exponential and they come
// soon after the last silence. The steps and their decay are those of ElastAlert.
func (e *evaluation) silence(name string) {
	until, exponent := e.now.Add(e.rule.Realert), 0
	if last, ok := e.state.Silences[name]; ok && e.rule.ExponentialRealert > 0 {
		until, exponent = nextSilence(e.rule, last, e.now)
	}
	if e.state.Silences == nil {
		e.state.Silences = map[string]Silence{}
	}
	e.state.Silences[name] = Silence{until, exponent}
}

func nextSilence(r *rule.Rule, last Silence, now time.Time) (time.Time, int) {
	seconds := func(d time.Duration) int64 { return int64(d / time.Second) } // whole ones, as the original has it
	exponent := last.Exponent
	length := func() int64 { // of the silence at this exponent; it is less than 2^63 as it never gets far beyond the bound
		return seconds(r.Realert) << min(max(exponent, 0), 30)
	}
	if since := floorSeconds(now.Sub(last.Until)); since < length() {
		exponent++
	} else {
		for since > length() && exponent > 0 {
			since -= length()
			exponent--
		}
	}
	wait := time.Duration(length()) * time.Second
	if wait >= r.ExponentialRealert {
		return now.Add(r.ExponentialRealert), exponent - 1
	}
	return now.Add(wait), exponent
}

func floorSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d < 0 && d%time.Second != 0 {
		s--
	}
	return s
}

// group adds a match to those that are told together.
func (e *evaluation) group(m condition.Match) error {
	a := e.rule.Aggregation
	key := text(named(m, a.Key))
	if e.state.Groups == nil {
		e.state.Groups = map[string]*Group{}
	}
	g := e.state.Groups[key]
	if g == nil || e.now.After(g.At) {
		if g != nil { // its time has come, and nobody has told it yet
			e.flush(key, g)
		}
		at, err := e.groupAt(m)
		if err != nil {
			return err
		}
		g = &Group{At: at}
		e.state.Groups[key] = g
	}
	if len(g.Matches) < MaxGrouped {
		g.Matches = append(g.Matches, m)
	} else {
		g.More++
	}
	return nil
}

// groupAt says when a group that begins with this match is told.
func (e *evaluation) groupAt(m condition.Match) (time.Time, error) {
	a := e.rule.Aggregation
	if a.Schedule != "" {
		r, err := rule.ParseCron(a.Schedule)
		if err != nil {
			return time.Time{}, err
		}
		return r.Next(e.now), nil
	}
	if a.ByMatchTime {
		if at, err := time.Parse(time.RFC3339Nano, document.Text(document.Value(m, e.rule.Timestamp.Field))); err == nil {
			return at.Add(a.For), nil
		}
	}
	return e.now.Add(a.For), nil
}

// flush makes an alert of a group.
func (e *evaluation) flush(key string, g *Group) {
	e.alert(Alert{Key: key, At: e.now, Matches: g.Matches, More: g.More})
	delete(e.state.Groups, key)
}

// flushDue makes alerts of the groups whose time has come.
func (e *evaluation) flushDue() {
	keys := slices.SortedFunc(maps.Keys(e.state.Groups), func(a, b string) int {
		return cmp.Or(e.state.Groups[a].At.Compare(e.state.Groups[b].At), cmp.Compare(a, b))
	})
	for _, key := range keys {
		if g := e.state.Groups[key]; e.now.After(g.At) {
			e.flush(key, g)
		}
	}
}

// resolve finds alerts that are over: by the lights of the rule's type, or because nothing has matched for long.
func (e *evaluation) resolve(c condition.Condition) {
	after := ResolveAfter(e.rule)
	mixed := e.rule.Aggregation.On() && !slices.Equal(e.rule.Aggregation.Key, e.rule.QueryKey) // an alert has matches of several keys
	for _, key := range slices.Sorted(maps.Keys(e.state.Open)) {
		if e.state.Groups[key] != nil { // more of it will be told
			continue
		}
		o := e.state.Open[key]
		well, known := c.Quiet(key)
		known = known && !mixed
		if o.Last.Equal(e.now) || known && !well || !known && e.now.Sub(o.Last) < after {
			continue
		}
		delete(e.state.Open, key)
		e.out.Resolved = append(e.out.Resolved, key)
	}
}

// leastResolveAfter is the least that an alert stays open of which nobody says for how long.
const leastResolveAfter = 5 * time.Minute

// ResolveAfter is how long nothing must match until an alert of the rule is over, where its type cannot tell. An alert with a ladder
// is not over before that has been climbed: it would never get louder of one event.
func ResolveAfter(r *rule.Rule) time.Duration {
	if r.ResolveAfter > 0 {
		return r.ResolveAfter
	}
	after := max(r.Timeframe, r.Realert, 2*r.RunEvery, leastResolveAfter)
	for _, l := range r.Escalate {
		after = max(after, l.After+l.Repeat*time.Duration(l.Repeats)+leastResolveAfter)
	}
	return after
}

// bound forgets what is over, and what is too much.
func (s *State) bound(now time.Time, exponential time.Duration) (resolved []string) {
	for name, x := range s.Silences { // an exponent decays while a silence is over, and is of no use when it would be 0
		if quiet := now.Sub(x.Until); quiet > 0 && (exponential == 0 || quiet > 4*exponential) {
			delete(s.Silences, name)
		}
	}
	if over := len(s.Silences) - MaxKeys; over > 0 {
		names := slices.SortedFunc(maps.Keys(s.Silences), func(a, b string) int { return s.Silences[a].Until.Compare(s.Silences[b].Until) })
		for _, name := range names[:over] {
			delete(s.Silences, name)
		}
	}
	if over := len(s.Open) - MaxKeys; over > 0 {
		keys := slices.SortedFunc(maps.Keys(s.Open), func(a, b string) int { return s.Open[a].Last.Compare(s.Open[b].Last) })
		for _, key := range keys[:over] {
			delete(s.Open, key)
			resolved = append(resolved, key)
		}
	}
	return resolved
}
