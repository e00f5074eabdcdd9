package elastictest

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/docsearch"
)

// maxWindow is how many hits one request can reach.
const maxWindow = 10_000

func shards(total, failed int) map[string]any {
	out := map[string]any{"total": total, "successful": total - failed, "skipped": 0, "failed": failed}
	if failed > 0 {
		reason := map[string]any{"type": "no_shard_available_action_exception", "reason": "a shard is gone on demand"}
		out["failures"] = []any{map[string]any{"shard": 0, "index": "double", "reason": reason}}
	}
	return out
}

// fault takes one of the faults that are asked for.
func (s *Server) fault() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.faults
	if f.Times > 0 {
		if s.left--; s.left == 0 {
			s.faults = Faults{}
		}
	}
	return f
}

// broken answers a request that goes wrong before anything is looked for; nil if it does not.
func (s *Server) broken(r *http.Request, f Faults) *failure {
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-s.closing:
		}
		return &failure{}
	case f.Status > 0:
		kind := map[int]string{http.StatusTooManyRequests: "es_rejected_execution_exception", http.StatusServiceUnavailable: "cluster_block_exception", http.StatusBadRequest: "parsing_exception"}[f.Status]
		if kind == "" {
			kind = "exception"
		}
		fail := refuse(f.Status, kind, "refused on demand")
		fail.retryAfter = f.RetryAfter
		return fail
	case f.ErrorIn200:
		return refuse(http.StatusOK, "search_phase_execution_exception", "all shards failed")
	}
	return nil
}

// resolve returns the documents of indices: names, patterns with *, with - in front to leave some out, separated by commas.
func (s *Server) resolve(index string, query url.Values) (docs []docsearch.Document, n int, fail *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index == "" || index == "_all" {
		index = "*"
	}
	chosen := map[string]bool{}
	for name := range strings.SplitSeq(index, ",") {
		name, without := strings.CutPrefix(name, "-")
		found := false
		for have := range s.indices {
			if have == name || strings.Contains(name, "*") && docsearch.Wildcard(name, have) {
				found, chosen[have] = true, !without
			}
		}
		if !found && !strings.Contains(name, "*") && query.Get("ignore_unavailable") != "true" {
			return nil, 0, refuse(http.StatusNotFound, "index_not_found_exception", "no such index [%s]", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		if chosen[name] {
			n++
			docs = append(docs, s.indices[name]...)
		}
	}
	if n == 0 && query.Get("allow_no_indices") == "false" {
		return nil, 0, refuse(http.StatusNotFound, "index_not_found_exception", "no such index [%s]", index)
	}
	return docs, n, nil
}

func (s *Server) searches(r *http.Request, index string, text []byte) (map[string]any, *failure) {
	s.saw("search")
	f := s.fault()
	if fail := s.broken(r, f); fail != nil {
		return nil, fail
	}
	body, fail := object(text)
	if fail != nil {
		return nil, fail
	}
	return s.search(index, r.URL.Query(), body, f)
}

// search answers one search.
func (s *Server) search(index string, query url.Values, body map[string]any, f Faults) (map[string]any, *failure) {
	if fail := parameters(query, body); fail != nil {
		return nil, fail
	}
	docs, n, point, fail := s.searched(index, query, body)
	if fail != nil {
		return nil, fail
	}
	size, from := whole(body["size"], 10), whole(body["from"], 0)
	if size+from > maxWindow {
		return nil, refuse(http.StatusBadRequest, "illegal_argument_exception", "Result window is too large, from + size must be less than or equal to: [%d] but was [%d]. See the scroll api for a more efficient way to request large data sets. This limit can be set by changing the [index.max_result_window] index level setting.", maxWindow, size+from)
	}
	keep := query.Get("scroll")
	if keep != "" {
		body["size"], body["track_total_hits"] = json.Number("1000000000"), true
	}
	found, err := docsearch.Search(docs, body, s.options.Mapping, s.options.Now())
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "parsing_exception", "%v", err)
	}
	if strings.HasPrefix(s.options.Version, "7.") {
		for i := range found.Hits.Hits {
			found.Hits.Hits[i].Type = "_doc"
		}
	}
	out := map[string]any{"took": 1, "timed_out": f.TimedOut, "_shards": shards(n, min(n, f.FailedShards)), "cut": f.Cut}
	if point != "" {
		out["pit_id"] = point
	}
	if found.Aggregations != nil && n > 0 {
		delete(found.Aggregations, f.Drop)
		out["aggregations"] = found.Aggregations
	}
	if keep != "" {
		id, rest := s.keep(found.Hits, size)
		out["_scroll_id"] = id
		found.Hits.Hits = rest
	}
	found.Hits.Hits = found.Hits.Hits[:max(0, len(found.Hits.Hits)-f.Lose)]
	out["hits"] = found.Hits
	return out, nil
}

// parameters puts what the address says of a search into its body.
func parameters(query url.Values, body map[string]any) *failure {
	for name, values := range query {
		value := values[0]
		switch name {
		case "size", "from":
			body[name] = json.Number(value)
		case "_source_includes":
			list := []any{}
			for f := range strings.SplitSeq(value, ",") {
				list = append(list, f)
			}
			body["_source"] = list
		case "q":
			body["query"] = map[string]any{"query_string": map[string]any{"query": value}}
		case "sort":
			field, order, _ := strings.Cut(value, ":")
			body["sort"] = []any{map[string]any{field: map[string]any{"order": order}}}
		case "track_total_hits":
			body[name] = value == "true"
		case "ignore_unavailable", "allow_no_indices", "expand_wildcards", "scroll", "pretty", "timeout", "preference", "typed_keys", "rest_total_hits_as_int", "request_cache", "search_type", "batched_reduce_size", "ccs_minimize_roundtrips", "max_concurrent_shard_requests":
		default:
			return refuse(http.StatusBadRequest, "illegal_argument_exception", "request [/_search] contains unrecognized parameter: [%s]", name)
		}
	}
	return nil
}

// searched returns the documents that a search is of.
func (s *Server) searched(index string, query url.Values, body map[string]any) (docs []docsearch.Document, n int, point string, fail *failure) {
	pit, ok := body["pit"].(map[string]any)
	if !ok {
		docs, n, fail = s.resolve(index, query)
		return docs, n, "", fail
	}
	if index != "" {
		return nil, 0, "", refuse(http.StatusBadRequest, "action_request_validation_exception", "Validation Failed: 1: [indices] cannot be used with point in time. Do not specify any index with point in time.;")
	}
	point, _ = pit["id"].(string)
	s.mu.Lock()
	defer s.mu.Unlock()
	docs, ok = s.points[point]
	if !ok {
		return nil, 0, "", refuse(http.StatusNotFound, "search_context_missing_exception", "No search context found for id [%s]", point)
	}
	return docs, 1, point, nil
}

func whole(v any, otherwise int) int {
	if n, ok := v.(json.Number); ok {
		if i, err := n.Int64(); err == nil {
			return int(i)
		}
	}
	return otherwise
}

func (s *Server) counts(r *http.Request, index string, text []byte) (map[string]any, *failure) {
	s.saw("count")
	f := s.fault()
	if fail := s.broken(r, f); fail != nil {
		return nil, fail
	}
	body, fail := object(text)
	if fail != nil {
		return nil, fail
	}
	for key := range body {
		if key != "query" {
			return nil, refuse(http.StatusBadRequest, "parsing_exception", "request does not support [%s]", key)
		}
	}
	docs, n, fail := s.resolve(index, r.URL.Query())
	if fail != nil {
		return nil, fail
	}
	body["size"], body["track_total_hits"] = json.Number("0"), true
	found, err := docsearch.Search(docs, body, s.options.Mapping, s.options.Now())
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "parsing_exception", "%v", err)
	}
	return map[string]any{"count": found.Hits.Total.Value, "_shards": shards(n, min(n, f.FailedShards)), "cut": f.Cut}, nil
}

// msearch answers several searches: a line that says where, and a line that says what.
func (s *Server) msearch(r *http.Request, index string, text []byte) (map[string]any, *failure) {
	s.saw("msearch")
	f := s.fault()
	if fail := s.broken(r, f); fail != nil {
		return nil, fail
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(lines)%2 != 0 {
		return nil, refuse(http.StatusBadRequest, "illegal_argument_exception", "a search is two lines")
	}
	answers := []any{}
	for i := 0; i < len(lines); i += 2 {
		header, fail := object(lines[i])
		if fail != nil {
			return nil, fail
		}
		body, fail := object(lines[i+1])
		if fail != nil {
			return nil, fail
		}
		at, query := index, url.Values{}
		switch v := header["index"].(type) {
		case string:
			at = v
		case []any:
			names := make([]string, len(v))
			for i, n := range v {
				names[i], _ = n.(string)
			}
			at = strings.Join(names, ",")
		}
		if header["ignore_unavailable"] == true {
			query.Set("ignore_unavailable", "true")
		}
		out, fail := s.search(at, query, body, f)
		if fail != nil {
			out = fail.body()
		} else {
			out["status"] = http.StatusOK
		}
		delete(out, "cut")
		answers = append(answers, out)
	}
	return map[string]any{"took": 1, "responses": answers, "cut": f.Cut}, nil
}

func (s *Server) openPoint(r *http.Request, index string) (map[string]any, *failure) {
	s.saw("pit")
	fits := strings.HasSuffix(r.URL.Path, "/point_in_time") == s.options.OpenSearch
	if s.options.NoPointInTime || !fits || r.Method != http.MethodPost {
		return nil, refuse(http.StatusBadRequest, "illegal_argument_exception", "no handler found for uri [%s] and method [%s]", r.URL.Path, r.Method)
	}
	if r.URL.Query().Get("keep_alive") == "" {
		return nil, refuse(http.StatusBadRequest, "action_request_validation_exception", "Validation Failed: 1: [keep_alive] is not specified;")
	}
	if s.options.OpenSearch && r.URL.Query().Has("ignore_unavailable") {
		return nil, refuse(http.StatusBadRequest, "illegal_argument_exception", "request [%s] contains unrecognized parameter: [ignore_unavailable]", r.URL.Path)
	}
	docs, n, fail := s.resolve(index, r.URL.Query())
	if fail != nil {
		return nil, fail
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	id := "point" + strconv.Itoa(s.made)
	s.points[id] = docs
	if s.options.OpenSearch {
		return map[string]any{"pit_id": id, "_shards": shards(n, 0), "creation_time": s.options.Now().UnixMilli()}, nil
	}
	return map[string]any{"id": id, "_shards": shards(n, 0)}, nil
}

func (s *Server) closePoint(r *http.Request, text []byte) (map[string]any, *failure) {
	s.saw("close")
	body, fail := object(text)
	if fail != nil {
		return nil, fail
	}
	ids, _ := body["pit_id"].([]any)
	if id, ok := body["id"]; ok {
		ids = append(ids, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	freed := 0
	for _, id := range ids {
		name, _ := id.(string)
		if _, ok := s.points[name]; ok {
			delete(s.points, name)
			freed++
		}
	}
	if r.Method != http.MethodDelete || freed == 0 {
		return nil, refuse(http.StatusNotFound, "resource_not_found_exception", "there is no such point in time")
	}
	return map[string]any{"succeeded": true, "num_freed": freed}, nil
}

// keep puts away what is left of a search that is read on.
func (s *Server) keep(h docsearch.Hits, size int) (id string, page []docsearch.Hit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	id = "scroll" + strconv.Itoa(s.made)
	size = min(size, len(h.Hits))
	s.scrolls[id] = &scroll{hits: h.Hits[size:], size: size, of: h.Total}
	return id, h.Hits[:size]
}

func (s *Server) scrollOn(r *http.Request, text []byte) (map[string]any, *failure) {
	s.saw("scroll")
	body, fail := object(text)
	if fail != nil {
		return nil, fail
	}
	id, _ := body["scroll_id"].(string)
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.scrolls[id]
	if !ok {
		return nil, refuse(http.StatusNotFound, "search_context_missing_exception", "No search context found for id [%s]", id)
	}
	if r.Method == http.MethodDelete {
		delete(s.scrolls, id)
		return map[string]any{"succeeded": true, "num_freed": 1}, nil
	}
	n := min(at.size, len(at.hits))
	page := at.hits[:n]
	at.hits = at.hits[n:]
	return map[string]any{"_scroll_id": id, "took": 1, "timed_out": false, "_shards": shards(1, 0), "hits": docsearch.Hits{Total: at.of, Hits: page}}, nil
}
