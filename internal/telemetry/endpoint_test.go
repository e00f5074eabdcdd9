package telemetry

import (
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks"
)

func TestAnEndpointIsUnderstoodInTheFormsThatPeopleWrite(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ text, protocol, traces string }{
		{"localhost", "", "http://localhost:4317"},
		{"localhost:4317", "", "http://localhost:4317"},
		{"localhost:4318", "", "http://localhost:4318/v1/traces"},
		{"127.0.0.1:9", "grpc", "http://127.0.0.1:9"},
		{"[::1]:4317", "", "http://[::1]:4317"},
		{"collector:4317", "", "https://collector:4317"},
		{"collector", "http", "https://collector:4318/v1/traces"},
		{"http://collector", "", "http://collector:4317"},
		{"http://collector", "http", "http://collector:4318/v1/traces"},
		{"http://collector:4317/", "", "http://collector:4317/"},
		{"https://otlp.example.com/otlp/", "http", "https://otlp.example.com:443/otlp/v1/traces"},
		{"https://otlp.example.com", "grpc", "https://otlp.example.com:443"},
	} {
		got, err := parseEndpoint(tc.text, tc.protocol)
		if err != nil || got.signal("traces") != tc.traces {
			t.Errorf("%s by %q: %s, want %s (%v)", tc.text, tc.protocol, got.signal("traces"), tc.traces, err)
		}
	}
}

func TestAnEndpointThatIsNoneIsRefusedWithoutRepeatingIt(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"http://", "://x", "ftp://secret", "http://user:secret@host:4317", "host:4317/secret", "http://host?secret=1", "http://secret:port", ""} {
		_, err := parseEndpoint(text, "")
		if err == nil || tasks.HintOf(err) == "" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
