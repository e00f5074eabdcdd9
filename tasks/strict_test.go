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

func TestAKeyThatStandsTwiceIsAnErrorWithItsPlace(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		`{"a":1,"a":2}`: "a stands there twice",
		`{"a":{"x":[1,{"y":[[],{}],"":0}],"x":3}}`:                    "a.x stands there twice",
		`{"a":[{"x":1},[{"x":1},{"x":{},"y":0,"x":1}]]}`:              "a[1][1].x stands there twice",
		`{"a":[{"x":"x"},{"x":"a","y":["x","x"]},"a","a",{"a":"a"}]}`: "",
	} {
		var into struct{ A any }
		err := tasks.DecodeStrictly(json.RawMessage(spec), &into)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
}
