package sqldb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// digestMark begins the digest that stands for a long key. Keys as text are JSON arrays, so none begins with it.
const digestMark = "#"

// storedKey returns a key as text in the form that stands in an indexed column of stint's own tables: itself, or a digest of it where the
// dialect's indexes cannot hold a text so long. Of a digest it returns the same. stint_keys has the whole key to a digest, for who
// reads the row again.
//
// An older stint stored every key whole, and a server that compresses texts took some that are stored as a digest now. So keys are
// looked for in both forms (keyForms).
func storedKey(d Dialect, key string) string {
	if most := d.words().longestKey(); most == 0 || len(key) <= most {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return digestMark + hex.EncodeToString(sum[:])
}

// keyForms returns keys in all forms that they may have in an indexed column.
func keyForms(d Dialect, keys []string) []string {
	var digests []string
	for _, key := range keys {
		if s := storedKey(d, key); s != key {
			digests = append(digests, s)
		}
	}
	return append(slices.Clip(keys), digests...)
}

// keyLiterals lists keys in all forms that they may have, in parentheses.
func keyLiterals(d Dialect, keys ...string) string { return literals(d, keyForms(d, keys)) }

// keepWhole returns the statement that keeps the whole of those keys of which a digest is stored; "" when there are none.
func keepWhole(d Dialect, keys []string) string {
	var rows []string
	for _, key := range keys {
		if s := storedKey(d, key); s != key {
			rows = append(rows, literals(d, []string{s, key}))
		}
	}
	if len(rows) == 0 {
		return ""
	}
	slices.Sort(rows) // two who keep the same ones must not wait for each other
	return d.words().insertNew("INSERT INTO stint_keys (short_key, whole_key) VALUES "+strings.Join(slices.Compact(rows), ","), "short_key")
}

// wholeKeys puts the whole keys in the place of digests.
func wholeKeys(ctx context.Context, q querier, d Dialect, keys ...*string) error {
	var digests []string
	for _, key := range keys {
		if strings.HasPrefix(*key, digestMark) {
			digests = append(digests, *key)
		}
	}
	whole := make(map[string]string, len(digests))
	for _, part := range batchesOf(digests, 500) {
		if len(part) == 0 {
			continue
		}
		err := q.queryAll(ctx, "SELECT short_key, whole_key FROM stint_keys WHERE short_key IN "+literals(d, part), nil, func(scan func(...any) error) error {
			var short, key string
			err := scan(&short, &key)
			whole[short] = key
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, key := range keys {
		if !strings.HasPrefix(*key, digestMark) {
			continue
		}
		found, ok := whole[*key]
		if !ok {
			return tasks.Permanent(tasks.WithHint(nil, "somebody has changed stint_keys by hand; restore it", "stint_keys has no key %s", *key))
		}
		*key = found
	}
	return nil
}

// parseKeys reads keys as they are stored.
func parseKeys(ctx context.Context, q querier, d Dialect, texts []string) ([]RowKey, error) {
	whole := slices.Clone(texts)
	places := make([]*string, len(whole))
	for i := range whole {
		places[i] = &whole[i]
	}
	if err := wholeKeys(ctx, q, d, places...); err != nil {
		return nil, err
	}
	keys := make([]RowKey, len(whole))
	for i, text := range whole {
		var err error
		if keys[i], err = ParseRowKey(text); err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
	}
	return keys, nil
}

// keyPlaces returns a list of places for keys in all their forms, in parentheses, the arguments with them at their end, and what finds
// the key of one that is stored.
func keyPlaces(d Dialect, args []any, keys []string) (places string, all []any, named func(stored string) string) {
	var b strings.Builder
	for i, key := range keyForms(d, keys) {
		args = append(args, key)
		fmt.Fprintf(&b, "%c$%d", "(,"[min(i, 1)], len(args))
	}
	digests := map[string]string{}
	for _, key := range keys {
		if s := storedKey(d, key); s != key {
			digests[s] = key
		}
	}
	return b.String() + ")", args, func(stored string) string {
		if key, ok := digests[stored]; ok {
			return key
		}
		return stored
	}
}
