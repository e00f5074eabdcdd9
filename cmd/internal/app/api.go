package app

import (
	"context"
	"fmt"
	"net/http"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/web"
)

// API makes the service that answers requests. Nothing listens yet.
func (a *App) API() *api.API {
	return api.New(api.Options{Store: a.Store, Producer: a.Producer, Families: a.Families(), Version: a.o.Version, LostAfter: a.o.LostAfter,
		MaxBody: a.o.MaxBody, ReadTimeout: a.o.API.ReadTimeout, RequestsPerSecond: a.o.RequestsPerSecond, Log: a.o.Log, Allow: a.Allow,
		Telemetry: a.telemetry, Metrics: a.MetricsHandler(), Alerts: a.alertsForAPI()})
}

// alertsForAPI is what there is of alerts for a server to show and act on.
func (a *App) alertsForAPI() *api.Alerts {
	x := a.alerting()
	out := &api.Alerts{Store: x.store, Rules: x.watch.Rules}
	if key := a.o.Alerts.LinkKey.Reveal(); key != "" {
		out.Sign = func(alert, message string) string { return LinkSignature(key, alert, message) }
	}
	return out
}

// StartAPI listens until Stop, with the dashboard. It returns where.
func (a *App) StartAPI(ctx context.Context) (string, error) {
	service := a.API()
	site, err := web.New(web.Options{API: service, Log: a.o.Log,
		Dedupe: web.DedupeDefaults{Spec: DedupeSpec(a.o.Dedupe, a.o.Dedupe.Store), Apply: DedupeApply(a.o.Dedupe, 0)}})
	if err != nil {
		return "", fmt.Errorf("make the dashboard: %w", err)
	}
	o := a.o.API
	o.Pages = site.Handler()
	s, err := service.Start(ctx, o)
	if err != nil {
		return "", err
	}
	a.observeFleet(service)
	a.onStop("API", s.Stop)
	return s.Addr(), nil
}

// Client returns a client of this very process' API, which may do everything: what a command line does without a server.
func (a *App) Client() (*client.Client, error) {
	service := a.API()
	a.onStop("requests", func(context.Context) error { service.Flush(); return nil })
	c, err := client.New(client.Options{Server: "http://stint.local", HTTP: &http.Client{Transport: api.InProcess(service, "command line")}})
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return c, nil
}
