package httpsink_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/tasks"
)

func TestAnEndpointThatIsWrongIsNamedByItsFieldWithAHint(t *testing.T) {
	t.Parallel()
	for plan, want := range map[string]string{
		`{}`:                                               `to.http.path: "" does not begin with one slash`,
		`{path: v1}`:                                       `to.http.path: "v1" does not begin with one slash`,
		`{path: //evil.example/x}`:                         `to.http.path: "//evil.example/x" does not begin`,
		`{path: "/a#b"}`:                                   `to.http.path: a # never`,
		`{path: "/{{ .a"}`:                                 `to.http.path: line 1: unclosed action`,
		`{path: /a, method: DELETE}`:                       `to.http.method: "DELETE" does not send records`,
		`{path: /a, method: PUT}`:                          `to.http.path: each record would replace the one before`,
		`{path: /a, rate: 20}`:                             `to.http.rate: "20" is no rate`,
		`{path: /a, rate: 0/s}`:                            `to.http.rate: "0/s" is no rate`,
		`{path: /a, rate: NaN/s}`:                          `to.http.rate: "NaN/s" is no rate`,
		`{path: /a, concurrency: 1000}`:                    `to.http.concurrency: 1000 is not`,
		`{path: /a, batch: -1}`:                            `to.http.batch: -1 is not`,
		`{path: /a, batch_field: items}`:                   `to.http.batch_field: it needs batch`,
		`{path: "/{{ .a }}", batch: 2}`:                    `to.http.path: a batch goes to one path`,
		`{path: /a, batch: 2, headers: {X-A: "{{ .a }}"}}`: `to.http.headers.X-A: a batch has one header`,
		`{path: /a, headers: {authorization: x}}`:          `to.http.headers: authorization cannot be set here`,
		`{path: /a, headers: {idempotency-key: x}}`:        `to.http.headers: idempotency-key is set by`,
		`{path: /a, batch: 2, content_type: text/csv}`:     `to.http.content_type: records of type`,
		`{path: /a, batch: 2, content_type: application/x-ndjson, batch_field: a}`: `to.http.batch_field: a body with`,
		`{path: /a, body: "{{ range .a }}{{ end }}"}`:                              `to.http.body: `,
		`{path: /a, body: "{}", record_key: k}`:                                    `to.http.record_key: the field`,
		`{path: /a, idempotency_header: none}`:                                     `to.http.idempotency_header: without an idempotency key or a lookup a POST`,
		`{path: /a, idempotency_header: "-", method: PATCH}`:                       `to.http.idempotency_header: without an idempotency key or a lookup a PATCH`,
		`{path: /a, id: data}`:                                                     `to.http.id: "data" does not begin with $`,
		`{path: /a, id: "header:"}`:                                                `to.http.id: `,
		`{path: /a, id: "$.x[*].id"}`:                                              `to.http.id: "$.x[*].id" does not name one id`,
		`{path: /a, batch: 2, id: $.id}`:                                           `to.http.id: "$.id" does not name one id`,
		`{path: /a, success: [99]}`:                                                `to.http.success: "99" is no status`,
		`{path: /a, retry: [flaky]}`:                                               `to.http.retry: "flaky" is no status`,
		`{path: /a, exists: 409, reject: [409]}`:                                   `to.http.reject: 409 stands in exists too`,
		`{path: /a, lookup: {path: /b, id: $.id}}`:                                 `to.http.lookup.path: "/b" asks the same`,
		`{path: /a, lookup: {path: "/b/{{ .a }}", id: id}}`:                        `to.http.lookup.id: "id" does not`,
		`{path: /a, batch: 2, partial: {items: x}}`:                                `to.http.partial.items: "x" does not`,
		`{path: /a, batch: 2, partial: {items: $.x}}`:                              `to.http.partial: nothing tells`,
		`{path: /a, batch: 2, partial: {items: $.x, status: $.s, match: x}}`:       `to.http.partial.match: "x" does not`,
		`{path: /a, batch: 2, id: "$[*].id", partial: {items: $.x, status: $.s}}`:  `to.http.id: the ids of a partial`,
		`{path: /a, batch: 2, partial: {items: $.x, status: $.s, match: "$[0]"}}`:  `to.http.partial.match_field: `,
	} {
		var e httpsink.Endpoint
		if err := yaml.Unmarshal([]byte(plan), &e); err != nil {
			t.Errorf("%s: %v", plan, err)
			continue
		}
		err := e.Check()
		if err == nil || !strings.Contains(err.Error(), want) || tasks.HintOf(err) == "" {
			t.Errorf("%s gave %v (hint %q), want %q", plan, err, tasks.HintOf(err), want)
		}
	}
}

func TestAnEndpointIsTheSameInYAMLAndInJSON(t *testing.T) {
	t.Parallel()
	const plan = `
method: POST
path: /v1/customers?dry={{ .dry }}
headers: {X-Tenant: "{{ .tenant }}"}
body: '{"name": {{ .name }}}'
rate: 600/m
concurrency: 8
timeout: 45s
id: $.data.id
idempotency_header: X-Request-Key
lookup: {path: "/v1/customers?legacy_id={{ .id }}", id: "$.data[0].id", always: true, settle: 500ms}
success: [200, 201]
exists: 409
retry: ["5xx", 423]
max_retry_after: 2m
`
	var fromYAML, fromJSON httpsink.Endpoint
	decoder := yaml.NewDecoder(strings.NewReader(plan))
	decoder.KnownFields(true)
	if err := decoder.Decode(&fromYAML); err != nil {
		t.Fatal(err)
	}
	if err := fromYAML.Check(); err != nil {
		t.Fatal(err)
	}
	if fromYAML.Timeout != httpsink.Duration(45*time.Second) || !reflect.DeepEqual(fromYAML.Exists, httpsink.Statuses{"409"}) {
		t.Errorf("YAML gave %+v", fromYAML)
	}
	text, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &fromJSON); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(fromYAML, fromJSON) {
		t.Errorf("YAML gave %+v, and its JSON %s", fromYAML, text)
	}
	if err := json.Unmarshal([]byte(`{"exists": 409, "success": [201, "2xx"], "timeout": "1m"}`), &fromJSON); err != nil || len(fromJSON.Success) != 2 {
		t.Errorf("JSON gave %+v, %v", fromJSON, err)
	}
	for _, bad := range []string{`{"timeout": "soon"}`, `{"timeout": "-1s"}`, `{"exists": [{}]}`} {
		if err := json.Unmarshal([]byte(bad), &fromJSON); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestAConnectionThatIsWrongIsNamedByItsFieldAndNeverByItsSecrets(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-hunter2"
	for want, c := range map[string]httpsink.Connection{
		"base_url: it is no http":                      {BaseURL: "ftp://x/" + secret},
		"base_url: it is no URL":                       {BaseURL: "http://x:" + secret + "@%zz"},
		"base_url: it holds a user":                    {BaseURL: "https://u:" + secret + "@x"},
		"base_url: it holds a query":                   {BaseURL: "https://x?key=" + secret},
		"auth.type: \"digest\" is unknown":             {BaseURL: "https://x", Auth: httpsink.Auth{Type: "digest", Token: secret}},
		"auth.token: bearer needs it":                  {BaseURL: "https://x", Auth: httpsink.Auth{Type: "bearer", Password: secret}},
		"auth.token: it has control":                   {BaseURL: "https://x", Auth: httpsink.Auth{Type: "bearer", Token: secret + "\n"}},
		"auth.token_url: it is no":                     {BaseURL: "https://x", Auth: httpsink.Auth{Type: "oauth2", TokenURL: "x/" + secret, ClientID: "a", ClientSecret: secret}},
		"headers: Authorization":                       {BaseURL: "https://x", Headers: map[string]httpsink.Secret{"authorization": secret}},
		"headers.X-Key: the value has control":         {BaseURL: "https://x", Headers: map[string]httpsink.Secret{"X-Key": secret + "\r\n"}},
		"tls.insecure: it is allowed on loopback only": {BaseURL: "https://x", TLS: httpsink.TLS{Insecure: true}},
		"tls.ca: it holds no certificate":              {BaseURL: "https://x", TLS: httpsink.TLS{CA: secret}},
		"tls.certificate: certificate and key":         {BaseURL: "https://x", TLS: httpsink.TLS{Certificate: "x", Key: secret}},
		"proxy: it is no URL":                          {BaseURL: "https://x", Proxy: secret},
	} {
		err := c.Check()
		if err == nil || !strings.Contains(err.Error(), want) || tasks.HintOf(err) == "" {
			t.Errorf("%v (hint %q), want %q", err, tasks.HintOf(err), want)
			continue
		}
		if strings.Contains(err.Error()+tasks.HintOf(err), secret) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	for _, url := range []string{"https://localhost", "https://127.0.0.1:8443", "https://[::1]"} {
		if err := (httpsink.Connection{BaseURL: url, TLS: httpsink.TLS{Insecure: true}}).Check(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}
