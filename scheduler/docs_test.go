package scheduler

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/stint-run/stint/client/wire"
)

func TestTheScheduleInTheDocumentationCanBeMeant(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/schedules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, sample, _ := strings.Cut(string(text), "```yaml\n")
	sample, _, _ = strings.Cut(sample, "```")
	var file any
	if err := yaml.Unmarshal([]byte(sample), &file); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Schedules []wire.Schedule `json:"schedules"`
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&config); err != nil || len(config.Schedules) != 2 {
		t.Fatalf("%+v, %v", config, err)
	}
	if err := CheckSchedules(config.Schedules); err != nil {
		t.Error(err)
	}
}
