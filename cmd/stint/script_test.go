package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stint-run/stint/cmd/internal/rig"
)

// The scripts are what a person types, and what they see: one for each command, and some for what goes wrong. They may use,
// besides the commands of testscript:
//
//	exits CODE COMMAND...      runs a command, which must end with that exit code; stdout and stderr may be looked at then
//	exits CODE unprivileged COMMAND...   the same without the rights of root
//	start NAME COMMAND...      starts a process, whose stderr goes to NAME.log
//	signal NAME TERM|KILL|STOP|CONT      sends it a signal
//	ended NAME CODE            waits for its end; -1 by a signal
//	until PATTERN COMMAND...   runs a command again and again until what it writes matches
//	sql URL STATEMENT...       runs statements in sqlite:FILE or postgres://
//	query URL SQL WANT         runs a query of one text, which must give that
//	postgres NAME, redis NAME  sets $NAME to the URL of an empty database, of an empty Redis
//	serving NAME VARIABLE      waits until the process serves the API, and sets $VARIABLE to its URL
//	token SERVER ROLE FILE [BY]      has the server make a token, for the one in the file BY; the first one is for anybody
//	redis NAME with LINE...    the same, with lines of redis.conf
//	json PATH [WANT]           the last stdout, as JSON, must have that value at .a.b[0]
//	mode OCTAL FILE...         chmod, for the user of unprivileged, too
func TestScripts(t *testing.T) {
	t.Parallel()
	bin := rig.Build(t)
	root := openDir(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		WorkdirRoot:         root,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			return name == "tmpfs" && exec.Command("unshare", "-m", "mount", "-t", "tmpfs", "none", root).Run() == nil, nil
		},
		Setup: func(e *testscript.Env) error {
			if err := os.Chmod(e.WorkDir, 0o777); err != nil {
				return err
			}
			e.Setenv("PATH", filepath.Dir(bin)+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("STINT_DATA", filepath.Join(e.WorkDir, ".data"))
			e.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "start": start, "signal": signal, "ended": ended, "until": until, "sql": runSQL, "query": query,
			"postgres": postgresFor(t), "redis": redisFor(t), "json": jsonAt, "serving": serving, "token": token, "mode": mode,
		},
	})
}

// openDir makes a folder that everybody may enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "stint-script-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// absolute turns sqlite:FILE of a script into one that this process can open.
func absolute(ts *testscript.TestScript, url string) string {
	if file, ok := strings.CutPrefix(url, "sqlite:"); ok {
		return "sqlite:" + ts.MkAbs(file)
	}
	return url
}

func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: sql URL STATEMENT...")
	}
	ts.Check(rig.Execute(context.Background(), absolute(ts, args[0]), args[1:]...))
}

func query(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 || neg {
		ts.Fatalf("usage: query URL SQL WANT")
	}
	db, err := rig.Look(context.Background(), absolute(ts, args[0]))
	ts.Check(err)
	defer db.Close()
	var got []string
	ts.Check(db.Texts(context.Background(), args[1], func(text string) { got = append(got, text) }))
	if have := strings.Join(got, "\n"); have != args[2] {
		ts.Fatalf("%s\ngives %q, want %q", args[1], have, args[2])
	}
}
