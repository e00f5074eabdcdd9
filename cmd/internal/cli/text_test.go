package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks"
)

// hostile is what somebody may write into a name, an error of a database, or an answer of a server: it clears a screen, sets a title, moves
// the cursor, rings, and turns the direction of what follows.
const hostile = "\x1b[2J\x1b]0;owned\x07\x9b1A\u009b31m\r\u202e\x00\x7f"

func TestWhatOthersWriteCommandsNoTerminal(t *testing.T) {
	t.Parallel()
	for what, print := range map[string]func(c *command, w io.Writer){
		"a cell of a table": func(_ *command, w io.Writer) {
			table := newTable("NAME")
			table.row("before" + hostile + "after")
			table.write(w)
		},
		"what people read": func(c *command, _ io.Writer) {
			if err := c.print(nil, func(w io.Writer) { fmt.Fprintf(w, "before%safter\n\tx\n", hostile) }); err != nil {
				t.Error(err)
			}
		},
		"a message": func(c *command, _ io.Writer) { c.say("before%safter", hostile) },
		"an error":  func(_ *command, w io.Writer) { complain(w, errors.New("before"+hostile+"after"), false) },
		"a hint": func(_ *command, w io.Writer) {
			complain(w, tasks.WithHint(nil, "before"+hostile+"after", "wrong"), false)
		},
	} {
		var out bytes.Buffer
		print(&command{Env: Env{Stdout: &out, Stderr: &out}}, &out)
		text := out.String()
		if i := strings.IndexFunc(strings.NewReplacer("\n", "", "\t", "").Replace(text), commands); i >= 0 || !strings.Contains(text, "before") || !strings.Contains(text, "after") {
			t.Errorf("%s prints %q", what, text)
		}
	}
}
