package main

import "testing"

func TestEverybodyIsGreeted(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{
		"Hello, world!":              nil,
		"Hello, Ada!":                {"Ada"},
		"Hello, Ada and Bob!":        {"Ada", "Bob"},
		"Hello, Ada, Bob and Carol!": {"Ada", "Bob", "Carol"},
	} {
		if got := greeting(names); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
