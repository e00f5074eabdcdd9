package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// How a stream of news behaves: how often it says that it is still there, and how long its reader may read nothing.
const (
	liveHeartbeat = 15 * time.Second
	liveUnread    = 30 * time.Second
)

// stream sends what a page shows whenever it changes: server-sent events of the type page, whose data is the HTML as a JSON string.
// The event over says that nothing changes any more, reload that the page has to be asked for anew: who reads it is logged out.
func (s *Site) stream(w http.ResponseWriter, v *visit, nav, name string, load loader) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	c := http.NewResponseController(w)
	send := func(event string, data any) bool {
		body, err := json.Marshal(data)
		if err != nil {
			return false
		}
		_ = c.SetWriteDeadline(time.Now().Add(liveUnread))
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, body); err != nil {
			return false
		}
		return c.Flush() == nil
	}
	_ = c.SetWriteDeadline(time.Now().Add(liveUnread))
	if _, err := fmt.Fprint(w, "retry: 2000\n\n"); err != nil || c.Flush() != nil {
		return
	}
	tick := time.NewTicker(s.o.Refresh)
	defer tick.Stop()
	var last []byte
	heard := time.Now()
	for {
		ctx, err := s.api.Visitor(v.Request, cookieOf(v.Request)) // whose token was revoked sees nothing more
		if err != nil {
			if problemOf(err).Status == http.StatusUnauthorized {
				send("reload", "")
				return
			}
		} else {
			v.ctx = ctx
			html, still, err := s.fragment(v, nav, name, load)
			switch {
			case err != nil:
				s.log.DebugContext(v.ctx, "a page has no news just now", "path", v.URL.Path, "err", err)
			case !bytes.Equal(html, last):
				if !send("page", string(html)) {
					return
				}
				last, heard = html, time.Now()
			}
			if err == nil && still {
				send("over", "")
				return
			}
		}
		if time.Since(heard) > liveHeartbeat {
			if !send("alive", "") {
				return
			}
			heard = time.Now()
		}
		select {
		case <-v.Context().Done():
			return
		case <-s.api.Stopping():
			return // the browser asks again, here or elsewhere
		case <-tick.C:
		}
	}
}

// fragment is the part of a page that changes.
func (s *Site) fragment(v *visit, nav, name string, load loader) (html []byte, still bool, err error) {
	c, err := load(v)
	if err != nil {
		return nil, false, err
	}
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "content", s.view(v, nav, c)); err != nil {
		return nil, false, err
	}
	return b.Bytes(), c.Still, nil
}
