package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stint-run/stint/config"
)

func TestTokensAreThereForOtherFilesWhateverIsWrongWithTheConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"stint.yaml": "tokens: {A: base, B: 'base'}\nnonsense: 1\n", "stint.staging.yaml": "tokens: {B: staging}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := config.Env{"STINT_ENVIRONMENT=staging", "A=environment", "C=environment"}
	environment, lookup := config.Tokens(config.Options{File: filepath.Join(dir, "stint.yaml"), Env: env})
	if environment != "staging" {
		t.Errorf("the environment is %q", environment)
	}
	for name, want := range map[string]string{"A": "base", "B": "staging", "C": "environment", "D": ""} {
		if got, ok := lookup(name); got != want || ok != (want != "") {
			t.Errorf("%s is %q, %v; want %q", name, got, ok, want)
		}
	}
	environment, lookup = config.Tokens(config.Options{File: filepath.Join(dir, "none.yaml"), Environment: "nowhere"})
	if _, ok := lookup("A"); ok || environment != "nowhere" {
		t.Errorf("there are tokens without a file; the environment is %q", environment)
	}
}
