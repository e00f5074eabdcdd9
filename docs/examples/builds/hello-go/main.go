// Command hello greets people by their names.
package main

import (
	"flag"
	"fmt"
)

// The build stamps its own version here, and puts this back.
var version = "0.0.0-unstamped"

func main() {
	asked := flag.Bool("version", false, "print the version")
	flag.Parse()
	if *asked {
		fmt.Println(version)
		return
	}
	fmt.Println(greeting(flag.Args()))
}
