package httpsink

import (
	"fmt"
	"net/http"
	"time"

	"github.com/stint-run/stint/tasks"
)

// ask looks up those items of which it is not known whether they are there, and reports whether some have an answer now. "Not there"
// counts when the API has had the time to settle what an earlier request did.
func (b *batch) ask(items []*item) (found bool, err error) {
	var pending []*item
	for _, i := range items {
		if i.ask && !i.done {
			pending = append(pending, i)
		}
	}
	for len(pending) > 0 {
		var later []*item
		var until time.Time
		for _, i := range pending {
			asked := time.Now()
			a, err := b.d.lookup(i)
			if err != nil {
				return found, err
			}
			switch {
			case a != nil:
				b.emit([]answered{{i, *a}})
				found = true
			case i.unsure && !b.c.idempotent && asked.Before(i.settle):
				later = append(later, i)
				if i.settle.After(until) {
					until = i.settle
				}
			default:
				i.ask = false
			}
		}
		if pending = later; len(later) > 0 {
			if err := b.d.sleep(time.Until(until)); err != nil {
				return found, err
			}
		}
	}
	return found, nil
}

// lookup asks the API for a record. The answer is nil if it is not there.
func (d *delivery) lookup(i *item) (*Answer, error) {
	c := d.sink.endpoint
	target, err := c.lookup.path.render(i.fields)
	if err != nil {
		return &Answer{Outcome: Rejected, Code: "template", Reason: d.sink.link.readable("lookup.path: " + err.Error()), Uncertain: i.unsure}, nil
	}
	out := &outgoing{method: http.MethodGet, target: target, header: http.Header{}}
	out.header.Set("Accept", jsonType)
	out.header.Set("User-Agent", d.sink.options.UserAgent)
	var p patience
	for {
		d.lookups.Add(1)
		r, err := d.call(out, classifyLookup)
		if err != nil {
			return nil, err
		}
		switch r.class {
		case succeeded:
			return d.found(i, r)
		case existed: // the class of "not there" in a lookup
			return nil, nil
		}
		more := false
		if r.class == retryable {
			if more, err = d.again(&p, r); err != nil {
				return nil, err
			}
		}
		if !more {
			code, reason := r.describe()
			a := &Answer{Outcome: Failed, Code: code, Reason: d.sink.link.readable("asking whether it is there: " + reason), Uncertain: i.unsure}
			if r.reply != nil {
				a.Status, a.Excerpt = r.status, d.sink.link.readable(string(r.body))
			}
			return a, nil
		}
	}
}

// classifyLookup is the table of a lookup's statuses; existed stands for "not there".
func classifyLookup(status int) meaning {
	switch {
	case status == http.StatusNotFound || status == http.StatusGone:
		return existed
	case status >= 200 && status <= 299:
		return succeeded
	case status >= 300 && status <= 399:
		return redirected
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusProxyAuthRequired:
		return unauthorized
	case status >= 500 || RetryDefault.has(status) || status == http.StatusConflict:
		return retryable
	}
	return refused
}

// found reads a lookup's answer. One of another shape than the plan says stops the job: it must not be taken for "not there".
func (d *delivery) found(i *item, r *result) (*Answer, error) {
	c := d.sink.endpoint
	strange := func(problem string) error {
		return tasks.Permanent(tasks.WithHint(nil, "Look at to.http.lookup: taking this for \"not there\" could make the record twice.",
			"the answer to a lookup cannot be understood: %s", problem))
	}
	if r.status == http.StatusNoContent {
		return nil, nil
	}
	doc, err := r.json()
	if err != nil {
		return nil, strange(err.Error())
	}
	if empty(doc) {
		return nil, nil
	}
	values, err := c.lookup.id.find(doc)
	if err != nil {
		return nil, strange("it has no " + c.Lookup.ID)
	}
	switch {
	case len(values) == 0 || len(values) == 1 && values[0] == nil:
		return nil, nil
	case len(values) > 1:
		return &Answer{Outcome: Failed, Status: r.status, Code: "ambiguous", Reason: fmt.Sprintf("the lookup finds %d records", len(values)), Uncertain: i.unsure}, nil
	}
	id, ok := identifier(values[0])
	if !ok {
		return nil, strange("what stands at " + c.Lookup.ID + " is neither a text nor a number")
	}
	return &Answer{Outcome: Existed, Status: r.status, ID: id}, nil
}

// empty reports whether a document says nothing: null, {} or [].
func empty(doc any) bool {
	switch doc := doc.(type) {
	case nil:
		return true
	case map[string]any:
		return len(doc) == 0
	case []any:
		return len(doc) == 0
	}
	return false
}
