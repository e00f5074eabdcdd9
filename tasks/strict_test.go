package tasks_test

import (
	"encoding/json"
	"testing"

	"github.com/stint-run/stint/tasks"
)

func TestASpecIsOneValueOfKnownFields(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]bool{`{"a":1}`: true, " {\"a\":1}\n": true, `{}`: true, ``: false, `{"b":1}`: false, `{"a":1}0`: false, `{"a":1}{"a":2}`: false, `{"a":1}]`: false, `{"a":"x"}`: false} {
		var into struct{ A int }
		if err := tasks.DecodeStrictly(json.RawMessage(spec), &into); (err == nil) != want {
			t.Errorf("%q: %v", spec, err)
		}
	}
}
