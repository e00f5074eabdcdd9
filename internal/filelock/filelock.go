// Package filelock locks a file among processes. A lock ends with its process, however that ends, so that nobody has to
// guess whether an old one still stands.
package filelock
