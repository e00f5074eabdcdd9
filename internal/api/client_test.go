package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
)

// The client is tested here, beside the server that it speaks to: it may import nothing of the engine.

func (h *house) dial(server, token string) *client.Client {
	h.t.Helper()
	c, err := client.New(client.Options{Server: server, Token: token, HTTP: h.client})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func TestAnAddressWhosePasswordIsNotToldFromTheRestIsShownNowhere(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"http://me:x@y/hunter2@h", "https://me:5/hunter2@h", "http://me:x@h#hunter2", "http://me:hunter2@h:port", "ftp://me:hunter2@h", "https://me:x@hunter2@h"} {
		_, err := client.New(client.Options{Server: address})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", address, err)
		}
		if shown := place(address); strings.Contains(shown, "hunter2") {
			t.Errorf("%s is shown as %s in a report", address, shown)
		}
	}
	if _, err := client.New(client.Options{Server: "https://me:p%40ss@h/base"}); err != nil {
		t.Error(err)
	}
}

func TestTheClientTellsProblemsFromServersThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.dial(h.serve().at(""), "")
	_, err := c.Job(t.Context(), "nope")
	var p *wire.Problem
	if !errors.As(err, &p) || p.Code != wire.CodeNotFound || p.Status != http.StatusNotFound {
		t.Errorf("of a job that is not there: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	_ = l.Close()
	var away *client.Unreachable
	if _, err := h.dial(nobody, "").Workers(t.Context()); !errors.As(err, &away) {
		t.Errorf("of a server that is not there: %v", err)
	}
	for _, bad := range []string{"", "127.0.0.1:7800", "ftp://x", "http://"} {
		if _, err := client.New(client.Options{Server: bad}); err == nil {
			t.Errorf("%q is taken for the address of a server", bad)
		}
	}
}

func TestTheClientSubmitsOnceWhileItsServerComesAndGoes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := h.serve()
	c := h.dial(first.at(""), "")
	s := wire.Submission{Kind: "test", Spec: []byte(`{"stages":[2]}`), Labels: map[string]string{"order": "1"}}
	one, err := c.Submit(t.Context(), "order-1", s)
	if err != nil || one.Outcome != wire.OutcomeCreated {
		t.Fatalf("%+v, %v", one, err)
	}
	again, err := c.Submit(t.Context(), "order-1", s)
	if err != nil || again.ID != one.ID || again.Outcome != wire.OutcomeExists {
		t.Errorf("%+v, %v", again, err)
	}
	page, err := c.Jobs(t.Context(), client.Filter{Kind: "test", Labels: map[string]string{"order": "1"}, Limit: 10})
	if err != nil || len(page.Jobs) != 1 || page.Jobs[0].ID != one.ID {
		t.Errorf("%+v, %v", page, err)
	}
	if done, err := c.Control(t.Context(), one.ID, client.Pause); err != nil || done.State != "paused" {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestTheClientWatchesAJobToItsEndThroughServersThatStop(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a, b := h.api(), h.api()
	first, second := h.start(a, ServerOptions{}), h.start(b, ServerOptions{})
	// One address, behind which first one server answers and then the other.
	var behind = make(chan string, 1)
	behind <- first.Addr()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		addr := <-behind
		behind <- addr
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(client.Options{Server: "http://127.0.0.1:1", HTTP: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	h.job("j", "")
	h.events("j", 30)
	seen := map[string]int{}
	err = c.Watch(t.Context(), "j", "", func(e wire.Event) error {
		seen[e.ID]++
		switch len(seen) {
		case 10: // the server goes, and another one is there
			<-behind
			behind <- second.Addr()
			return first.Stop(t.Context())
		case 31:
			h.events("j", 20)
			if _, err := h.st.Control(t.Context(), "j", store.Cancel, "me", ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := h.st.Events(t.Context(), "j", "", 1000)
	if err != nil || len(seen) != len(all) {
		t.Errorf("%d of %d events were seen, %v", len(seen), len(all), err)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("event %s came %d times", id, n)
		}
	}
}

func TestTheClientKeepsSchedulesFencesLimitsAndTokens(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ctx := t.Context()
	c := h.dial(h.serve().at(""), "")
	d := wire.ScheduleDefinition{Every: "1h", Job: wire.ScheduleJob{Kind: "test", Spec: []byte(`{"stages":[1]}`)}}
	sc, err := c.PutSchedule(ctx, "hourly", "", d)
	if err != nil || sc.Version == "" || sc.Origin != wire.OriginAPI {
		t.Fatalf("%+v, %v", sc, err)
	}
	d.Every = "2h"
	if _, err := c.PutSchedule(ctx, "hourly", "another", d); !isProblem(err, wire.CodeChanged) {
		t.Errorf("a schedule was replaced that had changed: %v", err)
	}
	if sc, err = c.PutSchedule(ctx, "hourly", sc.Version, d); err != nil || sc.Every != "2h" {
		t.Errorf("%+v, %v", sc, err)
	}
	one, err := c.RunSchedule(ctx, "hourly", "key")
	two, err2 := c.RunSchedule(ctx, "hourly", "key")
	if err != nil || err2 != nil || one.ID != two.ID || one.Job == "" {
		t.Errorf("%+v, %+v, %v, %v", one, two, err, err2)
	}
	if ticks, err := c.Ticks(ctx, "hourly", 10); err != nil || len(ticks) != 1 || !ticks[0].Manual {
		t.Errorf("%+v, %v", ticks, err)
	}
	if sc, err := c.PauseSchedule(ctx, "hourly"); err != nil || !sc.Paused {
		t.Errorf("%+v, %v", sc, err)
	}
	if err := errors.Join(c.DeleteSchedule(ctx, "hourly"), c.SetLimits(ctx, "acme", wire.Limits{RunningJobs: 2}), c.BeginMaintenance(ctx, "test", "why")); err != nil {
		t.Error(err)
	}
	if _, err := c.SetFence(ctx, wire.Fence{Version: "<2.0", Reason: "release"}, false); err != nil {
		t.Error(err)
	}
	fences, err := c.Fences(ctx)
	if err != nil || len(fences) != 1 || fences[0].Version != "<2.0" || fences[0].By == "" {
		t.Errorf("%+v, %v", fences, err)
	}
	if _, err := c.SetFence(ctx, wire.Fence{Version: "<<2"}, false); !isProblem(err, wire.CodeBadRequest) {
		t.Errorf("a fence that cannot be read: %v", err)
	}
	tenants, err := c.Tenants(ctx)
	kinds, err2 := c.Kinds(ctx)
	if err := errors.Join(err, err2, c.LiftFences(ctx), c.EndMaintenance(ctx, "test")); err != nil || len(tenants) != 1 || fmt.Sprint(kinds) == "" {
		t.Errorf("%+v, %+v, %v", tenants, kinds, err)
	}
	made, err := c.MakeToken(ctx, wire.NewToken{Name: "ops", Role: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	mine := h.dial(h.serve().at(""), made.Secret)
	about, err := mine.About(ctx)
	if err != nil || about.Name != "ops" || about.Role != "admin" {
		t.Errorf("%+v, %v", about, err)
	}
	trail, err := mine.Audit(ctx, "", 5)
	if err != nil || len(trail.Entries) != 5 || trail.Next == "" {
		t.Errorf("%+v, %v", trail, err)
	}
	if err := mine.RevokeToken(ctx, made.ID); err != nil {
		t.Error(err)
	}
}

func isProblem(err error, code string) bool {
	var p *wire.Problem
	return errors.As(err, &p) && p.Code == code
}

// A drain by version may be a constraint, as a fence may.
func TestWorkersAreChosenByAConstraintOnTheirVersion(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i, v := range []string{"1.4.0", "1.9.0-rc.1", "2.0.0", "dev"} {
		h.beat(wire.Worker{ID: fmt.Sprint("w", i), Version: v, Protocol: 1, Queues: []string{"default"}, StartedAt: time.Now()})
	}
	c := h.dial(h.serve().at(""), "")
	for _, try := range []struct {
		s    wire.Selection
		want string
	}{
		{wire.Selection{Version: "<2.0"}, "[w0 w1]"}, {wire.Selection{Version: "2.0.0"}, "[w2]"}, {wire.Selection{NotVersion: "2.0.0"}, "[w0 w1 w3]"},
		{wire.Selection{Version: "dev"}, "[w3]"}, {wire.Selection{Version: "<2.0", NotVersion: "1.4.0"}, "[w0 w1 w2 w3]"},
	} {
		try.s.Force = true
		if got, err := c.Drain(t.Context(), try.s); err != nil || fmt.Sprint(got) != try.want {
			t.Errorf("%+v: %v, %v, want %s", try.s, got, err, try.want)
		}
	}
	if _, err := c.Drain(t.Context(), wire.Selection{Version: ">>1"}); !isProblem(err, wire.CodeBadRequest) {
		t.Errorf("a constraint that cannot be read: %v", err)
	}
}

func TestACommandThatDoesNotReadItsAnswerIsInTheTrailAsItWasAnswered(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c, err := client.New(client.Options{Server: "http://stint", HTTP: &http.Client{Transport: InProcess(h.api(), "alice")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetLimits(t.Context(), "acme", wire.Limits{RunningJobs: 2}); err != nil {
		t.Fatal(err)
	}
	trail, _, err := h.st.AuditTrail(t.Context(), "", 10)
	if err != nil || len(trail) != 1 || trail[0].Status != http.StatusOK {
		t.Errorf("%+v %v", trail, err)
	}
}

func TestAScheduleOfAnotherTenantIsToldFromNoneByNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	sc := wire.Schedule{Name: "theirs", Every: "1h", Job: wire.ScheduleJob{Kind: "test", Tenant: "acme", Spec: json.RawMessage(`{}`)}}
	if _, _, err := h.st.PutSchedule(t.Context(), sc, wire.OriginAPI, store.AnyVersion); err != nil {
		t.Fatal(err)
	}
	c := h.dial(h.serve().at(""), h.token(wire.NewToken{Role: "operator", Tenants: []string{"other"}}))
	for _, name := range []string{"theirs", "nobodys"} {
		_, err := c.Schedule(t.Context(), name)
		var p *wire.Problem
		if !errors.As(err, &p) || p.Status != http.StatusNotFound || p.Detail != fmt.Sprintf("there is no schedule %q", name) || p.Hint == "" {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// A caller whose time runs out in the middle of an answer is no fault of the server: nothing of it is for the log.
func TestACallerWhoGoesAwayIsNoFaultOfTheServer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 200 {
		h.beat(wire.Worker{ID: fmt.Sprint("w", i), Version: "1.0.0", Protocol: 1, Queues: []string{"default"}})
	}
	a := h.api()
	c, err := client.New(client.Options{Server: "http://stint.local", HTTP: &http.Client{Transport: InProcess(a, "test")}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 150 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*200*time.Microsecond)
		_, _ = c.Workers(ctx)
		cancel()
	}
	if h.log.Count("panicked") > 0 || h.log.Count("level=ERROR") > 0 {
		t.Errorf("%d panics, %d errors in the log", h.log.Count("panicked"), h.log.Count("level=ERROR"))
	}
}
