package plan

import "github.com/stint-run/stint/internal/httpsink"

// HTTP says how rows become requests.
type HTTP = httpsink.Endpoint

// File says how rows become files.
type File map[string]any
