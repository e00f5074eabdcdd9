package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/config"
)

// says runs a command with the variables that the examples name, and returns what it ends with and prints.
func says(args ...string) (code int, printed string) {
	var out bytes.Buffer
	code = Main(Env{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Now: time.Now,
		Vars: config.Env{"CHAT_URL=https://hooks.slack.com/services/x", "MAIL_PASSWORD=x", "SMS_TOKEN=x", "LOGS_PASSWORD=x", "HOME=/nowhere"}})
	return code, out.String()
}

func TestTheExamplesOfRulesHaveNothingThatLintFinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"alerts"}, "5 rule files: 5 right; 0 errors, 0 notes\n"},
		{[]string{"oncall/rules"}, "3 rule files: 3 right; 0 errors, 0 notes\n"},
		{[]string{"oncall/rules", "--environment", "staging", "--no-config"}, "3 rule files: 3 right, 1 disabled; 0 errors, 0 notes\n"},
	} {
		c.args[0] = filepath.Join(repository, "docs", "examples", c.args[0])
		if code, got := says(append([]string{"alert", "lint"}, c.args...)...); code != 0 || got != c.want {
			t.Errorf("%v: %d, %s", c.args, code, got)
		}
	}
	if code, got := says("config", "check", "--config", filepath.Join(repository, "docs", "examples", "oncall", "stint.yaml")); code != 0 || got != "ok\n" {
		t.Errorf("the configuration: %d, %s", code, got)
	}
}

func TestThePageOfAlertsHasItsExampleAsItIs(t *testing.T) {
	t.Parallel()
	text := page(t, "docs/alerts.md")
	for _, file := range []string{"stint.yaml", "rules/failed-logins.yaml"} {
		example, err := os.ReadFile(filepath.Join(repository, "docs", "examples", "oncall", file))
		if err != nil || !strings.Contains(text, "```yaml\n"+string(example)+"```") {
			t.Errorf("%s is not in the page as it is, %v", file, err)
		}
	}
}
