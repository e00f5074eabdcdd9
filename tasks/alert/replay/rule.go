package replay

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// Rule makes a rule of what a table says of it, by writing it into a file and reading that as any other. What a table leaves out because
// it does not matter is filled in: the rule is named r, its events are in the index logs, and it tells nobody.
func Rule(options map[string]any) (*rule.Rule, error) {
	all := map[string]any{"name": "r", "index": "logs", "alert": []any{"debug"}}
	maps.Copy(all, options)
	text, err := yaml.Marshal(plain(all))
	if err != nil {
		return nil, fmt.Errorf("write the rule: %w", err)
	}
	dir, err := os.MkdirTemp("", "stint-replay-*")
	if err != nil {
		return nil, fmt.Errorf("write the rule: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "r.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("write the rule: %w", err)
	}
	set, problems := rule.Load(rule.Options{Dir: dir, Sources: []string{"logs"}, CheckQuery: docsearch.ParseQueryString})
	for _, p := range problems.Mistakes() {
		return nil, fmt.Errorf("%s: %s", p.Option, p.Message)
	}
	if len(set.Rules) != 1 {
		return nil, errors.New("the rule is disabled")
	}
	return set.Rules[0], nil
}

// plain makes values of JSON such as YAML writes as they are: a json.Number is a number and no text.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[k] = plain(x)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, x := range v {
			l[i] = plain(x)
		}
		return l
	case interface{ Int64() (int64, error) }:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, ok := v.(interface{ Float64() (float64, error) }); ok {
			if n, err := f.Float64(); err == nil {
				return n
			}
		}
	}
	return v
}
