// Package elastictest is a double of a search server: HTTP on loopback, documents in memory, answers in the form of Elasticsearch 8 or
// OpenSearch 2 as their public documentation shows them, with faults on demand. docsearch finds what it answers with.
//
// It knows what rules need: documents (_doc, _bulk), _search with points in time and scroll, _count, _msearch, _cluster/health and /.
// Everything else is answered with 400, as the real one does.
package elastictest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
)

// Options are how a Server is. The zero value is Elasticsearch 8.17 that lets everybody in.
type Options struct {
	Version    string // 8.17.0 by default
	OpenSearch bool
	// User and Password, or APIKey, are asked for where they are set.
	User, Password, APIKey string
	// NoPointInTime answers requests for one as a server does that has none.
	NoPointInTime bool
	// Mapping is what is known of fields.
	Mapping docsearch.Mapping
	// Now is what date math counts from; nil is the clock.
	Now func() time.Time
}

// Faults are what goes wrong with searches and counts. The zero value is nothing.
type Faults struct {
	// Times is how many requests it goes wrong for; 0 is all until the next Fail.
	Times        int
	FailedShards int
	TimedOut     bool
	Drop         string        // the aggregation of this name is left out of the answer
	Lose         int           // so many hits are left out, and still counted
	Status       int           // answered instead: 429, 503, 400, 404, ...
	RetryAfter   time.Duration // with Status
	ErrorIn200   bool          // an error with the status of a success
	Hang         bool          // no answer until the client or the server gives up
	Cut          bool          // the answer breaks off in its middle
}

// Server is a running double.
type Server struct {
	options  Options
	listener net.Listener
	http     *http.Server
	closing  chan struct{}
	done     sync.WaitGroup

	mu       sync.Mutex
	indices  map[string][]docsearch.Document
	places   map[string]map[string]int // of documents in indices, by index and id
	points   map[string][]docsearch.Document
	scrolls  map[string]*scroll
	made     int
	faults   Faults
	left     int
	requests map[string]int
}

// scroll is a search that is read on.
type scroll struct {
	hits []docsearch.Hit
	size int
	of   *docsearch.Total
}

// Start starts a double on a free port of 127.0.0.1.
func Start(o Options) (*Server, error) {
	if o.Version == "" {
		if o.Version = "8.17.0"; o.OpenSearch {
			o.Version = "2.11.0"
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for searches: %w", err)
	}
	s := &Server{options: o, listener: l, closing: make(chan struct{}), indices: map[string][]docsearch.Document{}, places: map[string]map[string]int{}, points: map[string][]docsearch.Document{},
		scrolls: map[string]*scroll{}, requests: map[string]int{}}
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Minute}
	s.done.Go(func() { _ = s.http.Serve(l) }) // ends by Close
	return s, nil
}

// URL returns where it is, such as http://127.0.0.1:40000.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Close stops it, whatever is under way.
func (s *Server) Close() {
	close(s.closing)
	_ = s.http.Close() // there is nobody left to tell
	s.done.Wait()
}

// Add puts documents in, as they are; a document of the same index and id is replaced, and one without an id gets one.
func (s *Server) Add(docs ...docsearch.Document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range docs {
		s.add(d)
	}
}

func (s *Server) add(d docsearch.Document) (id string, created bool) {
	if d.ID == "" {
		s.made++
		d.ID = "auto" + strconv.Itoa(s.made)
	}
	list, places := s.indices[d.Index], s.places[d.Index]
	if i, ok := places[d.ID]; ok {
		// A point in time may still be looking at the list as it was.
		list = slices.Clone(list)
		list[i] = d
		s.indices[d.Index] = list
		return d.ID, false
	}
	if places == nil {
		places = map[string]int{}
		s.places[d.Index] = places
	}
	places[d.ID] = len(list)
	s.indices[d.Index] = append(list, d)
	return d.ID, true
}

// Remove takes an index away.
func (s *Server) Remove(index string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.indices, index)
	delete(s.places, index)
}

// Fail lets searches and counts go wrong from now on; Faults{} ends that.
func (s *Server) Fail(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.left = f, f.Times
}

// Requests returns how many requests of a kind there were: search, count, msearch, pit, close, scroll, bulk, doc, health, info.
func (s *Server) Requests(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[kind]
}

// Open returns how many points in time and scrolls were not closed.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.points) + len(s.scrolls)
}

// failure is an answer that is an error.
type failure struct {
	status       int
	kind, reason string
	retryAfter   time.Duration
}

func (f *failure) Error() string { return f.reason }

func refuse(status int, kind, format string, args ...any) *failure {
	return &failure{status: status, kind: kind, reason: fmt.Sprintf(format, args...)}
}

// body is the form in which an error is written.
func (f *failure) body() map[string]any {
	cause := map[string]any{"type": f.kind, "reason": f.reason}
	return map[string]any{"error": map[string]any{"root_cause": []any{cause}, "type": f.kind, "reason": f.reason}, "status": f.status}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if !s.options.OpenSearch {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	out, fail := map[string]any(nil), s.authorized(r)
	if fail == nil {
		out, fail = s.route(r, body)
	}
	if fail != nil && fail.status == 0 { // no answer at all
		panic(http.ErrAbortHandler)
	}
	status := http.StatusOK
	if fail != nil {
		if out = fail.body(); fail.retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(fail.retryAfter.Seconds())))
		}
		if status = fail.status; fail.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="security" charset="UTF-8"`)
		}
	}
	cut, _ := out["cut"].(bool)
	delete(out, "cut")
	text, err := json.Marshal(out)
	if err != nil {
		panic(err) // it was read as JSON
	}
	s.write(w, r, status, text, cut)
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, text []byte, cut bool) {
	w.Header().Set("Content-Type", "application/json")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(text) // into memory
		_ = z.Close()
		text = b.Bytes()
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if cut {
		_, _ = w.Write(text[:len(text)/2])
		_ = http.NewResponseController(w).Flush() // or the client would see nothing at all
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(text)
}

func (s *Server) authorized(r *http.Request) *failure {
	o, header := s.options, r.Header.Get("Authorization")
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(o.User+":"+o.Password))
	switch {
	case o.User == "" && o.APIKey == "":
	case o.User != "" && header == basic, o.APIKey != "" && header == "ApiKey "+o.APIKey:
	default:
		return refuse(http.StatusUnauthorized, "security_exception", "unable to authenticate user for REST request [%s]", r.URL.Path)
	}
	return nil
}

// route answers a request.
func (s *Server) route(r *http.Request, body []byte) (map[string]any, *failure) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	last := parts[len(parts)-1]
	index := ""
	if !strings.HasPrefix(parts[0], "_") || parts[0] == "_all" {
		index = parts[0]
	}
	switch path := strings.Trim(r.URL.Path, "/"); {
	case path == "":
		s.saw("info")
		return s.info(), nil
	case path == "_cluster/health":
		s.saw("health")
		return map[string]any{"cluster_name": "double", "status": "green", "timed_out": false, "number_of_nodes": 1, "number_of_data_nodes": 1, "active_shards_percent_as_number": 100.0}, nil
	case path == "_search/scroll":
		return s.scrollOn(r, body)
	case path == "_pit" || path == "_search/point_in_time":
		return s.closePoint(r, body)
	case last == "_pit" || strings.HasSuffix(path, "/_search/point_in_time"):
		return s.openPoint(r, index)
	case last == "_search":
		return s.searches(r, index, body)
	case last == "_count":
		return s.counts(r, index, body)
	case last == "_msearch":
		return s.msearch(r, index, body)
	case last == "_bulk":
		return s.bulk(index, body)
	case last == "_refresh":
		return map[string]any{"_shards": shards(1, 0)}, nil
	case len(parts) >= 2 && (parts[1] == "_doc" || parts[1] == "_create"):
		return s.doc(r, index, parts, body)
	}
	return nil, refuse(http.StatusBadRequest, "illegal_argument_exception", "no handler found for uri [%s] and method [%s]", r.URL.Path, r.Method)
}

func (s *Server) saw(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[kind]++
}

func (s *Server) info() map[string]any {
	version := map[string]any{"number": s.options.Version, "build_flavor": "default"}
	if s.options.OpenSearch {
		version = map[string]any{"number": s.options.Version, "distribution": "opensearch"}
	}
	return map[string]any{"name": "double", "cluster_name": "double", "version": version, "tagline": "You Know, for Search"}
}

// object reads a body; an empty one is an empty object.
func object(text []byte) (map[string]any, *failure) {
	out := map[string]any{}
	if len(bytes.TrimSpace(text)) == 0 {
		return out, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		return nil, refuse(http.StatusBadRequest, "parsing_exception", "the body cannot be read: %v", err)
	}
	return out, nil
}
