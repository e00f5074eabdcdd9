package alertstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/internal/notify"
)

func decode(b []byte, into any) error { return document.Decode(b, into) }

// Set is a set of rules, each as its family writes it.
type Set struct {
	Rules       map[string]json.RawMessage `json:"-"`
	Digest      string                     `json:"digest"` // of all of them
	Environment string                     `json:"environment,omitempty"`
	At          time.Time                  `json:"at"`
	By          string                     `json:"by,omitempty"` // the process that read them
	Problems    []string                   `json:"problems,omitempty"`
	// Heartbeats are how long each rule may go unevaluated; 0, or a rule that is not among them: for ever.
	Heartbeats map[string]time.Duration `json:"-"`
}

// Publish makes a set the one that is evaluated, as a whole. The state of a rule that is in it no more is kept for a week; its alerts
// are resolved.
func (s *Store) Publish(ctx context.Context, set Set) error {
	old, err := s.Rules(ctx)
	if err != nil {
		return err
	}
	meta, err := json.Marshal(set)
	if err != nil {
		return fmt.Errorf("encode the set of rules: %w", err)
	}
	for name := range old.Rules {
		if _, ok := set.Rules[name]; ok {
			continue
		}
		if err := s.endAlerts(ctx, name, set.At); err != nil {
			return err
		}
	}
	_, err = s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, rulesKey)
		p.HSet(ctx, rulesKey, "", meta)
		for name, text := range set.Rules {
			p.HSet(ctx, rulesKey, name, []byte(text))
			if beat := set.Heartbeats[name]; beat > 0 {
				p.ZAddNX(ctx, beatsKey, redis.Z{Score: float64(set.At.Add(beat).UnixMilli()), Member: name})
			} else {
				p.ZRem(ctx, beatsKey, name)
			}
			p.Persist(ctx, stateKey(name))
		}
		for name := range old.Rules {
			if _, ok := set.Rules[name]; !ok {
				p.PExpire(ctx, stateKey(name), keepState)
				p.ZRem(ctx, beatsKey, name)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("publish rules: %w", err)
	}
	return nil
}

// endAlerts resolves the alerts of a rule that is gone.
func (s *Store) endAlerts(ctx context.Context, rule string, now time.Time) error {
	all, err := s.rdb.HGetAll(ctx, currentKey).Result()
	if err != nil {
		return fmt.Errorf("read open alerts: %w", err)
	}
	for name, id := range all {
		if len(name) <= len(rule) || name[:len(rule)+1] != rule+"\x00" {
			continue
		}
		_, err := s.update(ctx, id, now, func(k *Kept) ([]send, error) {
			if k.State == wire.AlertResolved {
				return nil, ErrResolved
			}
			return k.resolve(now, "stint", "the rule was removed"), nil
		})
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrResolved) {
			return err
		}
	}
	return nil
}

// Rules reads the set that is evaluated; none was published while its At is zero.
func (s *Store) Rules(ctx context.Context) (Set, error) {
	all, err := s.rdb.HGetAll(ctx, rulesKey).Result()
	if err != nil {
		return Set{}, fmt.Errorf("read rules: %w", err)
	}
	var set Set
	if meta, ok := all[""]; ok {
		if err := json.Unmarshal([]byte(meta), &set); err != nil {
			return Set{}, fmt.Errorf("read rules: %w", err)
		}
	}
	delete(all, "")
	set.Rules = make(map[string]json.RawMessage, len(all))
	for name, text := range all {
		set.Rules[name] = json.RawMessage(text)
	}
	return set, nil
}

// Digest returns that of the set that is evaluated, "" when none was published.
func (s *Store) Digest(ctx context.Context) (string, error) {
	meta, err := s.rdb.HGet(ctx, rulesKey, "").Bytes()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	var set Set
	if err == nil {
		err = json.Unmarshal(meta, &set)
	}
	return set.Digest, wrap(err, "read rules")
}

// Published reports whether a set of rules has been published.
func (s *Store) Published(ctx context.Context) (bool, error) {
	known, err := s.rdb.HExists(ctx, rulesKey, "").Result()
	return known, wrap(err, "look for rules")
}

// RulesOf reads some rules of the set; one that is in it no more is missing.
func (s *Store) RulesOf(ctx context.Context, names []string) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	if len(names) == 0 {
		return out, nil
	}
	list, err := s.rdb.HMGet(ctx, rulesKey, names...).Result()
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	for i, v := range list {
		if text, ok := v.(string); ok {
			out[names[i]] = json.RawMessage(text)
		}
	}
	return out, nil
}

// State is what a rule remembers, and how its last evaluation went.
type State struct {
	Version int64  // counts the writes; 0: there is none
	Body    []byte // the rule's own
	Health  Health
}

// Health is how the evaluation of a rule goes.
type Health struct {
	At      time.Time      `json:"at,omitzero"`  // when it was last evaluated, by a clock
	Due     time.Time      `json:"due,omitzero"` // the time of its grid that was evaluated last
	End     time.Time      `json:"end,omitzero"` // up to where events have been read
	Took    int64          `json:"took_ms"`
	Hits    int64          `json:"hits"`
	Late    int64          `json:"late"` // events that came late, since the beginning
	Matches int64          `json:"matches"`
	Alerts  int64          `json:"alerts"` // since the beginning
	Error   *wire.JobError `json:"error,omitempty"`
	Since   time.Time      `json:"since,omitzero"` // since when it fails
	Notes   []string       `json:"notes,omitempty"`
}

// Healths reads how the evaluation of rules goes, without what they remember.
func (s *Store) Healths(ctx context.Context, rules []string) (map[string]Health, error) {
	cmds := make([]*redis.StringCmd, len(rules))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, r := range rules {
			cmds[i] = p.HGet(ctx, stateKey(r), "health")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read the health of rules: %w", err)
	}
	out := make(map[string]Health, len(rules))
	for i, c := range cmds {
		b, err := c.Bytes()
		if errors.Is(err, redis.Nil) {
			continue
		}
		var h Health
		if err == nil {
			err = json.Unmarshal(b, &h)
		}
		if err != nil {
			return nil, fmt.Errorf("read the health of rule %s: %w", rules[i], err)
		}
		out[rules[i]] = h
	}
	return out, nil
}

// States reads the states of rules.
func (s *Store) States(ctx context.Context, rules []string) (map[string]State, error) {
	cmds := make([]*redis.SliceCmd, len(rules))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, r := range rules {
			cmds[i] = p.HMGet(ctx, stateKey(r), "v", "body", "health")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the states of rules: %w", err)
	}
	out := make(map[string]State, len(rules))
	for i, c := range cmds {
		var st State
		values := c.Val()
		if v, ok := values[0].(string); ok {
			st.Version, _ = strconv.ParseInt(v, 10, 64)
		}
		if v, ok := values[1].(string); ok {
			st.Body = []byte(v)
		}
		if v, ok := values[2].(string); ok {
			if err := json.Unmarshal([]byte(v), &st.Health); err != nil {
				return nil, fmt.Errorf("read the health of rule %s: %w", rules[i], err)
			}
		}
		out[rules[i]] = st
	}
	return out, nil
}

// Evaluated is what an evaluation gave.
type Evaluated struct {
	Rule     Rule
	Body     []byte // the rule's state
	Health   Health
	Alerts   []Found
	Resolved []string // keys of alerts that are over by the lights of the rule
	// Now is the time as of which alerts are opened and told.
	Now time.Time
	// Heartbeat is how long the rule may go unevaluated from now on; 0: for ever.
	Heartbeat time.Duration
}

// Commit writes what an evaluation gave, and returns the messages that are due by it. was is the version of the state that it was made
// of. ErrSuperseded: somebody else has written since, and nothing was changed.
func (s *Store) Commit(ctx context.Context, was int64, e Evaluated) error {
	health, err := json.Marshal(e.Health)
	if err != nil {
		return fmt.Errorf("encode the health of a rule: %w", err)
	}
	silences, err := s.silencesFor(ctx, e)
	if err != nil {
		return err
	}
	for range tries {
		var c change
		key := stateKey(e.Rule.Name)
		c.check(key, was)
		c.hash(key, was+1, e.Body)
		c.hset(key, "health", health)
		if e.Heartbeat > 0 {
			c.zadd(beatsKey, e.Health.At.Add(e.Heartbeat), e.Rule.Name)
		}
		if err := s.alerts(ctx, &c, e, silences); err != nil {
			return err
		}
		changed, err := s.write(ctx, &c)
		switch {
		case err != nil:
			return err
		case changed == key:
			return ErrSuperseded
		case changed == "":
			return nil
		}
	}
	return errChanged
}

// alerts puts what becomes of alerts into a change.
func (s *Store) alerts(ctx context.Context, c *change, e Evaluated, silences []wire.AlertSilence) error {
	var keys []string
	for _, f := range e.Alerts {
		keys = append(keys, e.Rule.Name+"\x00"+f.Key)
	}
	for _, key := range e.Resolved {
		keys = append(keys, e.Rule.Name+"\x00"+key)
	}
	if len(keys) == 0 {
		return nil
	}
	ids, err := s.rdb.HMGet(ctx, currentKey, keys...).Result()
	if err != nil {
		return fmt.Errorf("read open alerts: %w", err)
	}
	var known []string
	for _, v := range ids {
		if id, ok := v.(string); ok {
			known = append(known, id)
		}
	}
	list, err := s.read(ctx, known...)
	if err != nil {
		return err
	}
	at := map[string]*life{}
	for _, k := range list {
		if k != nil && k.State != wire.AlertResolved {
			at[k.Key] = &life{k: k, was: k.Version}
		}
	}
	for _, l := range e.move(at, silences) {
		if err := s.keep(c, l.k, l.was, l.sends, e.Now); err != nil {
			return err
		}
	}
	return nil
}

// Failed notes that a rule could not be evaluated. Its state stays what it was; was is its version.
func (s *Store) Failed(ctx context.Context, rule string, was int64, h Health) error {
	health, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode the health of a rule: %w", err)
	}
	var c change
	c.check(stateKey(rule), was)
	c.hset(stateKey(rule), "health", health)
	_, err = s.write(ctx, &c) // who was faster knows better
	return err
}

// message makes a message of an alert to a channel.
func (s *Store) message(k *Kept, x send, now time.Time) notify.Message {
	subject, text := s.o.Text(k.Alert, x.event, now)
	return notify.Message{ID: messageID(k.ID, k.Messages, x.channel), Alert: k.ID, Event: x.event, Rule: k.Rule, Key: k.Key, Severity: k.Severity,
		Subject: clip(subject, maxSubject), Text: clip(text, maxText), At: now, Matches: k.Matches}
}
