package sandbox

import "context"

// Levels are those that this machine allows to the user of the tests, for tests that are to hold at each of them.
func Levels() map[string]int {
	names := map[string]int{"without a namespace": int(bare), "user namespace": int(userNamespace), "namespace of root": int(rootNamespace)}
	for name, l := range names {
		s := spec{Path: "/", Grace: DefaultGrace, Probe: true}
		if _, err := runAt(context.Background(), level(l), s, Command{}); err != nil {
			delete(names, name)
		}
	}
	return names
}

// RunAt is Run at one level.
func RunAt(ctx context.Context, l int, c Command) (Result, error) {
	s, err := c.spec()
	if err != nil {
		return Result{}, err
	}
	return runAt(ctx, level(l), s, c)
}
