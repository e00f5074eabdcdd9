package app

import (
	"context"
	"net"
	"net/http"

	"github.com/stint-run/stint/internal/admin"
)

// adminPort is where this process answers about itself; the zero value is no port.
type adminPort struct {
	listener net.Listener
	server   *admin.Server
}

// OpenAdmin opens the port on which this process answers about itself; spec is as for admin.Listen. Call it before StartWorker:
// a worker announces where it answers with its first heartbeat, and the port has to outlive the drain. Requests wait until
// ServeAdmin.
func (a *App) OpenAdmin(spec string) error {
	l, err := admin.Listen(spec)
	if err != nil || l == nil {
		return err
	}
	a.admin.listener = l
	a.onStop("admin port", func(ctx context.Context) error {
		if a.admin.server == nil {
			return l.Close()
		}
		return a.admin.server.Stop(ctx)
	})
	return nil
}

// ServeAdmin answers on the port that OpenAdmin opened, about the worker and the scheduler that have been started by now, until
// both have ended. metrics may be nil. Without a port it does nothing.
func (a *App) ServeAdmin(metrics http.Handler) {
	if a.admin.listener == nil {
		return
	}
	o := admin.Options{Metrics: metrics, Version: a.o.Version, Log: a.o.Log}
	if a.Worker != nil {
		o.Worker = a.Worker
	}
	if a.scheduler != nil {
		o.Scheduler = a.scheduler
	}
	a.admin.server = admin.New(a.admin.listener, o)
	a.admin.server.Start()
	a.o.Log.Info("answers about itself", "at", admin.Address(a.admin.listener))
}
