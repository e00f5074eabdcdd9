package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/redistest"
)

// open makes a process on a Redis of its own, with an admin port.
func open(t *testing.T) (a *App, url string) {
	t.Helper()
	a, err := New(t.Context(), Options{Redis: config.Redis{Topology: config.Single, URL: config.NewURL(redistest.New(t).URL())}, Version: "1.2.3", Log: slog.New(slog.DiscardHandler), Heartbeat: 100 * time.Millisecond, DrainTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := a.OpenAdmin("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return a, "http://" + a.admin.listener.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestAProcessAnswersAboutItselfUntilItsWorkerHasEnded(t *testing.T) {
	t.Parallel()
	a, url := open(t)
	if err := a.StartScheduler(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	late := 0
	a.ends = append([]end{{"what is stopped last", func(context.Context) error { late, _ = get(t, url+"/livez"); return nil }}}, a.ends...)
	during := 0
	// Ends run backwards: this one is called when the worker has ended and the port has not.
	for i, e := range a.ends {
		if e.name == "admin port" {
			stop := e.stop
			a.ends[i].stop = func(ctx context.Context) error {
				during, _ = get(t, url+"/drained")
				return stop(ctx)
			}
		}
	}
	a.ServeAdmin(nil)
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		code, text := get(t, url+"/readyz")
		if code == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %d %s", code, text)
		}
	}
	if code, text := get(t, url+"/status"); code != 200 || !strings.Contains(text, a.Worker.ID()) || !strings.Contains(text, `"version":"1.2.3"`) {
		t.Errorf("%d %s", code, text)
	}
	list, err := a.Store.Workers(t.Context(), time.Minute)
	if err != nil || len(list) != 1 || "http://"+list[0].Admin != url {
		t.Errorf("the fleet is told to look at %+v, %v; want %s", list, err, url)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if during != 200 || late != 0 {
		t.Errorf("after its worker had ended the port answered %d, and after its own end %d", during, late)
	}
}

func TestAPortThatWasOpenedAndNeverServedIsClosed(t *testing.T) {
	t.Parallel()
	a, url := open(t)
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, _ := get(t, url+"/livez"); code != 0 {
		t.Errorf("somebody answers: %d", code)
	}
}

func TestAWorkerDrainsFromTheBeginningOfTheEnd(t *testing.T) {
	t.Parallel()
	a, _ := open(t)
	if err := a.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	state := ""
	a.onStop("an API with a request that takes long", func(ctx context.Context) error {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			if state = a.Worker.State(); state == wire.WorkerDrained {
				break
			}
			<-tick.C
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := a.Stop(ctx); err != nil || state != wire.WorkerDrained {
		t.Errorf("the worker is %s while the API waits for its last request; %v", state, err)
	}
}
