// Command stint runs long operations as small steps that survive any deployment.
package main

import (
	"os"

	"github.com/stint-run/stint/cmd/internal/cli"
	"github.com/stint-run/stint/tasks/builder/sandbox"
)

func main() {
	sandbox.Main() // a build's command is watched by this program, started again
	os.Exit(cli.Main(cli.System()))
}
