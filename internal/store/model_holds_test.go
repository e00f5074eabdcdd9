package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// holds reads what Redis has of a job, in the lines of the model.
func (x *mirror) holds(r replica) ([]string, error) {
	id := r.job.ID
	p := x.rdb.Pipeline()
	job, stages, out, bodies := p.HGetAll(x.ctx, jobKey(id)), p.HGetAll(x.ctx, stagesKey(id)), p.HGetAll(x.ctx, outKey(id)), p.HGetAll(x.ctx, stepsKey(id))
	saved, fails, dead := p.HGetAll(x.ctx, savedKey(id)), p.HGetAll(x.ctx, failsKey(id)), p.HGetAll(x.ctx, deadKey(id))
	later := p.ZRange(x.ctx, laterKey(id), 0, -1)
	var ready []*redis.StringSliceCmd
	for i := range x.m.Stages {
		ready = append(ready, p.LRange(x.ctx, readyPrefix(id)+strconv.Itoa(i), 0, -1))
	}
	if _, err := p.Exec(x.ctx); err != nil {
		return nil, err
	}
	j := job.Val()
	if len(j) == 0 {
		return nil, nil
	}
	lines := []string{fmt.Sprintf("job %s run %s left %d open %s", j["state"], j["epoch"], toInt(j["stages_left"]), j["open"])}
	for i := range x.m.Stages {
		f := func(name string) string { return stages.Val()[fmt.Sprintf("%d:%s", i, name)] }
		if f("state") == "" {
			continue
		}
		line := fmt.Sprintf("stage %d %s", i, f("state"))
		for _, name := range []string{"wait", "split_done", "splitting", "page", "known", "done", "failed", "live", "closed", "read"} {
			line += fmt.Sprintf(" %s %d", strings.TrimSuffix(name, "_done"), toInt(f(name)))
		}
		lines = append(lines, line)
	}
	where := map[string]string{} // step key -> where it is; a step that is in two places has two words
	for _, e := range later.Val() {
		key, n, _ := strings.Cut(e, "|")
		where[key] += "later " + n
	}
	for key, v := range out.Val() {
		f := strings.Split(v, "|")
		where[key] += "out " + f[0]
		if f[1] != "" {
			where[key] += " " + r.attemptName(f[1]) + " " + r.workerName(f[2])
		}
	}
	for key, v := range dead.Val() {
		var d struct{ Delivery int64 }
		if err := json.Unmarshal([]byte(v), &d); err != nil {
			return nil, err
		}
		where[key] += fmt.Sprint("dead ", d.Delivery)
	}
	for i, list := range ready {
		before := uint8(0)
		for _, e := range list.Val() {
			key, n, _ := strings.Cut(e, "|")
			where[key] += "ready " + n
			if k, _ := x.m.KeyOf(key); k < before {
				return nil, fmt.Errorf("the ready list of stage %d is out of order: %v", i, list.Val())
			} else {
				before = k
			}
		}
	}
	for _, other := range []map[string]string{bodies.Val(), saved.Val(), fails.Val()} {
		for key := range other {
			if where[key] == "" {
				where[key] = "nowhere, and not forgotten:"
			}
		}
	}
	order := func(a, b string) int {
		k, _ := x.m.KeyOf(a)
		l, _ := x.m.KeyOf(b)
		return int(k) - int(l)
	}
	for _, key := range slices.SortedFunc(maps.Keys(where), order) {
		read, _, _ := strings.Cut(saved.Val()[key], "|")
		line := fmt.Sprintf("%s %s saved %d fails %d", key, where[key], toInt(read), toInt(fails.Val()[key]))
		if _, body := bodies.Val()[key]; body {
			line += " body"
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func (r replica) attemptName(id string) string {
	for w, a := range r.attempt {
		if a == id {
			return fmt.Sprint("a", w)
		}
	}
	return "gone"
}

func (r replica) workerName(id string) string {
	w, _, _ := strings.Cut(strings.TrimPrefix(id, "w"), "-")
	n, _ := strconv.Atoi(w)
	if r.workerID(uint8(n)) == id {
		return fmt.Sprint("w", n)
	}
	return "gone"
}
