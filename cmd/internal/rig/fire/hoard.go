package fire

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// histories are kinds of which keys are kept on purpose when what they are of is over, within bounds that an hour does not reach: messages of a
// webhook (10,000, or eight days), and what Idempotency-Keys stand for (thirty days).
var histories = map[string]bool{"webhooks d": true, "stint idem": true}

// hoard adds to the series how much of its memory Redis has for each kind of key, so that growth has a name, and how many keys it has.
func (t *Town) hoard(series map[string][]float64) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	kinds, beside := map[string]float64{}, 0.0
	rdb := t.Redis.Client()
	for scan := rdb.Scan(ctx, 0, "", 1000).Iterator(); ; {
		var keys []string
		for len(keys) < 1000 && scan.Next(ctx) {
			keys = append(keys, scan.Val())
		}
		if scan.Err() != nil {
			return // Redis is under fire: the next look may be lucky
		}
		if len(keys) == 0 {
			break
		}
		cmds, _ := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, key := range keys {
				p.MemoryUsage(ctx, key, 0) // all fields: from a few of them Redis guesses, by an order that changes when it is started anew
			}
			return nil
		})
		for i, c := range cmds { // a key that has gone meanwhile has nothing
			kind := kindOfKey(keys[i])
			kinds[kind] += float64(c.(*redis.IntCmd).Val()) / 1024
			if !histories[kind] {
				beside++
			}
		}
	}
	series["Redis keys beside histories"] = append(series["Redis keys beside histories"], beside)
	for kind, kib := range kinds {
		name := "Redis KiB of " + kind
		series[name] = append(series[name], kib)
	}
}

// kindOfKey is a key without what names one of many: "stint:{a1b2}:events" is "job events", "asynq:{default.p2}:t:x" is "asynq t".
func kindOfKey(key string) string {
	home, rest, tagged := strings.Cut(key, "{")
	tag, rest, _ := strings.Cut(rest, "}")
	if !tagged {
		words := strings.SplitN(key, ":", 3)
		return strings.Join(words[:min(2, len(words))], " ")
	}
	kind, _, _ := strings.Cut(strings.TrimPrefix(rest, ":"), ":")
	switch {
	case !strings.HasPrefix(home, "stint:"):
		tag = strings.Trim(home, ":")
	case tag != "fleet" && tag != "webhooks" && tag != "schedules" && tag != "rates":
		tag = "job"
	}
	return strings.TrimSpace(tag + " " + kind)
}
