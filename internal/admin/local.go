package admin

import (
	"net"
	"net/http"
)

// fromElsewhere are headers that a browser or a proxy puts on a request. The first come from a page that somebody on this
// machine looks at; with the others, loopback is only the last hop (a sidecar's, for instance).
var fromElsewhere = []string{"Origin", "Sec-Fetch-Site", "X-Forwarded-For", "Forwarded", "Via"}

// mayChange reports whether a request may change something, and answers it when not.
func (h *handler) mayChange(w http.ResponseWriter, r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	local := err == nil && ip != nil && ip.IsLoopback()
	for _, name := range fromElsewhere {
		local = local && r.Header.Get(name) == ""
	}
	if !local {
		h.problem(w, problem{Status: http.StatusForbidden, Title: "forbidden", Detail: "draining is taken from loopback only: this port has no token",
			Hint: "use stint workers drain, or stint drain-self where the process runs"})
	}
	return local
}
