package source

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Together returns n sources, one for each of n participants that ask at the same time: the rules of a group, each in a goroutine of
// its own. A request waits until every participant that is not done has one waiting; then all of them are sent: equal ones once, and,
// where src is of Documents, those to the same index, time field and window as one.
//
//	searches                  one search; matched_queries says whose each hit is
//	counts, terms, metrics    one search without hits; an aggregation of a filter for each
//
// Where such a request is refused for what is in it, its halves are sent, and theirs, until what is wrong is alone: it hurts nobody
// else. A participant must call Done when it will ask no more, or the others wait for ever. The page functions of all participants
// are called by one goroutine, never at the same time for one participant.
func Together(src Source, n int) []*Participant {
	g := &group{src: src, active: n}
	out := make([]*Participant, n)
	for i := range out {
		out[i] = &Participant{group: g}
	}
	return out
}

// parallel is how many requests of a round are under way at the same time.
const parallel = 8

// group are the participants that ask together.
type group struct {
	src Source

	mu      sync.Mutex
	active  int // participants that are not done
	waiting []*ask
}

// Participant is the Source of one of those that ask together. It asks one thing at a time.
type Participant struct {
	group *group
	once  sync.Once
}

// The kinds of what is asked.
const (
	kindSearch    = "search"
	kindCount     = "count"
	kindTerms     = "terms"
	kindAggregate = "aggregate"
)

// ask is a request that waits, and its answer.
type ask struct {
	kind         string
	ctx          context.Context
	query        Query
	page         func([]Hit) error
	field        string
	least, limit int
	aggs         map[string]any

	done    chan struct{}
	found   Found
	count   int64
	buckets []Bucket
	answer  map[string]any
	err     error
}

// Done says that the participant will ask no more. It may be called more than once.
func (p *Participant) Done() {
	p.once.Do(func() {
		g := p.group
		g.mu.Lock()
		g.active--
		round := g.round()
		g.mu.Unlock()
		if round != nil {
			go g.send(round)
		}
	})
}

// round takes what waits, if all wait.
func (g *group) round() []*ask {
	if len(g.waiting) == 0 || len(g.waiting) < g.active {
		return nil
	}
	round := g.waiting
	g.waiting = nil
	return round
}

// ask waits for the answer.
func (p *Participant) ask(a *ask) *ask {
	g := p.group
	a.done = make(chan struct{})
	g.mu.Lock()
	g.waiting = append(g.waiting, a)
	round := g.round()
	g.mu.Unlock()
	if round != nil {
		g.send(round)
	}
	select {
	case <-a.done:
		return a
	case <-a.ctx.Done():
	}
	g.mu.Lock()
	i := slices.Index(g.waiting, a)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	g.mu.Unlock()
	if i >= 0 {
		a.err = context.Cause(a.ctx)
		return a
	}
	<-a.done // its page function may be running
	return a
}

// Search is that of Source.
func (p *Participant) Search(ctx context.Context, q Query, page func([]Hit) error) (Found, error) {
	a := p.ask(&ask{kind: kindSearch, ctx: ctx, query: q, page: page})
	return a.found, a.err
}

// Count is that of Source.
func (p *Participant) Count(ctx context.Context, q Query) (int64, error) {
	a := p.ask(&ask{kind: kindCount, ctx: ctx, query: q})
	return a.count, a.err
}

// Terms is that of Source.
func (p *Participant) Terms(ctx context.Context, q Query, field string, least, limit int) ([]Bucket, error) {
	a := p.ask(&ask{kind: kindTerms, ctx: ctx, query: q, field: field, least: least, limit: limit})
	return a.buckets, a.err
}

// Aggregate is that of Source.
func (p *Participant) Aggregate(ctx context.Context, q Query, aggs map[string]any) (map[string]any, int64, error) {
	a := p.ask(&ask{kind: kindAggregate, ctx: ctx, query: q, aggs: aggs})
	return a.answer, a.count, a.err
}

// job is what several participants ask alike.
type job struct {
	*ask // the first of them
	asks []*ask
}

// send answers a round.
func (g *group) send(round []*ask) {
	var batches [][]*job
	at := map[string]int{}
	for _, j := range alike(round) {
		key := ""
		if _, ok := g.src.(*Documents); ok {
			key = j.together()
		}
		i, ok := at[key]
		if key == "" || !ok {
			i = len(batches)
			batches = append(batches, nil)
			at[key] = i
		}
		batches[i] = append(batches[i], j)
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for _, batch := range batches {
		for _, part := range packed(batch) {
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				g.run(part)
			})
		}
	}
	all.Wait()
}

// alike puts equal requests together, in the order in which they came.
func alike(round []*ask) []*job {
	var out []*job
	at := map[string]*job{}
	for _, a := range round {
		text, err := json.Marshal([]any{a.kind, a.query, a.field, a.least, a.limit, a.aggs})
		key := string(text)
		if j := at[key]; j != nil && err == nil {
			j.asks = append(j.asks, a)
			continue
		}
		j := &job{ask: a, asks: []*ask{a}}
		out, at[key] = append(out, j), j
	}
	return out
}

// together returns what requests have in common that can be sent as one.
func (j *job) together() string {
	q, k := &j.query, clockOf(&j.query)
	kind := kindAggregate
	if j.kind == kindSearch {
		kind = kindSearch
	}
	return fmt.Sprintf("%s\n%s\n%q\n%d %d", kind, q.Index, []string{k.field, k.kind, k.format, q.IDField, q.Text}, q.Start.UnixNano(), q.End.UnixNano())
}

// A request has at most so many participants, and clauses of queries, of which servers take 1,024.
const (
	maxTogether = 500
	maxClauses  = 1000
)

// packed divides jobs so that each request is one that servers take.
func packed(jobs []*job) [][]*job {
	var out [][]*job
	clauses := maxClauses + 1
	for _, j := range jobs {
		n := 1
		for _, f := range j.query.Filter {
			n += leaves(f)
		}
		if last := len(out) - 1; last >= 0 && clauses+n <= maxClauses && len(out[last]) < maxTogether {
			out[last], clauses = append(out[last], j), clauses+n
			continue
		}
		out, clauses = append(out, []*job{j}), n
	}
	return out
}

// leaves counts the clauses of a filter, a query in words by its words.
func leaves(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if text, ok := x.(string); ok && k == "query" {
				n += len(strings.Fields(text))
			}
			n += leaves(x)
		}
		return max(1, n)
	case []any:
		for _, x := range v {
			n += leaves(x)
		}
	}
	return n
}

// run answers jobs that are sent as one, and lets everyone go who waits for them.
func (g *group) run(jobs []*job) {
	var asks []*ask
	for _, j := range jobs {
		asks = append(asks, j.asks...)
	}
	defer func() {
		cause := recover()
		for _, a := range asks {
			if cause != nil && a.err == nil {
				a.err = fmt.Errorf("panic while requests were sent together: %v", cause)
			}
			close(a.done)
		}
	}()
	ctx, stop := whileAny(asks)
	defer stop()
	d, ok := g.src.(*Documents)
	if !ok || len(jobs) == 1 {
		for _, j := range jobs {
			j.alone(ctx, g.src)
		}
		return
	}
	d.together(ctx, jobs)
}

// whileAny returns a context that ends when those of all asks have.
func whileAny(asks []*ask) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(asks[0].ctx))
	var left atomic.Int64
	left.Store(int64(len(asks)))
	stops := make([]func() bool, len(asks))
	for i, a := range asks {
		stops[i] = context.AfterFunc(a.ctx, func() {
			if left.Add(-1) == 0 {
				cancel(context.Cause(a.ctx))
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel(nil)
	}
}
