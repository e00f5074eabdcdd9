package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer is what is sent back.
type answer struct {
	status   int
	location string
	body     []byte
}

// result is what an answer to a batch says of a record.
type result struct {
	Status int    `json:"status"`
	ID     int64  `json:"id,omitempty"`
	Key    string `json:"legacy_id"`
	Error  string `json:"error,omitempty"`
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_state", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(s.State()) })
	mux.HandleFunc("POST /oauth/token", s.giveToken)
	mux.HandleFunc("POST /v1/records", func(w http.ResponseWriter, r *http.Request) { s.take(w, r, false) })
	mux.HandleFunc("POST /v1/records/batch", func(w http.ResponseWriter, r *http.Request) { s.take(w, r, true) })
	mux.HandleFunc("PUT /v1/records/{key}", func(w http.ResponseWriter, r *http.Request) { s.take(w, r, false) })
	mux.HandleFunc("GET /v1/records", s.lookup)
	return s.guard(mux)
}

// guard counts requests and asks them for their token.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/") {
			next.ServeHTTP(w, r)
			return
		}
		s.mu.Lock()
		s.counts.Requests++
		s.atOnce++
		s.counts.AtOnce = max(s.counts.AtOnce, s.atOnce)
		allowed := s.allowed(r.Header.Get("Authorization"))
		if !allowed {
			s.counts.Denied++
		}
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			s.atOnce--
			s.mu.Unlock()
		}()
		if !allowed { // it echoes what it got, as some do: clients must not show that
			send(w, problem(http.StatusUnauthorized, "invalid token "+r.Header.Get("Authorization")))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) allowed(authorization string) bool {
	switch {
	case s.options.Token == "":
		return true
	case s.options.TokenUses == 0:
		return authorization == "Bearer "+s.options.Token
	}
	s.uses++
	return s.token != "" && authorization == "Bearer "+s.token && s.uses <= s.options.TokenUses
}

func (s *Server) giveToken(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if id == "" {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if id != "client" || secret != s.options.Token || r.PostFormValue("grant_type") != "client_credentials" {
		send(w, answer{status: http.StatusUnauthorized, body: []byte(`{"error": "invalid_client", "error_description": "` + secret + `"}`)})
		return
	}
	s.mu.Lock()
	s.counts.Tokens++
	s.uses, s.token = 0, fmt.Sprintf("token-%d-of-%s", s.counts.Tokens, s.options.Token)
	token := s.token
	s.mu.Unlock()
	send(w, answer{status: http.StatusOK, body: fmt.Appendf(nil, `{"access_token": %q, "token_type": "Bearer", "expires_in": 3600}`, token)})
}

// fault is what is done to one request.
type fault int

const (
	none fault = iota
	hang
	cut
)

// roll decides what is done to a request; an answer is one that ends it at once.
func (s *Server) roll() (fault, *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, f := s.random.Float64(), s.options.Faults
	for _, e := range []struct {
		share float64
		count *int
	}{{f.Error, &s.counts.Errors}, {f.Busy, &s.counts.Busy}, {f.Hang, &s.counts.Hangs}, {f.Cut, &s.counts.Cuts}} {
		if at -= e.share; at >= 0 {
			continue
		}
		*e.count++
		switch e.count {
		case &s.counts.Errors:
			a := problem(http.StatusInternalServerError, "the server has stumbled")
			return none, &a
		case &s.counts.Busy:
			a := problem(http.StatusTooManyRequests, "slow down")
			return none, &a
		case &s.counts.Hangs:
			return hang, nil
		}
		return cut, nil
	}
	return none, nil
}

// take carries out a request that brings records.
func (s *Server) take(w http.ResponseWriter, r *http.Request, batch bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone away: it has not sent the whole request
	}
	f, at := s.roll()
	if at != nil {
		s.refuse(w, *at)
		return
	}
	records, err := parse(body, batch)
	if err != nil {
		send(w, problem(http.StatusBadRequest, err.Error()))
		return
	}
	k := &keyed{body: string(body)}
	key := r.Header.Get("Idempotency-Key")
	if s.options.Mode == ModeKeys {
		if key == "" {
			send(w, problem(http.StatusBadRequest, "Idempotency-Key is missing"))
			return
		}
		var known *answer
		if k, known = s.begin(key, string(body)); known != nil {
			send(w, *known)
			return
		}
	}
	limit := len(records)
	if batch && f == cut {
		limit = s.part(limit)
	}
	a := s.apply(k, records, limit, batch, r.PathValue("key"))
	if f == hang {
		select {
		case <-time.After(s.options.HangFor):
		case <-r.Context().Done():
			if s.options.HoldFor > 0 {
				<-time.After(s.options.HoldFor)
			}
		}
	}
	s.mu.Lock()
	k.underWay, k.answer = false, a
	s.mu.Unlock()
	switch {
	case f == cut:
		sever(w, a)
	default:
		send(w, *a)
	}
}

// begin finds what is known of a key, or makes it known.
func (s *Server) begin(key, body string) (*keyed, *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[key]
	if k == nil {
		k = &keyed{body: body}
		s.keys[key] = k
	}
	var a answer
	switch {
	case k.body != body:
		s.counts.Reused++
		a = problem(http.StatusUnprocessableEntity, "this Idempotency-Key was used with another body")
	case k.underWay:
		s.counts.Conflicts++
		a = problem(http.StatusConflict, "a request with this Idempotency-Key is under way")
	case k.answer != nil:
		s.counts.Replays++
		a = *k.answer
	default:
		k.underWay = true
		return k, nil
	}
	return nil, &a
}

func (s *Server) part(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n + 1)
}

// apply lets records take effect, up to a limit, from where an earlier request with the same key has stopped. It returns nil when the limit
// has kept it from the end.
func (s *Server) apply(k *keyed, records []map[string]any, limit int, batch bool, path string) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused := s.refusal(records, batch); refused != nil {
		return refused
	}
	for ; k.done < limit; k.done++ {
		k.results = append(k.results, s.one(records[k.done], batch, path))
	}
	if k.done < len(records) {
		return nil
	}
	status := http.StatusCreated
	for _, r := range k.results {
		if r.Status != http.StatusCreated {
			status = http.StatusMultiStatus
		}
	}
	if !batch {
		id := strconv.FormatInt(k.results[0].ID, 10)
		return &answer{status: http.StatusCreated, location: "/v1/records/" + id, body: []byte(`{"data": {"id": ` + id + `}}`)}
	}
	body, err := json.Marshal(map[string]any{"results": k.results})
	if err != nil {
		panic(err)
	}
	return &answer{status: status, body: body}
}

// refusal is the answer to a request that is refused as a whole; nil if it is not.
func (s *Server) refusal(records []map[string]any, batch bool) *answer {
	if s.options.Reject == nil || batch && s.options.Partial {
		return nil
	}
	for _, record := range records {
		if s.options.Reject(keyOf(record)) {
			s.counts.Refused++
			a := problem(http.StatusUnprocessableEntity, "a record is not valid")
			return &a
		}
	}
	return nil
}

// one lets a record take effect.
func (s *Server) one(record map[string]any, batch bool, path string) result {
	key := keyOf(record)
	switch {
	case batch && s.options.Partial && s.random.Float64() < s.options.Faults.Item:
		s.counts.Items++
		return result{Status: http.StatusServiceUnavailable, Key: key, Error: "not now"}
	case batch && s.options.Partial && s.options.Reject != nil && s.options.Reject(key):
		return result{Status: http.StatusUnprocessableEntity, Key: key, Error: "the record is not valid"}
	}
	switch s.options.Mode {
	case ModeRecordKeys:
		own := fmt.Sprint(record["idempotency_key"])
		if k := s.keys[own]; k != nil {
			s.counts.Replays++
			return k.results[0]
		}
		r := s.create(key)
		s.keys[own] = &keyed{results: []result{r}}
		return r
	case ModePut:
		text, _ := json.Marshal(record) // it has just been read
		if id, there := s.ids[path]; there && s.content[path] == string(text) {
			return result{Status: http.StatusCreated, ID: id, Key: key}
		}
		s.content[path] = string(text)
		return s.create(path)
	}
	return s.create(key)
}

func (s *Server) create(key string) result {
	s.lastID++
	s.effects[key]++
	if s.effects[key] == 1 {
		s.ids[key] = s.lastID
	}
	return result{Status: http.StatusCreated, ID: s.lastID, Key: key}
}

func (s *Server) lookup(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.counts.Lookups++
	s.mu.Unlock()
	f, at := s.roll()
	if at != nil {
		s.refuse(w, *at)
		return
	}
	s.mu.Lock()
	id, there := s.ids[r.URL.Query().Get("legacy_id")]
	s.mu.Unlock()
	a := answer{status: http.StatusOK, body: []byte(`{"data": []}`)}
	if there {
		a.body = fmt.Appendf(nil, `{"data": [{"id": %d}]}`, id)
	}
	if f != none { // a lookup that hangs is one that is cut
		sever(w, &a)
		return
	}
	send(w, a)
}

// refuse sends an answer that ends a request before anything is done.
func (s *Server) refuse(w http.ResponseWriter, a answer) {
	if a.status == http.StatusTooManyRequests {
		s.mu.Lock()
		s.dateTurn = !s.dateTurn
		date := s.dateTurn
		s.mu.Unlock()
		after := strconv.Itoa(int(s.options.RetryAfter.Seconds()))
		if date {
			after = time.Now().Add(s.options.RetryAfter).UTC().Format(http.TimeFormat)
		}
		w.Header().Set("Retry-After", after)
	}
	send(w, a)
}

func problem(status int, detail string) answer {
	body, _ := json.Marshal(map[string]any{"status": status, "title": http.StatusText(status), "detail": detail}) // these always can be
	return answer{status: status, body: body}
}

func send(w http.ResponseWriter, a answer) {
	w.Header().Set("Content-Type", "application/json")
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// sever closes the connection in the middle of an answer, or before one that there is not.
func sever(w http.ResponseWriter, a *answer) {
	if a != nil {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body[:len(a.body)/2])
		_ = http.NewResponseController(w).Flush()
	}
	panic(http.ErrAbortHandler)
}

// parse reads records: one, a list, {"items": [..]}, or one a line.
func parse(body []byte, batch bool) ([]map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if !batch {
		var one map[string]any
		err := d.Decode(&one)
		return []map[string]any{one}, err
	}
	var list []map[string]any
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '[' {
		err := d.Decode(&list)
		return list, err
	}
	for {
		var v map[string]any
		if err := d.Decode(&v); err == io.EOF {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		items, ok := v["items"].([]any)
		if !ok {
			items = []any{v}
		}
		for _, i := range items {
			record, ok := i.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%v is no record", i)
			}
			list = append(list, record)
		}
	}
}

func keyOf(record map[string]any) string { return fmt.Sprint(record["legacy_id"]) }
