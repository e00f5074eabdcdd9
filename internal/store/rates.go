package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

const (
	keptRates = 1000
	// rateDecay is what the sums of earlier jobs are multiplied by when one is added.
	rateDecay = 0.7
)

var rateScript = fleetScript("rate")

// Rate is what the last jobs of a kind into a target have reached, from their start to their end.
type Rate struct {
	Rows    float64 `json:"rows"` // sums, of which older ones count less
	Seconds float64 `json:"seconds"`
	Jobs    int     `json:"jobs"` // how many there were
}

// targetOf is where a spec writes to, as far as the store can see: the text under "target", at the top or in its plan. "" means
// that it says nothing of it; then all jobs of the kind are taken together.
func targetOf(spec json.RawMessage) string {
	var s struct {
		Target json.RawMessage            `json:"target"`
		Plan   map[string]json.RawMessage `json:"plan"`
	}
	_ = json.Unmarshal(spec, &s) // a plan in another form leaves the rest as it is
	for _, text := range []json.RawMessage{s.Target, s.Plan["target"]} {
		var name string
		if len(text) > 0 && json.Unmarshal(text, &name) == nil && name != "" {
			return name
		}
	}
	return ""
}

func rateField(kind, target string) string {
	sum := sha256.Sum256([]byte(target))
	return kind + " " + hex.EncodeToString(sum[:8])
}

// learn adds a job that has succeeded to the rate of its kind and target. Only a job that went through in one go says something: one
// that was paused, failed or begun anew has a time that is not its own.
func (s *Store) learn(ctx context.Context, n Note) error {
	if n.Event != wire.EventSucceeded || n.nth() != 2 || n.Job.Epoch != 1 || n.Job.StartedAt == nil || n.Job.EndedAt == nil || n.Job.Counters.Read == 0 {
		return nil
	}
	seconds := max(n.Job.EndedAt.Sub(*n.Job.StartedAt).Seconds(), 0.001)
	err := rateScript.Run(ctx, s.rdb, []string{ratesKey, ratesUsedKey}, rateField(n.Job.Kind, n.target), n.Job.Counters.Read, seconds, rateDecay, keptRates).Err()
	if err != nil {
		return fmt.Errorf("write rate: %w", err)
	}
	return nil
}

// Rate reads what the last jobs like this one have reached; the zero value when there is nothing to go by.
func (s *Store) Rate(ctx context.Context, job tasks.Job) (r Rate, err error) {
	body, err := s.rdb.HGet(ctx, ratesKey, rateField(job.Kind, targetOf(job.Spec))).Result()
	if errors.Is(err, redis.Nil) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(body), &r)
	}
	if err != nil {
		return Rate{}, fmt.Errorf("read rate: %w", err)
	}
	return r, nil
}

// PerSecond is the rate in rows a second; 0 when there is nothing to go by.
func (r Rate) PerSecond() float64 {
	if r.Seconds <= 0 {
		return 0
	}
	return r.Rows / r.Seconds
}
