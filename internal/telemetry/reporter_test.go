package telemetry

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestTheLogHearsOfACollectorThatIsAwayOnceAMinuteAtMost(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	now := time.Unix(0, 0)
	r := newReporter(slog.New(slog.NewTextHandler(&log, nil)), "traces", "host:4317")
	r.now = func() time.Time { return now }
	said := func() string {
		text := log.String()
		log.Reset()
		return text
	}
	away := errors.New("connection refused")
	r.exported(nil, 5)
	if got := said(); got != "" {
		t.Errorf("all is well, and it says %s", got)
	}
	r.exported(away, 5)
	if got := said(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "host:4317") || !strings.Contains(got, "lost=5") {
		t.Errorf("at first: %s", got)
	}
	for range 11 {
		now = now.Add(5 * time.Second)
		r.exported(away, 5)
	}
	if got := said(); got != "" {
		t.Errorf("within the minute: %s", got)
	}
	now = now.Add(5 * time.Second)
	r.exported(away, 5)
	if got := said(); !strings.Contains(got, "lost=65") {
		t.Errorf("after a minute: %s", got)
	}
	now = now.Add(5 * time.Second)
	r.exported(nil, 5)
	if got := said(); !strings.Contains(got, "level=INFO") || !strings.Contains(got, "away=1m5s") || !strings.Contains(got, "lost=65") {
		t.Errorf("when it is back: %s", got)
	}
	for range 11 { // a collector that comes and goes
		now = now.Add(time.Second)
		r.exported(away, 5)
		r.exported(nil, 5)
	}
	if got := said(); got != "" {
		t.Errorf("while it comes and goes: %s", got)
	}
}
