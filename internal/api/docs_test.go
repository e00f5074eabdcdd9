package api

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stint-run/stint/client/wire"
)

func TestTheExamplesOfTheDocsDoWhatTheySay(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	s := h.serve()
	secret := h.token(wire.NewToken{Role: "submitter"})
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if !strings.HasPrefix(block[1], "export ") {
			script.WriteString(block[1] + "\necho\n")
		}
	}
	cmd := exec.Command("sh", "-eu", "-c", script.String())
	cmd.Env = append(os.Environ(), "STINT="+s.at(""), "STINT_TOKEN="+secret, "KIND=test", `SPEC={"stages":[2]}`)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`"role":"submitter"`, `"outcome":"created"`, `"labels":{"team":"billing"}`, `"state":"paused"`, `"state":"cancelled"`, "event: accepted", "event: cancel"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the examples print no %s:\n%s", want, out)
		}
	}
}
