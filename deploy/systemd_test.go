package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// units lists the systemd units by the name of their file.
func units(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("systemd/*.service")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no units: %v", err)
	}
	list := map[string]string{}
	for _, path := range paths {
		list[filepath.Base(path)] = read(t, filepath.Join("deploy", path))
	}
	return list
}

func TestUnitsDrainOnSIGTERMAndStayEndedWhereARestartMendsNothing(t *testing.T) {
	t.Parallel()
	for name, text := range units(t) {
		for _, line := range []string{"Type=exec", "Restart=on-failure", "RestartPreventExitStatus=2", "KillSignal=SIGTERM", "KillMode=mixed",
			"DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet="} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%s does not say %s", name, line)
			}
		}
		// systemd looks at RestartPreventExitStatus for the main process alone.
		if strings.Contains(text, "\nExecStartPre=") {
			t.Errorf("%s has an ExecStartPre: a mistake in the configuration would restart it for ever", name)
		}
	}
}

// program is the one word of a unit that is not on the machine of a test.
var program = regexp.MustCompile(`/opt/stint/(%i|current)/stint`)

func TestUnitsAreUnderstoodBySystemd(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not here: only what the other test looks at is known of the units")
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range units(t) {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(program.ReplaceAllLiteralString(text, self)), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
