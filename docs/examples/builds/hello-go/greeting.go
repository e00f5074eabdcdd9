package main

import "strings"

// greeting is for all names at once; without any it is for the world.
func greeting(names []string) string {
	switch n := len(names); n {
	case 0:
		return "Hello, world!"
	case 1:
		return "Hello, " + names[0] + "!"
	default:
		return "Hello, " + strings.Join(names[:n-1], ", ") + " and " + names[n-1] + "!"
	}
}
