package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks/dedupe"
	"github.com/stint-run/stint/tasks/dedupe/decide"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

// The files of a dedupe may be long: pages read them a line at a time, and keep the little that they show. Whoever is answered from what
// is kept has been let in by the API before.

// lately keeps what was made last, so many at most, and has each made once, however many ask for it at the same time.
type lately[T any] struct {
	most int

	mu    sync.Mutex
	order []string // the oldest first
	kept  map[string]*making[T]
}

type making[T any] struct {
	done chan struct{}
	what T
	err  error
}

func newLately[T any](most int) *lately[T] {
	return &lately[T]{most: most, kept: map[string]*making[T]{}}
}

// get returns what is kept by a name, or makes it. What could not be made is not kept.
func (c *lately[T]) get(ctx context.Context, name string, do func() (T, error)) (T, error) {
	for {
		c.mu.Lock()
		m, there := c.kept[name]
		if !there {
			m = &making[T]{done: make(chan struct{})}
			c.kept[name] = m
			c.order = append(c.order, name)
			if len(c.order) > c.most {
				delete(c.kept, c.order[0])
				c.order = c.order[1:]
			}
		}
		c.mu.Unlock()
		if !there {
			func() {
				defer close(m.done)
				m.err = errors.New("it could not be read") // unless do returns
				m.what, m.err = do()
			}()
			if m.err != nil {
				c.drop(name, m)
			}
			return m.what, m.err
		}
		select {
		case <-m.done:
		case <-ctx.Done():
			return m.what, context.Cause(ctx)
		}
		if m.err == nil {
			return m.what, nil
		}
		c.drop(name, m) // whoever made it may have gone away
	}
}

func (c *lately[T]) drop(name string, m *making[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept[name] == m {
		delete(c.kept, name)
		if i := slices.Index(c.order, name); i >= 0 {
			c.order = slices.Delete(c.order, i, i+1)
		}
	}
}

// forget lets go of what is kept by a name.
func (c *lately[T]) forget(name string) {
	c.mu.Lock()
	m := c.kept[name]
	c.mu.Unlock()
	if m != nil {
		c.drop(name, m)
	}
}

// analysisFile is what is kept of an analysis.
type analysisFile struct {
	Head   record.Header
	End    record.End
	Digest string // sha256: and hex, of the bytes that were read
	listed string // the digest that the list of files had
}

// Goes adds up what may go.
func (f *analysisFile) Goes() decide.Tally { return f.End.Totals.Of(decide.Delete) }

// Held adds up what a person should look at.
func (f *analysisFile) Held() decide.Tally { return f.End.Totals.Of(decide.Hold) }

// ShareSaid is the share of all that may go.
func (f *analysisFile) ShareSaid() string { return fmt.Sprintf("%.1f %%", 100*f.End.Totals.Share()) }

// deletionFile is what is kept of a deletions file.
type deletionFile struct {
	Head record.DeletionHeader
	End  record.DeletionEnd
}

// Gone adds up what is gone.
func (f *deletionFile) Gone() record.Gone { return f.End.Totals.Outcomes[record.Deleted] }

// maxTemplates is how many GUIDs of template rows a page lists.
const maxTemplates = 100

// nameOf names the files of a run of a job.
func nameOf(v *wire.Job) string { return fmt.Sprint(v.ID, "/", v.Epoch) }

// open opens a file of a job for a visitor.
func (d *dedupes) open(v *visit, id, name string) (io.ReadCloser, string, error) {
	body, o, err := v.client.Output(v.ctx, id, name)
	return body, o.Digest, err
}

// analysisOf reads the analysis of a job to its end, which proves that it is whole. seen is the digest that it has by the list of files; ""
// takes what there is.
func (d *dedupes) analysisOf(v *visit, job *wire.Job, seen string) (*analysisFile, error) {
	read := func() (*analysisFile, error) {
		body, listed, err := d.open(v, job.ID, dedupe.OutputAnalysis)
		if err != nil {
			return nil, err
		}
		defer func() { _ = body.Close() }()
		r, err := record.NewReader(body)
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, io.EOF) {
			return nil, err
		}
		f := &analysisFile{Head: r.Header, End: *r.End(), Digest: "sha256:" + r.Digest(), listed: listed}
		list := f.Head.Templates.List
		f.Head.Templates.List = slices.Clone(list[:min(maxTemplates, len(list))])
		return f, nil
	}
	f, err := d.analyses.get(v.ctx, nameOf(job), read)
	if err == nil && seen != "" && f.listed != seen { // somebody has put another one there
		return d.analyses.get(v.ctx, nameOf(job)+"@"+seen, read)
	}
	return f, err
}

// deletionsOf reads what a job has deleted to its end.
func (d *dedupes) deletionsOf(v *visit, job *wire.Job) (*deletionFile, error) {
	return d.deleted.get(v.ctx, nameOf(job), func() (*deletionFile, error) {
		body, _, err := d.open(v, job.ID, dedupe.OutputDeletions)
		if err != nil {
			return nil, err
		}
		defer func() { _ = body.Close() }()
		r, err := record.NewDeletionReader(body)
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, io.EOF) {
			return nil, err
		}
		return &deletionFile{r.Header, *r.End()}, nil
	})
}

// setFilter says which data sets a page shows.
type setFilter struct {
	Decision string
	Reason   string
	Customer string
	Page     int // from 1
}

func (f setFilter) wants(s *record.Set) bool {
	return (f.Decision == "" || string(s.Decision.Decision) == f.Decision) && (f.Reason == "" || string(s.Decision.Reason) == f.Reason) && (f.Customer == "" || s.Customer == f.Customer)
}

// Rows of a page, and of the pairs of one customer.
const (
	setsOfAPage = 50
	maxPairs    = 100
)

// setPage is a page of an analysis.
type setPage struct {
	Sets  []shownSet
	Pairs []shownPair // of the customer who was asked for
	First int         // the number of the first one, from 1
	More  bool
}

// shownSet is a data set with its shares in words.
type shownSet struct {
	*record.Set
	Here, There string // how much of it stands in its witness, and of that in it
}

// shownPair is a pair with its shares in words.
type shownPair struct {
	*record.Pair
	OfA, OfB string
}

// setsOf reads an analysis until a page is full.
func (d *dedupes) setsOf(v *visit, job *wire.Job, digest string, f setFilter) (*setPage, error) {
	return d.pages.get(v.ctx, fmt.Sprintf("%s %s %+q", nameOf(job), digest, []any{f.Decision, f.Reason, f.Customer, fmt.Sprint(f.Page)}), func() (*setPage, error) {
		body, _, err := d.open(v, job.ID, dedupe.OutputAnalysis)
		if err != nil {
			return nil, err
		}
		defer func() { _ = body.Close() }()
		r, err := record.NewReader(body)
		if err != nil {
			return nil, err
		}
		skip := (f.Page - 1) * setsOfAPage
		p, n := &setPage{First: skip + 1}, 0
		for {
			line, err := r.Next()
			switch {
			case errors.Is(err, io.EOF):
				return p, nil
			case err != nil:
				return nil, err
			case line.Pair != nil && f.Customer != "" && line.Pair.Customer == f.Customer && len(p.Pairs) < maxPairs:
				p.Pairs = append(p.Pairs, shownPair{line.Pair, tenths(line.Pair.ContainmentA), tenths(line.Pair.ContainmentB)})
			case line.Set == nil:
			case f.Customer != "" && line.Set.Customer != f.Customer && n > 0: // the lines of a customer follow one another
				return p, nil
			case !f.wants(line.Set):
			case n < skip:
				n++
			case len(p.Sets) == setsOfAPage:
				p.More = true
				if f.Customer == "" {
					return p, nil
				}
			default:
				n++
				c := line.Set.Decision
				p.Sets = append(p.Sets, shownSet{line.Set, tenths(c.ContainmentVictim), tenths(c.ContainmentWitness)})
			}
		}
	})
}

// tenths writes a containment of 0 to 1 as per cent, as the sentences of an analysis do: never more than it is.
func tenths(x float64) string {
	return fmt.Sprintf("%.1f %%", math.Floor(1000*x+1e-9)/10)
}

// gonePage is a page of a deletions file.
type gonePage struct {
	Sets  []goneSet
	First int
	More  bool
}

// goneSet is a data set with the value that it has in forms.
type goneSet struct {
	*record.Deletion
	Value string
}

// goneOf reads a deletions file until a page is full.
func (d *dedupes) goneOf(v *visit, job *wire.Job, outcome string, page int) (*gonePage, error) {
	return d.gone.get(v.ctx, fmt.Sprintf("%s %s %d", nameOf(job), outcome, page), func() (*gonePage, error) {
		body, _, err := d.open(v, job.ID, dedupe.OutputDeletions)
		if err != nil {
			return nil, err
		}
		defer func() { _ = body.Close() }()
		r, err := record.NewDeletionReader(body)
		if err != nil {
			return nil, err
		}
		skip := (page - 1) * setsOfAPage
		p, n := &gonePage{First: skip + 1}, 0
		for {
			line, err := r.Next()
			switch {
			case errors.Is(err, io.EOF):
				return p, nil
			case err != nil:
				return nil, err
			case line.Set == nil || outcome != "" && string(line.Set.Outcome) != outcome:
			case n < skip:
				n++
			case len(p.Sets) == setsOfAPage:
				p.More = true
				return p, nil
			default:
				n++
				p.Sets = append(p.Sets, goneSet{line.Set, setValue(line.Set.Customer, line.Set.Database)})
			}
		}
	})
}

// reasonWords are the reasons of an analysis in a few words; each line has its whole sentence besides.
var reasonWords = map[decide.Reason]string{
	decide.Duplicate: "a newer, whole copy stays", decide.Newest: "the newest of its copies", decide.OnlyCopy: "the only one of its customer", decide.NotDuplicate: "shares too little with any other",
	decide.TemplateOnly: "only rows that the product ships", decide.Exempt: "its customer is exempt", decide.Recent: "synced a short while ago", decide.UnknownSync: "nobody knows when it was synced",
	decide.FutureSync: "its last sync lies in the future", decide.SameSync: "synced at the same time as its partner", decide.NoLiveWitness: "the newer ones go themselves",
	decide.WitnessUploading: "the newer one is not uploaded whole", decide.LowContainment: "a copy that has gone its own way", decide.ForeignShared: "what it shares stands with other customers too",
	decide.Miscounted: "its counts contradict themselves",
}

// sendDedupeFile sends a file that a job has left behind.
func sendDedupeFile(w http.ResponseWriter, name, kind string, size int64, body io.Reader) error {
	attach(w, name, kind)
	if size >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	}
	_, err := io.Copy(&unhurried{http.NewResponseController(w), w}, body)
	return err
}
