package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/telemetry"
)

// farewell is how long a process that ends waits for its collector to take what is left. A command's user waits for it, too.
const farewell = 2 * time.Second

// processID names this process and start: its worker in the fleet, and its telemetry.
func processID() string {
	host, _ := os.Hostname() // "" is no more than less to read
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), store.RandomID()[:6])
}

// startTelemetry comes before all else and ends after it, so that nothing is left out. From then on log lines name their trace.
func (a *App) startTelemetry(ctx context.Context) error {
	if a.o.Log == nil {
		a.o.Log = slog.Default()
	}
	a.o.Log = slog.New(telemetry.LogHandler(a.o.Log.Handler()))
	o := a.o.Telemetry
	o.Version, o.Instance, o.Log = a.o.Version, a.id, a.o.Log
	t, err := telemetry.Start(ctx, o)
	if err != nil {
		return err
	}
	a.telemetry = t
	a.onStop("telemetry", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, farewell)
		defer cancel()
		// What cannot be sent is in the log. It must not turn a command that went well into one that failed.
		_ = t.Shutdown(ctx)
		return nil
	})
	return nil
}

// MetricsHandler answers /metrics of this process, on whatever port.
func (a *App) MetricsHandler() http.Handler { return a.telemetry.MetricsHandler() }

// observeFleet lets the metrics tell of the whole fleet as long as the API answers.
func (a *App) observeFleet(service *api.API) {
	a.telemetry.ObserveFleet(service.Fleet)
	a.onStop("metrics of the fleet", func(context.Context) error {
		a.telemetry.ObserveFleet(nil)
		return nil
	})
}
