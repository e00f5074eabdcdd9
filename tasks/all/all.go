// Package all is the list of families. A new one is a folder beside this one, and a line here.
package all

import (
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert"
	"github.com/stint-run/stint/tasks/builder"
	"github.com/stint-run/stint/tasks/cleanup"
	"github.com/stint-run/stint/tasks/dedupe"
	"github.com/stint-run/stint/tasks/migration"
)

// Options are what the families share with their process.
type Options struct {
	Databases *migration.Databases
	Retire    cleanup.Retire // forgets old jobs
	Alert     alert.Options
	Build     builder.Options
	Version   string // of this build
}

// Families lists every family that this build can carry out.
func Families(o Options) []tasks.Family {
	builds := builder.New(o.Build)
	families := []tasks.Family{
		migration.New(o.Databases),
		migration.NewVerifier(o.Databases),
		migration.NewCatchUp(o.Databases),
		cleanup.New(o.Retire),
		alert.New(o.Alert),
		builds,
		builder.NewRetention(builds),
	}
	return append(families, dedupe.Families(dedupe.Options{Open: o.Databases.Open, Artifacts: o.Databases.Artifacts, Version: o.Version})...)
}
