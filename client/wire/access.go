package wire

import "time"

// Token is an API token as it is shown: the secret is told once, when it is made.
type Token struct {
	ID        string     `json:"id"`
	Name      string     `json:"name" doc:"Whose it is, for people and the audit trail"`
	Role      string     `json:"role" enum:"viewer,submitter,operator,admin"`
	Tenants   []string   `json:"tenants,omitempty" doc:"The tenants that it is for; left out for all"`
	CreatedAt time.Time  `json:"created_at"`
	CreatedBy string     `json:"created_by,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// NewToken asks for a token.
type NewToken struct {
	Name      string     `json:"name" minLength:"1" maxLength:"100" doc:"Whose it is"`
	Role      string     `json:"role" enum:"viewer,submitter,operator,admin"`
	Tenants   []string   `json:"tenants,omitempty" maxItems:"100" doc:"Left out for all"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Left out for never"`
}

// MadeToken is a token with its secret, which is not kept and cannot be told again.
type MadeToken struct {
	Token
	Secret string `json:"secret" doc:"What goes into the Authorization header, after Bearer"`
}

// Tokens are those that there are.
type Tokens struct {
	Tokens []Token `json:"tokens"`
}

// AuditEntry says who did what: every request that changes something, those that were refused included.
type AuditEntry struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	By        string    `json:"by" doc:"The name of the token, or the command line"`
	TokenID   string    `json:"token_id,omitempty"`
	Role      string    `json:"role"`
	From      string    `json:"from,omitempty" doc:"The address that the request came from"`
	Action    string    `json:"action" doc:"The operation, by its id in /openapi.json"`
	Target    string    `json:"target,omitempty" doc:"The path that it was about"`
	Status    int       `json:"status" doc:"The HTTP status of the answer"`
	RequestID string    `json:"request_id"`
}

// Audit is a page of the audit trail, newest first.
type Audit struct {
	Entries []AuditEntry `json:"entries"`
	Next    string       `json:"next,omitempty" doc:"The cursor of the next page; left out on the last one"`
}
