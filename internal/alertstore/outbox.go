package alertstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/notify"
)

// Outgoing is a message under a lease.
type Outgoing struct {
	notify.Message
	Channel string
	Tries   int // attempts that were begun before
	// Unsure: the last one to send it died, or lost its lease, after it had begun.
	Unsure bool
	// PutOff: its channel was not to be told at the time of the message. What is over when it may be is no news any more.
	PutOff bool

	lease   string
	claimed time.Time // by a clock
}

// Channels returns the channels that have messages which are due, and when the next one of the others has one; zero for never.
func (s *Store) Channels(ctx context.Context, now time.Time) (due []string, next time.Time, err error) {
	due, err = s.rdb.ZRangeByScore(ctx, channelsKey, &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(now.UnixMilli(), 10)}).Result()
	if err != nil {
		return nil, next, fmt.Errorf("read channels: %w", err)
	}
	later, err := s.rdb.ZRangeByScoreWithScores(ctx, channelsKey, &redis.ZRangeBy{Min: "(" + strconv.FormatInt(now.UnixMilli(), 10), Max: "+inf", Count: 1}).Result()
	if err != nil {
		return nil, next, fmt.Errorf("read channels: %w", err)
	}
	if len(later) > 0 {
		next = time.UnixMilli(int64(later[0].Score)).UTC()
	}
	return due, next, nil
}

// Claim leases at most limit messages to a channel that are due.
func (s *Store) Claim(ctx context.Context, channel string, now time.Time, limit int, lease time.Duration) ([]Outgoing, error) {
	token := randomID()
	list, err := claimScript.Run(ctx, s.rdb, []string{dueKey(channel), channelsKey}, now.UnixMilli(), limit, lease.Milliseconds(), token, prefix+"m:", channel).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("claim messages: %w", err)
	}
	var out []Outgoing
	for ; len(list) >= 4; list = list[4:] {
		o := Outgoing{Channel: channel, Unsure: list[3] != "", lease: token, claimed: time.Now()}
		o.Tries, _ = strconv.Atoi(list[2])
		if err := decode([]byte(list[1]), &o.Message); err != nil {
			return nil, fmt.Errorf("read message %s: %w", list[0], err)
		}
		out = append(out, o)
	}
	return out, nil
}

func (s *Store) settle(ctx context.Context, o Outgoing, what string, ms int64) (bool, error) {
	mine, err := settleScript.Run(ctx, s.rdb, []string{messageKey(o.ID), dueKey(o.Channel), channelsKey}, o.lease, o.ID, what, ms, o.Channel).Int()
	if err != nil {
		return false, fmt.Errorf("settle a message: %w", err)
	}
	return mine == 1, nil
}

// Begin notes that a message is being sent from now on, and makes the lease as long again as it was when it was claimed, however many
// others were sent before; false: the lease is somebody else's, and it must not be.
func (s *Store) Begin(ctx context.Context, o Outgoing) (bool, error) {
	return s.settle(ctx, o, "begin", time.Since(o.claimed).Truncate(time.Second).Milliseconds())
}

// Wait puts a message off that was not begun. It does not count as an attempt.
func (s *Store) Wait(ctx context.Context, o Outgoing, until time.Time) error {
	_, err := s.settle(ctx, o, "again", until.UnixMilli())
	return err
}

// Sent is what came of an attempt.
type Sent struct {
	State string    // wire.ToldSent, ToldPending, ToldGaveUp, ToldUnknown, ToldDropped
	Error string    // why it did not arrive
	Again time.Time // of ToldPending: when it is sent again
	// Untried: nobody has tried to send it; it was settled all the same.
	Untried bool
}

// Settle notes what came of a message, on its alert first: who dies in between lets somebody settle it anew, as what stands there says.
// It does nothing when the lease is somebody else's.
func (s *Store) Settle(ctx context.Context, o Outgoing, r Sent, now time.Time) error {
	_, err := s.update(ctx, o.Alert, now, func(k *Kept) ([]send, error) {
		if t := k.told(o.Message.ID); t != nil {
			tries := o.Tries + 1
			if r.Untried {
				tries = o.Tries
			}
			t.State, t.Error, t.Tries = r.State, r.Error, max(tries, t.Tries)
			if r.State == wire.ToldSent {
				t.SentAt, t.Error = &now, ""
			}
		}
		return nil, nil
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	what := "gone"
	if r.State == wire.ToldPending {
		what = "again"
	}
	_, err = s.settle(ctx, o, what, r.Again.UnixMilli())
	return err
}

// Post puts a message into the outbox that is about no alert, such as a sign of life. The same name posts it once within the time that
// alerts are kept; false: it was posted before.
func (s *Store) Post(ctx context.Context, name string, now time.Time, channels []string, m notify.Message) (bool, error) {
	var c change
	c.check(signKey(name), 0)
	c.hash(signKey(name), 1, now.UnixMilli())
	c.expire(signKey(name), s.o.Keep)
	for _, channel := range channels {
		m.ID, m.At = "am_"+digest(name, channel, now.Format(time.RFC3339Nano)), now
		body, err := json.Marshal(m)
		if err != nil {
			return false, fmt.Errorf("encode a message: %w", err)
		}
		c.hset(messageKey(m.ID), "body", body)
		c.expire(messageKey(m.ID), s.o.Keep)
		c.zadd(dueKey(channel), now, m.ID)
		c.zmin(channelsKey, now, channel)
	}
	changed, err := s.write(ctx, &c)
	return err == nil && changed == "", err
}

// Withdraw forgets that something was posted, so that it can be posted again.
func (s *Store) Withdraw(ctx context.Context, names ...string) error {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = signKey(name)
	}
	if err := s.rdb.Del(ctx, keys...).Err(); err != nil {
		return fmt.Errorf("withdraw a sign: %w", err)
	}
	return nil
}

// Overtaken looks whether a message is still to be sent. It is not, and what came of it is returned, when it was settled on its alert
// and whoever did that died, when the alert is over or somebody has taken it, or when the end of an alert would be told to who never
// heard of it. Who is told each time that a rule's alert comes hears of those, too, that were over before anybody could say so: after an
// outage there are hours of them.
func (s *Store) Overtaken(ctx context.Context, o Outgoing) (string, error) {
	if o.Alert == "" {
		return "", nil
	}
	list, err := s.read(ctx, o.Alert)
	if err != nil || list[0] == nil {
		return "", err
	}
	k := list[0]
	if t := k.told(o.Message.ID); t != nil && t.State != wire.ToldPending {
		return t.State, nil
	}
	heard, waits := false, false
	for _, t := range k.Told {
		if t.Channel == o.Channel && t.Message != o.Message.ID {
			heard = heard || t.State == wire.ToldSent || t.State == wire.ToldUnknown
			waits = waits || t.State == wire.ToldPending
		}
	}
	switch {
	case o.Event == notify.Resolved && !heard && !waits:
		return wire.ToldDropped, nil
	case o.Event == notify.Resolved:
		return "", nil
	case o.Event == notify.Acknowledged && (k.State != wire.AlertAcknowledged || !heard && !waits):
		return wire.ToldDropped, nil
	case o.Event == notify.Acknowledged:
		return "", nil
	case k.State == wire.AlertResolved && k.ResolvedBy == byRule && k.tellsEach(o) && !o.PutOff:
		return "", nil
	case k.State == wire.AlertResolved, k.State == wire.AlertSilenced, k.State == wire.AlertAcknowledged && !k.tellsTaken(o):
		return wire.ToldDropped, nil
	}
	return "", nil
}

// tellsTaken reports whether a channel is told of an alert although somebody has taken it.
func (k *Kept) tellsTaken(o Outgoing) bool {
	return slices.ContainsFunc(k.Ladder, func(l wire.AlertLevel) bool { return l.Until == "resolved" && slices.Contains(l.To, o.Channel) })
}

// tellsEach reports whether a channel is told each time that the rule's alert comes.
func (k *Kept) tellsEach(o Outgoing) bool {
	return slices.ContainsFunc(k.Ladder, func(l wire.AlertLevel) bool { return l.Each && slices.Contains(l.To, o.Channel) })
}

func wrap(err error, what string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Allow counts a message to a channel, and returns when it may be sent: now, or when the next minute begins, if the channel has had
// its share of this one.
func (s *Store) Allow(ctx context.Context, channel string, now time.Time, perMinute int) (time.Time, error) {
	key := rateKey(channel, now.Truncate(time.Minute))
	n, err := s.rdb.Incr(ctx, key).Result()
	if err == nil && n == 1 {
		err = s.rdb.Expire(ctx, key, 2*time.Minute).Err()
	}
	if err != nil {
		return now, fmt.Errorf("count the messages of a channel: %w", err)
	}
	if n > int64(perMinute) {
		return now.Truncate(time.Minute).Add(time.Minute), nil
	}
	return now, nil
}

// restsFor is how long it is remembered that a channel has failed.
const restsFor = 24 * time.Hour

// Resting returns until when nothing is to be sent to a channel, and how many messages to it have failed in a row; the zero time and 0
// where the last one did not.
func (s *Store) Resting(ctx context.Context, channel string) (until time.Time, failures int, err error) {
	v, err := s.rdb.HMGet(ctx, restKey(channel), "until", "failures").Result()
	if err != nil {
		return until, 0, fmt.Errorf("look whether a channel rests: %w", err)
	}
	text, ok := v[0].(string)
	if !ok {
		return until, 0, nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return until, 0, fmt.Errorf("look whether a channel rests: %w", err)
	}
	text, _ = v[1].(string)
	failures, _ = strconv.Atoi(text)
	return time.UnixMilli(ms).UTC(), failures, nil
}

// Rest has nothing sent to a channel until a time, because so many messages in a row have failed; 0 failures end that.
func (s *Store) Rest(ctx context.Context, channel string, until time.Time, failures int) error {
	if failures == 0 {
		return wrap(s.rdb.Del(ctx, restKey(channel)).Err(), "end the rest of a channel")
	}
	_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, restKey(channel), "until", until.UnixMilli(), "failures", failures)
		p.PExpire(ctx, restKey(channel), restsFor)
		return nil
	})
	return wrap(err, "let a channel rest")
}
