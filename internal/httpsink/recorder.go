package httpsink

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/stint-run/stint/tasks"
)

// Recorder is an API in memory that understands the requests of some endpoints and answers as they expect it: it takes every record,
// gives ids where they are looked for, knows requests again by their key, and can be asked for records where there is a lookup. It
// counts how often each record took effect. It is for rehearsals: what it has seen of two runs can be compared.
//
// Requests reach it by the paths of Endpoint.Recorded. An id follows from the record alone, so that it is the same in each run.
type Recorder struct {
	mu      sync.Mutex
	stages  []*recorded
	strange error // the first request that could not be understood
}

// recorded is what has come by one endpoint.
type recorded struct {
	c       *compiled
	keys    map[string]*recordedAnswer
	effects map[contentID]*effect
	paths   map[string]contentID // of records that are replaced by their path
	found   map[string]uint64    // ids, by what a lookup asks for
	repeats int64                // requests and records that came again and had no effect
}

// contentID is a hash of a record as it was sent.
type contentID [sha256.Size]byte

// id is what the API calls the record: a number that each reader of JSON holds exactly.
func (h contentID) id() uint64 { return binary.BigEndian.Uint64(h[:]) >> 12 }

type effect struct {
	times   int64
	excerpt string
}

type recordedAnswer struct {
	request [sha256.Size]byte
	status  int
	header  http.Header
	body    []byte
}

// maxRecorded is how many bytes of a request a Recorder reads.
const maxRecorded = 64 << 20

// Recorded returns the endpoint as a plan has to have it whose stage of this number goes to a Recorder: by a path of its own, and
// without a rate, which is for the real API.
func (e Endpoint) Recorded(stage int) Endpoint {
	prefix := "/" + strconv.Itoa(stage)
	e.Path, e.Rate = prefix+e.Path, ""
	if e.Lookup != nil {
		l := *e.Lookup
		l.Path = prefix + l.Path
		e.Lookup = &l
	}
	return e
}

// NewRecorder returns a Recorder for endpoints, stage by stage, as they are before Recorded. Errors are those of Check.
func NewRecorder(endpoints []Endpoint) (*Recorder, error) {
	r := &Recorder{}
	for _, e := range endpoints {
		c, err := e.compile()
		if err != nil {
			return nil, err
		}
		r.stages = append(r.stages, &recorded{c: c, keys: map[string]*recordedAnswer{}, effects: map[contentID]*effect{}, paths: map[string]contentID{}, found: map[string]uint64{}})
	}
	return r, nil
}

// Strange returns the first request that could not be understood; nil when there was none. It has a hint.
func (r *Recorder) Strange() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.strange
}

// ServeHTTP answers a request.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxRecorded))
	if err != nil { // the sender died, or the request is out of bounds: nothing is done
		http.Error(w, "the request cannot be read", http.StatusRequestEntityTooLarge)
		return
	}
	number, target, _ := strings.Cut(strings.TrimPrefix(request.RequestURI, "/"), "/")
	target = "/" + target
	r.mu.Lock()
	defer r.mu.Unlock()
	stage, err := strconv.Atoi(number)
	if err != nil || stage < 0 || stage >= len(r.stages) {
		http.NotFound(w, request)
		return
	}
	s := r.stages[stage]
	var a *recordedAnswer
	if request.Method == http.MethodGet {
		a, err = s.lookup(target)
	} else {
		a, err = s.take(target, request.Header, body)
	}
	if err != nil {
		if r.strange == nil {
			r.strange = tasks.WithHint(nil, "name the address of a sandbox of the API with --to", "%s %s: %s", request.Method, target, err)
		}
		a = problemAnswer(http.StatusForbidden, err.Error()) // which stops the job: the next request would be no better
	}
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // whoever asked may have died
}

func problemAnswer(status int, text string) *recordedAnswer {
	body, _ := json.Marshal(map[string]string{"error": text}) // a string always can be
	return &recordedAnswer{status: status, body: body}
}

func (s *recorded) lookup(target string) (*recordedAnswer, error) {
	id, ok := s.found[target]
	if !ok {
		return problemAnswer(http.StatusNotFound, "there is none"), nil
	}
	body, err := json.Marshal(put(nil, s.c.lookup.id.steps, 0, id))
	return &recordedAnswer{status: http.StatusOK, body: body}, err
}

// take carries a request out, unless it has been before.
func (s *recorded) take(target string, header http.Header, body []byte) (*recordedAnswer, error) {
	request := sha256.Sum256(append([]byte(target+"\n"), body...))
	key := ""
	if s.c.key != "" {
		if key = header.Get(s.c.key); key == "" {
			return problemAnswer(http.StatusBadRequest, "the header "+s.c.key+" is missing"), nil
		}
		switch before := s.keys[key]; {
		case before != nil && before.request == request:
			s.repeats++
			return before, nil
		case before != nil:
			return problemAnswer(http.StatusUnprocessableEntity, "this idempotency key came with another request"), nil
		}
	}
	records, err := s.split(body)
	if err != nil {
		return nil, err
	}
	ids := make([]uint64, len(records))
	for i, record := range records {
		if ids[i], err = s.record(target, record); err != nil {
			return nil, err
		}
	}
	a, err := s.answer(records, ids)
	if err == nil && key != "" {
		a.request = request
		s.keys[key] = a
	}
	return a, err
}

// split returns the records of a request.
func (s *recorded) split(body []byte) (records [][]byte, err error) {
	if !s.c.batched {
		return [][]byte{body}, nil
	}
	if strings.HasPrefix(s.c.ContentType, ndjsonType) {
		for line := range bytes.Lines(body) {
			records = append(records, bytes.TrimSuffix(line, []byte("\n")))
		}
		return records, nil
	}
	var list []json.RawMessage
	if s.c.BatchField == "" {
		err = json.Unmarshal(body, &list)
	} else {
		var around map[string]json.RawMessage
		if err = json.Unmarshal(body, &around); err == nil {
			err = json.Unmarshal(around[s.c.BatchField], &list)
		}
	}
	for _, record := range list {
		records = append(records, record)
	}
	return records, err
}

// record lets one record take effect, and returns its id.
func (s *recorded) record(target string, record []byte) (uint64, error) {
	content := record
	if !s.c.path.constant() {
		content = append([]byte(target+" "), record...)
	}
	h := contentID(sha256.Sum256(content))
	known := s.effects[h]
	replaces := s.c.Method == http.MethodPut && !s.c.batched
	if before, there := s.paths[target]; replaces && there {
		s.repeats++
		if before == h {
			return h.id(), nil
		}
		delete(s.effects, before)
	}
	switch {
	case known == nil:
		s.effects[h] = &effect{times: 1, excerpt: strings.ToValidUTF8(string(content[:min(len(content), 200)]), "")}
	case s.c.RecordKey != "": // the record is known by the key that is part of it
		s.repeats++
	default:
		known.times++
	}
	if replaces {
		s.paths[target] = h
	}
	if s.c.lookup == nil {
		return h.id(), nil
	}
	fields, err := decode(record)
	object, _ := fields.(map[string]any)
	if err == nil {
		var asked string
		var u *url.URL
		if asked, err = s.c.lookup.path.render(object); err == nil {
			u, err = url.Parse(asked)
		}
		if err == nil {
			s.found[u.RequestURI()] = h.id()
		}
	}
	if err != nil {
		err = fmt.Errorf("what lookup.path asks for does not follow from the body: %w", err)
	}
	return h.id(), err
}

// answer is what the endpoint looks for.
func (s *recorded) answer(records [][]byte, ids []uint64) (*recordedAnswer, error) {
	a := &recordedAnswer{status: s.c.goodStatus(), header: http.Header{}}
	var doc any = map[string]any{}
	if s.c.idHeader != "" {
		a.header.Set(s.c.idHeader, "/"+strconv.FormatUint(ids[0], 10))
	}
	for i, id := range ids {
		switch {
		case s.c.partial != nil:
			item, err := s.c.goodItem(records[i], id)
			if err != nil {
				return nil, err
			}
			doc = put(doc, append(slices.Clip(s.c.partial.items.steps), pathStep{index: allElements}), i, item)
		case s.c.ID != "" && s.c.idHeader == "":
			doc = put(doc, s.c.idPath.steps, i, id)
		}
	}
	var err error
	a.body, err = json.Marshal(doc)
	return a, err
}

// goodStatus returns a status of a request that took effect.
func (c *compiled) goodStatus() int {
	for status := http.StatusCreated; status < 600; status++ {
		if status == http.StatusNoContent || status == http.StatusResetContent {
			continue // they have no body
		}
		if c.classify(status) == succeeded {
			return status
		}
	}
	return http.StatusOK
}

// goodItem is what an answer to a batch says of a record that was taken.
func (c *compiled) goodItem(record []byte, id uint64) (any, error) {
	var item any = map[string]any{}
	if c.partial.hasStatus {
		var status any = c.goodStatus()
		if len(c.Partial.OK) > 0 {
			w := c.Partial.OK[0]
			if number, err := strconv.Atoi(strings.ReplaceAll(strings.ToLower(w), "x", "0")); err == nil {
				status = number
			} else {
				status = w
			}
		}
		item = put(item, c.partial.status.steps, 0, status)
	}
	if c.partial.hasID {
		item = put(item, c.partial.id.steps, 0, id)
	}
	if c.partial.field == "" {
		return item, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(record, &fields); err != nil || fields[c.partial.field] == nil {
		return nil, fmt.Errorf("partial.match: the body does not say what the record's %s is", c.partial.field)
	}
	return put(item, c.partial.match.steps, 0, fields[c.partial.field]), nil
}

// put writes a value into a document where a path says, and returns the document. In place of * there is the element n.
func put(doc any, steps []pathStep, n int, value any) any {
	if len(steps) == 0 {
		return value
	}
	s := steps[0]
	if s.index == noIndex {
		object, ok := doc.(map[string]any)
		if !ok {
			object = map[string]any{}
		}
		object[s.name] = put(object[s.name], steps[1:], n, value)
		return object
	}
	list, _ := doc.([]any)
	at := s.index
	if at == allElements {
		at, n = n, 0
	}
	for len(list) <= at {
		list = append(list, nil)
	}
	list[at] = put(list[at], steps[1:], n, value)
	return list
}
