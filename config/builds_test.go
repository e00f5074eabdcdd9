package config_test

import (
	"strings"
	"testing"

	"github.com/stint-run/stint/config"
)

func TestMistakesInWhatAgentsMayBuildAreFound(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"limits: {processes: -1}":                                       "builds.limits.processes",
		"limits: {cpu: -1s}":                                            "builds.limits.cpu",
		"environment: ['A=B']":                                          "builds.environment",
		"credentials: [{name: a, password: s3cret}]":                    "builds.credentials.a.repositories",
		"secrets: [{name: KEY, value: abc}]":                            "too short",
		"secrets: [{name: a-b, value: abcdef}]":                         "letters, digits and _",
		"targets: [{name: a, type: ftp}]":                               "no type",
		"targets: [{name: a, type: folder}]":                            "a folder has a path",
		"targets: [{name: a, type: s3, url: 'https://x/y'}]":            "does not fit the type",
		"targets: [{name: a, type: http, dir: /x, url: 'https://x/y'}]": "is that of a folder",
		"environments: [{name: production, channels: [local]}]":         "no channel",
	} {
		file := write(t, map[string]string{"stint.yaml": "builds: {" + text + "}\n"})
		_, _, err := config.Load(config.Options{File: file})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
