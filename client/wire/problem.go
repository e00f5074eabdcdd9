package wire

import "fmt"

// Problem is an error of the API: RFC 9457 with a hint what to do now and a code for programs. It is an error itself.
type Problem struct {
	Type      string         `json:"type,omitempty" doc:"about:blank, or a page about this kind of problem"`
	Title     string         `json:"title" doc:"The words of the status"`
	Status    int            `json:"status"`
	Code      string         `json:"code" doc:"For programs: one of the codes in docs/api.md"`
	Detail    string         `json:"detail" doc:"What is wrong with this request"`
	Hint      string         `json:"hint,omitempty" doc:"What to do now"`
	RequestID string         `json:"request_id,omitempty" doc:"Stands in the server's log as well"`
	Errors    []ProblemPlace `json:"errors,omitempty" doc:"Each place of the request that is wrong"`
}

// ProblemPlace is one place of a request that is wrong. What stood there is not repeated: it may be a secret.
type ProblemPlace struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty" doc:"Such as body.window or query.limit"`
}

// The codes of problems.
const (
	CodeBadRequest   = "bad_request"  // 400, 405, 413, 415, 422: the request itself cannot be right
	CodeUnauthorized = "unauthorized" // 401: no token, or none that is known
	CodeForbidden    = "forbidden"    // 403: the token's role or tenants do not allow it
	CodeNotFound     = "not_found"    // 404
	CodeConflict     = "conflict"     // 409: not in this state, or the key was used for something else
	CodeChanged      = "changed"      // 412: not what If-Match names any more
	CodeLimited      = "limited"      // 429: too many requests
	CodeInternal     = "internal"     // 500: a fault of the server; its log has more
	CodeUnreachable  = "unreachable"  // 503: Redis or a database that is needed does not answer
)

// Error returns the detail, with the places that are wrong.
func (p *Problem) Error() string {
	text := p.Detail
	for _, e := range p.Errors {
		if e.Location != "" {
			text += fmt.Sprintf("; %s: %s", e.Location, e.Message)
		} else {
			text += "; " + e.Message
		}
	}
	return text
}

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of RFC 9457, for huma.
func (p *Problem) ContentType(string) string { return "application/problem+json" }
