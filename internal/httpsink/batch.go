package httpsink

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// batch is what one request carries, or one record where there are no batches. Parts of it are named by positions, from lo up to hi: a
// batch is always halved at the same place, so that an attempt that comes later meets the same parts, under the same keys.
type batch struct {
	d     *delivery
	c     *compiled
	items []*item
}

func newBatch(d *delivery, records []Record) *batch {
	b := &batch{d: d, c: d.sink.endpoint}
	for n := range records {
		i := &item{record: &records[n], done: records[n].Answered}
		i.ask = b.c.lookup != nil && (i.record.Maybe || b.c.Lookup.Always)
		if i.unsure = i.record.Maybe; i.unsure {
			i.settle = b.settledAt(d.began)
		}
		b.items = append(b.items, i)
	}
	var bad []answered
	for _, i := range b.items {
		if i.done {
			continue
		}
		if err := i.prepare(b.c); err != nil {
			bad = append(bad, i.rejected("template", d.sink.link.readable(err.Error())))
		}
	}
	b.emit(bad)
	return b
}

// answered is an item with its answer.
type answered struct {
	item   *item
	answer Answer
}

func (i *item) rejected(code, reason string) answered {
	return answered{i, Answer{Outcome: Rejected, Code: code, Reason: reason}}
}

// emit hands answers on, all in one piece.
func (b *batch) emit(all []answered) {
	if len(all) == 0 {
		return
	}
	out := make([]Answer, len(all))
	for n, a := range all {
		a.item.done, a.answer.Key = true, a.item.record.Key
		out[n] = a.answer
	}
	b.d.answers <- out
}

// open returns the items of a part that have no answer yet.
func (b *batch) open(lo, hi int) []*item {
	var out []*item
	for _, i := range b.items[lo:hi] {
		if !i.done {
			out = append(out, i)
		}
	}
	return out
}

// whole reports whether a part has to be sent as it was sent before or not at all: where the API knows requests, and not records, again.
func (b *batch) whole() bool { return b.c.batched && b.c.key != "" && b.c.RecordKey == "" }

// deliver sends a part until each of its records has an answer. Its error ends the Deliver.
func (b *batch) deliver(lo, hi int) error {
	var p patience
	for generation := 0; ; {
		items := b.open(lo, hi)
		if len(items) == 0 {
			return nil
		}
		if b.whole() && len(items) < hi-lo {
			// A part with an answer in it has been sent, and answered, before. What is left of it is another batch.
			return b.halve(lo, hi)
		}
		if found, err := b.ask(items); err != nil {
			return err
		} else if found {
			continue
		}
		out, err := b.c.request(items, generation, b.d.sink.options.UserAgent)
		if err != nil { // only of a record that goes alone: a batch has neither values in its path nor in its headers
			b.emit([]answered{items[0].rejected("template", b.d.sink.link.readable(err.Error()))})
			return nil
		}
		r, err := b.d.call(out, b.c.classify)
		if err != nil {
			return err
		}
		class := r.class
		if class == succeeded {
			if class, err = b.taken(items, r); err != nil {
				return err
			}
			if class == succeeded {
				continue // all have an answer now
			}
			generation++ // what is open was not done, as the answer says: under the old key that answer would come again
		} else {
			b.sent(items, r)
		}
		if class == existed {
			if class, err = b.existing(items, r); err != nil {
				return err
			}
		}
		switch class {
		case refused:
			return b.refused(lo, hi, items, r)
		case existed:
			continue
		}
		more, err := b.d.again(&p, r)
		switch {
		case err != nil:
			return err
		case !more:
			return b.giveUp(lo, hi, items, r)
		case r.class == succeeded && b.whole() && hi-lo > 1:
			return b.halve(lo, hi)
		}
	}
}

// sent notes that items may have been sent, if a request says neither that they were nor that they were not.
func (b *batch) sent(items []*item, r *result) {
	if r.class != retryable || !r.sent {
		return
	}
	settled := time.Now()
	if r.reply == nil || r.status == http.StatusBadGateway || r.status == http.StatusGatewayTimeout {
		settled = b.settledAt(settled) // what carries it out may not have ended yet
	}
	for _, i := range items {
		i.unsure, i.settle = true, settled
		i.ask = i.ask || !b.c.idempotent
	}
}

// settledAt returns when a lookup surely sees what was sent until a time.
func (b *batch) settledAt(sent time.Time) time.Time {
	if b.c.lookup == nil {
		return time.Time{}
	}
	return sent.Add(b.c.Lookup.Settle.or(DefaultSettle))
}

// halve delivers the halves of a part.
func (b *batch) halve(lo, hi int) error {
	if hi-lo == 1 {
		return b.deliver(lo, hi)
	}
	b.d.splits.Add(1)
	mid := lo + (hi-lo)/2
	if err := b.deliver(lo, mid); err != nil {
		return err
	}
	return b.deliver(mid, hi)
}

// refused settles a part that the API refuses: a record is rejected, and a batch is halved until it is known for which of its records.
func (b *batch) refused(lo, hi int, items []*item, r *result) error {
	reason := b.d.sink.reasonOf(r.reply)
	base := Answer{Outcome: Rejected, Status: r.status, Code: "status_" + strconv.Itoa(r.status), Reason: reason, Excerpt: b.d.sink.link.readable(string(r.body))}
	if b.keyReused(items, r) {
		base.Code, base.Uncertain = "key_reused", true
		base.Reason = "an earlier attempt has sent it, or a record of its batch, with other content, and may have been heard: " + reason
	} else if len(items) > 1 {
		return b.halve(lo, hi)
	}
	b.emit(same(items, base))
	return nil
}

// keyReused reports whether a refusal is about the idempotency key. Where an earlier attempt may have sent other content under it, what is
// refused now may be there, and must not be sent under another key. APIs have no common code for that; all of them name it.
func (b *batch) keyReused(items []*item, r *result) bool {
	if b.c.key == "" || r.status != http.StatusUnprocessableEntity && r.status != http.StatusBadRequest && r.status != http.StatusConflict {
		return false
	}
	maybe := false
	for _, i := range items {
		maybe = maybe || i.record.Maybe
	}
	return maybe && strings.Contains(strings.ToLower(string(r.body)), "idempoten")
}

func same(items []*item, a Answer) []answered {
	var out []answered
	for _, i := range items {
		out = append(out, answered{i, a})
	}
	return out
}

// giveUp settles a part whose tries are used up. What can be found out still is: whether it is there after all, and whether a single
// record makes the others fail.
func (b *batch) giveUp(lo, hi int, items []*item, r *result) error {
	if b.c.lookup != nil {
		for _, i := range items {
			i.ask = i.unsure
		}
		if _, err := b.ask(items); err != nil {
			return err
		}
		if items = b.open(lo, hi); len(items) == 0 {
			return nil
		}
	}
	apart := b.c.lookup != nil || b.c.RecordKey != "" || b.c.Method == http.MethodPut
	if len(items) > 1 && apart && r.reply != nil && r.class == retryable {
		return b.halve(lo, hi)
	}
	code, reason := r.describe()
	base := Answer{Outcome: Failed, Code: code, Reason: b.d.sink.link.readable(reason)}
	if r.reply != nil {
		base.Status, base.Excerpt = r.status, b.d.sink.link.readable(string(r.body))
		if words := b.d.sink.reasonOf(r.reply); words != "" {
			base.Reason += ": " + words
		}
	}
	all := same(items, base)
	for n, a := range all {
		if a.item.last.Code != "" && r.class == succeeded {
			all[n].answer = a.item.last
		}
		all[n].answer.Uncertain = a.item.unsure
	}
	b.emit(all)
	return nil
}
