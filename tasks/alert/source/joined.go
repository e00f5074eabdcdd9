package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/internal/elastic"
)

// alone sends one job by itself, for all who ask it.
func (j *job) alone(ctx context.Context, src Source) {
	var err error
	switch j.kind {
	case kindSearch:
		j.found, err = src.Search(ctx, j.query, j.give)
	case kindCount:
		j.count, err = src.Count(ctx, j.query)
	case kindTerms:
		j.buckets, err = src.Terms(ctx, j.query, j.field, j.least, j.limit)
	case kindAggregate:
		j.answer, j.count, err = src.Aggregate(ctx, j.query, j.aggs)
	}
	j.share(err)
}

// errNobody ends a search that nobody wants any more.
var errNobody = errors.New("nobody reads the hits any more")

// give hands hits to all who ask for them, each a copy of its own, and ends the search when none of them wants more.
func (j *job) give(hits []Hit) error {
	wanted := false
	for i, a := range j.asks {
		if a.err == nil && a.ctx.Err() != nil {
			a.err = context.Cause(a.ctx)
		}
		if a.err != nil {
			continue
		}
		own := hits
		if i < len(j.asks)-1 {
			own = slices.Clone(hits)
			for n := range own {
				own[n].Doc = document.Clone(own[n].Doc)
			}
		}
		a.err = a.call(own)
		wanted = wanted || a.err == nil
	}
	if !wanted {
		return errNobody
	}
	return nil
}

// call calls the page function; a panic in it is its own affair, and no reason to leave the others waiting.
func (a *ask) call(hits []Hit) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic in a page of hits: %v", cause)
		}
	}()
	return a.page(hits)
}

// share gives the answer of the first to the others, or an error to those who have none of their own.
func (j *job) share(err error) {
	first := j.ask
	for _, a := range j.asks {
		if a.err == nil && !errors.Is(err, errNobody) {
			a.err = err
		}
		if a == first {
			continue
		}
		a.found, a.count, a.buckets = first.found, first.count, slices.Clone(first.buckets)
		a.answer = document.Clone(first.answer)
	}
}

// together sends several jobs of one window as one request.
func (d *Documents) together(ctx context.Context, jobs []*job) {
	if len(jobs) == 1 {
		jobs[0].alone(ctx, d)
		return
	}
	given, err := false, error(nil)
	if jobs[0].kind == kindSearch {
		given, err = d.searchTogether(ctx, jobs)
	} else {
		err = d.countTogether(ctx, jobs)
	}
	if err == nil {
		return
	}
	if !given && d.engine.refused(err) {
		half := len(jobs) / 2
		d.together(ctx, jobs[:half])
		d.together(ctx, jobs[half:])
		return
	}
	for _, j := range jobs {
		j.share(err)
	}
}

// mark is the name by which a hit says whose it is.
const mark = "stint:"

// searchTogether gives each job its hits. given reports whether some have been, after which nothing can begin anew.
func (d *Documents) searchTogether(ctx context.Context, jobs []*job) (given bool, err error) {
	q, r, k, err := joined(jobs)
	if err != nil {
		return false, err
	}
	counts := make([]int64, len(jobs))
	a, err := d.engine.pages(ctx, &q, r, func(raw []elastic.Hit) error {
		given = true
		pages, err := divide(jobs, k, raw)
		if err != nil {
			return err
		}
		wanted := false
		for i, j := range jobs {
			counts[i] += int64(len(pages[i]))
			wanted = len(pages[i]) == 0 || j.give(pages[i]) == nil || wanted
		}
		if !wanted {
			return errNobody
		}
		return nil
	})
	if err != nil && !errors.Is(err, errNobody) {
		return given, err
	}
	for i, j := range jobs {
		j.found.New = counts[i]
		var own error
		if j.query.known() && err == nil {
			j.found.Known, own = docCount(a.Aggregations[mark+strconv.Itoa(i)])
		}
		j.share(own)
	}
	return given, nil
}

// joined makes one search of several. The window is the query; whose a hit is, is said by clauses with names. Hits that have been read
// before are counted by aggregations and left out by the post_filter, whose clauses are those with the names where the jobs differ in
// what they know.
func joined(jobs []*job) (Query, elastic.Request, clock, error) {
	q := jobs[0].query
	q.Filter, q.Include, q.PageSize = nil, nil, 0
	r, k, err := request(&q)
	if err != nil {
		return q, r, k, err
	}
	equal, all := true, false
	for _, j := range jobs {
		equal = equal && j.query.Known.Equal(jobs[0].query.Known)
		all = all || len(j.query.Include) == 0
		r.PageSize = max(r.PageSize, j.query.PageSize)
	}
	window, should, named := k.within(q.Start, q.End), []any{}, []any{}
	for i, j := range jobs {
		name := mark + strconv.Itoa(i)
		own, known := filters(&j.query), j.query.known()
		clause := map[string]any{"filter": own}
		if equal {
			clause["_name"] = name
		}
		should = append(should, map[string]any{"bool": clause})
		if known {
			r.Aggs = with(r.Aggs, name, map[string]any{"filter": every(slices.Insert(slices.Clone(own), 0, any(k.within(q.Start, j.query.Known)))...)})
			own = slices.Insert(slices.Clone(own), 0, any(k.within(j.query.Known, q.End)))
		}
		named = append(named, map[string]any{"bool": map[string]any{"filter": own, "_name": name}})
		if !all {
			for _, f := range j.query.fields(k) {
				if !slices.Contains(r.Source, f) {
					r.Source = append(r.Source, f)
				}
			}
		}
	}
	r.Query = map[string]any{"bool": map[string]any{"filter": []any{window}, "should": should, "minimum_should_match": 1}}
	if !equal {
		r.PostFilter = map[string]any{"bool": map[string]any{"should": named}}
	} else if jobs[0].query.known() {
		r.PostFilter = k.within(jobs[0].query.Known, q.End)
	}
	return q, r, k, nil
}

func with(m map[string]any, key string, value any) map[string]any {
	if m == nil {
		m = map[string]any{}
	}
	m[key] = value
	return m
}

// divide makes of a page a page for each job.
func divide(jobs []*job, k clock, raw []elastic.Hit) ([][]Hit, error) {
	pages := make([][]Hit, len(jobs))
	for _, h := range raw {
		var whose []int
		for _, name := range h.Named {
			if n, err := strconv.Atoi(strings.TrimPrefix(name, mark)); err == nil && strings.HasPrefix(name, mark) && n < len(jobs) {
				whose = append(whose, n)
			}
		}
		if len(whose) == 0 {
			return nil, fmt.Errorf("the answer does not say which of %d queries sent together the event %s of %s matches", len(jobs), h.ID, h.Index)
		}
		for at, n := range whose {
			j := jobs[n]
			own, err := hit(&j.query, k, h, included(&j.query, k, h.Source, at < len(whose)-1))
			if err != nil {
				return nil, err
			}
			pages[n] = append(pages[n], own)
		}
	}
	return pages, nil
}

// countTogether answers counts, terms and metrics.
func (d *Documents) countTogether(ctx context.Context, jobs []*job) error {
	q := jobs[0].query
	q.Filter, q.Include, q.PageSize = nil, nil, 0
	r, _, err := request(&q)
	if err != nil {
		return err
	}
	r.Aggs = map[string]any{}
	for i, j := range jobs {
		agg := map[string]any{"filter": every(filters(&j.query)...)}
		switch j.kind {
		case kindTerms:
			agg["aggs"] = map[string]any{"counts": termsOf(j.field, j.least, j.limit)}
		case kindAggregate:
			agg["aggs"] = j.aggs
		}
		r.Aggs[mark+strconv.Itoa(i)] = agg
	}
	a, err := d.engine.aggregate(ctx, &q, r)
	if err != nil {
		return err
	}
	for i, j := range jobs {
		bucket, _ := a.Aggregations[mark+strconv.Itoa(i)].(map[string]any)
		if !j.take(bucket) { // there are more values than come at once
			j.alone(ctx, d)
			continue
		}
		j.share(j.err)
	}
	return nil
}

// take reads the answer of a job; false says that it is not all.
func (j *job) take(bucket map[string]any) bool {
	n, err := docCount(bucket)
	if err != nil {
		j.err = err
		return true
	}
	switch j.kind {
	case kindTerms:
		whole := false
		if j.buckets, whole, j.err = bucketsOf(bucket["counts"]); j.err == nil && !whole {
			j.buckets = nil
			return false
		}
	case kindAggregate:
		if cutOff(j.aggs, bucket) != "" {
			return false
		}
		j.answer = map[string]any{}
		for name := range j.aggs {
			j.answer[name] = bucket[name]
		}
	}
	j.count = n
	return true
}
