// Command stint runs long operations as small steps that survive any deployment.
package main

import (
	"os"

	"github.com/stint-run/stint/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(cli.System())) }
