package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/config"
)

// The search for a mistake reads a file again and again: that of one that nobody closed took minutes.
func TestALongFileThatIsNoYAMLIsRefusedSoon(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a: '" + strings.Repeat("\n", 60_000), "a: [" + strings.Repeat("\n", 60_000), "a: {" + strings.Repeat("x", 60_000)} {
		began := time.Now()
		said := problems(t, config.Options{File: write(t, map[string]string{"stint.yaml": text})})
		if !strings.HasPrefix(said, "stint.yaml:") || time.Since(began) > 20*time.Second {
			t.Errorf("%.20q...: %s after %s", text, said, time.Since(began))
		}
	}
}
