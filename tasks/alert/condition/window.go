package condition

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"time"
)

// maxPoints is how many points a window has before those that lie close together become one; half of it are left at least.
const maxPoints = 1000

// point is what a window has of a moment: an event, a count of events, a metric.
type point struct {
	at     int64   // nanoseconds since 1970
	n      float64 // the count, or the sum of values
	real   int     // how many were added; 0 is a mark that says only that time has passed, or a value that is null
	lo, hi float64 // the least and the greatest of several values
	mark   bool    // put there by the end of a window
	text   string  // the time as the event writes it, where that is another way
	doc    map[string]any
}

// counted is a point of so many events.
func counted(at time.Time, n float64) point {
	return point{at: at.UnixNano(), n: n, real: 1, lo: n, hi: n}
}

func (p *point) time() time.Time { return time.Unix(0, p.at).UTC() }

// timeText returns its time as a match shows it.
func (p *point) timeText() string {
	if p.text != "" {
		return p.text
	}
	return TimeText(p.time())
}

// window is the points of less than a timeframe, by time, that end with the newest. It is exact up to maxPoints; of more, those that are
// less than a thousandth of the timeframe apart become one, at the time of the newest of them.
type window struct {
	points []point
	sum    float64 // of n
	real   int     // of real
}

// add puts a point where it belongs, and takes out, oldest first, what is a timeframe or more older than the newest.
func (w *window) add(p point, frame time.Duration, limit int, removed func(point)) {
	i := sort.Search(len(w.points), func(i int) bool { return w.points[i].at > p.at })
	w.points = slices.Insert(w.points, i, p)
	w.sum += p.n
	w.real += p.real
	newest := w.points[len(w.points)-1].at
	for newest-w.points[0].at >= int64(frame) {
		oldest := w.points[0]
		w.points[0] = point{}
		w.points = w.points[1:]
		w.sum -= oldest.n
		if w.real -= oldest.real; w.real == 0 { // what is left of fractions is not a value
			w.sum = 0
		}
		if removed != nil {
			removed(oldest)
		}
	}
	if len(w.points) > 2*limit {
		w.merge(max(int64(frame)/int64(limit), 1))
	}
}

// merge makes one point of those within the same stretch of time.
func (w *window) merge(stretch int64) {
	out := w.points[:1]
	for _, p := range w.points[1:] {
		last := &out[len(out)-1]
		if p.at/stretch != last.at/stretch {
			out = append(out, p)
			continue
		}
		switch {
		case last.real == 0:
			last.lo, last.hi = p.lo, p.hi
		case p.real > 0:
			last.lo, last.hi = min(last.lo, p.lo), max(last.hi, p.hi)
		}
		if last.n == 0 || last.mark {
			last.doc, last.text = p.doc, p.text
		}
		last.at, last.n, last.real, last.mark = p.at, last.n+p.n, last.real+p.real, last.mark && p.mark
	}
	clear(w.points[len(out):])
	w.points = out
}

func (w *window) empty() bool { return len(w.points) == 0 }

func (w *window) newest() *point { return &w.points[len(w.points)-1] }

// mean returns the mean of the values, and whether there are any.
func (w *window) mean() (float64, bool) {
	sum, n := 0.0, 0
	for i := range w.points {
		sum, n = sum+w.points[i].n, n+w.points[i].real
	}
	if n == 0 {
		return 0, false
	}
	return sum / float64(n), true
}

// least and greatest return the least and the greatest of the values, and whether there are any.
func (w *window) least() (float64, bool) {
	return w.best(func(a, b *point) bool { return a.lo < b.lo }, func(p *point) float64 { return p.lo })
}

func (w *window) greatest() (float64, bool) {
	return w.best(func(a, b *point) bool { return a.hi > b.hi }, func(p *point) float64 { return p.hi })
}

func (w *window) best(better func(a, b *point) bool, value func(*point) float64) (float64, bool) {
	var found *point
	for i := range w.points {
		if p := &w.points[i]; p.real > 0 && (found == nil || better(p, found)) {
			found = p
		}
	}
	if found == nil {
		return 0, false
	}
	return value(found), true
}

type savedWindow struct {
	Sum    float64           `json:"s,omitempty"`
	First  int64             `json:"t"`
	Points []json.RawMessage `json:"p"` // each by how much later it is than the one before: a number for one event, less than 0 for a mark
}

type savedPoint struct {
	Later int64          `json:"d"`
	N     float64        `json:"n,omitempty"`
	Real  int            `json:"r,omitempty"`
	Lo    float64        `json:"l,omitempty"`
	Hi    float64        `json:"h,omitempty"`
	Mark  bool           `json:"m,omitempty"`
	Text  string         `json:"x,omitempty"`
	Doc   map[string]any `json:"e,omitempty"`
}

// MarshalJSON writes the window.
func (w *window) MarshalJSON() ([]byte, error) {
	if w.empty() {
		return []byte("null"), nil
	}
	out := savedWindow{Sum: w.sum, First: w.points[0].at, Points: make([]json.RawMessage, len(w.points))}
	before := out.First
	for i := range w.points {
		p := &w.points[i]
		later := p.at - before
		before = p.at
		var v any = savedPoint{Later: later, N: p.n, Real: p.real, Lo: p.lo, Hi: p.hi, Mark: p.mark, Text: p.text, Doc: p.doc}
		if p.doc == nil && p.text == "" {
			switch {
			case p.n == 1 && p.real == 1 && !p.mark && p.lo == 1 && p.hi == 1:
				v = later
			case p.n == 0 && p.real == 0 && p.mark:
				v = -1 - later
			}
		}
		b, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("write a point: %w", err)
		}
		out.Points[i] = b
	}
	return json.Marshal(out)
}

// UnmarshalJSON takes up the window.
func (w *window) UnmarshalJSON(b []byte) error {
	var in savedWindow
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*w = window{sum: in.Sum, points: make([]point, 0, len(in.Points))}
	at := in.First
	for _, raw := range in.Points {
		p := point{n: 1, real: 1, lo: 1, hi: 1}
		var later int64
		if len(raw) > 0 && raw[0] == '{' {
			var s savedPoint
			if err := decode(raw, &s); err != nil {
				return err
			}
			later = s.Later
			p = point{n: s.N, real: s.Real, lo: s.Lo, hi: s.Hi, mark: s.Mark, text: s.Text, doc: s.Doc}
		} else {
			if err := json.Unmarshal(raw, &later); err != nil {
				return err
			}
			if later < 0 {
				later, p = -1-later, point{mark: true}
			}
		}
		at += later
		p.at = at
		w.real += p.real
		w.points = append(w.points, p)
	}
	return nil
}

// budget is how many bytes of documents are still remembered.
type budget int

// keep returns a document if there is room for it.
func (b *budget) keep(doc map[string]any) map[string]any {
	if doc == nil {
		return nil
	}
	n := sizeOf(doc)
	if n > int(*b) || n > MaxDocuments/256 {
		return nil
	}
	*b -= budget(n)
	return doc
}

// sizeOf is about how many bytes a value has as JSON.
func sizeOf(v any) int {
	switch v := v.(type) {
	case map[string]any:
		n := 2
		for k, x := range v {
			n += len(k) + 4 + sizeOf(x)
		}
		return n
	case []any:
		n := 2
		for _, x := range v {
			n += 1 + sizeOf(x)
		}
		return n
	case string:
		return len(v) + 2
	case json.Number:
		return len(v)
	}
	return 8
}
