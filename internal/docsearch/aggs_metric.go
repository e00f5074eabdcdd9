package docsearch

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// metricAgg reads an aggregation that makes numbers of documents; nil if it is none.
func (c *compiler) metricAgg(kind string, o *options) (agg, error) {
	switch kind {
	case "min", "max", "avg", "sum", "value_count", "cardinality", "stats", "extended_stats", "percentiles":
	case "top_hits":
		return c.topHits(o)
	default:
		return nil, nil
	}
	a := &metricAgg{kind: kind, field: o.text("field", "")}
	a.missing, _ = o.take("missing")
	if err := needs(o, a.field); err != nil {
		return nil, err
	}
	switch kind {
	case "cardinality":
		o.skip("precision_threshold", "execution_hint", "rehash")
	case "extended_stats":
		a.sigma = o.number("sigma", 2)
	case "percentiles":
		o.skip("tdigest", "hdr")
		a.keyed = o.flag("keyed", true)
		for _, p := range o.list("percents") {
			f, ok := number(p)
			if !ok || f < 0 || f > 100 {
				return nil, fmt.Errorf("%s has a percent that is not from 0 to 100", o.where)
			}
			a.percents = append(a.percents, f)
		}
		if a.percents == nil {
			a.percents = []float64{1, 5, 25, 50, 75, 95, 99}
		}
	}
	return a, nil
}

// metricAgg is a number of the values of a field.
type metricAgg struct {
	kind, field string
	missing     any
	sigma       float64
	percents    []float64
	keyed       bool
}

func (a *metricAgg) run(docs []*view) map[string]any {
	switch a.kind {
	case "value_count", "cardinality":
		n, seen := 0, map[string]bool{}
		for _, d := range docs {
			values := d.field(a.field).values
			if len(values) == 0 && a.missing != nil {
				values = []any{a.missing}
			}
			n += len(values)
			for _, v := range values {
				seen[newKey(v).same] = true
			}
		}
		if a.kind == "cardinality" {
			n = len(seen)
		}
		return map[string]any{"value": count(n)}
	}
	var values []float64
	for _, d := range docs {
		values = append(values, numbersOf(d, a.field, a.missing)...)
	}
	slices.Sort(values)
	switch a.kind {
	case "percentiles":
		return a.percentiles(values)
	case "stats", "extended_stats":
		return a.stats(values)
	case "sum":
		return map[string]any{"value": double(sum(values))}
	}
	if len(values) == 0 {
		return map[string]any{"value": nil}
	}
	f := values[0]
	switch a.kind {
	case "max":
		f = values[len(values)-1]
	case "avg":
		f = sum(values) / float64(len(values))
	}
	return map[string]any{"value": double(f)}
}

// numbersOf returns the numbers of a document; times are milliseconds, true is 1.
func numbersOf(d *view, name string, missing any) []float64 {
	f := d.field(name)
	values := f.values
	if len(values) == 0 && missing != nil {
		values = []any{missing}
	}
	var out []float64
	for _, v := range values {
		switch x := v.(type) {
		case bool:
			out = append(out, newKey(x).number)
			continue
		case json.Number:
			if f.time == nil {
				n, _ := x.Float64()
				out = append(out, n)
				continue
			}
		}
		if ms, ok := f.moment(v); ok {
			out = append(out, float64(ms))
		} else if n, ok := number(v); ok {
			out = append(out, n)
		}
	}
	return out
}

// sum adds with what rounding has lost kept apart, as Elasticsearch does: 0.1 ten times is 1.
func sum(values []float64) float64 {
	total, lost := 0.0, 0.0
	for _, f := range values {
		y := f - lost
		t := total + y
		lost = (t - total) - y
		total = t
	}
	return total
}

func (a *metricAgg) stats(values []float64) map[string]any {
	out := map[string]any{"count": count(len(values)), "min": nil, "max": nil, "avg": nil, "sum": double(sum(values))}
	n := float64(len(values))
	if n > 0 {
		out["min"], out["max"], out["avg"] = double(values[0]), double(values[len(values)-1]), double(sum(values)/n)
	}
	if a.kind == "stats" {
		return out
	}
	for _, k := range []string{"sum_of_squares", "variance", "variance_population", "variance_sampling", "std_deviation", "std_deviation_population", "std_deviation_sampling"} {
		out[k] = nil
	}
	bounds := map[string]any{"upper": nil, "lower": nil, "upper_population": nil, "lower_population": nil, "upper_sampling": nil, "lower_sampling": nil}
	out["std_deviation_bounds"] = bounds
	if n == 0 {
		return out
	}
	squares := make([]float64, len(values))
	for i, f := range values {
		squares[i] = f * f
	}
	total, avg := sum(squares), sum(values)/n
	variance := max(0, total/n-avg*avg)
	out["sum_of_squares"], out["variance"], out["variance_population"] = double(total), double(variance), double(variance)
	out["std_deviation"], out["std_deviation_population"] = double(math.Sqrt(variance)), double(math.Sqrt(variance))
	wide := a.sigma * math.Sqrt(variance)
	bounds["upper"], bounds["lower"] = double(avg+wide), double(avg-wide)
	bounds["upper_population"], bounds["lower_population"] = bounds["upper"], bounds["lower"]
	if n > 1 {
		v := variance * n / (n - 1)
		out["variance_sampling"], out["std_deviation_sampling"] = double(v), double(math.Sqrt(v))
		bounds["upper_sampling"], bounds["lower_sampling"] = double(avg+a.sigma*math.Sqrt(v)), double(avg-a.sigma*math.Sqrt(v))
	}
	return out
}

func (a *metricAgg) percentiles(values []float64) map[string]any {
	keyed, list := map[string]any{}, []any{}
	for _, p := range a.percents {
		var v any
		if len(values) > 0 {
			v = double(percentile(values, p))
		}
		keyed[double(p).String()] = v
		list = append(list, map[string]any{"key": double(p), "value": v})
	}
	if !a.keyed {
		return map[string]any{"values": list}
	}
	return map[string]any{"values": keyed}
}

// percentile returns a percentile of sorted values: each value is the middle of its own share, and between middles it is linear.
func percentile(sorted []float64, p float64) float64 {
	at := p/100*float64(len(sorted)) - 0.5
	i := int(math.Floor(at))
	switch {
	case i < 0:
		return sorted[0]
	case i >= len(sorted)-1:
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
