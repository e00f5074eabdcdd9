package api

import (
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// openAnswers lets the description of answers say that fields may be added, which the contract promises: clients that are
// generated from it must not break by one. What a request may hold stays closed, so that a mistyped field is an error.
func (a *API) openAnswers() {
	registry := a.huma.OpenAPI().Components.Schemas
	asked := map[string]bool{}
	var mark func(s *huma.Schema)
	mark = func(s *huma.Schema) {
		if s == nil {
			return
		}
		if name := s.Ref[strings.LastIndex(s.Ref, "/")+1:]; name != "" {
			if !asked[name] {
				asked[name] = true
				mark(registry.Map()[name])
			}
			return
		}
		for _, p := range s.Properties {
			mark(p)
		}
		mark(s.Items)
		if inner, ok := s.AdditionalProperties.(*huma.Schema); ok {
			mark(inner)
		}
	}
	for _, item := range a.huma.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete, item.Patch} {
			if op == nil || op.RequestBody == nil {
				continue
			}
			for _, m := range op.RequestBody.Content {
				mark(m.Schema)
			}
		}
	}
	for name, s := range registry.Map() {
		if closed, is := s.AdditionalProperties.(bool); is && !closed && !asked[name] {
			s.AdditionalProperties = true
		}
	}
}
