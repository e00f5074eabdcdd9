package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// A job names its databases and never holds their addresses (P10). A URL on a command line is kept in the data folder under
// a name of its own, readable by the user alone, so that every process of the data folder knows what the name means, the one
// that goes on after a crash included.

const adhocPrefix = "url-"

// KeepConnection gives a URL a name that the data folder's processes know. The same database has the same name.
func KeepConnection(data, url string, at sqldb.Location) (string, error) {
	name := adhocPrefix + at.ID()
	dir := filepath.Join(data, "connections")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", tasks.WithHint(err, "choose another folder with --data", "the data folder cannot be written")
	}
	if at.Dialect == sqldb.SQLite {
		url = "sqlite:" + at.Path() // absolute: another process may stand elsewhere
	}
	if at.Dialect == sqldb.Files {
		url = at.Scheme() + ":" + at.Path()
		if len(at.Params()) > 0 {
			url += "?" + at.Params().Encode()
		}
	}
	tmp, err := os.CreateTemp(dir, "."+name)
	if err != nil {
		return "", fmt.Errorf("keep connection: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(url)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return "", fmt.Errorf("keep connection: %w", err)
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, name)); err != nil {
		return "", fmt.Errorf("keep connection: %w", err)
	}
	return name, nil
}

func readConnection(data, name string) (string, error) {
	unknown := tasks.WithHint(nil, "name it under connections in the configuration of every server and worker", "the connection %q is not known where this was asked for", name)
	if !strings.HasPrefix(name, adhocPrefix) || strings.ContainsAny(name, `/\`) {
		return "", unknown
	}
	b, err := os.ReadFile(filepath.Join(data, "connections", name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", unknown
	}
	return string(b), err
}
