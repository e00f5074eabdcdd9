package httpsink

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// item is a record on its way.
type item struct {
	record *Record
	fields map[string]any
	body   []byte
	done   bool      // it has an answer
	ask    bool      // a lookup has to say that it is not there before it is sent
	unsure bool      // it may have been sent
	settle time.Time // when a lookup surely sees what became of that
	last   Answer    // why it has not been taken, where the answer to a batch said so
}

// prepare makes what is sent of the record. It is made once, so that each repetition has the same bytes.
func (i *item) prepare(c *compiled) error {
	i.fields = i.record.Fields
	if i.fields == nil {
		v, err := decode(i.record.JSON)
		object, ok := v.(map[string]any)
		if err != nil || !ok {
			return errors.New("the record is no JSON object")
		}
		i.fields = object
	}
	body, err := i.encode(c)
	if err != nil {
		return err
	}
	i.body = body
	if c.jsonBody {
		if !json.Valid(body) {
			return errors.New("the body that the template makes is no JSON")
		}
		if strings.HasPrefix(c.ContentType, ndjsonType) {
			var line bytes.Buffer
			if err := json.Compact(&line, body); err != nil {
				return err
			}
			i.body = line.Bytes()
		}
	}
	return nil
}

func (i *item) encode(c *compiled) ([]byte, error) {
	if c.body != nil {
		text, err := c.body.render(i.fields)
		return []byte(text), err
	}
	if c.RecordKey != "" {
		if _, taken := i.fields[c.RecordKey]; taken {
			return nil, fmt.Errorf("the record has a field %q of its own, which is where to.http.record_key puts the key", c.RecordKey)
		}
	}
	if i.record.JSON == nil {
		fields := i.fields
		if c.RecordKey != "" {
			fields = maps.Clone(fields)
			fields[c.RecordKey] = i.record.IdempotencyKey
		}
		return marshal(fields)
	}
	if c.RecordKey == "" {
		return i.record.JSON, nil
	}
	member, err := marshal(map[string]string{c.RecordKey: i.record.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	if rest := bytes.TrimSpace(bytes.TrimSpace(i.record.JSON)[1:]); rest[0] != '}' { // it is an object: prepare has read it
		return append(append(member[:len(member)-1], ','), rest...), nil
	}
	return member, nil
}

// marshal is json.Marshal without its escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// request makes the request for some records. The generation tells apart, for the API, what was answered by "not done, try again".
func (c *compiled) request(items []*item, generation int, userAgent string) (*outgoing, error) {
	first := items[0]
	out := &outgoing{method: c.Method, header: http.Header{}}
	var err error
	if out.target, err = c.path.render(first.fields); err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	if _, err := url.Parse(out.target); err != nil {
		return nil, errors.New("path: the values make no URL")
	}
	out.header.Set("Content-Type", c.ContentType)
	out.header.Set("Accept", jsonType)
	out.header.Set("User-Agent", userAgent)
	for name, t := range c.headers {
		text, err := t.render(first.fields)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", name, err)
		}
		out.header.Set(name, text)
	}
	if !c.batched {
		out.body = first.body
		if c.key != "" {
			out.header.Set(c.key, first.record.IdempotencyKey)
		}
		return out, nil
	}
	if c.key != "" {
		out.header.Set(c.key, batchKey(items, generation))
	}
	out.body = c.join(items)
	return out, nil
}

// join makes one body of many records.
func (c *compiled) join(items []*item) []byte {
	size := 64
	for _, i := range items {
		size += len(i.body) + 1
	}
	b := bytes.NewBuffer(make([]byte, 0, size))
	if strings.HasPrefix(c.ContentType, ndjsonType) {
		for _, i := range items {
			b.Write(i.body)
			b.WriteByte('\n')
		}
		return b.Bytes()
	}
	if c.BatchField != "" {
		name, _ := json.Marshal(c.BatchField) // a string always can be
		b.WriteByte('{')
		b.Write(name)
		b.WriteByte(':')
	}
	for n, i := range items {
		b.WriteByte("[,"[min(n, 1)])
		b.Write(i.body)
	}
	b.WriteByte(']')
	if c.BatchField != "" {
		b.WriteByte('}')
	}
	return b.Bytes()
}

// batchKey is the idempotency key of a batch: a function of exactly the records in it, in their order, and of nothing else. doc.go says
// why.
func batchKey(items []*item, generation int) string {
	h := sha256.New()
	h.Write([]byte("stint batch"))
	write := func(n int, text string) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(n))) //nolint:gosec // a length
		h.Write([]byte(text))
	}
	for _, i := range items {
		write(len(i.record.IdempotencyKey), i.record.IdempotencyKey)
	}
	if generation > 0 {
		write(generation, "generation")
	}
	return hex.EncodeToString(h.Sum(nil))[:40]
}
