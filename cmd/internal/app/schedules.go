package app

import (
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/config"
)

// schedules are those of the configuration in the words of the store.
func schedules(list config.Schedules) []wire.Schedule {
	out := make([]wire.Schedule, 0, len(list))
	for _, c := range list {
		sc := wire.Schedule{Name: c.Name, Cron: c.Cron, Every: duration(c.Every), Jitter: duration(c.Jitter), Missed: c.Missed, Overlap: c.Overlap,
			Deadline: duration(c.Deadline), Paused: c.Paused, Job: wire.ScheduleJob{Kind: c.Kind, Tenant: c.Tenant, Spec: c.Spec, Labels: c.LabelMap(),
				Priority: c.Priority, Window: c.Window, Queue: c.Queue}}
		if c.Cron != "" { // an interval has a time zone by default, and nothing to read in it
			sc.Timezone = c.Timezone
		}
		out = append(out, sc)
	}
	return out
}

// duration is "" for none.
func duration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}
