package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks/builder/pack"
)

// sbom writes a bill of materials of a binary, CycloneDX 1.6: the modules that the linker says are in it, with their sums, and the Go that
// made it. The code is that which builds use for what they build.
func sbom(binary, file string) error {
	text, err := materials(binary)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

func materials(binary string) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; `make build` makes it", binary, err)
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	at, err := time.Parse(time.RFC3339, settings["vcs.time"])
	if err != nil { // built without version control: the same binary gives the same bill all the same
		at = time.Unix(0, 0).UTC()
	}
	in := pack.SBOMInput{Product: "stint", Version: info.Main.Version, Commit: settings["vcs.revision"], Repository: "https://" + info.Main.Path, Time: at,
		Packages: []pack.Content{{Sum: pack.Sum{Name: filepath.Base(binary), Digest: artifact.DigestOf(content)}}}}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		in.Dependencies = append(in.Dependencies, pack.Dependency{Name: d.Path, Version: d.Version, URL: "pkg:golang/" + d.Path + "@" + d.Version, Sum: d.Sum, From: []string{filepath.Base(binary)}})
	}
	version := strings.TrimPrefix(info.GoVersion, "go")
	in.Dependencies = append(in.Dependencies, pack.Dependency{Name: "stdlib", Version: version, URL: "pkg:golang/stdlib@" + version, From: []string{filepath.Base(binary)}})
	return pack.SBOM(in)
}
