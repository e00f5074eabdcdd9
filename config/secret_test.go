package config_test

import (
	"strings"
	"testing"

	"github.com/stint-run/stint/config"
)

func TestAnAddressWhosePasswordIsNotToldFromTheRestIsNotShown(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"postgres://me:x@y/hunter2@h/db", "https://me:5/hunter2@h", "mysql://me:x@h/db#hunter2", "redis://me:x@y?hunter2@h", "http://me:x@hunter2@h"} {
		if shown := config.NewURL(address).String(); strings.Contains(shown, "hunter2") {
			t.Errorf("%s is shown as %s", address, shown)
		}
	}
}
