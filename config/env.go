package config

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Env is a process environment: NAME=value, as os.Environ has it. The zero value is an empty one.
type Env []string

// OSEnv returns the environment of this process. It is for main, which hands it on.
func OSEnv() Env { return os.Environ() }

// Lookup returns the value of a variable, and whether it is set. Of two of the same name the last counts.
func (e Env) Lookup(name string) (string, bool) {
	for _, entry := range slices.Backward(e) {
		if n, value, ok := strings.Cut(entry, "="); ok && n == name {
			return value, true
		}
	}
	return "", false
}

// Get returns the value of a variable; "" when it is not set.
func (e Env) Get(name string) string {
	value, _ := e.Lookup(name)
	return value
}

// envPrefix is what all our variables begin with.
const envPrefix = "STINT_"

// envName returns the variable of a key.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// Variables that say where to look, and so are no keys themselves.
const (
	envConfig      = envPrefix + "CONFIG"
	envEnvironment = envPrefix + "ENVIRONMENT"
)

// orchestrated are variables that Kubernetes sets for a service whose name begins with stint; they mean nothing to us.
var orchestrated = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// stateDir is where this user's programs keep what they know, by the custom of the system.
func stateDir(env Env) string {
	home := env.Get("HOME")
	switch {
	case runtime.GOOS == "windows" && env.Get("LocalAppData") != "":
		return filepath.Join(env.Get("LocalAppData"), "stint")
	case filepath.IsAbs(env.Get("XDG_STATE_HOME")):
		return filepath.Join(env.Get("XDG_STATE_HOME"), "stint")
	case runtime.GOOS == "darwin" && home != "":
		return filepath.Join(home, "Library", "Application Support", "stint")
	case home != "":
		return filepath.Join(home, ".local", "state", "stint")
	default: // a container without a user
		return ".stint"
	}
}
