package httpsink

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
)

// Endpoint says where and how records are sent, and what the answers mean: the plan's to.http. Only Path is required, and ID where
// others refer to the records.
type Endpoint struct {
	// Method is POST (the default), PUT or PATCH. Only PUT is taken to be idempotent by itself.
	Method string `json:"method,omitempty" yaml:"method,omitempty"`
	// Path is a template of path and query, below the connection's base URL. Values are escaped by themselves. With a batch it
	// has to be the same for all records.
	Path string `json:"path" yaml:"path"`
	// Headers are templates, by the header's name.
	Headers map[string]string `json:"headers,omitempty" yaml:"headers,omitempty"`
	// Body is a template of a record's body, with a batch of an item. In a JSON body values become JSON by themselves, within
	// quotes and outside of them. "" is the record as JSON.
	Body string `json:"body,omitempty" yaml:"body,omitempty"`
	// BatchField is the field that the records of a batch are put in: {"items": [...]}. "" is the bare list.
	BatchField string `json:"batch_field,omitempty" yaml:"batch_field,omitempty"`
	// ContentType is of the body; "" is application/json. With application/x-ndjson a batch has one record a line.
	ContentType string `json:"content_type,omitempty" yaml:"content_type,omitempty"`
	// Batch is how many records one request takes; 0 and 1 mean one by one, which is another form of body.
	Batch int `json:"batch,omitempty" yaml:"batch,omitempty"`
	// Rate limits the requests, lookups and repetitions included: 20/s, 600/m, 5000/h. "" is no limit.
	Rate string `json:"rate,omitempty" yaml:"rate,omitempty"`
	// Concurrency is how many requests of one Deliver are under way at once; 0 means DefaultConcurrency.
	Concurrency int `json:"concurrency,omitempty" yaml:"concurrency,omitempty"`
	// Timeout is of one request, answer included; 0 means DefaultTimeout. After it nobody knows whether the request took effect.
	Timeout Duration `json:"timeout,omitempty" yaml:"timeout,omitempty"`
	// ID is where the new id stands in the answer: $.data.id, $.results[*].id for a batch, or header:Location, whose last part of
	// the path is taken. "" means that no id is wanted.
	ID string `json:"id,omitempty" yaml:"id,omitempty"`
	// IdempotencyHeader carries a key by which the API knows a request again; "" means Idempotency-Key, "none" or "-" that the
	// API has no such thing. Then a method other than PUT needs a Lookup.
	IdempotencyHeader string `json:"idempotency_header,omitempty" yaml:"idempotency_header,omitempty"`
	// RecordKey is a field that is added to each record as it is sent, with the record's own idempotency key, for APIs that look
	// at keys record by record. Then the composition of a batch does not matter to the API.
	RecordKey string `json:"record_key,omitempty" yaml:"record_key,omitempty"`
	// Lookup asks whether a record is there already; nil if the API cannot be asked.
	Lookup *Lookup `json:"lookup,omitempty" yaml:"lookup,omitempty"`
	// Success are the statuses of a request that took effect; nil means 2xx.
	Success Statuses `json:"success,omitempty" yaml:"success,omitempty"`
	// Exists are the statuses of a record that is there already. nil means 409 if there is a lookup or no idempotency key, and
	// else none: then 409 means, as in the draft of the IETF, that the first request of this key is still under way.
	Exists Statuses `json:"exists,omitempty" yaml:"exists,omitempty"`
	// Retry are the statuses that are worth another try, besides those of RetryDefault. In a partial answer also words.
	Retry Statuses `json:"retry,omitempty" yaml:"retry,omitempty"`
	// Reject are the statuses by which the API refuses a record for good, besides all of 4xx that mean nothing else.
	Reject Statuses `json:"reject,omitempty" yaml:"reject,omitempty"`
	// Partial says how the answer to a batch speaks of each record; nil if it stands or falls as a whole.
	Partial *Partial `json:"partial,omitempty" yaml:"partial,omitempty"`
	// Error is where an answer has its reason, such as $.error.message; "" tries what many APIs use.
	Error string `json:"error,omitempty" yaml:"error,omitempty"`
	// MaxRetryAfter caps what the API may ask to wait; 0 means DefaultMaxRetryAfter.
	MaxRetryAfter Duration `json:"max_retry_after,omitempty" yaml:"max_retry_after,omitempty"`
}

// Lookup asks the API for a record by a key of the record's own, with GET.
type Lookup struct {
	// Path is a template, such as /v1/customers?legacy_id={{ .legacy_id }}. Values are escaped by themselves.
	Path string `json:"path" yaml:"path"`
	// ID is where the id of the record stands if it was found. 404, a list without this element and a null mean that it is not
	// there; an answer of another shape stops the job, as taking it for "not there" would make duplicates.
	ID string `json:"id" yaml:"id"`
	// Always asks before each record, also if nothing says that it may have been sent.
	Always bool `json:"always,omitempty" yaml:"always,omitempty"`
	// Settle is how long the API may take, after a request whose outcome nobody knows, until a lookup surely sees what it did.
	// "Not there" counts only afterwards. 0 means DefaultSettle.
	Settle Duration `json:"settle,omitempty" yaml:"settle,omitempty"`
}

// Partial says how the answer to a batch speaks of each record. Paths are from the item, Items from the answer.
type Partial struct {
	// Items is the list, such as $.results.
	Items string `json:"items" yaml:"items"`
	// Status is the item's status, a number or a word. "" means that an item without an Error is well.
	Status string `json:"status,omitempty" yaml:"status,omitempty"`
	// OK are the statuses of a record that was taken; nil means those of Success.
	OK Statuses `json:"ok,omitempty" yaml:"ok,omitempty"`
	// ID is where the new id stands; "" means that none is wanted.
	ID string `json:"id,omitempty" yaml:"id,omitempty"`
	// Error is where the reason stands; "" tries what many APIs use.
	Error string `json:"error,omitempty" yaml:"error,omitempty"`
	// Match says which item speaks of which record: "index" ("" means the same), or a path in the item, such as $.legacy_id,
	// whose value is compared with a field of the record.
	Match string `json:"match,omitempty" yaml:"match,omitempty"`
	// MatchField is that field; "" means the last name of Match.
	MatchField string `json:"match_field,omitempty" yaml:"match_field,omitempty"`
}

// What holds where an endpoint does not say.
const (
	DefaultConcurrency       = 4
	DefaultTimeout           = 30 * time.Second
	DefaultIdempotencyHeader = "Idempotency-Key"
	DefaultMaxRetryAfter     = 15 * time.Minute
	DefaultSettle            = 2 * time.Second
)

// Limits of an endpoint.
const (
	MaxBatch       = 10_000
	MaxConcurrency = 256
)

// RetryDefault are the statuses that are worth another try where the endpoint says nothing else of them: 425 and 429 say that nothing
// was done, the others leave it open. All other 5xx but 501 and 505 count as well.
var RetryDefault = Statuses{"408", "425", "429", "500", "502", "503", "504"}

const (
	jsonType   = "application/json"
	ndjsonType = "application/x-ndjson"
)

// Check returns what is wrong with the endpoint, with the field's name and what to do; nil if nothing is. It opens no connection.
func (e Endpoint) Check() error {
	_, err := e.compile()
	return err
}

// compiled is an endpoint that is ready for use: parsed, and with its defaults.
type compiled struct {
	Endpoint
	path       *template
	headers    map[string]*template
	body       *template // nil: the record as JSON
	idPath     jsonPath
	idHeader   string
	lookup     *compiledLookup
	partial    *compiledPartial
	reason     []jsonPath
	pace       pace
	key        string // the idempotency header; "" without one
	batched    bool
	jsonBody   bool
	idempotent bool // a request may be sent again without asking
}

type compiledLookup struct {
	path *template
	id   jsonPath
}

type compiledPartial struct {
	items, status, id, match jsonPath
	hasStatus, hasID         bool
	reason                   []jsonPath
	field                    string // "" matches by index
}

func fieldError(field, hint, format string, args ...any) error {
	return tasks.WithHint(nil, hint, "to.http."+field+": "+format, args...)
}

func (e Endpoint) compile() (*compiled, error) {
	if e.Method == "" {
		e.Method = http.MethodPost
	}
	if e.ContentType == "" {
		e.ContentType = jsonType
	}
	if e.Success == nil {
		e.Success = Statuses{"2xx"}
	}
	if e.Concurrency == 0 {
		e.Concurrency = DefaultConcurrency
	}
	c := &compiled{Endpoint: e, batched: e.Batch > 1}
	c.jsonBody = strings.HasPrefix(e.ContentType, jsonType) || strings.HasPrefix(e.ContentType, ndjsonType) || strings.HasSuffix(e.ContentType, "+json")
	switch e.IdempotencyHeader {
	case "":
		c.key = DefaultIdempotencyHeader
	case "-", "none":
	default:
		c.key = textproto.CanonicalMIMEHeaderKey(e.IdempotencyHeader)
	}
	if e.Exists == nil && (c.key == "" || e.Lookup != nil) {
		c.Exists = Statuses{"409"}
	}
	c.idempotent = c.key != "" || e.Method == http.MethodPut
	for _, check := range []func() error{c.checkRequest, c.checkTemplates, c.checkBatch, c.checkSafety, c.checkAnswers, c.checkLookup, c.checkPartial} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *compiled) checkRequest() error {
	if !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, c.Method) {
		return fieldError("method", "Write POST, PUT or PATCH.", "%q does not send records", c.Method)
	}
	if c.Concurrency < 0 || c.Concurrency > MaxConcurrency {
		return fieldError("concurrency", "Leave it out for the default.", "%d is not from 1 to %d", c.Concurrency, MaxConcurrency)
	}
	if c.Timeout < 0 || c.MaxRetryAfter < 0 {
		return fieldError("timeout", "Leave it out for the default.", "a time cannot be negative")
	}
	var err error
	if c.pace, err = parseRate(c.Rate); err != nil {
		return fieldError("rate", "Write 20/s, 600/m or 5000/h.", "%q is no rate: %v", c.Rate, err)
	}
	return nil
}

// reserved are headers that the endpoint cannot set, with who does.
var reserved = map[string]string{
	"Authorization":     "Credentials belong to the connection: set its auth.",
	"Host":              "The host is that of the connection's base_url.",
	"Content-Length":    "It is set by what is sent.",
	"Transfer-Encoding": "It is set by what is sent.",
	"Accept-Encoding":   "Compressed answers are understood without it.",
	"Content-Type":      "Use content_type.",
}

func (c *compiled) checkTemplates() error {
	var err error
	if c.path, err = pathTemplate("path", c.Path); err != nil {
		return err
	}
	c.headers = map[string]*template{}
	for name, text := range c.Headers {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if hint, ok := reserved[canonical]; ok {
			return fieldError("headers", hint, "%s cannot be set here", name)
		}
		if canonical == c.key {
			return fieldError("headers", "Remove it, or set idempotency_header to none and add a lookup.", "%s is set by the idempotency key", name)
		}
		if c.headers[canonical], err = parseTemplate(text, inHeader); err != nil {
			return fieldError("headers."+name, templateHint, "%v", err)
		}
	}
	if c.Body == "" {
		return nil
	}
	where := inText
	if c.jsonBody {
		where = inJSON
	}
	if c.body, err = parseTemplate(c.Body, where); err != nil {
		return fieldError("body", templateHint, "%v", err)
	}
	return nil
}

const templateHint = `Values are written as {{ .field }}, {{ .field | default "x" }} or {{ if .field }}..{{ end }}; functions: urlpath, urlquery, json, lower, upper, default.`

func pathTemplate(field, text string) (*template, error) {
	if !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") {
		return nil, fieldError(field, "Write it from the connection's base URL on, such as /v1/customers.", "%q does not begin with one slash", text)
	}
	if strings.Contains(text, "#") {
		return nil, fieldError(field, "Write %23 for the character.", "a # never reaches the server")
	}
	t, err := parseTemplate(text, inPath)
	if err != nil {
		return nil, fieldError(field, templateHint, "%v", err)
	}
	return t, nil
}

func (c *compiled) checkBatch() error {
	if c.Batch < 0 || c.Batch > MaxBatch {
		return fieldError("batch", "Leave it out to send records one by one.", "%d is not from 1 to %d", c.Batch, MaxBatch)
	}
	if !c.batched {
		for field, set := range map[string]bool{"batch_field": c.BatchField != "", "partial": c.Partial != nil, "content_type": strings.HasPrefix(c.ContentType, ndjsonType)} {
			if set {
				return fieldError(field, "Set batch to the number of records that one request may take.", "it needs batch: 2 or more")
			}
		}
	} else {
		if !c.path.constant() {
			return fieldError("path", "Leave batch out, or write a path that has no values.", "a batch goes to one path, and %q has values of a record", c.Path)
		}
		for name, t := range c.headers {
			if !t.constant() {
				return fieldError("headers."+name, "Leave batch out, or write a header that has no values.", "a batch has one header, and this one has values of a record")
			}
		}
		if !c.jsonBody {
			return fieldError("content_type", "Use application/json or application/x-ndjson, or leave batch out.", "records of type %s cannot be put into one body", c.ContentType)
		}
		if c.BatchField != "" && strings.HasPrefix(c.ContentType, ndjsonType) {
			return fieldError("batch_field", "Leave it out.", "a body with one record a line has no fields around them")
		}
	}
	if c.RecordKey != "" && c.Body != "" {
		return fieldError("record_key", "Leave body out.", "the field is added to the record as JSON, and body replaces that")
	}
	return nil
}

// checkSafety refuses what could not be delivered once.
func (c *compiled) checkSafety() error {
	if c.Method == http.MethodPut && !c.batched && c.path.constant() {
		return fieldError("path", "Write the record's key into it: /v1/customers/{{ .id }}. To send all to one path use POST.",
			"each record would replace the one before it at %q", c.Path)
	}
	if !c.idempotent && c.Lookup == nil {
		return fieldError("idempotency_header", "Name the header, or say by lookup how the API is asked for a record, or use PUT.",
			"without an idempotency key or a lookup a %s that was cut off cannot be repeated safely", c.Method)
	}
	return nil
}
