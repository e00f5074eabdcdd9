package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/document"
)

// fieldPost sends the matches themselves, each in a request of its own, in a form that a rule describes: for receivers that were written
// for ElastAlert's post and post2. They hear of matches and of nothing else, as from it: an alert that is taken, or over, is no match.
type fieldPost struct {
	*poster
	told
	spec    Spec
	address string
	// templates says that the values of payload and header are templates, and not names of fields and texts.
	templates       bool
	payload, header any
	static, raw     object
	all             bool
	root            string
}

// The options of post and post2. payload is names with fields, or with templates; raw is names with fields; static goes along as it is;
// all adds the match.
var (
	postOptions  = []string{"payload", "static", "headers", "all"}
	post2Options = []string{"payload", "raw", "static", "headers", "all"}
)

func openPost(templates bool) func(Spec) (Channel, error) {
	return func(s Spec) (Channel, error) {
		u, err := s.web("")
		if err != nil {
			return nil, err
		}
		p := &fieldPost{poster: newPoster(s), spec: s, address: u.String(), templates: templates, payload: s.Options["payload"], header: s.Options["headers"]}
		if p.static, err = s.object("static"); err != nil {
			return nil, err
		}
		if p.raw, err = s.object("raw"); err != nil {
			return nil, err
		}
		p.root = s.root()
		if !templates {
			if p.raw, err = s.object("payload"); err != nil {
				return nil, err
			}
			p.payload = nil
		}
		for name, field := range p.raw {
			if _, ok := field.(string); !ok {
				return nil, fmt.Errorf("the payload: %q wants the name of a field", name)
			}
		}
		if p.all, err = s.flag("all", len(p.raw) == 0 && p.payload == nil); err != nil {
			return nil, err
		}
		for what, v := range map[string]any{"payload": p.payload, "headers": p.header} {
			if err := p.parse(v); err != nil {
				return nil, fmt.Errorf("the %s: %w", what, err)
			}
		}
		if _, ok := p.header.(map[string]any); ok && !templates {
			if _, err := p.headers(nil); err != nil {
				return nil, err
			}
		}
		return p, nil
	}
}

// parse reads all templates, so that one that is none is found before there is something to send.
func (p *fieldPost) parse(v any) error {
	switch v := v.(type) {
	case string:
		if !p.templates {
			return errors.New("wants names and values")
		}
		_, err := jinja(v)
		return err
	case map[string]any:
		for name, x := range v {
			if !p.templates {
				continue
			}
			if err := p.parse(name); err != nil {
				return err
			}
			if err := p.parse(x); err != nil {
				return err
			}
		}
	case []any:
		for _, x := range v {
			if err := p.parse(x); err != nil {
				return err
			}
		}
	}
	return nil
}

// Keyed is false: such receivers are other people's, and take what comes.
func (p *fieldPost) Keyed() bool { return false }

// Send sends each match. A message without one is sent as a match without fields.
func (p *fieldPost) Send(ctx context.Context, m Message) error {
	if m.Event == Acknowledged || m.Event == Resolved {
		return nil
	}
	matches := m.Matches
	if len(matches) == 0 {
		matches = []map[string]any{{}}
	}
	numbers := make([]string, len(matches))
	for i := range numbers {
		numbers[i] = "match " + strconv.Itoa(i+1)
	}
	return p.each(m.ID, numbers, func(number string) error {
		match := matches[slices.Index(numbers, number)]
		header, err := p.headers(match)
		if err != nil {
			return &Error{Err: err, Permanent: true}
		}
		body, err := p.body(match)
		if err != nil {
			return &Error{Err: err, Permanent: true}
		}
		header.Set("Idempotency-Key", m.ID+"/"+strings.TrimPrefix(number, "match "))
		contentType := header.Get("Content-Type")
		header.Del("Content-Type")
		_, err = p.post(ctx, p.address, contentType, header, body)
		return err
	})
}

// body is what is sent of a match. What stands later goes before what stands earlier.
func (p *fieldPost) body(match map[string]any) ([]byte, error) {
	out := object{}
	if p.all {
		maps.Copy(out, match)
	}
	maps.Copy(out, p.static)
	made, err := p.made(p.payload, match)
	if err != nil {
		return nil, fmt.Errorf("the payload: %w", err)
	}
	maps.Copy(out, made)
	for name, field := range p.raw {
		out[name] = document.Value(match, textOf(field))
	}
	return encode(out)
}

// headers are those of the request.
func (p *fieldPost) headers(match map[string]any) (http.Header, error) {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json;charset=utf-8"}}
	own, isMap := p.header.(map[string]any)
	if p.templates {
		var err error
		if own, err = p.made(p.header, match); err != nil {
			return nil, fmt.Errorf("the headers: %w", err)
		}
	} else if p.header != nil && !isMap {
		return nil, errors.New("the headers: wants names and values")
	}
	for name, v := range own {
		switch v.(type) {
		case nil, map[string]any, []any:
			return nil, fmt.Errorf("the headers: %q is no header with a text", name)
		}
		text := textOf(v)
		if !headerName.MatchString(name) || strings.ContainsAny(text, "\r\n\x00") {
			return nil, fmt.Errorf("the headers: %q is no header with a text", name)
		}
		h.Set(name, text)
	}
	return h, nil
}

// made fills in templates: names with values, or one text that is JSON when it has been filled in.
func (p *fieldPost) made(v any, match map[string]any) (object, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		text, err := p.fill(v, escaped(match).(map[string]any))
		if err != nil {
			return nil, err
		}
		var out object
		if err := document.Decode([]byte(text), &out); err != nil {
			return nil, errors.New("what the template makes is no JSON with names and values") // the error's own text may quote a secret
		}
		return out, nil
	case map[string]any:
		out, err := p.within(v, match)
		made, _ := out.(map[string]any)
		return made, err
	}
	return nil, errors.New("wants names and values, or a text")
}

// within fills in all texts of a value, names among them.
func (p *fieldPost) within(v any, match map[string]any) (any, error) {
	switch v := v.(type) {
	case string:
		return p.fill(v, match)
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			var err error
			if out[i], err = p.within(x, match); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := object{}
		for name, x := range v {
			filled, err := p.fill(name, match)
			if err != nil {
				return nil, err
			}
			if out[filled], err = p.within(x, match); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

func (p *fieldPost) fill(text string, match map[string]any) (string, error) {
	if !strings.Contains(text, "{") {
		return text, nil
	}
	t, err := jinja(text)
	if err != nil {
		return "", err
	}
	return t.Fill(match, p.root, templateMost)
}

// escaped is a value whose texts are written as within the quotes of JSON.
func escaped(v any) any {
	switch v := v.(type) {
	case string:
		b, _ := encode(v) // a text can be written
		return string(b[1 : len(b)-1])
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = escaped(x)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, x := range v {
			out[name] = escaped(x)
		}
		return out
	}
	return v
}
