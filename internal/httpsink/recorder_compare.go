package httpsink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// Effects is what has come by one endpoint of a Recorder.
type Effects struct {
	Records  int64  // that took effect; one that did so twice counts twice
	Repeats  int64  // requests and records that came again and were known
	Checksum string // of all, the same for the same records in any order
}

// Effects adds up what has come by the endpoint of a number.
func (r *Recorder) Effects(stage int) Effects {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stages[stage]
	e := Effects{Repeats: s.repeats}
	var a, b uint64
	for h, x := range s.effects {
		e.Records += x.times
		a += uint64(x.times) * binary.BigEndian.Uint64(h[8:]) //nolint:gosec // a count
		b += uint64(x.times) * binary.BigEndian.Uint64(h[16:])
	}
	e.Checksum = fmt.Sprintf("%016x%016x", a, b)
	return e
}

// CompareEffects compares what has come by an endpoint with an undisturbed run: how many records are lost, how many there are
// besides or more often, and the beginnings of at most so many of them, with what is wrong.
func CompareEffects(calm, disturbed *Recorder, stage, most int) (lost, twice int64, shown []string) {
	want, got := calm.copyEffects(stage), disturbed.copyEffects(stage)
	all := maps.Clone(want)
	maps.Copy(all, got)
	for _, h := range slices.SortedFunc(maps.Keys(all), func(a, b contentID) int { return bytes.Compare(a[:], b[:]) }) {
		n := got[h].times - want[h].times
		switch {
		case n < 0:
			lost -= n
		case n > 0:
			twice += n
		default:
			continue
		}
		if len(shown) < most {
			shown = append(shown, fmt.Sprintf("%s: took effect %d times, undisturbed %d times", all[h].excerpt, got[h].times, want[h].times))
		}
	}
	return lost, twice, shown
}

func (r *Recorder) copyEffects(stage int) map[contentID]effect {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[contentID]effect, len(r.stages[stage].effects))
	for h, x := range r.stages[stage].effects {
		out[h] = *x
	}
	return out
}
