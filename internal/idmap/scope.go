package idmap

import (
	"context"
	"math/bits"
	"slices"

	"github.com/stint-run/stint/tasks"
)

// callPairs bounds what one script does, so that Redis answers others in between: well under a millisecond.
const callPairs = 500

// Scope is the maps of ids of a tenant's source and target, one for each stage (entity).
type Scope struct {
	maps          *Maps
	tenant, scope string
	token         string
	most          int64
}

// Pair is the key of a record, a JSON list of texts, and the id that an API gave it, as JSON; "null" when it gave none.
type Pair struct{ Key, ID string }

// Look returns the ids of keys, as far as they are known, and how many ids of the tenant there are at all.
func (s *Scope) Look(ctx context.Context, entity string, keys []string) (found map[string]string, ids int64, err error) {
	found = make(map[string]string, len(keys))
	for first := true; first || len(keys) > 0; first = false {
		part := keys[:min(len(keys), callPairs)]
		keys = keys[len(part):]
		args := make([]any, 0, len(part)+2)
		args = append(args, s.token, s.name(entity))
		for _, key := range part {
			args = append(args, packKey(key))
		}
		answer, err := lookScript.Run(ctx, s.maps.client, []string{mapsKey(s.tenant)}, args...).Slice()
		if err != nil {
			return nil, 0, s.maps.failed("look up "+entity, err)
		}
		if answer[0] == "lost" {
			return nil, 0, s.lost()
		}
		ids, _ = answer[1].(int64)
		for i, id := range answer[2:] {
			if id, ok := id.(string); ok {
				found[part[i]] = unpackID(id)
			}
		}
	}
	return found, ids, nil
}

// Room is an error when so many new ids have no room besides those that are there: for who is about to make them.
func (s *Scope) Room(there int64, fresh int) error {
	if there+int64(fresh) <= s.most || fresh == 0 {
		return nil
	}
	return s.full(there)
}

// Keep keeps the ids of records, each call of a few hundred all or none. An id that is there already stays; another one for the same
// record is an error, and the others are kept all the same. It is an error when the tenant would have more ids than the bound.
func (s *Scope) Keep(ctx context.Context, entity string, pairs []Pair) error {
	for part := range slices.Chunk(pairs, callPairs) {
		args := make([]any, 0, 2*len(part)+4)
		args = append(args, s.token, s.name(entity), s.most, fill)
		for _, p := range part {
			args = append(args, packKey(p.Key), packID(p.ID))
		}
		answer, err := keepScript.Run(ctx, s.maps.client, []string{mapsKey(s.tenant)}, args...).Slice()
		if err != nil {
			return s.maps.failed("keep ids of "+entity, err)
		}
		switch answer[0] {
		case "lost":
			return s.lost()
		case "full":
			there, _ := answer[1].(int64)
			return s.full(there)
		}
		for i := 2; i+1 < len(answer); i += 2 {
			at, _ := answer[i].(int64)
			before, _ := answer[i+1].(string)
			if p := part[at-1]; !sameID(unpackID(before), p.ID) {
				return tasks.Permanent(tasks.WithHint(nil, "look there which of the two should stay; a retry goes on with the first",
					"the record %s of %s has the id %s, and now the API says %s: it may be there twice", p.Key, entity, unpackID(before), p.ID))
			}
		}
	}
	return nil
}

// Walk hands out what a map has, in no order: by the names that Name gives keys, each once, as long as goOn. Buckets that are split
// meanwhile do not make it hand one out twice, or leave out one that was there before.
func (s *Scope) Walk(ctx context.Context, entity string, each func(name, id string) (goOn bool, err error)) error {
	var sizes []int64 // how many buckets there were when what is in bucket n now was read
	for n, size := int64(0), int64(1); n < size; n++ {
		var pairs []any
		var err error
		if size, pairs, err = s.bucket(ctx, entity, n); err != nil {
			return err
		}
		sizes = append(sizes, size)
		if n > 0 {
			from := n - 1<<(bits.Len64(uint64(n))-1) // the bucket that it was split off from
			if sizes[from] <= n {                    // later than that was read, and with it what is in this one
				sizes[n] = sizes[from]
				continue
			}
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			field, _ := pairs[i].(string)
			id, _ := pairs[i+1].(string)
			if goOn, err := each(field, unpackID(id)); err != nil || !goOn {
				return err
			}
		}
	}
	return nil
}

// bucket reads a bucket, and how many there are.
func (s *Scope) bucket(ctx context.Context, entity string, n int64) (size int64, pairs []any, err error) {
	answer, err := walkScript.Run(ctx, s.maps.client, []string{mapsKey(s.tenant)}, s.token, s.name(entity), n).Slice()
	if err != nil {
		return 0, nil, s.maps.failed("read "+entity, err)
	}
	if answer[0] == "lost" {
		return 0, nil, s.lost()
	}
	size, _ = answer[1].(int64)
	return size, answer[2:], nil
}

// Name is what Walk calls a key: the same for the same key, and another for another.
func (s *Scope) Name(key string) string { return packKey(key) }

// Key returns the key of a name; of one that is long only a hash.
func (s *Scope) Key(name string) string { return unpackKey(name) }

func (s *Scope) name(entity string) string { return s.scope + "/" + entity }

func (s *Scope) full(there int64) error {
	return tasks.Permanent(tasks.WithHint(nil, "raise ids.max_ids in the plan, remove maps that nobody needs any more with stint ids forget, or leave ids: away, which keeps ids in the database of state:; then migrate again: what the API has is not sent again",
		"the map of ids %s is full: %d ids of the tenant, and the plan allows %d", s.maps.name, there, s.most))
}

func (s *Scope) lost() error {
	return tasks.Permanent(tasks.WithHint(ErrLost, "bring its data back. Or name another database of it (redis://.../1) with ids: and migrate again by that plan: every record is sent once more under the key that the API knows it by, which gives its id again",
		"the Redis of %s does not have the ids that it was given; it was emptied, or is another one", s.maps.name))
}
