package plan

import "github.com/stint-run/stint/internal/httpsink"

// HTTP says how rows become requests.
type HTTP = httpsink.Endpoint
