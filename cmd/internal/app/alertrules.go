package app

import (
	"context"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// PublishRules makes the rules of this process' folder those that are evaluated, as the scheduler of a fleet does it, without making
// their schedule: for a command that has an engine of its own. A rule with a mistake is left out, and so is one that was there before;
// it returns those mistakes.
func (a *App) PublishRules(ctx context.Context) ([]string, error) {
	if a.o.Alerts.Rules == "" {
		return nil, tasks.WithHint(nil, "set alerts.rules to their folder", "there are no alert rules")
	}
	x := a.alerting()
	set, problems := rule.Load(x.files())
	next, err := x.set(ctx, &set, problems)
	if err != nil {
		return nil, err
	}
	return next.Problems, x.store.Publish(ctx, next)
}
