package alertstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
)

// Get reads an alert. ErrNotFound: there is none of that id.
func (s *Store) Get(ctx context.Context, id string) (Kept, error) {
	list, err := s.read(ctx, id)
	if err != nil {
		return Kept{}, err
	}
	if list[0] == nil {
		return Kept{}, ErrNotFound
	}
	return *list[0], nil
}

// Filter says which alerts are listed. Empty parts leave none out.
type Filter struct {
	Rule   string
	States []string
	Limit  int    // 0 is 100
	After  string // the cursor that the last page gave
}

// List returns alerts, those that are not over first and of each the newest first, and the cursor of the next page; "" ends it.
func (s *Store) List(ctx context.Context, f Filter) ([]wire.Alert, string, error) {
	limit := cmp.Or(f.Limit, 100)
	part, offset := "o", 0
	if f.After != "" {
		p, n, ok := strings.Cut(f.After, ".")
		at, err := strconv.Atoi(n)
		if !ok || err != nil || at < 0 || p != "o" && p != "c" {
			return nil, "", fmt.Errorf("%q %w", f.After, ErrCursor)
		}
		part, offset = p, at
	}
	over := len(f.States) == 0 || slices.Contains(f.States, wire.AlertResolved)
	if part == "o" && over && len(f.States) == 1 {
		part, offset = "c", 0
	}
	var out []wire.Alert
	for {
		key := openKey
		if part == "c" {
			key = closedKey
		}
		ids, err := s.rdb.ZRevRange(ctx, key, int64(offset), int64(offset+limit-1)).Result()
		if err != nil {
			return nil, "", fmt.Errorf("list alerts: %w", err)
		}
		list, err := s.read(ctx, ids...)
		if err != nil {
			return nil, "", err
		}
		for _, k := range list {
			offset++
			if k == nil || f.Rule != "" && k.Rule != f.Rule || len(f.States) > 0 && !slices.Contains(f.States, k.State) {
				continue
			}
			if out = append(out, k.Alert); len(out) == limit {
				return out, part + "." + strconv.Itoa(offset), nil
			}
		}
		switch {
		case len(ids) == limit:
		case part == "o" && over:
			part, offset = "c", 0
		default:
			return out, "", nil
		}
	}
}

// Counts returns how many alerts are not over, by state. It has each of the states.
func (s *Store) Counts(ctx context.Context) (map[string]int64, error) {
	out := map[string]int64{wire.AlertOpen: 0, wire.AlertAcknowledged: 0, wire.AlertSilenced: 0}
	ids, err := s.rdb.ZRange(ctx, openKey, 0, -1).Result()
	if err != nil || len(ids) == 0 {
		return out, wrap(err, "count alerts")
	}
	cmds := make([]*redis.StringCmd, len(ids))
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			cmds[i] = p.HGet(ctx, alertKey(id), "state")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return out, wrap(err, "count alerts")
	}
	for _, c := range cmds {
		if _, counted := out[c.Val()]; counted { // else it has just ended
			out[c.Val()]++
		}
	}
	return out, nil
}

// Acknowledge notes that somebody takes an alert: its ladder stops, for that long or, with 0, for good. Taken again, it is theirs.
func (s *Store) Acknowledge(ctx context.Context, id string, now time.Time, by, reason string, long time.Duration) (wire.Alert, error) {
	return s.act(ctx, id, now, func(k *Kept) []send {
		return append(k.acknowledge(now, by, reason, within(now, long)), k.advance(now)...)
	})
}

// Release takes an acknowledgement or a silence back: the ladder goes on where its time is.
func (s *Store) Release(ctx context.Context, id string, now time.Time) (wire.Alert, error) {
	return s.act(ctx, id, now, func(k *Kept) []send {
		k.release()
		return k.advance(now)
	})
}

// Silence keeps everybody from being told of an alert for that long.
func (s *Store) Silence(ctx context.Context, id string, now time.Time, by, reason string, long time.Duration) (wire.Alert, error) {
	return s.act(ctx, id, now, func(k *Kept) []send {
		k.silence(by, reason, now.Add(long))
		return k.advance(now)
	})
}

// Resolve ends an alert. When its rule matches again, that is another one.
func (s *Store) Resolve(ctx context.Context, id string, now time.Time, by, reason string) (wire.Alert, error) {
	return s.act(ctx, id, now, func(k *Kept) []send { return k.resolve(now, by, reason) })
}

// AcknowledgeByLink takes an alert by the link of one of its messages, which it does once.
func (s *Store) AcknowledgeByLink(ctx context.Context, id, message string, now time.Time) (wire.Alert, error) {
	k, err := s.update(ctx, id, now, func(k *Kept) ([]send, error) {
		t := k.told(message)
		switch {
		case t == nil || slices.Contains(k.Links, message):
			return nil, ErrLinkUsed
		case k.State == wire.AlertResolved:
			return nil, ErrResolved
		}
		k.Links = append(k.Links, message)
		return append(k.acknowledge(now, "the link in the message to "+t.Channel, "", nil), k.advance(now)...), nil
	})
	if err != nil {
		return wire.Alert{}, err
	}
	return k.Alert, nil
}

func within(now time.Time, long time.Duration) *time.Time {
	if long <= 0 {
		return nil
	}
	until := now.Add(long)
	return &until
}

func (s *Store) act(ctx context.Context, id string, now time.Time, do func(*Kept) []send) (wire.Alert, error) {
	k, err := s.update(ctx, id, now, func(k *Kept) ([]send, error) {
		if k.State == wire.AlertResolved {
			return nil, ErrResolved
		}
		return do(k), nil
	})
	if err != nil {
		return wire.Alert{}, err
	}
	return k.Alert, nil
}

// Advance moves the alerts whose time has come, and returns how many it has looked at, at most limit.
func (s *Store) Advance(ctx context.Context, now time.Time, limit int) (int, error) {
	ids, err := s.rdb.ZRangeByScore(ctx, nextKey, &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(now.UnixMilli(), 10), Count: int64(limit)}).Result()
	if err != nil {
		return 0, fmt.Errorf("look for alerts that are due: %w", err)
	}
	for _, id := range ids {
		_, err := s.update(ctx, id, now, func(k *Kept) ([]send, error) { return k.advance(now), nil })
		if errors.Is(err, ErrNotFound) {
			err = s.rdb.ZRem(ctx, nextKey, id).Err()
		}
		if err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

// Trim forgets alerts that were over long ago.
func (s *Store) Trim(ctx context.Context, now time.Time) error {
	edge := strconv.FormatInt(now.Add(-s.o.Keep).UnixMilli(), 10)
	if err := s.rdb.ZRemRangeByScore(ctx, closedKey, "-inf", edge).Err(); err != nil {
		return fmt.Errorf("forget old alerts: %w", err)
	}
	over, err := s.rdb.ZRange(ctx, closedKey, 0, -maxClosed-1).Result()
	if err != nil || len(over) == 0 {
		return wrap(err, "forget old alerts")
	}
	_, err = s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, id := range over {
			p.Del(ctx, alertKey(id))
			p.ZRem(ctx, closedKey, id)
		}
		return nil
	})
	return wrap(err, "forget old alerts")
}

// Overdue is a rule that has not been evaluated in time.
type Overdue struct {
	Rule string
	By   time.Time // when it should have been, at the latest
}

// Overdue lists the rules that have not been evaluated within their heartbeat, the one that has been for longest first, and returns how
// many rules have one.
func (s *Store) Overdue(ctx context.Context, now time.Time) (list []Overdue, of int, err error) {
	var late *redis.ZSliceCmd
	var all *redis.IntCmd
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		late = p.ZRangeByScoreWithScores(ctx, beatsKey, &redis.ZRangeBy{Min: "-inf", Max: "(" + strconv.FormatInt(now.UnixMilli(), 10)})
		all = p.ZCard(ctx, beatsKey)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("look for rules that are not evaluated: %w", err)
	}
	for _, z := range late.Val() {
		if name, ok := z.Member.(string); ok {
			list = append(list, Overdue{name, time.UnixMilli(int64(z.Score)).UTC()})
		}
	}
	return list, int(all.Val()), nil
}

// SilenceRules keeps the alerts of rules from being told until a time: those that are open, and those that come. One that is silenced for
// longer stays so.
func (s *Store) SilenceRules(ctx context.Context, now time.Time, x wire.AlertSilence) (wire.AlertSilence, error) {
	x.ID = "si_" + digest(x.Rule, x.Key, x.Until.UTC().Format(time.RFC3339Nano))
	b, err := json.Marshal(x)
	if err != nil {
		return x, fmt.Errorf("encode a silence: %w", err)
	}
	if err := s.rdb.HSet(ctx, silencesKey, x.ID, b).Err(); err != nil {
		return x, fmt.Errorf("write a silence: %w", err)
	}
	ids, err := s.rdb.ZRange(ctx, openKey, 0, -1).Result()
	if err != nil {
		return x, fmt.Errorf("list alerts: %w", err)
	}
	list, err := s.read(ctx, ids...)
	if err != nil {
		return x, err
	}
	for _, k := range list {
		if k == nil || !like(x.Rule, k.Rule) || !like(x.Key, k.Key) {
			continue
		}
		_, err := s.act(ctx, k.ID, now, func(k *Kept) []send {
			if k.State != wire.AlertSilenced || k.SilencedUntil == nil || k.SilencedUntil.Before(x.Until) {
				k.silence(x.By, x.Reason, x.Until)
			}
			return k.advance(now)
		})
		if err != nil && !errors.Is(err, ErrResolved) && !errors.Is(err, ErrNotFound) {
			return x, err
		}
	}
	return x, nil
}

// Silences lists the silences of rules that are not over, and forgets the others.
func (s *Store) Silences(ctx context.Context, now time.Time) ([]wire.AlertSilence, error) {
	all, err := s.rdb.HGetAll(ctx, silencesKey).Result()
	if err != nil {
		return nil, fmt.Errorf("read silences: %w", err)
	}
	var out []wire.AlertSilence
	for id, text := range all {
		var x wire.AlertSilence
		if err := json.Unmarshal([]byte(text), &x); err != nil {
			return nil, fmt.Errorf("read silence %s: %w", id, err)
		}
		if x.Until.After(now) {
			out = append(out, x)
		} else if err := s.rdb.HDel(ctx, silencesKey, id).Err(); err != nil {
			return nil, fmt.Errorf("forget a silence: %w", err)
		}
	}
	slices.SortFunc(out, func(a, b wire.AlertSilence) int { return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// EndSilence takes a silence of rules back. Alerts that it has silenced stay so until its time.
func (s *Store) EndSilence(ctx context.Context, id string) error {
	n, err := s.rdb.HDel(ctx, silencesKey, id).Result()
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return wrap(err, "end a silence")
}

// silencesFor returns the silences that hold for a rule whose evaluation has alerts.
func (s *Store) silencesFor(ctx context.Context, e Evaluated) ([]wire.AlertSilence, error) {
	if len(e.Alerts) == 0 {
		return nil, nil
	}
	all, err := s.Silences(ctx, e.Now)
	return slices.DeleteFunc(all, func(x wire.AlertSilence) bool { return !like(x.Rule, e.Rule.Name) }), err
}

// like reports whether a text is what a pattern says, in which * is any part; the empty pattern is any text.
func like(pattern, text string) bool {
	if pattern == "" {
		return true
	}
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
