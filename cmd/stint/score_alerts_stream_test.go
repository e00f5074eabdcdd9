package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/elastictest"
)

// event is a document and when it can be searched.
type event struct {
	docsearch.Document
	since time.Time
}

// logs are the events of a time, made by a random source: requests of users to hosts, with errors that come in waves, in logs; and in
// late the same sort of events, of which each other one can be searched up to a second after its time. They are pace apart at most.
func logs(random *rand.Rand, base time.Time, length, pace time.Duration) []event {
	var out []event
	add := func(index string, at time.Time, late time.Duration, fields map[string]any) {
		fields["@timestamp"] = at.UTC().Format("2006-01-02T15:04:05.000Z07:00")
		// What comes in time may as well be there before: nobody asks for it before its time.
		since := at.Add(late - 2*time.Second)
		if late > 0 {
			since = at.Add(late)
		}
		out = append(out, event{docsearch.Document{Index: index, ID: fmt.Sprintf("%s-%d", index, len(out)), Source: fields}, since})
	}
	number := func(n int) json.Number { return json.Number(fmt.Sprint(n)) }
	for at := base.Add(-10 * time.Second); at.Before(base.Add(length)); {
		at = at.Add(5*time.Millisecond + time.Duration(random.Int64N(pace.Milliseconds()))*time.Millisecond) // never two at the same millisecond
		host := fmt.Sprint("h", random.IntN(4))
		phase := int(at.Unix()/4) % 3 // of 4 seconds each
		if host == "h1" && phase == 0 {
			continue // it is silent
		}
		level, ms := "info", 20+random.IntN(80)
		if random.IntN(100) < []int{3, 40, 10}[phase] {
			level, ms = "error", 300+random.IntN(500)
		}
		if random.IntN(40) == 0 {
			level = "fatal"
		}
		user := fmt.Sprint("u", random.IntN(6))
		if at.After(base) && random.IntN(12) == 0 {
			user = fmt.Sprint("u", 6+random.IntN(40)) // somebody new, now and then
		}
		add("logs", at, 0, map[string]any{"host": host, "level": level, "ms": number(ms), "user": user, "country": fmt.Sprint("c", random.IntN(2)), "kind": []string{"begin", "end"}[min(1, random.IntN(3))]})
		if at.After(base) && random.IntN(6) == 0 {
			late := time.Duration(random.IntN(2)) * time.Duration(50+random.IntN(900)) * time.Millisecond
			if at.Add(late).After(base.Add(length - 200*time.Millisecond)) {
				late = 0 // the last windows are evaluated as soon as they are over, and nobody looks again
			}
			add("late", at, late, map[string]any{"host": host, "level": level})
		}
	}
	return out
}

// documents are the events without their times.
func documents(list []event) []docsearch.Document {
	out := make([]docsearch.Document, len(list))
	for i, e := range list {
		out[i] = e.Document
	}
	return out
}

// ship puts events into a server as their time comes, some of them twice, until the function that it returns is called.
func ship(t *testing.T, to *elastictest.Server, list []event, random *rand.Rand) (stop func()) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b event) int { return a.since.Compare(b.since) })
	put := func(sent int) int {
		var due []docsearch.Document
		for ; sent < len(list) && !list[sent].since.After(time.Now()); sent++ {
			due = append(due, list[sent].Document)
		}
		if sent > 0 && random.IntN(5) == 0 {
			due = append(due, list[random.IntN(sent)].Document)
		}
		to.Add(due...)
		return sent
	}
	sent := put(0)
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				sent = put(sent)
			case <-over:
				return
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		close(over)
		<-ended
	})
	t.Cleanup(stop)
	return stop
}

// gate is the address of a server that can be taken away from it.
type gate struct {
	t       *testing.T
	address string
	handler http.Handler
	server  *http.Server
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ErrorLog = log.New(io.Discard, "", 0) // its clients are killed
	g := &gate{t: t, address: freeAddress(t), handler: proxy}
	g.open()
	t.Cleanup(g.close)
	return g
}

func (g *gate) open() {
	g.t.Helper()
	l, err := net.Listen("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	g.address, g.server = l.Addr().String(), &http.Server{Handler: g.handler, ReadHeaderTimeout: time.Minute}
	go func(s *http.Server) { _ = s.Serve(l) }(g.server) // ends by close
}

// close lets connections be refused, and cuts those that there are.
func (g *gate) close() { _ = g.server.Close() } // there is nobody left to tell

// ruleKinds are the rules of the score; HOST is a host, and MANY a number.
var ruleKinds = []string{
	"type: any\nindex: logs\nfilter: [{term: {level: fatal}}, {term: {host: HOST}}]\nquery_key: user\n",
	"type: frequency\nindex: logs\nfilter: [{term: {level: error}}]\nquery_key: host\nnum_events: MANY\ntimeframe: 3s\n",
	"type: flatline\nindex: logs\nfilter: [{term: {host: HOST}}]\nthreshold: 2\ntimeframe: 2s\n",
	"type: spike\nindex: logs\nfilter: [{term: {level: error}}]\nspike_height: 2\nspike_type: up\ntimeframe: 3s\nthreshold_cur: MANY\n",
	"type: change\nindex: logs\nfilter: [{term: {host: HOST}}]\nquery_key: user\ncompare_key: country\nignore_null: true\n",
	"type: cardinality\nindex: logs\nquery_key: host\ncardinality_field: user\nmax_cardinality: MANY\ntimeframe: 2s\n",
	"type: metric_aggregation\nindex: logs\nquery_key: host\nmetric_agg_key: ms\nmetric_agg_type: avg\nmax_threshold: 120\nbuffer_time: 3s\n",
	"type: new_term\nindex: logs\nfilter: [{term: {host: HOST}}]\nfields: [user]\nterms_window_size: 10s\nwindow_step_size: 5s\nuse_keyword_postfix: false\n",
	"type: percentage_match\nindex: logs\nfilter: [{term: {host: HOST}}]\nmatch_bucket_filter: [{term: {level: error}}]\nmax_percentage: 30\nmin_denominator: MANY\nbuffer_time: 3s\n",
	"type: blacklist\nindex: logs\ncompare_key: user\nblacklist: [u1, u2]\nfilter: [{term: {level: error}}, {term: {host: HOST}}]\nquery_key: user\n",
	"type: absence\nindex: logs\nquery_key: user\nfilter: [{term: {host: HOST}}]\nfirst: [{term: {kind: begin}}]\nthen: [{term: {kind: end}}]\ntimeframe: 2s\n",
	"type: frequency\nindex: late\nfilter: [{term: {host: HOST}}]\nnum_events: MANY\ntimeframe: 5s\nquery_delay: 3s\n",
	"type: any\nindex: late\nfilter: [{term: {host: HOST}}]\nquery_key: host\nrealert: 0s\n",
}

// lateKind is the rule among ruleKinds that counts events which come late as soon as they are there: when that is depends on when it is
// evaluated, that each is counted once does not.
var lateKind = len(ruleKinds) - 1

// writeRules writes a folder of rules of all kinds.
func writeRules(t *testing.T, n int, realert time.Duration) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for i := range n {
		kind, round := i%len(ruleKinds), i/len(ruleKinds)
		text := fmt.Sprintf("name: rule %03d\nrun_every: 1s\n", i) + strings.NewReplacer("HOST", fmt.Sprint("h", round%4), "MANY", fmt.Sprint(3+round%3)).Replace(ruleKinds[kind])
		if !strings.Contains(text, "buffer_time") {
			text += "buffer_time: 6s\n"
		}
		if !strings.Contains(text, "realert") {
			text += fmt.Sprintf("realert: %s\n", realert)
		}
		switch {
		case kind == lateKind:
			text += "escalate: [{after: 0s, to: [hook]}]\n"
		case i%3 == 0:
			text += "escalate: [{after: 0s, to: [hook, chat]}, {after: 4s, to: [mail, pager]}]\nresolve_after: 6s\n"
		case i%3 == 1:
			text += "alert: [hook, chat, loud]\nresolve_after: 9s\n"
		default:
			text += "alert: [pager, mail, hook]\n"
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("rule-%03d.yaml", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
