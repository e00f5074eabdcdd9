// Command supply looks at what stint is made of that others have written: known weaknesses of the modules in a binary, their licences, and a
// bill of materials. `make vuln`, `make licences` and `make sbom` run it from the root of the repository.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

const usage = `usage: go run ./scripts/supply vuln BINARY [DATABASE]   known weaknesses; DATABASE is a URL, else the public one, else the snapshot
       go run ./scripts/supply snapshot [VERSION]        renew the snapshot of the database from the module golang.org/x/vulndb
       go run ./scripts/supply licences                  write docs/licences.md; an error where a licence is not on the list
       go run ./scripts/supply sbom BINARY FILE          write a bill of materials of a binary`

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "supply:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	command, args := first(args)
	one, rest := first(args)
	two, more := first(rest)
	switch {
	case len(more) > 0:
	case command == "vuln" && one != "":
		return vuln(ctx, os.Stdout, one, two)
	case command == "snapshot" && two == "":
		return renew(ctx, one)
	case command == "licences" && one == "":
		return writeLicences(ctx, ".")
	case command == "sbom" && two != "":
		return sbom(one, two)
	}
	return errors.New(usage)
}

// first returns the first argument and the others; "" where there is none.
func first(args []string) (string, []string) {
	if len(args) == 0 {
		return "", nil
	}
	return args[0], args[1:]
}
