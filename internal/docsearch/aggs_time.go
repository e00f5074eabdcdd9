package docsearch

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var fixedInterval = regexp.MustCompile(`^([+-]?)(\d+)(ms|s|m|h|d)$`)

var unitLength = map[string]int64{"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

// readFixed reads 5m, +30s or -1h in milliseconds.
func readFixed(s string) (int64, bool) {
	m := fixedInterval.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[2], 10, 64)
	if err != nil || n > math.MaxInt64/unitLength[m[3]] {
		return 0, false
	}
	if n *= unitLength[m[3]]; m[1] == "-" {
		n = -n
	}
	return n, true
}

var calendar = map[string]string{"minute": "m", "1m": "m", "hour": "h", "1h": "h", "day": "d", "1d": "d", "week": "w", "1w": "w", "month": "M", "1M": "M",
	"quarter": "q", "1q": "q", "year": "y", "1y": "y"}

// interval is how a histogram of times is divided.
type interval struct {
	fixed  int64  // milliseconds; or
	unit   string // one of the calendar
	offset int64
	zone   *time.Location
}

func (c *compiler) interval(o *options) (*interval, error) {
	h := &interval{zone: time.UTC}
	if fixed := o.text("fixed_interval", ""); fixed != "" {
		var ok bool
		if h.fixed, ok = readFixed(fixed); !ok || h.fixed <= 0 {
			return nil, fmt.Errorf("%s has the fixed_interval %q, which is not like 30s, 5m or 1d", o.where, fixed)
		}
	}
	if unit := o.text("calendar_interval", ""); unit != "" {
		if h.unit = calendar[unit]; h.unit == "" || h.fixed > 0 {
			return nil, fmt.Errorf("%s has the calendar_interval %q, which is none, or a fixed_interval too", o.where, unit)
		}
	}
	if old := o.text("interval", ""); old != "" { // as it was before 7.2
		var ok bool
		if h.unit = calendar[old]; h.unit == "" {
			if h.fixed, ok = readFixed(old); !ok || h.fixed <= 0 {
				return nil, fmt.Errorf("%s has the interval %q, which is none", o.where, old)
			}
		}
	}
	if h.fixed == 0 && h.unit == "" {
		return nil, fmt.Errorf("%s has no fixed_interval and no calendar_interval", o.where)
	}
	if offset := o.text("offset", ""); offset != "" && offset != "0" {
		var ok bool
		if h.offset, ok = readFixed(offset); !ok {
			return nil, fmt.Errorf("%s has the offset %q, which is not like +30s", o.where, offset)
		}
	}
	if zone := o.text("time_zone", ""); zone != "" {
		var err error
		if h.zone, err = readZone(zone); err != nil {
			return nil, fmt.Errorf("%s: %w", o.where, err)
		}
	}
	return h, nil
}

// floor returns where the bucket of a time begins.
func (h *interval) floor(ms int64) int64 {
	if h.unit != "" {
		return floor(time.UnixMilli(ms-h.offset).In(h.zone), h.unit).UnixMilli() + h.offset
	}
	_, seconds := time.UnixMilli(ms).In(h.zone).Zone()
	local := ms - h.offset + int64(seconds)*1000
	rest := local % h.fixed
	if rest < 0 {
		rest += h.fixed
	}
	return ms - rest
}

// next returns where the bucket after one begins.
func (h *interval) next(start int64) int64 {
	if h.unit == "" {
		return start + h.fixed
	}
	t := time.UnixMilli(start - h.offset).In(h.zone)
	if h.unit == "q" {
		return add(t, 3, "M").UnixMilli() + h.offset
	}
	return add(t, 1, h.unit).UnixMilli() + h.offset
}

// times returns the times of a document, in milliseconds.
func (h *interval) times(d *view, field string, missing any) []int64 {
	f := d.field(field)
	values := f.values
	if len(values) == 0 && missing != nil {
		values = []any{missing}
	}
	var out []int64
	for _, v := range values {
		if ms, ok := f.moment(v); ok {
			out = append(out, ms)
		} else if n, isNumber := v.(json.Number); isNumber && f.time == nil {
			f, _ := n.Float64()
			out = append(out, int64(f))
		}
	}
	return out
}

// maxBuckets is how many buckets one answer has at most, as with Elasticsearch.
const maxBuckets = 65_536

// dateHistogram is of the documents of each stretch of time.
type dateHistogram struct {
	interval
	field   string
	least   int
	missing any
	desc    bool
	keyed   bool
	sub     aggs
}

func (c *compiler) dateHistogram(o *options, sub aggs) (agg, error) {
	h, err := c.interval(o)
	if err != nil {
		return nil, err
	}
	a := &dateHistogram{interval: *h, field: o.text("field", ""), least: o.whole("min_doc_count", 0), keyed: o.flag("keyed", false), sub: sub}
	a.missing, _ = o.take("missing")
	if by, ok := o.take("order"); ok {
		m, _ := by.(map[string]any)
		dir, ok := m["_key"]
		if len(m) != 1 || !ok {
			return nil, fmt.Errorf("%s can be ordered by _key alone here", o.where)
		}
		a.desc = dir == "desc"
	}
	if format := o.text("format", ""); format != "" && !strings.HasPrefix(format, "strict_date_optional_time") && format != "date_optional_time" {
		return nil, fmt.Errorf("%s has the format %q; strict_date_optional_time is there", o.where, format)
	}
	return a, needs(o, a.field)
}

func (a *dateHistogram) run(docs []*view) map[string]any {
	found := map[int64][]*view{}
	for _, d := range docs {
		var in []int64
		for _, ms := range a.times(d, a.field, a.missing) {
			if b := a.floor(ms); !slices.Contains(in, b) {
				in = append(in, b)
				found[b] = append(found[b], d)
			}
		}
	}
	starts := filled(found, a.least, a.next)
	if a.desc {
		slices.Reverse(starts)
	}
	buckets, keyed := make([]any, 0, len(starts)), map[string]any{}
	for _, ms := range starts {
		if len(found[ms]) < a.least {
			continue
		}
		b := a.sub.bucket(found[ms])
		b["key"], b["key_as_string"] = json.Number(strconv.FormatInt(ms, 10)), isoText(ms)
		buckets = append(buckets, b)
		keyed[isoText(ms)] = b
	}
	if a.keyed {
		return map[string]any{"buckets": keyed}
	}
	return map[string]any{"buckets": buckets}
}

// filled returns the keys in order, with those between them that have no documents if these are wanted and are not too many.
func filled[K int64 | float64](found map[K][]*view, least int, next func(K) K) []K {
	keys := make([]K, 0, len(found))
	for k := range found {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	if least > 0 || len(keys) < 2 {
		return keys
	}
	var out []K
	for k := keys[0]; k <= keys[len(keys)-1]; k = next(k) {
		if out = append(out, k); len(out) > maxBuckets {
			return keys
		}
	}
	return out
}

// histogram is of the documents of each stretch of numbers.
type histogram struct {
	field            string
	interval, offset float64
	least            int
	missing          any
	keyed            bool
	sub              aggs
}

func (c *compiler) histogram(o *options, sub aggs) (agg, error) {
	a := &histogram{field: o.text("field", ""), interval: o.number("interval", 0), offset: o.number("offset", 0), least: o.whole("min_doc_count", 0), keyed: o.flag("keyed", false), sub: sub}
	a.missing, _ = o.take("missing")
	if a.interval <= 0 {
		return nil, fmt.Errorf("%s wants an interval above 0", o.where)
	}
	return a, needs(o, a.field)
}

func (a *histogram) run(docs []*view) map[string]any {
	found := map[float64][]*view{} // by the number of the bucket, which is exact
	for _, d := range docs {
		var in []float64
		for _, f := range numbersOf(d, a.field, a.missing) {
			if b := math.Floor((f - a.offset) / a.interval); !slices.Contains(in, b) {
				in = append(in, b)
				found[b] = append(found[b], d)
			}
		}
	}
	buckets, keyed := []any{}, map[string]any{}
	for _, n := range filled(found, a.least, func(k float64) float64 { return k + 1 }) {
		if len(found[n]) < a.least {
			continue
		}
		b := a.sub.bucket(found[n])
		key := double(n*a.interval + a.offset)
		b["key"] = key
		buckets = append(buckets, b)
		keyed[key.String()] = b
	}
	if a.keyed {
		return map[string]any{"buckets": keyed}
	}
	return map[string]any{"buckets": buckets}
}
