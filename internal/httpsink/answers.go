package httpsink

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
)

// taken settles a request that succeeded. It returns succeeded when each record has an answer, and retryable when the answer says of some
// that they were not taken and are worth another try.
func (b *batch) taken(items []*item, r *result) (meaning, error) {
	if b.c.partial != nil {
		return b.takenInPart(items, r)
	}
	ids, problem := b.ids(r.reply, len(items))
	if problem != "" {
		return succeeded, b.withoutID(items, r, problem)
	}
	if b.c.ID != "" {
		b.d.sink.idsSeen.Store(true)
	}
	var all []answered
	for n, i := range items {
		all = append(all, answered{i, Answer{Outcome: Created, Status: r.status, ID: ids[n]}})
	}
	b.emit(all)
	return succeeded, nil
}

// ids finds the ids of n records in an answer; nils where none are wanted.
func (b *batch) ids(r *reply, n int) (ids []json.RawMessage, problem string) {
	if b.c.ID == "" {
		return make([]json.RawMessage, n), ""
	}
	if b.c.idHeader != "" {
		id, ok := lastSegment(r.header.Get(b.c.idHeader))
		if !ok {
			return nil, "the answer has no id in its header " + b.c.idHeader
		}
		return []json.RawMessage{id}, ""
	}
	doc, err := r.json()
	if err != nil {
		return nil, err.Error()
	}
	found, err := b.c.idPath.find(doc)
	if err != nil {
		return nil, "the answer has no " + b.c.ID
	}
	if len(found) != n {
		return nil, fmt.Sprintf("the answer has %d ids at %s, for %d records", len(found), b.c.ID, n)
	}
	for _, v := range found {
		id, ok := identifier(v)
		if !ok {
			return nil, "what stands at " + b.c.ID + " is neither a text nor a number"
		}
		ids = append(ids, id)
	}
	return ids, ""
}

// lastSegment returns the last part of a URL's path as an id.
func lastSegment(text string) (json.RawMessage, bool) {
	u, err := url.Parse(text)
	if err != nil || text == "" {
		return nil, false
	}
	last, err := url.PathUnescape(path.Base(strings.TrimRight(u.EscapedPath(), "/")))
	if err != nil || last == "." || last == "/" {
		return nil, false
	}
	id, err := json.Marshal(last)
	return id, err == nil
}

// withoutID settles records that were taken by an answer that does not say under which id. If no answer ever had one, the plan is wrong,
// and going on would make records that nothing can refer to.
func (b *batch) withoutID(items []*item, r *result, problem string) error {
	for _, i := range items {
		i.unsure, i.settle, i.ask = true, b.settledAt(time.Now()), b.c.lookup != nil
	}
	if _, err := b.ask(items); err != nil {
		return err
	}
	var open []*item
	for _, i := range items {
		if !i.done {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return nil
	}
	if !b.d.sink.idsSeen.Load() {
		return tasks.Permanent(tasks.WithHint(nil, "Look at to.http.id, or partial.items and partial.id. What was sent is there, and is found again by its key when the job goes on.",
			"%s", problem))
	}
	b.emit(same(open, Answer{Outcome: Failed, Status: r.status, Code: "no_id", Reason: problem, Excerpt: b.d.sink.link.readable(string(r.body)), Uncertain: true}))
	return nil
}

// takenInPart settles a batch whose answer speaks of each record.
func (b *batch) takenInPart(items []*item, r *result) (meaning, error) {
	spoken, problem := b.match(items, r.reply)
	if problem != "" {
		return succeeded, b.withoutID(items, r, problem)
	}
	var all []answered
	var lacking []*item // taken, and the answer does not say under which id, or says nothing at all
	result := succeeded
	for n, i := range items {
		if spoken[n] == nil {
			lacking = append(lacking, i)
			continue
		}
		class, a, err := b.spokenOf(spoken[n].(map[string]any)) // match lets nothing else through
		if err != nil {
			return 0, err
		}
		a.Outcome = map[meaning]Outcome{succeeded: Created, existed: Existed, refused: Rejected, retryable: Failed}[class]
		switch {
		case class == retryable:
			i.last, i.unsure, result = a, false, retryable
		case class != refused && b.c.partial.hasID && a.ID == nil:
			lacking = append(lacking, i)
		default:
			all = append(all, answered{i, a})
		}
	}
	b.emit(all)
	if len(lacking) > 0 {
		return result, b.withoutID(lacking, r, "the answer does not say of each record under which id it was taken")
	}
	return result, nil
}

// match finds the item that speaks of each record; nil for one of which the answer says nothing.
func (b *batch) match(items []*item, r *reply) (spoken []any, problem string) {
	doc, err := r.json()
	if err != nil {
		return nil, err.Error()
	}
	found, err := b.c.partial.items.find(doc)
	if err != nil || len(found) == 0 {
		return nil, "the answer has no " + b.c.Partial.Items
	}
	list, ok := found[0].([]any)
	if !ok {
		return nil, b.c.Partial.Items + " of the answer is no list"
	}
	byKey := map[string]any{}
	for n, e := range list {
		if _, ok := e.(map[string]any); !ok {
			return nil, fmt.Sprintf("element %d of %s is no object", n, b.c.Partial.Items)
		}
		if b.c.partial.field != "" {
			if v, err := b.c.partial.match.find(e); err == nil && len(v) == 1 {
				byKey[plain(v[0])] = e
			}
		}
	}
	if b.c.partial.field == "" {
		if len(list) != len(items) {
			return nil, fmt.Sprintf("%s of the answer has %d elements, for %d records", b.c.Partial.Items, len(list), len(items))
		}
		return list, ""
	}
	for _, i := range items {
		key, err := scalar(i.fields[b.c.partial.field])
		if err != nil {
			key = ""
		}
		spoken = append(spoken, byKey[key])
	}
	return spoken, ""
}

// spokenOf reads what an item says of its record.
func (b *batch) spokenOf(element map[string]any) (meaning, Answer, error) {
	p := b.c.partial
	a := Answer{Reason: b.d.sink.reasonIn(element, p.reason)}
	class := succeeded
	if !p.hasStatus {
		if a.Reason != "" {
			class, a.Code = refused, "refused"
		}
	} else {
		found, err := p.status.find(element)
		if err != nil || len(found) == 0 || plain(found[0]) == "" {
			return 0, a, tasks.Permanent(tasks.WithHint(nil, "Look at to.http.partial.status.", "the answer has an item without %s", b.c.Partial.Status))
		}
		word := plain(found[0])
		a.Status, _ = strconv.Atoi(word)
		a.Code = b.d.sink.link.readable(word)
		if a.Status > 0 {
			a.Code = "status_" + word
		}
		if class = b.c.classifyWord(word); class == unexpected {
			return 0, a, tasks.Permanent(tasks.WithHint(nil, "Say by to.http.partial.ok, exists, retry or reject what it means.",
				"the answer has an item with the status %s, of which the plan says nothing", a.Code))
		}
	}
	if class == succeeded || class == existed {
		a.Code, a.Reason = "", ""
		if p.hasID {
			if found, err := p.id.find(element); err == nil && len(found) == 1 {
				a.ID, _ = identifier(found[0])
			}
		}
		if a.ID != nil {
			b.d.sink.idsSeen.Store(true)
		}
		return class, a, nil
	}
	if text, err := marshal(element); err == nil {
		a.Excerpt = b.d.sink.link.readable(string(text))
	}
	return class, a, nil
}

// classifyWord is the table of the statuses of items. An item speaks of its record alone: it stops no job.
func (c *compiled) classifyWord(word string) meaning {
	ok := c.Partial.OK
	if ok == nil {
		ok = c.Success
	}
	status, err := strconv.Atoi(word)
	switch {
	case ok.hasWord(word):
		return succeeded
	case c.Exists.hasWord(word):
		return existed
	case c.Retry.hasWord(word):
		return retryable
	case c.Reject.hasWord(word), err != nil, status == http.StatusConflict:
		return refused
	}
	if class := c.classify(status); class != unauthorized && class != redirected && class != succeeded {
		return class
	} else if class == succeeded { // of a request, and not, says partial.ok, of a record
		return unexpected
	}
	return refused
}

// existing settles a request by whose status the API says that what it was sent is there already. It returns retryable where that means no
// more than that the first request of this key is still under way, and refused where it cannot be this record that is there, or where it is
// not known of which record of a batch the API speaks.
func (b *batch) existing(items []*item, r *result) (meaning, error) {
	if len(items) == 1 && (b.c.partial == nil || !b.c.partial.hasID) {
		ids, problem := b.ids(r.reply, 1)
		if problem == "" {
			b.emit([]answered{{items[0], Answer{Outcome: Existed, Status: r.status, ID: ids[0]}}})
			return existed, nil
		}
	}
	if b.c.lookup != nil {
		for _, i := range items {
			i.ask = true
		}
		if found, err := b.ask(items); err != nil || found {
			return existed, err
		}
	}
	if b.c.key != "" {
		return retryable, nil
	}
	return refused, nil
}
