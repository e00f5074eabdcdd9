package condition

import (
	"bytes"
	"cmp"
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/document"
)

// Bounds of what is remembered of a single value.
const (
	maxName  = 64   // bytes by which a value is told from others; of longer ones it is their hash
	maxValue = 1024 // bytes of a value that a match shows; of longer ones it is their beginning
)

// nameOf returns a short text that two values share if they are equal.
func nameOf(v any) string {
	name := document.Same(v)
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "h" + hex.EncodeToString(sum[:16])
}

// shown returns a value as a match shows it: lists and objects as text, and of long texts the beginning.
func shown(v any) any {
	switch v.(type) {
	case []any, map[string]any:
		v = document.Text(v)
	}
	if s, ok := v.(string); ok && len(s) > maxValue {
		return strings.ToValidUTF8(s[:maxValue], "") + "…"
	}
	return v
}

// keys is a memory by the values of a rule's key. The zero value of the name, "", is that of a rule without a key.
type keys[T any] struct {
	max       int
	forgotten int
	births    int64
	byName    map[string]*list.Element
	order     *list.List // of *key[T]; the one that was seen longest ago is the first
	// byText finds keys whose value is no text; nil until it is asked for, and again when there are other keys.
	byText map[string]*key[T]
}

// key is what is remembered of one value.
type key[T any] struct {
	name  string
	value any
	born  int64 // the order in which they came
	state *T
}

func newKeys[T any](limit int) keys[T] {
	return keys[T]{max: limit, byName: map[string]*list.Element{}, order: list.New()}
}

// see returns what is remembered of a value, making it where there is nothing. If there are too many, the one that was seen longest ago
// is forgotten.
func (k *keys[T]) see(value any, keyless bool) (*key[T], bool) {
	name := ""
	if !keyless {
		name = nameOf(value)
	}
	if e, ok := k.byName[name]; ok {
		k.order.MoveToBack(e)
		return e.Value.(*key[T]), false
	}
	if k.order.Len() >= k.max {
		k.remove(k.order.Front().Value.(*key[T]))
		k.forgotten++
	}
	k.births++
	k.byText = nil
	if !keyless {
		value = shown(value)
	}
	e := &key[T]{name: name, value: value, born: k.births, state: new(T)}
	k.byName[name] = k.order.PushBack(e)
	return e, true
}

func (k *keys[T]) remove(e *key[T]) {
	if at, ok := k.byName[e.name]; ok {
		k.order.Remove(at)
		delete(k.byName, e.name)
		k.byText = nil
	}
}

// renew makes a key the one that came last.
func (k *keys[T]) renew(e *key[T]) {
	k.births++
	e.born = k.births
}

func (k *keys[T]) len() int { return k.order.Len() }

// all returns the keys in the order in which they came.
func (k *keys[T]) all() []*key[T] {
	out := make([]*key[T], 0, k.order.Len())
	for e := k.order.Front(); e != nil; e = e.Next() {
		out = append(out, e.Value.(*key[T]))
	}
	slices.SortFunc(out, func(a, b *key[T]) int { return cmp.Compare(a.born, b.born) })
	return out
}

// latest returns the keys, the one that was seen last first.
func (k *keys[T]) latest() []*key[T] {
	out := make([]*key[T], 0, k.order.Len())
	for e := k.order.Back(); e != nil; e = e.Prev() {
		out = append(out, e.Value.(*key[T]))
	}
	return out
}

// find returns the key that an alert has as a text; "" is that of a rule without a key.
func (k *keys[T]) find(text string) (*key[T], bool) {
	for _, name := range []string{"", nameOf(text)} {
		if e, ok := k.byName[name]; ok && (name != "" || text == "" || text == keyless) {
			return e.Value.(*key[T]), true
		}
	}
	if k.byText == nil { // there may be as many alerts as keys
		k.byText = make(map[string]*key[T], k.order.Len())
		for e := k.order.Front(); e != nil; e = e.Next() {
			x := e.Value.(*key[T])
			k.byText[document.Text(x.value)] = x
		}
	}
	x, ok := k.byText[text]
	return x, ok
}

// keyless is how ElastAlert calls the one key of a rule that has none.
const keyless = "all"

// Forgotten returns how many keys were forgotten because there were more than are remembered.
func (k *keys[T]) Forgotten() int { return k.forgotten }

type savedKeys struct {
	Forgotten int        `json:"forgotten,omitempty"`
	Births    int64      `json:"births"`
	Keys      []savedKey `json:"keys,omitempty"` // the one that was seen longest ago first
}

type savedKey struct {
	Name  string          `json:"n,omitempty"` // only where it does not follow from the value
	Value json.RawMessage `json:"k,omitempty"`
	Born  int64           `json:"b"`
	State json.RawMessage `json:"s"`
}

// MarshalJSON writes the memory.
func (k *keys[T]) MarshalJSON() ([]byte, error) {
	out := savedKeys{Forgotten: k.forgotten, Births: k.births}
	for e := k.order.Front(); e != nil; e = e.Next() {
		x := e.Value.(*key[T])
		value, err := json.Marshal(x.value)
		if err != nil {
			return nil, err
		}
		state, err := json.Marshal(x.state)
		if err != nil {
			return nil, err
		}
		s := savedKey{Born: x.born, State: state}
		if x.name != "" {
			s.Value = value
			if nameOf(x.value) != x.name {
				s.Name = x.name
			}
		}
		out.Keys = append(out.Keys, s)
	}
	return json.Marshal(out)
}

// UnmarshalJSON takes up the memory.
func (k *keys[T]) UnmarshalJSON(b []byte) error {
	var in savedKeys
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*k = newKeys[T](k.max)
	k.forgotten, k.births = in.Forgotten, in.Births
	for _, s := range in.Keys {
		e := &key[T]{born: s.Born, state: new(T), name: s.Name}
		if s.Value != nil {
			if err := decode(s.Value, &e.value); err != nil {
				return err
			}
			if e.name == "" {
				e.name = nameOf(e.value)
			}
		} else {
			e.value = keyless
		}
		if err := decode(s.State, e.state); err != nil {
			return err
		}
		k.byName[e.name] = k.order.PushBack(e)
	}
	return nil
}

// decode reads JSON with its numbers as they were written.
func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(v)
}

// restore reads a memory; nothing, or null, is none.
func restore(raw json.RawMessage, memory any) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if err := decode(raw, memory); err != nil {
		return fmt.Errorf("read the memory of a rule: %w", err)
	}
	return nil
}
