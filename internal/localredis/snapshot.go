package localredis

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// snapshotVersion is the version of the file's form; another one is set aside like a damaged file.
const snapshotVersion = 1

// snapshot is what snapshot.gob holds: database 0, without the TTLs of single hash fields and without consumer groups,
// neither of which stint uses.
type snapshot struct {
	Version int
	Keys    []savedKey // by name
}

// savedKey is one key. Which of the fields is set follows from Type.
type savedKey struct {
	Name    string
	Type    string
	Expires int64    // Unix milliseconds, by the wall clock; 0 means never
	Values  []string // string: one; hash: field, value, ...; list; set: members; zset: member, score, ...
	Entries []savedEntry
}

// savedEntry is one entry of a stream.
type savedEntry struct {
	ID     string
	Values []string
}

// save writes the database to its file, unless the file has the same already. A mark is echoed while it is read.
func (e *inProcess) save(mark string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reply, err := e.client.Eval(ctx, dumpSource, nil, mark).Slice()
	if err != nil {
		return fmt.Errorf("read the queue: %w", err)
	}
	snap, err := parseDump(reply, time.Now())
	if err != nil {
		return err
	}
	sum, err := snap.sum()
	if err != nil || sum == e.lastSum {
		return err
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(snap); err != nil {
		return fmt.Errorf("encode the queue: %w", err)
	}
	content := append(checksum(b.Bytes()), b.Bytes()...)
	if err := replaceFile(snapshotPath(e.dir), content); err != nil {
		return fmt.Errorf("write the queue: %w", err)
	}
	e.lastSum = sum
	return nil
}

func checksum(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

// sum is the same for databases that differ at most by a second in when their keys end: an end is worked out anew from
// the time that is left, so it is never quite the same twice.
func (s snapshot) sum() ([32]byte, error) {
	rough := slices.Clone(s.Keys)
	for i := range rough {
		rough[i].Expires /= 1000
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(rough); err != nil {
		return [32]byte{}, fmt.Errorf("encode the queue: %w", err)
	}
	return sha256.Sum256(b.Bytes()), nil
}

// parseDump turns the reply of dump.lua into a snapshot.
func parseDump(reply []any, now time.Time) (snapshot, error) {
	s := snapshot{Version: snapshotVersion, Keys: make([]savedKey, 0, len(reply))}
	for _, item := range reply {
		parts, ok := item.([]any)
		if !ok || len(parts) != 4 {
			return s, fmt.Errorf("the dump has an item of %d parts", len(parts))
		}
		k := savedKey{Name: fmt.Sprint(parts[0]), Type: fmt.Sprint(parts[1])}
		if ttl, ok := parts[2].(int64); ok && ttl >= 0 {
			k.Expires = now.Add(time.Duration(ttl) * time.Millisecond).UnixMilli()
		}
		switch value := parts[3].(type) {
		case string:
			k.Values = []string{value}
		case []any:
			for _, v := range value {
				entry, ok := v.([]any)
				if !ok {
					k.Values = append(k.Values, fmt.Sprint(v))
					continue
				}
				if len(entry) != 2 {
					return s, fmt.Errorf("the dump has a stream entry of %d parts in %q", len(entry), k.Name)
				}
				k.Entries = append(k.Entries, savedEntry{ID: fmt.Sprint(entry[0]), Values: texts(entry[1])})
			}
		default:
			return s, fmt.Errorf("the dump has a %T in %q", value, k.Name)
		}
		sortUnordered(&k)
		s.Keys = append(s.Keys, k)
	}
	slices.SortFunc(s.Keys, func(a, b savedKey) int { return strings.Compare(a.Name, b.Name) })
	return s, nil
}

func texts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = fmt.Sprint(v)
	}
	return out
}

// sortUnordered gives sets and hashes an order, so that equal databases have equal sums.
func sortUnordered(k *savedKey) {
	switch k.Type {
	case "set":
		slices.Sort(k.Values)
	case "hash":
		pairs := slices.Collect(slices.Chunk(k.Values, 2))
		slices.SortFunc(pairs, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
		k.Values = slices.Concat(pairs...)
	}
}

// load fills the database from its file. A file that is damaged is set aside: the queue begins empty, and what was in it
// is worked out again from the jobs' targets.
func (e *inProcess) load(now time.Time) error {
	path := snapshotPath(e.dir)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the saved queue: %w", err)
	}
	snap, err := decodeSnapshot(content)
	if err == nil {
		err = e.restore(snap, now)
	}
	if err != nil {
		aside := path + ".damaged"
		e.log.Error("the saved queue is damaged and was set aside; the queue begins empty", "file", aside, "error", err)
		if err := os.Rename(path, aside); err != nil {
			return fmt.Errorf("set the damaged queue aside: %w", err)
		}
		return nil
	}
	return nil
}

// restore puts all keys back, or none of them.
func (e *inProcess) restore(snap snapshot, now time.Time) error {
	for _, k := range snap.Keys {
		if err := restoreKey(e.redis, k, now); err != nil {
			e.redis.FlushAll()
			return fmt.Errorf("its key %q is not as keys are written: %w", k.Name, err)
		}
	}
	return nil
}

func decodeSnapshot(content []byte) (snapshot, error) {
	var s snapshot
	if len(content) < sha256.Size || !bytes.Equal(content[:sha256.Size], checksum(content[sha256.Size:])) {
		return s, errors.New("its checksum is wrong")
	}
	if err := gob.NewDecoder(bytes.NewReader(content[sha256.Size:])).Decode(&s); err != nil {
		return s, err
	}
	if s.Version != snapshotVersion {
		return s, fmt.Errorf("it is of version %d, this program reads version %d", s.Version, snapshotVersion)
	}
	return s, nil
}

// check says what is wrong with a key that save has not written.
func (k savedKey) check() error {
	n := len(k.Values)
	ok := n > 0
	switch k.Type {
	case "string":
		ok = n == 1
	case "hash", "zset":
		ok = ok && n%2 == 0
	case "list", "set":
	case "stream":
		ok = n == 0
		for _, entry := range k.Entries {
			ok = ok && len(entry.Values)%2 == 0
		}
	default:
		return fmt.Errorf("its type is %q", k.Type)
	}
	if !ok {
		return fmt.Errorf("a %s of %d values", k.Type, n)
	}
	return nil
}

// restoreKey puts one key back, before anybody can connect. A key whose time has come in the meantime is left out.
func restoreKey(m *miniredis.Miniredis, k savedKey, now time.Time) error {
	var left time.Duration
	if k.Expires != 0 {
		if left = time.UnixMilli(k.Expires).Sub(now); left <= 0 {
			return nil
		}
	}
	db := m.DB(0)
	if err := k.check(); err != nil {
		return err
	}
	if db.Exists(k.Name) {
		return errors.New("it is there twice")
	}
	switch k.Type {
	case "string":
		if err := db.Set(k.Name, k.Values[0]); err != nil {
			return err
		}
	case "hash":
		db.HSet(k.Name, k.Values...)
	case "list":
		if _, err := db.Push(k.Name, k.Values...); err != nil {
			return err
		}
	case "set":
		if _, err := db.SetAdd(k.Name, k.Values...); err != nil {
			return err
		}
	case "zset":
		for pair := range slices.Chunk(k.Values, 2) {
			score, err := strconv.ParseFloat(pair[1], 64)
			if err != nil {
				return err
			}
			if math.IsNaN(score) {
				return errors.New("a score is no number")
			}
			if _, err := db.ZAdd(k.Name, score, pair[0]); err != nil {
				return err
			}
		}
	case "stream":
		for _, entry := range k.Entries {
			id, err := db.XAdd(k.Name, entry.ID, entry.Values)
			if err != nil {
				return err
			}
			if id != entry.ID { // as of *, which means the next one
				return fmt.Errorf("%q is no id of an entry", entry.ID)
			}
		}
	}
	if left > 0 {
		db.SetTTL(k.Name, left)
	}
	return nil
}
