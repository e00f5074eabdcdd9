package publish

import (
	"context"
	"errors"

	"github.com/stint-run/stint/tasks"
)

// Gate is an environment as a version sees it.
type Gate struct {
	Environment string
	Stands      string // the version that stands there; "" when none does
	Here        bool   // it is this one
	Shut        error  // why it may not stand there; nil when it may
}

// Look says of each environment whether a version may stand there now, by the rules of Promote. It changes nothing.
func (e *Environments) Look(ctx context.Context, product, version string) ([]Gate, error) {
	list := make([]Gate, 0, len(e.order))
	for i, env := range e.order {
		history, err := e.sequences(ctx, env.Name, product)
		if err != nil {
			return nil, err
		}
		g := Gate{Environment: env.Name}
		if len(history) > 0 {
			now, err := e.record(ctx, env.Name, product, history[len(history)-1])
			if err != nil {
				return nil, err
			}
			g.Stands, g.Here = now.Version, now.Version == version
		}
		if !g.Here {
			p := Promotion{Environment: env.Name, Product: product, Version: version}
			_, err = e.gate(ctx, env, p)
			if err == nil && i > 0 {
				_, err = e.before(ctx, e.order[i-1].Name, p, history)
			}
			if err != nil && !tasks.IsPermanent(err) && !errors.Is(err, ErrGate) {
				return nil, err
			}
			g.Shut = err
		}
		list = append(list, g)
	}
	return list, nil
}
