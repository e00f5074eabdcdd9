// Package alertstore keeps what is known of alerts in Redis: the set of rules, what each rule remembers, the life of each alert, and the
// messages about it that have yet to be sent.
//
// What an evaluation changes is changed in one call: the state of the rule, the alerts that it opened or ended, and the messages about
// them. It is done if nobody has changed the rule's state since it was read. So an evaluation that two workers make takes effect once,
// and one that dies has not taken effect. Messages are an outbox: who sends one leases it, says that it begins, sends, and settles it.
//
// Every call is given the time. It is that of a clock, or of the schedule by which somebody evaluates.
package alertstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
)

//go:embed scripts/*.lua
var scriptFiles embed.FS

var (
	writeScript  = script("write")
	claimScript  = script("claim")
	settleScript = script("settle")
)

func script(name string) *redis.Script {
	b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic("alertstore: script is missing from the binary: " + name)
	}
	return redis.NewScript(string(b))
}

// What callers decide by.
var (
	// ErrSuperseded: somebody else has evaluated the rule meanwhile.
	ErrSuperseded = errors.New("somebody else has evaluated the rule meanwhile")
	// ErrNotFound: there is no such alert, or it was removed for its age.
	ErrNotFound = errors.New("there is no such alert")
	// ErrResolved: the alert is over.
	ErrResolved = errors.New("the alert is over")
	// ErrLinkUsed: the link has been used, or was never made.
	ErrLinkUsed = errors.New("the link was used before")
	// ErrCursor: a cursor of a list is none that a list gave.
	ErrCursor = errors.New("is no cursor of a list of alerts")
	// errChanged: what a change was made of has changed; it is made anew.
	errChanged = errors.New("an alert has changed meanwhile")
)

const (
	// keepState is how long the state of a rule is kept that is evaluated no more.
	keepState = 7 * 24 * time.Hour
	// DefaultKeep is how long an alert is kept that is over.
	DefaultKeep = 30 * 24 * time.Hour
	// maxClosed is how many alerts are kept that are over.
	maxClosed = 10_000
	// tries is how often a change is made anew because somebody else was faster.
	tries = 20
)

// Options say what a Store does not know itself. The zero value is usable.
type Options struct {
	// Keep is how long an alert is kept that is over; 0 is DefaultKeep.
	Keep time.Duration
	// Text says what is told of an alert. It is asked when a message is made, and the answer is kept with it; nil tells the alert's own
	// subject and text.
	Text func(a wire.Alert, event string, at time.Time) (subject, text string)
}

// Store is what is known of alerts in one Redis. It may be used by many at the same time.
type Store struct {
	rdb redis.UniversalClient
	o   Options
}

// New makes a store. The client stays the caller's.
func New(rdb redis.UniversalClient, o Options) *Store {
	o.Keep = cmp.Or(o.Keep, DefaultKeep)
	if o.Text == nil {
		o.Text = func(a wire.Alert, _ string, _ time.Time) (string, string) { return a.Subject, a.Text }
	}
	return &Store{rdb, o}
}

// change is what write.lua does.
type change struct {
	Checks [][2]string `json:"checks,omitempty"`
	Hashes [][]any     `json:"hashes,omitempty"`
	HSet   [][]any     `json:"hset,omitempty"`
	HDel   [][3]string `json:"hdel,omitempty"`
	ZAdd   [][]any     `json:"zadd,omitempty"`
	ZMin   [][]any     `json:"zmin,omitempty"`
	ZRem   [][2]string `json:"zrem,omitempty"`
	Del    []string    `json:"del,omitempty"`
	Expire [][]any     `json:"expire,omitempty"`
	values []any
}

// value keeps an argument and returns where it stands.
func (c *change) value(v any) int {
	c.values = append(c.values, v)
	return len(c.values) + 1
}

func (c *change) check(key string, version int64) {
	text := ""
	if version > 0 {
		text = strconv.FormatInt(version, 10)
	}
	c.Checks = append(c.Checks, [2]string{key, text})
}

func (c *change) hash(key string, version int64, body any) {
	c.Hashes = append(c.Hashes, []any{key, strconv.FormatInt(version, 10), c.value(body)})
}

func (c *change) hset(key, field string, value any) {
	c.HSet = append(c.HSet, []any{key, field, c.value(value)})
}

// hdel removes a field while it has a value.
func (c *change) hdel(key, field, value string) {
	c.HDel = append(c.HDel, [3]string{key, field, value})
}
func (c *change) zrem(key, member string) { c.ZRem = append(c.ZRem, [2]string{key, member}) }
func (c *change) zadd(key string, at time.Time, member string) {
	c.ZAdd = append(c.ZAdd, []any{key, at.UnixMilli(), member})
}
func (c *change) zmin(key string, at time.Time, member string) {
	c.ZMin = append(c.ZMin, []any{key, at.UnixMilli(), member})
}
func (c *change) expire(key string, d time.Duration) {
	c.Expire = append(c.Expire, []any{key, d.Milliseconds()})
}

// write makes a change; it returns the key that had changed, or "".
func (s *Store) write(ctx context.Context, c *change) (string, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode a change: %w", err)
	}
	changed, err := writeScript.Run(ctx, s.rdb, []string{rulesKey}, append([]any{b}, c.values...)...).Text()
	if err != nil {
		return "", fmt.Errorf("write alerts: %w", err)
	}
	return changed, nil
}

// keep puts an alert and the messages about it into a change. was is its version before, 0 for a new one.
func (s *Store) keep(c *change, k *Kept, was int64, sends []send, now time.Time) error {
	for _, x := range sends {
		k.Messages++
		m := s.message(k, x, now)
		k.note(wire.AlertTold{Message: m.ID, Channel: x.channel, Event: x.event, State: wire.ToldPending, At: now})
		body, err := json.Marshal(m)
		if err != nil {
			return fmt.Errorf("encode a message: %w", err)
		}
		c.hset(messageKey(m.ID), "body", body)
		c.expire(messageKey(m.ID), s.o.Keep)
		c.zadd(dueKey(x.channel), now, m.ID)
		c.zmin(channelsKey, now, x.channel)
	}
	k.Version = was + 1
	body, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("encode an alert: %w", err)
	}
	key := alertKey(k.ID)
	c.check(key, was)
	c.hash(key, k.Version, body)
	c.hset(key, "state", k.State)
	current := k.Rule + "\x00" + k.Key
	switch {
	case k.State == wire.AlertResolved:
		c.hdel(currentKey, current, k.ID) // a message of it may be settled when the next one is open
		c.zrem(openKey, k.ID)
		c.zadd(closedKey, *k.ResolvedAt, k.ID)
		c.expire(key, s.o.Keep)
	case was == 0:
		c.hset(currentKey, current, k.ID)
		c.zadd(openKey, k.OpenedAt, k.ID)
	}
	if k.NextAt != nil {
		c.zadd(nextKey, *k.NextAt, k.ID)
	} else {
		c.zrem(nextKey, k.ID)
	}
	return nil
}

// read reads alerts; one that is not there is nil.
func (s *Store) read(ctx context.Context, ids ...string) ([]*Kept, error) {
	out := make([]*Kept, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	cmds := make([]*redis.StringCmd, len(ids))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			cmds[i] = p.HGet(ctx, alertKey(id), "body")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	for i, c := range cmds {
		b, err := c.Bytes()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err == nil {
			out[i] = &Kept{}
			err = decode(b, out[i])
		}
		if err != nil {
			return nil, fmt.Errorf("read alert %s: %w", ids[i], err)
		}
	}
	return out, nil
}

// update changes one alert, anew as often as somebody else is faster. An error of do ends it and nothing is changed.
func (s *Store) update(ctx context.Context, id string, now time.Time, do func(*Kept) ([]send, error)) (*Kept, error) {
	for range tries {
		list, err := s.read(ctx, id)
		if err != nil {
			return nil, err
		}
		k := list[0]
		if k == nil {
			return nil, ErrNotFound
		}
		was := k.Version
		sends, err := do(k)
		if err != nil {
			return nil, err
		}
		var c change
		if err := s.keep(&c, k, was, sends, now); err != nil {
			return nil, err
		}
		changed, err := s.write(ctx, &c)
		if err != nil || changed == "" {
			return k, err
		}
	}
	return nil, errChanged
}

func randomID() string { return rand.Text() }
