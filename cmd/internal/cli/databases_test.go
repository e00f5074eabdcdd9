package cli

import (
	"strings"
	"testing"

	"github.com/stint-run/stint/config"
)

func TestAParameterThatFilesDoNotHaveIsWrongUsage(t *testing.T) {
	t.Parallel()
	c := &command{config: config.Default(nil)}
	c.config.Data = t.TempDir()
	c.config.Connections = config.Connections{{Name: "old", URL: config.NewURL("ndjson:" + t.TempDir() + "?rst=reject")}}
	for text, meant := range map[string]string{"csv:" + t.TempDir() + "?delimter=x": "did you mean delimiter?", "csv:nowhere?header=maybe": "it may be 0, 1", "old": "did you mean rest?"} {
		_, err := c.database("--from", text)
		if exitCode(err) != exitUsage || !strings.Contains(hintOf(err), meant) {
			t.Errorf("%s: %v (%s), exit code %d", text, err, hintOf(err), exitCode(err))
		}
	}
	if _, err := c.database("--from", "csv:"+t.TempDir()+"?delimiter=pipe"); err != nil {
		t.Error(err)
	}
}
