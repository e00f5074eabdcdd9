package config

// Tokens returns the environment that is chosen, "" for none, and what @@NAME@@ stands for, in other files than the configuration. It
// says nothing of what is wrong with the configuration: files that are not there, or cannot be read, have no tokens.
func Tokens(o Options) (environment string, lookup func(name string) (value string, ok bool)) {
	r := &reader{env: o.Env, tokens: map[string]string{}}
	for _, path := range r.files(o) {
		if d, ok := r.parse(path); ok {
			r.readTokens(d)
		}
	}
	environment = o.Environment
	if environment == "" {
		environment = r.env.Get(envEnvironment)
	}
	return environment, func(name string) (string, bool) {
		if value, ok := r.tokens[name]; ok {
			return value, true
		}
		return r.env.Lookup(name)
	}
}
