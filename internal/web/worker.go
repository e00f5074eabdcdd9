package web

import (
	"slices"
	"strings"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/api"
)

// workerBody is one worker.
type workerBody struct {
	wire.Worker
	Steer   bool
	Asked   bool // it drains, has drained, or was asked to
	Holds   []holding
	Unsaid  int      // steps that it holds, and that no job which the reader may see has out
	Alone   []string // queues that nobody else serves
	Command string
}

func (s *Site) worker(v *visit) (content, error) {
	w, err := v.client.Worker(v.ctx, v.PathValue("id"))
	if err != nil {
		return content{}, err
	}
	b := workerBody{Worker: *w, Steer: steers(v.me), Asked: drains(*w), Command: "stint workers drain " + shellWord(w.ID) + " --wait"}
	switch w.State {
	case wire.WorkerStopped, wire.WorkerLost:
	default:
		if w.InFlight > 0 {
			if b.Holds, err = s.heldBy(v, []wire.Worker{*w}); err != nil {
				return content{}, err
			}
		}
		b.Unsaid = max(0, w.InFlight-len(b.Holds))
		all, err := v.client.Workers(v.ctx)
		if err != nil {
			return content{}, err
		}
		b.Alone = alone(all, w.ID)
	}
	return content{Title: "Worker " + w.ID, Body: b, Still: w.State == wire.WorkerStopped}, nil
}

// alone names the queues that would have no worker without one, without their protocols.
func alone(ws []wire.Worker, id string) []string {
	var list []string
	for _, name := range api.LeftAlone(ws, []string{id}) {
		name, _, _ = strings.Cut(name, " (")
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}
