package elastictest

import (
	"bytes"
	"net/http"
	"slices"

	"github.com/stint-run/stint/internal/docsearch"
)

// doc puts a document in, gives it out, or takes it away.
func (s *Server) doc(r *http.Request, index string, parts []string, text []byte) (map[string]any, *failure) {
	s.saw("doc")
	id := ""
	if len(parts) > 2 {
		id = parts[2]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if i, ok := s.places[index][id]; ok {
			return map[string]any{"_index": index, "_id": id, "_version": 1, "found": true, "_source": s.indices[index][i].Source}, nil
		}
		return nil, refuse(http.StatusNotFound, "document_missing_exception", "[%s]: document missing", id)
	case http.MethodDelete:
		return s.remove(index, id), nil
	}
	source, fail := object(text)
	if fail != nil {
		return nil, fail
	}
	if parts[1] == "_create" && s.has(index, id) {
		return nil, refuse(http.StatusConflict, "version_conflict_engine_exception", "[%s]: version conflict, document already exists (current version [1])", id)
	}
	id, created := s.add(docsearch.Document{Index: index, ID: id, Source: source})
	return written(index, id, created), nil
}

func written(index, id string, created bool) map[string]any {
	result := map[bool]string{true: "created", false: "updated"}[created]
	return map[string]any{"_index": index, "_id": id, "_version": 1, "result": result, "_shards": map[string]any{"total": 1, "successful": 1, "failed": 0}}
}

func (s *Server) has(index, id string) bool {
	_, ok := s.places[index][id]
	return ok
}

func (s *Server) remove(index, id string) map[string]any {
	result := "not_found"
	if at, ok := s.places[index][id]; ok {
		result = "deleted"
		s.indices[index] = slices.Delete(slices.Clone(s.indices[index]), at, at+1)
		delete(s.places[index], id)
		for other, i := range s.places[index] {
			if i > at {
				s.places[index][other] = i - 1
			}
		}
	}
	return map[string]any{"_index": index, "_id": id, "result": result}
}

// bulk carries out many: a line that says what, and where it needs one a line with the document.
func (s *Server) bulk(index string, text []byte) (map[string]any, *failure) {
	s.saw("bulk")
	s.mu.Lock()
	defer s.mu.Unlock()
	items, failed := []any{}, false
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	for i := 0; i < len(lines); i++ {
		action, fail := object(lines[i])
		if fail != nil {
			return nil, fail
		}
		for kind, v := range action {
			where, _ := v.(map[string]any)
			at, id := index, ""
			if name, ok := where["_index"].(string); ok {
				at = name
			}
			id, _ = where["_id"].(string)
			var out map[string]any
			switch kind {
			case "delete":
				out = s.remove(at, id)
			case "index", "create":
				if i++; i == len(lines) {
					return nil, refuse(http.StatusBadRequest, "illegal_argument_exception", "the last action has no document")
				}
				source, fail := object(lines[i])
				if fail != nil {
					return nil, fail
				}
				if kind == "create" && s.has(at, id) {
					failed = true
					conflict := refuse(http.StatusConflict, "version_conflict_engine_exception", "[%s]: version conflict, document already exists (current version [1])", id)
					out = map[string]any{"_index": at, "_id": id, "status": conflict.status, "error": map[string]any{"type": conflict.kind, "reason": conflict.reason}}
					break
				}
				id, created := s.add(docsearch.Document{Index: at, ID: id, Source: source})
				out = written(at, id, created)
				out["status"] = map[bool]int{true: http.StatusCreated, false: http.StatusOK}[created]
			default:
				return nil, refuse(http.StatusBadRequest, "illegal_argument_exception", "Malformed action/metadata line [%d], expected one of [create, delete, index] but found [%s]", i+1, kind)
			}
			items = append(items, map[string]any{kind: out})
		}
	}
	return map[string]any{"took": 1, "errors": failed, "items": items}, nil
}
